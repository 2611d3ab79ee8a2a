/* ragged.c — tokens of many texts in one forward pass, whatever their lengths.
 *
 * The tokens of all strands stand one after another: to the dense operations they are N rows.
 * Strands alike form a group, for which attention runs once. Every slot holds the context's keys and
 * values and behind them those of a text, per block:
 *
 *   kc, vc (slots + 1, P + longest, Hkv D)       the last slot holds the context alone
 *
 * One allocation:  cos sin | x0 x1 | what a block leaves | other | per block: kc vc | normed o h
 *                  branch | final: r normed | logits | per tap: its output
 */
#include "model/ragged.h"

#include "base/mem.h"
#include "model/arena.h"

#include <string.h>

enum {
    STEP = 32,      /* rows of a product come in steps: each number of them costs a primitive */
    EVERY_SLOT = -2 /* as a strand's keep: the context itself */
};

struct ph_ragged {
    const ph_model *model;
    ph_tap taps[PH_RAGGED_TAPS];
    int n_taps;
    int64_t first, last; /* blocks to run, from 1 */
    int64_t tokens, longest, slots, P, N;
    bool head, output; /* the final norm, the output scores */
    ph_run run;
    const ph_block_weights **weights; /* per block */
    const ph_head_weights *head_weights;
    ph_real **kc, **vc; /* per block */
    ph_block_state state;
    ph_block_scratch scratch;
    ph_group *groups;              /* (tokens) */
    float *E;                      /* (tokens,C) */
    float *before[PH_RAGGED_TAPS]; /* of each tap, at the context's last token */
    int32_t *ids;                  /* (tokens) */
    ph_real *cos[2], *sin[2], *x0, *x1, *other, *final, *logits, *outputs[PH_RAGGED_TAPS];
    ph_norm_saved final_norm;
    const ph_real *positions; /* NULL: none are learned */
    ph_real *memory;
};

static int64_t width_of(const ph_ragged *r, ph_place place)
{
    return ph_place_width(&r->model->info, place);
}

static void layout(ph_ragged *r, ph_arena *a)
{
    const ph_arch *m = &r->model->arch;
    const int64_t N = r->tokens, keys = r->P + r->longest, wide = m->Hkv * m->D;

    ph__take_angles(a, r->cos, r->sin, m, keys);
    ph__take(a, &r->x0, N, m->C);
    r->x1 = r->x0;
    if (m->needs & PH_PART_POSITIONS) ph__take(a, &r->x1, N, m->C);
    ph__take_block(a, &r->state, m, N, keys);
    ph__take(a, &r->other, N, m->C);
    for (int64_t n = r->first; n <= r->last; n++) {
        ph__take(a, &r->kc[n - r->first], (r->slots + 1) * keys, wide);
        ph__take(a, &r->vc[n - r->first], (r->slots + 1) * keys, wide);
    }
    ph__take(a, &r->scratch.normed, N, m->C);
    ph__take(a, &r->scratch.o, N, m->H * m->D);
    ph__take(a, &r->scratch.h, N, m->F);
    ph__take(a, &r->scratch.branch, N, m->C);
    if (r->head) ph__take_norm(a, &r->final_norm, m, N);
    if (r->head) ph__take(a, &r->final, N, m->C);
    if (r->output) ph__take(a, &r->logits, N, m->V);
    for (int i = 0; i < r->n_taps; i++)
        if (r->taps[i].place != PH_PLACE_LOGITS)
            ph__take(a, &r->outputs[i], N, width_of(r, r->taps[i].place));
}

static ph_status get_memory(ph_ragged *r, ph_error *err)
{
    ph_backend *be = r->model->backend;
    ph_arena a = {.backend = be};

    layout(r, &a);
    if (a.overflow) return ph__fail_memory(err, SIZE_MAX);
    PH_TRY(be->alloc(&r->memory, a.used, be, err));
    a = (ph_arena){.backend = be, .base = r->memory};
    layout(r, &a);
    return PH_OK;
}

