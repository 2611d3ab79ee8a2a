/* test_sums.c — sums, directions and SAE latents: their values against plain features put together
 * by hand, directions against products with a session's output, SAEs against the goldens of
 * tools/golden_sae.py; several taps of one session against sessions of one; files that lie.
 */
#include "base/buf.h"
#include "base/file.h"
#include "feature/direction.h"
#include "feature/objective.h"
#include "model/session.h"
#include "weights/npy.h"
#include "weights/safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define DATA "tests/data/sae/"

enum { C = 36, T = 5 };

static ph_model *model;
static const int32_t ids[T] = {5, 46, 117, 238, 19};

static void must(ph_status st, const ph_error *err)
{
    if (st != PH_OK) fail_msg("%s", err->msg);
}

static int open_model(void **state)
{
    ph_error err = {0};
    (void)state;
    must(ph_model_open(&model, "tests/data/llama_c.gguf", NULL, &err), &err);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    ph_model_close(&model);
    return 0;
}

/* ---- scores ---- */

enum { MOST = 16 };
struct scores {
    size_t count, n;
    double activation[MOST], values[MOST][T], post[MOST], post_values[MOST][T];
};

static int keep(const ph_score_result *r, void *payload)
{
    struct scores *s = payload;
    assert_true(s->count < MOST && r->n <= T);
    s->n = r->n;
    s->activation[s->count] = r->activation;
    s->post[s->count] = r->post;
    memcpy(s->values[s->count], r->values, r->n * sizeof(double));
    if (r->post_values) memcpy(s->post_values[s->count], r->post_values, r->n * sizeof(double));
    s->count++;
    return 0;
}

static struct scores score(const char *specs, ph_reduce reduce, int sign)
{
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    const ph_text text = {.ids = ids, .n_ids = T};
    ph_features *f = NULL;
    struct scores s = {0};
    ph_error err = {0};

    run.reduce = reduce;
    run.sign = sign;
    must(ph_features_parse(&f, ph_model_get_info(model), specs, &err), &err);
    must(ph_score(model, f, &text, &run, keep, &s, &err), &err);
    ph_features_close(&f);
    return s;
}

static void assert_near(double a, double b, double size)
{
    const double allowed = 1e-12 * (1 + size);
    if (!(fabs(a - b) <= allowed)) fail_msg("%.17g, expected %.17g", a, b);
}

/* Whole sums of plain features: value by value, then reduced. */
static void test_values(void **state)
{
    (void)state;
    static const char *const places[] = {"block 1 [:, :, 3]",  "block 2 attn [:, :, 7]",
                                         "embed [:, :, 5]",    "block 1 mlp [:, :, 0:4]",
                                         "final [:, :, 2]",    "logits [:, :, 40]",
                                         "block 2 [:, :, 11]", "block 1 neuron [:, :, 9]"};
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 8; k++) {
            char specs[256];
            snprintf(specs, sizeof specs, "%s, %s, %s - 0.5*%s, -%s + 3*%s", places[i], places[k],
                     places[i], places[k], places[i], places[k]);
            const struct scores s = score(specs, PH_REDUCE_MEAN, 1);
            double sum = 0;
            for (int t = 0; t < T; t++) {
                const double a = s.values[0][t], b = s.values[1][t];
                assert_near(s.values[2][t], a - 0.5 * b, fabs(a) + fabs(b));
                assert_near(s.values[3][t], 3 * b - a, fabs(a) + 3 * fabs(b));
                sum += (a - 0.5 * b) / T;
            }
            assert_near(s.activation[2], sum, fabs(s.activation[0]) + fabs(s.activation[1]));
            assert_true(isnan(s.post[2]));
        }
}

static double extreme(const double *v, int n, int sign)
{
    double best = v[0];
    for (int i = 1; i < n; i++)
        if (sign * v[i] > sign * best) best = v[i];
    return best;
}

