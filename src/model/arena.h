/* arena.h — hands out the parts of one allocation of a backend's memory. */
#ifndef PH_ARENA_H
#define PH_ARENA_H

#include "kernels/kernels.h"

/* First counting (base NULL), then for real. In an ASan build a red zone that nothing may touch
 * stands behind every part. */
typedef struct ph_arena {
    const ph_backend *backend;
    ph_real *base;
    size_t used; /* elements */
    bool overflow;
} ph_arena;

/* *slot = room for rows × columns elements, on a 64-byte boundary. */
void ph__arena_take(ph_arena *a, ph_real **slot, int64_t rows, int64_t columns);

#endif
