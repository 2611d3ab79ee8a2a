/* test_trial.c — variants of texts, evaluated behind their parents' keys and values, against plain
 * passes over the whole texts: activations, norms, cross-entropy, and the tokens that are charged.
 */
#include "families.h"

#include "base/rng.h"
#include "search/scorer.h"
#include "search/trial.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 12, PARENTS = 3, CHILDREN = 200, FEATURES = 4 };

/* The pass itself is exact on ref64, but its outputs are handed on as float32: half a unit in the last
 * place of a value that a mean may be made of, 6e-8, of numbers up to twice the result. */
#define OUTPUTS 2e-7

static int compared, failed;

static void must(ph_status st, const ph_error *err)
{
    if (st == PH_OK) return;
    fprintf(stderr, "test_trial: %s\n", err->msg);
    exit(1);
}

static void same(const char *what, size_t i, double a, double b, double tolerance)
{
    compared++;
    if (isnan(a) && isnan(b)) return;
    if (fabs(a - b) <= tolerance * fmax(1, fabs(b))) return;
    failed++;
    if (failed <= 20) printf("%s of child %zu: %.9g, expected %.9g\n", what, i, a, b);
}

/* A model, features of one tap, parents and their variants. */
struct given {
    ph_model *model;
    ph_features *features;
    const ph_feature *list[FEATURES];
    size_t count;
    ph_job job;
    int32_t ids[PARENTS + CHILDREN][LONGEST];
    ph_child children[PARENTS + CHILDREN];
};

static int32_t draw(const ph_job *job, ph_rng *r)
{
    return job->ordinary[ph__rng_below(r, job->n_ordinary)];
}

/* Parents of different lengths; children change one token, the end, the length, or everything. */
static void make_texts(struct given *g)
{
    ph_rng r = ph__rng(7, 1);
    for (int64_t i = 0; i < PARENTS + CHILDREN; i++) {
        ph_child *c = &g->children[i];
        *c = (ph_child){.ids = g->ids[i], .parent = -1, .keep = i < PARENTS ? i : -1};
        c->n = i < PARENTS ? LONGEST - 2 * i : 1 + (int64_t)ph__rng_below(&r, LONGEST);
        for (int64_t t = 0; t < c->n; t++) g->ids[i][t] = draw(&g->job, &r);
        if (i < PARENTS || i % 7 == 0) continue;
        c->parent = i % PARENTS;
        const ph_child *p = &g->children[c->parent];
        c->same = (int64_t)ph__rng_below(&r, (uint64_t)(c->n < p->n ? c->n : p->n + 1));
        memcpy(g->ids[i], p->ids, (size_t)c->same * sizeof *p->ids);
    }
}

static void open_given(struct given *g, const char *path, const char *backend, const char *specs,
                       ph_bos bos)
{
    ph_model_options m = PH_MODEL_OPTIONS_INIT;
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    ph_error err = {0};

    m.backend = backend;
    run.bos = bos;
    run.prefix = bos == PH_BOS_OFF ? NULL : "ab";
    must(ph_model_open(&g->model, path, &m, &err), &err);
    must(ph_features_parse(&g->features, ph_model_get_info(g->model), specs, &err), &err);
    must(ph__job_open(&g->job, g->model, &run, &err), &err);
    g->count = ph_features_count(g->features);
    for (size_t i = 0; i < g->count; i++) g->list[i] = ph_features_at(g->features, i);
    make_texts(g);
}

static void close_given(struct given *g)
{
    ph__job_close(&g->job);
    ph_features_close(&g->features);
    ph_model_close(&g->model);
}

/* -ln p of every token behind something, from the whole text's logits, in double. */
static double plain_cross(const struct given *g, const ph_child *c)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    const int64_t V = g->job.model->arch.V, P = (int64_t)g->job.n_context, n = P + c->n;
    ph_session *s = NULL;
    ph_error err = {0};
    int32_t ids[LONGEST + 8];
    float *E = calloc((size_t)(n * g->job.model->arch.C), sizeof *E);
    double *L = calloc((size_t)(n * V), sizeof *L), sum = 0;
    int64_t counted = 0;

    memcpy(ids, g->job.context, (size_t)P * sizeof *ids);
    memcpy(ids + P, c->ids, (size_t)c->n * sizeof *ids);
    o.tap = (ph_tap){PH_PLACE_LOGITS, false, 0};
    o.tokens = n;
    must(ph_session_open(&s, g->model, &o, &err), &err);
    must(ph_model_embed(g->model, E, ids, (size_t)n, &err), &err);
    ph__session_write(s, E, 1);
    must(ph__session_run(s, &err), &err);
    ph__session_read64(s, L);
    for (int64_t t = P ? P : 1; t < n; t++, counted++) {
        double z = 0;
        for (int64_t v = 0; v < V; v++) z += exp(L[(t - 1) * V + v]);
        sum += log(z) - L[(t - 1) * V + ids[t]];
    }
    ph_session_close(&s);
    free(L);
    free(E);
    return counted ? sum / (double)counted : (double)NAN;
}

