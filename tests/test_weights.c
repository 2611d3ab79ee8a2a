/* test_weights.c — GGUF files, good and hostile.
 *
 * Files are composed in memory (compose.h). Their bytes are handed over in
 * allocations of the exact size, so that a sanitizer sees every byte read too many.
 */
#include "weights/gguf.h"
#include "weights/quant.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "compose.h"

/* Parse a copy of exactly that size, *copy, which the caller frees after closing. */
static ph_status parse_copy(ph_weights **out, uint8_t **copy, const char *bytes, size_t n,
                            ph_error *err)
{
    *copy = malloc(n ? n : 1);
    assert_non_null(*copy);
    memcpy(*copy, bytes, n);
    *err = (ph_error){0};
    return ph__weights_parse(out, *copy, n, err);
}

#define HEAD(tensors, keys) "GGUF u32:3 u64:" #tensors " u64:" #keys " "

static const char good[] =
    HEAD(3, 20) "s:general.alignment U32 u32:64 "
                "s:k.u8 U8 u8:200 s:k.i8 I8 u8:0xfe s:k.u16 U16 u16:65535 s:k.i16 I16 u16:0xfffe "
                "s:k.u32 U32 u32:4294967295 s:k.i32 I32 u32:0xffffffff s:k.f32 F32 f32:1.5 "
                "s:k.bool BOOL u8:1 s:k.string STRING s:text s:k.u64 U64 u64:0x7fffffffffffffff "
                "s:k.i64 I64 u64:0x8000000000000000 s:k.f64 F64 f64:0.1 "
                "s:k.big U64 u64:0x8000000000000000 s:k.nul STRING u64:3 x:61 x:00 x:62 "
                "s:a.strings ARRAY STRING u64:3 s:one s: u64:2 x:00 x:ff "
                "s:a.i16 ARRAY I16 u64:2 u16:5 u16:0xffff s:a.f64 ARRAY F64 u64:1 f64:2.5 "
                "s:a.bool ARRAY BOOL u64:2 u8:0 u8:1 s:a.empty ARRAY STRING u64:0 "
                "s:matrix u32:2 u64:3 u64:2 u32:0 u64:0 s:blocks u32:2 u64:64 u64:2 u32:8 u64:64 "
                "s:vector u32:1 u64:2 u32:1 u64:256 pad:64 "
                "f32:1 f32:2 f32:3 f32:4 f32:5 f32:6 pad:64 "
                "u16:0x3c00 u8:1 z:31 u16:0x3c00 u8:2 z:31 "
                "u16:0x4000 u8:0xff z:31 u16:0x3c00 z:31 u8:4 pad:64 "
                "u16:0x3c00 u16:0x0001 ";

struct fixture {
    ph_weights *w;
    uint8_t *bytes;
    size_t size, header; /* header: bytes before the data */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    ph_str s = {0};
    ph_error err;

    assert_non_null(f);
    compose(&s, good);
    if (parse_copy(&f->w, &f->bytes, s.data, s.size, &err) != PH_OK) fail_msg("%s", err.msg);
    f->size = s.size;
    f->header = (size_t)(ph__weights_at(f->w, 0)->data - f->bytes);
    ph__str_close(&s);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    ph__weights_close(&f->w);
    assert_null(f->w);
    ph__weights_close(&f->w);
    ph__weights_close(NULL);
    free(f->bytes);
    free(f);
    return 0;
}

/* ---- a good file ---- */

static void assert_error(const ph_error *err, ph_status code, const char *msg)
{
    assert_string_equal(err->msg, msg);
    assert_int_equal(err->code, code);
}

