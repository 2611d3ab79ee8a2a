/* test_fluent.c — distributions, cross-entropy and its gradient against whole texts in double; the
 * front against brute force.
 */
#include "base/rng.h"
#include "plain.h"
#include "search/front.h"

#include <float.h>

enum { LONGEST = 4, TEXTS = 23, DIRECTIONS = 4, TOP = 7, FINDS = 400 };

static int compared, failed;

static void same(const char *what, int64_t i, double a, double b, double allowed)
{
    compared++;
    if (fabs(a - b) <= allowed || (isnan(a) && isnan(b))) return;
    failed++;
    printf("FAIL %s of %lld: %.12g, expected %.12g, %.2f of allowed\n", what, (long long)i, a, b,
           fabs(a - b) / allowed);
}

struct given {
    ph_model *model;
    ph_job job;
    ph_fluent *fluent;
    int64_t V, C;
    int32_t ids[TEXTS][LONGEST];
    ph_fluent_text texts[TEXTS];
    const float *W; /* (V,C) */
    ph_rng rng;
};

static void open_given(struct given *g, const char *path, const char *backend, ph_bos bos)
{
    ph_model_options m = PH_MODEL_OPTIONS_INIT;
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    ph_error err = {0};

    *g = (struct given){.rng = ph__rng(3, 4)};
    m.backend = backend;
    m.threads = 1;
    run.bos = bos;
    run.prefix = bos == PH_BOS_OFF ? NULL : "ab";
    must(ph_model_open(&g->model, path, &m, &err), &err);
    must(ph__job_open(&g->job, g->model, &run, &err), &err);
    must(ph__fluent_open(&g->fluent, &g->job, LONGEST, &err), &err);
    must(ph__model_embedding(&g->W, NULL, g->model, &err), &err);
    g->V = g->model->arch.V;
    g->C = g->model->arch.C;
    for (int64_t i = 0; i < TEXTS; i++) {
        const int64_t n = 1 + (int64_t)ph__rng_below(&g->rng, LONGEST);
        for (int64_t t = 0; t < n; t++)
            g->ids[i][t] = g->job.ordinary[ph__rng_below(&g->rng, g->job.n_ordinary)];
        g->texts[i] = (ph_fluent_text){g->ids[i], n};
    }
}

static void close_given(struct given *g)
{
    ph__fluent_close(&g->fluent);
    ph__job_close(&g->job);
    ph_model_close(&g->model);
}

/* ---- H as a function of weights over the vocabulary ---- */

/* H with `step` more of token v at position t beside the text's own tokens: through the embedding, and
 * as a token that is predicted. */
static double moved(struct plain *p, const struct given *g, const int32_t *ids, int64_t t,
                    int32_t v, double step)
{
    double *log_p = room(p->n * p->W), sum = 0;

    plain_embed(p, ids);
    for (int64_t c = 0; c < g->C; c++)
        p->E[(p->P + t) * g->C + c] += step * (double)g->W[v * g->C + c];
    plain_run(p);
    plain_log_p(p, log_p);
    for (int64_t u = 0; u < p->n; u++) sum -= log_p[u * p->W + ids[u]];
    sum -= step * log_p[t * p->W + v];
    free(log_p);
    return sum / (double)plain_counted(p);
}

/* Central differences of fourth order. Allowed: their rounding, and that of float32 in each of the
 * library's terms. */
static void check_derivative(const struct given *g, int64_t i, const ph_fluency *f, struct plain *p,
                             int64_t t, int32_t v)
{
    const int32_t *ids = g->ids[i];
    const double h = 1e-3;
    double exact = 0, terms = 0;

    for (int64_t c = 0; c < g->C; c++) {
        const double x = (double)f->gradient[t * g->C + c] * (double)g->W[v * g->C + c];
        exact += x;
        terms += fabs(x);
    }
    const double own = (double)f->log_p[t * g->V + v] / (double)f->counted;
    exact -= own;
    terms += fabs(own);
    const double up = moved(p, g, ids, t, v, h), down = moved(p, g, ids, t, v, -h);
    const double far_up = moved(p, g, ids, t, v, 2 * h), far_down = moved(p, g, ids, t, v, -2 * h);
    const double numeric = (8 * (up - down) - (far_up - far_down)) / (12 * h);
    const double rounding = 16 * DBL_EPSILON * 18 * fabs(up) / (12 * h);
    same("derivative", i, exact, numeric,
         rounding + 1e-7 * fabs(numeric) + (double)FLT_EPSILON * terms);
}