/* Blocks from the first to the deepest tap; a block alone must be all of it. */
static ph_status choose_blocks(ph_ragged *r, ph_error *err)
{
    r->first = 1;
    r->last = 0;
    for (int i = 0; i < r->n_taps; i++) {
        const ph_tap *t = &r->taps[i];
        const bool whole = t->place == PH_PLACE_FINAL || t->place == PH_PLACE_LOGITS;
        const int64_t deep = whole ? r->model->arch.blocks : t->block;
        if (t->only && r->n_taps > 1)
            return ph__fail(err, PH_EUNSUPPORTED, -1, "\"only block %lld\" beside another place",
                            (long long)t->block);
        if (t->only) r->first = t->block;
        r->head |= whole;
        r->output |= t->place == PH_PLACE_LOGITS;
        if (deep > r->last) r->last = deep;
    }
    return PH_OK;
}

static ph_status get_weights(ph_ragged *r, ph_error *err)
{
    const ph_backend *be = r->model->backend;
    PH_TRY(ph__model_positions(&r->positions, r->model, err));
    for (int64_t n = r->first; n <= r->last; n++) {
        const ph_block_weights **w = &r->weights[n - r->first];
        PH_TRY(ph__model_block(w, r->model, n, PH_PLACE_BLOCK, false, err));
        PH_TRY(ph__block_prepare(r->run.stream, be, *w, r->tokens, false, err));
    }
    if (!r->head) return PH_OK;
    PH_TRY(ph__model_head(&r->head_weights, r->model, r->output, false, err));
    return r->output ? be->stream_prepare(r->run.stream, r->head_weights->out, r->tokens, err)
                     : PH_OK;
}

static int64_t steps_up(int64_t n)
{
    return (n + STEP - 1) / STEP * STEP;
}

static ph_status ragged_new(ph_ragged **out, const ph_model *model, const ph_ragged_options *o,
                            ph_error *err)
{
    ph_ragged *r = NULL;
    ph_status st = PH_OK;
    const int64_t room = model->arch.context_length - (int64_t)o->n_context;

    if (o->n_taps > PH_RAGGED_TAPS)
        return ph__fail(err, PH_EUNSUPPORTED, -1, "%d places at once: at most %d", o->n_taps,
                        PH_RAGGED_TAPS);
    if (o->longest < 1 || o->longest > room)
        return ph__fail(err, PH_ERANGE, -1,
                        "%lld tokens and %zu of context: this model's context "
                        "holds %lld",
                        (long long)o->longest, o->n_context, (long long)model->arch.context_length);
    PH_GO(PH_NEW(&r, 1, err));
    *r = (ph_ragged){.model = model,
                     .n_taps = o->n_taps,
                     .longest = o->longest,
                     .slots = o->slots,
                     .P = (int64_t)o->n_context};
    memcpy(r->taps, o->taps, (size_t)o->n_taps * sizeof *r->taps);
    r->tokens = steps_up(o->tokens > r->longest ? o->tokens : r->longest);
    if (r->tokens < r->P) r->tokens = steps_up(r->P); /* the context is run, too */
    r->run = (ph_run){.arch = &model->arch, .backend = model->backend, .B = 1};
    PH_GO(choose_blocks(r, err));
    const size_t blocks = (size_t)(r->last - r->first + 1);
    PH_GO(PH_NEW(&r->weights, blocks, err));
    PH_GO(PH_NEW(&r->kc, blocks, err));
    PH_GO(PH_NEW(&r->vc, blocks, err));
    PH_GO(PH_NEW(&r->groups, (size_t)r->tokens, err));
    r->run.groups = r->groups;
    PH_GO(PH_NEW(&r->ids, (size_t)r->tokens, err));
    PH_GO(PH_NEW(&r->E, (size_t)(r->tokens * model->arch.C), err));
    PH_GO(get_memory(r, err));
    PH_GO(model->backend->stream_new(&r->run.stream, 0, model->backend, err));
    *out = r;
    r = NULL;
done:
    ph__ragged_close(&r);
    return st;
}

void ph__ragged_close(ph_ragged **ragged)
{
    ph_ragged *r = *ragged;
    if (!r) return;
    ph_backend *be = r->model->backend;
    be->stream_close(&r->run.stream, be);
    be->release(be, r->memory);
    ph__free(r->weights);
    ph__free(r->kc);
    ph__free(r->vc);
    ph__free(r->groups);
    ph__free(r->ids);
    ph__free(r->E);
    for (int i = 0; i < r->n_taps; i++) ph__free(r->before[i]);
    ph__free(r);
    *ragged = NULL;
}

/* ---- run ---- */

