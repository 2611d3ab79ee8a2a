/* test_recover.c — recovery on tiny models, against brute force and plain loops.
 *
 * The loops here share nothing with the library's but its forward and backward passes, its random
 * starts and its decodes, which other tests check.
 */
#include "base/rng.h"
#include "search/descent.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT = 5,
    STEPS = 3, /* float32's rounding grows with each step: see test_methods.c */
    BATCH = 64 /* candidates that exact recovery tries at once */
};

static const char *const models[] = {"tests/data/llama_a.gguf", "tests/data/llama_b.gguf",
                                     "tests/data/llama_c.gguf"};
static int compared, failed;

static void must(ph_status st, const ph_error *err)
{
    if (st == PH_OK) return;
    fprintf(stderr, "test_recover: %s\n", err->msg);
    exit(1);
}

static void *room(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p) exit(1);
    return p;
}

static void check(bool holds, const char *what, const char *where)
{
    compared++;
    if (holds) return;
    failed++;
    printf("%s: %s\n", where, what);
}

static void same(double a, double b, double tolerance, const char *what, const char *where)
{
    compared++;
    if (fabs(a - b) <= tolerance * fmax(1, fabs(b))) return;
    failed++;
    printf("%s: %s is %.9g, expected %.9g\n", where, what, a, b);
}

/* ---- a model, a text, a feature, and what recovery says of it ---- */

struct given {
    ph_model *model;
    ph_features *features;
    ph_job job;
    ph_recover_options o;
    int32_t ids[TEXT];
    ph_text text;
    char where[160];
    /* ---- of the last result */
    int32_t got[TEXT], readings[6][TEXT];
    double distances[6];
    double *curve;
    ph_recover_result r;
    int results;
};

static int keep(const ph_recover_result *r, void *payload)
{
    struct given *g = payload;
    g->results++;
    g->r = *r;
    memcpy(g->got, r->answer->ids, sizeof g->got);
    for (size_t k = 0; k < r->n_decodes; k++) {
        memcpy(g->readings[k], r->decodes[k].ids, sizeof g->got);
        g->distances[k] = r->decodes[k].distance;
    }
    free(g->curve);
    g->curve = room(r->n_curve + 1, sizeof *g->curve);
    memcpy(g->curve, r->curve ? r->curve : g->curve, r->n_curve * sizeof *g->curve);
    check(r->n == TEXT && memcmp(r->target_ids, g->ids, sizeof g->ids) == 0, "the target",
          g->where);
    int64_t matched = 0;
    for (size_t t = 0; t < TEXT; t++) matched += r->answer->ids[t] == g->ids[t];
    check(r->answer->matched == matched, "matched", g->where);
    return 0;
}

static void open_given(struct given *g, const char *path, const char *spec)
{
    const ph_recover_options defaults = PH_RECOVER_OPTIONS_INIT;
    ph_error err = {0};
    ph_rng rng = ph__rng(7, 3);

    *g = (struct given){.o = defaults};
    snprintf(g->where, sizeof g->where, "%s %s", path, spec);
    g->o.run.prefix = "a";
    g->o.steps = STEPS;
    g->o.restarts = 2;
    must(ph_model_open(&g->model, path, NULL, &err), &err);
    must(ph_features_parse(&g->features, ph_model_get_info(g->model), spec, &err), &err);
    must(ph__job_open(&g->job, g->model, &g->o.run, &err), &err);
    for (size_t t = 0; t < TEXT; t++) /* the last ones are special in some of the models */
        g->ids[t] = (int32_t)ph__rng_below(&rng, (uint64_t)ph_model_get_info(g->model)->vocab);
    g->text = (ph_text){.ids = g->ids, .n_ids = TEXT};
}

static void close_given(struct given *g)
{
    free(g->curve);
    ph__job_close(&g->job);
    ph_features_close(&g->features);
    ph_model_close(&g->model);
}

static void recover(struct given *g)
{
    ph_error err = {0};
    must(ph_recover(g->model, g->features, &g->text, &g->o, keep, g, &err), &err);
}

static const ph_feature *feature(const struct given *g)
{
    return ph_features_at(g->features, 0);
}

/* ---- plain passes ---- */

static ph_session *session(const struct given *g, const int32_t *before, size_t n, int64_t tokens,
                           bool gradient)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_session *s = NULL;
    ph_error err = {0};
    int32_t context[64];

    memcpy(context, g->job.context, g->job.n_context * sizeof *context);
    if (n) memcpy(context + g->job.n_context, before, n * sizeof *context);
    o.tap = feature(g)->tap;
    o.tokens = tokens;
    o.context = context;
    o.n_context = g->job.n_context + n;
    o.gradient = gradient;
    must(ph_session_open(&s, g->model, &o, &err), &err);
    return s;
}

