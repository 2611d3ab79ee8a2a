/* rescore.h — the law of the house: decoded tokens become text, and the text is scored.
 *
 * Takes candidate token sequences of rows, prints each as valid UTF-8, tokenises that again as a
 * user would, runs both through plain forward passes, and ranks.
 */
#ifndef PH_RESCORE_H
#define PH_RESCORE_H

#include "search/scorer.h"

/* Candidates of one feature, `count` of them, n ids each. */
typedef struct ph_candidates {
    ph_decoded *list; /* decode, ids, n, special, violates and activation.soft set by the caller */
    size_t count;
    const ph_feature *feature;
} ph_candidates;

/* Fill in the rest of every candidate, its text against the job's constraints too; all sets are of one tap. ordinary_norm is what norm_ratio is
 * measured against. */
ph_status ph__rescore(ph_candidates *sets, size_t n_sets, ph_scorer *scorer, const ph_job *job,
                      double ordinary_norm, ph_error *err);
/* Free what ph__rescore allocated in a candidate. */
void ph__decoded_close(ph_decoded *d);

/* What makes one answer better than another. */
typedef struct ph_order {
    int sign;
    ph_round_trip round_trip; /* never DEFAULT */
    ph_outliers outliers;
} ph_order;

/* true if a is the better answer: one that keeps the constraints, survives its own printing and is no
 * outlier (norm_ratio ≤ 3), each as far as it was asked for, and has the higher text activation (the
 * ids' where round trips do not count) in the direction of sign. */
bool ph__better(const ph_decoded *a, const ph_decoded *b, const ph_order *order);

/* Share of a text's tokens that the other has, too: of the shorter one's, repetitions counting, or of the
 * fewer different ones, whichever is more. */
double ph__overlap(const int32_t *a, size_t n, const int32_t *b, size_t m);

#endif
