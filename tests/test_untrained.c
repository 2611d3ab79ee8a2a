/* test_untrained.c — models that were never trained: how their weights are drawn, sizes, errors. */
#include "families.h"

#include "model/session.h"

#include <math.h>
#include <stdio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
/* after the headers it needs */
#include <cmocka.h>

#define FILE_A "tests/data/llama_a.gguf"

static ph_model *open_with(ph_model_options o)
{
    ph_model *m = NULL;
    ph_error err = {0};
    o.size = sizeof o;
    if (ph_model_open(&m, FILE_A, &o, &err) != PH_OK) fail_msg("%s", err.msg);
    return m;
}

/* X (3,C) at the last block for the same three rows of numbers. */
static void forward(float *X, const ph_model *m, ph_tap tap)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_session *s = NULL;
    ph_error err = {0};
    const int64_t C = ph_model_get_info(m)->width;
    float *E = calloc((size_t)(3 * C), sizeof *E);

    assert_non_null(E);
    for (int64_t i = 0; i < 3 * C; i++) E[i] = sinf((float)i);
    o.tap = tap;
    o.tokens = 3;
    if (ph_session_open(&s, m, &o, &err) != PH_OK) fail_msg("%s", err.msg);
    if (ph_session_forward(s, X, E, 1, &err) != PH_OK) fail_msg("%s", err.msg);
    ph_session_close(&s);
    free(E);
}

static void test_distribution(void **state)
{
    (void)state;
    ph_model *m = open_with((ph_model_options){.shape = "smollm2-135m", .blocks = 1});
    const float *W;
    double rms = 0, sum = 0;
    assert_int_equal(ph__model_embedding(&W, &rms, m, NULL), PH_OK);
    const int64_t n = m->arch.V * m->arch.C;
    for (int64_t i = 0; i < n; i++) sum += (double)W[i];
    /* five standard errors of the mean and of the deviation of N(0, 0.02) */
    assert_true(fabs(sum / (double)n) < 5 * 0.02 / sqrt((double)n));
    assert_true(fabs(rms / 0.02 - 1) < 5 / sqrt(2.0 * (double)n));

    float *row = calloc((size_t)m->arch.C, sizeof *row);
    const int32_t id = (int32_t)m->arch.V - 1;
    assert_non_null(row);
    assert_int_equal(ph_model_embed(m, row, &id, 1, NULL), PH_OK);
    assert_memory_equal(row, W + id * m->arch.C, (size_t)m->arch.C * sizeof *row);
    free(row);
    ph_model_close(&m);
}

static void test_same_seed_same_model(void **state)
{
    (void)state;
    ph_model *a = open_with((ph_model_options){.untrained = true, .untrained_seed = 3});
    ph_model *b = open_with(
        (ph_model_options){.untrained = true, .untrained_seed = 3, .threads = 1, .backend = "ref"});
    ph_model *c = open_with((ph_model_options){.untrained = true, .untrained_seed = 4});
    const ph_tap tap = {PH_PLACE_BLOCK, false, a->arch.blocks};
    const size_t n = (size_t)(3 * a->arch.C);
    float *x = calloc(3 * n, sizeof *x);
    double differs = 0;

    assert_non_null(x);
    forward(x, a, tap);
    forward(x + n, b, tap);
    forward(x + 2 * n, c, tap);
    for (size_t i = 0; i < n; i++) {
        assert_true(fabsf(x[i] - x[n + i]) <= 1e-4f); /* another backend's rounding */
        differs = fmax(differs, fabs((double)x[i] - (double)x[2 * n + i]));
    }
    assert_true(differs > 1e-3);
    assert_true(a->info.untrained && a->info.untrained_seed == 3);
    assert_string_equal(a->info.quant, "untrained");
    free(x);
    ph_model_close(&a);
    ph_model_close(&b);
    ph_model_close(&c);
}

static void test_only_block_1_is_block_1(void **state)
{
    (void)state;
    ph_model *m = open_with((ph_model_options){.untrained = true});
    const size_t n = (size_t)(3 * m->arch.C);
    float *x = calloc(2 * n, sizeof *x);
    assert_non_null(x);
    forward(x, m, (ph_tap){PH_PLACE_BLOCK, false, 1});
    forward(x + n, m, (ph_tap){PH_PLACE_BLOCK, true, 1});
    assert_memory_equal(x, x + n, n * sizeof *x);
    free(x);
    ph_model_close(&m);
}

