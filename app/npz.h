/* npz.h — arrays in a file that numpy.load reads. */
#ifndef NPZ_H
#define NPZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct npz;

/* NULL if out of memory. */
struct npz *npz_new(void);
/* Add a dense array, copied. type: NumPy's, "<f4", "<f8", "<i4", "|S12"; size: bytes of an element;
 * shape: dims of them, slowest first, at most 4. false if out of memory. */
bool npz_add(struct npz *z, const char *name, const char *type, size_t size, const int64_t *shape,
             int dims, const void *data);
/* Write everything to stdout. NULL, or what went wrong (to be freed). */
char *npz_write(struct npz *z);
void npz_free(struct npz *z);

#endif
