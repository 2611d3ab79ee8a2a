/* npy.c — reads one array of NumPy's.
 *
 *   "\x93NUMPY"  u8 major  u8 minor  length of the header: u16, from version 2 on u32
 *   header, a Python dict in ASCII:
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (2, 64), }      then the data
 */
#include "weights/npy.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { HEADER_MAX = 65536 };

/* What stands behind 'key': in the header, blanks skipped; NULL if it is not there. */
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at) return NULL;
    at += strlen(key);
    at += strspn(at, " ");
    if (*at != ':') return NULL;
    return at + 1 + strspn(at + 1, " ");
}

static ph_status read_type(ph_tensor *t, size_t *bytes, const char *header, ph_error *err)
{
    static const struct {
        const char *descr;
        ph_dtype type;
        size_t bytes;
    } types[] = {{"'<f4'", PH_F32, 4}, {"'<f2'", PH_F16, 2}, {"'<f8'", PH_F64, 8}};
    const char *descr = value_of(header, "'descr'"), *order = value_of(header, "'fortran_order'");

    if (!order || strncmp(order, "False", 5) != 0)
        return ph__fail(err, PH_EUNSUPPORTED, -1, "expected fortran_order False (C order)");
    for (size_t i = 0; descr && i < sizeof types / sizeof *types; i++) {
        if (strncmp(descr, types[i].descr, 5) != 0) continue;
        t->type = types[i].type;
        *bytes = types[i].bytes;
        return PH_OK;
    }
    return ph__fail(err, PH_EUNSUPPORTED, -1, "expected descr '<f4', '<f2' or '<f8'");
}

/* One size of the shape; false if there is none or it does not fit. */
static bool take_size(const char **at, int64_t *out)
{
    int64_t n = 0;
    const char *p = *at;

    if (*p < '0' || *p > '9') return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (n > (INT64_MAX - 9) / 10) return false;
        n = n * 10 + (*p - '0');
    }
    *out = n;
    *at = p + strspn(p, " ");
    return true;
}

static ph_status read_shape(ph_tensor *t, const char *header, ph_error *err)
{
    const char *at = value_of(header, "'shape'");

    t->shape[0] = t->shape[1] = t->shape[2] = t->shape[3] = 1;
    if (at && *at == '(')
        for (at++; t->dims < 2 && take_size(&at, &t->shape[t->dims]);) {
            t->dims++;
            if (*at != ',') break;
            at += 1 + strspn(at + 1, " ");
        }
    if (!at || t->dims < 1 || *at != ')')
        return ph__fail(err, PH_EUNSUPPORTED, -1, "expected a shape of 1 or 2 dimensions");
    return PH_OK;
}

/* The header as a string of its own; *begin = where the data begin. */
static ph_status take_header(char **out, size_t *begin, const uint8_t *bytes, size_t size,
                             ph_error *err)
{
    const size_t fixed = size > 6 && bytes[6] == 1 ? 10 : 12;
    size_t n;

    if (size < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return ph__fail(err, PH_EFORMAT, 0, "is not a .npy file");
    if (bytes[6] < 1 || bytes[6] > 3)
        return ph__fail(err, PH_EUNSUPPORTED, 6, ".npy version %d is not supported (1 to 3 are)",
                        bytes[6]);
    n = bytes[8] | (size_t)bytes[9] << 8;
    if (fixed == 12) n |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (n > HEADER_MAX || n > size - fixed)
        return ph__fail(err, PH_EFORMAT, 8, "a header of %zu bytes in a file of %zu", n, size);
    *begin = fixed + n;
    return ph__strndup(out, (const char *)bytes + fixed, n, err);
}

ph_status ph__npy_parse(ph_tensor *out, const uint8_t *bytes, size_t size, ph_error *err)
{
    ph_status st = PH_OK;
    ph_tensor t = {.name = ""};
    char *header = NULL;
    size_t begin = 0, element = 0;

    PH_GO(take_header(&header, &begin, bytes, size, err));
    PH_GO(read_type(&t, &element, header, err));
    PH_GO(read_shape(&t, header, err));
    if (!ph__mul(&t.bytes, (size_t)t.shape[0], (size_t)t.shape[1]) ||
        !ph__mul(&t.bytes, t.bytes, element) || t.bytes > size - begin)
        PH_GO(ph__fail(err, PH_EFORMAT, -1, "its shape needs more than the %zu bytes of data",
                       size - begin));
    t.data = bytes + begin;
    *out = t;
done:
    ph__free(header);
    return st;
}
