/* session.c — a batch of rows forward to a tap, and a gradient at the tap back to the embeddings.
 *
 * Knows which blocks a tap needs and owns the memory of a run; what a block does stands in block.c.
 * Called by search/ and through the public header.
 *
 * One allocation, N = rows*tokens:
 *
 *   cos sin | x0 (N,C), and with learned positions x1 | per block: what it leaves, kc vc
 *           | scratch: normed o h branch | with gradient: dqkv dgu dx seed | final: r normed, logits
 *
 * Without gradient all blocks share one set of buffers and the stream alternates between two.
 */
#include "model/session.h"

#include "base/mem.h"
#include "model/arena.h"
#include "model/columns.h"
#include "model/path.h"
#include "model/team.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct ph_session {
    const ph_model *model;
    ph_path path;    /* to the deepest tap, where there are several */
    ph_taps taps;    /* those, if there are */
    int64_t rows, B; /* largest batch, and the one last written */
    bool gradient;
    ph_run run;
    const ph_block_weights **weights; /* per block run */
    const ph_head_weights *head;
    ph_columns columns;      /* n 0, or the last block's … */
    ph_block_weights narrow; /* … which then is this */
    ph_block_state *states;  /* per block run */
    ph_block_scratch scratch;
    ph_real *cos[2], *sin[2], *x0, *x1, *other, *dx, *seed, *final, *logits;
    ph_norm_saved final_norm;
    const ph_real *positions; /* NULL: none are learned */
    ph_watch_fn watch;        /* NULL: none */
    void *watch_payload;
    ph_tap watch_at;           /* block 0: the end of every block */
    const ph_real *stream_out; /* where the last block of the last run left the stream */
    ph_real *memory;
    ph_team team; /* n: the members do all the work, and only this and the sizes are set */
};

/* ---- memory ---- */

/* The one table of sizes. */
static void layout(ph_session *s, ph_arena *a)
{
    const ph_arch *m = &s->model->arch;
    const int64_t B = s->rows, T = s->run.T, P = s->run.P, N = B * T;
    const int64_t blocks = s->path.last - s->path.first + 1;

    ph__take_angles(a, s->cos, s->sin, m, P + T);
    ph__take(a, &s->x0, N, m->C);
    s->x1 = s->x0;
    if (m->needs & PH_PART_POSITIONS) ph__take(a, &s->x1, N, m->C);
    for (int64_t i = 0; i < blocks; i++) {
        if (s->gradient || i == 0) ph__take_block(a, &s->states[i], m, N, P + T);
        ph__take(a, (ph_real **)&s->states[i].kc, P, m->Hkv * m->D);
        ph__take(a, (ph_real **)&s->states[i].vc, P, m->Hkv * m->D);
    }
    ph__take(a, &s->scratch.normed, N, m->C);
    ph__take(a, &s->scratch.o, N, m->H * m->D);
    ph__take(a, &s->scratch.h, N, m->F);
    ph__take(a, &s->scratch.branch, N, m->C);
    if (s->gradient) {
        ph__take(a, &s->scratch.dqkv, N, (m->H + 2 * m->Hkv) * m->D);
        ph__take(a, &s->scratch.dgu, N, ph__arch_up(m));
        ph__take(a, &s->dx, N, m->C);
        if (!s->taps.n) ph__take(a, &s->seed, N, ph__session_width(s));
        for (size_t i = 0; i < s->taps.n; i++)
            ph__take(a, &s->taps.slots[i].seed, N, s->taps.slots[i].width);
    } else {
        ph__take(a, &s->other, N, m->C);
    }
    if (s->path.tap.place == PH_PLACE_FINAL || s->path.tap.place == PH_PLACE_LOGITS) {
        ph__take_norm(a, &s->final_norm, m, N);
        ph__take(a, &s->final, N, m->C);
    }
    if (s->path.tap.place == PH_PLACE_LOGITS) ph__take(a, &s->logits, N, m->V);
}

/* Without gradient every block works in the first one's buffers and the stream changes sides. */
static void share_buffers(ph_session *s)
{
    for (int64_t i = 1; !s->gradient && i <= s->path.last - s->path.first; i++) {
        const ph_real *kc = s->states[i].kc, *vc = s->states[i].vc;
        s->states[i] = s->states[0];
        s->states[i].kc = kc;
        s->states[i].vc = vc;
        if (i % 2) s->states[i].out = s->other;
    }
    for (int64_t i = 0; i <= s->path.last - s->path.first; i++)
        s->states[i].x = i ? s->states[i - 1].out : s->x1;
}

