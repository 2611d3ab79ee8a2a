/* gguf.c — reads GGUF, versions 2 and 3, little-endian.
 *
 *   "GGUF"  u32 version  u64 tensors  u64 keys
 *   keys:     string name, u32 type, value          string: u64 length, bytes
 *   tensors:  string name, u32 dims, u64 size of each, fastest first, u32 type, u64 offset
 *   padding to general.alignment, then the tensors' data; offsets count from here
 *
 * The file is not trusted: every byte is reached through the cursor, every count is compared with
 * what the rest of the file can hold before memory is taken for it.
 */
#include "weights/gguf.h"

#include "weights/quant.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers of the file are copied as is");

static const struct {
    const char *name;
    size_t bytes; /* the least an element takes */
} value_types[PH_GGUF_TYPE_COUNT] = {
    [PH_GGUF_U8] = {"u8", 1},   [PH_GGUF_I8] = {"i8", 1},        [PH_GGUF_U16] = {"u16", 2},
    [PH_GGUF_I16] = {"i16", 2}, [PH_GGUF_U32] = {"u32", 4},      [PH_GGUF_I32] = {"i32", 4},
    [PH_GGUF_F32] = {"f32", 4}, [PH_GGUF_BOOL] = {"bool", 1},    [PH_GGUF_STRING] = {"string", 8},
    [PH_GGUF_U64] = {"u64", 8}, [PH_GGUF_ARRAY] = {"array", 12}, [PH_GGUF_I64] = {"i64", 8},
    [PH_GGUF_F64] = {"f64", 8},
};

const char *ph__gguf_value_type_name(ph_gguf_type type)
{
    return value_types[type].name;
}

/* ---- cursor ---- */

typedef struct cursor {
    ph_bytes file;
    size_t at;
    char subject[112]; /* what is being read; opens every message */
    ph_error *err;
} cursor;

static size_t remaining(const cursor *c)
{
    return c->file.size - c->at;
}

/* *out = n bytes at an offset: the only way to the file's bytes. */
static ph_status bytes_at(const char **out, const cursor *c, size_t at, size_t n)
{
    if (at > c->file.size || n > c->file.size - at) {
        size_t end;
        if (!ph__add(&end, at, n)) end = SIZE_MAX;
        return ph__fail(c->err, PH_EFORMAT, (int64_t)c->at,
                        "%s: the file ends at byte %zu, it needs up to %zu", c->subject,
                        c->file.size, end);
    }
    *out = c->file.data + at;
    return PH_OK;
}

static ph_status take(const char **out, cursor *c, size_t n)
{
    PH_TRY(bytes_at(out, c, c->at, n));
    c->at += n;
    return PH_OK;
}

static ph_status take_u32(uint32_t *out, cursor *c)
{
    const char *p = NULL;
    PH_TRY(take(&p, c, sizeof *out));
    memcpy(out, p, sizeof *out);
    return PH_OK;
}

static ph_status take_u64(uint64_t *out, cursor *c)
{
    const char *p = NULL;
    PH_TRY(take(&p, c, sizeof *out));
    memcpy(out, p, sizeof *out);
    return PH_OK;
}

static ph_status take_string(ph_bytes *out, cursor *c, uint64_t max)
{
    const size_t pos = c->at;
    uint64_t n = 0;

    PH_TRY(take_u64(&n, c));
    if (n > max)
        return ph__fail(c->err, PH_EFORMAT, (int64_t)pos,
                        "%s: a string of %" PRIu64 " bytes, expected at most %" PRIu64, c->subject,
                        n, max);
    out->size = (size_t)n;
    return take(&out->data, c, out->size);
}

/* The number of things that follow, each of at least `least` bytes. */
static ph_status take_count(size_t *out, cursor *c, const char *things, uint64_t max, size_t least)
{
    const size_t pos = c->at;
    uint64_t n = 0;

    PH_TRY(take_u64(&n, c));
    if (n > remaining(c) / least)
        return ph__fail(c->err, PH_EFORMAT, (int64_t)pos,
                        "%s: the file ends at byte %zu, %" PRIu64 " %s need more", c->subject,
                        c->file.size, n, things);
    if (n > max)
        return ph__fail(c->err, PH_EUNSUPPORTED, (int64_t)pos,
                        "%s: %" PRIu64 " %s, at most %" PRIu64 " are read", c->subject, n, things,
                        max);
    *out = (size_t)n;
    return PH_OK;
}