/* One value a token, then its extreme; apart, the extreme of each and then the sum. */
static void test_reduce(void **state)
{
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        const struct scores s =
            score("block 1 [:, :, 3], block 2 [:, :, 7], block 1 [:, :, 3] - 2*block 2 [:, :, 7], "
                  "block 1 [:, 0:3, 3] - 2*block 2 [:, 1:, 7], -block 1 [:, :, 3], "
                  "block 1 [:, 1, 3] + block 2 [:, -1, 7]",
                  PH_REDUCE_MAX, sign);
        double sum[T];
        for (int t = 0; t < T; t++) sum[t] = s.values[0][t] - 2 * s.values[1][t];
        assert_near(s.activation[2], extreme(sum, T, sign), 10);
        assert_near(s.activation[3],
                    extreme(s.values[0], 3, sign) - 2 * extreme(s.values[1] + 1, T - 1, sign), 10);
        assert_near(s.activation[4], -extreme(s.values[0], T, -sign), 10);
        assert_near(s.activation[5], s.values[0][1] + s.values[1][T - 1], 10);
    }
    const struct scores last = score("block 1 [:, :, 3], block 2 [:, 0:3, 7], block 1 [:, :, 3] - "
                                     "block 2 [:, 0:3, 7]",
                                     PH_REDUCE_LAST, 1);
    assert_near(last.activation[2], last.values[0][T - 1] - last.values[1][2], 10);
    /* The default of each: the mean of the stream, the most of a neuron. */
    const struct scores each =
        score("block 2 [:, :, 3], block 1 neuron [:, :, 7], block 2 [:, :, 3] - "
              "block 1 neuron [:, :, 7]",
              PH_REDUCE_DEFAULT, 1);
    assert_near(each.activation[2], each.activation[0] - each.activation[1], 10);
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *name;
    } cases[] = {{"block 1 [:, :, 3] - block 2 [:, :, 7]", "mean"},
                 {"block 1 [:, :, 3] - block 2 neuron [:, :, 7]", "each"},
                 {"-block 2 neuron [:, :, 7]", "max"},
                 {"block 1 [:, 0, 3] - block 2 [:, 1, 7]", "each"},
                 {"sae:" DATA "standard [:, :, 7]", "max"},
                 {"dir:" DATA "direction.npy @ block 1", "mean"},
                 {"logits [:, -1, 3] - logits [:, -1, 7]", "max"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ph_features *f = NULL;
        ph_error err = {0};
        must(ph_features_parse(&f, ph_model_get_info(model), cases[i].spec, &err), &err);
        assert_string_equal(ph_reduce_name(ph_features_at(f, 0), PH_REDUCE_DEFAULT), cases[i].name);
        ph_features_close(&f);
    }
}

/* ---- several taps ---- */

static void run_taps(float *X, float *dE, const ph_tap *taps, size_t n, const float *E,
                     const float *dX, int64_t context)
{
    const int32_t before[] = {5, 17};
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_session *s = NULL;
    ph_error err = {0};

    o.tap = taps[0];
    if (n > 1) {
        o.taps = taps;
        o.n_taps = n;
    }
    o.rows = 2;
    o.tokens = T;
    o.context = before;
    o.n_context = (size_t)context;
    o.gradient = dE != NULL;
    must(ph_session_open(&s, model, &o, &err), &err);
    must(ph_session_forward(s, X, E, 2, &err), &err);
    if (dE) must(ph_session_backward(s, dE, dX, &err), &err);
    ph_session_close(&s);
}

/* All places of both blocks and the ends at once: every output in the bits that it has alone, and as
 * gradient the sum of those that each has alone. */
static void check_taps(const ph_tap *taps, size_t n, bool gradient, int64_t context)
{
    static float E[2 * T * C], X[2 * T * 2000], one[2 * T * 400], dX[2 * T * 2000],
        d_one[2 * T * 400], dE[2 * T * C], part[2 * T * C];
    double sum[2 * T * C] = {0}, size[2 * T * C] = {0};
    const ph_model_info *info = ph_model_get_info(model);
    int64_t width = 0, at = 0;

    for (size_t i = 0; i < n; i++) width += ph_place_width(info, taps[i].place);
    for (int i = 0; i < 2 * T * C; i++) E[i] = (float)sin(0.7 * i);
    for (int i = 0; i < 2 * T * width; i++) dX[i] = (float)cos(0.3 * i);
    run_taps(X, gradient ? dE : NULL, taps, n, E, dX, context);
    for (size_t i = 0; i < n; i++) {
        const int64_t w = ph_place_width(info, taps[i].place);
        for (int64_t t = 0; t < 2 * T; t++)
            memcpy(d_one + t * w, dX + t * width + at, (size_t)w * sizeof *dX);
        run_taps(one, gradient ? part : NULL, taps + i, 1, E, d_one, context);
        for (int64_t t = 0; t < 2 * T; t++)
            assert_memory_equal(one + t * w, X + t * width + at, (size_t)w * sizeof *X);
        at += w;
        for (int k = 0; k < 2 * T * C; k++) {
            sum[k] += (double)part[k];
            size[k] += fabs((double)part[k]);
        }
    }
    /* float sums in another order; 1e-4 of what is added */
    for (int k = 0; gradient && k < 2 * T * C; k++)
        if (!(fabs((double)dE[k] - sum[k]) <= 1e-4 * (size[k] + 0.1)))
            fail_msg("dE[%d] = %g, expected %g", k, (double)dE[k], sum[k]);
}

