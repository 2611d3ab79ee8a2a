/* test_backend.c — opening backends, and moving numbers in and out of their memory. */
#include "kernels/kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_names(void **state)
{
    ph_error err;
    ph_backend *be = NULL;
    size_t n = 0;
    (void)state;
    for (; ph__backend_name(n); n++) assert_true(strlen(ph__backend_name(n)) > 0);
    assert_true(n >= 3);
    assert_string_equal(ph__backend_name(n - 1), "ref64");
    assert_int_equal(ph__backend_open(&be, NULL, 0, &err), PH_OK);
    assert_true(be->threads >= 1);
    assert_string_not_equal(be->name, "ref");
    ph__backend_close(&be);
    assert_null(be);
    ph__backend_close(&be);
}

static void test_errors(void **state)
{
    ph_error err;
    ph_backend *be = NULL;
    (void)state;
    assert_int_equal(ph__backend_open(&be, "abacus", 1, &err), PH_EINVAL);
    assert_non_null(strstr(err.msg, "backend abacus: this build has "));
    assert_non_null(strstr(err.msg, "cpu, ref, ref64"));
    assert_int_equal(ph__backend_open(&be, "cpu", -1, &err), PH_EINVAL);
    assert_string_equal(err.msg, "-1 threads: a number of 1 or more, or 0 for all");
    assert_int_equal(ph__backend_open(&be, "abacus", 1, NULL), PH_EINVAL);
    assert_null(be);
}

static void test_memory(void **state)
{
    const float in[] = {1.5f, -0.0f, 3e38f};
    const double in64[] = {1.0 / 3, -2, 1e-30};
    (void)state;
    for (size_t i = 0; ph__backend_name(i); i++) {
        ph_error err;
        ph_backend *be = NULL;
        ph_real *x = NULL;
        float out[3];
        double out64[3];
        const ph_status st = ph__backend_open(&be, ph__backend_name(i), 1, &err);
        if (st == PH_EUNSUPPORTED) continue; /* built in, but not for this processor */
        assert_int_equal(st, PH_OK);
        assert_int_equal(be->alloc(&x, 5, be, &err), PH_OK);
        be->read(out, x, 3, be);
        assert_true(out[0] == 0 && out[1] == 0 && out[2] == 0);
        be->write(ph__at(be, x, 2), in, 3, be);
        be->read(out, ph__at(be, x, 2), 3, be);
        assert_memory_equal(in, out, sizeof in);
        be->write64(x, in64, 3, be);
        be->read64(out64, x, 3, be);
        for (int k = 0; k < 3; k++)
            assert_true(out64[k] == (be->element == 8 ? in64[k] : (double)(float)in64[k]));
        be->read64(out64, ph__at(be, x, 3), 2, be);
        assert_true(out64[1] == (double)in[2]);
        be->release(be, x);
        be->release(be, NULL);
        ph__backend_close(&be);
    }
}

static void test_streams(void **state)
{
    const float w[] = {1, 2, 3, 4, 5, 6};
    (void)state;
    for (size_t i = 0; ph__backend_name(i); i++) {
        ph_error err;
        ph_backend *be = NULL;
        ph_matrix *m = NULL;
        ph_stream *s = NULL;
        if (ph__backend_open(&be, ph__backend_name(i), 1, &err) == PH_EUNSUPPORTED) continue;
        assert_int_equal(be->matrix_new(&m, w, 2, 3, true, be, &err), PH_OK);
        assert_true(be->matrix_bytes(m) >= 6 * be->element);
        assert_int_equal(be->stream_new(&s, 0, be, &err), PH_OK);
        assert_int_equal(be->stream_prepare(s, m, 600, &err), PH_OK);
        assert_int_equal(be->stream_status(s, &err), PH_OK);
        be->stream_close(&s, be);
        be->matrix_close(&m, be);
        assert_null(s);
        assert_null(m);
        be->matrix_close(&m, be);
        be->stream_close(&s, be);
        ph__backend_close(&be);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_errors),
                                       cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_streams)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
