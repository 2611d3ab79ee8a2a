/* test_backend.c — opening backends, and moving numbers in and out of their memory. */
#include "base/clock.h"
#include "kernels/timed.h"

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
    assert_non_null(strstr(err.msg, "backend abacus: this build has cpu, "));
    assert_non_null(strstr(err.msg, ", ref, ref64"));
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

/* A little work: into the backend, a norm, a product with either operand of M, and out again. */
static void work(ph_backend *be, float *out, const float *w, double pause)
{
    ph_error err;
    ph_matrix *m = NULL;
    ph_stream *s = NULL;
    ph_real *x = NULL;
    enum { N = 3, C = 4 };

    assert_int_equal(be->alloc(&x, 4 * N * C + C, be, &err), PH_OK);
    assert_int_equal(be->matrix_new(&m, w, C, C, true, be, &err), PH_OK);
    assert_true(be->matrix_bytes(m) >= C * C * be->element);
    assert_int_equal(be->stream_new(&s, 0, be, &err), PH_OK);
    assert_int_equal(be->stream_prepare(s, m, N, &err), PH_OK);
    ph_real *y = ph__at(be, x, N * C), *z = ph__at(be, x, 2 * N * C), *r = ph__at(be, x, 3 * N * C);
    be->write(x, w, N * C, be);
    be->write(ph__at(be, x, 4 * N * C), w, C, be);
    be->ops.rmsnorm_fwd(y, r, x, ph__at(be, x, 4 * N * C), 1e-5f, N, C, s);
    be->ops.matmul(z, 0, y, m, N, s);
    be->ops.matmul(z, 1, x, m, N, s);
    be->ops.matmul(z, 1, x, m, 1, s);
    be->read(out, z, N * C, be);
    for (const double begin = ph__now(); ph__now() - begin < pause;) {
    }
    assert_int_equal(be->stream_status(s, &err), PH_OK);
    be->stream_close(&s, be);
    be->matrix_close(&m, be);
    be->release(be, x);
}

static const ph_timed_part *part_of(const ph_timed_part *parts, size_t n, ph_timed_kind kind,
                                    int64_t N)
{
    for (size_t i = 0; i < n; i++)
        if (parts[i].kind == kind && parts[i].N == N) return &parts[i];
    return NULL;
}

/* The same bits, every call counted, and no moment lost: also not one between two calls. */
static void test_timed(void **state)
{
    const double pause = 0.02;
    float w[16], plain[12], timed[12];
    ph_timed_part parts[PH_TIMED_PARTS];
    (void)state;
    for (int i = 0; i < 16; i++) w[i] = 0.3f * (float)i - 1;
    for (size_t i = 0; ph__backend_name(i); i++) {
        ph_error err;
        ph_backend *be = NULL, *t = NULL;
        double sum = 0;
        if (ph__backend_open(&be, ph__backend_name(i), 1, &err) == PH_EUNSUPPORTED) continue;
        assert_int_equal(ph__timed_open(&t, be, &err), PH_OK);
        work(be, plain, w, 0);
        work(t, timed, w, 0);
        assert_memory_equal(plain, timed, sizeof plain);
        assert_int_equal(ph__timed_parts(parts, t), 0); /* it was not started */
        const double begin = ph__now();
        for (int k = 0; k < 2; k++) {
            ph__timed_start(t);
            work(t, timed, w, pause);
            ph__timed_stop(t);
        }
        const double wall = ph__now() - begin;
        assert_memory_equal(plain, timed, sizeof plain);
        const size_t n = ph__timed_parts(parts, t);
        for (size_t k = 0; k < n; k++) sum += parts[k].seconds;
        assert_true(sum <= wall && sum > 0.97 * wall);
        assert_int_equal(part_of(parts, n, PH_TIMED_MATMUL, 3)->calls, 4);
        assert_int_equal(part_of(parts, n, PH_TIMED_MATMUL, 1)->calls, 2);
        assert_int_equal(part_of(parts, n, PH_TIMED_MATMUL, 1)->K, 4);
        assert_int_equal(part_of(parts, n, PH_TIMED_RMSNORM, 0)->calls, 2);
        assert_int_equal(part_of(parts, n, PH_TIMED_PACK, 0)->calls, 2);
        assert_int_equal(part_of(parts, n, PH_TIMED_COPY, 0)->calls, 6);
        assert_true(part_of(parts, n, PH_TIMED_AFTER_READ, 0)->seconds >= 2 * pause);
        assert_null(part_of(parts, n, PH_TIMED_GATED, 0));
        ph__backend_close(&t);
        ph__backend_close(&be);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_errors), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_streams), cmocka_unit_test(test_timed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
