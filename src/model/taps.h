/* taps.h — places in a model: their order and width, and several of them read in one pass.
 *
 * A session of several taps runs to the deepest. What each puts out is copied to the host where it
 * arises, side by side; on the way back each one's gradient enters where it belongs.
 */
#ifndef PH_TAPS_H
#define PH_TAPS_H

#include "model/block.h"

/* The name of a tap for messages: "block 8", "only block 3 mlp", "final". */
void ph__tap_name(char out[48], ph_tap tap);
/* Below 0, 0, above 0: a is computed before b, is b, after b. */
int ph__tap_order(ph_tap a, ph_tap b);
int64_t ph__tap_width(const ph_arch *a, ph_place place);
/* PH_ERANGE for a block that the model does not have. */
ph_status ph__tap_check(ph_tap tap, const ph_arch *a, ph_error *err);

typedef struct ph_tap_slot {
    ph_tap tap;
    int64_t width, at; /* columns at … at+width-1 of X are its output */
    ph_real *seed;     /* (N,width) the gradient there, with gradients */
} ph_tap_slot;

typedef struct ph_taps {
    ph_tap_slot *slots; /* n; 0: a session of one tap, which needs none of this */
    size_t n;
    int64_t width; /* of all */
    double *X;     /* (N,width) the last run's output */
} ph_taps;

/* The slots of different taps, all within the same blocks; *deepest is the last of them. */
ph_status ph__taps_open(ph_taps *out, ph_tap *deepest, const ph_tap *taps, size_t n,
                        const ph_arch *a, ph_error *err);
void ph__taps_close(ph_taps *t);
/* NULL where that place is not read. */
ph_tap_slot *ph__taps_find(const ph_taps *t, ph_place place, int64_t block);

/* Copy what lies at `from` (N,width) into the place's columns of X, if it is one of the taps. */
void ph__taps_read(ph_taps *t, ph_place place, int64_t block, const ph_real *from, int64_t N,
                   ph_backend *be);
/* Every slot's seed from its columns of dX (N,width). */
void ph__taps_write(const ph_taps *t, const double *dX, int64_t N, ph_backend *be);

/* ph__block_forward of block n to `stop`, reading the taps in it on the way. */
void ph__taps_forward(ph_taps *t, int64_t n, ph_block_state *s, ph_block_scratch *scratch,
                      const ph_block_weights *w, ph_place stop, const ph_run *run, ph_backend *be);
/* ph__block_backward of block n from `start` with the gradients of the taps in it. dx holds the
 * gradient at the block's output from above where there is one. */
void ph__taps_backward(const ph_taps *t, int64_t n, ph_real *dx, const ph_block_state *s,
                       ph_block_scratch *scratch, const ph_block_weights *w, ph_place start,
                       const ph_run *run);

#endif
