/* bench_descent.c — steps of descent, warm and with flushed caches, and how long the first one takes
 * from a closed file on. */
#include "base/clock.h"
#include "base/mem.h"
#include "kernels/sweep.h"
#include "search/bench.h"
#include "search/descent.h"

#include <math.h>

/* Rows of different features of a block, all started as a search starts them. */
struct rows {
    ph_job job;
    ph_session *session;
    ph_row *rows;
    ph_feature *features;
    float *e;
    double *curves;
    int64_t n;
    ph_descent d;
};

static ph_status start(struct rows *r, int64_t block, ph_error *err)
{
    const int64_t C = r->job.model->arch.C, T = r->d.T;
    for (int64_t i = 0; i < r->n; i++) {
        r->features[i] = ph__bench_feature(r->job.model, block, i);
        r->rows[i] = (ph_row){.feature = &r->features[i],
                              .restart = i,
                              .e = r->e + i * T * C,
                              .curve = r->curves + i * (r->d.steps + 1)};
        PH_TRY(ph__job_region(&r->rows[i].region, &r->job, &r->features[i], T, err));
        PH_TRY(ph__start_fill(r->rows[i].e, &r->job, "half", T, i, err));
    }
    return PH_OK;
}

static ph_status rows_open(struct rows *r, const ph_model *model, const ph_bencher *b,
                           int64_t steps, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    const int64_t T = b->o.tokens ? b->o.tokens : 5;
    const size_t n = (size_t)b->o.rows;

    r->n = b->o.rows;
    r->d = (ph_descent){.T = T, .steps = steps, .eta_first = 1, .eta_last = 0.1, .target = 100};
    PH_TRY(ph__job_open(&r->job, model, NULL, err));
    o.tap = (ph_tap){PH_PLACE_BLOCK, false, b->o.block};
    o.rows = r->n;
    o.tokens = T;
    o.context = r->job.context;
    o.n_context = r->job.n_context;
    o.gradient = true;
    PH_TRY(ph__session_open_team(&r->session, model, &o, err));
    PH_TRY(PH_NEW(&r->rows, n, err));
    PH_TRY(PH_NEW(&r->features, n, err));
    PH_TRY(PH_NEW(&r->e, n * (size_t)(T * model->arch.C), err));
    PH_TRY(PH_NEW(&r->curves, n * (size_t)(steps + 1), err));
    return start(r, b->o.block, err);
}

static void rows_close(struct rows *r)
{
    ph__free(r->curves);
    ph__free(r->e);
    ph__free(r->features);
    ph__free(r->rows);
    ph_session_close(&r->session);
    ph__job_close(&r->job);
}

/* ---- steps ---- */

/* What the progress after every step does: note how long it took. */
struct watch {
    ph_bencher *b;
    const ph_sweep *flush; /* before the next step; NULL: it finds warm caches */
    ph_backend *timed;     /* NULL: parts are not asked for */
    double begin, wall;
    int64_t steps; /* that are over */
};

/* The first step warms up, and pays for the loop's memory. */
static int after_step(const char *stage, double done, void *payload)
{
    struct watch *w = payload;
    const double now = ph__now();
    (void)stage, (void)done;
    if (w->timed) ph__timed_stop(w->timed);
    if (w->steps++ > 0) {
        if (!w->timed) ph__bench_note(w->b, now - w->begin);
        w->wall += now - w->begin;
    }
    if (w->flush) (void)ph__sweep_run(w->flush);
    if (w->timed && done < 1) ph__timed_start(w->timed);
    w->begin = ph__now();
    return 0;
}

/* Floating-point operations of a step: those that were done, and what all columns would have taken. */
struct work {
    double flops, whole;
};

/* One step more than is noted. */
static ph_status run(struct watch *w, const ph_model *model, int64_t steps, struct work *work,
                     ph_error *err)
{
    struct rows r = {0};
    double seconds = 0, first = 0;
    ph_status st = PH_OK;

    *work = (struct work){0};
    PH_GO(rows_open(&r, model, w->b, steps + 1, err));
    r.job.run.progress = after_step;
    r.job.run.progress_payload = w;
    PH_GO(ph__descend(r.rows, r.n, &r.d, r.session, &r.job, &seconds, &work->flops, &first, err));
    work->flops /= (double)(steps + 1);
    work->whole = 2 * ph_session_flops(r.session, r.n);
done:
    rows_close(&r);
    return st;
}

/* As many as a second holds. */
static ph_status choose_steps(int *steps, ph_bencher *b, ph_error *err)
{
    enum { FEW = 9, MANY = 200 };
    struct watch w = {.b = b};
    struct work work;

    PH_TRY(run(&w, b->model, 2, &work, err));
    const double each = w.wall / 2;
    b->n = 0;
    *steps = ph__bench_repeats(b, each * MANY < 1 ? MANY : each * FEW > 1 ? FEW : (int)(1 / each));
    return PH_OK;
}

