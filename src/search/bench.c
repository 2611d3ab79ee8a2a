/* bench.c — how fast this machine is, and how near to that descent comes. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "search/descent.h"

#include <stdlib.h>
#include <string.h>

enum { REPEATS = 9, ROUNDS = 3 };

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarise(ph_bench_result *r, double *seconds, double flops)
{
    qsort(seconds, REPEATS, sizeof *seconds, compare);
    r->seconds = seconds[REPEATS / 2];
    r->spread = (seconds[3 * REPEATS / 4] - seconds[REPEATS / 4]) / r->seconds;
    r->gflops = flops / r->seconds * 1e-9;
}

/* ---- peak ---- */

/* One shape: y (N,J) = x (N,K) M (K,J). */
struct product {
    int64_t N, K, J;
    ph_stream *stream;
    ph_matrix *M;
    ph_real *x, *y;
    double seconds; /* of the best run so far */
};

static ph_status product_open(struct product *p, ph_backend *be, ph_error *err)
{
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

static void product_close(struct product *p, ph_backend *be)
{
    be->release(be, p->x);
    be->release(be, p->y);
    be->matrix_close(&p->M, be);
    be->stream_close(&p->stream, be);
}

static double product_flops(const struct product *p)
{
    return 2.0 * (double)(p->N * p->K * p->J);
}

/* Some runs, each long enough to be measured. */
static ph_status product_time(struct product *p, const ph_backend *be, ph_error *err)
{
    const int64_t calls = (int64_t)(1e9 / product_flops(p)) + 1;
    be->ops.matmul(p->y, 0, p->x, p->M, p->N, p->stream);
    for (int i = 0; i < REPEATS / ROUNDS; i++) {
        const double begin = ph__now();
        for (int64_t c = 0; c < calls; c++) be->ops.matmul(p->y, 0, p->x, p->M, p->N, p->stream);
        const double each = (ph__now() - begin) / (double)calls;
        if (each < p->seconds) p->seconds = each;
    }
    return be->stream_status(p->stream, err);
}

ph_status ph_bench_peak(const ph_model *model, ph_bench_result *out, ph_error *err)
{
    struct product all[] = {{.N = 160, .K = 1536, .J = 1536},  {.N = 320, .K = 576, .J = 3072},
                            {.N = 512, .K = 1024, .J = 1024},  {.N = 640, .K = 1536, .J = 1536},
                            {.N = 1024, .K = 1024, .J = 1024}, {.N = 1024, .K = 2048, .J = 2048}};
    enum { SHAPES = sizeof all / sizeof *all };
    ph_bench_result best = {.work = "peak"};
    ph_status st = PH_OK;

    for (int i = 0; i < SHAPES; i++) PH_GO(product_open(&all[i], model->backend, err));
    /* in rounds, so that a busy or throttled second does not pass for the machine's best */
    for (int i = 0; i < ROUNDS * SHAPES; i++)
        PH_GO(product_time(&all[i % SHAPES], model->backend, err));
    for (int i = 0; i < SHAPES; i++) {
        const double gflops = product_flops(&all[i]) / all[i].seconds * 1e-9;
        if (gflops <= best.gflops) continue;
        best.gflops = best.peak_gflops = gflops;
        best.seconds = all[i].seconds;
    }
    best.share = 1;
    *out = best;
done:
    for (int i = 0; i < SHAPES; i++) product_close(&all[i], model->backend);
    return st;
}

/* ---- descent ---- */

/* Rows of different features of a block, all started as a search starts them. */
static ph_status bench_rows(ph_row *rows, ph_feature *features, float *e, double *curves,
                            const ph_job *job, int64_t block, int64_t n, int64_t T, int64_t steps,
                            ph_error *err)
{
    const int64_t C = job->model->arch.C;
    for (int64_t i = 0; i < n; i++) {
        features[i] = (ph_feature){.tap = {PH_PLACE_BLOCK, false, block},
                                   .tokens = {0, PH_END},
                                   .components = {i % C, i % C + 1},
                                   .text = "bench"};
        rows[i] = (ph_row){.feature = &features[i],
                           .restart = i,
                           .e = e + i * T * C,
                           .curve = curves + i * (steps + 1)};
        PH_TRY(ph__job_region(&rows[i].region, job, &features[i], T, err));
        PH_TRY(ph__start_fill(rows[i].e, job, "half", T, i, err));
    }
    return PH_OK;
}

ph_status ph_bench_descent(const ph_model *model, int64_t block, int64_t rows, int64_t tokens,
                           double peak_gflops, ph_bench_result *out, ph_error *err)
{
    ph_status st = PH_OK;
    const int64_t steps = 10;
    const size_t n = (size_t)rows, C = (size_t)model->arch.C;
    const ph_descent d = {.T = tokens,
                          .steps = steps,
                          .eta_first = 1,
                          .eta_last = 0.1,
                          .target = 100,
                          .objective = 0,
                          .optimizer = 0};
    ph_job job = {0};
    ph_session *session = NULL;
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_row *row = NULL;
    ph_feature *features = NULL;
    float *e = NULL;
    double *curves = NULL, seconds[REPEATS], flops = 0, first = 1;

    PH_GO(ph__job_open(&job, model, NULL, err));
    o.tap = (ph_tap){PH_PLACE_BLOCK, false, block};
    o.rows = rows;
    o.tokens = tokens;
    o.context = job.context;
    o.n_context = job.n_context;
    o.gradient = true;
    PH_GO(ph_session_open(&session, model, &o, err));
    PH_GO(PH_NEW(&row, n, err));
    PH_GO(PH_NEW(&features, n, err));
    PH_GO(PH_NEW(&e, n * (size_t)tokens * C, err));
    PH_GO(PH_NEW(&curves, n * (size_t)(steps + 1), err));
    PH_GO(bench_rows(row, features, e, curves, &job, block, rows, tokens, steps, err));
    for (int i = -1; i < REPEATS; i++) { /* the first run warms up */
        double *at = &seconds[i < 0 ? 0 : i];
        *at = 0;
        flops = 0;
        PH_GO(ph__descend(row, rows, &d, session, &job, at, &flops, &first, err));
        *at /= (double)steps;
    }
    *out = (ph_bench_result){.work = "descent",
                             .block = block,
                             .rows = rows,
                             .tokens = tokens,
                             .peak_gflops = peak_gflops};
    summarise(out, seconds, flops / (double)steps);
    out->share = peak_gflops > 0 ? out->gflops / peak_gflops : 0;
done:
    ph__free(curves);
    ph__free(e);
    ph__free(features);
    ph__free(row);
    ph_session_close(&session);
    ph__job_close(&job);
    return st;
}