static ph_status measure(size_t *elements, ph_session *s, ph_error *err)
{
    ph_arena a = {.backend = s->model->backend};
    layout(s, &a);
    if (a.overflow) return ph__fail_memory(err, SIZE_MAX);
    *elements = a.used;
    return PH_OK;
}

static ph_status get_memory(ph_session *s, ph_error *err)
{
    ph_backend *be = s->model->backend;
    ph_arena a = {.backend = be};
    size_t n = 0;

    PH_TRY(measure(&n, s, err));
    PH_TRY(be->alloc(&s->memory, n, be, err));
    a.base = s->memory;
    layout(s, &a);
    share_buffers(s);
    if (!s->taps.n) return PH_OK;
    ph_tap_slot *end = ph__taps_find(&s->taps, s->path.tap.place, s->path.tap.block);
    if (s->path.tap.place == PH_PLACE_BLOCK) end->seed = s->dx; /* where back() begins */
    return PH_NEW(&s->taps.X, (size_t)(s->rows * s->run.T * s->taps.width), err);
}

/* ---- open ---- */

static ph_status check_options(const ph_session_options *o, const ph_model *m, ph_error *err)
{
    const ph_arch *a = &m->arch;

    if (!o->n_taps) PH_TRY(ph__tap_check(o->tap, a, err));
    if (o->threads < 0)
        return ph__fail(err, PH_EINVAL, -1, "%d threads: expected 1 or more, or 0", o->threads);
    if (o->rows < 1 || o->rows > INT32_MAX)
        return ph__fail(err, PH_EINVAL, -1, "%lld rows: expected at least 1", (long long)o->rows);
    if (o->tokens < 1)
        return ph__fail(err, PH_EINVAL, -1, "%lld tokens: expected at least 1",
                        (long long)o->tokens);
    if (o->tokens > a->context_length || o->n_context > (size_t)(a->context_length - o->tokens))
        return ph__fail(err, PH_ERANGE, -1,
                        "%lld tokens and %zu of context: this model's context holds %lld",
                        (long long)o->tokens, o->n_context, (long long)a->context_length);
    if (o->rows > INT32_MAX / o->tokens)
        return ph__fail(err, PH_ERANGE, -1, "%lld rows of %lld tokens are too many at once",
                        (long long)o->rows, (long long)o->tokens);
    return PH_OK;
}

static ph_status get_weights(ph_session *s, ph_error *err)
{
    const int64_t N = s->rows * s->run.T;
    const ph_backend *be = s->model->backend;

    if (s->path.last >= s->path.first) PH_TRY(ph__model_positions(&s->positions, s->model, err));
    for (int64_t n = s->path.first; n <= s->path.last; n++) {
        const ph_block_weights **w = &s->weights[n - s->path.first];
        PH_TRY(ph__model_block(w, s->model, n, ph__path_stop(&s->path, n), s->gradient, err));
        PH_TRY(ph__block_prepare(s->run.stream, be, *w, N, s->gradient, err));
    }
    if (s->path.tap.place != PH_PLACE_FINAL && s->path.tap.place != PH_PLACE_LOGITS) return PH_OK;
    const bool output = s->path.tap.place == PH_PLACE_LOGITS;
    PH_TRY(ph__model_head(&s->head, s->model, output, s->gradient, err));
    if (!output) return PH_OK;
    PH_TRY(be->stream_prepare(s->run.stream, s->head->out, N, err));
    return s->gradient ? be->stream_prepare(s->run.stream, s->head->out_t, N, err) : PH_OK;
}

/* ---- the context: run once, keep its keys and values ---- */

