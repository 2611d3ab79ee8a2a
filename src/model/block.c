/* block.c — one transformer block, forward and backward.
 *
 * Runs the op list of a block on a backend, and the same list in reverse. What a family has of it is
 * said by fields of its arch and by which weights are there: a step without its weight is left out.
 * Does not allocate, does not know features or optimisers. Called by session.c and ragged.c only.
 *
 * B rows, T tokens, P context tokens, C width, H heads, Hkv KV heads, D head width, F MLP width;
 * N = B*T. q, k and v are one array (N,(H+2Hkv)D), gate and up another (N,2F).
 */
#include "model/block.h"

#include "model/columns.h"

/* ---- pieces: each with its gradient ---- */

/* y = the norm of x, or x itself where there is no weight. */
static const ph_real *norm(ph_real *y, const ph_norm_saved *saved, const ph_real *x,
                           const ph_real *w, const ph_real *b, int64_t N, const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    if (!w) return x;
    if (a->norm == PH_NORM_RMS)
        op->rmsnorm_fwd(y, saved->r, x, w, a->norm_eps, N, a->C, r->stream);
    else
        op->layernorm_fwd(y, saved->m, saved->r, x, w, b, a->norm_eps, N, a->C, r->stream);
    return y;
}

static void norm_back(ph_real *dx, float beta, const ph_real *dy, const ph_real *x,
                      const ph_real *w, const ph_norm_saved *saved, int64_t N, const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    if (a->norm == PH_NORM_RMS)
        op->rmsnorm_bwd(dx, beta, dy, x, w, saved->r, N, a->C, r->stream);
    else
        op->layernorm_bwd(dx, beta, dy, x, w, saved->m, saved->r, N, a->C, r->stream);
}

static void product(ph_real *y, const ph_real *x, const ph_matrix *w, const ph_real *b, int64_t N,
                    int64_t J, const ph_run *r)
{
    r->backend->ops.matmul(y, 0, x, w, N, r->stream);
    if (b) r->backend->ops.add_bias(y, b, N, J, r->stream);
}

/* The end of a branch: a product, and a norm behind it where there is one. */
static void end_branch(ph_block_scratch *t, ph_real *before, const ph_norm_saved *saved,
                       const ph_real *x, const ph_matrix *w, const ph_real *b, const ph_real *post,
                       int64_t N, const ph_run *r)
{
    ph_real *y = post ? before : t->branch;
    product(y, x, w, b, N, r->arch->C, r);
    norm(t->branch, saved, y, post, NULL, N, r);
}

/* dx += the gradient of end_branch's product for dy at its end. */
static void end_branch_back(ph_real *dx, float beta, ph_block_scratch *t, const ph_real *dy,
                            const ph_real *before, const ph_norm_saved *saved, const ph_matrix *w_t,
                            const ph_real *post, int64_t N, const ph_run *r)
{
    if (post) norm_back(t->branch, 0, dy, before, post, saved, N, r);
    r->backend->ops.matmul(dx, beta, post ? t->branch : dy, w_t, N, r->stream);
}

/* The beginning of a branch, backwards: the product's gradient, through the norm before it. */
static void begin_branch_back(ph_real *dx, float beta, ph_block_scratch *t, const ph_real *dy,
                              const ph_real *x, const ph_norm_saved *saved, const ph_matrix *w_t,
                              const ph_real *pre, int64_t N, const ph_run *r)
{
    r->backend->ops.matmul(pre ? t->normed : dx, pre ? 0 : beta, dy, w_t, N, r->stream);
    if (pre) norm_back(dx, beta, t->normed, x, pre, saved, N, r);
}

/* The parts of qkv, and the distance from one token to the next. */
typedef struct qkv_view {
    ph_real *q, *k, *v;
    int64_t ld;
} qkv_view;

static qkv_view view(const ph_real *qk, const ph_real *qkv, const ph_run *r)
{
    const ph_arch *a = r->arch;
    return (qkv_view){ph__at(r->backend, qk, 0), ph__at(r->backend, qk, a->H * a->D),
                      ph__at(r->backend, qkv, (a->H + a->Hkv) * a->D), (a->H + 2 * a->Hkv) * a->D};
}

