/* timed.c — a backend that does what another one does, and notes where the time goes.
 *
 * A lane is what one calling thread did. Used by the benchmark only.
 */
#include "kernels/timed.h"

#include "base/clock.h"
#include "kernels/host.h"

#include <omp.h>
#include <stdlib.h>

struct lane {
    double last;         /* until when everything is noted */
    ph_timed_kind pause; /* what a pause is that begins now */
    bool used;
    ph_timed_part kinds[PH_TIMED_KINDS], shapes[PH_TIMED_SHAPES];
    int n_shapes;
};

struct timed {
    ph_backend base;
    ph_backend *of;
    bool running;
    int n_lanes;
    struct lane *lanes;
};

struct stream {
    struct timed *timed;
    ph_stream *of;
};

/* ---- notes ---- */

static void note(struct lane *l, ph_timed_part *part)
{
    const double now = ph__now();
    part->seconds += now - l->last;
    part->calls++;
    l->last = now;
}

/* A call begins: what came before it was a pause. NULL where nothing is to be noted. */
static struct lane *enter(struct timed *t, ph_timed_kind kind)
{
    struct lane *l = &t->lanes[omp_get_thread_num() % t->n_lanes];
    if (!t->running) return NULL;
    note(l, &l->kinds[kind == PH_TIMED_PACK ? PH_TIMED_BEFORE_PACK : l->pause]);
    l->used = true;
    return l;
}

static void leave(struct lane *l, ph_timed_kind kind, ph_timed_kind pause)
{
    if (!l) return;
    note(l, &l->kinds[kind]);
    l->pause = pause;
}

static ph_timed_part *shape_of(struct lane *l, int64_t N, int64_t K, int64_t J)
{
    for (int i = 0; i < l->n_shapes; i++) {
        ph_timed_part *p = &l->shapes[i];
        if (p->N == N && p->K == K && p->J == J) return p;
    }
    if (l->n_shapes == PH_TIMED_SHAPES) return &l->kinds[PH_TIMED_MATMUL];
    l->shapes[l->n_shapes] = (ph_timed_part){PH_TIMED_MATMUL, N, K, J, 0, 0};
    return &l->shapes[l->n_shapes++];
}

/* ---- operations: those of struct ph_ops ---- */

#define OP(kind, call)                                                                             \
    do {                                                                                           \
        const struct stream *own = (const struct stream *)s;                                       \
        struct lane *lane = enter(own->timed, kind);                                               \
        s = own->of;                                                                               \
        own->timed->of->ops.call;                                                                  \
        leave(lane, kind, PH_TIMED_BETWEEN);                                                       \
    } while (0)

static void rmsnorm_fwd_timed(ph_real *y, ph_real *r, const ph_real *x, const ph_real *w,
                              double eps, int64_t N, int64_t C, ph_stream *s)
{
    OP(PH_TIMED_RMSNORM, rmsnorm_fwd(y, r, x, w, eps, N, C, s));
}

static void rmsnorm_bwd_timed(ph_real *dx, float beta, const ph_real *dy, const ph_real *x,
                              const ph_real *w, const ph_real *r, int64_t N, int64_t C,
                              ph_stream *s)
{
    OP(PH_TIMED_RMSNORM_BACK, rmsnorm_bwd(dx, beta, dy, x, w, r, N, C, s));
}

static void layernorm_fwd_timed(ph_real *y, ph_real *m, ph_real *r, const ph_real *x,
                                const ph_real *w, const ph_real *b, double eps, int64_t N,
                                int64_t C, ph_stream *s)
{
    OP(PH_TIMED_LAYERNORM, layernorm_fwd(y, m, r, x, w, b, eps, N, C, s));
}

static void layernorm_bwd_timed(ph_real *dx, float beta, const ph_real *dy, const ph_real *x,
                                const ph_real *w, const ph_real *m, const ph_real *r, int64_t N,
                                int64_t C, ph_stream *s)
{
    OP(PH_TIMED_LAYERNORM_BACK, layernorm_bwd(dx, beta, dy, x, w, m, r, N, C, s));
}

