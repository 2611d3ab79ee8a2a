/* baseline.h — what random texts reach: the yardstick z and the ordinary norm at a tap. */
#ifndef PH_BASELINE_H
#define PH_BASELINE_H

#include "search/scorer.h"

enum { PH_RANDOM_TEXTS = 512 };

typedef struct ph_moments {
    double mean, sd, min, max;
} ph_moments;

/* out (count): over PH_RANDOM_TEXTS texts of T ordinary tokens each, drawn by the job's seed, the
 * activation of every feature; all features are of one tap. *norm = the median norm of the tap's
 * output over these texts' tokens, the first of each text aside (where T > 1). */
ph_status ph__baseline(ph_moments *out, double *norm, ph_scorer *s, const ph_job *job,
                       const ph_feature *const *features, size_t count, int64_t T, ph_error *err);

#endif
