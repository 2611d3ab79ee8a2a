/* descent.h — gradient descent on the input embedding, many rows at once.
 *
 *   e <- e - eta_n * d/de objective(O(e)),  n = 0 … N-1,  eta_n = eta_0 + (eta_1 - eta_0) * n/N
 *
 * Two priors of the same page: a penalty near_weight * mean over the tokens of the squared distance
 * of e to the nearest token's embedding, and the softmax variable of softmax.h.
 * Source: Badger, Language Model Features. Knows no decode and no yardstick.
 */
#ifndef PH_DESCENT_H
#define PH_DESCENT_H

#include "search/lexicon.h"

/* One feature from one start. */
typedef struct ph_row {
    const ph_feature *feature;
    ph_region region;
    int64_t restart;
    const double *wanted; /* (T,W) an output to come near to, in place of the activation; or NULL */
    float *e;             /* (T,C) the start, then the optimum */
    double *curve;        /* steps+1: the activation before every step, and after the last; with
                             `wanted` the distance to it */
    double *objective;    /* steps+1, NULL allowed: what is descended on, the penalty included */
    int32_t *ids;  /* NULL allowed: the tokens a method names, of softmax those of largest weight */
    int64_t n;     /* of ids; T unless the method says otherwise */
    bool diverged; /* a step gave NaN or infinity: e stayed at the last good one */
    double soft;   /* the activation of e */
    int64_t forwards; /* tokens sent forward, a backward counting two; re-scoring not included … */
    int64_t naive;    /* … and if nothing had been shared; 0: the same */
    int64_t scan;     /* tokens of the complete search that it was built on */
    ph_starts starts;      /* of a search among tokens */
    struct ph_find *front; /* n_front, allocated: the front of a feature, in its first row */
    int64_t n_front;
} ph_row;

/* What the rows of a job have in common. */
typedef struct ph_descent {
    int64_t T, steps;
    double eta_first, eta_last; /* absolute */
    double target;
    int objective, optimizer;
    double near_weight;
    bool softmax;
    ph_lexicon *lexicon; /* where one of these two is asked for */
} ph_descent;

/* Find an optimiser's row in the table, -1 if there is none. */
int ph__optimizer_find(const char *name);
/* The step size at a step. */
double ph__eta(const ph_descent *d, int64_t step);
/* One step, counted from 0, of n numbers along their gradient g; state (2,n) is zero at first. */
void ph__optimizer_step(const ph_descent *d, float *e, float *state, const float *g, int64_t step,
                        size_t n);

/* Fill e (T,C) with a start: the same for every feature, by (seed, restart) only. `start` is one
 * of ph_start_name without a text (PH_EINVAL otherwise). */
ph_status ph__start_fill(float *e, const ph_job *job, const char *start, int64_t T, int64_t restart,
                         ph_error *err);

/* Run all rows (of the session's tap, at most as many as it holds) through all steps. *seconds and
 * *flops: of the steps alone, added to. first: when the first step ended, if it was 0. */
ph_status ph__descend(ph_row *rows, int64_t n, const ph_descent *d, ph_session *session,
                      const ph_job *job, double *seconds, double *flops, double *first,
                      ph_error *err);

#endif
