/* test_epo.c — epo and beam against references written from the papers: plain loops in double over
 * whole texts, the same random numbers in, the same texts out. And epo without weights as swap.
 */
#include "base/rng.h"
#include "plain.h"

enum { T = 3, MEMBERS = 6, MOST = 4000, KEPT = 64 };

static int compared, failed;

static void same(const char *what, int64_t i, double a, double b, double allowed)
{
    compared++;
    if (fabs(a - b) <= allowed) return;
    failed++;
    printf("FAIL %s, %lld: %.12g, expected %.12g\n", what, (long long)i, a, b);
}

/* ---- what the library answers ---- */

struct answer {
    int32_t ids[T], front[KEPT][T];
    double activation, cross, points[KEPT][2];
    size_t n_front;
    int64_t forwards;
};

static int take(const ph_dream_result *r, void *payload)
{
    struct answer *a = payload;
    if (r->rank) return 0;
    memcpy(a->ids, r->answer->ids, sizeof a->ids);
    a->activation = r->answer->activation.ids;
    a->cross = r->cross_entropy;
    a->forwards = r->token_forwards;
    a->n_front = r->n_front;
    for (size_t i = 0; i < r->n_front && i < KEPT; i++) {
        memcpy(a->front[i], r->front[i].ids, sizeof a->front[i]);
        a->points[i][0] = r->front[i].activation.ids;
        a->points[i][1] = r->front[i].cross_entropy;
    }
    return 0;
}

static ph_dream_options options(const char *method)
{
    ph_dream_options o = PH_DREAM_OPTIONS_INIT;
    o.method = method;
    o.tokens = T;
    o.top = 1;
    o.top_k = 16;
    o.width = 5;
    o.population = MEMBERS;
    o.children = 7;
    o.restart_every = 4;
    o.run.seed = 11;
    o.round_trip = PH_ROUND_TRIP_OFF;
    o.outliers = PH_OUTLIERS_KEEP;
    return o;
}

/* ---- the reference ---- */

struct text {
    int32_t ids[T];
    double activation, cross;
};

struct world {
    ph_model *model;
    ph_features *features;
    const ph_feature *feature;
    ph_job job;
    struct plain taps[T + 1], logits[T + 1]; /* for texts of so many tokens */
    const float *W;
    int64_t V, C;
    struct text seen[MOST]; /* everything that was evaluated in full length */
    int64_t n_seen;
    int32_t refused[MOST][T + 1]; /* length and ids of what may not be proposed again */
    int64_t n_refused, spent;
};

static void open_world(struct world *w, const char *path, const ph_dream_options *o,
                       const char *spec)
{
    ph_model_options m = PH_MODEL_OPTIONS_INIT;
    ph_error err = {0};

    memset(w, 0, sizeof *w);
    m.backend = "ref64";
    m.threads = 1;
    must(ph_model_open(&w->model, path, &m, &err), &err);
    must(ph_features_parse(&w->features, ph_model_get_info(w->model), spec, &err), &err);
    must(ph__job_open(&w->job, w->model, &o->run, &err), &err);
    must(ph__model_embedding(&w->W, NULL, w->model, &err), &err);
    w->feature = ph_features_at(w->features, 0);
    w->V = w->model->arch.V;
    w->C = w->model->arch.C;
    for (int64_t n = 1; n <= T; n++) {
        plain_open(&w->taps[n], &w->job, w->feature->tap, n);
        plain_open(&w->logits[n], &w->job, (ph_tap){PH_PLACE_LOGITS, false, 0}, n);
    }
}

static void close_world(struct world *w)
{
    for (int64_t n = 1; n <= T; n++) {
        plain_close(&w->taps[n]);
        plain_close(&w->logits[n]);
    }
    ph__job_close(&w->job);
    ph_features_close(&w->features);
    ph_model_close(&w->model);
}

/* Mean over the tokens of the feature's one component; mean of -ln p. log_p (n,V) NULL allowed. */
static void evaluate(struct world *w, struct text *x, int64_t n, double *log_p)
{
    struct plain *p = &w->taps[n], *l = &w->logits[n];
    const int64_t component = w->feature->components.begin;
    double *own = room(n * w->V);

    plain_embed(p, x->ids);
    plain_run(p);
    x->activation = x->cross = 0;
    for (int64_t t = 0; t < n; t++)
        x->activation += p->X[(p->P + t) * p->W + component] / (double)n;
    plain_embed(l, x->ids);
    plain_run(l);
    plain_log_p(l, own);
    for (int64_t t = 0; t < n; t++)
        x->cross -= own[t * w->V + x->ids[t]] / (double)plain_counted(l);
    if (log_p) memcpy(log_p, own, (size_t)(n * w->V) * sizeof *own);
    if (n == T && w->n_seen < MOST) w->seen[w->n_seen++] = *x;
    free(own);
}

