/* slope.h — activation, objective and gradient of many rows at once: what every descent asks for.
 *
 * Forward to the tap for embeddings E (n,T,C), read the tap, and if wanted back again.
 */
#ifndef PH_SLOPE_H
#define PH_SLOPE_H

#include "search/descent.h"

typedef struct ph_slope {
    const ph_descent *d;
    ph_session *session;
    const ph_job *job;
    int64_t n, T, C, W; /* rows; tokens, width of the embedding and of the tap */
    double *X, *dX;     /* (n,T,W) */
    float *dE;          /* (n,T,C) of the objective, after ph__slope_back */
    double *activation; /* (n) of the last ph__slope_run; with `wanted` the distance to it */
    double *value;      /* (n) the objective */
} ph_slope;

/* For n rows of the session's tap. Borrows everything; until the slope is closed, the session computes
 * what these rows look at and may leave out the rest. */
ph_status ph__slope_open(ph_slope *out, const ph_descent *d, ph_session *session,
                         const ph_row *rows, int64_t n, const ph_job *job, ph_error *err);
void ph__slope_close(ph_slope *s);
ph_status ph__slope_run(ph_slope *s, const ph_row *rows, const float *E, ph_error *err);
ph_status ph__slope_back(ph_slope *s, ph_error *err);

/* Write activation and objective into the rows' curves at `step`; a row that has diverged repeats
 * what it had. */
void ph__slope_note(const ph_slope *s, ph_row *rows, int64_t step);
/* Notice rows whose embedding E or gradient is not finite: they go back to row.e, without a gradient,
 * so that they disturb nobody. The others' row.e becomes E. */
void ph__slope_keep(ph_slope *s, ph_row *rows, float *E);
bool ph__finite(const float *x, size_t n);

#endif
