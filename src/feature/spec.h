/* spec.h — the feature language: one place and its region, read and printed.
 *
 * Sums of them, their expansion and the public functions (phosphene.h, section 4) are in expr.c.
 * Grammar: docs/FEATURES.md.
 */
#ifndef PH_SPEC_H
#define PH_SPEC_H

#include "base/buf.h"
#include "feature/reader.h"
#include "feature/shelf.h"

/* Longest canonical text of a plain feature and its 0: "only block N neuron [:, A:B, C:D]" with 20
 * characters a number is 123. */
#define PH_FEATURE_TEXT 128

/* Most features one call of ph_features_parse expands to. */
#define PH_FEATURES_MAX 1000000

/* One axis. A range a-b is its first index and a count: the others follow, each one further. */
typedef struct ph_axis {
    ph_range range;
    int64_t count;
} ph_axis;

/* A place and a region as they are written. */
typedef struct ph_spec {
    ph_tap tap;
    int64_t width; /* of the place; of an SAE its latents; PH_END without a model */
    ph_axis tokens, components;
    int64_t pos;            /* of its first byte */
    char *file, *name;      /* of "dir:FILE#NAME" and "sae:FILE"; owned, else NULL */
    bool latents;           /* the components are an SAE's */
    const ph_sae *sae;      /* … which is this one; borrowed from the shelf */
    const float *direction; /* where it is one; borrowed from the shelf */
} ph_spec;

/* spec = [ "only" ] place region | "dir:" file [ "#" name ] "@" [ "only" ] place [ region ]
 *      | "sae:" file region
 * Files are read into the shelf, unless the reader has no model. *s is to be closed after a failure too. */
ph_status ph__spec_read(ph_reader *r, ph_spec *s, ph_shelf *shelf);
void ph__spec_close(ph_spec *s);
/* Add the canonical text of a spec with these ranges in place of its own. */
ph_status ph__spec_print(ph_str *out, const ph_spec *s, ph_range tokens, ph_range components,
                         ph_error *err);

/* out = canonical text of a plain feature (its own text is not read); width = ph_place_width of its
 * place. Returns the length. */
size_t ph__feature_print(char out[PH_FEATURE_TEXT], const ph_feature *f, int64_t width);

#endif