static void check_plain(const struct given *g, const ph_trial *out, const double *cross,
                        size_t first, size_t n, double tolerance)
{
    ph_scorer *scorer = NULL;
    ph_item *items = calloc(n * g->count, sizeof *items);
    ph_error err = {0};

    must(ph__scorer_open(&scorer, &g->job, &err), &err);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < g->count; k++)
            items[i * g->count + k] = (ph_item){.feature = g->list[k],
                                                .ids = g->children[first + i].ids,
                                                .n = (size_t)g->children[first + i].n};
    must(ph__scorer_run(scorer, items, n * g->count, &err), &err);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < g->count; k++) {
            const ph_item *item = &items[i * g->count + k];
            const ph_trial *t = &out[i * g->count + k];
            same("activation", first + i, t->activation,
                 item->valid ? item->measured.activation : (double)NAN, tolerance);
            if (item->valid) same("norm", first + i, t->norm, item->norm, tolerance);
        }
        if (cross)
            same("cross", first + i, cross[i], plain_cross(g, &g->children[first + i]), tolerance);
    }
    ph__scorer_close(&scorer);
    free(items);
}

static void check_charge(const struct given *g, const ph_trials *t, bool fluent)
{
    for (size_t i = 0; i < PARENTS + CHILDREN; i++) {
        const ph_child *c = &g->children[i];
        const int64_t shared = c->parent < 0 ? 0 : c->same;
        same("charge", i, (double)ph__trials_cost(t, c),
             (double)(c->n - shared + (fluent && shared > 0)), 0);
    }
}

static void check(const char *path, const char *backend, const char *specs, ph_bos bos, bool fluent,
                  double tolerance)
{
    struct given g = {0};
    ph_trials *t = NULL;
    ph_error err = {0};
    ph_trial *out;
    double *cross = calloc(PARENTS + CHILDREN, sizeof *cross);

    open_given(&g, path, backend, specs, bos);
    out = calloc((PARENTS + CHILDREN) * g.count, sizeof *out);
    const ph_trials_options o = {.job = &g.job,
                                 .features = g.list,
                                 .count = g.count,
                                 .longest = LONGEST,
                                 .parents = PARENTS,
                                 .fluent = fluent};
    must(ph__trials_open(&t, &o, &err), &err);
    must(ph__trials_run(t, g.children, PARENTS, out, cross, &err), &err);
    check_plain(&g, out, fluent ? cross : NULL, 0, PARENTS, tolerance);
    must(ph__trials_run(t, g.children + PARENTS, CHILDREN, out, cross, &err), &err);
    check_plain(&g, out, fluent ? cross : NULL, PARENTS, CHILDREN, tolerance);
    check_charge(&g, t, fluent);
    ph__trials_close(&t);
    close_given(&g);
    free(out);
    free(cross);
}

/* Positions, windows, caps and norms behind kept keys: the deepest block and the scores. */
static void check_family(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "tests/data/%s.gguf", name);
    check(path, "ref64", "block 2 [:, :, 0-3]", PH_BOS_AUTO, true, OUTPUTS);
    check(path, NULL, "logits [:, :, 3]", PH_BOS_AUTO, false, 2e-5);
}

int main(void)
{
    static const char *const paths[] = {"tests/data/llama_a.gguf", "tests/data/llama_b.gguf",
                                        "tests/data/llama_c.gguf"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        check(paths[i], "ref64", "block 2 [:, :, 0-3]", PH_BOS_AUTO, false, OUTPUTS);
        check(paths[i], NULL, "block 2 [:, :, 0-1], block 2 [:, 3, 5], block 2 [:, -1, 1:4]",
              PH_BOS_AUTO, false, 2e-5);
        check(paths[i], NULL, "block 1 neuron [:, :, 0-1]", PH_BOS_OFF, true, 2e-5);
        check(paths[i], "ref64", "block 1 attn [:, :, 0]", PH_BOS_AUTO, true, OUTPUTS);
        check(paths[i], "ref64", "only block 2 mlp [:, :, 0]", PH_BOS_OFF, false, OUTPUTS);
        check(paths[i], "ref64",
              "block 1 [:, :, 3] - 0.5*block 2 [:, :, 4], block 1 [:, -1, 1] + block 2 [:, 0, 2], "
              "block 2 [:, 0:2, 1] + 2*block 1 [:, :, 1]",
              PH_BOS_AUTO, true, OUTPUTS);
        check(paths[i], "ref64", "logits [:, :, 3]", PH_BOS_AUTO, false, OUTPUTS);
    }
    for (size_t i = 0; families[i]; i++) check_family(families[i]);
    printf("%d compared, %d failed\n", compared, failed);
    return failed || !compared;
}
