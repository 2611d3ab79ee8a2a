/* test_fused.c — operations in one pass against the same in two steps, and the sums of lanes.h against
 * plain loops: bit for bit, on every backend and instruction set of this machine.
 */
#include "base/rng.h"
#include "kernels/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GUARD = 16 };

static const char *const names[] = {"cpu", "cpu-avx2", "cpu-base", "onednn", "ref", "ref64"};

static bool backend_open(ph_backend **be, const char *name)
{
    ph_error err;
    const ph_status st = strncmp(name, "cpu-", 4) ? ph__backend_open(be, name, 2, &err)
                                                  : ph__cpu_open_set(be, name + 4, 2, &err);
    assert_true(st == PH_OK || st == PH_EUNSUPPORTED || st == PH_EINVAL);
    return st == PH_OK;
}

/* One product: x (N,K), M (K,J), and room for what comes of it. */
struct product {
    ph_backend *be;
    ph_stream *stream;
    ph_matrix *M;
    int64_t N, K, J;
    float *w, *numbers;
    ph_real *x, *z, *once, *twice; /* (N,K), (N,J) each, a guard behind it */
};

static void read_rows(float *dst, int64_t row, int64_t n_rows, int64_t first, int64_t n,
                      const void *source)
{
    const struct product *p = source;
    for (int64_t i = 0; i < n_rows; i++)
        memcpy(dst + i * n, p->w + (row + i) * p->J + first, (size_t)n * sizeof *dst);
}

static ph_real *array(const struct product *p, int64_t n)
{
    ph_error err;
    ph_real *x = NULL;
    assert_int_equal(p->be->alloc(&x, (size_t)n + GUARD, p->be, &err), PH_OK);
    p->be->write(x, p->numbers, (size_t)n + GUARD, p->be);
    return x;
}

static void product_open(struct product *p, bool fed)
{
    ph_error err;
    ph_rng rng = ph__rng(3, 1);
    const size_t n = (size_t)((p->N + p->K) * (p->K + p->J)) + GUARD;
    const ph_feed feed = {read_rows, p};

    p->w = calloc(n, sizeof *p->w);
    p->numbers = calloc(n, sizeof *p->numbers);
    assert_true(p->w && p->numbers);
    for (size_t i = 0; i < n; i++) p->w[i] = (float)ph__rng_normal(&rng) * 0.3f;
    for (size_t i = 0; i < n; i++) p->numbers[i] = (float)ph__rng_normal(&rng);
    p->x = array(p, p->N * p->K);
    p->z = array(p, p->N * p->J);
    p->once = array(p, p->N * p->J);
    p->twice = array(p, p->N * p->J);
    assert_int_equal(fed ? p->be->matrix_feed(&p->M, &feed, p->K, p->J, false, p->be, &err)
                         : p->be->matrix_new(&p->M, p->w, p->K, p->J, false, p->be, &err),
                     PH_OK);
    assert_int_equal(p->be->stream_new(&p->stream, 0, p->be, &err), PH_OK);
    assert_int_equal(p->be->stream_prepare(p->stream, p->M, p->N, &err), PH_OK);
}

static void product_close(struct product *p)
{
    p->be->stream_close(&p->stream, p->be);
    p->be->matrix_close(&p->M, p->be);
    ph_real *const all[] = {p->x, p->z, p->once, p->twice};
    for (int i = 0; i < 4; i++) p->be->release(p->be, all[i]);
    free(p->w);
    free(p->numbers);
}

static void assert_same(const struct product *p, int64_t n)
{
    const size_t all = (size_t)n + GUARD;
    double *a = calloc(all, sizeof *a), *b = calloc(all, sizeof *b);
    assert_true(a && b);
    p->be->read64(a, p->once, all, p->be);
    p->be->read64(b, p->twice, all, p->be);
    assert_memory_equal(a, b, all * sizeof *a);
    assert_true(a[n - 1] != (double)p->numbers[n - 1]); /* it was written … */
    assert_true((float)a[n] == p->numbers[n]);          /* … and what stands behind it was not */
    free(a);
    free(b);
}

/* Both results as they were before, guards and all. */
static void reset(const struct product *p)
{
    const size_t n = (size_t)(p->N * p->J) + GUARD;
    p->be->write(p->once, p->numbers, n, p->be);
    p->be->write(p->twice, p->numbers, n, p->be);
}

static void check_add(const struct product *p)
{
    const struct ph_ops *op = &p->be->ops;
    reset(p);
    op->matmul(p->twice, 0, p->x, p->M, p->N, p->stream);
    op->add_fwd(p->twice, p->z, p->twice, p->N * p->J, p->stream);
    op->matmul_add(p->once, p->z, p->x, p->M, p->N, p->stream);
    assert_same(p, p->N * p->J);
}

static void check_gated(const struct product *p)
{
    static const ph_act_kind kinds[] = {PH_ACT_SILU, PH_ACT_GELU_TANH, PH_ACT_GELU};
    const struct ph_ops *op = &p->be->ops;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && p->J % 2 == 0; i++) {
        reset(p);
        op->matmul(p->z, 0, p->x, p->M, p->N, p->stream);
        op->gated_fwd(p->twice, p->z, kinds[i], p->N, p->J / 2, p->stream);
        op->matmul_gated(p->once, p->z, p->x, p->M, kinds[i], p->N, p->stream);
        assert_same(p, p->N * p->J / 2);
    }
}

