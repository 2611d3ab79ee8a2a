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

/* Best of some runs of y (N,J) = x (N,K) M (K,J), each long enough to be measured. */
static ph_status time_product(double *seconds, ph_backend *be, int64_t N, int64_t K, int64_t J,
                              ph_error *err)
{
    ph_status st = PH_OK;
    ph_stream *s = NULL;
    ph_matrix *M = NULL;
    ph_real *x = NULL, *y = NULL;
    float *w = NULL;
    ph_rng rng = ph__rng(0, 0);
    const int64_t calls = (int64_t)(1e9 / (2.0 * (double)(N * K * J))) + 1;

    PH_GO(PH_NEW(&w, (size_t)(K * J), err));
    for (int64_t i = 0; i < K * J; i++) w[i] = (float)ph__rng_normal(&rng);
    PH_GO(be->stream_new(&s, be, err));
    PH_GO(be->matrix_new(&M, w, K, J, false, be, err));
    PH_GO(be->alloc(&x, (size_t)(N * K), be, err));
    PH_GO(be->alloc(&y, (size_t)(N * J), be, err));
    for (int64_t n = 0; n < N; n++) be->write(ph__at(be, x, n * K), w, (size_t)K, be);
    PH_GO(be->stream_prepare(s, M, N, err));
    be->ops.matmul(y, 0, x, M, N, s);
    *seconds = 1e30;
    for (int i = 0; i < REPEATS / ROUNDS; i++) {
        const double begin = ph__now();
        for (int64_t c = 0; c < calls; c++) be->ops.matmul(y, 0, x, M, N, s);
        const double each = (ph__now() - begin) / (double)calls;
        if (each < *seconds) *seconds = each;
    }
    st = be->stream_status(s, err);
done:
    be->release(be, x);
    be->release(be, y);
    be->matrix_close(&M, be);
    be->stream_close(&s, be);
    ph__free(w);
    return st;
}

ph_status ph_bench_peak(const ph_model *model, ph_bench_result *out, ph_error *err)
{
    static const int64_t shapes[][3] = {/* N, K, J */
                                        {160, 1536, 1536}, {320, 576, 3072},   {512, 1024, 1024},
                                        {640, 1536, 1536}, {1024, 1024, 1024}, {1024, 2048, 2048}};
    ph_bench_result best = {.work = "peak"};

    /* in rounds, so that a busy or throttled second does not pass for the machine's best */
    for (size_t i = 0; i < ROUNDS * (sizeof shapes / sizeof *shapes); i++) {
        const int64_t *s = shapes[i % (sizeof shapes / sizeof *shapes)];
        double seconds = 0;
        PH_TRY(time_product(&seconds, model->backend, s[0], s[1], s[2], err));
        const double gflops = 2.0 * (double)(s[0] * s[1] * s[2]) / seconds * 1e-9;
        if (gflops <= best.gflops) continue;
        best.gflops = gflops;
        best.seconds = seconds;
    }
    best.peak_gflops = best.gflops;
    best.share = 1;
    *out = best;
    return PH_OK;
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
