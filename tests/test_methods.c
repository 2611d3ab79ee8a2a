/* test_methods.c — the methods of dream against plain loops: greedy without reused keys and values,
 * softmax, the nearest-token penalty, pez and gumbel step by step in double.
 *
 * On tiny models. The loops here share nothing with the library's but its forward and backward
 * passes, which other tests check.
 */
#include "base/rng.h"
#include "search/job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    T = 4,
    STEPS =
        3, /* a descent multiplies float32's rounding by up to 6 a step: 4 would reach the tolerance */
    LONG = 12, /* pez does not: its values are those of tokens */
    WIDTH = 64
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
    double curve[LONG + 1], objective[LONG + 1];
    size_t n_curve;
    float e[T * WIDTH];
    double soft;
    int64_t forwards; /* without the re-scoring; of one restart */
    int64_t scan;
};

static int keep(const ph_dream_result *r, void *payload)
{
    struct given *g = payload;
    memcpy(g->ids, r->decodes[0].ids, sizeof g->ids); /* the method's own, where it names tokens */
    g->n_curve = r->n_curve;
    memcpy(g->curve, r->curve, r->n_curve * sizeof *r->curve);
    if (r->objective) memcpy(g->objective, r->objective, r->n_curve * sizeof *r->objective);
    if (r->embedding)
        memcpy(g->e, r->embedding,
               r->n_nearest * (size_t)ph_model_get_info(g->model)->width * sizeof *g->e);
    g->soft = r->answer->activation.soft;
    g->forwards = r->token_forwards - T; /* the repeated token */
    g->scan = r->scan_forwards;
    for (size_t i = 0; i < r->n_decodes; i++)
        g->forwards -= (int64_t)(r->decodes[i].n + r->decodes[i].n_text);
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
    same("greedy: forwards", (double)g.forwards, (double)((T - 1) * (int64_t)g.job.n_ordinary), 0);
    same("greedy: the scan apart", (double)g.scan, (double)ph_model_get_info(g.model)->vocab, 0);
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
        const double x = (double)l->X[t * l->W + f->components.begin];
        const int sign = l->g->o.run.sign;
        sum += x;
        *objective += fabs(l->g->o.target - sign * x);
        l->dX[t * l->W + f->components.begin] = (float)(sign * x < l->g->o.target ? -sign : sign);
    }
    must(ph_session_backward(l->session, l->dE, l->dX, &err), &err);
    return sum / T;
}

static double eta_at(const struct given *g, int step)
{
    return g->o.eta_first + (g->o.eta_last - g->o.eta_first) * step / (double)g->o.steps;
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
    same("softmax: forwards", (double)g.forwards, T * (3 * STEPS + 1), 0);
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

/* Kingma & Ba's step of n numbers, the count of steps beginning at 1; m and v are zero before. */
static void adam(double *x, double *m, double *v, const double *d, double eta, int step, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        m[i] = 0.9 * m[i] + 0.1 * d[i];
        v[i] = 0.999 * v[i] + 0.001 * d[i] * d[i];
        x[i] -= eta * m[i] / (1 - pow(0.9, step)) / (sqrt(v[i] / (1 - pow(0.999, step))) + 1e-8);
    }
}

/* ids (T) = the ordinary tokens of highest cosine with x (T,C), whose embeddings become e. */
static void project(struct loop *l, int32_t *ids, const double *x)
{
    for (int64_t t = 0; t < T; t++) {
        double best = -INFINITY;
        for (size_t k = 0; k < l->g->job.n_ordinary; k++) {
            const int32_t id = l->g->job.ordinary[k];
            double dot = 0, ww = 0, xx = 0;
            for (int64_t i = 0; i < l->C; i++) {
                const double w = (double)l->table[id * l->C + i], e = x[t * l->C + i];
                dot += e * w;
                ww += w * w;
                xx += e * e;
            }
            if (dot / sqrt(ww * xx) <= best) continue;
            best = dot / sqrt(ww * xx);
            ids[t] = id;
        }
        memcpy(l->e + t * l->C, l->table + ids[t] * l->C, (size_t)l->C * sizeof *l->e);
    }
}

/* The values are those of the same tokens by the same passes: they are equal but for the order of a
 * mean. e is below 8 and moves LONG times by at most 0.2, a few roundings of 2^-24 each time. */
static void check_pez(const char *path, const char *spec, int sign)
{
    struct given g = {.path = path, .spec = spec};
    struct loop l;
    char what[200];
    int32_t ids[T], best_ids[T] = {0}, before[T] = {0};
    double best = -INFINITY, objective;
    int moved = 0;

    open_given(&g, "pez");
    g.o.steps = LONG;
    g.o.eta_first = 0.2;
    g.o.optimizer = "adamw";
    g.o.run.sign = sign;
    dream(&g);
    open_loop(&l, &g);
    const int64_t n = T * l.C;
    double *x = room((size_t)(4 * n), sizeof *x), *d = x + n, *m = d + n, *v = m + n;
    for (int64_t i = 0; i < n; i++) x[i] = (double)l.e[i];
    for (int step = 0; step <= LONG; step++) {
        project(&l, ids, x);
        moved += step && memcmp(ids, before, sizeof ids) != 0;
        memcpy(before, ids, sizeof ids);
        const double a = run(&l, &objective);
        snprintf(what, sizeof what, "pez %s %s sign %d, step %d", path, spec, sign, step);
        same(what, g.curve[step], a, 1e-12);
        same(what, g.objective[step], objective, 1e-12);
        if (sign * a > best) {
            best = sign * a;
            memcpy(best_ids, ids, sizeof ids);
        }
        if (step == LONG) break;
        for (int64_t i = 0; i < n; i++) {
            x[i] *= 1 - 0.1 * eta_at(&g, step);
            d[i] = (double)l.dE[i];
        }
        adam(x, m, v, d, eta_at(&g, step), step + 1, n);
    }
    same(what, memcmp(g.ids, best_ids, sizeof g.ids), 0, 0);
    for (int64_t i = 0; i < n; i++) same(what, (double)g.e[i], x[i], 1e-5);
    memcpy(l.e, g.e, (size_t)n * sizeof *l.e);
    same(what, g.soft, run(&l, &objective), 1e-12);
    same("pez: forwards", (double)g.forwards, T * (3 * LONG + 2), 0);
    same("pez: the projections move", moved > 2, 1, 0);
    free(x);
    close_loop(&l);
    close_given(&g);
}

