/* gradcheck_ops.c — every backward operation of ref64 against central differences of its forward.
 *
 * With L = sum_i c_i y_i for random c, the backward operation, given dy = c, must add dL/dx to what
 * stands in dx. Each element is compared with (L(x+h) - L(x-h))/2h, h = 1e-5, and each case with the
 * derivative along a random direction; both within 1e-7 of the size of the gradient. The error of
 * the difference itself is about h^2/6 |L'''| = 2e-11 and 1e-16 |L|/h = 1e-11 |L|.
 */
#include "base/rng.h"
#include "kernels/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const double h = 1e-5, tolerance = 1e-7;

/* An operation between one input x of n elements, that is differentiated, and outputs y of m. */
struct problem {
    int64_t n, m;
    void (*forward)(const struct problem *p, double *y, double *x);
    /* dx = beta*dx + gradient */
    void (*backward)(const struct problem *p, double *dx, float beta, double *dy, double *x);
    ph_backend *be;
    ph_stream *stream;
    int64_t N, C, B, T, P, H, Hkv, D, ld, rot, first;
    ph_rope_kind kind;
    ph_act_kind act;
    ph_norm_kind norm;
    bool each;
    double cap;
    int64_t window;
    bool overwrites; /* the backward operation has no beta */
    double *w;       /* weights; rope's cos, then sin; attention's context keys, then values */
    double *saved;   /* what the forward operation leaves for the backward one */
    ph_matrix *M, *Mt;
};

/* ref64's elements are doubles in the process's own memory. */
static ph_real *real(double *x)
{
    return (ph_real *)x;
}

static double *numbers(int64_t n, uint64_t seed)
{
    ph_rng r = ph__rng(seed, (uint64_t)n);
    double *x = calloc((size_t)n + 1, sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = ph__rng_normal(&r);
    return x;
}

static void setup(struct problem *p, int64_t n, int64_t m, int64_t weights, int64_t saved)
{
    ph_error err;
    p->n = n;
    p->m = m;
    assert_int_equal(ph__backend_open(&p->be, "ref64", 1, &err), PH_OK);
    assert_int_equal(p->be->element, sizeof(double));
    assert_int_equal(p->be->stream_new(&p->stream, 0, p->be, &err), PH_OK);
    p->w = numbers(weights, 3);
    p->saved = numbers(saved, 4);
}

static void teardown(struct problem *p)
{
    free(p->w);
    free(p->saved);
    p->be->matrix_close(&p->M, p->be);
    p->be->matrix_close(&p->Mt, p->be);
    p->be->stream_close(&p->stream, p->be);
    ph__backend_close(&p->be);
}

/* ---- the check --------------------------------------------------------------------------------- */

static double loss(const struct problem *p, const double *c, double *x)
{
    double *y = calloc((size_t)p->m, sizeof *y), sum = 0;
    assert_non_null(y);
    p->forward(p, y, x);
    for (int64_t i = 0; i < p->m; i++) sum += c[i] * y[i];
    free(y);
    return sum;
}

static double slope(const struct problem *p, const double *c, double *x, const double *direction)
{
    double *moved = calloc((size_t)p->n, sizeof *moved), up, down;
    assert_non_null(moved);
    for (int64_t i = 0; i < p->n; i++) moved[i] = x[i] + h * direction[i];
    up = loss(p, c, moved);
    for (int64_t i = 0; i < p->n; i++) moved[i] = x[i] - h * direction[i];
    down = loss(p, c, moved);
    free(moved);
    return (up - down) / (2 * h);
}

static void compare(double got, double want, double size, const char *what, int64_t i)
{
    if (!(fabs(got - want) <= tolerance * size))
        fail_msg("%s %lld: backward %.12g, difference %.12g, size %.3g", what, (long long)i, got,
                 want, size);
}

static void check_gradient(const struct problem *p, const double *dx, const double *c, double *x)
{
    double *direction = numbers(p->n, 5), *unit = calloc((size_t)p->n, sizeof *unit);
    double along = 0, size = 0, all = 0;
    assert_non_null(unit);
    for (int64_t i = 0; i < p->n; i++) size += dx[i] * dx[i] / (double)p->n;
    size = sqrt(size);
    assert_true(size > 1e-3); /* a gradient of nothing compares nothing */
    for (int64_t i = 0; i < p->n; i++) {
        unit[i] = 1;
        compare(dx[i], slope(p, c, x, unit), size, "element", i);
        unit[i] = 0;
        along += dx[i] * direction[i];
        all += fabs(dx[i] * direction[i]);
    }
    compare(along, slope(p, c, x, direction), all, "direction", 0);
    free(direction);
    free(unit);
}

/* beta = 0 on NaN, then beta = 1 on top of something. */
static void check(struct problem *p)
{
    double *x = numbers(p->n, 1), *c = numbers(p->m, 2), *y = numbers(p->m, 6);
    double *dx = numbers(p->n, 7), *onto = numbers(p->n, 8), *before = numbers(p->n, 8);
    for (int64_t i = 0; i < p->n; i++) dx[i] = (double)NAN;
    p->forward(p, y, x); /* leaves what the backward operation needs */
    p->backward(p, dx, 0, c, x);
    check_gradient(p, dx, c, x);
    p->forward(p, y, x);
    if (!p->overwrites) p->backward(p, onto, 1, c, x);
    for (int64_t k = 0; k < p->n && !p->overwrites; k++)
        assert_true(fabs(onto[k] - before[k] - dx[k]) <= 1e-13 * (1 + fabs(dx[k])));
    free(x);
    free(c);
    free(y);
    free(dx);
    free(onto);
    free(before);
    teardown(p);
}

/* ---- rmsnorm ----------------------------------------------------------------------------------- */

static void rmsnorm_forward(const struct problem *p, double *y, double *x)
{
    p->be->ops.rmsnorm_fwd(real(y), real(p->saved), real(x), real(p->w), 1e-5, p->N, p->C,
                           p->stream);
}

static void rmsnorm_backward(const struct problem *p, double *dx, float beta, double *dy, double *x)
{
    p->be->ops.rmsnorm_bwd(real(dx), beta, real(dy), real(x), real(p->w), real(p->saved), p->N,
                           p->C, p->stream);
}

static void test_rmsnorm(void **state)
{
    static const int64_t shapes[][2] = {{1, 2}, {3, 7}, {2, 48}};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct problem p = {.forward = rmsnorm_forward, .backward = rmsnorm_backward};
        p.N = shapes[i][0];
        p.C = shapes[i][1];
        setup(&p, p.N * p.C, p.N * p.C, p.C, p.N);
        check(&p);
    }
}

