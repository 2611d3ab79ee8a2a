/* ragged.h — tokens of many texts in one forward pass, whatever their lengths.
 *
 * A strand is some tokens at the end of a text. What stands before them is not run again: their keys
 * and values are read from a slot, which an earlier run filled. Before everything stands the
 * context. Only forward; a text's figures do not depend on what is run beside it, nor on how much of
 * it came from a slot.
 */
#ifndef PH_RAGGED_H
#define PH_RAGGED_H

#include "model/block.h"

typedef struct ph_ragged ph_ragged;

typedef struct ph_ragged_options {
    const ph_tap *taps; /* places whose outputs are wanted, n_taps ≤ PH_RAGGED_TAPS */
    int n_taps;
    const int32_t *context;
    size_t n_context;
    int64_t tokens;  /* most in one run */
    int64_t longest; /* text, without the context */
    int64_t slots;   /* texts that can be kept */
} ph_ragged_options;
enum { PH_RAGGED_TAPS = 16 };

/* n tokens that stand behind the first `past` tokens of the text in a slot. */
typedef struct ph_strand {
    const int32_t *ids;
    int64_t n, past;
    int64_t slot; /* -1: past is 0 */
    int64_t keep; /* the slot that keeps this text from now on, past then being 0; -1: none */
} ph_strand;

ph_status ph__ragged_open(ph_ragged **out, const ph_model *model, const ph_ragged_options *options,
                          ph_error *err);
void ph__ragged_close(ph_ragged **ragged);

/* Run strands, together at most as many tokens as were asked room for. Neighbours with the same
 * slot, past and n share their work. */
ph_status ph__ragged_run(ph_ragged *r, const ph_strand *strands, int64_t n, ph_error *err);
int64_t ph__ragged_width(const ph_ragged *r, int i); /* of the i-th tap */
/* The i-th tap's output (tokens of the last run, its width), in the order of the strands; `ld` apart
 * from token to token in X. */
void ph__ragged_read(const ph_ragged *r, int i, float *X, int64_t ld);

/* The same at the context's last token (its width); NULL without context. Borrowed. */
const float *ph__ragged_context(const ph_ragged *r, int i);

/* Floating-point operations of a run of that many tokens. */
double ph__ragged_flops(const ph_ragged *r, int64_t tokens);

#endif