static ph_status run_blocks(ph_session *s, ph_session *keys_of, double *line, ph_error *err)
{
    if (s->positions)
        ph__add_positions(s->x1, s->x0, s->positions, s->B, s->run.T, s->run.P, &s->run);
    for (int64_t n = s->path.first; n <= s->path.last; n++) {
        ph_block_state *state = &s->states[n - s->path.first];
        const ph_block_weights *w = s->weights[n - s->path.first];
        const ph_place stop = ph__path_stop(&s->path, n),
                       pause = n == s->watch_at.block ? s->watch_at.place : stop;
        if (s->taps.n) {
            ph__taps_forward(&s->taps, n, state, &s->scratch, w, stop, &s->run, s->model->backend);
            ph__model_leave(s->model, n);
            continue;
        }
        ph__block_forward(state, &s->scratch, w, PH_PLACE_EMBED, pause, &s->run);
        if (keys_of)
            ph__block_keys(&keys_of->states[n - s->path.first], state, line, s->run.T,
                           &s->model->arch, s->model->backend);
        if (s->watch && (s->watch_at.block == 0 || s->watch_at.block == n))
            PH_TRY(s->watch(s, n, s->watch_payload, err));
        if (pause != stop) ph__block_forward(state, &s->scratch, w, pause, stop, &s->run);
        ph__model_leave(s->model, n);
    }
    return s->model->backend->stream_status(s->run.stream, err);
}

static ph_status run_context(ph_session *s, const int32_t *ids, size_t n, ph_error *err)
{
    ph_status st = PH_OK;
    ph_session *c = NULL;
    float *E = NULL;
    double *line = NULL;
    const ph_arch *a = &s->model->arch;
    ph_session_options o = PH_SESSION_OPTIONS_INIT;

    if (n == 0 || s->path.last < s->path.first) return PH_OK;
    o.tokens = (int64_t)n;
    o.tap = (ph_tap){ph__path_stop(&s->path, s->path.last), s->path.tap.only, s->path.last};
    PH_GO(ph_session_open(&c, s->model, &o, err));
    PH_GO(PH_NEW(&E, n * (size_t)a->C, err));
    PH_GO(PH_NEW(&line, (size_t)(a->Hkv * a->D), err));
    PH_GO(ph_model_embed(s->model, E, ids, n, err));
    ph__session_write(c, E, 1);
    PH_GO(run_blocks(c, s, line, err));
done:
    ph__free(line);
    ph__free(E);
    ph_session_close(&c);
    return st;
}

static ph_status session_new(ph_session **out, const ph_model *model, const ph_session_options *o,
                             ph_error *err)
{
    ph_status st = PH_OK;
    ph_session *s = NULL;
    ph_tap tap = o->tap;

    PH_TRY(check_options(o, model, err));
    PH_TRY(PH_NEW(&s, 1, err));
    *s = (ph_session){.model = model, .rows = o->rows, .gradient = o->gradient};
    s->run = (ph_run){
        .arch = &model->arch, .backend = model->backend, .gradient = o->gradient, .T = o->tokens};
    if (o->n_taps) PH_GO(ph__taps_open(&s->taps, &tap, o->taps, o->n_taps, &model->arch, err));
    s->path = ph__path(tap, &model->arch);
    s->run.P = s->path.last < s->path.first ? 0 : (int64_t)o->n_context;
    const size_t blocks = (size_t)(s->path.last - s->path.first + 1);
    PH_GO(PH_NEW(&s->weights, blocks, err));
    PH_GO(PH_NEW(&s->states, blocks, err));
    *out = s;
    s = NULL;
done:
    ph_session_close(&s);
    return st;
}

ph_status ph_session_open(ph_session **out, const ph_model *model,
                          const ph_session_options *options, ph_error *err)
{
    ph_status st = PH_OK;
    ph_session *s = NULL;
    ph_backend *be = model->backend;

    PH_GO(session_new(&s, model, options, err));
    PH_GO(get_memory(s, err));
    PH_GO(ph__write_angles(s->cos, s->sin, be, &model->arch, s->run.P + s->run.T, err));
    memcpy(s->run.cos, s->cos, sizeof s->cos);
    memcpy(s->run.sin, s->sin, sizeof s->sin);
    PH_GO(be->stream_new(&s->run.stream, options->threads, be, err));
    PH_GO(get_weights(s, err));
    PH_GO(run_context(s, options->context, options->n_context, err));
    *out = s;
    s = NULL;
done:
    ph_session_close(&s);
    return st;
}

