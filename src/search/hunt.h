/* hunt.h — what the searches among tokens have in common: candidates, their evaluation in shared
 * batches, budgets, and for each feature the best texts found, different ones.
 *
 * A method proposes variants of texts; the hunt drops those that it may not name, that do not
 * survive their own printing, or that were evaluated before, evaluates the others for all features
 * of the batch, and shows every feature what the others found. Token-forwards are counted where they
 * are spent; the naive count is that of the same texts run whole.
 */
#ifndef PH_HUNT_H
#define PH_HUNT_H

#include "base/rng.h"
#include "search/method.h"
#include "search/slope.h"
#include "search/trial.h"

enum {
    PH_FIND_TOKENS = 64, /* longest text of a search among tokens */
    PH_KEPT_FINDS = 16   /* different texts that are remembered of a feature */
};

/* A text that was evaluated for a feature. */
typedef struct ph_find {
    double score; /* what is searched for: sign × activation - lambda × cross */
    double activation, norm, cross;
    bool trips;    /* survives its own printing */
    bool outlier;  /* its norm is far from ordinary */
    int32_t start; /* which of the search's starts led to it */
    int32_t n;
    int32_t ids[PH_FIND_TOKENS];
} ph_find;

/* One feature's hunt. */
typedef struct ph_quarry {
    const ph_feature *feature;
    const ph_tally *tally;
    const float *singles; /* (V) its activation on every single token; NULL: not asked for */
    int64_t spent, naive; /* token-forwards */
    ph_rng rng;
    ph_find best[PH_KEPT_FINDS]; /* best first, no two more than half alike */
    int32_t n_best;
} ph_quarry;

/* A variant to evaluate for one feature. */
typedef struct ph_proposal {
    int64_t quarry;
    int64_t parent, same, keep; /* as in ph_child */
    int32_t source;             /* the method's own note */
    ph_find find;               /* start, n and ids are given, the rest is written */
} ph_proposal;

typedef struct ph_hunt {
    ph_task *task;
    ph_quarry *quarries; /* count */
    int64_t count;
    const ph_feature **features;
    bool fluent; /* texts have a cross-entropy */
    double lambda;
    ph_trials *trials;
    ph_slopes *slopes;
    uint64_t *seen; /* hash set of the texts that were evaluated */
    size_t n_seen, cap_seen;
    ph_trial *results; /* (children,count) of a call */
    double *cross;
    ph_child *children;
    size_t cap;
} ph_hunt;

/* Rows of one feature each; their singles where `singles` (n,V) is not NULL. parents: texts that can
 * be kept. */
ph_status ph__hunt_open(ph_hunt *out, ph_row *rows, int64_t n, ph_task *task, int64_t parents,
                        ph_error *err);
void ph__hunt_close(ph_hunt *h);

/* Whether a text may be proposed: allowed tokens, within the length, round trip as asked for, not
 * evaluated before; remembers it as evaluated. */
ph_status ph__hunt_admits(bool *out, ph_hunt *h, int64_t quarry, ph_find *text, ph_error *err);
/* Evaluate proposals, charge their quarries, show them to all. */
ph_status ph__hunt_try(ph_hunt *h, ph_proposal *proposals, size_t n, ph_error *err);
/* The best texts of every quarry into its rows, as many as it has; the last one again where there are
 * fewer. */
void ph__hunt_answer(const ph_hunt *h, ph_row *rows);
/* true if a is the better text of a quarry. */
bool ph__find_better(const ph_hunt *h, const ph_find *a, const ph_find *b);
#endif
