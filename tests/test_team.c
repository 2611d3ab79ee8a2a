/* test_team.c — rows divided among threads give the bits of one session, whatever their number. */
#include "model/session.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 50, T = 4, THREADS = 3, CONTEXT = 2 };

static void fill(float *x, size_t n, uint64_t seed)
{
    ph_rng rng = ph__rng(seed, 0);
    for (size_t i = 0; i < n; i++) x[i] = (float)(ph__rng_next(&rng) >> 40) * 0x1p-24f - 0.5f;
}

/* Forward, and a gradient back, of B rows. */
static void work(ph_session *s, double *X, float *dE, const float *E, const double *dX, int64_t B)
{
    ph_error err;
    ph__session_write(s, E, B);
    assert_int_equal(ph__session_run(s, &err), PH_OK);
    ph__session_read64(s, X);
    assert_int_equal(ph__session_back64(s, dX, &err), PH_OK);
    ph__session_gradient(s, dE);
}

static void compare(const char *backend)
{
    static const int64_t numbers[] = {50, 49, 40, 33, 17, 16, 1, 50};
    const int32_t context[CONTEXT] = {3, 1};
    ph_model_options mo = PH_MODEL_OPTIONS_INIT;
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_session *one = NULL, *team = NULL;
    ph_model *model = NULL;
    ph_error err;

    mo.backend = backend;
    mo.threads = THREADS;
    const ph_status st = ph_model_open(&model, "tests/data/llama_b.gguf", &mo, &err);
    if (st == PH_EUNSUPPORTED) return; /* this processor has no such backend */
    assert_int_equal(st, PH_OK);
    o.tap = (ph_tap){PH_PLACE_BLOCK, false, 2};
    o.rows = ROWS;
    o.tokens = T;
    o.context = context;
    o.n_context = CONTEXT;
    o.gradient = true;
    assert_int_equal(ph_session_open(&one, model, &o, &err), PH_OK);
    assert_int_equal(ph__session_open_team(&team, model, &o, &err), PH_OK);

    const size_t size = (size_t)(ROWS * T * ph_model_get_info(model)->width);
    float *E = malloc(size * sizeof *E), *dE = malloc(2 * size * sizeof *dE);
    double *X = malloc(2 * size * sizeof *X), *dX = malloc(size * sizeof *dX);
    assert_true(E && dE && X && dX);
    fill(E, size, 1);
    fill(dE, size, 2);
    for (size_t i = 0; i < size; i++) dX[i] = (double)dE[i];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const size_t n = size / ROWS * (size_t)numbers[i];
        memset(X, i & 1 ? 0x55 : 0xaa, 2 * size * sizeof *X);
        memset(X + size, 0x33, size * sizeof *X);
        work(one, X, dE, E, dX, numbers[i]);
        work(team, X + size, dE + size, E, dX, numbers[i]);
        assert_memory_equal(X, X + size, n * sizeof *X);
        assert_memory_equal(dE, dE + size, n * sizeof *dE);
    }
    free(E);
    free(dE);
    free(X);
    free(dX);
    ph_session_close(&team);
    ph_session_close(&one);
    ph_model_close(&model);
}

static void test_team(void **state)
{
    (void)state;
    compare("onednn");
    compare("cpu");
    compare("ref");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_team)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