/* ---- matmul: the backward product of W is a second packing of W -------------------------------- */

static void matmul_forward(const struct problem *p, double *y, double *x)
{
    p->be->ops.matmul(real(y), 0, real(x), p->M, p->N, p->stream);
}

static void matmul_backward(const struct problem *p, double *dx, float beta, double *dy, double *x)
{
    (void)x;
    p->be->ops.matmul(real(dx), beta, real(dy), p->Mt, p->N, p->stream);
}

static void test_matmul(void **state)
{
    static const int64_t shapes[][3] = {{1, 1, 1}, {3, 5, 2}, {2, 17, 70}};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int64_t N = shapes[i][0], K = shapes[i][1], J = shapes[i][2];
        struct problem p = {.forward = matmul_forward, .backward = matmul_backward, .N = N};
        ph_error err;
        setup(&p, N * K, N * J, K * J, 0);
        float *w = calloc((size_t)(K * J), sizeof *w);
        assert_non_null(w);
        for (int64_t k = 0; k < K * J; k++) w[k] = (float)p.w[k];
        assert_int_equal(p.be->matrix_new(&p.M, w, J, K, true, p.be, &err), PH_OK);
        assert_int_equal(p.be->matrix_new(&p.Mt, w, J, K, false, p.be, &err), PH_OK);
        free(w);
        check(&p);
    }
}

/* ---- rope, in place: x is copied before ----------------------------------------------------------
 *
 * The gradient comes in place of dy: with beta = 0 the answer is the turned dy.
 */
static void rope_forward(const struct problem *p, double *y, double *x)
{
    memcpy(y, x, (size_t)p->n * sizeof *y);
    p->be->ops.rope_fwd(real(y), real(p->w), real(p->saved), p->kind, p->first, p->B, p->T, p->H,
                        p->D, p->rot, p->ld, p->stream);
}

static void rope_backward(const struct problem *p, double *dx, float beta, double *dy, double *x)
{
    (void)x, (void)beta;
    memcpy(dx, dy, (size_t)p->n * sizeof *dx);
    p->be->ops.rope_bwd(real(dx), real(p->w), real(p->saved), p->kind, p->first, p->B, p->T, p->H,
                        p->D, p->rot, p->ld, p->stream);
}