/* Heads that are normed together, and how wide they are then. */
static void norm_heads(const ph_block_state *s, const ph_block_weights *w, int64_t N,
                       const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    const qkv_view from = view(s->qkv, s->qkv, r), to = view(s->qk, s->qkv, r);
    const bool wide = a->qk_norm == PH_QK_WIDTH, each = a->qk_norm == PH_QK_HEADS;
    op->headnorm_fwd(to.q, from.q, w->q_norm, a->norm, each, a->norm_eps, N, wide ? 1 : a->H,
                     wide ? a->H * a->D : a->D, to.ld, r->stream);
    op->headnorm_fwd(to.k, from.k, w->k_norm, a->norm, each, a->norm_eps, N, wide ? 1 : a->Hkv,
                     wide ? a->Hkv * a->D : a->D, to.ld, r->stream);
}

static void norm_heads_back(const qkv_view *d, const ph_block_state *s, const ph_block_weights *w,
                            int64_t N, const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    const qkv_view x = view(s->qkv, s->qkv, r);
    const bool wide = a->qk_norm == PH_QK_WIDTH, each = a->qk_norm == PH_QK_HEADS;
    op->headnorm_bwd(d->q, x.q, w->q_norm, a->norm, each, a->norm_eps, N, wide ? 1 : a->H,
                     wide ? a->H * a->D : a->D, x.ld, r->stream);
    op->headnorm_bwd(d->k, x.k, w->k_norm, a->norm, each, a->norm_eps, N, wide ? 1 : a->Hkv,
                     wide ? a->Hkv * a->D : a->D, x.ld, r->stream);
}

/* Steps 3 and 4: rope and attention, of each group behind its own keys. p is saved of the last. */
static void attend(ph_block_state *s, ph_block_scratch *t, const ph_block_weights *w,
                   const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    const ph_group all = {0, r->B, r->T, r->P, 0};
    const ph_group *groups = r->groups ? r->groups : &all;
    const qkv_view x = view(s->qk, s->qkv, r);
    const ph_real *cos = r->cos[w->local], *sin = r->sin[w->local];

    for (int64_t i = 0; i < (r->groups ? r->n_groups : 1); i++) {
        const ph_group *g = &groups[i];
        ph_real *q = ph__at(r->backend, x.q, g->first * x.ld);
        ph_real *k = ph__at(r->backend, x.k, g->first * x.ld);
        const ph_real *v = ph__at(r->backend, x.v, g->first * x.ld);
        const ph_real *kc = g->P ? ph__at(r->backend, s->kc, g->keys) : NULL;
        const ph_real *vc = g->P ? ph__at(r->backend, s->vc, g->keys) : NULL;
        if (a->rope_dims) {
            /* 3 */ op->rope_fwd(q, cos, sin, a->rope, g->P, g->B, g->T, a->H, a->D, a->rope_dims,
                                 x.ld, r->stream);
            op->rope_fwd(k, cos, sin, a->rope, g->P, g->B, g->T, a->Hkv, a->D, a->rope_dims, x.ld,
                         r->stream);
        }
        /* 4 */ op->attention_fwd(ph__at(r->backend, t->o, g->first * a->H * a->D), s->p, q, k, v,
                                  kc, vc, a->score_scale, a->score_cap, w->window, g->B, g->T, g->P,
                                  a->H, a->Hkv, a->D, x.ld, r->stream);
    }
}

/* Steps 8 and 9: gu is kept where a gradient will need it. */
static void neurons(ph_real *h, ph_real *gu, const ph_real *x, const ph_block_weights *w, int64_t N,
                    const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    if (a->gated && !w->gu_b && !r->gradient) {
        op->matmul_gated(h, gu, x, w->gu, a->act, N, r->stream);
        return;
    }
    /* 8 */ product(gu, x, w->gu, w->gu_b, N, ph__arch_up(a), r);
    /* 9 */ if (a->gated)
        op->gated_fwd(h, gu, a->act, N, a->F, r->stream);
    else
        op->act_fwd(h, gu, a->act, N * a->F, r->stream);
}