static void test_integers(void **state)
{
    static const struct {
        const char *key;
        int64_t value;
    } cases[] = {
        {"k.u8", 200},         {"k.i8", -2},     {"k.u16", 65535},     {"k.i16", -2},
        {"k.u32", 4294967295}, {"k.i32", -1},    {"k.u64", INT64_MAX}, {"k.i64", INT64_MIN},
        {"k.bool", 1},         {"k.absent", 77}, {"k.", 77},           {"", 77}};
    const struct fixture *f = *state;
    ph_error err = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t x = 77;
        assert_int_equal(ph__meta_int(&x, f->w, cases[i].key, &err), PH_OK);
        assert_true(x == cases[i].value);
        assert_int_equal(ph__meta_has(f->w, cases[i].key), cases[i].value != 77);
    }
    int64_t x = 77;
    assert_int_equal(ph__meta_int(&x, f->w, "k.big", &err), PH_EFORMAT);
    assert_error(&err, PH_EFORMAT, "key k.big: 9223372036854775808 is too large");
    assert_true(x == 77 && err.pos > 0);
    assert_int_equal(ph__meta_int(&x, f->w, "k.f32", &err), PH_EFORMAT);
    assert_error(&err, PH_EFORMAT, "key k.f32: found f32, expected an integer");
    assert_int_equal(ph__meta_int(&x, f->w, "a.i16", &err), PH_EFORMAT);
    assert_error(&err, PH_EFORMAT, "key a.i16: found an array of i16, expected an integer");
}

static void test_other_scalars(void **state)
{
    const struct fixture *f = *state;
    double x = 7;
    bool b = false;
    ph_bytes s = {"default", 7};
    ph_error err = {0};

    assert_int_equal(ph__meta_real(&x, f->w, "k.absent", &err), PH_OK);
    assert_true(x == 7);
    assert_int_equal(ph__meta_real(&x, f->w, "k.f32", &err), PH_OK);
    assert_true(x == 1.5);
    assert_int_equal(ph__meta_real(&x, f->w, "k.f64", &err), PH_OK);
    assert_true(x == 0.1);
    assert_int_equal(ph__meta_real(&x, f->w, "k.u8", &err), PH_EFORMAT);
    assert_error(&err, PH_EFORMAT, "key k.u8: found u8, expected f32 or f64");
    assert_int_equal(ph__meta_bool(&b, f->w, "k.bool", &err), PH_OK);
    assert_true(b);
    assert_int_equal(ph__meta_bool(&b, f->w, "k.u8", &err), PH_EFORMAT);
    assert_error(&err, PH_EFORMAT, "key k.u8: found u8, expected bool");
    assert_int_equal(ph__meta_string(&s, f->w, "k.absent", &err), PH_OK);
    assert_memory_equal(s.data, "default", s.size);
    assert_int_equal(ph__meta_string(&s, f->w, "k.string", &err), PH_OK);
    assert_int_equal(s.size, 4);
    assert_memory_equal(s.data, "text", 4);
    assert_int_equal(ph__meta_string(&s, f->w, "k.nul", &err), PH_EFORMAT);
    assert_error(&err, PH_EFORMAT, "key k.nul: the string holds a 0 byte");
    assert_int_equal(ph__meta_string(&s, f->w, "a.strings", &err), PH_EFORMAT);
    assert_error(&err, PH_EFORMAT, "key a.strings: found an array of string, expected a string");

    char *copy = NULL;
    assert_int_equal(ph__bytes_dup(&copy, s, &err), PH_OK);
    assert_string_equal(copy, "text");
    ph__free(copy);
}

static void test_arrays(void **state)
{
    const struct fixture *f = *state;
    size_t n = 99;
    ph_error err = {0};

    assert_int_equal(ph__meta_strings(&n, f->w, "a.absent", &err), PH_OK);
    assert_int_equal(n, 0);
    n = 99;
    assert_int_equal(ph__meta_strings(&n, f->w, "a.empty", &err), PH_OK);
    assert_int_equal(n, 0);
    assert_int_equal(ph__meta_strings(&n, f->w, "a.strings", &err), PH_OK);
    assert_int_equal(n, 3);
    assert_int_equal(ph__meta_string_at(f->w, "a.strings", 0).size, 3);
    assert_memory_equal(ph__meta_string_at(f->w, "a.strings", 0).data, "one", 3);
    assert_int_equal(ph__meta_string_at(f->w, "a.strings", 1).size, 0);
    assert_memory_equal(ph__meta_string_at(f->w, "a.strings", 2).data, "\0\xff", 2);
    assert_int_equal(ph__meta_string_at(f->w, "a.strings", 3).size, 0);
    assert_int_equal(ph__meta_string_at(f->w, "a.i16", 0).size, 0);
    assert_int_equal(ph__meta_strings(&n, f->w, "a.i16", &err), PH_EFORMAT);
    assert_error(&err, PH_EFORMAT,
                 "key a.i16: found an array of i16, expected an array of strings");

    assert_int_equal(ph__meta_numbers(&n, f->w, "a.i16", &err), PH_OK);
    assert_int_equal(n, 2);
    assert_true(ph__meta_number_at(f->w, "a.i16", 0) == 5);
    assert_true(ph__meta_number_at(f->w, "a.i16", 1) == -1);
    assert_true(ph__meta_number_at(f->w, "a.i16", 2) == 0);
    assert_true(ph__meta_number_at(f->w, "a.f64", 0) == 2.5);
    assert_true(ph__meta_number_at(f->w, "a.bool", 1) == 1);
    assert_int_equal(ph__meta_numbers(&n, f->w, "k.u8", &err), PH_EFORMAT);
    assert_error(&err, PH_EFORMAT, "key k.u8: found u8, expected an array of numbers");
}