static void test_rope(void **state)
{
    static const int64_t shapes[][6] = {{1, 1, 1, 2, 2, 0}, {2, 3, 2, 8, 8, 1}, {2, 3, 2, 9, 6, 2}};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof shapes[0]; i++) {
        const int64_t *s = shapes[i / 2];
        struct problem p = {.forward = rope_forward, .backward = rope_backward, .overwrites = true};
        p.kind = i % 2 ? PH_ROPE_HALVES : PH_ROPE_INTERLEAVED;
        p.B = s[0], p.T = s[1], p.H = s[2], p.D = s[3], p.rot = s[4], p.first = s[5];
        p.ld = p.H * p.D + 3;
        const int64_t table = (p.first + p.T) * p.rot / 2;
        setup(&p, p.B * p.T * p.ld, p.B * p.T * p.ld, table, table);
        for (int64_t k = 0; k < table; k++) {
            p.saved[k] = sin(p.w[k]);
            p.w[k] = cos(p.w[k]);
        }
        check(&p);
    }
}

/* ---- attention: x is q, k, v side by side -------------------------------------------------------- */

static void attention_forward(const struct problem *p, double *y, double *x)
{
    const int64_t context = p->P * p->Hkv * p->D;
    p->be->ops.attention_fwd(real(y), real(p->saved), real(x), real(x + p->H * p->D),
                             real(x + (p->H + p->Hkv) * p->D), p->P ? real(p->w) : NULL,
                             p->P ? real(p->w + context) : NULL, 0.6, p->cap, p->window, p->B, p->T,
                             p->P, p->H, p->Hkv, p->D, p->ld, p->stream);
}

static void attention_backward(const struct problem *p, double *dx, float beta, double *dy,
                               double *x)
{
    const int64_t context = p->P * p->Hkv * p->D, k = p->H * p->D, v = (p->H + p->Hkv) * p->D;
    p->be->ops.attention_bwd(real(dx), real(dx + k), real(dx + v), beta, real(dy), real(p->saved),
                             real(x), real(x + k), real(x + v), p->P ? real(p->w) : NULL,
                             p->P ? real(p->w + context) : NULL, 0.6, p->cap, p->window, p->B, p->T,
                             p->P, p->H, p->Hkv, p->D, p->ld, p->stream);
}

static void test_attention(void **state)
{
    /* B T P H Hkv D window cap */
    static const int64_t shapes[][8] = {{1, 1, 2, 1, 1, 3, 0, 0}, {1, 4, 0, 2, 2, 4, 0, 0},
                                        {2, 3, 2, 6, 2, 5, 0, 0}, {1, 9, 3, 3, 1, 2, 0, 0},
                                        {2, 5, 3, 4, 2, 3, 2, 0}, {1, 9, 3, 3, 1, 2, 5, 3},
                                        {2, 3, 2, 6, 2, 5, 0, 2}};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int64_t *s = shapes[i];
        struct problem p = {.forward = attention_forward, .backward = attention_backward};
        p.B = s[0], p.T = s[1], p.P = s[2], p.H = s[3], p.Hkv = s[4], p.D = s[5];
        p.window = s[6], p.cap = (double)s[7];
        p.ld = (p.H + 2 * p.Hkv) * p.D;
        setup(&p, p.B * p.T * p.ld, p.B * p.T * p.H * p.D, 2 * p.P * p.Hkv * p.D,
              p.B * p.H * p.T * (p.P + p.T));
        check(&p);
    }
}

/* ---- gated: x is g and u side by side ------------------------------------------------------------ */

static void gated_forward(const struct problem *p, double *y, double *x)
{
    p->be->ops.gated_fwd(real(y), real(x), p->act, p->N, p->C, p->stream);
}

static void gated_backward(const struct problem *p, double *dx, float beta, double *dy, double *x)
{
    (void)beta;
    p->be->ops.gated_bwd(real(dx), real(dy), real(x), p->act, p->N, p->C, p->stream);
}

static void test_gated(void **state)
{
    static const int64_t shapes[][2] = {{1, 1}, {3, 7}, {2, 33}};
    (void)state;
    for (size_t i = 0; i < 3 * (sizeof shapes / sizeof shapes[0]); i++) {
        struct problem p = {.forward = gated_forward, .backward = gated_backward};
        p.overwrites = true;
        p.act = (ph_act_kind)(i % 3);
        p.N = shapes[i / 3][0];
        p.C = shapes[i / 3][1];
        setup(&p, p.N * 2 * p.C, p.N * p.C, 0, 0);
        check(&p);
    }
}

static void act_forward(const struct problem *p, double *y, double *x)
{
    p->be->ops.act_fwd(real(y), real(x), p->act, p->N, p->stream);
}

static void act_backward(const struct problem *p, double *dx, float beta, double *dy, double *x)
{
    (void)beta;
    p->be->ops.act_bwd(real(dx), real(dy), real(x), p->act, p->N, p->stream);
}