static void activate_back(ph_real *dgu, const ph_real *dh, const ph_real *gu, int64_t N,
                          const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    if (a->gated)
        op->gated_bwd(dgu, dh, gu, a->act, N, a->F, r->stream);
    else
        op->act_bwd(dgu, dh, gu, a->act, N * a->F, r->stream);
}

/* ---- the block ---- */

/* What the MLP is given. */
static const ph_real *mlp_input(const ph_block_state *s, const ph_run *r)
{
    return r->arch->parallel ? s->x : s->mid;
}

/* Attention's half: mid = x + what it adds. Where that is looked at, it stands in t->branch. */
static void attention_forward(ph_block_state *s, ph_block_scratch *t, const ph_block_weights *w,
                              ph_place from, ph_place stop, const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    const int64_t N = r->B * r->T;

    if (from == PH_PLACE_EMBED) {
        /* 1 */ const ph_real *x =
            norm(t->normed, &s->attn_norm, s->x, w->attn_norm, w->attn_norm_b, N, r);
        /* 2 */ product(s->qkv, x, w->qkv, w->qkv_b, N, (a->H + 2 * a->Hkv) * a->D, r);
        if (w->q_norm) norm_heads(s, w, N, r);
        /* 3, 4 */ attend(s, t, w, r);
        if (stop != PH_PLACE_ATTN && !w->o_b && !w->post_attn) {
            /* 5, 6 */ op->matmul_add(s->mid, s->x, t->o, w->o, N, r->stream);
            return;
        }
        /* 5 */ end_branch(t, s->attn, &s->post_attn, t->o, w->o, w->o_b, w->post_attn, N, r);
        if (stop == PH_PLACE_ATTN) return;
    }
    /* 6 */ op->add_fwd(s->mid, s->x, t->branch, N * a->C, r->stream);
}

/* Steps 10 and 11 for the wanted columns; the others are what they were before the MLP. */
static void some_columns(ph_block_state *s, ph_block_scratch *t, const ph_columns *c, int64_t N,
                         const ph_run *r)
{
    const struct ph_ops *op = &r->backend->ops;
    op->columns_take(t->normed, s->mid, c->at, N, r->arch->C, c->n, r->stream);
    op->matmul_add(t->branch, t->normed, t->h, c->down, N, r->stream);
    op->columns_put(s->out, s->mid, t->branch, c->at, N, r->arch->C, c->n, r->stream);
}

static void some_columns_back(ph_block_scratch *t, const ph_real *dout, const ph_columns *c,
                              int64_t N, const ph_run *r)
{
    const struct ph_ops *op = &r->backend->ops;
    op->columns_take(t->branch, dout, c->at, N, r->arch->C, c->n, r->stream);
    op->matmul(t->h, 0, t->branch, c->down_t, N, r->stream);
}

/* The MLP's: out = mid + what it adds. */
static void mlp_forward(ph_block_state *s, ph_block_scratch *t, const ph_block_weights *w,
                        ph_place from, ph_place stop, const ph_run *r)
{
    const struct ph_ops *op = &r->backend->ops;
    const int64_t N = r->B * r->T;

    if (from != PH_PLACE_NEURON && from != PH_PLACE_MLP) {
        /* 7 */ const ph_real *x =
            norm(t->normed, &s->ffn_norm, mlp_input(s, r), w->ffn_norm, w->ffn_norm_b, N, r);
        /* 8, 9 */ neurons(t->h, s->gu, x, w, N, r);
        if (stop == PH_PLACE_NEURON) return;
    }
    if (w->columns && stop == PH_PLACE_BLOCK) {
        some_columns(s, t, w->columns, N, r);
        return;
    }
    if (from != PH_PLACE_MLP) {
        if (stop != PH_PLACE_MLP && !w->down_b && !w->post_ffn) {
            /* 10, 11 */ op->matmul_add(s->out, s->mid, t->h, w->down, N, r->stream);
            return;
        }
        /* 10 */ end_branch(t, s->mlp, &s->post_ffn, t->h, w->down, w->down_b, w->post_ffn, N, r);
        if (stop == PH_PLACE_MLP) return;
    }
    /* 11 */ op->add_fwd(s->out, s->mid, t->branch, N * r->arch->C, r->stream);
}

