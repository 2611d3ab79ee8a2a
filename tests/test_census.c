/* test_census.c — statistics over many tokens against plain loops: columns against sorted copies,
 * surveys and corpora against scores of every text, and passes that were stopped or damaged.
 */
#include "base/rng.h"
#include "search/column.h"

#include <dirent.h>
#include <math.h>
#include <phosphene.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
/* after the headers it needs */
#include <cmocka.h>

#define MODEL "tests/data/llama_b.gguf"

/* ---- columns ---- */

enum { N = 3000, W = 37, TOP = 4, WINDOW = 8 };

struct owned {
    ph_columns c;
    double sums[2 * W];
    float ranges[2 * W], lists[2 * W * TOP];
    int32_t at[2 * W * TOP];
    uint32_t bins[W * PH_BINS];
};

static struct owned *columns(void)
{
    struct owned *o = calloc(1, sizeof *o);
    assert_non_null(o);
    o->c = (ph_columns){W,         TOP,
                        o->sums,   o->sums + W,
                        o->ranges, o->ranges + W,
                        o->lists,  o->lists + W * TOP,
                        o->at,     o->at + W * TOP,
                        o->bins};
    ph__columns_clear(&o->c);
    return o;
}

/* Column j of these values: normal, shifted far from 0, wide tails, rising, falling, constant. */
static void fill(float *X)
{
    ph_rng rng = ph__rng(7, 1);
    for (int64_t i = 0; i < N; i++) {
        for (int64_t j = 0; j < W; j++) {
            const double z = ph__rng_normal(&rng);
            const double kinds[] = {z, 1000 + z, z * z * z * z * z, (double)i, -(double)i, 0.25};
            X[i * W + j] = (float)kinds[j % 6];
        }
    }
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The best of each window, then the best of those, by looking at everything again and again. */
static void check_list(const float *values, const int32_t *at, const float *x, float sign)
{
    bool used[N / WINDOW + 1] = {false};
    for (int k = 0; k < TOP; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < N; i++)
            if (!used[i / WINDOW] && (best < 0 || sign * x[i] > sign * x[best])) best = i;
        used[best / WINDOW] = true;
        assert_int_equal(at[k], best);
        assert_true(values[k] == x[best]);
    }
}

static void check_column(const ph_column *c, const float *x)
{
    static float sorted[N];
    double sum = 0, squares = 0;
    memcpy(sorted, x, sizeof sorted);
    qsort(sorted, N, sizeof *sorted, by_value);
    const double range = (double)sorted[N - 1] - (double)sorted[0];

    for (int64_t i = 0; i < N; i++) sum += (double)x[i];
    for (int64_t i = 0; i < N; i++) squares += ((double)x[i] - sum / N) * ((double)x[i] - sum / N);
    assert_true(fabs(ph__column_mean(c) - sum / N) <= 1e-12 * (1 + fabs(sum / N)));
    /* sums of squares of values around 1000 lose 6 of double's 16 digits */
    assert_true(fabs(ph__column_deviation(c) - sqrt(squares / (N - 1))) <= 1e-6 * (1 + range));
    check_list(c->highest, c->at_highest, x, 1);
    check_list(c->lowest, c->at_lowest, x, -1);
    for (double level = 0.01; level < 1; level += 0.07) {
        const double exact = (double)sorted[(int64_t)(level * N)];
        assert_true(fabs(ph__column_quantile(c, level) - exact) <=
                    range / 128 + 1e-6 * fabs(exact));
    }
    for (int64_t i = 0; i < N; i += 501) {
        /* tokens within a bin of the value may count or not */
        const double v = (double)x[i], slack = range / 128 + 1e-6 * fabs(v);
        double less = 0, more = 0;
        for (int64_t k = 0; k < N; k++) {
            less += (double)x[k] < v - slack;
            more += (double)x[k] < v + slack;
        }
        const double below = ph__column_below(c, v);
        assert_true(below >= less / N - 1e-12 && below <= more / N + 1e-12);
    }
}

