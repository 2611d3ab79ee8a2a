/* bench_search.c — the two works of a search among tokens: many tokens through all blocks, and many
 * variants of one text. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "search/bench.h"
#include "search/census.h"
#include "search/trial.h"

#include <math.h>

/* ---- scan ---- */

/* A piece of the vocabulary as `scan` without features does it, but for the cache. */
static ph_status scan_once(double *seconds, const ph_model *model, const int32_t *ids, int64_t n,
                           ph_error *err)
{
    ph_job job = {0};
    ph_census *census = NULL;
    ph_pass_cost cost;
    const ph_survey_options usual = PH_SURVEY_OPTIONS_INIT;
    const ph_census_plan plan = {.name = "bench",
                                 .ids = ids,
                                 .n = n,
                                 .window = 1,
                                 .depth = model->arch.blocks,
                                 .top = usual.top,
                                 .neurons = usual.neurons};
    ph_status st = PH_OK;

    PH_GO(ph__job_open(&job, model, NULL, err));
    PH_GO(ph__census_open(&census, &job, &plan, &cost, err));
    *seconds = cost.seconds;
done:
    ph__census_close(&census);
    ph__job_close(&job);
    return st;
}

static ph_status scan_parts(ph_bencher *b, const int32_t *ids, int64_t n, ph_error *err)
{
    static const ph_bench_pauses pauses = {"reading weights", "context", "statistics and waiting",
                                           "memory, between calls"};
    ph_bench_timed t = {0};
    double seconds;
    ph_status st = PH_OK;

    PH_GO(ph__bench_timed_open(&t, b->model, err));
    const double begin = ph__now();
    ph__timed_start(t.backend);
    PH_GO(scan_once(&seconds, &t.model, ids, n, err));
    ph__timed_stop(t.backend);
    ph__bench_parts(b, &t, &pauses, 1, ph__now() - begin);
done:
    ph__bench_timed_close(&t);
    return st;
}

static double scan_flops(const ph_model *m, int64_t n)
{
    return 2.0 * (double)n * (double)(ph__arch_block_parameters(&m->arch) * m->arch.blocks);
}

/* Seconds of the second half of n tokens: at first lists fill and ranges widen, which a whole
 * vocabulary has behind it soon. A vocabulary that has not so many is taken whole. */
static ph_status scan_half(double *seconds, const ph_model *model, const int32_t *ids, int64_t n,
                           bool whole, ph_error *err)
{
    double first = 0;
    if (!whole) PH_TRY(scan_once(&first, model, ids, n / 2, err));
    PH_TRY(scan_once(seconds, model, ids, n, err));
    *seconds -= first;
    return PH_OK;
}

ph_status ph__bench_scan(ph_bencher *b, ph_error *err)
{
    const ph_arch *a = &b->model->arch;
    const int64_t most = (int64_t)12 * PH_CENSUS_BATCH * b->model->backend->threads;
    const bool whole = a->V < most;
    const int64_t n = whole ? a->V : most;
    const int repeats = ph__bench_repeats(b, 3);
    ph_bench_result r = ph__bench_result("scan");
    int32_t *ids = NULL;
    double seconds;
    ph_status st = PH_OK;

    PH_GO(PH_NEW(&ids, (size_t)n, err));
    for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)(i * (a->V / n));
    PH_GO(scan_once(&seconds, b->model, ids, 1, err)); /* pack the weights */
    for (int i = 0; i < repeats; i++) {
        PH_GO(scan_half(&seconds, b->model, ids, n, whole, err));
        ph__bench_note(b, seconds);
    }
    if (b->o.parts) PH_GO(scan_parts(b, ids, n, err));
    r.block = a->blocks;
    r.rows = whole ? n : n / 2;
    r.tokens = 1;
    r.whole_seconds = ph__bench_median(b) * (double)a->V / (double)r.rows;
    PH_GO(ph__bench_report(b, r, scan_flops(b->model, r.rows), (double)NAN, err));
done:
    ph__free(ids);
    return st;
}

/* ---- swap ---- */

/* A text that is kept, and variants of it by one token, as many at each place. */
struct variants {
    ph_job job;
    ph_trials *trials;
    ph_feature feature;
    const ph_feature *features[1];
    int64_t T, n;
    int32_t *ids; /* (n+1,T): the text, then its variants */
    ph_child *children;
    ph_trial *values;
};