void ph__block_forward(ph_block_state *s, ph_block_scratch *t, const ph_block_weights *w,
                       ph_place from, ph_place stop, const ph_run *r)
{
    if (from == PH_PLACE_EMBED || from == PH_PLACE_ATTN) attention_forward(s, t, w, from, stop, r);
    if (stop != PH_PLACE_ATTN) mlp_forward(s, t, w, from, stop, r);
}

/* dh for the neurons' seed on top of what came from behind. */
static const ph_real *add_neurons(const ph_real *dh, const ph_real *seed, ph_block_scratch *t,
                                  const ph_run *r)
{
    if (!seed) return dh;
    r->backend->ops.add_fwd(t->h, dh, seed, r->B * r->T * r->arch->F, r->stream);
    return t->h;
}

/* Steps 4 to 1: dx += the gradient from attention's, which stands in t->o. */
static void attend_back(ph_real *dx, float stream, const ph_block_state *s, ph_block_scratch *t,
                        const ph_block_weights *w, const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    const int64_t B = r->B, T = r->T, P = r->P, N = B * T;
    const qkv_view x = view(s->qk, s->qkv, r), d = view(t->dqkv, t->dqkv, r);
    const ph_real *cos = r->cos[w->local], *sin = r->sin[w->local];

    /* 4 */ op->attention_bwd(d.q, d.k, d.v, 0, t->o, s->p, x.q, x.k, x.v, s->kc, s->vc,
                              a->score_scale, a->score_cap, w->window, B, T, P, a->H, a->Hkv, a->D,
                              x.ld, r->stream);
    if (a->rope_dims) {
        /* 3 */ op->rope_bwd(d.q, cos, sin, a->rope, P, B, T, a->H, a->D, a->rope_dims, x.ld,
                             r->stream);
        op->rope_bwd(d.k, cos, sin, a->rope, P, B, T, a->Hkv, a->D, a->rope_dims, x.ld, r->stream);
    }
    if (w->q_norm) norm_heads_back(&d, s, w, N, r);
    /* 2, 1 */ begin_branch_back(dx, stream, t, t->dqkv, s->x, &s->attn_norm, w->qkv_t,
                                 w->attn_norm, N, r);
}

/* t->o = the gradient at attention's heads, from the stream and from the place's own; false: none. */
static bool heads_back(const ph_real *seed, const ph_real *own, const ph_block_state *s,
                       ph_block_scratch *t, const ph_block_weights *w, const ph_run *r)
{
    const int64_t N = r->B * r->T;
    if (seed)
        /* 5 */ end_branch_back(t->o, 0, t, seed, s->attn, &s->post_attn, w->o_t, w->post_attn, N,
                                r);
    if (own)
        end_branch_back(t->o, seed ? 1 : 0, t, own, s->attn, &s->post_attn, w->o_t, w->post_attn, N,
                        r);
    return seed || own;
}

void ph__block_backward(ph_real *dx, const ph_real *seed, const ph_block_seeds *inside,
                        const ph_block_state *s, ph_block_scratch *t, const ph_block_weights *w,
                        ph_place start, const ph_run *r)
{
    const int64_t N = r->B * r->T;
    /* Only from the block's output does a gradient also flow along the stream itself. */
    float stream = start == PH_PLACE_BLOCK ? 1 : 0;
    const ph_real *dh = start == PH_PLACE_NEURON ? seed : t->h;
    bool attention = true;

    if (start == PH_PLACE_BLOCK) seed = dx; /* 11 */
    if (start != PH_PLACE_ATTN) {
        /* A parallel MLP did not see attention: that gets the stream's gradient alone. */
        if (r->arch->parallel)
            attention = heads_back(stream != 0 ? seed : NULL, inside->attn, s, t, w, r);
        /* 10 */ if (w->columns)
            some_columns_back(t, seed, w->columns, N, r);
        else if (start != PH_PLACE_NEURON)
            end_branch_back(t->h, 0, t, seed, s->mlp, &s->post_ffn, w->down_t, w->post_ffn, N, r);
        if (inside->mlp)
            end_branch_back(t->h, 1, t, inside->mlp, s->mlp, &s->post_ffn, w->down_t, w->post_ffn,
                            N, r);
        dh = add_neurons(dh, inside->neuron, t, r);
        /* 9 */ activate_back(t->dgu, dh, s->gu, N, r);
        /* 8, 7 */ begin_branch_back(dx, stream, t, t->dgu, mlp_input(s, r), &s->ffn_norm, w->gu_t,
                                     w->ffn_norm, N, r);
        seed = dx; /* 6 */
        stream = 1;
    }
    if (start == PH_PLACE_ATTN || !r->arch->parallel) heads_back(seed, inside->attn, s, t, w, r);
    if (attention) attend_back(dx, stream, s, t, w, r);
}