static void test_tensors(void **state)
{
    const struct fixture *f = *state;
    const ph_tensor *t = NULL;
    ph_error err = {0};

    assert_int_equal(ph__weights_count(f->w), 3);
    assert_null(ph__weights_at(f->w, 3));
    assert_null(ph__weights_find(f->w, "matri"));
    assert_int_equal(ph__weights_bytes(f->w), f->size);
    assert_ptr_equal(ph__weights_find(f->w, "blocks"), ph__weights_at(f->w, 1));
    assert_int_equal(ph__weights_need(&t, f->w, "matrix", 2, 3, &err), PH_OK);
    assert_string_equal(t->name, "matrix");
    assert_true(t->dims == 2 && t->shape[2] == 1 && t->shape[3] == 1 && t->type == PH_F32);
    assert_int_equal(ph__weights_need(&t, f->w, "vector", 2, 1, &err), PH_OK);
    assert_true(t->dims == 1 && t->bytes == 4 && t->type == PH_F16);
    assert_int_equal(ph__weights_need(&t, f->w, "matrix", 3, 2, &err), PH_EFORMAT);
    assert_error(&err, PH_EFORMAT, "tensor matrix: its shape is 2 x 3, expected 3 x 2");
    assert_int_equal(ph__weights_need(&t, f->w, "matrix", 6, 1, &err), PH_EFORMAT);
    assert_error(&err, PH_EFORMAT, "tensor matrix: its shape is 2 x 3, expected 6");
    assert_int_equal(ph__weights_need(&t, f->w, "missing", 6, 1, &err), PH_EFORMAT);
    assert_error(&err, PH_EFORMAT, "tensor missing is missing");
}

static void test_rows(void **state)
{
    const struct fixture *f = *state;
    float out[128];

    ph__dequant_rows(out, ph__weights_find(f->w, "matrix"), 1, 1);
    assert_true(out[0] == 4 && out[1] == 5 && out[2] == 6);
    ph__dequant_rows(out, ph__weights_find(f->w, "vector"), 0, 1);
    assert_true(out[0] == 1 && out[1] == 0x1p-24f);
    ph__dequant_rows(out, ph__weights_find(f->w, "blocks"), 0, 2);
    assert_true(out[0] == 1 && out[1] == 0 && out[32] == 2 && out[64] == -2 && out[127] == 4);
    ph__dequant_rows(out, ph__weights_find(f->w, "blocks"), 1, 1);
    assert_true(out[0] == -2 && out[63] == 4);
}

/* ---- hostile files ---- */

#define KEY(rest)    HEAD(0, 1) "s:k " rest
#define TENSOR(rest) HEAD(1, 0) "s:t " rest " pad:32 z:64"