static int64_t width(const struct given *g)
{
    return ph_place_width(ph_model_get_info(g->model), feature(g)->tap.place);
}

/* X (T,W) of tokens, whole, by one pass; to be freed. */
static float *pass(const struct given *g, const int32_t *ids, size_t T, double noise)
{
    const size_t C = (size_t)ph_model_get_info(g->model)->width;
    float *E = room(T * C, sizeof *E), *X = room(T * (size_t)width(g), sizeof *X);
    ph_session *s = session(g, NULL, 0, (int64_t)T, false);
    ph_rng rng = ph__rng(g->o.run.seed, UINT64_MAX);
    ph_error err = {0};

    must(ph_model_embed(g->model, E, ids, T, &err), &err);
    for (size_t i = 0; i < T * C && noise > 0; i++) E[i] += (float)(noise * ph__rng_normal(&rng));
    must(ph_session_forward(s, X, E, 1, &err), &err);
    ph_session_close(&s);
    free(E);
    return X;
}

/* Distance over the components of tokens first … last - 1. */
static double apart(const struct given *g, const float *X, const float *Y, int64_t first,
                    int64_t last)
{
    const ph_range c = feature(g)->components;
    double sum = 0;
    for (int64_t t = first; t < last; t++)
        for (int64_t i = c.begin; i < c.end; i++) {
            const double d = (double)X[t * width(g) + i] - (double)Y[t * width(g) + i];
            sum += d * d;
        }
    return sqrt(sum);
}

static ph_range tokens(const struct given *g)
{
    const ph_range r = feature(g)->tokens;
    return (ph_range){r.begin < 0 ? r.begin + TEXT : r.begin, r.end == PH_END ? TEXT
                                                              : r.end < 0     ? r.end + TEXT
                                                                              : r.end};
}

/* Every figure of the last result by plain passes. */
static void check_figures(struct given *g)
{
    float *X = pass(g, g->ids, TEXT, 0), *noisy = pass(g, g->ids, TEXT, 0.05);
    const ph_range r = tokens(g);
    double least = INFINITY;

    same(g->r.random_distance, apart(g, noisy, X, r.begin, r.end), 1e-5, "random distance",
         g->where);
    for (size_t k = 0; k < g->r.n_decodes; k++) {
        float *Y = pass(g, g->readings[k], TEXT, 0);
        same(g->distances[k], apart(g, Y, X, r.begin, r.end), 1e-5, "distance", g->where);
        least = fmin(least, g->distances[k]);
        free(Y);
    }
    float *Y = pass(g, g->got, TEXT, 0);
    same(apart(g, Y, X, r.begin, r.end), least, 1e-5, "distance of the answer", g->where);
    free(Y);
    free(noisy);
    free(X);
}

/* ---- exact ---- */

/* The token whose state behind the first t tokens is nearest the text's, by whole passes. */
static int32_t nearest_token(const struct given *g, const int32_t *before, size_t t,
                             const bool *allowed, double *relative)
{
    float *X = pass(g, g->ids, TEXT, 0), *zero = room(TEXT * (size_t)width(g), sizeof *zero);
    const double norm = apart(g, X, zero, (int64_t)t, (int64_t)t + 1);
    const int32_t V = (int32_t)ph_model_get_info(g->model)->vocab;
    int32_t ids[TEXT], best = -1;

    *relative = INFINITY;
    memcpy(ids, before, t * sizeof *ids);
    for (int32_t id = 0; id < V; id++) {
        if (allowed && !allowed[id]) continue;
        ids[t] = id;
        float *Y = pass(g, ids, t + 1, 0);
        const double d = apart(g, Y, X, (int64_t)t, (int64_t)t + 1) / norm;
        free(Y);
        if (d >= *relative) continue;
        *relative = d;
        best = id;
    }
    free(zero);
    free(X);
    return best;
}

static int64_t batches(int64_t candidates, int64_t V)
{
    const int64_t n = (candidates + BATCH - 1) / BATCH * BATCH;
    return n < V ? n : V;
}

