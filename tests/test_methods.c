/* test_methods.c — the methods of dream against plain loops: greedy without reused keys and values,
 * softmax and the nearest-token penalty step by step in double.
 *
 * On tiny models. The loops here share nothing with the library's but its forward and backward
 * passes, which other tests check.
 */
#include "search/job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    T = 4,
    STEPS =
        3 /* a descent multiplies float32's rounding by up to 6 a step: 4 would reach the tolerance */
};

static int compared, failed;

static void must(ph_status st, const ph_error *err)
{
    if (st == PH_OK) return;
    fprintf(stderr, "test_methods: %s\n", err->msg);
    exit(1);
}

static void *room(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p) exit(1);
    return p;
}

static void same(const char *what, double a, double b, double tolerance)
{
    compared++;
    if (fabs(a - b) <= tolerance * fmax(1, fabs(b))) return;
    failed++;
    printf("%s: %.9g, expected %.9g\n", what, a, b);
}

/* A model, one feature, and a dream's answer for it. */
struct given {
    const char *path, *spec;
    ph_model *model;
    ph_features *features;
    ph_dream_options o;
    ph_job job;
    int32_t ids[T];
    double curve[STEPS + 1], objective[STEPS + 1];
    size_t n_curve;
};

static int keep(const ph_dream_result *r, void *payload)
{
    struct given *g = payload;
    memcpy(g->ids, r->decodes[0].ids, sizeof g->ids); /* the method's own, where it names tokens */
    g->n_curve = r->n_curve;
    memcpy(g->curve, r->curve, r->n_curve * sizeof *r->curve);
    if (r->objective) memcpy(g->objective, r->objective, r->n_curve * sizeof *r->objective);
    return 0;
}

static void open_given(struct given *g, const char *method)
{
    const ph_dream_options defaults = PH_DREAM_OPTIONS_INIT;
    ph_error err = {0};

    g->o = defaults;
    g->o.method = method;
    g->o.tokens = T;
    g->o.steps = STEPS;
    g->o.restarts = 1;
    g->o.start = "rms";
    g->o.eta_first = 0.05;
    g->o.eta_last = 0.02;
    g->o.run.prefix = "a";
    must(ph_model_open(&g->model, g->path, NULL, &err), &err);
    must(ph_features_parse(&g->features, ph_model_get_info(g->model), g->spec, &err), &err);
    must(ph__job_open(&g->job, g->model, &g->o.run, &err), &err);
}

static void close_given(struct given *g)
{
    ph__job_close(&g->job);
    ph_features_close(&g->features);
    ph_model_close(&g->model);
}

static void dream(struct given *g)
{
    ph_error err = {0};
    must(ph_dream(g->model, g->features, &g->o, keep, g, NULL, &err), &err);
}

/* ---- greedy: every text in full ---- */

static int last_value(const ph_score_result *r, void *payload)
{
    *(double *)payload = r->values[r->n - 1];
    return 0;
}

static void check_greedy(const char *path, const char *spec, int sign)
{
    struct given g = {.path = path, .spec = spec};
    int32_t ids[T];
    char what[200];
    ph_error err = {0};

    open_given(&g, "greedy");
    g.o.run.sign = sign;
    dream(&g);
    for (size_t t = 0; t < T; t++) {
        double best = -INFINITY;
        int32_t id = -1;
        for (size_t k = 0; k < g.job.n_ordinary; k++) {
            double value = 0;
            ids[t] = g.job.ordinary[k];
            const ph_text text = {.ids = ids, .n_ids = t + 1};
            must(ph_score(g.model, g.features, &text, &g.o.run, last_value, &value, &err), &err);
            if (sign * value > best) {
                best = sign * value;
                id = ids[t];
            }
        }
        ids[t] = id;
        snprintf(what, sizeof what, "greedy %s %s sign %d, token %zu", path, spec, sign, t);
        same(what, g.ids[t], id, 0);
        same(what, g.curve[t], sign * best, 1e-5);
    }
    close_given(&g);
}

