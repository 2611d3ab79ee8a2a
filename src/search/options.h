/* options.h — what searches check of their options alike. */
#ifndef PH_OPTIONS_H
#define PH_OPTIONS_H

#include "search/job.h"

/* PH_EINVAL: `what` was given a name that none of name(0), name(1), … is. */
ph_status ph__unknown(const char *what, const char *given, const char *(*name)(size_t),
                      ph_error *err);
/* PH_EINVAL unless 1 ≤ value ≤ max. */
ph_status ph__within(const char *what, int64_t value, int64_t max, ph_error *err);
/* *out = a step size in absolute units; rms: eta counts in the embedding's root mean square. */
ph_status ph__absolute_eta(double *out, double eta, bool rms, const ph_model *model, ph_error *err);

#endif