/* ---- gumbel ---- */

static double noise(ph_rng *r)
{
    return -log(-log(((double)(ph__rng_next(r) >> 41) + 0.5) / 8388608));
}

/* p (T,V) = softmax((x + noise) / tau) over the ordinary tokens, and e = p W. */
static void spread(struct loop *l, double *p, const double *x, double tau, ph_rng *rng)
{
    const ph_job *job = &l->g->job;
    for (int64_t t = 0; t < T; t++) {
        for (int64_t v = 0; v < l->V; v++) p[t * l->V + v] = -INFINITY;
        for (size_t k = 0; k < job->n_ordinary; k++) {
            const int64_t at = t * l->V + job->ordinary[k];
            p[at] = (x[at] + (rng ? noise(rng) : 0)) / tau;
        }
        softmax(p + t * l->V, l->V);
    }
    mix(l, p);
}

/* d (T,V) = the gradient on x of what has the gradient dE on e = p W. */
static void turn_back(struct loop *l, double *d, const double *p, double tau)
{
    for (int64_t t = 0; t < T; t++) {
        double *s = d + t * l->V, mean = 0;
        for (int64_t v = 0; v < l->V; v++) {
            s[v] = 0;
            for (int64_t i = 0; i < l->C; i++)
                s[v] += (double)l->dE[t * l->C + i] * (double)l->table[v * l->C + i];
            mean += p[t * l->V + v] * s[v];
        }
        for (int64_t v = 0; v < l->V; v++) s[v] = p[t * l->V + v] * (s[v] - mean) / tau;
    }
}

/* The activation of the tokens of largest x + noise. */
static double sample(struct loop *l, int32_t *ids, const double *x, ph_rng *rng)
{
    double objective;
    for (int64_t t = 0; t < T; t++) {
        double most = -INFINITY;
        for (size_t k = 0; k < l->g->job.n_ordinary; k++) {
            const int32_t id = l->g->job.ordinary[k];
            const double v = x[t * l->V + id] + (rng ? noise(rng) : 0);
            if (v <= most) continue;
            most = v;
            ids[t] = id;
        }
        memcpy(l->e + t * l->C, l->table + ids[t] * l->C, (size_t)l->C * sizeof *l->e);
    }
    return run(l, &objective);
}

static void check_gumbel(const char *path, const char *spec)
{
    struct given g = {.path = path, .spec = spec};
    struct loop l;
    char what[200];
    double objective, best = -INFINITY;
    int32_t ids[T], best_ids[T] = {0};

    open_given(&g, "gumbel");
    g.o.optimizer = "adam";
    g.o.eta_first = 0.3;
    g.o.run.seed = 5;
    dream(&g);
    open_loop(&l, &g);
    const int64_t n = T * l.V;
    double *x = room((size_t)(5 * n), sizeof *x), *p = x + n, *d = p + n, *m = d + n, *v = m + n;
    ph_rng rng = ph__rng(5, (uint64_t)3 << 40);
    for (int64_t t = 0; t < T; t++)
        for (int64_t w = 0; w < l.V; w++)
            for (int64_t i = 0; i < l.C; i++)
                x[t * l.V + w] += (double)l.e[t * l.C + i] * (double)l.table[w * l.C + i];
    for (int step = 0; step <= STEPS; step++) {
        const double tau = 2 * pow(0.05, step / (double)STEPS);
        spread(&l, p, x, tau, step < STEPS ? &rng : NULL);
        snprintf(what, sizeof what, "gumbel %s %s, step %d", path, spec, step);
        same(what, g.curve[step], run(&l, &objective), 1e-4);
        same(what, g.objective[step], objective, 1e-4);
        if (step == STEPS) break;
        turn_back(&l, d, p, tau);
        adam(x, m, v, d, eta_at(&g, step), step + 1, n);
    }
    for (int64_t i = 0; i < T * l.C; i++) same(what, (double)g.e[i], (double)l.e[i], 1e-4);
    for (int i = 0; i < 16; i++) {
        const double a = sample(&l, ids, x, i ? &rng : NULL);
        if (a <= best) continue;
        best = a;
        memcpy(best_ids, ids, sizeof ids);
    }
    same(what, memcmp(g.ids, best_ids, sizeof g.ids), 0, 0);
    same(what, g.soft, g.curve[STEPS], 0);
    same("gumbel: forwards", (double)g.forwards, T * (3 * STEPS + 1 + 16), 0);
    free(x);
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
            check_pez(models[m], specs[i], i ? -1 : 1);
            check_gumbel(models[m], specs[i]);
        }
        check_greedy(models[m], specs[0], 1);
        check_greedy(models[m], "block 2 neuron [:, :, 2]", -1);
    }
    printf("test_methods: %d compared, %d failed\n", compared, failed);
    return failed || !compared;
}
