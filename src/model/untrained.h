/* untrained.h — models that were never trained: presets of sizes, and weights drawn at random.
 *
 * Weights are as Hugging Face transformers initialises these families: every matrix, the embedding
 * included, N(0, 0.02), every norm 1, every bias 0; GPT-2's matrices that end a branch are smaller. A
 * row of a tensor depends on (seed, tensor's name, row) only,
 * so that the same seed gives the same model whatever is loaded of it and in whatever order.
 */
#ifndef PH_UNTRAINED_H
#define PH_UNTRAINED_H

#include "model/arch.h"

/* The sizes of a shape, for a vocabulary of V tokens; to be closed. PH_EINVAL lists the names there
 * are. */
ph_status ph__shape_arch(ph_arch *out, const char *name, int64_t V, ph_error *err);

/* row (columns) = row i of a tensor; of a vector (dims 1) all of it. branch: what the matrices that
 * end a branch are multiplied by. */
void ph__untrained_row(float *row, const ph_tensor *t, int64_t i, uint64_t seed, double branch);

#endif