static void check_exact(const char *path, const char *spec)
{
    struct given g;
    int64_t unguided = 0;

    open_given(&g, path, spec);
    g.o.method = "exact";
    const int64_t V = ph_model_get_info(g.model)->vocab;
    const bool few = feature(&g)->components.end - feature(&g)->components.begin < 4;
    recover(&g);
    check(memcmp(g.got, g.ids, sizeof g.ids) == 0, "guided: the text", g.where);
    check(g.r.tried <= (few ? TEXT * V : TEXT * V - 1) && g.r.tried >= TEXT, "guided: tried",
          g.where);
    check(g.r.worst_found <= g.r.tolerance, "guided: within the tolerance", g.where);
    check_figures(&g);
    g.o.unguided = true;
    recover(&g);
    for (size_t t = 0; t < TEXT; t++) unguided += few ? V : batches(g.ids[t] + 1, V);
    check(memcmp(g.got, g.ids, sizeof g.ids) == 0, "unguided: the text", g.where);
    same((double)g.r.tried, (double)unguided, 0, "unguided: tried", g.where);
    close_given(&g);
}

/* Where the text's own tokens are not allowed, the nearest of the others. */
static void check_exact_among(const char *path, const char *spec)
{
    struct given g;
    int32_t among[40];
    bool allowed[300] = {0};
    ph_rng rng = ph__rng(11, 5);
    double worst = 0;

    open_given(&g, path, spec);
    g.o.method = "exact";
    for (size_t i = 0; i < 40; i++) among[i] = (int32_t)ph__rng_below(&rng, 300);
    among[7] = g.ids[0];
    for (size_t i = 0; i < 40; i++) allowed[among[i]] = true;
    g.o.among = among;
    g.o.n_among = 40;
    recover(&g);
    for (size_t t = 0; t < TEXT; t++) {
        double relative;
        same(g.got[t], nearest_token(&g, g.got, t, allowed, &relative), 0, "the nearest allowed",
             g.where);
        worst = fmax(worst, relative);
    }
    check(g.got[0] == g.ids[0], "a token that is allowed", g.where);
    same(g.r.worst_found, worst, 1e-5, "the worst found", g.where);
    check(worst > g.r.tolerance, "not found, and said so", g.where);
    close_given(&g);
}

/* ---- descent: the loop again ---- */

struct loop {
    const struct given *g;
    ph_session *s;
    int64_t T, C, W;
    ph_range tokens;
    const float *wanted;    /* (T,W) */
    float *e, *X, *dX, *dE; /* (T,C), (T,W) */
    double *m, *v;          /* (T,C) of Adam */
};

static void open_loop(struct loop *l, const struct given *g, ph_session *s, int64_t T,
                      ph_range range, const float *wanted, int64_t restart)
{
    ph_error err = {0};
    *l = (struct loop){.g = g, .s = s, .T = T, .C = ph_model_get_info(g->model)->width};
    l->W = width(g);
    l->tokens = range;
    l->wanted = wanted;
    const size_t n = (size_t)(T * l->C);
    l->e = room(n, sizeof *l->e);
    l->dE = room(n, sizeof *l->dE);
    l->m = room(n, sizeof *l->m);
    l->v = room(n, sizeof *l->v);
    l->X = room((size_t)(T * l->W), sizeof *l->X);
    l->dX = room((size_t)(T * l->W), sizeof *l->dX);
    must(ph__start_fill(l->e, &g->job, g->o.start, T, restart, &err), &err);
}

static void close_loop(struct loop *l)
{
    free(l->e);
    free(l->dE);
    free(l->m);
    free(l->v);
    free(l->X);
    free(l->dX);
}

/* The distance at e, and the objective's gradient in dE. */
static double evaluate(struct loop *l)
{
    const ph_range c = feature(l->g)->components;
    const bool l1 = strcmp(l->g->o.objective, "l1") == 0;
    ph_error err = {0};
    double sum = 0;

    must(ph_session_forward(l->s, l->X, l->e, 1, &err), &err);
    memset(l->dX, 0, (size_t)(l->T * l->W) * sizeof *l->dX);
    for (int64_t t = l->tokens.begin; t < l->tokens.end; t++)
        for (int64_t i = c.begin; i < c.end; i++) {
            const double d = (double)l->X[t * l->W + i] - (double)l->wanted[t * l->W + i];
            sum += d * d;
            l->dX[t * l->W + i] = (float)(l1 ? (d > 0) - (d < 0) : 2 * d);
        }
    must(ph_session_backward(l->s, l->dE, l->dX, &err), &err);
    return sqrt(sum);
}

