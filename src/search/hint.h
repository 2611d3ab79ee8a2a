/* hint.h — which tokens a text's gradient suggests in place of its own.
 *
 * To first order, putting token v at position p changes the activation by (w_v - w_p) · g_p, g the
 * gradient with respect to the input embedding. Source: Ebrahimi et al. 2018 (HotFlip).
 */
#ifndef PH_HINT_H
#define PH_HINT_H

#include "search/lexicon.h"

typedef struct ph_hints ph_hints;

typedef struct ph_hint_text {
    const ph_feature *feature;
    const int32_t *ids;
    int64_t n;
    float
        *gradient; /* (n,C) of sign × activation; 0 where the feature's region is not in the text */
} ph_hint_text;

/* For texts of at most `longest` tokens and features of the same taps as `at`, `rows` of them at once. Borrows
 * job and lexicon. */
ph_status ph__hints_open(ph_hints **out, const ph_job *job, ph_lexicon *lexicon,
                         const ph_feature *at, int64_t rows, int64_t longest, ph_error *err);
void ph__hints_close(ph_hints **hints);
ph_status ph__hints_run(ph_hints *s, const ph_hint_text *texts, int64_t n, ph_error *err);

/* top (n,k) = the allowed tokens t of largest x·w_t for each of the vectors x (n,C), best first,
 * ties to the lower id; k ≤ the number of allowed tokens. */
ph_status ph__hints_top(ph_hints *s, int32_t *top, int64_t k, const float *x, int64_t n,
                        ph_error *err);

#endif
