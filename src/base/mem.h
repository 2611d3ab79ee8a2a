/* mem.h — every allocation of the library, with checked sizes.
 *
 * All memory is zeroed. Nothing else in the library calls malloc, so that tests/oom.c can make the
 * n-th allocation fail by wrapping malloc at link time.
 */
#ifndef PH_MEM_H
#define PH_MEM_H

#include "base/err.h"

#include <stdbool.h>

/* *out = count × size zeroed bytes (at least 1), freed by ph__free. */
ph_status ph__alloc(void **out, size_t count, size_t size, ph_error *err);
/* The same on a 64-byte boundary (vector registers, cache lines), or where it is large on huge pages,
 * as many as are filled; freed by ph__free. */
#define PH_HUGE_PAGE ((size_t)2 << 20)
ph_status ph__alloc_aligned(void **out, size_t count, size_t size, ph_error *err);
/* Grow *p (may be NULL) from old to count elements; the new ones are zero. *p stays on failure. */
ph_status ph__grow(void **p, size_t old, size_t count, size_t size, ph_error *err);
/* *out = n bytes of s and a terminating 0. */
ph_status ph__strndup(char **out, const char *s, size_t n, ph_error *err);
/* *out = memory of its own, printed as by snprintf. */
__attribute__((format(printf, 3, 4))) ph_status ph__printf(char **out, ph_error *err,
                                                           const char *fmt, ...);
void ph__free(void *p);

/* Bytes of memory that this process may come to use: the machine's, or less in a control group. */
size_t ph__memory_most(void);

/* false where a*b or a+b does not fit size_t */
bool ph__mul(size_t *out, size_t a, size_t b);
bool ph__add(size_t *out, size_t a, size_t b);

/* PH_NEW(&p, n, err): n zeroed elements of p's own type. */
#define PH_NEW(pp, count, err) ph__alloc((void **)(pp), (count), sizeof **(pp), (err))
#define PH_NEW_ALIGNED(pp, count, err)                                                             \
    ph__alloc_aligned((void **)(pp), (count), sizeof **(pp), (err))
#define PH_GROW(pp, old, count, err) ph__grow((void **)(pp), (old), (count), sizeof **(pp), (err))

#endif