void ph__block_keys(ph_block_state *to, const ph_block_state *from, double *line, int64_t tokens,
                    const ph_arch *a, ph_backend *be)
{
    const int64_t wide = a->Hkv * a->D, ld = (a->H + 2 * a->Hkv) * a->D;

    for (int64_t t = 0; t < tokens; t++) {
        be->read64(line, ph__at(be, from->qk, t * ld + a->H * a->D), (size_t)wide, be);
        be->write64(ph__at(be, to->kc, t * wide), line, (size_t)wide, be);
        be->read64(line, ph__at(be, from->qkv, t * ld + (a->H + a->Hkv) * a->D), (size_t)wide, be);
        be->write64(ph__at(be, to->vc, t * wide), line, (size_t)wide, be);
    }
}

/* ---- before the first block and behind the last ---- */

void ph__add_positions(ph_real *x, const ph_real *E, const ph_real *positions, int64_t B, int64_t T,
                       int64_t P, const ph_run *r)
{
    const ph_backend *be = r->backend;
    const int64_t C = r->arch->C;
    for (int64_t b = 0; b < B; b++)
        be->ops.add_fwd(ph__at(be, x, b * T * C), ph__at(be, E, b * T * C),
                        ph__at(be, positions, P * C), T * C, r->stream);
}

void ph__final_forward(ph_real *final, ph_norm_saved *saved, const ph_real *x,
                       const ph_head_weights *w, int64_t N, const ph_run *r)
{
    norm(final, saved, x, w->norm, w->norm_b, N, r);
}

void ph__final_backward(ph_real *dx, const ph_real *dfinal, const ph_real *x,
                        const ph_norm_saved *saved, const ph_head_weights *w, int64_t N,
                        const ph_run *r)
{
    norm_back(dx, 0, dfinal, x, w->norm, saved, N, r);
}

void ph__logits_forward(ph_real *logits, const ph_real *final, const ph_head_weights *w, int64_t N,
                        const ph_run *r)
{
    const ph_arch *a = r->arch;
    product(logits, final, w->out, w->out_b, N, a->V, r);
    if (a->logit_cap != 0) r->backend->ops.softcap_fwd(logits, a->logit_cap, N * a->V, r->stream);
}

void ph__logits_backward(ph_real *dfinal, ph_real *dlogits, const ph_real *logits,
                         const ph_head_weights *w, int64_t N, const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    if (a->logit_cap != 0) op->softcap_bwd(dlogits, logits, a->logit_cap, N * a->V, r->stream);
    op->matmul(dfinal, 0, dlogits, w->out_t, N, r->stream);
}

ph_status ph__block_prepare(ph_stream *stream, const ph_backend *be, const ph_block_weights *w,
                            int64_t N, bool gradient, ph_error *err)
{
    const ph_matrix *const all[] = {w->qkv,   w->o,   w->gu,   w->down,
                                    w->qkv_t, w->o_t, w->gu_t, w->down_t};
    for (size_t i = 0; i < (gradient ? 8 : 4); i++)
        if (all[i]) PH_TRY(be->stream_prepare(stream, all[i], N, err));
    return PH_OK;
}