/* Names are printable ASCII, so that whoever prints or compares them needs no care. From here on
 * messages are about this key or tensor. */
static ph_status take_name(ph_bytes *out, cursor *c, const char *kind, size_t i, uint64_t max)
{
    const size_t pos = c->at;

    snprintf(c->subject, sizeof c->subject, "%s %zu", kind, i);
    PH_TRY(take_string(out, c, max));
    if (out->size == 0)
        return ph__fail(c->err, PH_EFORMAT, (int64_t)pos, "%s: the name is empty", c->subject);
    for (size_t k = 0; k < out->size; k++) {
        const unsigned char byte = (unsigned char)out->data[k];
        if (byte < 0x20 || byte > 0x7e)
            return ph__fail(c->err, PH_EFORMAT, (int64_t)(pos + 8 + k),
                            "%s: the name holds byte 0x%02x, expected printable ASCII", c->subject,
                            byte);
    }
    snprintf(c->subject, sizeof c->subject, "%s %.*s", kind, (int)(out->size < 90 ? out->size : 90),
             out->data);
    return PH_OK;
}

/* ---- index ---- */

static int compare_text(ph_bytes a, ph_bytes b)
{
    const int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_names(const void *pa, const void *pb)
{
    const ph_name *a = pa, *b = pb;
    const int order = compare_text(a->name, b->name);
    return order ? order : (a->item > b->item) - (a->item < b->item);
}

const ph_name *ph__index_sort(ph_name *index, size_t n)
{
    if (n) qsort(index, n, sizeof *index, compare_names);
    for (size_t i = 1; i < n; i++)
        if (compare_text(index[i - 1].name, index[i].name) == 0) return &index[i];
    return NULL;
}

size_t ph__gguf_find(const ph_name *index, size_t n, const char *name)
{
    const ph_bytes wanted = {name, strlen(name)};
    size_t low = 0, high = n;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        const int order = compare_text(index[mid].name, wanted);
        if (order == 0) return index[mid].item;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return SIZE_MAX;
}

/* ---- metadata ---- */

static ph_status take_value_type(uint32_t *out, cursor *c)
{
    const size_t pos = c->at;
    PH_TRY(take_u32(out, c));
    if (*out >= PH_GGUF_TYPE_COUNT)
        return ph__fail(c->err, PH_EFORMAT, (int64_t)pos, "%s: unknown value type %" PRIu32,
                        c->subject, *out);
    return PH_OK;
}

static ph_status take_strings(ph_value *v, cursor *c)
{
    PH_TRY(PH_NEW(&v->starts, v->count, c->err));
    for (size_t i = 0; i < v->count; i++) {
        ph_bytes s = {0};
        v->starts[i] = c->at;
        PH_TRY(take_string(&s, c, PH_GGUF_STRING_MAX));
    }
    return PH_OK;
}

static ph_status take_numbers(ph_value *v, cursor *c)
{
    const char *data = NULL;
    size_t bytes;

    if (!ph__mul(&bytes, v->count, value_types[v->type].bytes)) bytes = SIZE_MAX;
    PH_TRY(take(&data, c, bytes));
    for (size_t i = 0; v->type == PH_GGUF_BOOL && i < bytes; i++)
        if (data[i] != 0 && data[i] != 1)
            return ph__fail(c->err, PH_EFORMAT, (int64_t)(v->at + i),
                            "%s: a bool is 0 or 1, found %d", c->subject, (unsigned char)data[i]);
    return PH_OK;
}

static ph_status take_value(ph_value *v, cursor *c, size_t i)
{
    uint32_t type = 0;

    v->pos = c->at;
    PH_TRY(take_name(&v->key, c, "key", i, PH_GGUF_KEY_BYTES_MAX));
    PH_TRY(take_value_type(&type, c));
    v->count = 1;
    v->array = type == PH_GGUF_ARRAY;
    if (v->array) {
        PH_TRY(take_value_type(&type, c));
        if (type == PH_GGUF_ARRAY)
            return ph__fail(c->err, PH_EUNSUPPORTED, (int64_t)v->pos,
                            "%s: arrays of arrays are not supported", c->subject);
        PH_TRY(take_count(&v->count, c, "elements", PH_GGUF_ARRAY_MAX, value_types[type].bytes));
    }
    v->type = (ph_gguf_type)type;
    v->at = c->at;
    return v->type == PH_GGUF_STRING ? take_strings(v, c) : take_numbers(v, c);
}

static ph_status take_values(ph_weights *w, cursor *c, size_t n)
{
    PH_TRY(PH_NEW(&w->values, n, c->err));
    w->n_values = n;
    for (size_t i = 0; i < n; i++) PH_TRY(take_value(&w->values[i], c, i));

    PH_TRY(PH_NEW(&w->value_index, n, c->err));
    for (size_t i = 0; i < n; i++) w->value_index[i] = (ph_name){w->values[i].key, i};
    const ph_name *twice = ph__index_sort(w->value_index, n);
    if (twice)
        return ph__fail(c->err, PH_EFORMAT, (int64_t)w->values[twice->item].pos,
                        "key %.*s: is there twice", (int)twice->name.size, twice->name.data);
    return PH_OK;
}

/* The value was parsed: its bytes lie within the file. */
static const char *element(const ph_weights *w, const ph_value *v, size_t i, size_t bytes)
{
    const cursor c = {.file = w->file};
    const char *p = NULL;
    return bytes_at(&p, &c, v->at + i * bytes, bytes) == PH_OK ? p : NULL;
}

static double load_real(ph_gguf_type type, const char *p)
{
    float single;
    double wide;
    if (type == PH_GGUF_F32) {
        memcpy(&single, p, sizeof single);
        return (double)single;
    }
    memcpy(&wide, p, sizeof wide);
    return wide;
}

/* The lowest bytes of x, with the sign of the highest one where the type has a sign. */
static int64_t load_integer(ph_gguf_type type, const char *p)
{
    const size_t bytes = value_types[type].bytes;
    const bool has_sign = type == PH_GGUF_I8 || type == PH_GGUF_I16 || type == PH_GGUF_I32;
    uint64_t bits = 0;
    int64_t x;

    memcpy(&bits, p, bytes);
    if (has_sign && bits >> (8 * bytes - 1)) bits |= UINT64_MAX << (8 * bytes);
    memcpy(&x, &bits, sizeof x);
    return x;
}

bool ph__value_integer(int64_t *out, const ph_weights *w, const ph_value *v, size_t i)
{
    const char *p = element(w, v, i, value_types[v->type].bytes);
    if (!p || v->type == PH_GGUF_F32 || v->type == PH_GGUF_F64) return false;
    *out = load_integer(v->type, p);
    return v->type != PH_GGUF_U64 || *out >= 0;
}

double ph__value_real(const ph_weights *w, const ph_value *v, size_t i)
{
    const char *p = element(w, v, i, value_types[v->type].bytes);
    if (!p) return 0;
    if (v->type == PH_GGUF_F32 || v->type == PH_GGUF_F64) return load_real(v->type, p);
    const int64_t x = load_integer(v->type, p);
    return v->type == PH_GGUF_U64 ? (double)(uint64_t)x : (double)x;
}

ph_bytes ph__value_string(const ph_weights *w, const ph_value *v, size_t i)
{
    cursor c = {.file = w->file, .at = v->starts[i]};
    ph_bytes s = {"", 0};
    return take_string(&s, &c, PH_GGUF_STRING_MAX) == PH_OK ? s : (ph_bytes){"", 0};
}

/* ---- tensors ---- */

/* Where the data of a tensor stand, before the end of the header is known. */
typedef struct span {
    uint64_t offset;
    size_t bytes, pos, tensor; /* pos: of the tensor's entry in the header */
} span;

/* Sizes come fastest first; shape is slowest first. */
static ph_status take_shape(ph_tensor *t, size_t *elements, cursor *c)
{
    const size_t pos = c->at;
    uint32_t dims = 0;

    PH_TRY(take_u32(&dims, c));
    if (dims < 1 || dims > PH_GGUF_DIMS_MAX)
        return ph__fail(c->err, PH_EFORMAT, (int64_t)pos,
                        "%s: %" PRIu32 " dimensions, expected 1 to %d", c->subject, dims,
                        PH_GGUF_DIMS_MAX);
    t->dims = (int)dims;
    *elements = 1;
    for (uint32_t i = 0; i < PH_GGUF_DIMS_MAX; i++) t->shape[i] = 1;
    for (uint32_t i = dims; i-- > 0;) {
        uint64_t size = 0;
        PH_TRY(take_u64(&size, c));
        if (size < 1 || size > INT64_MAX)
            return ph__fail(c->err, PH_EFORMAT, (int64_t)c->at - 8,
                            "%s: a dimension of %" PRIu64 ", expected at least 1 (and below 2^63)",
                            c->subject, size);
        if (!ph__mul(elements, *elements, (size_t)size) || *elements > INT64_MAX)
            return ph__fail(c->err, PH_EFORMAT, (int64_t)pos, "%s: more than 2^63 weights",
                            c->subject);
        t->shape[i] = (int64_t)size;
    }
    return PH_OK;
}

static ph_status take_type(ph_tensor *t, size_t elements, cursor *c)
{
    const size_t pos = c->at;
    uint32_t number = 0;

    PH_TRY(take_u32(&number, c));
    const int type = ph__quant_from_gguf(number);
    if (type < 0) {
        const char *name = ph__gguf_type_name(number);
        if (name)
            return ph__fail(c->err, PH_EUNSUPPORTED, (int64_t)pos,
                            "%s: type %s is not supported yet", c->subject, name);
        return ph__fail(c->err, PH_EFORMAT, (int64_t)pos, "%s: unknown type %" PRIu32, c->subject,
                        number);
    }
    const ph_quant *q = ph__quant((ph_dtype)type);
    const int64_t row = t->shape[t->dims - 1];
    if (row % q->block != 0)
        return ph__fail(c->err, PH_EFORMAT, (int64_t)pos,
                        "%s: rows of %" PRId64
                        " weights, expected a multiple of the %s block of %" PRId64,
                        c->subject, row, q->name, q->block);
    t->type = (ph_dtype)type;
    if (!ph__mul(&t->bytes, elements / (size_t)q->block, q->block_bytes))
        return ph__fail(c->err, PH_EFORMAT, (int64_t)pos, "%s: more than 2^64 bytes", c->subject);
    return PH_OK;
}

static ph_status take_tensor(ph_tensor *t, char *name, span *s, cursor *c, size_t i)
{
    ph_bytes text = {0};
    size_t elements = 0;

    *s = (span){.pos = c->at, .tensor = i};
    PH_TRY(take_name(&text, c, "tensor", i, PH_GGUF_TENSOR_NAME_MAX));
    memcpy(name, text.data, text.size);
    t->name = name;
    PH_TRY(take_shape(t, &elements, c));
    PH_TRY(take_type(t, elements, c));
    s->bytes = t->bytes;
    return take_u64(&s->offset, c);
}

static ph_status index_tensors(ph_weights *w, const span *spans, ph_error *err)
{
    PH_TRY(PH_NEW(&w->tensor_index, w->n_tensors, err));
    for (size_t i = 0; i < w->n_tensors; i++)
        w->tensor_index[i] = (ph_name){{w->names[i], strlen(w->names[i])}, i};
    const ph_name *twice = ph__index_sort(w->tensor_index, w->n_tensors);
    if (twice)
        return ph__fail(err, PH_EFORMAT, (int64_t)spans[twice->item].pos,
                        "tensor %s: is there twice", twice->name.data);
    return PH_OK;
}

static ph_status read_alignment(size_t *out, const ph_weights *w, ph_error *err)
{
    static const char key[] = "general.alignment";
    int64_t n = 32;

    PH_TRY(ph__meta_int(&n, w, key, err));
    if (n < 8 || n > INT32_MAX || (n & (n - 1)) != 0) {
        const size_t i = ph__gguf_find(w->value_index, w->n_values, key);
        return ph__fail(err, PH_EFORMAT, (int64_t)w->values[i].at,
                        "key %s is %" PRId64 ", expected a power of two from 8", key, n);
    }
    *out = (size_t)n;
    return PH_OK;
}

/* Give a tensor its bytes of the data, which begin at `base`. */
static ph_status place(ph_tensor *t, const span *s, size_t base, size_t alignment, cursor *c)
{
    const char *data = NULL;
    size_t at;

    c->at = s->pos;
    snprintf(c->subject, sizeof c->subject, "tensor %s", t->name);
    if (s->offset % alignment != 0)
        return ph__fail(c->err, PH_EFORMAT, (int64_t)s->pos,
                        "%s: its offset %" PRIu64 " is not a multiple of the alignment %zu",
                        c->subject, s->offset, alignment);
    if (s->offset > SIZE_MAX || !ph__add(&at, base, (size_t)s->offset)) at = SIZE_MAX;
    PH_TRY(bytes_at(&data, c, at, t->bytes));
    t->data = (const uint8_t *)data;
    return PH_OK;
}

static int compare_spans(const void *pa, const void *pb)
{
    const span *a = pa, *b = pb;
    if (a->offset != b->offset) return a->offset < b->offset ? -1 : 1;
    return (a->tensor > b->tensor) - (a->tensor < b->tensor);
}

/* All spans lie within the file, so sums do not overflow. */
static ph_status refuse_overlap(const ph_weights *w, span *spans, ph_error *err)
{
    if (w->n_tensors) qsort(spans, w->n_tensors, sizeof *spans, compare_spans);
    for (size_t i = 1; i < w->n_tensors; i++) {
        const span *a = &spans[i - 1], *b = &spans[i];
        if (a->offset + a->bytes > b->offset)
            return ph__fail(err, PH_EFORMAT, (int64_t)b->pos,
                            "tensor %s: its data overlap those of tensor %s",
                            w->tensors[b->tensor].name, w->tensors[a->tensor].name);
    }
    return PH_OK;
}

static ph_status place_all(ph_weights *w, span *spans, cursor *c)
{
    size_t alignment = 32, base;

    PH_TRY(read_alignment(&alignment, w, c->err));
    if (!ph__add(&base, c->at, alignment - 1)) base = SIZE_MAX;
    base &= ~(alignment - 1);
    for (size_t i = 0; i < w->n_tensors; i++)
        PH_TRY(place(&w->tensors[i], &spans[i], base, alignment, c));
    return refuse_overlap(w, spans, c->err);
}

static ph_status take_tensors(ph_weights *w, cursor *c, size_t n)
{
    ph_status st = PH_OK;
    span *spans = NULL;

    PH_GO(PH_NEW(&w->tensors, n, c->err));
    PH_GO(PH_NEW(&w->names, n, c->err));
    PH_GO(PH_NEW(&spans, n, c->err));
    w->n_tensors = n;
    for (size_t i = 0; i < n; i++) PH_GO(take_tensor(&w->tensors[i], w->names[i], &spans[i], c, i));
    PH_GO(index_tensors(w, spans, c->err));
    PH_GO(place_all(w, spans, c));
done:
    ph__free(spans);
    return st;
}

/* ---- file ---- */

static ph_status check_version(uint32_t version, ph_error *err)
{
    const uint32_t swapped = __builtin_bswap32(version);
    if (version == 2 || version == 3) return PH_OK;
    if (swapped >= 1 && swapped <= 3)
        return ph__fail(err, PH_EUNSUPPORTED, 4, "big-endian GGUF is not supported");
    return ph__fail(err, PH_EUNSUPPORTED, 4,
                    "GGUF version %" PRIu32 " is not supported (2 and 3 are)", version);
}

ph_status ph__gguf_parse(ph_weights *w, ph_error *err)
{
    /* The least a key takes: name of one byte, type, value of one byte; a tensor: name of one byte,
     * one dimension, type, offset. */
    enum { LEAST_KEY = 8 + 1 + 4 + 1, LEAST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8 };
    cursor c = {.file = w->file, .subject = "the header", .err = err};
    const char *magic = NULL;
    uint32_t version = 0;
    size_t n_tensors = 0, n_values = 0;

    PH_TRY(take(&magic, &c, 4));
    PH_TRY(take_u32(&version, &c));
    PH_TRY(check_version(version, err));
    PH_TRY(take_count(&n_tensors, &c, "tensors", PH_GGUF_TENSORS_MAX, LEAST_TENSOR));
    PH_TRY(take_count(&n_values, &c, "keys", PH_GGUF_KEYS_MAX, LEAST_KEY));
    PH_TRY(take_values(w, &c, n_values));
    return take_tensors(w, &c, n_tensors);
}