static void test_columns(void **state)
{
    (void)state;
    static float X[N * W], x[N];
    struct owned *o = columns(), *p = columns();
    fill(X);
    assert_true(ph__columns_add(&o->c, 0, X, N, W, 0, WINDOW, 1));
    for (int64_t at = 0; at < N; at += 512) {
        const int64_t n = N - at < 512 ? N - at : 512;
        assert_true(ph__columns_add(&p->c, 0, X + at * W, n, W, at, WINDOW, 3));
    }
    for (size_t j = 0; j < W; j++) {
        for (int64_t i = 0; i < N; i++) x[i] = X[i * W + (int64_t)j];
        const ph_column a = ph__column_at(&o->c, j, N), b = ph__column_at(&p->c, j, N);
        check_column(&a, x);
        check_column(&b, x);
    }
    /* sums and lists do not depend on batches or threads */
    assert_memory_equal(o->sums, p->sums, sizeof o->sums);
    assert_memory_equal(o->lists, p->lists, sizeof o->lists);
    assert_memory_equal(o->at, p->at, sizeof o->at);
    free(o);
    free(p);
}

static void test_not_finite(void **state)
{
    (void)state;
    static float X[20 * W];
    for (int64_t j = 0; j < W; j += 9) {
        static const float bad[] = {NAN, INFINITY, -INFINITY};
        for (int k = 0; k < 3; k++) {
            struct owned *o = columns();
            memset(X, 0, sizeof X);
            X[13 * W + j] = bad[k];
            assert_false(ph__columns_add(&o->c, 0, X, 20, W, 0, 1, 2));
            free(o);
        }
    }
}

/* ---- surveys and corpora ---- */

static ph_model *model;
static char cache[] = "/tmp/phosphene-census-XXXXXX";

/* What a plain score says of one feature at every token, texts one after another. */
struct values {
    double *v;
    size_t n;
};

static int collect(const ph_score_result *r, void *payload)
{
    struct values *all = payload;
    for (size_t i = 0; i < r->n; i++) all->v[all->n++] = r->values[i];
    return 0;
}

static void score(struct values *all, const char *spec, const int32_t *ids, size_t n,
                  const ph_run_options *run)
{
    ph_features *f = NULL;
    ph_error err = {0};
    const ph_text text = {.ids = ids, .n_ids = n};
    assert_int_equal(ph_features_parse(&f, ph_model_get_info(model), spec, &err), PH_OK);
    if (ph_score(model, f, &text, run, collect, all, &err) != PH_OK) fail_msg("%s", err.msg);
    ph_features_close(&f);
}

struct survey {
    int64_t seen, V;
    ph_run_options run;
    int compared;
};

/* Every eleventh feature is looked at. */
static int check_survey(const ph_survey_result *r, void *payload)
{
    struct survey *s = payload;
    char spec[64];
    struct values all = {calloc((size_t)s->V, sizeof(double)), 0};
    double sum = 0;

    if (s->seen++ % 11) {
        free(all.v);
        return 0;
    }
    snprintf(spec, sizeof spec, "block %lld%s [:, :, %lld]", (long long)r->tap.block,
             r->tap.place == PH_PLACE_NEURON ? " neuron" : "", (long long)r->component);
    for (int32_t id = 0; id < s->V; id++) score(&all, spec, &id, 1, &s->run);
    for (int64_t i = 0; i < s->V; i++) sum += all.v[i];
    assert_int_equal(r->n, s->V);
    assert_true(fabs(r->mean - sum / (double)s->V) <= 1e-6);
    for (size_t k = 0; k < r->n_top; k++) {
        int64_t better = 0, worse = 0;
        assert_true(fabs(all.v[r->top[k].id] - r->top[k].value) <= 1e-5);
        assert_true(fabs(all.v[r->bottom[k].id] - r->bottom[k].value) <= 1e-5);
        for (int64_t i = 0; i < s->V; i++) {
            better += all.v[i] > r->top[k].value + 1e-5;
            worse += all.v[i] < r->bottom[k].value - 1e-5;
        }
        assert_true(better <= (int64_t)k && worse <= (int64_t)k);
        s->compared++;
    }
    free(all.v);
    return 0;
}