static const ph_bench_pauses pauses = {"reading weights", "objective", "update", "between calls"};

static ph_status time_parts(ph_bencher *b, const ph_sweep *flush, int steps, ph_error *err)
{
    ph_bench_timed t = {0};
    struct watch w = {.b = b, .flush = flush};
    struct work work;
    ph_status st = PH_OK;

    PH_GO(ph__bench_timed_open(&t, b->model, err));
    w.timed = t.backend;
    PH_GO(run(&w, &t.model, steps, &work, err));
    ph__bench_parts(b, &t, &pauses, steps, w.wall);
done:
    ph__bench_timed_close(&t);
    return st;
}

static ph_status weight_bytes(double *out, const ph_bencher *b, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    size_t own, weights;
    o.tap = (ph_tap){PH_PLACE_BLOCK, false, b->o.block};
    o.gradient = true;
    PH_TRY(ph_session_bytes(&own, &weights, b->model, &o, err));
    *out = (double)weights;
    return PH_OK;
}

static ph_status figure(ph_bencher *b, const ph_sweep *flush, int steps, ph_error *err)
{
    struct watch w = {.b = b, .flush = flush};
    ph_bench_result r = ph__bench_result("descent");
    double bytes = 0;
    struct work work;

    PH_TRY(run(&w, b->model, steps, &work, err));
    if (b->o.parts) PH_TRY(time_parts(b, flush, steps, err));
    PH_TRY(weight_bytes(&bytes, b, err));
    r.cold = flush != NULL;
    r.block = b->o.block;
    r.rows = b->o.rows;
    r.tokens = b->o.tokens ? b->o.tokens : 5;
    r.spared = 1 - work.flops / work.whole;
    return ph__bench_report(b, r, work.flops, bytes, err);
}

ph_status ph__bench_descent(ph_bencher *b, ph_error *err)
{
    ph_sweep sweep = {0};
    ph_status st = PH_OK;
    int steps = 0;

    PH_GO(choose_steps(&steps, b, err));
    PH_GO(figure(b, NULL, steps, err));
    PH_GO(ph__sweep_open(&sweep, b->o.memory, b->model->backend->threads, err));
    PH_GO(figure(b, &sweep, ph__bench_repeats(b, steps < 15 ? steps : 15), err));
done:
    ph__sweep_close(&sweep);
    return st;
}

/* ---- load ---- */

static ph_model_options options_of(const ph_model *m)
{
    ph_model_options o = PH_MODEL_OPTIONS_INIT;
    o.backend = m->info.backend;
    o.plan = m->info.plan;
    o.threads = m->info.threads;
    o.untrained = m->untrained;
    o.untrained_seed = m->seed;
    o.shape = m->shape;
    if (m->untrained) o.blocks = m->arch.blocks;
    return o;
}

/* Open the file, and go to the end of the first step. */
static ph_status load_once(ph_bencher *b, bool parts, ph_error *err)
{
    const ph_model_options o = options_of(b->model);
    const double begin = ph__now();
    ph_model *m = NULL;
    ph_bench_timed t = {0};
    struct rows r = {0};
    struct watch w = {.b = b};
    double seconds = 0, flops = 0, first = 0;
    ph_status st = PH_OK;

    PH_GO(ph_model_open(&m, b->model->info.path, &o, err));
    const double opened = ph__now();
    if (parts) {
        PH_GO(ph__bench_timed_open(&t, m, err));
        w.timed = t.backend;
        ph__timed_start(t.backend);
    }
    PH_GO(rows_open(&r, parts ? &t.model : m, b, 1, err));
    r.job.run.progress = after_step;
    r.job.run.progress_payload = &w;
    PH_GO(ph__descend(r.rows, r.n, &r.d, r.session, &r.job, &seconds, &flops, &first, err));
    if (!parts) ph__bench_note(b, first - begin);
    if (!parts) goto done;
    ph__bench_parts(b, &t, &pauses, 1, first - begin);
    b->parts[b->n_parts++] =
        (ph_bench_part){.name = "opening the file", .calls = 1, .seconds = opened - begin};
done:
    rows_close(&r);
    ph__bench_timed_close(&t);
    ph_model_close(&m);
    return st;
}

ph_status ph__bench_load(ph_bencher *b, ph_error *err)
{
    ph_bench_result r = ph__bench_result("load");
    const int repeats = ph__bench_repeats(b, 5);

    PH_TRY(load_once(b, false, err)); /* the file is read into memory */
    b->n = 0;
    for (int i = 0; i < repeats; i++) PH_TRY(load_once(b, false, err));
    if (b->o.parts) PH_TRY(load_once(b, true, err));
    r.block = b->o.block;
    r.rows = b->o.rows;
    r.tokens = b->o.tokens ? b->o.tokens : 5;
    return ph__bench_report(b, r, (double)NAN, (double)NAN, err);
}
