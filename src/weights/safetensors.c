/* safetensors.c — reads safetensors.
 *
 *   u64 n  header: n bytes of JSON  data
 *   header: {"name": {"dtype": "F32", "shape": [rows, columns], "data_offsets": [begin, end]}, …,
 *            "__metadata__": {…}}       offsets count from the data's first byte
 *
 * The file is not trusted: sizes are multiplied with care, and the tensors must fill the data
 * without gap or overlap, as the format demands.
 */
#include "weights/safetensors.h"

#include "base/json.h"
#include "weights/quant.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_MAX = 100000000 }; /* the format's own limit */

static const struct {
    const char *name;
    size_t bytes;
    int type; /* -1: none that is read */
} dtypes[] = {{"F32", 4, PH_F32}, {"F16", 2, PH_F16}, {"BF16", 2, PH_BF16}, {"F64", 8, PH_F64},
              {"I64", 8, -1},     {"I32", 4, -1},     {"I16", 2, -1},       {"I8", 1, -1},
              {"U64", 8, -1},     {"U32", 4, -1},     {"U16", 2, -1},       {"U8", 1, -1},
              {"BOOL", 1, -1},    {"F8_E4M3", 1, -1}, {"F8_E5M2", 1, -1}};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

/* Where a tensor lies in the data. */
struct span {
    size_t begin, end;
    const char *name; /* of the JSON */
};

struct reading {
    ph_weights *w;
    const uint8_t *data;
    size_t bytes; /* of the data */
    struct span *spans;
    size_t n_spans;
    ph_error *err;
};

static uint64_t header_length(const uint8_t *bytes)
{
    uint64_t n;
    memcpy(&n, bytes, sizeof n);
    return n;
}

bool ph__is_safetensors(const uint8_t *bytes, size_t size)
{
    if (size < 10 || bytes[8] != '{' || header_length(bytes) > HEADER_MAX) return false;
    uint64_t last = 8 + header_length(bytes) - 1;
    if (last >= size) return true; /* cut short */
    while (last > 8 && bytes[last] == ' ') last--;
    return bytes[last] == '}';
}

static ph_status wrong(const struct reading *r, const char *name, const char *what)
{
    char shown[64];
    size_t n = 0;
    for (; name[n] && n + 1 < sizeof shown; n++)
        shown[n] = name[n] < 0x20 || name[n] > 0x7e ? '?' : name[n];
    shown[n] = 0;
    return ph__fail(r->err, PH_EFORMAT, -1, "tensor %s: %s", shown, what);
}

/* *elements = their number; false unless the shape is a list of sizes whose product fits. */
static bool read_shape(ph_tensor *t, size_t *elements, const json_t *shape)
{
    if (!json_is_array(shape)) return false;
    *elements = 1;
    for (int i = 0; i < PH_GGUF_DIMS_MAX; i++) t->shape[i] = 1;
    for (size_t i = 0; i < json_array_size(shape); i++) {
        const json_t *size = json_array_get(shape, i);
        const json_int_t n = json_integer_value(size);
        if (!json_is_integer(size) || n < 0 || !ph__mul(elements, *elements, (size_t)n))
            return false;
        if (i < PH_GGUF_DIMS_MAX) t->shape[i] = n;
    }
    t->dims = (int)(json_array_size(shape) < 127 ? json_array_size(shape) : 127);
    if (t->dims == 0) t->dims = 1; /* a number is a vector of one */
    return true;
}

static bool read_offsets(struct span *s, const json_t *offsets, size_t bytes)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return false;
    const json_int_t b = json_integer_value(begin), e = json_integer_value(end);
    s->begin = (size_t)b;
    s->end = (size_t)e;
    return b >= 0 && e >= b && (uint64_t)e <= bytes;
}

