/* test_quant.c — every block format, bit for bit, against tests/data/quant.bin
 * (format: tools/golden_quant.py).
 */
#include "weights/quant.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static uint32_t bits_of(float f)
{
    uint32_t bits;
    if (isnan(f)) return 0x7fc00000; /* payload and sign of a NaN are nobody's business */
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static void must_read(void *to, size_t size, size_t n, FILE *f)
{
    if (fread(to, size, n, f) != n) fail_msg("tests/data/quant.bin ends too early");
}

/* A record of the goldens; returns the format. */
static int check_record(FILE *file)
{
    char name[9] = "";
    uint32_t sizes[3]; /* blocks, weights in a block, bytes of a block */
    int type = 0;

    must_read(name, 1, 8, file);
    must_read(sizes, 4, 3, file);
    while (type < PH_DTYPE_COUNT && strcmp(ph__quant((ph_dtype)type)->name, name) != 0) type++;
    if (type == PH_DTYPE_COUNT) fail_msg("format %s", name);
    const ph_quant *q = ph__quant((ph_dtype)type);
    assert_int_equal(q->block, sizes[1]);
    assert_int_equal(q->block_bytes, sizes[2]);
    assert_true(sizes[0] >= 64);

    const size_t bytes = (size_t)sizes[0] * sizes[2], n = (size_t)sizes[0] * sizes[1];
    uint8_t *blocks = malloc(bytes);
    uint32_t *want = malloc(n * sizeof *want);
    float *have = malloc(n * sizeof *have);
    assert_true(blocks && want && have);
    must_read(blocks, 1, bytes, file);
    must_read(want, sizeof *want, n, file);
    const ph_tensor t = {.name = name,
                         .type = (ph_dtype)type,
                         .dims = 2,
                         .data = blocks,
                         .shape = {sizes[0], sizes[1], 1, 1},
                         .bytes = bytes};
    ph__dequant_rows(have, &t, 0, sizes[0]);
    for (size_t i = 0; i < n; i++)
        if (bits_of(have[i]) != want[i])
            fail_msg("%s: weight %zu is %08x, expected %08x", name, i, bits_of(have[i]), want[i]);
    free(blocks);
    free(want);
    free(have);
    return type;
}

static void test_quant_golden(void **state)
{
    FILE *file = fopen("tests/data/quant.bin", "rb");
    char magic[8];
    uint32_t records = 0, seen = 0;
    (void)state;

    assert_non_null(file);
    must_read(magic, 1, 8, file);
    assert_memory_equal(magic, "PHQUANT1", 8);
    must_read(&records, 4, 1, file);
    for (uint32_t i = 0; i < records; i++) seen |= 1u << check_record(file);
    assert_int_equal(fgetc(file), EOF);
    assert_int_equal(seen, (1u << PH_F64) - 1);
    fclose(file);
}

/* All of float16, from its definition. */
static void test_half(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        const uint16_t h = (uint16_t)i;
        const int exponent = h >> 10 & 31, mantissa = h & 1023;
        double want = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
        float have;
        if (exponent == 31) want = mantissa ? (double)NAN : (double)INFINITY;
        if (h >> 15) want = -want;
        ph__quant(PH_F16)->dequant(&have, (const uint8_t *)&h, 1);
        if (bits_of(have) != bits_of((float)want)) fail_msg("%04x is %a", i, (double)have);
    }
}

/* Parts of a row, from and to anywhere in a block, are those of the whole row. */
static void test_parts(void **state)
{
    enum { COLUMNS = 768, ROWS = 2 };
    ph_rng rng = ph__rng(5, 0);
    (void)state;
    for (int type = 0; type < PH_DTYPE_COUNT; type++) {
        const ph_quant *q = ph__quant((ph_dtype)type);
        const size_t bytes = (size_t)(ROWS * COLUMNS / q->block) * q->block_bytes;
        uint8_t *data = test_malloc(bytes);
        float whole[COLUMNS], part[COLUMNS + 1];
        for (size_t i = 0; i < bytes; i++) data[i] = (uint8_t)ph__rng_below(&rng, 60);
        const ph_tensor t = {.type = (ph_dtype)type,
                             .dims = 2,
                             .shape = {ROWS, COLUMNS, 1, 1},
                             .data = data,
                             .bytes = bytes};
        ph__dequant_rows(whole, &t, 1, 1);
        for (int i = 0; i < 300; i++) {
            const int64_t first = (int64_t)ph__rng_below(&rng, COLUMNS);
            const int64_t n = 1 + (int64_t)ph__rng_below(&rng, (uint64_t)(COLUMNS - first));
            part[n] = -1;
            ph__dequant_part(part, &t, 1, first, n);
            assert_memory_equal(part, whole + first, (size_t)n * sizeof *part);
            assert_true(part[n] == -1); /* and nothing behind it was written */
        }
        test_free(data);
    }
}

static void test_types(void **state)
{
    (void)state;
    for (int i = 0; i < PH_F64; i++) {
        const ph_quant *q = ph__quant((ph_dtype)i);
        assert_int_equal(ph__quant_from_gguf(q->gguf), i);
        assert_string_equal(ph__gguf_type_name(q->gguf), q->name);
    }
    assert_int_equal(ph__quant_from_gguf(16), -1);
    assert_int_equal(ph__quant_from_gguf(-1), -1);
    assert_string_equal(ph__gguf_type_name(16), "IQ2_XXS");
    assert_null(ph__gguf_type_name(42));
    assert_null(ph__gguf_type_name(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quant_golden),
        cmocka_unit_test(test_half),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