/* ---- descents: the loop again ---- */

struct loop {
    struct given *g;
    ph_session *session;
    int64_t C, V, W;
    float *table; /* (V,C) */
    float *e, *X, *dX, *dE;
};

static int keep_start(const ph_dream_result *r, void *payload)
{
    struct loop *l = payload;
    memcpy(l->e, r->embedding, (size_t)(T * l->C) * sizeof *l->e);
    return 0;
}

static void open_loop(struct loop *l, struct given *g)
{
    const ph_model_info *info = ph_model_get_info(g->model);
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_dream_options start = g->o;
    ph_error err = {0};

    *l = (struct loop){.g = g, .C = info->width, .V = info->vocab};
    o.tap = ph_features_at(g->features, 0)->tap;
    o.tokens = T;
    o.context = g->job.context;
    o.n_context = g->job.n_context;
    o.gradient = true;
    must(ph_session_open(&l->session, g->model, &o, &err), &err);
    l->W = ph_place_width(info, o.tap.place);
    l->table = room((size_t)(l->V * l->C), sizeof *l->table);
    for (int32_t id = 0; id < l->V; id++)
        must(ph_model_embed(g->model, l->table + id * l->C, &id, 1, &err), &err);
    l->e = room((size_t)(T * l->C), sizeof *l->e);
    l->dE = room((size_t)(T * l->C), sizeof *l->dE);
    l->X = room((size_t)(T * l->W), sizeof *l->X);
    l->dX = room((size_t)(T * l->W), sizeof *l->dX);
    /* the start itself: a descent of one step too short to change a float */
    start.method = "descent";
    start.steps = 1;
    start.eta_first = start.eta_last = 1e-30;
    must(ph_dream(g->model, g->features, &start, keep_start, l, NULL, &err), &err);
}

static void close_loop(struct loop *l)
{
    ph_session_close(&l->session);
    free(l->table);
    free(l->e);
    free(l->dE);
    free(l->X);
    free(l->dX);
}

/* Activation (mean over the tokens) and l1 objective of the one component at E; dE of the latter. */
static double run(struct loop *l, double *objective)
{
    const ph_feature *f = ph_features_at(l->g->features, 0);
    ph_error err = {0};
    double sum = 0;

    must(ph_session_forward(l->session, l->X, l->e, 1, &err), &err);
    memset(l->dX, 0, (size_t)(T * l->W) * sizeof *l->dX);
    *objective = 0;
    for (int64_t t = 0; t < T; t++) {
        const double o = (double)l->X[t * l->W + f->components.begin];
        sum += o;
        *objective += fabs(l->g->o.target - o);
        l->dX[t * l->W + f->components.begin] = o < l->g->o.target ? -1 : 1;
    }
    must(ph_session_backward(l->session, l->dE, l->dX, &err), &err);
    return sum / T;
}

static double eta_at(const struct given *g, int step)
{
    return g->o.eta_first + (g->o.eta_last - g->o.eta_first) * step / STEPS;
}

static void softmax(double *x, int64_t V)
{
    double most = x[0], sum = 0;
    for (int64_t v = 0; v < V; v++) most = fmax(most, x[v]);
    for (int64_t v = 0; v < V; v++) sum += x[v] = exp(x[v] - most);
    for (int64_t v = 0; v < V; v++) x[v] /= sum;
}

static void mix(struct loop *l, const double *x)
{
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < l->C; i++) {
            double sum = 0;
            for (int64_t v = 0; v < l->V; v++)
                sum += x[t * l->V + v] * (double)l->table[v * l->C + i];
            l->e[t * l->C + i] = (float)sum;
        }
}

/* x[t,v] = add*x + factor * d_t · w_v, then softmax */
static void turn(struct loop *l, double *x, double add, double factor, const float *d)
{
    for (int64_t t = 0; t < T; t++) {
        for (int64_t v = 0; v < l->V; v++) {
            double dot = 0;
            for (int64_t i = 0; i < l->C; i++)
                dot += (double)d[t * l->C + i] * (double)l->table[v * l->C + i];
            x[t * l->V + v] = add * x[t * l->V + v] + factor * dot;
        }
        softmax(x + t * l->V, l->V);
    }
}