static void test_act(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct problem p = {.forward = act_forward, .backward = act_backward, .overwrites = true};
        p.act = (ph_act_kind)i;
        p.N = 37;
        setup(&p, p.N, p.N, 0, 0);
        check(&p);
    }
}

/* ---- softcap, in place: what it left is what its gradient wants --------------------------------- */

static void softcap_forward(const struct problem *p, double *y, double *x)
{
    memcpy(y, x, (size_t)p->n * sizeof *y);
    p->be->ops.softcap_fwd(real(y), p->cap, p->n, p->stream);
    memcpy(p->saved, y, (size_t)p->n * sizeof *y);
}

static void softcap_backward(const struct problem *p, double *dx, float beta, double *dy, double *x)
{
    (void)x, (void)beta;
    memcpy(dx, dy, (size_t)p->n * sizeof *dx);
    p->be->ops.softcap_bwd(real(dx), real(p->saved), p->cap, p->n, p->stream);
}

static void test_softcap(void **state)
{
    (void)state;
    struct problem p = {.forward = softcap_forward, .backward = softcap_backward};
    p.overwrites = true;
    p.cap = 1.5;
    setup(&p, 21, 21, 0, 21);
    check(&p);
}

/* ---- headnorm, in place backwards --------------------------------------------------------------- */

static void headnorm_forward(const struct problem *p, double *y, double *x)
{
    p->be->ops.headnorm_fwd(real(y), real(x), real(p->w), p->norm, p->each, 1e-5, p->N, p->H, p->D,
                            p->ld, p->stream);
}

static void headnorm_backward(const struct problem *p, double *dx, float beta, double *dy,
                              double *x)
{
    (void)beta;
    memcpy(dx, dy, (size_t)p->n * sizeof *dx);
    p->be->ops.headnorm_bwd(real(dx), real(x), real(p->w), p->norm, p->each, 1e-5, p->N, p->H, p->D,
                            p->ld, p->stream);
}

static void test_headnorm(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct problem p = {.forward = headnorm_forward, .backward = headnorm_backward};
        p.overwrites = true;
        p.norm = i % 2 ? PH_NORM_LAYER : PH_NORM_RMS;
        p.each = i / 2;
        p.N = 3, p.H = 2, p.D = 7;
        p.ld = p.H * p.D;
        setup(&p, p.N * p.ld, p.N * p.ld, p.H * p.D, 0);
        check(&p);
    }
}

/* ---- layernorm: saved is m, then r; w is the weight, then the bias ------------------------------- */

static void layernorm_forward(const struct problem *p, double *y, double *x)
{
    p->be->ops.layernorm_fwd(real(y), real(p->saved), real(p->saved + p->N), real(x), real(p->w),
                             real(p->w + p->C), 1e-5, p->N, p->C, p->stream);
}

static void layernorm_backward(const struct problem *p, double *dx, float beta, double *dy,
                               double *x)
{
    p->be->ops.layernorm_bwd(real(dx), beta, real(dy), real(x), real(p->w), real(p->saved),
                             real(p->saved + p->N), p->N, p->C, p->stream);
}

static void test_layernorm(void **state)
{
    static const int64_t shapes[][2] = {{1, 3}, {3, 7}, {2, 33}};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct problem p = {.forward = layernorm_forward, .backward = layernorm_backward};
        p.N = shapes[i][0], p.C = shapes[i][1];
        setup(&p, p.N * p.C, p.N * p.C, 2 * p.C, 2 * p.N);
        check(&p);
    }
}

/* ---- columns: the gradient of putting is taking -------------------------------------------------- */

static const int64_t some[] = {1, 2, 6};
enum { SOME = sizeof some / sizeof *some };

static void columns_forward(const struct problem *p, double *y, double *x)
{
    p->be->ops.columns_put(real(y), real(p->w), real(x), some, p->N, p->C, SOME, p->stream);
}

static void columns_backward(const struct problem *p, double *dx, float beta, double *dy, double *x)
{
    (void)x, (void)beta;
    p->be->ops.columns_take(real(dx), real(dy), some, p->N, p->C, SOME, p->stream);
}

static void test_columns(void **state)
{
    (void)state;
    struct problem p = {.forward = columns_forward, .backward = columns_backward};
    p.overwrites = true;
    p.N = 3;
    p.C = 7;
    setup(&p, p.N * SOME, p.N * p.C, p.N * p.C, 0);
    check(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm),   cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_rope),      cmocka_unit_test(test_attention),
        cmocka_unit_test(test_gated),     cmocka_unit_test(test_act),
        cmocka_unit_test(test_softcap),   cmocka_unit_test(test_headnorm),
        cmocka_unit_test(test_layernorm), cmocka_unit_test(test_columns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
