/* arena.h — parts of one allocation of a backend, and what runs of blocks lay out in it alike.
 *
 * Used twice: with base NULL it only counts, then it hands out. Behind every part stands a zone that
 * a build with AddressSanitizer forbids to touch.
 */
#ifndef PH_ARENA_H
#define PH_ARENA_H

#include "model/block.h"

typedef struct ph_arena {
    const ph_backend *backend;
    ph_real *base; /* NULL: count */
    size_t used;   /* elements */
    bool overflow;
} ph_arena;

/* *slot = room for (rows,columns), on a 64-byte boundary. */
void ph__take(ph_arena *a, ph_real **slot, int64_t rows, int64_t columns);
/* What a norm of N tokens leaves behind. */
void ph__take_norm(ph_arena *a, ph_norm_saved *s, const ph_arch *m, int64_t N);
/* What a block of N tokens leaves behind; each sees at most `keys` tokens. */
void ph__take_block(ph_arena *a, ph_block_state *s, const ph_arch *m, int64_t N, int64_t keys);
/* Tables of rope's angles: most blocks', and the local ones or the same again. */
void ph__take_angles(ph_arena *a, ph_real *cosine[2], ph_real *sine[2], const ph_arch *m,
                     int64_t positions);

/* cos, sin (positions, rope_dims/2) of rope's angles: position × base^(-2i/dims) / factor. For float
 * backends rounded to float32 at each step as PyTorch does it: that is what the models were trained
 * with, and a descent amplifies the difference. */
ph_status ph__write_angles(ph_real *cosine[2], ph_real *sine[2], ph_backend *be, const ph_arch *a,
                           int64_t positions, ph_error *err);

#endif