static void headnorm_fwd_timed(ph_real *y, const ph_real *x, const ph_real *w, ph_norm_kind kind,
                               bool each, double eps, int64_t N, int64_t H, int64_t D, int64_t ld,
                               ph_stream *s)
{
    OP(PH_TIMED_HEADNORM, headnorm_fwd(y, x, w, kind, each, eps, N, H, D, ld, s));
}

static void headnorm_bwd_timed(ph_real *dx, const ph_real *x, const ph_real *w, ph_norm_kind kind,
                               bool each, double eps, int64_t N, int64_t H, int64_t D, int64_t ld,
                               ph_stream *s)
{
    OP(PH_TIMED_HEADNORM_BACK, headnorm_bwd(dx, x, w, kind, each, eps, N, H, D, ld, s));
}

/* A product, with what is done in the same pass: noted by its shape. */
#define PRODUCT(call)                                                                              \
    do {                                                                                           \
        const struct stream *own = (const struct stream *)s;                                       \
        struct lane *lane = enter(own->timed, PH_TIMED_MATMUL);                                    \
        s = own->of;                                                                               \
        own->timed->of->ops.call;                                                                  \
        if (!lane) return;                                                                         \
        note(lane, shape_of(lane, N, M->K, M->J));                                                 \
        lane->pause = PH_TIMED_BETWEEN;                                                            \
    } while (0)

static void matmul_timed(ph_real *y, float beta, const ph_real *x, const ph_matrix *M, int64_t N,
                         ph_stream *s)
{
    PRODUCT(matmul(y, beta, x, M, N, s));
}

static void matmul_add_timed(ph_real *y, const ph_real *z, const ph_real *x, const ph_matrix *M,
                             int64_t N, ph_stream *s)
{
    PRODUCT(matmul_add(y, z, x, M, N, s));
}

static void matmul_gated_timed(ph_real *h, ph_real *room, const ph_real *x, const ph_matrix *M,
                               ph_act_kind kind, int64_t N, ph_stream *s)
{
    PRODUCT(matmul_gated(h, room, x, M, kind, N, s));
}

static void rope_fwd_timed(ph_real *x, const ph_real *cos, const ph_real *sin, ph_rope_kind kind,
                           int64_t first, int64_t B, int64_t T, int64_t H, int64_t D, int64_t rot,
                           int64_t ld, ph_stream *s)
{
    OP(PH_TIMED_ROPE, rope_fwd(x, cos, sin, kind, first, B, T, H, D, rot, ld, s));
}

static void rope_bwd_timed(ph_real *dx, const ph_real *cos, const ph_real *sin, ph_rope_kind kind,
                           int64_t first, int64_t B, int64_t T, int64_t H, int64_t D, int64_t rot,
                           int64_t ld, ph_stream *s)
{
    OP(PH_TIMED_ROPE_BACK, rope_bwd(dx, cos, sin, kind, first, B, T, H, D, rot, ld, s));
}

static void attention_fwd_timed(ph_real *o, ph_real *p, const ph_real *q, const ph_real *k,
                                const ph_real *v, const ph_real *kc, const ph_real *vc,
                                double scale, double cap, int64_t window, int64_t B, int64_t T,
                                int64_t P, int64_t H, int64_t Hkv, int64_t D, int64_t ld,
                                ph_stream *s)
{
    OP(PH_TIMED_ATTENTION,
       attention_fwd(o, p, q, k, v, kc, vc, scale, cap, window, B, T, P, H, Hkv, D, ld, s));
}

static void attention_bwd_timed(ph_real *dq, ph_real *dk, ph_real *dv, float beta,
                                const ph_real *d_o, const ph_real *p, const ph_real *q,
                                const ph_real *k, const ph_real *v, const ph_real *kc,
                                const ph_real *vc, double scale, double cap, int64_t window,
                                int64_t B, int64_t T, int64_t P, int64_t H, int64_t Hkv, int64_t D,
                                int64_t ld, ph_stream *s)
{
    OP(PH_TIMED_ATTENTION_BACK, attention_bwd(dq, dk, dv, beta, d_o, p, q, k, v, kc, vc, scale, cap,
                                              window, B, T, P, H, Hkv, D, ld, s));
}

