/* safetensors_out.c — arrays in a file that safetensors.numpy.load_file reads.
 *
 *   u64 n  header: n bytes of JSON, blanks behind it up to a multiple of 8  data
 *   header: {"name": {"dtype": "F32", "shape": [rows, columns], "data_offsets": [begin, end]}, …}
 *
 * The data stand without gaps, arrays of the largest elements first: so each is aligned.
 */
#include "safetensors_out.h"

#include "output.h"

#include <errno.h>
#include <jansson.h>
#include <phosphene.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARRAYS = 32, DIMS = 5, ALIGN = 8 };

struct safetensors_out {
    struct array {
        char name[48];
        const char *dtype;
        size_t element, bytes;
        int64_t shape[DIMS];
        int dims;
        char *data; /* owned */
    } arrays[ARRAYS];
    int n;
};

static const struct {
    const char *numpy, *name;
    size_t bytes;
} dtypes[] = {{"<f8", "F64", 8}, {"<f4", "F32", 4}, {"<i4", "I32", 4}, {"|S", "U8", 1}};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

struct safetensors_out *safetensors_out_new(void)
{
    return calloc(1, sizeof(struct safetensors_out));
}

void safetensors_out_free(struct safetensors_out *s)
{
    for (int i = 0; s && i < s->n; i++) free(s->arrays[i].data);
    free(s);
}

bool safetensors_out_add(struct safetensors_out *s, const char *name, const char *type, size_t size,
                         const int64_t *shape, int dims, const void *data)
{
    struct array *a = &s->arrays[s->n];
    size_t bytes = size, at = 0;

    while (at < DTYPES && strncmp(type, dtypes[at].numpy, strlen(dtypes[at].numpy)) != 0) at++;
    for (int i = 0; i < dims; i++) bytes *= (size_t)shape[i];
    if (s->n == ARRAYS || dims >= DIMS || at == DTYPES) return false;
    if (!(a->data = malloc(bytes ? bytes : 1))) return false;
    memcpy(a->data, data, bytes);
    memcpy(a->shape, shape, (size_t)dims * sizeof *shape);
    a->dims = dims;
    if (dtypes[at].bytes != size) a->shape[a->dims++] = (int64_t)(size / dtypes[at].bytes);
    snprintf(a->name, sizeof a->name, "%s", name);
    a->dtype = dtypes[at].name;
    a->element = dtypes[at].bytes;
    a->bytes = bytes;
    s->n++;
    return true;
}

static int by_element(const void *a, const void *b)
{
    const struct array *x = a, *y = b;
    if (x->element != y->element) return x->element < y->element ? 1 : -1;
    return strcmp(x->name, y->name);
}

/* The header with its blanks, to be freed; NULL if out of memory. */
static char *header(const struct safetensors_out *s, size_t *size)
{
    char *text = NULL;
    size_t at = 0;
    json_t *all = json_pack("{s:{s:s, s:s}}", "__metadata__", "made_by", "phosphene", "version",
                            ph_version());

    for (int i = 0; i < s->n; i++) {
        const struct array *a = &s->arrays[i];
        json_t *shape = json_array();
        for (int k = 0; k < a->dims; k++)
            json_array_append_new(shape, json_integer((json_int_t)a->shape[k]));
        json_object_set_new(all, a->name,
                            json_pack("{s:s, s:o, s:[I,I]}", "dtype", a->dtype, "shape", shape,
                                      "data_offsets", (json_int_t)at, (json_int_t)(at + a->bytes)));
        at += a->bytes;
    }
    const size_t n = json_dumpb(all, NULL, 0, JSON_COMPACT);
    *size = (n + ALIGN - 1) / ALIGN * ALIGN;
    if (n && (text = malloc(*size))) {
        memset(text, ' ', *size);
        json_dumpb(all, text, n, JSON_COMPACT);
    }
    json_decref(all);
    return text;
}

char *safetensors_out_write(struct safetensors_out *s)
{
    size_t size = 0;
    qsort(s->arrays, (size_t)s->n, sizeof *s->arrays, by_element);
    char *head = header(s, &size);
    const uint64_t length = size; /* little-endian, as the arrays */

    if (!head) return strdup(strerror(ENOMEM));
    output_bytes(&length, sizeof length);
    output_bytes(head, size);
    for (int i = 0; i < s->n; i++) output_bytes(s->arrays[i].data, s->arrays[i].bytes);
    free(head);
    return NULL;
}