/* Sizes at the edges of tiles, panels and parts of k; the default model's, packed and fed. */
static void test_products(void **state)
{
    static const int64_t sizes[][3] = {{1, 1, 2},      {7, 17, 33},   {8, 64, 96},
                                       {9, 64, 192},   {50, 65, 100}, {13, 1100, 96},
                                       {400, 96, 960}, {3, 576, 3072}};
    (void)state;
    for (size_t b = 0; b < sizeof names / sizeof *names; b++)
        for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
            const int64_t *size = sizes[i / 2];
            struct product p = {.N = size[0], .K = size[1], .J = size[2]};
            if (!backend_open(&p.be, names[b])) continue;
            product_open(&p, i % 2);
            check_add(&p);
            check_gated(&p);
            product_close(&p);
            ph__backend_close(&p.be);
        }
}

/* ---- columns, against plain loops ---- */

static void check_columns(const struct product *p, const int64_t *columns, int64_t n)
{
    const int64_t N = p->N, C = p->J;
    const size_t size = (size_t)(N * C) + GUARD;
    float *put = calloc(size, sizeof *put), *taken = calloc(size, sizeof *taken);
    const struct ph_ops *op = &p->be->ops;

    assert_true(put && taken);
    reset(p);
    p->be->write(p->once, put, (size_t)(N * C), p->be);
    p->be->write(p->twice, taken, (size_t)(N * n), p->be);
    op->columns_put(p->once, p->z, p->x, columns, N, C, n, p->stream);
    p->be->read(put, p->once, size, p->be);
    op->columns_take(p->twice, p->once, columns, N, C, n, p->stream);
    p->be->read(taken, p->twice, size, p->be);
    for (int64_t i = 0; i < N; i++)
        for (int64_t c = 0, j = 0; c < C; c++) {
            const bool own = j < n && columns[j] == c;
            assert_true(put[i * C + c] == p->numbers[own ? i * n + j : i * C + c]);
            if (own) assert_true(taken[i * n + j] == p->numbers[i * n + j]);
            j += own;
        }
    for (size_t i = size - GUARD; i < size; i++) assert_true(put[i] == p->numbers[i]);
    for (size_t i = (size_t)(N * n); i < size; i++) assert_true(taken[i] == p->numbers[i]);
    free(put);
    free(taken);
}

/* x (N,K) holds the wanted columns of z (N,J). */
static void test_columns(void **state)
{
    static const int64_t first[] = {0}, some[] = {1, 2, 7, 30}, last[] = {31, 32};
    (void)state;
    for (size_t b = 0; b < sizeof names / sizeof *names; b++) {
        struct product p = {.N = 9, .K = 33, .J = 33};
        if (!backend_open(&p.be, names[b])) continue;
        product_open(&p, false);
        for (int64_t i = 0; i < p.N * p.J; i++) assert_true(p.numbers[i] != p.numbers[i + 1]);
        check_columns(&p, first, 1);
        check_columns(&p, some, 4);
        check_columns(&p, last, 2);
        product_close(&p);
        ph__backend_close(&p.be);
    }
}

/* ---- lanes ---- */

enum { ROWS = 67, LD = 2 * PH_LANES + 3 };

struct sums {
    double sum[PH_LANES], squares[PH_LANES];
    float least[PH_LANES], most[PH_LANES];
    int32_t rows[ROWS + 1];
    int64_t n_rows;
    uint32_t bins[PH_LANES * PH_BINS];
};

static void plain(struct sums *s, const float *x, const float *low, const float *high,
                  const float *step)
{
    for (int l = 0; l < PH_LANES; l++) s->least[l] = s->most[l] = x[l];
    for (int i = 0; i < ROWS; i++) {
        bool out = false;
        for (int l = 0; l < PH_LANES; l++) {
            const float v = x[i * LD + l], at = (v - low[l]) * (1.0f / step[l]);
            s->sum[l] += (double)v;
            s->squares[l] += (double)v * (double)v;
            if (v < s->least[l]) s->least[l] = v;
            if (v > s->most[l]) s->most[l] = v;
            out |= v < low[l] || v > high[l];
            s->bins[l * PH_BINS + (at < 1 ? 0 : at >= PH_BINS ? PH_BINS - 1 : (int)at)]++;
        }
        if (out) s->rows[s->n_rows++] = i;
    }
}

static void test_lanes(void **state)
{
    const struct ph__cpu_kernels *const sets[] = {
#ifdef __x86_64__
        &ph__cpu_avx512, &ph__cpu_avx2,
#endif
        &ph__cpu_base};
    float x[ROWS * LD], low[PH_LANES], high[PH_LANES], step[PH_LANES];
    ph_rng rng = ph__rng(9, 2);
    (void)state;
    for (int i = 0; i < ROWS * LD; i++) x[i] = (float)ph__rng_normal(&rng);
    for (int l = 0; l < PH_LANES; l++) {
        low[l] = -3 + 0.03f * (float)l;
        high[l] = 2.4f;
        step[l] = 0.01f + 0.001f * (float)l;
    }
    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++) {
        struct sums *want = calloc(1, sizeof *want), *got = calloc(1, sizeof *got);
        ph_backend *be = NULL;
        assert_true(want && got);
        if (ph__cpu_open_set(&be, sets[k]->name, 1, NULL) == PH_OK) {
            const struct ph_lanes_ops *op = &sets[k]->lanes;
            plain(want, x, low, high, step);
            assert_true(want->n_rows > 1 && want->n_rows < ROWS);
            op->load(got->sum, got->squares, got->least, got->most, x, ROWS, LD);
            got->n_rows = op->beyond(got->rows, x, low, high, ROWS, LD);
            memset(got->rows + got->n_rows, 0, sizeof got->rows - (size_t)got->n_rows * 4);
            op->count(got->bins, x, low, step, ROWS, LD);
            assert_memory_equal(want, got, sizeof *want);
            ph__backend_close(&be);
        }
        free(want);
        free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products),
                                       cmocka_unit_test(test_columns),
                                       cmocka_unit_test(test_lanes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