static void step(struct loop *l, int n)
{
    const ph_recover_options *o = &l->g->o;
    const double eta = o->eta_first + (o->eta_last - o->eta_first) * n / STEPS;
    const bool adam = strcmp(o->optimizer, "adam") == 0;

    for (int64_t i = 0; i < l->T * l->C; i++) {
        const double d = (double)l->dE[i];
        l->m[i] = 0.9 * l->m[i] + 0.1 * d;
        l->v[i] = 0.999 * l->v[i] + 0.001 * d * d;
        const double by = adam ? l->m[i] / (1 - pow(0.9, n + 1)) /
                                     (sqrt(l->v[i] / (1 - pow(0.999, n + 1))) + 1e-8)
                               : d;
        l->e[i] -= (float)(eta * by);
    }
}

/* The loop's curve against the one that was handed out. */
static void check_curve(struct loop *l, const double *curve)
{
    for (int n = 0; n <= STEPS; n++) {
        same(curve[n], evaluate(l), 1e-4, "the curve", l->g->where);
        step(l, n);
    }
}

static void check_descent(const char *path, const char *spec, const char *objective,
                          const char *optimizer)
{
    struct given g;
    struct loop l;

    open_given(&g, path, spec);
    g.o.objective = objective;
    g.o.optimizer = optimizer;
    g.o.eta_first = 0.02;
    g.o.eta_last = 0.01;
    g.o.eta_first_rms = g.o.eta_last_rms = false;
    recover(&g);
    check(g.r.n_curve == STEPS + 1 && g.r.n_decodes == 6, "points and decodes", g.where);
    check_figures(&g);
    float *X = pass(&g, g.ids, TEXT, 0);
    ph_session *s = session(&g, NULL, 0, TEXT, true);
    open_loop(&l, &g, s, TEXT, tokens(&g), X, g.r.restart);
    check_curve(&l, g.curve);
    same(g.r.distance, g.curve[STEPS], 0, "the end of the curve", g.where);
    close_loop(&l);
    ph_session_close(&s);
    free(X);
    close_given(&g);
}

/* One restart, so that the curves are of one start each. */
static void check_sequential(const char *path, const char *spec)
{
    struct given g;

    open_given(&g, path, spec);
    g.o.sequential = true;
    g.o.restarts = 1;
    g.o.eta_first = 0.02;
    g.o.eta_last = 0.01;
    g.o.eta_first_rms = g.o.eta_last_rms = false;
    recover(&g);
    check(g.r.n_curve == TEXT * (STEPS + 1) && g.r.n_decodes == 1, "a curve for each", g.where);
    check_figures(&g);
    float *X = pass(&g, g.ids, TEXT, 0);
    for (int64_t t = 0; t < TEXT; t++) {
        struct loop l;
        ph_session *s = session(&g, g.got, (size_t)t, 1, true);
        open_loop(&l, &g, s, 1, (ph_range){0, 1}, X + t * width(&g), 0);
        check_curve(&l, g.curve + t * (STEPS + 1));
        close_loop(&l);
        ph_session_close(&s);
    }
    free(X);
    close_given(&g);
}

/* At the embedding a descent on squares halves the way at every step: it must arrive. */
static void check_arrives(const char *path, bool sequential)
{
    struct given g;

    open_given(&g, path, "embed [:, :, :]");
    for (size_t t = 0; t < TEXT; t++) g.ids[t] = g.job.ordinary[17 * t + 20];
    g.o.steps = 60;
    g.o.objective = "l2";
    g.o.optimizer = "gd";
    g.o.eta_first = g.o.eta_last = 0.25;
    g.o.eta_first_rms = g.o.eta_last_rms = false;
    g.o.decode = "euclid";
    g.o.sequential = sequential;
    recover(&g);
    check(memcmp(g.got, g.ids, sizeof g.ids) == 0, "the text", g.where);
    same(g.distances[0], 0, 0, "its distance", g.where);
    close_given(&g);
}

static void check_among(const char *path)
{
    struct given g;
    int32_t among[] = {5, 77, 31};
    bool known = true;

    open_given(&g, path, "block 2 [:, :, :]");
    g.o.among = among;
    g.o.n_among = 3;
    recover(&g);
    for (size_t k = 0; k < g.r.n_decodes; k++)
        for (size_t t = 0; t < TEXT; t++)
            known &= g.readings[k][t] == 5 || g.readings[k][t] == 77 || g.readings[k][t] == 31;
    check(known && g.r.n_decodes == 6, "only tokens that are allowed", g.where);
    check_figures(&g);
    close_given(&g);
}

/* ---- errors ---- */

