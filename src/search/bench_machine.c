/* bench_machine.c — the two limits that all other work is measured against. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/sweep.h"
#include "search/bench.h"

#include <math.h>
#include <string.h>

/* ---- peak ---- */

/* One shape on one backend: y (N,J) = x (N,K) M (K,J). */
struct product {
    ph_backend *be;
    int64_t N, K, J;
    ph_stream *stream;
    ph_matrix *M;
    ph_real *x, *y;
    double seconds; /* of the best run so far */
};

static const struct {
    int64_t N, K, J;
} shapes[] = {{160, 1536, 1536}, {320, 576, 3072},   {512, 1024, 1024},
              {640, 1536, 1536}, {1024, 1024, 1024}, {1024, 2048, 2048}};
enum { SHAPES = sizeof shapes / sizeof *shapes, BACKENDS = 8, PRODUCTS = BACKENDS * SHAPES };

static ph_status product_open(struct product *p, ph_error *err)
{
    ph_backend *be = p->be;
    ph_status st = PH_OK;
    float *w = NULL;
    ph_rng rng = ph__rng(0, 0);

    p->seconds = 1e30;
    PH_GO(PH_NEW(&w, (size_t)(p->K * p->J), err));
    for (int64_t i = 0; i < p->K * p->J; i++)
        w[i] = (float)(ph__rng_next(&rng) >> 40) * 0x1p-24f - 0.5f;
    PH_GO(be->stream_new(&p->stream, 0, be, err));
    PH_GO(be->matrix_new(&p->M, w, p->K, p->J, false, be, err));
    PH_GO(be->alloc(&p->x, (size_t)(p->N * p->K), be, err));
    PH_GO(be->alloc(&p->y, (size_t)(p->N * p->J), be, err));
    for (int64_t n = 0; n < p->N; n++) be->write(ph__at(be, p->x, n * p->K), w, (size_t)p->K, be);
    PH_GO(be->stream_prepare(p->stream, p->M, p->N, err));
done:
    ph__free(w);
    return st;
}

static void product_close(struct product *p)
{
    ph_backend *be = p->be;
    if (!be) return;
    be->release(be, p->x);
    be->release(be, p->y);
    be->matrix_close(&p->M, be);
    be->stream_close(&p->stream, be);
}

static double product_flops(const struct product *p)
{
    return 2.0 * (double)(p->N * p->K * p->J);
}

/* A few runs, each long enough to be measured; a slow backend gets one. */
static ph_status product_time(struct product *p, ph_error *err)
{
    enum { RUNS = 4 };
    const double run_seconds = 0.003, begin = ph__now();

    for (int i = 0; i < RUNS && ph__now() - begin < 10 * RUNS * run_seconds; i++) {
        const double start = ph__now();
        double spent = 0;
        int64_t calls = 0;
        for (; spent < run_seconds; calls++) {
            p->be->ops.matmul(p->y, 0, p->x, p->M, p->N, p->stream);
            spent = ph__now() - start;
        }
        p->seconds = fmin(p->seconds, spent / (double)calls);
    }
    return p->be->stream_status(p->stream, err);
}

/* Every backend that was made for speed: the peak is the machine's, whatever the model runs on. */
static ph_status open_backends(ph_backend *backends[BACKENDS], int *n, int threads, ph_error *err)
{
    for (size_t i = 0; ph__backend_name(i) && *n < BACKENDS; i++) {
        const char *name = ph__backend_name(i);
        if (strncmp(name, "ref", 3) == 0) continue;
        const ph_status st = ph__backend_open(&backends[*n], name, threads, err);
        if (st != PH_OK && st != PH_EUNSUPPORTED) return st;
        *n += st == PH_OK;
    }
    return PH_OK;
}

static const struct product *best_of(const struct product *all, int n)
{
    const struct product *best = all;
    for (int i = 1; i < n; i++)
        if (product_flops(&all[i]) / all[i].seconds > product_flops(best) / best->seconds)
            best = &all[i];
    return best;
}

ph_status ph__bench_peak(ph_bencher *b, ph_error *err)
{
    ph_backend *backends[BACKENDS] = {NULL};
    struct product all[PRODUCTS] = {0};
    const struct product *best;
    ph_status st = PH_OK;
    int n = 0;

    PH_GO(open_backends(backends, &n, b->model->backend->threads, err));
    n *= SHAPES;
    for (int i = 0; i < n; i++) {
        all[i] = (struct product){.be = backends[i / SHAPES],
                                  .N = shapes[i % SHAPES].N,
                                  .K = shapes[i % SHAPES].K,
                                  .J = shapes[i % SHAPES].J};
        PH_GO(product_open(&all[i], err));
    }
    /* in rounds, so that a busy or throttled second does not pass for the machine's best */
    for (int i = 0; i < n * ph__bench_repeats(b, 3); i++) PH_GO(product_time(&all[i % n], err));
    best = best_of(all, n);
    ph__bench_note(b, best->seconds);
    b->o.peak_gflops = product_flops(best) / best->seconds * 1e-9;
    PH_GO(ph__bench_report(b, ph__bench_result("peak"), product_flops(best), (double)NAN, err));
done:
    for (int i = 0; i < PRODUCTS; i++) product_close(&all[i]);
    for (int i = 0; i < BACKENDS; i++) ph__backend_close(&backends[i]);
    return st;
}

/* ---- bandwidth ---- */

/* The best of several, as of the peak: what a busy machine gave is not its limit. */
ph_status ph__bench_bandwidth(ph_bencher *b, ph_error *err)
{
    ph_sweep sweep;
    double best = 1e30;

    PH_TRY(ph__sweep_open(&sweep, b->o.memory, b->model->backend->threads, err));
    for (int i = 0; i < ph__bench_repeats(b, 9); i++) {
        const double begin = ph__now();
        (void)ph__sweep_run(&sweep);
        best = fmin(best, ph__now() - begin);
    }
    const double bytes = (double)sweep.bytes;
    ph__sweep_close(&sweep);
    ph__bench_note(b, best);
    b->o.peak_gbytes = bytes / best * 1e-9;
    return ph__bench_report(b, ph__bench_result("bandwidth"), (double)NAN, bytes, err);
}