static const ph_real *output_of(const ph_ragged *r, int tap)
{
    return r->taps[tap].place == PH_PLACE_LOGITS ? r->logits : r->outputs[tap];
}

/* The groups of strands: neighbours alike, none that keeps its text with others. */
static void divide(ph_ragged *r, const ph_strand *strands, int64_t n, int64_t context)
{
    const int64_t keys = r->P + r->longest, wide = r->model->arch.Hkv * r->model->arch.D;
    int64_t at = 0;

    r->run.n_groups = 0;
    for (int64_t i = 0; i < n; i++) {
        const ph_strand *s = &strands[i];
        const int64_t slot = s->slot < 0 ? r->slots : s->slot;
        const ph_group g = {at, 1, s->n, context + s->past, slot * keys * wide};
        ph_group *last = r->run.n_groups ? &r->groups[r->run.n_groups - 1] : NULL;
        memcpy(r->ids + at, s->ids, (size_t)s->n * sizeof *s->ids);
        at += s->n;
        if (last && last->T == g.T && last->P == g.P && last->keys == g.keys)
            last->B++;
        else
            r->groups[r->run.n_groups++] = g;
    }
    r->N = at;
}

/* Copy keys and values of n tokens of the run from `first` on into a slot, behind `before` others. */
static void keep_keys(ph_ragged *r, int64_t block, int64_t first, int64_t n, int64_t slot,
                      int64_t before)
{
    const ph_arch *a = &r->model->arch;
    const ph_backend *be = r->model->backend;
    const int64_t wide = a->Hkv * a->D, ld = (a->H + 2 * a->Hkv) * a->D;
    const int64_t at = (slot * (r->P + r->longest) + before) * wide;
    const size_t bytes = (size_t)wide * be->element;

    for (int64_t t = 0; t < n; t++) {
        const int64_t k = (first + t) * ld + a->H * a->D;
        memcpy(ph__at(be, r->kc[block], at + t * wide), ph__at(be, r->state.qk, k), bytes);
        memcpy(ph__at(be, r->vc[block], at + t * wide), ph__at(be, r->state.qkv, k + wide), bytes);
    }
}

static void keep_strands(ph_ragged *r, int64_t block, const ph_strand *strands, int64_t n)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        const ph_strand *s = &strands[i];
        if (s->keep >= 0) keep_keys(r, block, at, s->n, s->keep, r->P);
        for (int64_t slot = 0; s->keep == EVERY_SLOT && slot <= r->slots; slot++)
            keep_keys(r, block, at, s->n, slot, 0);
        at += s->n;
    }
}

static void copy_out(ph_ragged *r, int tap, const ph_real *from)
{
    const size_t n = (size_t)(r->N * width_of(r, r->taps[tap].place));
    memcpy(r->outputs[tap], from, n * r->model->backend->element);
}

/* One block, from place to place where taps are, in the order in which a block passes them. */
static void run_block(ph_ragged *r, int64_t n)
{
    static const ph_place order[] = {PH_PLACE_ATTN, PH_PLACE_NEURON, PH_PLACE_MLP, PH_PLACE_BLOCK};
    ph_place from = PH_PLACE_EMBED;

    for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
        bool stop = order[k] == PH_PLACE_BLOCK;
        for (int i = 0; i < r->n_taps; i++)
            stop |= r->taps[i].block == n && r->taps[i].place == order[k];
        if (!stop) continue;
        ph__block_forward(&r->state, &r->scratch, r->weights[n - r->first], from, order[k],
                          &r->run);
        from = order[k];
        for (int i = 0; i < r->n_taps; i++)
            if (r->taps[i].block == n && r->taps[i].place == order[k])
                copy_out(r, i,
                         order[k] == PH_PLACE_BLOCK    ? r->state.out
                         : order[k] == PH_PLACE_NEURON ? r->scratch.h
                                                       : r->scratch.branch);
    }
}

static void run_head(ph_ragged *r, int64_t rows)
{
    if (!r->head) return;
    ph__final_forward(r->final, &r->final_norm, r->state.x, r->head_weights, rows, &r->run);
    for (int i = 0; i < r->n_taps; i++)
        if (r->taps[i].place == PH_PLACE_FINAL) copy_out(r, i, r->final);
    if (r->output) ph__logits_forward(r->logits, r->final, r->head_weights, rows, &r->run);
}

