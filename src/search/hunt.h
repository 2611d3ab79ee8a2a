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
#include "search/hint.h"
#include "search/trial.h"

enum {
    PH_FIND_TOKENS = 64, /* longest text of a search among tokens */
    PH_KEPT_FINDS = 16,  /* different texts that are remembered of a feature */
    PH_STARTS = 32,      /* starts of a search whose best texts are remembered */
    PH_FRONT = 128       /* texts on the front of activation against cross-entropy */
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
    int64_t owed;         /* that a round must reach before a limit of time ends the search */
    ph_rng rng;
    ph_find best[PH_KEPT_FINDS]; /* best first, no two more than half alike */
    ph_find reached[PH_STARTS];  /* the best from each start; n 0: none */
    int32_t n_best;
    bool fresh;              /* best[0] is one that nobody had a glimpse of */
    ph_find front[PH_FRONT]; /* front.h; empty where texts have no cross-entropy */
    int32_t n_front;
} ph_quarry;

/* A text to evaluate for one feature. */
typedef struct ph_proposal {
    int64_t quarry;
    int64_t owner;              /* texts are evaluated once for each owner; 0: for all together */
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
    bool share;  /* a quarry's best may have been found for another */
    double lambda;
    int64_t allowed;       /* token-forwards of a quarry by the end of this round */
    double began, seconds; /* of the clock; how long it may search, where there is a limit */
    ph_trials *trials;
    ph_hints *hints;
    int32_t *wanted; /* n_wanted tokens that every text has to have in it, as text */
    size_t n_wanted;
    ph_proposal *list; /* n that wait to be evaluated, or just were */
    size_t n, cap;
    uint64_t *seen; /* hash set of the texts that were evaluated */
    size_t n_seen, cap_seen;
    ph_trial *results; /* (cap_results,count) of a call */
    double *cross;
    ph_child *children;
    size_t cap_results;
} ph_hunt;

/* For the features of n rows, task->answers rows each. parents: texts that can be kept. */
ph_status ph__hunt_open(ph_hunt *out, ph_row *rows, int64_t n, ph_task *task, int64_t parents,
                        ph_error *err);
void ph__hunt_close(ph_hunt *h);

/* Put a proposal on the list if it may be made: allowed tokens, a length that is allowed (or
 * shorter), round trip as asked for, not evaluated before. *taken, NULL allowed: whether it was. */
ph_status ph__hunt_propose(bool *taken, ph_hunt *h, const ph_proposal *p, ph_error *err);
/* Put it there without asking, to be kept as a parent. */
ph_status ph__hunt_keep(ph_hunt *h, const ph_proposal *p, ph_error *err);
/* Evaluate what is on the list, charge the quarries, show them the texts. */
ph_status ph__hunt_run(ph_hunt *h, ph_error *err);
/* Tokens that were sent forward otherwise, a backward counting two. */
void ph__hunt_charge(ph_hunt *h, int64_t quarry, int64_t tokens);

/* A search goes in rounds: in each, every quarry spends up to the same allowance, so that a search
 * that time ended can be repeated by its budget. Begin the next round; false: that was the last. */
bool ph__hunt_round(ph_hunt *h);
/* What a quarry may still spend in this round, and whether that is anything. */
int64_t ph__hunt_left(const ph_hunt *h, int64_t quarry);
bool ph__hunt_live(const ph_hunt *h, int64_t quarry);
/* Whether the budget has room for work that no round divides. The search is not ended by time before it
 * is paid for, so that the budget that was reached has room for it, too. */
bool ph__hunt_takes_on(ph_hunt *h, int64_t quarry, int64_t cost);
/* Report progress; *go_on = false: the caller cancels, which ends the search (task->stopped) with
 * what was found so far. */
ph_status ph__hunt_look(bool *go_on, ph_hunt *h, const char *stage, double done, ph_error *err);
/* Share of the budgets that is spent. */
double ph__hunt_done(const ph_hunt *h);

/* Leading tokens of `text` that are its parent's, fewer than all of them: something must be run. */
int64_t ph__hunt_same(const ph_find *text, const ph_find *parent);
/* Put the text that --contains asks for somewhere into a text that lacks it. */
ph_status ph__hunt_mend(const ph_hunt *h, ph_find *text, ph_rng *rng, ph_error *err);
/* A random text of allowed tokens that may be proposed, if one is found; its length is random too. */
ph_status ph__hunt_random(ph_find *out, ph_hunt *h, ph_rng *rng, ph_error *err);

/* true if a is the better text of a quarry. */
bool ph__find_better(const ph_hunt *h, const ph_find *a, const ph_find *b);
/* The best texts of every quarry into its rows, as many as it has; the last one again where there are
 * fewer. */
ph_status ph__hunt_answer(const ph_hunt *h, ph_row *rows, ph_error *err);
/* A row's answer, and in the first row of a feature what its hunt has cost so far and its front. */
ph_status ph__hunt_row(const ph_hunt *h, ph_row *row, int64_t i, const ph_find *f, ph_error *err);

#endif