ph_status ph__session_open_team(ph_session **out, const ph_model *model,
                                const ph_session_options *options, ph_error *err)
{
    ph_status st = PH_OK;
    ph_session *s = NULL;

    PH_GO(session_new(&s, model, options, err));
    PH_GO(ph__team_open(&s->team, model, options, err));
    if (s->team.n) {
        *out = s;
        return PH_OK;
    }
    st = ph_session_open(out, model, options, err);
done:
    ph_session_close(&s);
    return st;
}

void ph_session_close(ph_session **session)
{
    ph_session *s = *session;
    if (!s) return;
    ph_backend *be = s->model->backend;
    ph__team_close(&s->team);
    be->stream_close(&s->run.stream, be);
    ph__columns_close(&s->columns, s->model);
    be->release(be, s->memory);
    ph__taps_close(&s->taps);
    ph__free(s->states);
    ph__free(s->weights);
    ph__free(s);
    *session = NULL;
}

/* ---- fewer columns ---- */

/* The last block with all its columns; NULL where the tap is not its output. */
static const ph_block_weights **last_block(ph_session *s)
{
    if (s->taps.n || s->path.last < s->path.first || s->path.tap.place != PH_PLACE_BLOCK)
        return NULL;
    return &s->weights[s->path.last - s->path.first];
}

ph_status ph__session_columns(ph_session *s, const int64_t *columns, int64_t n, ph_error *err)
{
    const ph_block_weights **last = last_block(s);

    if (s->team.n) return ph__team_columns(&s->team, columns, n, err);
    if (!last) return PH_OK;
    PH_TRY(ph__model_block(last, s->model, s->path.last, PH_PLACE_BLOCK, s->gradient, err));
    ph__columns_close(&s->columns, s->model);
    if (n == 0 || 2 * n > s->model->arch.C || !ph__columns_apply(s->model, *last)) return PH_OK;
    PH_TRY(ph__columns_open(&s->columns, s->model, s->path.last, columns, n, s->run.stream,
                            s->rows * s->run.T, s->gradient, err));
    s->narrow = **last;
    s->narrow.columns = &s->columns;
    *last = &s->narrow;
    return PH_OK;
}

/* ---- run ---- */

int64_t ph__session_width(const ph_session *s)
{
    return s->taps.n ? s->taps.width : ph__tap_width(&s->model->arch, s->path.tap.place);
}

static size_t elements(const ph_session *s, int64_t width)
{
    return (size_t)(s->B * s->run.T * width);
}

static const ph_real *tap_output(const ph_session *s)
{
    const ph_real *const at[PH_PLACE_COUNT] = {
        [PH_PLACE_BLOCK] = s->stream_out,   [PH_PLACE_ATTN] = s->scratch.branch,
        [PH_PLACE_MLP] = s->scratch.branch, [PH_PLACE_NEURON] = s->scratch.h,
        [PH_PLACE_EMBED] = s->x0,           [PH_PLACE_FINAL] = s->final,
        [PH_PLACE_LOGITS] = s->logits};
    return at[s->path.tap.place];
}

void ph__session_watch(ph_session *s, ph_watch_fn watch, void *payload)
{
    ph__session_watch_at(s, (ph_tap){PH_PLACE_BLOCK, false, 0}, watch, payload);
}

void ph__session_watch_at(ph_session *s, ph_tap at, ph_watch_fn watch, void *payload)
{
    s->watch = watch;
    s->watch_payload = payload;
    s->watch_at = at;
}

/* Where a place of a block is left, and how many elements it has. */
static ph_real *block_output(const ph_session *s, int64_t block, ph_place place, size_t *n)
{
    const ph_arch *a = &s->model->arch;
    ph_real *const at[] = {[PH_PLACE_BLOCK] = s->states[block - s->path.first].out,
                           [PH_PLACE_ATTN] = s->scratch.branch,
                           [PH_PLACE_MLP] = s->scratch.branch,
                           [PH_PLACE_NEURON] = s->scratch.h};
    *n = elements(s, place == PH_PLACE_NEURON ? a->F : a->C);
    return at[place];
}

void ph__session_read_block(const ph_session *s, int64_t block, ph_place place, float *X)
{
    size_t n;
    const ph_real *at = block_output(s, block, place, &n);
    s->model->backend->read(X, at, n, s->model->backend);
}

void ph__session_read_block64(const ph_session *s, int64_t block, ph_place place, double *X)
{
    size_t n;
    const ph_real *at = block_output(s, block, place, &n);
    s->model->backend->read64(X, at, n, s->model->backend);
}