static void test_taps(void **state)
{
    (void)state;
    const ph_tap all[] = {
        {PH_PLACE_LOGITS, false, 0}, {PH_PLACE_NEURON, false, 1}, {PH_PLACE_BLOCK, false, 1},
        {PH_PLACE_EMBED, false, 0},  {PH_PLACE_ATTN, false, 2},   {PH_PLACE_MLP, false, 2},
        {PH_PLACE_BLOCK, false, 2},  {PH_PLACE_FINAL, false, 0},  {PH_PLACE_MLP, false, 1},
        {PH_PLACE_ATTN, false, 1},   {PH_PLACE_NEURON, false, 2}};
    const ph_tap alone[] = {
        {PH_PLACE_MLP, true, 2}, {PH_PLACE_NEURON, true, 2}, {PH_PLACE_ATTN, true, 2}};
    const size_t n = sizeof all / sizeof *all;
    for (int64_t context = 0; context <= 2; context += 2)
        for (int gradient = 0; gradient < 2; gradient++) {
            check_taps(all, n, gradient, context);
            check_taps(alone, 3, gradient, context);
            for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < n; k++)
                    if (i != k) check_taps((ph_tap[]){all[i], all[k]}, 2, gradient, context);
        }
}

static void test_wrong_taps(void **state)
{
    (void)state;
    static const struct {
        ph_tap taps[2];
        const char *msg;
    } cases[] = {
        {{{PH_PLACE_BLOCK, false, 1}, {PH_PLACE_BLOCK, false, 1}}, "block 1: is there twice"},
        {{{PH_PLACE_BLOCK, false, 1}, {PH_PLACE_BLOCK, true, 2}},
         "only block 2: a block alone shares no pass with other blocks"},
        {{{PH_PLACE_MLP, true, 1}, {PH_PLACE_BLOCK, true, 2}},
         "only block 2: a block alone shares no pass with other blocks"},
        {{{PH_PLACE_BLOCK, false, 1}, {PH_PLACE_BLOCK, false, 3}},
         "block 3: this model has blocks 1 to 2"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ph_session_options o = PH_SESSION_OPTIONS_INIT;
        ph_session *s = NULL;
        ph_error err = {0};
        o.taps = cases[i].taps;
        o.n_taps = 2;
        assert_true(ph_session_open(&s, model, &o, &err) != PH_OK);
        assert_string_equal(err.msg, cases[i].msg);
    }
}

/* ---- directions ---- */

static double *load_npy(const char *path, ph_tensor *t, ph_map *map)
{
    ph_error err = {0};
    must(ph__map_open(map, path, &err), &err);
    must(ph__npy_parse(t, map->bytes, map->size, &err), &err);
    assert_int_equal(t->type, PH_F64);
    double *p = malloc(t->bytes);
    assert_non_null(p);
    memcpy(p, t->data, t->bytes);
    ph__map_close(map);
    return p;
}

/* The same rows in every format: the product with the output of the place. */
static void test_directions(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        int row;
    } cases[] = {{"dir:" DATA "direction.npy @ block 1", 0},
                 {"dir:" DATA "directions.npy#1 @ block 1", 1},
                 {"dir:\"" DATA "directions.npy\"#2@block 1 [:, :]", 2},
                 {"dir:" DATA "directions_half.npy#0 @ block 1", 0},
                 {"dir:" DATA "direction.safetensors @ block 1", 0},
                 {"dir:" DATA "directions.safetensors @ block 1 [:, :, :]", 0},
                 {"dir:" DATA "directions.safetensors#direction.1 @ block 1", 1},
                 {"dir:" DATA "directions.safetensors#blocks.1.hook_mlp_out @ block 1", 2},
                 {"dir:" DATA "directions.gguf @ block 1", 0}};
    static float E[T * C], X[T * C];
    ph_tensor t = {0};
    ph_map map = {0};
    ph_error err = {0};
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_session *s = NULL;
    double *rows = load_npy(DATA "directions.npy", &t, &map);
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    int32_t *context = NULL;

    must(ph_context(&context, &o.n_context, model, &run, &err), &err);
    o.context = context;
    must(ph_session_open(&s, model, &o, &err), &err);
    must(ph_model_embed(model, E, ids, T, &err), &err);
    must(ph_session_forward(s, X, E, 1, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const bool half = strstr(cases[i].spec, "half") != NULL;
        const struct scores got = score(cases[i].spec, PH_REDUCE_MEAN, 1);
        for (int k = 0; k < T; k++) {
            double sum = 0, size = 0;
            for (int c = 0; c < C; c++) {
                sum += (double)X[k * C + c] * rows[cases[i].row * C + c];
                size += fabs((double)X[k * C + c] * rows[cases[i].row * C + c]);
            }
            /* half a float16's precision, or rounding in double */
            if (!(fabs(got.values[0][k] - sum) <= (half ? 5e-4 : 1e-13) * size))
                fail_msg("%s: %.12g, expected %.12g", cases[i].spec, got.values[0][k], sum);
        }
    }
    ph_session_close(&s);
    ph_free(context);
    free(rows);
}

static void test_wrong_directions(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        ph_status code;
        int64_t pos;
        const char *msg;
    } cases[] = {
        {"dir:nowhere.npy @ block 1", PH_EIO, 4, "nowhere.npy: No such file or directory"},
        {"embed [:, :, 1] + dir:" DATA "directions.npy @ block 1", PH_EFORMAT, 22,
         DATA "directions.npy: 3 rows: say which, as in " DATA "directions.npy#0"},
        {"dir:" DATA "directions.npy#3 @ block 1", PH_ERANGE, 4,
         DATA "directions.npy: no row 3: it has 0 to 2"},
        {"dir:" DATA "directions.npy#x @ block 1", PH_ERANGE, 4,
         DATA "directions.npy: no row x: it has 0 to 2"},
        {"dir:" DATA "direction.npy @ block 1 neuron", PH_EFORMAT, 4,
         DATA "direction.npy: 36 values, the place has 28"},
        {"dir:" DATA "directions.safetensors @ block 1 attn", PH_EFORMAT, 4,
         DATA "directions.safetensors: none of its 4 tensors is named after block 1 attn: say "
              "which, as in " DATA "directions.safetensors#NAME"},
        {"dir:" DATA "directions.safetensors#no @ block 1", PH_EFORMAT, 4,
         DATA "directions.safetensors: no float tensor no in it"},
        {"dir:" DATA "directions.safetensors#a/b @ block 1", PH_EFORMAT, 4,
         DATA "directions.safetensors: tensor a/b: expected one row"},
        {"dir:README.md @ block 1", PH_EFORMAT, 4,
         "README.md: the input is not a GGUF file (first bytes 23 20 70 68 6f 73 70 68)"},
        {"sae:nowhere [:, :, 0]", PH_EIO, 4, "nowhere/cfg.json: No such file or directory"},
        {"sae:" DATA "topk [:, :, 10]", PH_ERANGE, 31, "latent 10: this SAE has 0 to 9"},
        {"sae:" DATA "topk [:, :, 1:3]", PH_ESPEC, 31,
         "an SAE's latents are taken one by one: a or a-b"},
        {"logits [:, :, \"ab cd\"]", PH_ESPEC, 14, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ph_features *f = NULL;
        ph_error err = {0};
        assert_int_equal(ph_features_parse(&f, ph_model_get_info(model), cases[i].spec, &err),
                         cases[i].code);
        if (cases[i].msg) assert_string_equal(err.msg, cases[i].msg);
        assert_int_equal(err.pos, cases[i].pos);
    }
}

/* ---- SAEs ---- */

static const char *const saes[] = {"standard",   "old",           "topk",     "topk_norms",
                                   "topk_old",   "batchtopk",     "jumprelu", "gated",
                                   "layer_norm", "constant_norm", "scaled"};
enum { SAES = sizeof saes / sizeof *saes };

static void check_sae(const char *name)
{
    char path[160], spec[160];
    ph_tensor t = {0};
    ph_map map = {0};
    ph_features *f = NULL;
    ph_error err = {0};
    double *in[3], values[T];
    static const char *const files[] = {"inputs", "pre", "post"};

    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, DATA "%s/%s.npy", name, files[i]);
        in[i] = load_npy(path, &t, &map);
    }
    const int64_t S = t.shape[1];
    snprintf(spec, sizeof spec, "sae:" DATA "%s [:, :, 0-%lld]", name, (long long)S - 1);
    must(ph_features_parse(&f, ph_model_get_info(model), spec, &err), &err);
    assert_int_equal(ph_features_count(f), S);
    for (int64_t j = 0; j < S; j++) {
        ph_region r;
        ph_measured post;
        must(ph__region(&r, ph_features_at(f, (size_t)j), T, PH_REDUCE_DEFAULT, 1, &err), &err);
        ph__measure(&r, values, in[0], T, C);
        /* The direction is kept as float32: 2^-24 of sum |x w|, some tens of terms of size 1. */
        for (int k = 0; k < T; k++)
            if (!(fabs(values[k] - in[1][k * S + j]) <= 1e-5))
                fail_msg("%s: pre %lld,%d = %g, expected %g", name, (long long)j, k, values[k],
                         in[1][k * S + j]);
        must(ph__measure_post(&post, &r, values, in[0], T, C, &err), &err);
        for (int k = 0; k < T; k++)
            if (!(fabs(values[k] - in[2][k * S + j]) <= 1e-5))
                fail_msg("%s: post %lld,%d = %g, expected %g", name, (long long)j, k, values[k],
                         in[2][k * S + j]);
        assert_near(post.activation, extreme(values, T, 1), 0);
    }
    ph_features_close(&f);
    for (int i = 0; i < 3; i++) free(in[i]);
}