static bool propose(struct world *w, const int32_t *ids, int32_t n)
{
    for (int64_t i = 0; i < w->n_refused; i++)
        if (w->refused[i][0] == n && !memcmp(w->refused[i] + 1, ids, (size_t)n * sizeof *ids))
            return false;
    if (w->n_refused == MOST) exit(1);
    w->refused[w->n_refused][0] = n;
    memcpy(w->refused[w->n_refused++] + 1, ids, (size_t)n * sizeof *ids);
    return true;
}

/* The front of all texts seen, by comparing each with each; of equals the first. */
static bool on_front(const struct world *w, int64_t i, int sign)
{
    const struct text *x = &w->seen[i];
    for (int64_t k = 0; k < w->n_seen; k++) {
        const struct text *y = &w->seen[k];
        const double more = sign * (y->activation - x->activation), less = x->cross - y->cross;
        if (more >= 0 && less >= 0 && (more > 0 || less > 0)) return false;
        if (k < i && !memcmp(x->ids, y->ids, sizeof x->ids)) return false;
    }
    return true;
}

static void compare(const struct world *w, const struct answer *a, int sign, const char *what)
{
    int64_t best = 0;
    size_t front = 0;

    for (int64_t i = 0; i < w->n_seen; i++) {
        bool there = false;
        if (sign * w->seen[i].activation > sign * w->seen[best].activation) best = i;
        if (!on_front(w, i, sign)) continue;
        front++;
        for (size_t k = 0; k < a->n_front && k < KEPT; k++) {
            if (memcmp(a->front[k], w->seen[i].ids, sizeof a->front[k]) != 0) continue;
            there = true;
            same(what, i, a->points[k][0], w->seen[i].activation, 1e-5);
            same(what, i, a->points[k][1], w->seen[i].cross, 1e-5);
        }
        same("on the front", i, there, 1, 0);
    }
    same("length of the front", 0, (double)a->n_front, (double)front, 0);
    for (size_t i = 1; i < a->n_front; i++)
        same("order of the front", (int64_t)i,
             sign * a->points[i - 1][0] > sign * a->points[i][0] &&
                 a->points[i - 1][1] > a->points[i][1],
             1, 0);
    for (int64_t t = 0; t < T; t++) same("best text", t, a->ids[t], w->seen[best].ids[t], 0);
    same("its activation", 0, a->activation, w->seen[best].activation, 1e-5);
    same("its cross-entropy", 0, a->cross, w->seen[best].cross, 1e-5);
}

/* ---- epo ---- */

struct place {
    struct text at;
    double lambda;
    ph_rng rng;
    int32_t top[T][MOST];
};

struct scored {
    double score;
    int32_t id;
};

static int by_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score) - (x->score > y->score)
                                : (x->id > y->id) - (x->id < y->id);
}

/* The tokens by the derivative of sign × activation - lambda × cross with respect to one-hot tokens. */
static void rank_tokens(struct world *w, struct place *m, int sign)
{
    struct plain *p = &w->taps[T], *l = &w->logits[T];
    const int64_t seen = w->n_seen, V = w->V, C = w->C, counted = plain_counted(l);
    double *log_p = room(T * V), *dX = room(p->T * p->W), *dL = room(l->T * V);
    struct scored *list = calloc((size_t)V, sizeof *list);

    evaluate(w, &m->at, T, log_p);
    w->n_seen = seen;
    for (int64_t t = 0; t < T; t++) dX[(p->P + t) * p->W + w->feature->components.begin] = 1.0 / T;
    for (int64_t t = l->P ? 0 : 1; t < T; t++)
        for (int64_t v = 0; v < V; v++)
            dL[(l->P + t - 1) * V + v] =
                (exp(log_p[t * V + v]) - (v == m->at.ids[t])) / (double)counted;
    const double *g = plain_back(p, dX), *h = plain_back(l, dL);
    for (int64_t t = 0; t < T; t++) {
        for (size_t k = 0; k < w->job.n_ordinary; k++) {
            const int32_t v = w->job.ordinary[k];
            list[k] = (struct scored){m->lambda * log_p[t * V + v] / (double)counted, v};
            for (int64_t c = 0; c < C; c++)
                list[k].score +=
                    (sign * g[t * C + c] - m->lambda * h[t * C + c]) * (double)w->W[v * C + c];
        }
        qsort(list, w->job.n_ordinary, sizeof *list, by_score);
        for (size_t k = 0; k < w->job.n_ordinary && k < MOST; k++) m->top[t][k] = list[k].id;
    }
    free(list);
    free(log_p);
    free(dX);
    free(dL);
}