void ph__session_write_block64(ph_session *s, int64_t block, ph_place place, const double *X)
{
    size_t n;
    ph_real *at = block_output(s, block, place, &n);
    s->model->backend->write64(at, X, n, s->model->backend);
}

void ph__session_write(ph_session *s, const float *E, int64_t B)
{
    s->B = s->run.B = B;
    if (s->team.n) {
        ph__team_write(&s->team, E, B);
        return;
    }
    s->model->backend->write(s->x0, E, elements(s, s->model->arch.C), s->model->backend);
}

void ph__session_write64(ph_session *s, const double *E, int64_t B)
{
    s->B = s->run.B = B;
    s->model->backend->write64(s->x0, E, elements(s, s->model->arch.C), s->model->backend);
}

ph_status ph__session_run(ph_session *s, ph_error *err)
{
    ph_backend *be = s->model->backend;
    const int64_t N = s->B * s->run.T;

    if (s->team.n) return ph__team_run(&s->team, err);
    PH_TRY(run_blocks(s, NULL, NULL, err));
    s->stream_out =
        s->path.last < s->path.first ? s->x0 : s->states[s->path.last - s->path.first].out;
    if (s->final) ph__final_forward(s->final, &s->final_norm, s->stream_out, s->head, N, &s->run);
    if (s->logits) ph__logits_forward(s->logits, s->final, s->head, N, &s->run);
    PH_TRY(be->stream_status(s->run.stream, err));
    ph__taps_read(&s->taps, PH_PLACE_EMBED, 0, s->x0, N, be);
    ph__taps_read(&s->taps, PH_PLACE_FINAL, 0, s->final, N, be);
    ph__taps_read(&s->taps, PH_PLACE_LOGITS, 0, s->logits, N, be);
    return PH_OK;
}

void ph__session_read64(const ph_session *s, double *X)
{
    if (s->team.n) {
        ph__team_read64(&s->team, X);
        return;
    }
    if (s->taps.n) {
        memcpy(X, s->taps.X, elements(s, s->taps.width) * sizeof *X);
        return;
    }
    s->model->backend->read64(X, tap_output(s), elements(s, ph__session_width(s)),
                              s->model->backend);
}

/* The gradient at the output scores and at the final norm: NULL where there is none. */
static ph_real *head_seed(const ph_session *s, ph_place place)
{
    if (!s->taps.n) return s->path.tap.place == place ? s->seed : NULL;
    const ph_tap_slot *slot = ph__taps_find(&s->taps, place, 0);
    return slot ? slot->seed : NULL;
}

/* The head's backward pass: the gradient at the last block's output into dx. */
static void head_backward(ph_session *s, int64_t N)
{
    const int64_t C = s->model->arch.C;
    const struct ph_ops *op = &s->model->backend->ops;
    ph_real *dfinal = head_seed(s, PH_PLACE_FINAL), *dlogits = head_seed(s, PH_PLACE_LOGITS);

    if (dlogits) {
        ph_real *d = s->scratch.normed;
        ph__logits_backward(d, dlogits, s->logits, s->head, N, &s->run);
        if (dfinal) op->add_fwd(d, d, dfinal, N * C, s->run.stream);
        dfinal = d;
    }
    ph__final_backward(s->dx, dfinal, s->stream_out, &s->final_norm, s->head, N, &s->run);
}

/* From the gradient in `seed` (or in dx, where the tap is on the stream), or from the seeds of
 * several taps, back to the embeddings. */
static ph_status back(ph_session *s, ph_error *err)
{
    static const ph_block_seeds none;
    const ph_backend *be = s->model->backend;
    const int64_t N = s->B * s->run.T;

    if (s->final) head_backward(s, N);
    for (int64_t n = s->path.last; n >= s->path.first; n--) {
        const ph_block_weights *w = s->weights[n - s->path.first];
        const ph_block_state *state = &s->states[n - s->path.first];
        if (s->taps.n)
            ph__taps_backward(&s->taps, n, s->dx, state, &s->scratch, w, ph__path_stop(&s->path, n),
                              &s->run);
        else
            ph__block_backward(s->dx, s->seed, &none, state, &s->scratch, w,
                               ph__path_stop(&s->path, n), &s->run);
        ph__model_leave(s->model, n);
    }
    const ph_tap_slot *embed = ph__taps_find(&s->taps, PH_PLACE_EMBED, 0);
    if (embed) be->ops.add_fwd(s->dx, s->dx, embed->seed, N * s->model->arch.C, s->run.stream);
    return be->stream_status(s->run.stream, err);
}