static void test_saes(void **state)
{
    (void)state;
    for (int i = 0; i < SAES; i++) check_sae(saes[i]);
}

/* In a score: pre and post of a sum with a plain feature, and where the SAE's place is. */
static void test_latent_score(void **state)
{
    (void)state;
    const struct scores s = score("sae:" DATA "jumprelu [:, :, 2], block 1 [:, :, 3], "
                                  "2*sae:" DATA "jumprelu [:, :, 2] - block 1 [:, :, 3]",
                                  PH_REDUCE_MEAN, 1);
    for (int t = 0; t < T; t++) {
        assert_near(s.values[2][t], 2 * s.values[0][t] - s.values[1][t], 10);
        assert_near(s.post_values[2][t], 2 * s.post_values[0][t] - s.values[1][t], 10);
    }
    assert_true(isnan(s.post[1]));
    ph_features *f = NULL;
    ph_error err = {0};
    must(ph_features_parse(&f, ph_model_get_info(model), "sae:" DATA "jumprelu [:, -1, 2]", &err),
         &err);
    assert_int_equal(ph_features_at(f, 0)->tap.place, PH_PLACE_MLP);
    assert_int_equal(ph_features_at(f, 0)->tap.block, 1);
    ph_features_close(&f);
}

static void check_bos(const char *spec, ph_bos asked, ph_bos want, bool fails)
{
    ph_features *f = NULL;
    ph_error err = {0};
    ph_run_options run = PH_RUN_OPTIONS_INIT, out;

    run.bos = asked;
    must(ph_features_parse(&f, ph_model_get_info(model), spec, &err), &err);
    assert_int_equal(ph_features_run(&out, f, &run, &err), fails ? PH_EINVAL : PH_OK);
    assert_int_equal(out.bos, want);
    ph_features_close(&f);
}