static ph_status run(ph_ragged *r, const ph_strand *strands, int64_t n, int64_t context,
                     ph_error *err)
{
    ph_real *sides[2] = {r->state.out, r->other};

    divide(r, strands, n, context);
    r->run.T = steps_up(r->N);
    PH_TRY(ph_model_embed(r->model, r->E, r->ids, (size_t)r->N, err));
    r->model->backend->write(r->x0, r->E, (size_t)(r->N * r->model->arch.C), r->model->backend);
    for (int i = 0; i < r->n_taps; i++)
        if (r->taps[i].place == PH_PLACE_EMBED) copy_out(r, i, r->x0);
    for (int64_t i = 0; r->positions && i < r->run.n_groups; i++) {
        const ph_group *g = &r->groups[i];
        const int64_t at = g->first * r->model->arch.C;
        ph__add_positions(ph__at(r->run.backend, r->x1, at), ph__at(r->run.backend, r->x0, at),
                          r->positions, g->B, g->T, g->P, &r->run);
    }
    r->state.x = r->x1;
    for (int64_t b = r->first; b <= r->last; b++) {
        r->state.out = sides[(b - r->first) % 2];
        r->state.kc = r->kc[b - r->first];
        r->state.vc = r->vc[b - r->first];
        run_block(r, b);
        ph__model_leave(r->model, b);
        keep_strands(r, b - r->first, strands, n);
        r->state.x = r->state.out;
    }
    r->state.out = sides[0];
    run_head(r, r->run.T);
    return r->model->backend->stream_status(r->run.stream, err);
}

/* The context, into every slot; what the taps show at its last token is worth keeping. */
static ph_status run_context(ph_ragged *r, const int32_t *ids, ph_error *err)
{
    const ph_strand context = {ids, r->P, 0, -1, EVERY_SLOT};
    ph_backend *be = r->model->backend;

    if (r->P == 0) return PH_OK;
    PH_TRY(run(r, &context, 1, 0, err));
    for (int i = 0; i < r->n_taps; i++) {
        const int64_t W = width_of(r, r->taps[i].place);
        PH_TRY(PH_NEW(&r->before[i], (size_t)W, err));
        be->read(r->before[i], ph__at(be, output_of(r, i), (r->P - 1) * W), (size_t)W, be);
    }
    return PH_OK;
}

ph_status ph__ragged_open(ph_ragged **out, const ph_model *model, const ph_ragged_options *options,
                          ph_error *err)
{
    ph_ragged *r = NULL;
    ph_status st = PH_OK;

    PH_GO(ragged_new(&r, model, options, err));
    PH_GO(get_weights(r, err));
    PH_GO(ph__write_angles(r->cos, r->sin, model->backend, &model->arch, r->P + r->longest, err));
    memcpy(r->run.cos, r->cos, sizeof r->cos);
    memcpy(r->run.sin, r->sin, sizeof r->sin);
    PH_GO(run_context(r, options->context, err));
    *out = r;
    r = NULL;
done:
    ph__ragged_close(&r);
    return st;
}

ph_status ph__ragged_run(ph_ragged *r, const ph_strand *strands, int64_t n, ph_error *err)
{
    return run(r, strands, n, r->P, err);
}

int64_t ph__ragged_width(const ph_ragged *r, int i)
{
    return width_of(r, r->taps[i].place);
}

void ph__ragged_read(const ph_ragged *r, int i, float *X, int64_t ld)
{
    ph_backend *be = r->model->backend;
    const int64_t W = ph__ragged_width(r, i);

    if (ld == W) {
        be->read(X, output_of(r, i), (size_t)(r->N * W), be);
        return;
    }
    for (int64_t n = 0; n < r->N; n++)
        be->read(X + n * ld, ph__at(be, output_of(r, i), n * W), (size_t)W, be);
}

const float *ph__ragged_context(const ph_ragged *r, int i)
{
    return r->before[i];
}

double ph__ragged_flops(const ph_ragged *r, int64_t tokens)
{
    const double block = (double)ph__arch_block_parameters(&r->model->arch);
    const double head = r->output ? (double)(r->model->arch.V * r->model->arch.C) : 0;
    return 2.0 * (double)tokens * (block * (double)(r->last - r->first + 1) + head);
}