static void test_survey(void **state)
{
    (void)state;
    ph_survey_options o = PH_SURVEY_OPTIONS_INIT;
    ph_pass_cost cost;
    ph_error err = {0};
    const ph_model_info *info = ph_model_get_info(model);

    for (int with_prefix = 0; with_prefix < 2; with_prefix++) {
        struct survey s = {.V = info->vocab};
        o.top = 3;
        o.neurons = true;
        o.run.prefix = with_prefix ? "ab" : NULL;
        o.run.bos = with_prefix ? PH_BOS_AUTO : PH_BOS_OFF;
        s.run = o.run;
        if (ph_survey(model, &o, check_survey, &s, &cost, &err) != PH_OK) fail_msg("%s", err.msg);
        assert_int_equal(s.seen, info->blocks * (info->width + info->ffn));
        assert_true(s.compared > 20);
        assert_int_equal(cost.tokens, info->vocab);
        assert_int_equal(cost.resumed, 0);
        assert_true(cost.bytes > 0 && cost.flops > 0);
    }
}

static char *long_text(size_t *bytes, size_t least)
{
    static const char *const words[] = {"the ", "sky ", "is ",   "blue. ",
                                        "and ", "x+1 ", "grün ", "\n"};
    char *text = calloc(1, 40000);
    ph_rng rng = ph__rng(3, 3);
    assert_non_null(text);
    *bytes = 0;
    while (*bytes < least) {
        const char *w = words[ph__rng_below(&rng, 8)];
        memcpy(text + *bytes, w, strlen(w));
        *bytes += strlen(w);
    }
    return text;
}

/* Every window scored plainly: the pass must say the same. */
static void check_corpus(const ph_corpus *corpus, const ph_corpus_options *o, const char *spec,
                         ph_tap tap, int64_t component)
{
    ph_corpus_stat stat;
    struct values all = {calloc(100000, sizeof(double)), 0};
    size_t n, pos;
    double sum = 0;

    assert_true(ph_corpus_get(corpus, tap, component, &stat));
    for (int64_t at = 0; at < stat.n; at += (int64_t)n) {
        const int32_t *ids = ph_corpus_window(corpus, at, &n, &pos);
        assert_int_equal(pos, 0);
        score(&all, spec, ids, n, &o->run);
    }
    assert_int_equal(all.n, stat.n);
    double most = -INFINITY, least = INFINITY, above = 0;
    for (size_t i = 0; i < all.n; i++) {
        sum += all.v[i];
        most = fmax(most, all.v[i]);
        least = fmin(least, all.v[i]);
    }
    for (size_t i = 0; i < all.n; i++) above += all.v[i] > stat.max / 2;
    assert_true(fabs(stat.max - most) <= 1e-5);
    assert_true(fabs(stat.min - least) <= 1e-5);
    assert_true(fabs(stat.mean - sum / (double)all.n) <= 1e-6);
    assert_true(fabs(stat.density - above / (double)all.n) <= 0.02);
    for (size_t k = 0; k < stat.n_top; k++) {
        assert_true(fabs(all.v[stat.best[k].token] - stat.best[k].value) <= 1e-5);
        assert_true(fabs(all.v[stat.worst[k].token] - stat.worst[k].value) <= 1e-5);
        for (size_t i = 0; i < k; i++)
            assert_true(stat.best[i].token / o->window != stat.best[k].token / o->window);
    }
    free(all.v);
}

static void test_corpus(void **state)
{
    (void)state;
    ph_corpus_options o = PH_CORPUS_OPTIONS_INIT;
    ph_corpus *c = NULL;
    ph_corpus_stat stat;
    ph_error err = {0};
    char *text = long_text(&o.bytes, 6000);

    o.text = text;
    o.window = 20;
    o.neurons = true;
    o.run.prefix = "a";
    if (ph_corpus_open(&c, model, &o, NULL, &err) != PH_OK) fail_msg("%s", err.msg);
    check_corpus(c, &o, "block 2 [:, :, 5]", (ph_tap){PH_PLACE_BLOCK, false, 2}, 5);
    check_corpus(c, &o, "block 1 neuron [:, :, 3]", (ph_tap){PH_PLACE_NEURON, false, 1}, 3);
    assert_true(ph_corpus_norm(c, (ph_tap){PH_PLACE_BLOCK, false, 1}) > 0);
    assert_true(isnan(ph_corpus_norm(c, (ph_tap){PH_PLACE_BLOCK, true, 1})));
    assert_false(ph_corpus_get(c, (ph_tap){PH_PLACE_MLP, false, 1}, 0, &stat));
    assert_false(ph_corpus_get(c, (ph_tap){PH_PLACE_BLOCK, false, 1}, 100000, &stat));
    assert_true(isnan(ph_corpus_percentile(c, (ph_tap){PH_PLACE_FINAL, false, 0}, 0, 1)));
    ph_corpus_close(&c);
    o.most_flops = 1;
    assert_int_equal(ph_corpus_open(&c, model, &o, NULL, &err), PH_OK);
    assert_null(c);
    free(text);
}