static void test_bos(void **state)
{
    (void)state;
    check_bos("sae:" DATA "old [:, :, 1]", PH_BOS_AUTO, PH_BOS_OFF, false);
    check_bos("sae:" DATA "old [:, :, 1]", PH_BOS_ON, PH_BOS_ON, false);
    check_bos("sae:" DATA "topk [:, :, 1]", PH_BOS_AUTO, PH_BOS_AUTO, false);
    check_bos("block 1 [:, :, 1], sae:" DATA "old [:, :, 1]", PH_BOS_AUTO, PH_BOS_OFF, false);
    check_bos("sae:" DATA "old [:, :, 1] + sae:" DATA "topk [:, :, 1]", PH_BOS_AUTO, PH_BOS_AUTO,
              true);
    const struct scores without = score("sae:" DATA "old [:, :, 1]", PH_REDUCE_MEAN, 1);
    const struct scores with =
        score("sae:" DATA "topk [:, :, 1] + block 1 [:, :, 0]", PH_REDUCE_MEAN, 1);
    assert_true(without.count == 1 && with.count == 1);
}

/* ---- files that lie ---- */

static void put(ph_str *s, const void *bytes, size_t n)
{
    assert_int_equal(ph__str_add(s, bytes, n, NULL), PH_OK);
}