static ph_real *seed_place(ph_session *s)
{
    return s->path.tap.place == PH_PLACE_BLOCK || s->path.tap.place == PH_PLACE_EMBED ? s->dx
                                                                                      : s->seed;
}

ph_status ph__session_back64(ph_session *s, const double *dX, ph_error *err)
{
    ph_backend *be = s->model->backend;
    if (s->team.n) return ph__team_back64(&s->team, dX, err);
    if (s->taps.n)
        ph__taps_write(&s->taps, dX, s->B * s->run.T, be);
    else
        be->write64(seed_place(s), dX, elements(s, ph__session_width(s)), be);
    return back(s, err);
}

void ph__session_gradient(const ph_session *s, float *dE)
{
    if (s->team.n) {
        ph__team_gradient(&s->team, dE);
        return;
    }
    s->model->backend->read(dE, s->dx, elements(s, s->model->arch.C), s->model->backend);
}

void ph__session_gradient64(const ph_session *s, double *dE)
{
    s->model->backend->read64(dE, s->dx, elements(s, s->model->arch.C), s->model->backend);
}

/* ---- the public face ---- */

ph_status ph_session_forward(ph_session *s, float *X, const float *E, int64_t B, ph_error *err)
{
    const int64_t W = ph__session_width(s);
    char tap[48];

    if (B < 1 || B > s->rows)
        return ph__fail(err, PH_EINVAL, -1, "%lld rows: this session holds 1 to %lld", (long long)B,
                        (long long)s->rows);
    ph__session_write(s, E, B);
    PH_TRY(ph__session_run(s, err));
    if (s->taps.n)
        for (size_t i = 0; i < elements(s, W); i++) X[i] = (float)s->taps.X[i];
    else
        s->model->backend->read(X, tap_output(s), elements(s, W), s->model->backend);
    for (int64_t i = 0, n = (int64_t)elements(s, W); i < n; i++) {
        if (isfinite(X[i])) continue;
        ph__tap_name(tap, s->path.tap);
        return ph__fail(err, PH_ENUMERIC, -1, "the output of %s is not finite at token %lld", tap,
                        (long long)(i / W % s->run.T));
    }
    return PH_OK;
}

ph_status ph_session_backward(ph_session *s, float *dE, const float *dX, ph_error *err)
{
    ph_backend *be = s->model->backend;
    if (!s->gradient || s->B == 0)
        return ph__fail(err, PH_EINVAL, -1,
                        "backward needs a session with gradient, and a forward call before it");
    if (s->taps.n) {
        for (size_t i = 0; i < elements(s, s->taps.width); i++) s->taps.X[i] = (double)dX[i];
        PH_TRY(ph__session_back64(s, s->taps.X, err)); /* what X held was handed out */
    } else {
        be->write(seed_place(s), dX, elements(s, ph__session_width(s)), be);
        PH_TRY(back(s, err));
    }
    ph__session_gradient(s, dE);
    return PH_OK;
}

/* Each product has its mirror in the backward pass; weights get no gradient. */
double ph_session_flops(const ph_session *s, int64_t B)
{
    const ph_arch *a = &s->model->arch;
    const ph_session *own = s->team.n ? s->team.members[0].session : s;
    const double weights = ph__path_parameters(&s->path, a) - ph__columns_saved(&own->columns, a);
    return 2.0 * (double)(B * s->run.T) * weights;
}

ph_status ph_session_bytes(size_t *own, size_t *weights, const ph_model *model,
                           const ph_session_options *options, ph_error *err)
{
    ph_session *s = NULL;
    size_t n = 0;

    PH_TRY(session_new(&s, model, options, err));
    ph_status st = measure(&n, s, err);
    if (st == PH_OK) {
        *own = n * model->backend->element;
        *weights = model->streamed
                       ? 0
                       : ph__path_bytes(&s->path, &model->arch, model->backend->element) *
                             (s->gradient ? 2 : 1);
    }
    ph_session_close(&s);
    return st;
}