static void gated_fwd_timed(ph_real *h, const ph_real *gu, ph_act_kind kind, int64_t N, int64_t F,
                            ph_stream *s)
{
    OP(PH_TIMED_GATED, gated_fwd(h, gu, kind, N, F, s));
}

static void gated_bwd_timed(ph_real *dgu, const ph_real *dh, const ph_real *gu, ph_act_kind kind,
                            int64_t N, int64_t F, ph_stream *s)
{
    OP(PH_TIMED_GATED_BACK, gated_bwd(dgu, dh, gu, kind, N, F, s));
}

static void act_fwd_timed(ph_real *h, const ph_real *x, ph_act_kind kind, int64_t n, ph_stream *s)
{
    OP(PH_TIMED_ACT, act_fwd(h, x, kind, n, s));
}

static void act_bwd_timed(ph_real *dx, const ph_real *dh, const ph_real *x, ph_act_kind kind,
                          int64_t n, ph_stream *s)
{
    OP(PH_TIMED_ACT_BACK, act_bwd(dx, dh, x, kind, n, s));
}

static void softcap_fwd_timed(ph_real *y, double cap, int64_t n, ph_stream *s)
{
    OP(PH_TIMED_SOFTCAP, softcap_fwd(y, cap, n, s));
}

static void softcap_bwd_timed(ph_real *dy, const ph_real *y, double cap, int64_t n, ph_stream *s)
{
    OP(PH_TIMED_SOFTCAP_BACK, softcap_bwd(dy, y, cap, n, s));
}

static void add_bias_timed(ph_real *y, const ph_real *b, int64_t N, int64_t J, ph_stream *s)
{
    OP(PH_TIMED_ADD_BIAS, add_bias(y, b, N, J, s));
}

static void add_fwd_timed(ph_real *y, const ph_real *a, const ph_real *b, int64_t n, ph_stream *s)
{
    OP(PH_TIMED_ADD, add_fwd(y, a, b, n, s));
}

static void columns_take_timed(ph_real *x, const ph_real *y, const int64_t *columns, int64_t N,
                               int64_t C, int64_t J, ph_stream *s)
{
    OP(PH_TIMED_COLUMNS, columns_take(x, y, columns, N, C, J, s));
}

static void columns_put_timed(ph_real *y, const ph_real *z, const ph_real *x,
                              const int64_t *columns, int64_t N, int64_t C, int64_t J, ph_stream *s)
{
    OP(PH_TIMED_COLUMNS, columns_put(y, z, x, columns, N, C, J, s));
}

_Static_assert(sizeof(struct ph_ops) == 23 * sizeof(void (*)(void)),
               "each operation of struct ph_ops has its row here");
static const struct ph_ops ops = {.rmsnorm_fwd = rmsnorm_fwd_timed,
                                  .rmsnorm_bwd = rmsnorm_bwd_timed,
                                  .layernorm_fwd = layernorm_fwd_timed,
                                  .layernorm_bwd = layernorm_bwd_timed,
                                  .headnorm_fwd = headnorm_fwd_timed,
                                  .headnorm_bwd = headnorm_bwd_timed,
                                  .matmul = matmul_timed,
                                  .matmul_add = matmul_add_timed,
                                  .matmul_gated = matmul_gated_timed,
                                  .rope_fwd = rope_fwd_timed,
                                  .rope_bwd = rope_bwd_timed,
                                  .attention_fwd = attention_fwd_timed,
                                  .attention_bwd = attention_bwd_timed,
                                  .gated_fwd = gated_fwd_timed,
                                  .gated_bwd = gated_bwd_timed,
                                  .act_fwd = act_fwd_timed,
                                  .act_bwd = act_bwd_timed,
                                  .softcap_fwd = softcap_fwd_timed,
                                  .softcap_bwd = softcap_bwd_timed,
                                  .add_bias = add_bias_timed,
                                  .add_fwd = add_fwd_timed,
                                  .columns_take = columns_take_timed,
                                  .columns_put = columns_put_timed};

