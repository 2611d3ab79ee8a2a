/* block.c — one transformer block, forward and backward.
 *
 * Runs the op list of a block on a backend, and the same list in reverse.
 * Does not allocate, does not know features or optimisers. Called by session.c only.
 *
 * B rows, T tokens, P context tokens, C width, H heads, Hkv KV heads, D head width, F MLP width;
 * N = B*T. q, k and v are one array (N,(H+2Hkv)D), gate and up another (N,2F).
 */
#include "model/block.h"

/* The parts of qkv, and the distance from one token to the next. */
typedef struct qkv_view {
    ph_real *q, *k, *v;
    int64_t ld;
} qkv_view;

static qkv_view view(const ph_real *qkv, const ph_run *r)
{
    const ph_arch *a = r->arch;
    return (qkv_view){ph__at(r->backend, qkv, 0), ph__at(r->backend, qkv, a->H * a->D),
                      ph__at(r->backend, qkv, (a->H + a->Hkv) * a->D), (a->H + 2 * a->Hkv) * a->D};
}

static float score_scale(const ph_arch *a)
{
    return (float)(1 / __builtin_sqrt((double)a->D));
}

/* Steps 3 and 4: rope and attention, of each group behind its own keys. p is saved of the last. */
static void attend(ph_block_state *s, ph_block_scratch *t, const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    const ph_group all = {0, r->B, r->T, r->P, 0};
    const ph_group *groups = r->groups ? r->groups : &all;
    const qkv_view x = view(s->qkv, r);

    for (int64_t i = 0; i < (r->groups ? r->n_groups : 1); i++) {
        const ph_group *g = &groups[i];
        ph_real *q = ph__at(r->backend, x.q, g->first * x.ld);
        ph_real *k = ph__at(r->backend, x.k, g->first * x.ld);
        const ph_real *v = ph__at(r->backend, x.v, g->first * x.ld);
        const ph_real *kc = g->P ? ph__at(r->backend, s->kc, g->keys) : NULL;
        const ph_real *vc = g->P ? ph__at(r->backend, s->vc, g->keys) : NULL;
        /* 3 */ op->rope_fwd(q, r->cos, r->sin, a->rope, g->P, g->B, g->T, a->H, a->D, a->rope_dims,
                             x.ld, r->stream);
        op->rope_fwd(k, r->cos, r->sin, a->rope, g->P, g->B, g->T, a->Hkv, a->D, a->rope_dims, x.ld,
                     r->stream);
        /* 4 */ op->attention_fwd(ph__at(r->backend, t->o, g->first * a->H * a->D), s->p, q, k, v,
                                  kc, vc, score_scale(a), 0, 0, g->B, g->T, g->P, a->H, a->Hkv,
                                  a->D, x.ld, r->stream);
    }
}

void ph__block_forward(ph_block_state *s, ph_block_scratch *t, const ph_block_weights *w,
                       ph_place from, ph_place stop, const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    ph_stream *st = r->stream;
    const int64_t N = r->B * r->T;

    if (from == PH_PLACE_ATTN) goto behind_attn;
    if (from == PH_PLACE_NEURON) goto behind_neuron;
    if (from == PH_PLACE_MLP) goto behind_mlp;
    /* 1 */ op->rmsnorm_fwd(t->normed, s->r1, s->x, w->attn_norm, a->norm_eps, N, a->C, st);
    /* 2 */ op->matmul(s->qkv, 0, t->normed, w->qkv, N, st);
    /* 3, 4 */ attend(s, t, r);
    /* 5 */ op->matmul(t->branch, 0, t->o, w->o, N, st);
    if (stop == PH_PLACE_ATTN) return;
behind_attn:
    /* 6 */ op->add_fwd(s->mid, s->x, t->branch, N * a->C, st);
    /* 7 */ op->rmsnorm_fwd(t->normed, s->r2, s->mid, w->ffn_norm, a->norm_eps, N, a->C, st);
    /* 8 */ op->matmul(s->gu, 0, t->normed, w->gu, N, st);
    /* 9 */ op->gated_fwd(t->h, s->gu, a->act, N, a->F, st);
    if (stop == PH_PLACE_NEURON) return;
behind_neuron:
    /* 10 */ op->matmul(t->branch, 0, t->h, w->down, N, st);
    if (stop == PH_PLACE_MLP) return;
behind_mlp:
    /* 11 */ op->add_fwd(s->out, s->mid, t->branch, N * a->C, st);
}

/* dh for the neurons' seed on top of what came from behind. */
static const ph_real *add_neurons(const ph_real *dh, const ph_real *seed, ph_block_scratch *t,
                                  const ph_run *r)
{
    if (!seed) return dh;
    r->backend->ops.add_fwd(t->h, dh, seed, r->B * r->T * r->arch->F, r->stream);
    return t->h;
}

void ph__block_backward(ph_real *dx, const ph_real *seed, const ph_block_seeds *inside,
                        const ph_block_state *s, ph_block_scratch *t, const ph_block_weights *w,
                        ph_place start, const ph_run *r)
{
    const ph_arch *a = r->arch;
    const struct ph_ops *op = &r->backend->ops;
    ph_stream *st = r->stream;
    const int64_t B = r->B, T = r->T, P = r->P, N = B * T;
    const qkv_view x = view(s->qkv, r), d = view(t->dqkv, r);
    /* Only from the block's output does a gradient also flow along the stream itself. */
    float stream = start == PH_PLACE_BLOCK ? 1 : 0;
    const ph_real *dh = start == PH_PLACE_NEURON ? seed : t->h;

    if (start == PH_PLACE_BLOCK) seed = dx; /* 11 */
    if (start != PH_PLACE_ATTN) {
        /* 10 */ if (start != PH_PLACE_NEURON)
            op->matmul(t->h, 0, seed, w->down_t, N, st);
        if (inside->mlp) op->matmul(t->h, 1, inside->mlp, w->down_t, N, st);
        dh = add_neurons(dh, inside->neuron, t, r);
        /* 9 */ op->gated_bwd(t->dgu, dh, s->gu, a->act, N, a->F, st);
        /* 8 */ op->matmul(t->normed, 0, t->dgu, w->gu_t, N, st);
        /* 7 */ op->rmsnorm_bwd(dx, stream, t->normed, s->mid, w->ffn_norm, s->r2, N, a->C, st);
        seed = dx; /* 6 */
        stream = 1;
    }
    /* 5 */ op->matmul(t->o, 0, seed, w->o_t, N, st);
    if (inside->attn) op->matmul(t->o, 1, inside->attn, w->o_t, N, st);
    /* 4 */ op->attention_bwd(d.q, d.k, d.v, 0, t->o, s->p, x.q, x.k, x.v, s->kc, s->vc,
                              score_scale(a), 0, 0, B, T, P, a->H, a->Hkv, a->D, x.ld, st);
    /* 3 */ op->rope_bwd(d.q, r->cos, r->sin, a->rope, P, B, T, a->H, a->D, a->rope_dims, x.ld, st);
    op->rope_bwd(d.k, r->cos, r->sin, a->rope, P, B, T, a->Hkv, a->D, a->rope_dims, x.ld, st);
    /* 2 */ op->matmul(t->normed, 0, t->dqkv, w->qkv_t, N, st);
    /* 1 */ op->rmsnorm_bwd(dx, stream, t->normed, s->x, w->attn_norm, s->r1, N, a->C, st);
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
