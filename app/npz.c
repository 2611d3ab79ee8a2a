/* npz.c — arrays in a file that numpy.load reads: a zip of .npy files, format version 1.0. */
#include "npz.h"

#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum { ARRAYS = 48, ALIGN = 64 };

struct npz {
    struct array {
        char name[48];
        char *bytes; /* header and data */
        size_t size;
    } arrays[ARRAYS];
    int n;
};

struct npz *npz_new(void)
{
    return calloc(1, sizeof(struct npz));
}

void npz_free(struct npz *z)
{
    for (int i = 0; z && i < z->n; i++) free(z->arrays[i].bytes);
    free(z);
}

/* The header of a .npy file, padded so that the data begin on a boundary; its length. */
static size_t header(char out[256], const char *type, const int64_t *shape, int dims)
{
    char list[128] = "";
    size_t at = 0, text;
    for (int i = 0; i < dims; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%lld,", (long long)shape[i]);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    text = (size_t)snprintf(out + 10, 240,
                            "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type, list);
    const size_t all = (10 + text + 1 + ALIGN - 1) / ALIGN * ALIGN;
    memset(out + 10 + text, ' ', all - 10 - text);
    out[all - 1] = '\n';
    out[8] = (char)((all - 10) & 0xff);
    out[9] = (char)((all - 10) >> 8);
    return all;
}

bool npz_add(struct npz *z, const char *name, const char *type, size_t size, const int64_t *shape,
             int dims, const void *data)
{
    struct array *a = &z->arrays[z->n];
    char head[256];
    const size_t before = header(head, type, shape, dims);
    size_t bytes = size;

    for (int i = 0; i < dims; i++) bytes *= (size_t)shape[i];
    if (z->n == ARRAYS || !(a->bytes = malloc(before + bytes))) return false;
    memcpy(a->bytes, head, before);
    memcpy(a->bytes + before, data, bytes);
    a->size = before + bytes;
    snprintf(a->name, sizeof a->name, "%s.npy", name);
    z->n++;
    return true;
}

/* The whole zip is made in memory: libzip writes to files only, and replaces them. */
static bool put_zip(zip_source_t *made)
{
    char part[1 << 16];
    zip_int64_t n = -1;

    if (zip_source_open(made) != 0) return false;
    while ((n = zip_source_read(made, part, sizeof part)) > 0) output_bytes(part, (size_t)n);
    zip_source_close(made);
    return n == 0;
}

static bool add_all(zip_t *zip, const struct npz *z)
{
    for (int i = 0; i < z->n; i++) {
        zip_source_t *s = zip_source_buffer(zip, z->arrays[i].bytes, z->arrays[i].size, 0);
        if (s && zip_file_add(zip, z->arrays[i].name, s, ZIP_FL_OVERWRITE) >= 0) continue;
        zip_source_free(s);
        return false;
    }
    return true;
}

char *npz_write(struct npz *z)
{
    char *problem = NULL;
    zip_source_t *made = zip_source_buffer_create(NULL, 0, 0, NULL);
    zip_t *zip = made ? zip_open_from_source(made, ZIP_TRUNCATE, NULL) : NULL;

    if (!zip) {
        zip_source_free(made);
        return strdup("out of memory");
    }
    zip_source_keep(made); /* beyond the end of the archive */
    if (!add_all(zip, z) || zip_close(zip) != 0) {
        problem = strdup(zip_strerror(zip));
        zip_discard(zip);
    } else if (!put_zip(made)) {
        problem = strdup(zip_error_strerror(zip_source_error(made)));
    }
    zip_source_free(made);
    return problem;
}
