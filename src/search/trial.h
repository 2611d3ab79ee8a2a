/* trial.h — plain forward passes over many texts for many features, most of them variants of texts
 * that were run before: what a variant has in common with its parent is not run again.
 *
 * The figures are those of scorer.h's texts up to float32's rounding; they do not depend on what is
 * evaluated beside a text, nor on how much of it came from its parent.
 */
#ifndef PH_TRIAL_H
#define PH_TRIAL_H

#include "model/ragged.h"
#include "search/job.h"

typedef struct ph_trials ph_trials;

typedef struct ph_trials_options {
    const ph_job *job;
    const ph_feature *const *features; /* count, all of one tap; borrowed */
    size_t count;
    int64_t longest; /* text */
    int64_t parents; /* texts that can be kept */
    bool fluent;     /* also the text's cross-entropy under the model: runs all of its blocks */
} ph_trials_options;

/* One text to evaluate. */
typedef struct ph_child {
    const int32_t *ids;
    int64_t n;
    int64_t parent; /* its place among those kept, -1: none */
    int64_t same;   /* leading tokens in common with the parent, < n */
    int64_t keep;   /* from now on it is this parent (then it has none itself); -1 */
} ph_child;

typedef struct ph_trial {
    double activation; /* reduced; NaN where the text does not hold the feature's region */
    double norm;       /* largest norm of the tap's output over the region's tokens */
} ph_trial;

ph_status ph__trials_open(ph_trials **out, const ph_trials_options *options, ph_error *err);
void ph__trials_close(ph_trials **trials);

/* out (n,count); cross (n), NULL allowed unless fluent: mean over the text's tokens, the first
 * counting only behind a context, of -ln p(token | what stands before it). */
ph_status ph__trials_run(ph_trials *t, const ph_child *children, size_t n, ph_trial *out,
                         double *cross, ph_error *err);
/* With fluent: the scores (V) of the token behind every text that is kept go to a visitor … */
typedef void (*ph_behind_fn)(int64_t keep, const float *scores, void *payload);
void ph__trials_watch(ph_trials *t, ph_behind_fn visit, void *payload);
/* … and these are those of a text's first token, NULL without a context. */
const float *ph__trials_first(const ph_trials *t);
/* Tokens that evaluating a child sends forward. */
int64_t ph__trials_cost(const ph_trials *t, const ph_child *c);

#endif