static const struct hostile {
    const char *file;
    ph_status code;
    int64_t pos;
    const char *msg;
} hostile[] = {
    {"x:47 x:47 x:55", PH_EFORMAT, 0, "the input is not a GGUF file (first bytes 47 47 55)"},
    {"", PH_EFORMAT, 0, "the input is not a GGUF file (first bytes)"},
    {"s:{}_safetensors", PH_EFORMAT, 0,
     "the input is not a GGUF file (first bytes 0e 00 00 00 00 00 00 00)"},
    {"GGUF u32:1 z:64", PH_EUNSUPPORTED, 4, "GGUF version 1 is not supported (2 and 3 are)"},
    {"GGUF u32:4 z:64", PH_EUNSUPPORTED, 4, "GGUF version 4 is not supported (2 and 3 are)"},
    {"GGUF u32:0 z:64", PH_EUNSUPPORTED, 4, "GGUF version 0 is not supported (2 and 3 are)"},
    {"GGUF u32:0x03000000 z:64", PH_EUNSUPPORTED, 4, "big-endian GGUF is not supported"},
    {"GGUF u32:3 u64:1", PH_EFORMAT, 8,
     "the header: the file ends at byte 16, 1 tensors need more"},
    {HEAD(0, 0x8000000000000000), PH_EFORMAT, 16,
     "the header: the file ends at byte 24, 9223372036854775808 keys need more"},
    {HEAD(0xffffffffffffffff, 0) "z:64", PH_EFORMAT, 8,
     "the header: the file ends at byte 88, 18446744073709551615 tensors need more"},
    {HEAD(65537, 0) "z:3000000", PH_EUNSUPPORTED, 8,
     "the header: 65537 tensors, at most 65536 are read"},
    {HEAD(0, 65537) "z:1000000", PH_EUNSUPPORTED, 16,
     "the header: 65537 keys, at most 65536 are read"},
    /* keys */
    {HEAD(0, 1) "u64:0x8000000000000000 z:64", PH_EFORMAT, 24,
     "key 0: a string of 9223372036854775808 bytes, expected at most 65535"},
    {HEAD(0, 1) "u64:200 z:64", PH_EFORMAT, 32,
     "key 0: the file ends at byte 96, it needs up to 232"},
    {HEAD(0, 1) "s: z:64", PH_EFORMAT, 24, "key 0: the name is empty"},
    {HEAD(0, 1) "u64:2 x:61 x:00 z:64", PH_EFORMAT, 33,
     "key 0: the name holds byte 0x00, expected printable ASCII"},
    {HEAD(0, 1) "u64:2 x:61 x:e9 z:64", PH_EFORMAT, 33,
     "key 0: the name holds byte 0xe9, expected printable ASCII"},
    {HEAD(0, 2) "s:a U8 u8:1 s:a U8 u8:2", PH_EFORMAT, 38, "key a: is there twice"},
    {KEY("u32:13 z:16"), PH_EFORMAT, 33, "key k: unknown value type 13"},
    {KEY("ARRAY u32:99 z:16"), PH_EFORMAT, 37, "key k: unknown value type 99"},
    {KEY("ARRAY ARRAY u64:1 ARRAY U8 u64:0 z:16"), PH_EUNSUPPORTED, 24,
     "key k: arrays of arrays are not supported"},
    {KEY("BOOL u8:2"), PH_EFORMAT, 37, "key k: a bool is 0 or 1, found 2"},
    {KEY("ARRAY BOOL u64:3 u8:0 u8:1 u8:255"), PH_EFORMAT, 51,
     "key k: a bool is 0 or 1, found 255"},
    {KEY("U64 u32:1"), PH_EFORMAT, 37, "key k: the file ends at byte 41, it needs up to 45"},
    {KEY("STRING u64:9 z:8"), PH_EFORMAT, 45, "key k: the file ends at byte 53, it needs up to 54"},
    {KEY("STRING u64:0xffffffffffffffff z:8"), PH_EFORMAT, 37,
     "key k: a string of 18446744073709551615 bytes, expected at most 67108864"},
    {KEY("ARRAY U64 u64:0x2000000000000001 z:64"), PH_EFORMAT, 41,
     "key k: the file ends at byte 113, 2305843009213693953 elements need more"},
    {KEY("ARRAY STRING u64:2 u64:1 x:61 u64:8"), PH_EFORMAT, 66,
     "key k: the file ends at byte 66, it needs up to 74"},
    {HEAD(0, 1) "s:general.alignment U32 u32:48", PH_EFORMAT, 53,
     "key general.alignment is 48, expected a power of two from 8"},
    {HEAD(0, 1) "s:general.alignment U32 u32:0", PH_EFORMAT, 53,
     "key general.alignment is 0, expected a power of two from 8"},
    {HEAD(0, 1) "s:general.alignment I32 u32:0xffffffe0", PH_EFORMAT, 53,
     "key general.alignment is -32, expected a power of two from 8"},
    {HEAD(0, 1) "s:general.alignment F32 f32:32", PH_EFORMAT, 24,
     "key general.alignment: found f32, expected an integer"},
    /* tensors */
    {TENSOR("u32:5 u64:1 u64:1 u64:1 u64:1 u64:1 u32:0 u64:0"), PH_EFORMAT, 33,
     "tensor t: 5 dimensions, expected 1 to 4"},
    {TENSOR("u32:0 u32:0 u64:0"), PH_EFORMAT, 33, "tensor t: 0 dimensions, expected 1 to 4"},
    {TENSOR("u32:2 u64:3 u64:0 u32:0 u64:0"), PH_EFORMAT, 45,
     "tensor t: a dimension of 0, expected at least 1 (and below 2^63)"},
    {TENSOR("u32:1 u64:0x8000000000000000 u32:0 u64:0"), PH_EFORMAT, 37,
     "tensor t: a dimension of 9223372036854775808, expected at least 1 (and below 2^63)"},
    {TENSOR("u32:2 u64:0x100000000 u64:0x100000000 u32:0 u64:0"), PH_EFORMAT, 33,
     "tensor t: more than 2^63 weights"},
    {TENSOR("u32:2 u64:0x100000000 u64:0x80000000 u32:0 u64:0"), PH_EFORMAT, 33,
     "tensor t: more than 2^63 weights"},
    {TENSOR("u32:1 u64:0x4000000000000000 u32:0 u64:0"), PH_EFORMAT, 45,
     "tensor t: more than 2^64 bytes"},
    {TENSOR("u32:1 u64:256 u32:16 u64:0"), PH_EUNSUPPORTED, 45,
     "tensor t: type IQ2_XXS is not supported yet"},
    {TENSOR("u32:1 u64:256 u32:99 u64:0"), PH_EFORMAT, 45, "tensor t: unknown type 99"},
    {TENSOR("u32:1 u64:256 u32:0xffffffff u64:0"), PH_EFORMAT, 45,
     "tensor t: unknown type 4294967295"},
    {TENSOR("u32:2 u64:33 u64:32 u32:2 u64:0"), PH_EFORMAT, 53,
     "tensor t: rows of 33 weights, expected a multiple of the Q4_0 block of 32"},
    {TENSOR("u32:1 u64:128 u32:14 u64:0"), PH_EFORMAT, 45,
     "tensor t: rows of 128 weights, expected a multiple of the Q6_K block of 256"},
    {TENSOR("u32:1 u64:1 u32:0 u64:33"), PH_EFORMAT, 24,
     "tensor t: its offset 33 is not a multiple of the alignment 32"},
    {TENSOR("u32:1 u64:17 u32:0 u64:0"), PH_EFORMAT, 24,
     "tensor t: the file ends at byte 128, it needs up to 132"},
    {TENSOR("u32:1 u64:1 u32:0 u64:64"), PH_EFORMAT, 24,
     "tensor t: the file ends at byte 128, it needs up to 132"},
    {TENSOR("u32:1 u64:1 u32:0 u64:0xffffffffffffffe0"), PH_EFORMAT, 24,
     "tensor t: the file ends at byte 128, it needs up to 18446744073709551615"},
    {TENSOR("u32:1 u64:0x3fffffffffffffff u32:0 u64:0"), PH_EFORMAT, 24,
     "tensor t: the file ends at byte 128, it needs up to 18446744073709551615"},
    {HEAD(1, 0) "u64:128 z:200", PH_EFORMAT, 24,
     "tensor 0: a string of 128 bytes, expected at most 127"},
    {HEAD(1, 0) "u64:2 x:0a x:61 z:200", PH_EFORMAT, 32,
     "tensor 0: the name holds byte 0x0a, expected printable ASCII"},
    {HEAD(2, 0) "s:t u32:1 u64:1 u32:0 u64:0 s:t u32:1 u64:1 u32:0 u64:32 pad:32 z:64", PH_EFORMAT,
     57, "tensor t: is there twice"},
    {HEAD(2, 0) "s:b u32:1 u64:1 u32:0 u64:32 s:a u32:1 u64:9 u32:0 u64:0 pad:32 z:64", PH_EFORMAT,
     24, "tensor b: its data overlap those of tensor a"},
    {HEAD(2, 0) "s:a u32:1 u64:1 u32:0 u64:0 s:b u32:1 u64:1 u32:0 u64:0 pad:32 z:64", PH_EFORMAT,
     57, "tensor b: its data overlap those of tensor a"},
};