static ph_status check_slope(int64_t i, const ph_fluency *f, void *payload, ph_error *err)
{
    struct given *g = payload;
    const int64_t n = g->texts[i].n;
    struct plain p;
    double *log_p = room(n * g->V), sum = 0;

    (void)err;
    plain_open(&p, &g->job, (ph_tap){PH_PLACE_LOGITS, false, 0}, n);
    plain_embed(&p, g->ids[i]);
    plain_run(&p);
    plain_log_p(&p, log_p);
    for (int64_t k = 0; k < n * g->V; k++)
        same("ln p", i, (double)f->log_p[k], log_p[k], (double)FLT_EPSILON * fabs(log_p[k]));
    for (int64_t t = 0; t < n; t++) sum -= log_p[t * g->V + g->ids[i][t]];
    same("counted", i, (double)f->counted, (double)plain_counted(&p), 0);
    if (f->counted) {
        same("cross", i, f->cross, sum / (double)f->counted, 1e-12);
        for (int k = 0; k < DIRECTIONS; k++)
            check_derivative(g, i, f, &p, (int64_t)ph__rng_below(&g->rng, (uint64_t)n),
                             (int32_t)ph__rng_below(&g->rng, (uint64_t)g->V));
    } else {
        same("cross", i, f->cross, (double)NAN, 0);
    }
    plain_close(&p);
    free(log_p);
    return PH_OK;
}

/* ---- the most probable tokens, and the plain cross-entropy ---- */

/* How many ordinary tokens are more probable, or as probable with a lower id. */
static int64_t rank_of(const struct given *g, const double *log_p, int32_t id)
{
    int64_t before = 0;
    for (size_t k = 0; k < g->job.n_ordinary; k++) {
        const int32_t v = g->job.ordinary[k];
        before += log_p[v] > log_p[id] || (log_p[v] == log_p[id] && v < id);
    }
    return before;
}

static void check_top(struct given *g, int64_t i, double tolerance)
{
    const int64_t n = g->texts[i].n;
    ph_near top[LONGEST * TOP];
    double cross = 0, sum = 0, *log_p = room(n * g->V);
    ph_error err = {0};
    struct plain p;

    plain_open(&p, &g->job, (ph_tap){PH_PLACE_LOGITS, false, 0}, n);
    plain_embed(&p, g->ids[i]);
    plain_run(&p);
    plain_log_p(&p, log_p);
    must(ph__fluent_top(g->fluent, top, TOP, g->ids[i], n, &err), &err);
    for (int64_t t = 0; t < n; t++)
        for (int64_t k = 0; k < TOP; k++) {
            const ph_near x = top[t * TOP + k];
            if (p.P + t == 0) {
                same("no token", i, x.id, -1, 0);
                continue;
            }
            same("ln p of a top token", i, x.value, log_p[t * g->V + x.id], tolerance);
            same("rank", i, (double)rank_of(g, log_p + t * g->V, x.id), (double)k, 0);
        }
    for (int64_t t = 0; t < n; t++) sum -= log_p[t * g->V + g->ids[i][t]];
    must(ph__fluent_cross(&cross, g->fluent, g->ids[i], (size_t)n, NULL, 0, &err), &err);
    same("plain cross", i, cross, plain_counted(&p) ? sum / (double)plain_counted(&p) : (double)NAN,
         tolerance);
    plain_close(&p);
    free(log_p);
}

/* A text behind another context than the job's. */
static void check_context(struct given *g)
{
    const int32_t all[] = {g->ids[0][0], g->ids[1][0], g->ids[2][0], g->ids[3][0]};
    double whole, parts, first;
    ph_error err = {0};

    must(ph__fluent_cross(&whole, g->fluent, all + 1, 3, all, 1, &err), &err);
    must(ph__fluent_cross(&first, g->fluent, all + 1, 1, all, 1, &err), &err);
    must(ph__fluent_cross(&parts, g->fluent, all + 2, 2, all, 2, &err), &err);
    same("cross behind a context", 0, whole, (first + 2 * parts) / 3, 1e-5);
    must(ph__fluent_cross(&whole, g->fluent, all, 0, NULL, 0, &err), &err);
    same("cross of nothing", 0, whole, (double)NAN, 0);
}

/* Draws follow the distribution, never repeat, and end with the last token. */
static void check_draws(struct given *g)
{
    enum { N = 3000 };
    float *scores = calloc((size_t)g->V, sizeof *scores);
    int first = 0, second = 0;
    ph_error err = {0};
    ph_draws d;

    for (int64_t v = 0; v < g->V; v++) scores[v] = -INFINITY;
    scores[g->job.allowed[1]] = logf(3);
    scores[g->job.allowed[4]] = 0;
    for (int i = 0; i < N; i++) {
        must(ph__draws_open(&d, &g->job, scores, &err), &err);
        const int32_t a = ph__draw(&d, &g->rng), b = ph__draw(&d, &g->rng);
        first += a == g->job.allowed[1];
        second += a + b == g->job.allowed[1] + g->job.allowed[4] && a != b;
        same("nothing left", i, ph__draw(&d, &g->rng), -1, 0);
        ph__draws_close(&d);
    }
    same("share of draws", 0, (double)first / N, 0.75, 5 * sqrt(0.75 * 0.25 / N));
    same("both are drawn", 0, second, N, 0);
    free(scores);
}