static void check_softmax(const char *path, const char *spec)
{
    struct given g = {.path = path, .spec = spec};
    struct loop l;
    char what[200];

    open_given(&g, "softmax");
    dream(&g);
    open_loop(&l, &g);
    double *x = room((size_t)(T * l.V), sizeof *x), objective;
    turn(&l, x, 0, 1, l.e);
    mix(&l, x);
    for (int step = 0; step <= STEPS; step++) {
        snprintf(what, sizeof what, "softmax %s %s, step %d", path, spec, step);
        same(what, g.curve[step], run(&l, &objective), 1e-4);
        same(what, g.objective[step], objective, 1e-4);
        if (step == STEPS) break;
        turn(&l, x, 1, -eta_at(&g, step), l.dE);
        mix(&l, x);
    }
    for (int64_t t = 0; t < T; t++) {
        const double *at = x + t * l.V;
        double most = 0;
        for (size_t k = 0; k < g.job.n_ordinary; k++) most = fmax(most, at[g.job.ordinary[k]]);
        snprintf(what, sizeof what, "softmax %s %s, weight of token %d", path, spec, (int)t);
        same(what, at[g.ids[t]], most, 1e-4);
    }
    free(x);
    close_loop(&l);
    close_given(&g);
}

/* The penalty at E and its gradient on top of dE: the nearest token by brute force. */
static double penalty(struct loop *l)
{
    double sum = 0;
    for (int64_t t = 0; t < T; t++) {
        double least = INFINITY;
        const float *at = NULL, *e = l->e + t * l->C;
        for (size_t k = 0; k < l->g->job.n_ordinary; k++) {
            const float *w = l->table + l->g->job.ordinary[k] * l->C;
            double d = 0;
            for (int64_t i = 0; i < l->C; i++)
                d += ((double)e[i] - (double)w[i]) * ((double)e[i] - (double)w[i]);
            if (d >= least) continue;
            least = d;
            at = w;
        }
        sum += least;
        for (int64_t i = 0; i < l->C; i++)
            l->dE[t * l->C + i] +=
                (float)(l->g->o.near_weight * 2 * ((double)e[i] - (double)at[i]) / T);
    }
    return l->g->o.near_weight * sum / T;
}

static void check_penalty(const char *path, const char *spec)
{
    struct given g = {.path = path, .spec = spec};
    struct loop l;
    char what[200];
    double objective;

    open_given(&g, "descent");
    g.o.near_weight = 0.3;
    dream(&g);
    open_loop(&l, &g);
    for (int step = 0; step <= STEPS; step++) {
        snprintf(what, sizeof what, "penalty %s %s, step %d", path, spec, step);
        same(what, g.curve[step], run(&l, &objective), 1e-4);
        objective += penalty(&l);
        same(what, g.objective[step], objective, 1e-4);
        for (int64_t i = 0; i < T * l.C; i++) l.e[i] -= (float)eta_at(&g, step) * l.dE[i];
    }
    close_loop(&l);
    close_given(&g);
}

int main(void)
{
    static const char *const models[] = {"tests/data/llama_a.gguf", "tests/data/llama_b.gguf",
                                         "tests/data/llama_c.gguf"};
    static const char *const specs[] = {"block 1 [:, :, 3]", "block 2 mlp [:, :, 5]"};
    for (size_t m = 0; m < 3; m++) {
        for (size_t i = 0; i < 2; i++) {
            check_softmax(models[m], specs[i]);
            check_penalty(models[m], specs[i]);
        }
        check_greedy(models[m], specs[0], 1);
        check_greedy(models[m], "block 2 neuron [:, :, 2]", -1);
    }
    printf("test_methods: %d compared, %d failed\n", compared, failed);
    return failed || !compared;
}