/* ---- the rest of a backend ---- */

static ph_backend *of(ph_backend *be)
{
    return ((struct timed *)be)->of;
}

static ph_status timed_alloc(ph_real **out, size_t n, ph_backend *be, ph_error *err)
{
    return of(be)->alloc(out, n, of(be), err);
}

static void timed_release(ph_backend *be, ph_real *p)
{
    of(be)->release(of(be), p);
}

static void timed_write(ph_real *dst, const float *src, size_t n, ph_backend *be)
{
    struct lane *l = enter((struct timed *)be, PH_TIMED_COPY);
    of(be)->write(dst, src, n, of(be));
    leave(l, PH_TIMED_COPY, PH_TIMED_BETWEEN);
}

static void timed_read(float *dst, const ph_real *src, size_t n, ph_backend *be)
{
    struct lane *l = enter((struct timed *)be, PH_TIMED_COPY);
    of(be)->read(dst, src, n, of(be));
    leave(l, PH_TIMED_COPY, PH_TIMED_AFTER_READ);
}

static void timed_write64(ph_real *dst, const double *src, size_t n, ph_backend *be)
{
    struct lane *l = enter((struct timed *)be, PH_TIMED_COPY);
    of(be)->write64(dst, src, n, of(be));
    leave(l, PH_TIMED_COPY, PH_TIMED_BETWEEN);
}

static void timed_read64(double *dst, const ph_real *src, size_t n, ph_backend *be)
{
    struct lane *l = enter((struct timed *)be, PH_TIMED_COPY);
    of(be)->read64(dst, src, n, of(be));
    leave(l, PH_TIMED_COPY, PH_TIMED_AFTER_READ64);
}

static ph_status timed_matrix_new(ph_matrix **out, const float *w, int64_t rows, int64_t columns,
                                  bool transpose, ph_backend *be, ph_error *err)
{
    struct lane *l = enter((struct timed *)be, PH_TIMED_PACK);
    const ph_status st = of(be)->matrix_new(out, w, rows, columns, transpose, of(be), err);
    leave(l, PH_TIMED_PACK, PH_TIMED_BETWEEN);
    return st;
}

static ph_status timed_matrix_feed(ph_matrix **out, const ph_feed *feed, int64_t rows,
                                   int64_t columns, bool transpose, ph_backend *be, ph_error *err)
{
    return of(be)->matrix_feed(out, feed, rows, columns, transpose, of(be), err);
}

static void timed_matrix_close(ph_matrix **m, ph_backend *be)
{
    of(be)->matrix_close(m, of(be));
}

static ph_status timed_stream_new(ph_stream **out, int threads, ph_backend *be, ph_error *err)
{
    struct stream *s = NULL;
    PH_TRY(PH_NEW(&s, 1, err));
    s->timed = (struct timed *)be;
    const ph_status st = of(be)->stream_new(&s->of, threads, of(be), err);
    if (st != PH_OK) {
        ph__free(s);
        return st;
    }
    *out = (ph_stream *)s;
    return PH_OK;
}

static void timed_stream_close(ph_stream **stream, ph_backend *be)
{
    struct stream *s = (struct stream *)*stream;
    if (!s) return;
    of(be)->stream_close(&s->of, of(be));
    ph__free(s);
    *stream = NULL;
}

static ph_status timed_stream_prepare(ph_stream *stream, const ph_matrix *M, int64_t N,
                                      ph_error *err)
{
    struct stream *s = (struct stream *)stream;
    struct lane *l = enter(s->timed, PH_TIMED_PREPARE);
    const ph_status st = s->timed->of->stream_prepare(s->of, M, N, err);
    leave(l, PH_TIMED_PREPARE, PH_TIMED_BETWEEN);
    return st;
}

static ph_status timed_stream_status(const ph_stream *stream, ph_error *err)
{
    const struct stream *s = (const struct stream *)stream;
    return s->timed->of->stream_status(s->of, err);
}