/* ---- the cache ---- */

static void empty_cache(void)
{
    DIR *d = opendir(cache);
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
}

static FILE *only_file(const char *mode)
{
    DIR *d = opendir(cache);
    struct dirent *e;
    char path[512] = "";
    int files = 0;
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", cache, e->d_name);
            files++;
        }
    if (d) closedir(d);
    assert_int_equal(files, 1);
    FILE *f = fopen(path, mode);
    assert_non_null(f);
    return f;
}

static int stop_at(const char *stage, double done, void *payload)
{
    (void)stage;
    return done >= *(const double *)payload;
}

static ph_corpus_stat corpus_stat(const ph_corpus_options *o, ph_pass_cost *cost)
{
    ph_corpus *c = NULL;
    ph_corpus_stat stat;
    ph_error err = {0};
    if (ph_corpus_open(&c, model, o, cost, &err) != PH_OK) fail_msg("%s", err.msg);
    assert_true(ph_corpus_get(c, (ph_tap){PH_PLACE_BLOCK, false, 2}, 1, &stat));
    ph_corpus_close(&c);
    return stat;
}

static void test_resume(void **state)
{
    (void)state;
    ph_corpus_options o = PH_CORPUS_OPTIONS_INIT;
    ph_corpus *c = NULL;
    ph_pass_cost cost;
    ph_error err = {0};
    char *text = long_text(&o.bytes, 6000);
    double half = 0.4;

    o.text = text;
    const ph_corpus_stat whole = corpus_stat(&o, &cost);
    o.run.cache = cache;
    o.run.progress = stop_at;
    o.run.progress_payload = &half;
    assert_int_equal(ph_corpus_open(&c, model, &o, &cost, &err), PH_ECANCELED);
    assert_null(c);
    o.run.progress = NULL;
    const ph_corpus_stat resumed = corpus_stat(&o, &cost);
    assert_true(cost.resumed > 0 && cost.resumed < cost.tokens);
    assert_memory_equal(&resumed, &whole, sizeof whole);
    const ph_corpus_stat kept = corpus_stat(&o, &cost);
    assert_int_equal(cost.resumed, cost.tokens);
    assert_memory_equal(&kept, &whole, sizeof whole);
    o.depth = 2; /* less than what is kept */
    const ph_corpus_stat part = corpus_stat(&o, &cost);
    assert_int_equal(cost.resumed, cost.tokens);
    assert_memory_equal(&part, &whole, sizeof whole);
    free(text);
}

/* One thread, or as many workers that take their turns: the same bits, also where a pass was stopped. */
static void test_workers(void **state)
{
    (void)state;
    ph_model *one = model;
    ph_corpus_options o = PH_CORPUS_OPTIONS_INIT;
    ph_pass_cost cost;
    ph_error err = {0};
    char *text = long_text(&o.bytes, 39000);
    double half = 0.5;

    o.text = text;
    const ph_corpus_stat whole = corpus_stat(&o, &cost);
    o.run.cache = cache;
    for (int threads = 2; threads <= 3; threads++) {
        ph_model_options several = PH_MODEL_OPTIONS_INIT;
        ph_corpus *c = NULL;
        several.threads = threads;
        assert_int_equal(ph_model_open(&model, MODEL, &several, &err), PH_OK);
        empty_cache();
        o.run.progress = stop_at;
        o.run.progress_payload = &half;
        assert_int_equal(ph_corpus_open(&c, model, &o, NULL, &err), PH_ECANCELED);
        o.run.progress = NULL;
        const ph_corpus_stat resumed = corpus_stat(&o, &cost);
        assert_true(cost.resumed > 0 && cost.resumed < cost.tokens);
        assert_memory_equal(&resumed, &whole, sizeof whole);
        o.run.cache = NULL;
        const ph_corpus_stat again = corpus_stat(&o, &cost);
        assert_true(cost.tokens >= 2 * 3 * 768); /* enough for workers of their own */
        assert_memory_equal(&again, &whole, sizeof whole);
        o.run.cache = cache;
        ph_model_close(&model);
    }
    model = one;
    empty_cache();
    free(text);
}