static void test_shapes(void **state)
{
    (void)state;
    ph_model *m = open_with((ph_model_options){.shape = "llama-7b"});
    const ph_model_info *i = ph_model_get_info(m);
    ph_tensor_info t;
    assert_int_equal(i->blocks, 32);
    assert_int_equal(i->width, 4096);
    assert_int_equal(i->ffn, 11008);
    /* LLaMA-7B has 6,738,415,616 weights with its 32,000 tokens, each twice 4096 of them */
    assert_int_equal(i->parameters, 6738415616 - 2 * 4096 * (32000 - i->vocab));
    assert_string_equal(i->shape, "llama-7b");
    assert_true(ph_model_tensor(m, 0, &t));
    assert_string_equal(t.name, "token_embd.weight");
    assert_int_equal(t.shape[1], 4096);
    ph_model_close(&m);
    m = open_with((ph_model_options){.untrained = true, .blocks = 7});
    assert_int_equal(ph_model_get_info(m)->blocks, 7);
    ph_model_close(&m);
}

static double deviation(const ph_model *m, const ph_tensor *t)
{
    float *row = calloc((size_t)t->shape[1], sizeof *row);
    double sum = 0;
    assert_non_null(row);
    for (int64_t i = 0; i < t->shape[0]; i++) {
        ph__model_row(row, m, t, i);
        for (int64_t j = 0; j < t->shape[1]; j++) sum += (double)row[j] * (double)row[j];
    }
    free(row);
    return sqrt(sum / (double)(t->shape[0] * t->shape[1]));
}

/* As transformers initialises GPT-2: the end of a branch 1/sqrt(2 blocks) smaller, biases 0. */
static void test_gpt2(void **state)
{
    (void)state;
    ph_model *m = NULL;
    ph_error err = {0};
    const ph_model_options o = {.size = sizeof o, .untrained = true};
    float row[256];
    if (ph_model_open(&m, "tests/data/families/gpt2.gguf", &o, &err) != PH_OK)
        fail_msg("%s", err.msg);
    const ph_block_slots *b = &m->slots.block[1];
    assert_true(fabs(deviation(m, b->qkv) / 0.02 - 1) < 0.1);
    assert_true(fabs(deviation(m, b->down) / 0.01 - 1) < 0.1);
    assert_true(fabs(deviation(m, m->slots.positions) / 0.02 - 1) < 0.1);
    ph__model_row(row, m, b->qkv_bias, 0);
    assert_true(row[0] == 0 && row[107] == 0);
    ph__model_row(row, m, b->ffn_norm, 0);
    assert_true(row[0] == 1 && row[35] == 1);
    ph_model_close(&m);
}

/* Every family can be drawn, and runs to its end. */
static void test_families(void **state)
{
    (void)state;
    for (size_t i = 0; families[i]; i++) {
        ph_model *m = NULL;
        ph_error err = {0};
        const ph_model_options o = {.size = sizeof o, .untrained = true, .untrained_seed = 1};
        float x[3 * 260];
        char path[64];
        snprintf(path, sizeof path, "tests/data/%s.gguf", families[i]);
        if (ph_model_open(&m, path, &o, &err) != PH_OK) fail_msg("%s", err.msg);
        assert_true(m->arch.V <= 260);
        forward(x, m, (ph_tap){PH_PLACE_LOGITS, false, 0});
        ph_model_close(&m);
    }
}

static void check_error(ph_model_options o, const char *says)
{
    ph_model *m = NULL;
    ph_error err = {0};
    o.size = sizeof o;
    assert_int_equal(ph_model_open(&m, FILE_A, &o, &err), PH_EINVAL);
    assert_null(m);
    if (!strstr(err.msg, says)) fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
}

static void test_errors(void **state)
{
    (void)state;
    check_error((ph_model_options){.shape = "llama-8b"}, "\"llama-8b\": expected one of llama-7b");
    check_error((ph_model_options){.blocks = 3}, "untrained models only");
    check_error((ph_model_options){.untrained = true, .blocks = -1}, "-1 blocks: expected 1 to");
}

/* A cache must not take one model for another. */
static void test_identity(void **state)
{
    (void)state;
    const ph_model_options o[] = {{.threads = 1},
                                  {.untrained = true},
                                  {.untrained = true, .untrained_seed = 1},
                                  {.untrained = true, .blocks = 1},
                                  {.shape = "llama-7b"}};
    char *id[5] = {0};
    for (size_t i = 0; i < 5; i++) {
        ph_model *m = open_with(o[i]);
        assert_int_equal(ph__model_identity(&id[i], m, NULL), PH_OK);
        ph_model_close(&m);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(id[i], id[k]);
    }
    for (size_t i = 0; i < 5; i++) ph_free(id[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_same_seed_same_model),
        cmocka_unit_test(test_only_block_1_is_block_1),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
