/* untrained.h — models that were never trained: presets of sizes, and weights drawn at random.
 *
 * Weights are as Hugging Face transformers initialises the Llama family: every matrix, the embedding
 * included, N(0, 0.02), every norm 1. A row of a tensor depends on (seed, tensor's name, row) only,
 * so that the same seed gives the same model whatever is loaded of it and in whatever order.
 */
#ifndef PH_UNTRAINED_H
#define PH_UNTRAINED_H

#include "model/arch.h"

/* The sizes of a shape, for a vocabulary of V tokens. PH_EINVAL lists the names there are. */
ph_status ph__shape_arch(ph_arch *out, const char *name, int64_t V, ph_error *err);

/* row (columns) = row i of a tensor; of a vector (dims 1) all of it. */
void ph__untrained_row(float *row, const ph_tensor *t, int64_t i, uint64_t seed);

#endif