static void test_hostile(void **state)
{
    const size_t n = sizeof hostile / sizeof *hostile;
    (void)state;
    for (size_t i = 0; i < n; i++) {
        const struct hostile *h = &hostile[i];
        ph_str s = {0};
        ph_weights *w = NULL;
        uint8_t *bytes = NULL;
        ph_error err;
        compose(&s, h->file);
        const ph_status st = parse_copy(&w, &bytes, s.data ? s.data : "", s.size, &err);
        if (st != h->code || err.code != st || err.pos != h->pos || strcmp(err.msg, h->msg) != 0)
            fail_msg("%s\n  status %d at %" PRId64 ": %s\nexpected %d at %" PRId64 ": %s", h->file,
                     (int)st, err.pos, err.msg, (int)h->code, h->pos, h->msg);
        assert_null(w);
        free(bytes);
        ph__str_close(&s);
    }
    assert_true(n > 50);
}

static void test_truncated(void **state)
{
    const struct fixture *f = *state;
    char want[64];

    for (size_t n = 4; n < f->size; n++) {
        ph_weights *w = NULL;
        uint8_t *bytes = NULL;
        ph_error err;
        snprintf(want, sizeof want, ": the file ends at byte %zu, ", n);
        assert_int_equal(parse_copy(&w, &bytes, (const char *)f->bytes, n, &err), PH_EFORMAT);
        if (!strstr(err.msg, want)) fail_msg("at %zu: '%s'", n, err.msg);
        assert_true(err.pos >= 0 && err.pos <= (int64_t)n);
        free(bytes);
    }
}