static void expect(struct given *g, ph_status status, const char *message)
{
    ph_error err = {0};
    const int before = g->results;
    const ph_status st = ph_recover(g->model, g->features, &g->text, &g->o, keep, g, &err);

    compared++;
    if (st == status && err.code == status && strstr(err.msg, message) && g->results == before)
        return;
    failed++;
    printf("expected \"%s\", got %s: %s\n", message, ph_status_name(st), err.msg);
}

static int stop(const ph_recover_result *r, void *payload)
{
    (void)r, (void)payload;
    return 1;
}

/* One option changed, and the error it gives. */
#define EXPECT_WITH(field, value, status, message)                                                 \
    do {                                                                                           \
        const ph_recover_options kept_ = g.o;                                                      \
        g.o.field = (value);                                                                       \
        expect(&g, (status), (message));                                                           \
        g.o = kept_;                                                                               \
    } while (0)

static void check_names(void)
{
    struct given g;

    open_given(&g, models[1], "block 1 [:, :, :]");
    EXPECT_WITH(method, "magic", PH_EINVAL, "method \"magic\": expected one of descent, exact");
    EXPECT_WITH(objective, "cosine", PH_EINVAL, "objective \"cosine\": expected one of l1, l2");
    EXPECT_WITH(optimizer, "sgdx", PH_EINVAL, "optimizer \"sgdx\"");
    EXPECT_WITH(decode, "best", PH_EINVAL, "decode \"best\"");
    EXPECT_WITH(start, "nowhere", PH_EINVAL, "start \"nowhere\"");
    EXPECT_WITH(start, "text:abc", PH_EINVAL, "start \"text:abc\"");
    EXPECT_WITH(steps, 0, PH_EINVAL, "steps 0: expected 1 to");
    EXPECT_WITH(restarts, 0, PH_EINVAL, "restarts 0: expected 1 to");
    EXPECT_WITH(eta_first, NAN, PH_EINVAL, "eta must be a finite number");
    g.o.n_among = 0;
    EXPECT_WITH(among, g.ids, PH_EINVAL, "among: expected at least one token");
    const int32_t wrong = 300;
    g.o.n_among = 1;
    EXPECT_WITH(among, &wrong, PH_ERANGE, "among: id 300: this model has 0 to 299");
    close_given(&g);
}

static void check_texts(void)
{
    struct given g;
    ph_error err = {0};

    open_given(&g, models[1], "block 1 [:, 1:, :]");
    EXPECT_WITH(method, "exact", PH_EINVAL, "block 1 [:, 1:, :]: exact recovery goes from token");
    EXPECT_WITH(sequential, true, PH_EINVAL, "sequential recovery goes from token to token");
    g.text = (ph_text){.text = ""};
    expect(&g, PH_ETEXT, "the text has no tokens");
    g.text = (ph_text){.text = "\xff", .bytes = 1};
    expect(&g, PH_ETEXT, "UTF-8");
    g.text = (ph_text){.ids = g.ids, .n_ids = 1};
    expect(&g, PH_ERANGE, "its tokens are not in a text of 1 token");
    g.ids[0] = -1;
    expect(&g, PH_ERANGE, "id -1: this model has 0 to 299");
    g.ids[0] = 3;
    g.text.n_ids = TEXT;
    compared++;
    if (ph_recover(g.model, g.features, &g.text, &g.o, stop, NULL, &err) != PH_ECANCELED) {
        failed++;
        printf("a callback that stops is not heard\n");
    }
    close_given(&g);
}

int main(void)
{
    static const char *const places[] = {
        "block 1 [:, :, :]",     "block 2 [:, :, :]",        "block 2 attn [:, :, :]",
        "block 2 mlp [:, :, :]", "block 1 neuron [:, :, :]", "only block 2 [:, :, :]",
        "embed [:, :, :]",       "final [:, :, :]",          "logits [:, :, :]",
        "block 2 [:, :, 5:17]",  "block 2 [:, :, 9]"};
    for (size_t m = 0; m < 3; m++) {
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
            check_exact(models[m], places[i]);
        check_exact_among(models[m], "block 2 [:, :, :]");
        check_descent(models[m], "block 2 [:, :, :]", "l1", "gd");
        check_descent(models[m], "block 2 mlp [:, 1:4, 3:20]", "l2", "gd");
        check_descent(models[m], "logits [:, -1, :]", "l2", "adam");
        check_descent(models[m], "block 1 [:, :, :]", "l1", "adam");
        check_sequential(models[m], "block 2 [:, :, 0:20]");
        check_arrives(models[m], false);
        check_arrives(models[m], true);
        check_among(models[m]);
    }
    check_names();
    check_texts();
    printf("test_recover: %d compared, %d failed\n", compared, failed);
    return failed || !compared;
}
