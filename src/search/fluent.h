/* fluent.h — what the model itself would say: the next-token distributions of texts, their
 * cross-entropy, its gradient. All of it runs the whole model.
 *
 * The cross-entropy of a text is the mean over its tokens, the first counting only behind a context,
 * of -ln p(token | what stands before it).
 */
#ifndef PH_FLUENT_H
#define PH_FLUENT_H

#include "base/rng.h"
#include "search/job.h"

typedef struct ph_fluent ph_fluent;

/* For texts of at most `longest` tokens. Borrows the job; what runs is opened when first needed. */
ph_status ph__fluent_open(ph_fluent **out, const ph_job *job, int64_t longest, ph_error *err);
void ph__fluent_close(ph_fluent **fluent);

/* *cross of n ids of any number behind a context, NULL: the job's, by a plain pass over all of them;
 * NaN where no token counts, or there are more than the model takes. */
ph_status ph__fluent_cross(double *cross, ph_fluent *f, const int32_t *ids, size_t n,
                           const int32_t *context, size_t n_context, ph_error *err);

/* top (n,k) = for each position of a text the k allowed tokens that are most probable given what
 * stands before it, and their ln p; most probable first, ties to the lower id. Where nothing stands
 * before it, and where there are no more, the id is -1. Sends n tokens forward. */
ph_status ph__fluent_top(ph_fluent *f, ph_near *top, int64_t k, const int32_t *ids, int64_t n,
                         ph_error *err);

/* The cross-entropy H of one text as a function of which tokens stand there. As a function of weights
 * x (n,V) over the vocabulary, one-hot in the text itself, its derivative is
 *
 *   dH/dx[t,v] = gradient[t]·w_v - log_p[t,v] / counted
 *
 * through the embedding, which shifts what follows, and as the token that is to be predicted. */
typedef struct ph_fluency {
    double cross;
    int64_t counted;       /* tokens that count */
    const float *gradient; /* (n,C) */
    const float *log_p;    /* (n,V) ln p of every token there; 0 where nothing stands before it */
} ph_fluency;
typedef struct ph_fluent_text {
    const int32_t *ids;
    int64_t n;
} ph_fluent_text;
/* What a visitor is shown is borrowed for the call. */
typedef ph_status (*ph_fluency_fn)(int64_t text, const ph_fluency *f, void *payload, ph_error *err);
ph_status ph__fluent_slopes(ph_fluent *f, const ph_fluent_text *texts, int64_t n,
                            ph_fluency_fn visit, void *payload, ph_error *err);

/* Allowed tokens drawn without replacement by the model's next-token scores (V). */
typedef struct ph_draws {
    const ph_job *job;
    double *p; /* (n_allowed) weights of those that are left */
} ph_draws;
/* scores NULL: nothing stands before it, all tokens are alike. */
ph_status ph__draws_open(ph_draws *out, const ph_job *job, const float *scores, ph_error *err);
/* -1 when none is left. */
int32_t ph__draw(ph_draws *d, ph_rng *rng);
void ph__draws_close(ph_draws *d);

#endif