static int32_t any_token(const ph_job *job, ph_rng *rng)
{
    return job->ordinary[ph__rng_below(rng, job->n_ordinary)];
}

static void vary(struct variants *v)
{
    ph_rng rng = ph__rng(0, 0);
    for (int64_t t = 0; t < v->T; t++) v->ids[t] = any_token(&v->job, &rng);
    for (int64_t i = 0; i < v->n; i++) {
        int32_t *ids = v->ids + (i + 1) * v->T;
        const int64_t at = i % v->T;
        for (int64_t t = 0; t < v->T; t++) ids[t] = t == at ? any_token(&v->job, &rng) : v->ids[t];
        v->children[i] = (ph_child){ids, v->T, 0, at, -1};
    }
}

static ph_status variants_open(struct variants *v, const ph_model *model, const ph_bencher *b,
                               ph_error *err)
{
    v->T = b->o.tokens ? b->o.tokens : 12;
    v->n = 512;
    v->feature = ph__bench_feature(model, b->o.block, 0);
    v->features[0] = &v->feature;
    PH_TRY(ph__job_open(&v->job, model, NULL, err));
    const ph_trials_options o = {
        .job = &v->job, .features = v->features, .count = 1, .longest = v->T, .parents = 1};
    PH_TRY(ph__trials_open(&v->trials, &o, err));
    PH_TRY(PH_NEW(&v->ids, (size_t)((v->n + 1) * v->T), err));
    PH_TRY(PH_NEW(&v->children, (size_t)v->n, err));
    PH_TRY(PH_NEW(&v->values, (size_t)v->n, err));
    vary(v);
    const ph_child text = {v->ids, v->T, -1, 0, 0};
    return ph__trials_run(v->trials, &text, 1, v->values, NULL, err);
}

static void variants_close(struct variants *v)
{
    ph__free(v->values);
    ph__free(v->children);
    ph__free(v->ids);
    ph__trials_close(&v->trials);
    ph__job_close(&v->job);
}

/* Seconds of each repeat into the benchmark, or all of them into *wall. */
static ph_status swap_times(ph_bencher *b, struct variants *v, int repeats, double *wall,
                            ph_error *err)
{
    for (int i = 0; i < repeats; i++) {
        const double begin = ph__now();
        PH_TRY(ph__trials_run(v->trials, v->children, (size_t)v->n, v->values, NULL, err));
        const double seconds = ph__now() - begin;
        if (wall)
            *wall += seconds;
        else
            ph__bench_note(b, seconds);
    }
    return PH_OK;
}

static ph_status swap_parts(ph_bencher *b, int repeats, ph_error *err)
{
    static const ph_bench_pauses pauses = {"reading weights", "context", "measuring",
                                           "between calls"};
    ph_bench_timed t = {0};
    struct variants v = {0};
    double wall = 0;
    ph_status st = PH_OK;

    PH_GO(ph__bench_timed_open(&t, b->model, err));
    PH_GO(variants_open(&v, &t.model, b, err));
    PH_GO(swap_times(b, &v, 1, &wall, err));
    wall = 0;
    ph__timed_start(t.backend);
    PH_GO(swap_times(b, &v, repeats, &wall, err));
    ph__timed_stop(t.backend);
    ph__bench_parts(b, &t, &pauses, repeats, wall);
done:
    variants_close(&v);
    ph__bench_timed_close(&t);
    return st;
}

ph_status ph__bench_swap(ph_bencher *b, ph_error *err)
{
    const int repeats = ph__bench_repeats(b, 5);
    ph_bench_result r = ph__bench_result("swap");
    struct variants v = {0};
    double forwards = 0;
    ph_status st = PH_OK;

    PH_GO(variants_open(&v, b->model, b, err));
    PH_GO(swap_times(b, &v, 1, NULL, err));
    b->n = 0;
    PH_GO(swap_times(b, &v, repeats, NULL, err));
    if (b->o.parts) PH_GO(swap_parts(b, repeats, err));
    for (int64_t i = 0; i < v.n; i++) forwards += (double)ph__trials_cost(v.trials, &v.children[i]);
    r.block = b->o.block;
    r.rows = v.n;
    r.tokens = v.T;
    r.token_forwards = forwards;
    r.naive_forwards = (double)(v.n * v.T);
    const double block = (double)ph__arch_block_parameters(&b->model->arch);
    PH_GO(ph__bench_report(b, r, 2 * forwards * block * (double)r.block, (double)NAN, err));
done:
    variants_close(&v);
    return st;
}