static void check_model(const char *path, ph_bos bos)
{
    struct given g;
    ph_error err = {0};

    open_given(&g, path, "ref64", bos);
    must(ph__fluent_slopes(g.fluent, g.texts, TEXTS, check_slope, &g, &err), &err);
    for (int64_t i = 0; i < 6; i++) check_top(&g, i, 2e-6);
    check_context(&g);
    check_draws(&g);
    close_given(&g);
    open_given(&g, path, NULL, bos);
    for (int64_t i = 0; i < 6; i++) check_top(&g, i, 2e-5);
    close_given(&g);
}

/* ---- the front ---- */

static bool dominated(const ph_find *f, const ph_find *list, int64_t i, int sign)
{
    for (int64_t k = 0; k < FINDS; k++) {
        const double x = sign * list[k].activation, y = sign * f->activation;
        if (list[k].outlier || isnan(list[k].cross)) continue;
        if (x >= y && list[k].cross <= f->cross && (x > y || list[k].cross < f->cross || k < i))
            return true;
    }
    return false;
}

/* Values on a coarse grid, so that there are equals, or on a line, so that the front overflows. */
static void check_front(int sign, bool line)
{
    ph_dream_options o = PH_DREAM_OPTIONS_INIT;
    ph_job job = {.run.sign = sign};
    ph_task task = {.job = &job, .o = &o, .shortest = 1};
    const ph_hunt h = {.task = &task};
    ph_quarry *q = calloc(1, sizeof *q);
    ph_find *list = calloc(FINDS, sizeof *list);
    ph_rng rng = ph__rng(9, (uint64_t)(sign + 5));
    int64_t expected = 0;

    for (int64_t i = 0; i < FINDS; i++) {
        ph_find *f = &list[i];
        *f = (ph_find){.n = 1, .ids = {(int32_t)i}, .outlier = i % 11 == 0};
        f->cross = (double)ph__rng_below(&rng, 40);
        f->activation = line ? sign * f->cross : (double)ph__rng_below(&rng, 40) + f->cross / 2;
        if (line) f->activation += sign * 0.5 * (double)i, f->cross += 0.5 * (double)i;
        if (i % 17 == 0) f->cross = (double)NAN;
        ph__front_show(&h, q, f);
    }
    for (int32_t i = 1; i < q->n_front; i++)
        same("order along the front", i,
             sign * q->front[i - 1].activation > sign * q->front[i].activation &&
                 q->front[i - 1].cross > q->front[i].cross,
             1, 0);
    for (int64_t i = 0; i < FINDS && !line; i++) {
        bool on = false;
        for (int32_t k = 0; k < q->n_front; k++) on |= q->front[k].ids[0] == i;
        const bool should =
            !list[i].outlier && !isnan(list[i].cross) && !dominated(&list[i], list, i, sign);
        same("stands on the front", i, on, should, 0);
        expected += should;
    }
    if (line) expected = PH_FRONT;
    same("length of the front", sign, q->n_front, (double)expected, 0);
    free(list);
    free(q);
}

/* Outliers stand as long as nothing else does; dropped ones never, kept ones like any other. */
static void check_outliers(ph_outliers outliers)
{
    static const int expected[][4] = {[PH_OUTLIERS_LAST] = {1, 2, 1, 1},
                                      [PH_OUTLIERS_KEEP] = {1, 2, 2, 3},
                                      [PH_OUTLIERS_DROP] = {0, 0, 1, 1}};
    const ph_find list[] = {{.n = 1, .activation = 5, .cross = 5, .outlier = true},
                            {.n = 1, .activation = 6, .cross = 6, .outlier = true},
                            {.n = 1, .activation = 1, .cross = 7},
                            {.n = 1, .activation = 7, .cross = 8, .outlier = true}};
    ph_dream_options o = PH_DREAM_OPTIONS_INIT;
    ph_job job = {.run.sign = 1};
    ph_task task = {.job = &job, .o = &o, .shortest = 1};
    const ph_hunt h = {.task = &task};
    ph_quarry *q = calloc(1, sizeof *q);

    o.outliers = outliers;
    for (int i = 0; i < 4; i++) {
        ph__front_show(&h, q, &list[i]);
        same("front with outliers", i, q->n_front, expected[outliers][i], 0);
    }
    free(q);
}

int main(void)
{
    static const char *const paths[] = {"tests/data/llama_a.gguf", "tests/data/llama_b.gguf",
                                        "tests/data/llama_c.gguf"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        check_model(paths[i], PH_BOS_AUTO);
        check_model(paths[i], PH_BOS_OFF);
    }
    for (int sign = -1; sign <= 1; sign += 2) {
        check_front(sign, false);
        check_front(sign, true);
    }
    check_outliers(PH_OUTLIERS_LAST);
    check_outliers(PH_OUTLIERS_KEEP);
    check_outliers(PH_OUTLIERS_DROP);
    printf("%d compared, %d failed\n", compared, failed);
    return failed || !compared;
}