static ph_status keep_tensor(struct reading *r, ph_tensor t, const char *name)
{
    const size_t n = strlen(name), i = r->w->n_tensors;

    if (n == 0 || n > PH_GGUF_TENSOR_NAME_MAX)
        return ph__fail(r->err, PH_EUNSUPPORTED, -1,
                        "a tensor's name of %zu bytes: 1 to %d are read", n,
                        PH_GGUF_TENSOR_NAME_MAX);
    memcpy(r->w->names[i], name, n);
    t.name = r->w->names[i];
    r->w->tensors[i] = t;
    r->w->n_tensors++;
    return PH_OK;
}

static ph_status read_tensor(struct reading *r, const char *name, const json_t *entry)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    struct span *s = &r->spans[r->n_spans];
    ph_tensor t = {0};
    size_t elements = 0, i = 0;

    while (dtype && i < DTYPES && strcmp(dtypes[i].name, dtype) != 0) i++;
    if (!dtype || i == DTYPES) return wrong(r, name, "unknown or missing dtype");
    if (!read_shape(&t, &elements, json_object_get(entry, "shape")) ||
        !ph__mul(&t.bytes, elements, dtypes[i].bytes))
        return wrong(r, name, "its shape is no list of sizes, or they are too large");
    if (!read_offsets(s, json_object_get(entry, "data_offsets"), r->bytes))
        return wrong(r, name, "its data_offsets are no stretch of the file's data");
    if (s->end - s->begin != t.bytes)
        return wrong(r, name, "its data_offsets do not hold what its shape needs");
    s->name = name;
    r->n_spans++;
    t.data = r->data + s->begin;
    if (dtypes[i].type < 0 || t.dims > PH_GGUF_DIMS_MAX) return PH_OK;
    t.type = (ph_dtype)dtypes[i].type;
    return keep_tensor(r, t, name);
}

static int compare_spans(const void *pa, const void *pb)
{
    const struct span *a = pa, *b = pb;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

static ph_status check_spans(struct reading *r)
{
    size_t at = 0;
    if (r->n_spans) qsort(r->spans, r->n_spans, sizeof *r->spans, compare_spans);
    for (size_t i = 0; i < r->n_spans; i++) {
        if (r->spans[i].begin != at)
            return wrong(r, r->spans[i].name, "its data begin where no other's end");
        at = r->spans[i].end;
    }
    if (at == r->bytes) return PH_OK;
    return ph__fail(r->err, PH_EFORMAT, -1, "%zu bytes of data, its tensors have %zu", r->bytes,
                    at);
}

static ph_status index_names(ph_weights *w, ph_error *err)
{
    PH_TRY(PH_NEW(&w->tensor_index, w->n_tensors, err));
    for (size_t i = 0; i < w->n_tensors; i++)
        w->tensor_index[i] = (ph_name){{w->names[i], strlen(w->names[i])}, i};
    ph__index_sort(w->tensor_index, w->n_tensors); /* a JSON object's names differ */
    return PH_OK;
}

ph_status ph__safetensors_parse(ph_weights *w, ph_error *err)
{
    const uint8_t *bytes = (const uint8_t *)w->file.data;
    const uint64_t n = header_length(bytes);
    struct reading r = {.w = w, .err = err};
    ph_status st = PH_OK;
    json_t *header = NULL, *entry;
    const char *name;

    if (n > w->file.size - 8)
        return ph__fail(err, PH_EFORMAT, 0, "the header has %" PRIu64 " bytes, the file %zu", n,
                        w->file.size);
    r.data = bytes + 8 + n;
    r.bytes = w->file.size - 8 - (size_t)n;
    PH_GO(ph__json_parse(&header, w->file.data + 8, (size_t)n, "the header", err));
    PH_GO(PH_NEW(&w->tensors, json_object_size(header), err));
    PH_GO(PH_NEW(&w->names, json_object_size(header), err));
    PH_GO(PH_NEW(&r.spans, json_object_size(header), err));
    json_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__") != 0) PH_GO(read_tensor(&r, name, entry));
    }
    PH_GO(check_spans(&r));
    PH_GO(index_names(w, err));
done:
    ph__free(r.spans);
    json_decref(header);
    return st;
}