/* A .npy of version 1 with this header and `data` bytes of zeros. */
static ph_status parse_npy(const char *header, size_t data, ph_error *err)
{
    ph_str s = {0};
    ph_tensor t = {0};
    const uint8_t length[2] = {(uint8_t)strlen(header), (uint8_t)(strlen(header) >> 8)};
    put(&s, "\x93NUMPY\x01", 8);
    put(&s, length, 2);
    put(&s, header, strlen(header));
    for (size_t i = 0; i < data; i++) put(&s, "", 1);
    const ph_status st = ph__npy_parse(&t, (const uint8_t *)s.data, s.size, err);
    ph__str_close(&s);
    return st;
}

static void test_hostile_npy(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        ph_status code;
        const char *msg;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 24, PH_OK, ""},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 12, PH_OK, ""},
        {"{'shape': (3,), 'fortran_order': False, 'descr': '<f2'}", 6, PH_OK, ""},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 23, PH_EFORMAT,
         "its shape needs more than the 23 bytes of data"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 8,
         PH_EFORMAT, "its shape needs more than the 8 bytes of data"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 8,
         PH_EUNSUPPORTED, "expected a shape of 1 or 2 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }", 24, PH_EUNSUPPORTED,
         "expected a shape of 1 or 2 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4, PH_EUNSUPPORTED,
         "expected a shape of 1 or 2 dimensions"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 4, PH_EUNSUPPORTED,
         "expected a shape of 1 or 2 dimensions"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (3,), }", 12, PH_EUNSUPPORTED,
         "expected descr '<f4', '<f2' or '<f8'"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (3,), }", 12, PH_EUNSUPPORTED,
         "expected fortran_order False (C order)"},
        {"{'descr': '<f4', 'fortran_order': False", 12, PH_EUNSUPPORTED,
         "expected a shape of 1 or 2 dimensions"},
        {"", 12, PH_EUNSUPPORTED, "expected fortran_order False (C order)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ph_error err = {0};
        assert_int_equal(parse_npy(cases[i].header, cases[i].data, &err), cases[i].code);
        assert_string_equal(err.msg, cases[i].msg);
    }
    ph_tensor t = {0};
    ph_error err = {0};
    const uint8_t far[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', 2, 0, 0xff, 0xff, 0xff, 0xff};
    assert_int_equal(ph__npy_parse(&t, far, sizeof far, &err), PH_EFORMAT);
    assert_string_equal(err.msg, "a header of 4294967295 bytes in a file of 12");
}

static ph_status parse_safetensors(const char *header, size_t data, ph_error *err)
{
    ph_str s = {0};
    ph_weights *w = NULL;
    const uint64_t n = strlen(header);
    put(&s, &n, sizeof n);
    put(&s, header, strlen(header));
    for (size_t i = 0; i < data; i++) put(&s, "", 1);
    const ph_status st = ph__weights_parse(&w, (const uint8_t *)s.data, s.size, err);
    ph__weights_close(&w);
    ph__str_close(&s);
    return st;
}

#define ENTRY(dtype, shape, offsets)                                                               \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define A(dtype, shape, offsets) "{\"a\":" ENTRY(dtype, shape, offsets) "}"