static void timed_close(ph_backend *be)
{
    struct timed *t = (struct timed *)be;
    ph__free(t->lanes);
    ph__free(t);
}

_Static_assert(
    sizeof(ph_backend) ==
        2 * sizeof(size_t) + 8 + sizeof(struct ph_ops) + 15 * sizeof(void (*)(void)),
    "each slot of a backend is set below: one that is copied would get the wrong backend");

ph_status ph__timed_open(ph_backend **out, ph_backend *backend, ph_error *err)
{
    struct timed *t = NULL;
    ph_status st = PH_OK;

    PH_GO(PH_NEW(&t, 1, err));
    t->of = backend;
    t->n_lanes = backend->threads;
    PH_GO(PH_NEW(&t->lanes, (size_t)t->n_lanes, err));
    t->base = (ph_backend){.name = backend->name,
                           .element = backend->element,
                           .threads = backend->threads,
                           .ops = ops,
                           .alloc = timed_alloc,
                           .release = timed_release,
                           .write = timed_write,
                           .read = timed_read,
                           .write64 = timed_write64,
                           .read64 = timed_read64,
                           .matrix_new = timed_matrix_new,
                           .matrix_feed = timed_matrix_feed,
                           .matrix_close = timed_matrix_close,
                           .matrix_bytes = backend->matrix_bytes,
                           .stream_new = timed_stream_new,
                           .stream_close = timed_stream_close,
                           .stream_prepare = timed_stream_prepare,
                           .stream_status = timed_stream_status,
                           .close = timed_close};
    *out = &t->base;
    t = NULL;
done:
    if (t) timed_close(&t->base);
    return st;
}

/* ---- start, stop, and what was noted ---- */

void ph__timed_start(ph_backend *timed)
{
    struct timed *t = (struct timed *)timed;
    const double now = ph__now();
    for (int i = 0; i < t->n_lanes; i++) {
        t->lanes[i].last = now;
        t->lanes[i].pause = PH_TIMED_BETWEEN;
    }
    t->running = true;
}

void ph__timed_stop(ph_backend *timed)
{
    struct timed *t = (struct timed *)timed;
    for (int i = 0; t->running && i < t->n_lanes; i++)
        note(&t->lanes[i], &t->lanes[i].kinds[t->lanes[i].pause]);
    t->running = false;
}

static int compare(const void *a, const void *b)
{
    const double x = ((const ph_timed_part *)a)->seconds, y = ((const ph_timed_part *)b)->seconds;
    return (x < y) - (x > y);
}

static size_t merge(ph_timed_part *parts, size_t n, const ph_timed_part *p, int lanes)
{
    size_t i = 0;
    if (p->seconds == 0) return n;
    while (i < n && (parts[i].kind != p->kind || parts[i].N != p->N || parts[i].K != p->K ||
                     parts[i].J != p->J))
        i++;
    if (i == PH_TIMED_PARTS) return n; /* lanes whose shapes differ: more of them than the room */
    if (i == n) parts[n++] = (ph_timed_part){p->kind, p->N, p->K, p->J, 0, 0};
    parts[i].calls += p->calls;
    parts[i].seconds += p->seconds / lanes;
    return n;
}

size_t ph__timed_parts(ph_timed_part parts[PH_TIMED_PARTS], const ph_backend *timed)
{
    const struct timed *t = (const struct timed *)timed;
    size_t n = 0;
    int used = 0;

    for (int i = 0; i < t->n_lanes; i++) used += t->lanes[i].used;
    for (int i = 0; i < t->n_lanes; i++) {
        struct lane *l = &t->lanes[i];
        for (int k = 0; l->used && k < PH_TIMED_KINDS; k++) {
            l->kinds[k].kind = (ph_timed_kind)k;
            n = merge(parts, n, &l->kinds[k], used);
        }
        for (int k = 0; l->used && k < l->n_shapes; k++) n = merge(parts, n, &l->shapes[k], used);
    }
    qsort(parts, n, sizeof *parts, compare);
    return n;
}
