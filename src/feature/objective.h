/* objective.h — the number a feature gives for a text, and the objectives that descend on it.
 *
 * Works on the tap's output X (T,W) of one row, in double, on the host: it is small. Knows no
 * optimiser and no session.
 */
#ifndef PH_OBJECTIVE_H
#define PH_OBJECTIVE_H

#include "base/err.h"

/* A feature's region for a text of T tokens: which tokens, and how they become one number. */
typedef struct ph_region {
    int64_t first, last; /* tokens, last excluded */
    int64_t begin, end;  /* components, end excluded */
    ph_reduce reduce;    /* never DEFAULT */
    int sign;            /* 1 or -1: which way is better */
} ph_region;

/* Resolve the token axis for T tokens. PH_ERANGE, naming the feature, if the text is too short. */
ph_status ph__region(ph_region *out, const ph_feature *f, int64_t T, ph_reduce reduce, int sign,
                     ph_error *err);

/* One row measured. */
typedef struct ph_measured {
    double activation; /* reduced */
    double extreme;    /* the best value of the region in the direction of sign … */
    int64_t pos;       /* … and its token */
} ph_measured;

/* values (T), NULL allowed: mean over the region's components at every token, inside the region's
 * tokens or not. */
ph_measured ph__measure(const ph_region *r, double *values, const double *X, int64_t T, int64_t W);

/* The objective by name, its row in the table, or -1. */
int ph__objective_find(const char *name);

/* The elements that count are the region's components at: all its tokens (mean), the extreme one
 * (max), the last one (last). O there is sign × X. Adds nothing: dX (T,W) is written whole.
 *   l1      sum |c - O|      l2      sum (c - O)^2      linear  - sum O
 *   cosine  sum over those tokens of 1 - (sum over the region's components of O)/(sqrt|S| |O_t|),
 *           |O_t| the norm of the whole output at the token
 * With objective -1 it is the activation itself and its gradient. Returns its value. */
double ph__objective(double *dX, int objective, double target, const ph_region *r, const double *X,
                     int64_t T, int64_t W);

/* The objective with a target for every element: sum over the whole region of |c - X| or (c - X)^2,
 * objective being l1 or l2, target (T,W). reduce and sign are not looked at. */
double ph__mismatch(double *dX, int objective, const double *target, const ph_region *r,
                    const double *X, int64_t T, int64_t W);
/* |X - Y|, Euclidean, over the region; Y NULL: |X|. */
double ph__distance(const ph_region *r, const double *X, const double *Y, int64_t W);

#endif