static void start(struct world *w, struct place *m, int64_t i, const ph_dream_options *o)
{
    const double a = log(o->lambda_first), b = log(o->lambda_last);

    m->rng = ph__rng(o->run.seed, ((uint64_t)1 << 42) + (uint64_t)i);
    m->lambda = o->lambda_first > 0 ? exp(a + (b - a) * (double)i / (MEMBERS - 1)) : 0;
    (void)ph__rng_below(&m->rng, 1); /* the length */
    for (int64_t t = 0; t < T; t++)
        m->at.ids[t] = w->job.ordinary[ph__rng_below(&m->rng, w->job.n_ordinary)];
    evaluate(w, &m->at, T, NULL);
}

static double worth(const struct text *x, double lambda, int sign)
{
    return sign * x->activation - (lambda > 0 ? lambda * x->cross : 0);
}

static void epo_step(struct world *w, struct place *m, const ph_dream_options *o)
{
    struct text children[256], next[MEMBERS];
    int64_t n = 0;

    for (int64_t i = 0; i < MEMBERS; i++) {
        int64_t made = 0;
        rank_tokens(w, &m[i], o->run.sign);
        for (int64_t tries = 0; made < o->children && tries < 8 * o->children; tries++) {
            struct text c = m[i].at;
            const uint64_t t = ph__rng_below(&m[i].rng, T);
            c.ids[t] = m[i].top[t][ph__rng_below(&m[i].rng, (uint64_t)o->top_k)];
            if (!propose(w, c.ids, T)) continue;
            children[n++] = c;
            made++;
        }
    }
    for (int64_t j = 0; j < n; j++) evaluate(w, &children[j], T, NULL);
    for (int64_t i = 0; i < MEMBERS; i++) {
        next[i] = m[i].at;
        for (int64_t j = -MEMBERS; j < n; j++) {
            const struct text *x = j < 0 ? &m[j + MEMBERS].at : &children[j];
            if (worth(x, m[i].lambda, o->run.sign) > worth(&next[i], m[i].lambda, o->run.sign))
                next[i] = *x;
        }
    }
    for (int64_t i = 0; i < MEMBERS; i++) m[i].at = next[i];
}

static void check_epo(const char *path, const char *spec, ph_bos bos, int sign, bool weights)
{
    static struct world w;
    static struct place m[MEMBERS];
    ph_dream_options o = options("epo");
    struct answer a = {0};
    ph_error err = {0};

    o.steps = 10;
    o.budget = INT64_MAX;
    o.run.bos = bos;
    o.run.sign = sign;
    if (!weights) o.lambda_first = o.lambda_last = 0;
    open_world(&w, path, &o, spec);
    ph_rng restarts = ph__rng(o.run.seed, (uint64_t)1 << 43);
    for (int64_t i = 0; i < MEMBERS; i++) start(&w, &m[i], i, &o);
    for (int64_t s = 1; s <= o.steps; s++) {
        epo_step(&w, m, &o);
        if (s % o.restart_every) continue;
        const struct text one = m[ph__rng_below(&restarts, MEMBERS)].at;
        for (int64_t i = 0; i < MEMBERS; i++) m[i].at = one;
    }
    must(ph_dream(w.model, w.features, &o, take, &a, NULL, &err), &err);
    compare(&w, &a, sign, "epo");
    close_world(&w);
}

/* ---- beam ---- */

/* Draw by cumulated probability among the ordinary tokens that are left. */
static int32_t draw(const struct world *w, double *p, ph_rng *rng)
{
    double sum = 0;
    size_t k = 0, last = w->job.n_ordinary;
    for (size_t i = 0; i < w->job.n_ordinary; i++) sum += p[i];
    double at = sum * ((double)(ph__rng_next(rng) >> 11) / 9007199254740992.0);
    for (; k < w->job.n_ordinary; k++) {
        if (p[k] == 0) continue;
        last = k;
        if ((at -= p[k]) < 0) break;
    }
    if (last == w->job.n_ordinary) return -1;
    p[last] = 0;
    return w->job.ordinary[last];
}

/* Up to `width` continuations of a text of n tokens (0: none), as the model would go on. */
static int64_t extend(struct world *w, const struct text *x, int32_t n, struct text *out,
                      const ph_dream_options *o, ph_rng *rng)
{
    double *p = room((int64_t)w->job.n_ordinary), *log_p = room(T * w->V);
    struct text longer = *x;
    const int64_t seen = w->n_seen;
    int64_t made = 0;

    /* the distribution at the place of the next token does not depend on what stands there */
    longer.ids[n] = w->job.ordinary[0];
    evaluate(w, &longer, n + 1, log_p);
    w->n_seen = seen;
    for (size_t k = 0; k < w->job.n_ordinary; k++) p[k] = exp(log_p[n * w->V + w->job.ordinary[k]]);
    for (int64_t tries = 0; made < o->width && tries < 8 * o->width; tries++) {
        longer.ids[n] = draw(w, p, rng);
        if (longer.ids[n] < 0) break;
        if (n && !propose(w, longer.ids, n + 1)) continue;
        out[made++] = longer;
    }
    free(p);
    free(log_p);
    return made;
}