/* Read everything that a parsed file gives access to; returns how much that was. */
static size_t touch(const ph_weights *w)
{
    size_t read = 0;
    for (size_t i = 0; i < ph__weights_count(w); i++) {
        const ph_tensor *t = ph__weights_at(w, i);
        float *row = malloc((size_t)t->shape[t->dims - 1] * sizeof *row);
        assert_non_null(row);
        ph__dequant_rows(row, t, 0, 1);
        free(row);
        assert_ptr_equal(ph__weights_find(w, t->name), t);
        read += t->bytes;
    }
    for (size_t i = 0; i < w->n_values; i++) {
        const ph_value *v = &w->values[i];
        for (size_t k = 0; k < v->count; k++)
            read += v->starts ? ph__value_string(w, v, k).size : ph__value_real(w, v, k) != 0;
    }
    return read;
}

static void test_flipped(void **state)
{
    struct fixture *f = *state;
    size_t accepted = 0, refused = 0, read = 0;

    for (size_t at = 0; at < f->header; at++) {
        for (int i = 0; i < 9; i++) {
            const int mask = i < 8 ? 1 << i : 255;
            ph_weights *w = NULL;
            ph_error err = {0};
            f->bytes[at] = (uint8_t)(f->bytes[at] ^ mask);
            if (ph__weights_parse(&w, f->bytes, f->size, &err) == PH_OK) {
                accepted++;
                read += touch(w);
            } else {
                refused++;
                assert_true(err.code == PH_EFORMAT || err.code == PH_EUNSUPPORTED);
                assert_true(err.pos >= 0 && err.pos <= (int64_t)f->size && err.msg[0]);
                assert_null(w);
            }
            ph__weights_close(&w);
            f->bytes[at] = (uint8_t)(f->bytes[at] ^ mask);
        }
    }
    assert_true(accepted > 500 && refused > 500 && read > 0);
}

/* ---- files on disk ---- */