static void test_hostile_safetensors(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        ph_status code;
        const char *msg;
    } cases[] = {
        {A("F32", "[2,3]", "[0,24]"), 24, PH_OK, ""},
        {A("F16", "[]", "[0,2]") "   ", 2, PH_OK, ""},
        {A("I64", "[2]", "[0,16]"), 16, PH_OK, ""},
        {"{\"a\":" ENTRY("F32", "[0]", "[0,0]") ",\"__metadata__\":{\"x\":\"y\"}}", 0, PH_OK, ""},
        {A("F32", "[2,3]", "[0,20]"), 20, PH_EFORMAT,
         "tensor a: its data_offsets do not hold what its shape needs"},
        {A("F32", "[2,3]", "[0,24]"), 23, PH_EFORMAT,
         "tensor a: its data_offsets are no stretch of the file's data"},
        {A("F32", "[2,3]", "[0,24]"), 25, PH_EFORMAT, "25 bytes of data, its tensors have 24"},
        {A("F32", "[4294967296,4294967296]", "[0,0]"), 0, PH_EFORMAT,
         "tensor a: its shape is no list of sizes, or they are too large"},
        {A("F32", "[-2,3]", "[0,24]"), 24, PH_EFORMAT,
         "tensor a: its shape is no list of sizes, or they are too large"},
        {A("F32", "[2.5]", "[0,24]"), 24, PH_EFORMAT,
         "tensor a: its shape is no list of sizes, or they are too large"},
        {A("F32", "[6]", "[24,0]"), 24, PH_EFORMAT,
         "tensor a: its data_offsets are no stretch of the file's data"},
        {A("F32", "[6]", "[-24,0]"), 24, PH_EFORMAT,
         "tensor a: its data_offsets are no stretch of the file's data"},
        {A("X9", "[6]", "[0,24]"), 24, PH_EFORMAT, "tensor a: unknown or missing dtype"},
        {"{\"a\":5}", 0, PH_EFORMAT, "tensor a: unknown or missing dtype"},
        {"{\"a\":" ENTRY("F32", "[2]", "[0,8]") ",\"b\":" ENTRY("F32", "[2]", "[4,12]") "}", 12,
         PH_EFORMAT, "tensor b: its data begin where no other's end"},
        {"{\"a\":" ENTRY("F32", "[2]", "[0,8]") ",\"b\":" ENTRY("F32", "[2]", "[12,20]") "}", 20,
         PH_EFORMAT, "tensor b: its data begin where no other's end"},
        {"{\"a\":" ENTRY("F32", "[1]", "[0,4]") ",\"a\":" ENTRY("F32", "[1]", "[0,4]") "}", 4,
         PH_EFORMAT, NULL},
        {"{\"a\":[}", 0, PH_EFORMAT, NULL},
        {"{\"\\u0007\":5}", 0, PH_EFORMAT, "tensor ?: unknown or missing dtype"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ph_error err = {0};
        const ph_status st = parse_safetensors(cases[i].header, cases[i].data, &err);
        if (st != cases[i].code) fail_msg("%s: %d, %s", cases[i].header, (int)st, err.msg);
        if (cases[i].msg) assert_string_equal(err.msg, cases[i].msg);
    }
    ph_weights *w = NULL;
    ph_error err = {0};
    const uint8_t cut[] = {200, 0, 0, 0, 0, 0, 0, 0, '{', '"'};
    assert_int_equal(ph__weights_parse(&w, cut, sizeof cut, &err), PH_EFORMAT);
    assert_string_equal(err.msg, "the header has 200 bytes, the file 10");
}

#define CFG(more) "{\"d_in\":36,\"d_sae\":10,\"hook_name\":\"blocks.0.hook_resid_post\"" more "}"