/* A file that is not what it should be is made anew, or an error; never believed, never a crash. */
static void test_damaged(void **state)
{
    (void)state;
    ph_corpus_options o = PH_CORPUS_OPTIONS_INIT;
    ph_pass_cost cost;
    char *text = long_text(&o.bytes, 6000);

    o.text = text;
    o.run.cache = cache;
    empty_cache();
    const ph_corpus_stat whole = corpus_stat(&o, &cost);
    for (int kind = 0; kind < 3; kind++) {
        FILE *f = only_file(kind == 2 ? "ab" : "r+b");
        if (kind == 0) fwrite("nothing", 1, 7, f);
        if (kind == 1) assert_int_equal(ftruncate(fileno(f), 1000), 0);
        if (kind == 2) fputc(0, f);
        fclose(f);
        const ph_corpus_stat again = corpus_stat(&o, &cost);
        assert_int_equal(cost.resumed, 0);
        assert_memory_equal(&again, &whole, sizeof whole);
    }
    FILE *f = only_file("r+b");
    fseek(f, 64, SEEK_SET);
    for (int i = 0; i < 600000; i++) fputc(0x7f, f); /* lists that name no tokens */
    fclose(f);
    ph_corpus *c = NULL;
    ph_corpus_stat stat;
    assert_int_equal(ph_corpus_open(&c, model, &o, NULL, NULL), PH_OK);
    (void)ph_corpus_get(c, (ph_tap){PH_PLACE_BLOCK, false, 1}, 1, &stat);
    ph_corpus_close(&c);
    free(text);
}

static void test_errors(void **state)
{
    (void)state;
    ph_corpus_options o = PH_CORPUS_OPTIONS_INIT;
    ph_survey_options s = PH_SURVEY_OPTIONS_INIT;
    ph_corpus *c = NULL;
    ph_error err = {0};

    o.text = "";
    o.window = 64;
    assert_int_equal(ph_corpus_open(&c, model, &o, NULL, &err), PH_EINVAL);
    assert_string_equal(err.msg, "window 64: expected 1 to 63 tokens");
    o.window = 0;
    assert_int_equal(ph_corpus_open(&c, model, &o, NULL, &err), PH_ETEXT);
    assert_string_equal(err.msg, "the corpus has no tokens");
    o.text = "a\xff";
    o.bytes = 2;
    assert_int_equal(ph_corpus_open(&c, model, &o, NULL, &err), PH_ETEXT);
    assert_int_equal(err.pos, 1);
    o.bytes = 1;
    o.depth = 9;
    assert_int_equal(ph_corpus_open(&c, model, &o, NULL, &err), PH_EINVAL);
    assert_non_null(strstr(err.msg, "depth 9: this model has blocks 1 to"));
    s.top = 0;
    assert_int_equal(ph_survey(model, &s, check_survey, NULL, NULL, &err), PH_EINVAL);
    assert_non_null(strstr(err.msg, "0 tokens in a list: expected 1 to"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_survey),  cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_resume),  cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_workers), cmocka_unit_test(test_errors),
    };
    ph_model_options one_thread = PH_MODEL_OPTIONS_INIT;
    ph_error err = {0};
    one_thread.threads = 1;
    if (!mkdtemp(cache) || ph_model_open(&model, MODEL, &one_thread, &err) != PH_OK) {
        fprintf(stderr, "test_census: %s\n", err.msg);
        return 1;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    empty_cache();
    rmdir(cache);
    ph_model_close(&model);
    return failed;
}
