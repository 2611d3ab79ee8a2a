/* spec.h — the feature language: canonical text of features.
 *
 * Parsing and expanding are public (phosphene.h, section 4); this is what else the library needs
 * of it. Grammar: docs/FEATURES.md.
 */
#ifndef PH_SPEC_H
#define PH_SPEC_H

#include "base/err.h"

/* Longest canonical text and its 0: "only block N neuron [:, A:B, C:D]" with 20 characters a number
 * is 123. */
#define PH_FEATURE_TEXT 128

/* Most features one call of ph_features_parse expands to. */
#define PH_FEATURES_MAX 1000000

/* out = canonical text of f (its own text is not read); width = ph_place_width of its place.
 * Returns the length. */
size_t ph__feature_print(char out[PH_FEATURE_TEXT], const ph_feature *f, int64_t width);

#endif
