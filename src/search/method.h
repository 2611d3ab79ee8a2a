/* method.h — the seam between the conductor of a dream and the ways to find tokens: a table.
 *
 * A method is given the rows of some features of one tap and leaves in each what it found: an
 * embedding, which is decoded afterwards, or tokens, or both. Everything is then re-scored alike.
 */
#ifndef PH_METHOD_H
#define PH_METHOD_H

#include "search/complete.h"
#include "search/descent.h"

/* What the rows of a batch have in common. */
typedef struct ph_task {
    const ph_job *job;
    ph_scorer *scorer;
    const ph_dream_options *o;
    ph_descent descent;
    ph_encoded text;       /* of a text start; n = 0: another start */
    ph_session *session;   /* of the tap, with gradients, for a method that descends … */
    int64_t session_rows;  /* … so many rows at once */
    const ph_tally *tally; /* one per feature, for a method that builds on the complete search */
    const float *singles;  /* (features,V) every single token's activation, where that `ranks` */
    ph_lexicon *lexicon;   /* the same, and where it descends */
    int64_t answers;       /* rows of each feature */
    int64_t shortest, longest; /* tokens of a text */
    ph_round_trip round_trip;  /* never DEFAULT */
    int64_t top_k;             /* of o, no more than there are tokens */
    bool fluent;               /* texts have a cross-entropy */
    double ordinary_norm;      /* of the tap, 0: not known */
    char **states;             /* n_states files of resume.h */
    size_t n_states;
    bool stopped;    /* the caller cancelled: what was found counts */
    bool late;       /* time ran out */
    double searched; /* seconds of hunts that are over, of the options' */
    int64_t waiting; /* features that were not hunted yet */
    int64_t reached; /* the budget with which that run can be repeated */
    ph_cost cost;
    double first; /* when the first step ended, 0 before */
} ph_task;

/* What options leave to a method. */
typedef struct ph_manner {
    int64_t steps, restarts;
    double eta_first, eta_last;
    bool rms; /* these are in units of the embedding's rms */
    const char *optimizer, *start;
    int64_t top_k, width;
} ph_manner;

typedef struct ph_method {
    const char *name;
    bool descends; /* rows have embeddings and are decoded; else only tokens */
    bool names;    /* rows have tokens of their own */
    bool complete; /* builds on the complete search */
    bool hunts;    /* evaluates variants of texts within a budget: hunt.h */
    bool answers;  /* its rows are its best texts, not its starts */
    bool fluent;   /* looks at the texts' cross-entropy, asked for or not */
    ph_manner usual;
    ph_status (*run)(ph_row *rows, int64_t n, ph_task *task, ph_error *err);
} ph_method;

/* The row of a name, NULL if there is none. */
const ph_method *ph__method_find(const char *name);
/* Whether the name of a start is of a text. */
bool ph__text_start(const char *start);
/* Points of a row's curve. */
size_t ph__method_points(const ph_method *m, const ph_descent *d);

/* A text to start from gives the number of tokens. */
ph_status ph__task_start(ph_task *task, const ph_method *m, ph_error *err);
/* Fill in lengths, round trip, top_k and fluent from the options, which are checked where they are of
 * searches among tokens; longest: what the model has room for. */
ph_status ph__task_limits(ph_task *task, const ph_method *m, int64_t longest, ph_error *err);
/* Charge the task for all steps of n rows that began then. */
void ph__method_charge(ph_task *task, int64_t n, double began);

/* Greedy: append the token that raises the activation at the last position most. Exact: every
 * allowed token is tried at every step, with the keys and values of what was found reused; rows
 * with the same beginning share the pass. curve (T): the activation at the last position after
 * each token. Source: the complete and greedy searches of Badger, Language Model Features. */
ph_status ph__greedy(ph_row *rows, int64_t n, ph_task *task, ph_error *err);

/* Swaps of single tokens that the gradient proposes (swap.c). */
ph_status ph__swap(ph_row *rows, int64_t n, ph_task *task, ph_error *err);
/* A population over a grid of weights of the cross-entropy (epo.c). */
ph_status ph__epo(ph_row *rows, int64_t n, ph_task *task, ph_error *err);
/* Whether its options make sense. */
ph_status ph__epo_check(const ph_dream_options *o, ph_error *err);
/* Prefixes grown by tokens that the model itself proposes (beam.c). */
ph_status ph__beam(ph_row *rows, int64_t n, ph_task *task, ph_error *err);
/* The default: lines of texts improved by variants of themselves (auto.c). */
ph_status ph__auto(ph_row *rows, int64_t n, ph_task *task, ph_error *err);

/* PEZ: a continuous e per position is kept; value and gradient are those of its projection P(e), the
 * allowed token of highest cosine, and the gradient moves e. Each row's tokens are the best of all the
 * projections it met, its embedding is e. curve (steps+1): the activation of the projections. Rows:
 * at most a session's, with their starts in e. Source: Wen et al. 2023 (2302.03668) and its program:
 * AdamW, 0.1, decay 0.1, random tokens to start from. */
ph_status ph__pez(ph_row *rows, int64_t n, ph_task *task, ph_error *err);

/* Gumbel: logits x (T,V), the input e = softmax((x + g) / tau) W, g standard Gumbel noise from the row's
 * own stream, tau falling from 2 to 0.1 by equal factors; x begins as e W^T of the start, and descends.
 * Tokens that are not allowed have no weight. Each row's tokens are the best of the most probable ones
 * and 15 samples of softmax(x), its embedding is the last distribution's without noise. curve (steps+1):
 * the activation under noise, at last without. Source: GBDA, Guo et al. 2021 (2104.13733), whose program
 * has Adam, 0.3, tau 1, logits 15 at the tokens to start from. x has V/C times the numbers of e, four
 * times over: rows are few. */
ph_status ph__gumbel(ph_row *rows, int64_t n, ph_task *task, ph_error *err);

#endif