static void test_hostile_cfg(void **state)
{
    (void)state;
    static const struct {
        const char *cfg;
        ph_status code;
        const char *msg;
    } cases[] = {
        {CFG(""), PH_OK, ""},
        {CFG(",\"architecture\":\"temporal\""), PH_EUNSUPPORTED,
         "F/cfg.json: architecture temporal is not supported (standard, topk, batchtopk, jumprelu "
         "and gated are)"},
        {CFG(",\"architecture\":7"), PH_EFORMAT, "F/cfg.json: architecture: expected a string"},
        {CFG(",\"architecture\":\"a\\n\""), PH_EFORMAT,
         "F/cfg.json: architecture: expected printable ASCII"},
        {CFG(",\"architecture\":\"topk\""), PH_EFORMAT,
         "F/cfg.json: k: expected a number from 1 on"},
        {CFG(",\"architecture\":\"topk\",\"k\":-3"), PH_EFORMAT,
         "F/cfg.json: k: expected a number from 1 on"},
        {CFG(",\"activation_fn\":\"tanh-relu\""), PH_EUNSUPPORTED,
         "F/cfg.json: activation_fn tanh-relu is not supported"},
        {CFG(",\"normalize_activations\":\"covariance_whitening\""), PH_EUNSUPPORTED,
         "F/cfg.json: normalize_activations covariance_whitening is not supported"},
        {CFG(",\"normalize_activations\":true,\"norm_scaling_factor\":0"), PH_EFORMAT,
         "F/cfg.json: norm_scaling_factor: expected a number above 0"},
        {CFG(",\"apply_b_dec_to_input\":1"), PH_EFORMAT,
         "F/cfg.json: apply_b_dec_to_input: expected true or false"},
        {CFG(",\"hook_head_index\":3"), PH_EUNSUPPORTED,
         "F/cfg.json: hook_head_index is not supported"},
        {"{\"d_in\":36,\"d_sae\":10,\"hook_name\":\"blocks.0.attn.hook_z\"}", PH_EUNSUPPORTED,
         "F/cfg.json: hook_name blocks.0.attn.hook_z: single heads are not among the places"},
        {"{\"d_in\":36,\"d_sae\":10,\"hook_name\":\"blocks.9.hook_resid_post\"}", PH_ERANGE,
         "F/cfg.json: hook_name blocks.9.hook_resid_post: blocks.9: this model has blocks 0 to 1 "
         "in these names"},
        {"{\"d_in\":36,\"d_sae\":10,\"hook_name\":\"blocks.0.hook_resid_post x\"}", PH_EUNSUPPORTED,
         NULL},
        {"{\"d_in\":36,\"d_sae\":10}", PH_EFORMAT,
         "F/cfg.json: hook_name: expected the name of a hook"},
        {"{\"d_in\":64,\"d_sae\":10,\"hook_name\":\"blocks.0.hook_resid_post\"}", PH_EFORMAT,
         "F/cfg.json: d_in 64, its place in this model has 36"},
        {"{\"d_in\":36,\"d_sae\":99999999999,\"hook_name\":\"blocks.0.hook_resid_post\"}",
         PH_EFORMAT, "F/cfg.json: d_sae: expected a number from 1 on"},
        {"{\"d_in\":36,\"d_sae\":11,\"hook_name\":\"blocks.0.hook_resid_post\"}", PH_EFORMAT,
         "F/sae_weights.safetensors: tensor W_enc: its shape is 36 x 10, expected 36 x 11"},
        {CFG(",\"architecture\":\"batchtopk\",\"rescale_acts_by_decoder_norm\":true"), PH_OK, ""},
        {"[1]", PH_EFORMAT, "F/cfg.json: expected a JSON object"},
        {"{\"d_in\":", PH_EFORMAT, NULL},
    };
    ph_map map = {0};
    ph_error err = {0};
    must(ph__map_open(&map, DATA "standard/sae_weights.safetensors", &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ph_sae *sae = NULL;
        ph_error e = {0};
        const ph_status st = ph__sae_parse(
            &sae, "F", (ph_bytes){cases[i].cfg, strlen(cases[i].cfg)},
            (ph_bytes){(const char *)map.bytes, map.size}, ph_model_get_info(model), &e);
        if (st != cases[i].code) fail_msg("%s: %d, %s", cases[i].cfg, (int)st, e.msg);
        if (cases[i].msg) assert_string_equal(e.msg, cases[i].msg);
        ph__sae_close(&sae);
    }
    /* An SAE of batch top-k without a threshold is one of training. */
    ph_sae *sae = NULL;
    ph_latent *l = NULL;
    const char *cfg = CFG(",\"architecture\":\"batchtopk\"");
    must(ph__sae_parse(&sae, "F", (ph_bytes){cfg, strlen(cfg)},
                       (ph_bytes){(const char *)map.bytes, map.size}, ph_model_get_info(model),
                       &err),
         &err);
    assert_int_equal(ph__latent_open(&l, sae, 0, &err), PH_EFORMAT);
    assert_string_equal(err.msg, "F: tensor threshold is missing");
    ph__sae_close(&sae);
    ph__map_close(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_reduce),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_taps),
        cmocka_unit_test(test_wrong_taps),
        cmocka_unit_test(test_directions),
        cmocka_unit_test(test_wrong_directions),
        cmocka_unit_test(test_saes),
        cmocka_unit_test(test_latent_score),
        cmocka_unit_test(test_bos),
        cmocka_unit_test(test_hostile_npy),
        cmocka_unit_test(test_hostile_safetensors),
        cmocka_unit_test(test_hostile_cfg),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
