/* test_columns.c — a session that is told which columns of the stream are wanted gives their bits and the
 * gradient's as one that computes them all, and does so with fewer operations.
 */
#include "base/rng.h"
#include "model/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 40, T = 4, THREADS = 2 };

/* Two sessions of one tap: `some` is told its columns; what both are given and leave behind. */
struct pair {
    ph_model *model;
    ph_session *all, *some;
    int64_t C;
    size_t size; /* of every array: (ROWS,T,C) */
    float *E, *dE[2];
    double *dX, *X[2];
};

static ph_session *session_open(const struct pair *p, ph_tap tap, bool gradient)
{
    static const int32_t context[] = {3};
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_session *s = NULL;
    ph_error err;
    o.tap = tap;
    o.rows = ROWS;
    o.tokens = T;
    o.context = context;
    o.n_context = 1;
    o.gradient = gradient;
    assert_int_equal(ph__session_open_team(&s, p->model, &o, &err), PH_OK);
    return s;
}

static bool pair_open(struct pair *p, const char *file, const char *backend, ph_tap tap)
{
    ph_model_options mo = PH_MODEL_OPTIONS_INIT;
    ph_rng rng = ph__rng(7, 0);
    ph_error err;

    mo.backend = backend;
    mo.threads = THREADS;
    const ph_status st = ph_model_open(&p->model, file, &mo, &err);
    if (st == PH_EUNSUPPORTED) return false; /* this processor has no such backend */
    assert_int_equal(st, PH_OK);
    p->all = session_open(p, tap, true);
    p->some = session_open(p, tap, true);
    p->C = ph_model_get_info(p->model)->width;
    p->size = (size_t)(ROWS * T * p->C);
    p->E = calloc(p->size, sizeof *p->E);
    p->dX = calloc(p->size, sizeof *p->dX);
    for (int i = 0; i < 2; i++) {
        p->dE[i] = calloc(p->size, sizeof **p->dE);
        p->X[i] = calloc(p->size, sizeof **p->X);
        assert_true(p->E && p->dX && p->dE[i] && p->X[i]);
    }
    for (size_t i = 0; i < p->size; i++) p->E[i] = (float)ph__rng_normal(&rng) * 0.1f;
    return true;
}

static void pair_close(struct pair *p)
{
    ph_session_close(&p->all);
    ph_session_close(&p->some);
    ph_model_close(&p->model);
    free(p->E);
    free(p->dX);
    for (int i = 0; i < 2; i++) free(p->dE[i]), free(p->X[i]);
}

static void work(struct pair *p, int i)
{
    ph_session *s = i ? p->some : p->all;
    ph_error err;
    ph__session_write(s, p->E, ROWS);
    assert_int_equal(ph__session_run(s, &err), PH_OK);
    ph__session_read64(s, p->X[i]);
    assert_int_equal(ph__session_back64(s, p->dX, &err), PH_OK);
    ph__session_gradient(s, p->dE[i]);
}

/* n columns, every `step`-th from the `first` on; spared: of a block's matrices, none where nothing can
 * be spared. */
static void check(struct pair *p, int64_t first, int64_t step, int64_t n, bool spared)
{
    ph_rng rng = ph__rng(8, (uint64_t)n);
    int64_t *columns = calloc((size_t)p->C, sizeof *columns);
    ph_error err;

    assert_non_null(columns);
    for (int64_t i = 0; i < n; i++) columns[i] = first + i * step;
    memset(p->dX, 0, p->size * sizeof *p->dX);
    for (size_t i = 0; i < p->size / (size_t)p->C; i++)
        for (int64_t j = 0; j < n; j++)
            p->dX[i * (size_t)p->C + (size_t)columns[j]] = ph__rng_normal(&rng);
    assert_int_equal(ph__session_columns(p->some, columns, n, &err), PH_OK);
    assert_true((ph_session_flops(p->some, 1) < ph_session_flops(p->all, 1)) == spared);
    work(p, 0);
    work(p, 1);
    for (size_t i = 0; i < p->size / (size_t)p->C; i++)
        for (int64_t j = 0; j < (n ? n : p->C); j++) {
            const size_t at = i * (size_t)p->C + (size_t)(n ? columns[j] : j);
            assert_memory_equal(&p->X[0][at], &p->X[1][at], sizeof **p->X);
        }
    assert_memory_equal(p->dE[0], p->dE[1], p->size * sizeof **p->dE);
    assert_true(!n || p->dE[0][0] != 0);
    free(columns);
}

static const char *const backends[] = {"cpu", "onednn", "ref", "ref64"};

static void test_block(void **state)
{
    (void)state;
    for (size_t b = 0; b < sizeof backends / sizeof *backends; b++) {
        struct pair p = {0};
        if (!pair_open(&p, "tests/data/llama_b.gguf", backends[b],
                       (ph_tap){PH_PLACE_BLOCK, false, 2}))
            continue;
        check(&p, p.C - 1, 1, 1, true);
        check(&p, 0, 2, p.C / 2, true);
        check(&p, 3, 5, 4, true);
        check(&p, 0, 1, p.C / 2 + 1, false);
        check(&p, 1, 1, 3, true);
        check(&p, 0, 1, 0, false);
        pair_close(&p);
    }
}

/* A bias or a norm behind the product, other places, and an MLP beside attention. */
static void test_elsewhere(void **state)
{
    static const struct {
        const char *file;
        ph_tap tap;
        bool spared;
    } cases[] = {{"tests/data/families/gpt2.gguf", {PH_PLACE_BLOCK, false, 2}, false},
                 {"tests/data/families/gemma2.gguf", {PH_PLACE_BLOCK, false, 2}, false},
                 {"tests/data/families/qwen3.gguf", {PH_PLACE_BLOCK, true, 2}, true},
                 {"tests/data/families/stablelm_parallel.gguf", {PH_PLACE_BLOCK, false, 2}, true},
                 {"tests/data/llama_b.gguf", {PH_PLACE_ATTN, false, 2}, false},
                 {"tests/data/llama_b.gguf", {PH_PLACE_MLP, false, 2}, false},
                 {"tests/data/llama_b.gguf", {PH_PLACE_FINAL, false, 0}, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair p = {0};
        assert_true(pair_open(&p, cases[i].file, "cpu", cases[i].tap));
        check(&p, 2, 3, 5, cases[i].spared);
        pair_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_block),
                                       cmocka_unit_test(test_elsewhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
