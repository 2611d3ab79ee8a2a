/* specific.h — whether a text is a feature's own, or one to which many features of its tap respond. */
#ifndef PH_SPECIFIC_H
#define PH_SPECIFIC_H

#include "search/scorer.h"

/* Each component's activation on the text, in standard deviations from its mean on the corpus; *out the
 * feature's place among all of its tap. out->of = 0 where it cannot be said: no corpus, or not a single
 * component of a block or its neurons. */
ph_status ph__specificity(ph_specificity *out, ph_scorer *s, const ph_job *job,
                          const ph_corpus *corpus, const ph_feature *f, const int32_t *ids,
                          size_t n, ph_error *err);

#endif