static void sweep(struct world *w, const ph_dream_options *o, ph_rng *rng)
{
    struct text beams[16], next[16], children[256];
    const struct text nothing = {0};
    int64_t n = extend(w, &nothing, 0, beams, o, rng);

    for (int64_t i = 0; i < n; i++) evaluate(w, &beams[i], 1, NULL);
    w->spent += n;
    for (int32_t length = 2; length <= T; length++) {
        int64_t made = 0, kept = 0;
        if (length > 2) w->spent += n * (length - 1);
        for (int64_t i = 0; i < n; i++)
            made += extend(w, &beams[i], length - 1, children + made, o, rng);
        w->spent += 2 * made;
        for (int64_t j = 0; j < made; j++) {
            int64_t at = kept;
            evaluate(w, &children[j], length, NULL);
            while (at > 0 &&
                   o->run.sign * children[j].activation > o->run.sign * next[at - 1].activation)
                at--;
            if (at == o->width) continue;
            if (kept < o->width) kept++;
            for (int64_t k = kept - 1; k > at; k--) next[k] = next[k - 1];
            next[at] = children[j];
        }
        memcpy(beams, next, (size_t)kept * sizeof *next);
        n = kept;
    }
}

static void check_beam(const char *path, const char *spec, ph_bos bos, int sign)
{
    static struct world w;
    ph_dream_options o = options("beam");
    struct answer a = {0};
    ph_error err = {0};

    o.budget = 700;
    o.run.bos = bos;
    o.run.sign = sign;
    open_world(&w, path, &o, spec);
    ph_rng rng = ph__rng(o.run.seed, (uint64_t)1 << 44);
    while (w.spent < o.budget) sweep(&w, &o, &rng);
    must(ph_dream(w.model, w.features, &o, take, &a, NULL, &err), &err);
    compare(&w, &a, sign, "beam");
    same("beam's cost", 0, (double)(a.forwards > w.spent && a.forwards < w.spent + 30 * 3 * T), 1,
         0);
    close_world(&w);
}

/* ---- epo with one member and without weights is swap that stays ---- */

static void check_swap(const char *path, const char *spec)
{
    ph_model_options m = PH_MODEL_OPTIONS_INIT;
    ph_model *model = NULL;
    ph_features *features = NULL;
    ph_error err = {0};
    int differ = 0;
    struct answer last = {0};

    m.threads = 1;
    must(ph_model_open(&model, path, &m, &err), &err);
    must(ph_features_parse(&features, ph_model_get_info(model), spec, &err), &err);
    for (int64_t budget = 30; budget < 2500; budget += 130) {
        struct answer a = {0}, b = {0};
        ph_dream_options o = options("epo");
        o.round_trip = PH_ROUND_TRIP_DEFAULT;
        o.outliers = PH_OUTLIERS_LAST;
        o.budget = budget;
        o.population = 1;
        o.lambda_first = o.lambda_last = 0;
        o.children = o.width = 12;
        o.top_k = 200;
        must(ph_dream(model, features, &o, take, &a, NULL, &err), &err);
        o.method = "swap";
        o.fluent = o.stay = true;
        must(ph_dream(model, features, &o, take, &b, NULL, &err), &err);
        same("swap's best text", budget, memcmp(a.ids, b.ids, sizeof a.ids), 0, 0);
        same("swap's activation", budget, a.activation, b.activation, 0);
        same("length of swap's front", budget, (double)a.n_front, (double)b.n_front, 0);
        same("swap's front", budget, memcmp(a.front, b.front, sizeof a.front), 0, 0);
        differ += memcmp(&last, &a, sizeof a) != 0;
        last = a;
    }
    same("the search goes on", 0, differ > 5, 1, 0);
    ph_features_close(&features);
    ph_model_close(&model);
}

int main(void)
{
    static const char *const paths[] = {"tests/data/llama_a.gguf", "tests/data/llama_b.gguf",
                                        "tests/data/llama_c.gguf"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        check_epo(paths[i], "block 2 [:, :, 3]", PH_BOS_AUTO, 1, true);
        check_epo(paths[i], "block 1 mlp [:, :, 7]", PH_BOS_OFF, -1, true);
        check_beam(paths[i], "block 2 [:, :, 3]", PH_BOS_AUTO, 1);
        check_beam(paths[i], "block 1 attn [:, :, 5]", PH_BOS_AUTO, -1);
        check_swap(paths[i], "block 2 [:, :, 4]");
    }
    check_epo(paths[1], "block 2 [:, :, 9]", PH_BOS_AUTO, 1, false);
    printf("%d compared, %d failed\n", compared, failed);
    return failed || !compared;
}