static void write_file(char path[32], const char *line)
{
    ph_str s = {0};
    snprintf(path, 32, "/tmp/test_weights.XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    compose(&s, line);
    assert_int_equal(write(fd, s.data ? s.data : "", s.size), s.size);
    close(fd);
    ph__str_close(&s);
}

static void assert_open_fails(const char *path, ph_status code, const char *reason)
{
    ph_weights *w = NULL;
    ph_error err = {0};
    char want[256];

    snprintf(want, sizeof want, "%s%s", path, reason);
    assert_int_equal(ph__weights_open(&w, path, &err), code);
    assert_null(w);
    assert_error(&err, code, want);
}

static void test_files(void **state)
{
    char path[32];
    ph_weights *w = NULL;
    (void)state;

    assert_open_fails("/usr", PH_EIO, "/config.json: No such file or directory");
    assert_open_fails("/dev/null", PH_EIO, ": is not a regular file");
    assert_open_fails("/nowhere/model.gguf", PH_EIO, ": No such file or directory");
    write_file(path, "");
    assert_open_fails(path, PH_EIO, ": the file is empty");
    unlink(path);
    write_file(path, "x:50 x:4b x:03 x:04");
    assert_open_fails(path, PH_EFORMAT, " is not a GGUF file (first bytes 50 4b 03 04)");
    unlink(path);
    write_file(path, good);
    assert_int_equal(ph__weights_open(&w, path, NULL), PH_OK);
    unlink(path);
    assert_true(touch(w) > 0);
    ph__weights_close(&w);
}

static void test_unreadable(void **state)
{
    char path[32];
    (void)state;

    if (geteuid() == 0) {
        print_message("skipped: root can read every file\n");
        skip();
    }
    write_file(path, good);
    assert_int_equal(chmod(path, 0), 0);
    assert_open_fails(path, PH_EIO, ": Permission denied");
    unlink(path);
}

/* Files that others have written, without tensors. Figures: gguf.GGUFReader. */
static void test_vocabularies(void **state)
{
    static const struct {
        const char *file;
        size_t tokens, merges, kinds;
        size_t at;
        const char *token;
    } cases[] = {{"gpt-2", 50257, 50000, 50257, 50256, "<|endoftext|>"},
                 {"llama-bpe", 128256, 280147, 128256, 128000, "<|begin_of_text|>"},
                 {"llama-spm", 32000, 0, 32000, 2, "</s>"},
                 {"qwen2", 151936, 151387, 151936, 151643, "<|endoftext|>"}};
    const char *folder = getenv("PHOSPHENE_VOCAB_DIR");
    (void)state;

    if (!folder) folder = "../shared/vocab";
    if (access(folder, R_OK) != 0) {
        print_message("skipped: no folder %s\n", folder);
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[512];
        size_t tokens = 0, merges = 0, kinds = 0;
        ph_weights *w = NULL;
        ph_error err = {0};
        snprintf(path, sizeof path, "%s/ggml-vocab-%s.gguf", folder, cases[i].file);
        if (ph__weights_open(&w, path, &err) != PH_OK) fail_msg("%s: %s", path, err.msg);
        assert_int_equal(ph__weights_count(w), 0);
        assert_int_equal(ph__meta_strings(&tokens, w, "tokenizer.ggml.tokens", &err), PH_OK);
        assert_int_equal(ph__meta_strings(&merges, w, "tokenizer.ggml.merges", &err), PH_OK);
        assert_int_equal(ph__meta_numbers(&kinds, w, "tokenizer.ggml.token_type", &err), PH_OK);
        assert_int_equal(tokens, cases[i].tokens);
        assert_int_equal(merges, cases[i].merges);
        assert_int_equal(kinds, cases[i].kinds);
        const ph_bytes token = ph__meta_string_at(w, "tokenizer.ggml.tokens", cases[i].at);
        assert_int_equal(token.size, strlen(cases[i].token));
        assert_memory_equal(token.data, cases[i].token, token.size);
        ph__weights_close(&w);
    }
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILE(test_integers),
        WITH_FILE(test_other_scalars),
        WITH_FILE(test_arrays),
        WITH_FILE(test_tensors),
        WITH_FILE(test_rows),
        WITH_FILE(test_truncated),
        WITH_FILE(test_flipped),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_vocabularies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
