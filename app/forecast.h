/* forecast.h — what a descent will take, for phosphene info --job. */
#ifndef FORECAST_H
#define FORECAST_H

#include "emit.h"

/* A job, the machine's limits, and the estimate. */
struct job {
    int64_t block, rows, tokens, steps; /* block 0: the last */
    double peak, bandwidth;             /* GF/s, GB/s */
    ph_estimate estimate;
};

/* Measures the machine, which takes some seconds. */
ph_status job_estimate(struct job *j, const ph_model *model, ph_error *err);
void job_print(const struct job *j, const ph_model *model);
/* Adds to the object "job" of info's line. */
void job_set(json_t *object, const struct job *j, const ph_model *model);

#endif
