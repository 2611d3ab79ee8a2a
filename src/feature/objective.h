/* objective.h — the number a feature gives for a text, and the objectives that descend on it.
 *
 * Works on the output X (T,W) of one row at the feature's tap, or at its taps side by side, in
 * double, on the host: it is small. Knows no optimiser and no session.
 *
 * A sum has one value per token, that of its terms times their weights, which is reduced as a plain
 * feature's is. Where terms have tokens or reduces of their own they are apart: each is reduced by
 * itself, and these numbers are added.
 */
#ifndef PH_OBJECTIVE_H
#define PH_OBJECTIVE_H

#include "feature/term.h"

/* A feature's region for a text of T tokens: which tokens, and how they become one number. */
typedef struct ph_region {
    int64_t first, last;  /* tokens, last excluded */
    int64_t begin, end;   /* components, end excluded; a sum has none */
    ph_reduce reduce;     /* never DEFAULT, but what was asked for where terms are apart */
    int sign;             /* 1 or -1: which way is better */
    const ph_term *terms; /* of a sum, borrowed from the feature */
    size_t n_terms;
    bool apart;
} ph_region;

/* Resolve the token axis for T tokens. PH_ERANGE, naming the feature, if the text is too short. */
ph_status ph__region(ph_region *out, const ph_feature *f, int64_t T, ph_reduce reduce, int sign,
                     ph_error *err);

/* Are the terms of a feature apart under this reduce? */
bool ph__apart(const ph_feature *f, ph_reduce reduce);
/* One term of a sum as a sum of its own, for a text of T tokens. What is reduced is weight × value. */
ph_region ph__region_term(const ph_region *r, size_t i, int64_t T);
/* The region of a text of one token that is measured whichever token the feature asks for. */
ph_region ph__region_single(const ph_region *r);

/* One row measured. */
typedef struct ph_measured {
    double activation; /* reduced */
    double extreme;    /* the best value of the region in the direction of sign … */
    int64_t pos;       /* … and its token */
} ph_measured;

/* values (T), NULL allowed: mean over the region's components, or the sum, at every token, inside the
 * region's tokens or not. */
ph_measured ph__measure(const ph_region *r, double *values, const double *X, int64_t T, int64_t W);
/* The same of a sum with every SAE latent behind its nonlinearity; *out is NaN for others. */
ph_status ph__measure_post(ph_measured *out, const ph_region *r, double *values, const double *X,
                           int64_t T, int64_t W, ph_error *err);

/* The objective by name, its row in the table, or -1. */
int ph__objective_find(const char *name);
/* Does it look at the region's components only, and not at the rest of the output? */
bool ph__objective_local(int objective, const ph_region *r);

/* The elements that count are the region's components at: all its tokens (mean), the extreme one
 * (max), the last one (last). O there is sign × X. Adds nothing: dX (T,W) is written whole.
 *   l1      sum |c - O|      l2      sum (c - O)^2      linear  - sum O
 *   cosine  sum over those tokens of 1 - (sum over the region's components of O)/(sqrt|S| |O_t|),
 *           |O_t| the norm of the whole output at the token
 * A sum is one element O at each token, sign × its value; apart it is one in all, sign × its
 * activation. Its cosine is that of the whole output with the sum of the terms' directions.
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
