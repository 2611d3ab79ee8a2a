/* job.h — what every search starts from: a model, its context, its ordinary and allowed tokens.
 *
 * Resolves ph_run_options once; reports progress and notices cancelling.
 */
#ifndef PH_JOB_H
#define PH_JOB_H

#include "feature/objective.h"
#include "model/session.h"
#include "search/turn.h"

typedef struct ph_job {
    const ph_model *model;
    const ph_tokenizer *tokenizer; /* never NULL */
    ph_run_options run;
    ph_turn turn;
    int32_t *context; /* BOS, the chat's beginning, prefix */
    size_t n_context;
    int32_t *ordinary; /* ids of ordinary tokens, rising */
    size_t n_ordinary;
    bool *is_ordinary; /* V, also rows of the embedding that no token names */
    /* What a search may name, likewise: the same lists until ph__job_allow. */
    int32_t *allowed;
    size_t n_allowed;
    bool *is_allowed;
    const ph_constraints *constraints; /* borrowed; NULL: none */
    ph_glimpse_fn glimpse;             /* NULL: nobody looks */
    void *glimpse_payload;
} ph_job;

ph_status ph__job_open(ph_job *out, const ph_model *model, const ph_run_options *run,
                       ph_error *err);
void ph__job_close(ph_job *job);
/* Name only tokens that these constraints allow. PH_EINVAL if none is left, PH_ETEXT if their texts
 * are not UTF-8. Once in a job's life. */
ph_status ph__job_allow(ph_job *job, const ph_constraints *constraints, ph_error *err);
/* Whether a text has `part` in it; an empty part is in none. */
bool ph__job_has(const char *text, size_t bytes, const char *part);

/* PH_ECANCELED if the caller wants to stop. */
ph_status ph__job_progress(const ph_job *job, const char *stage, double done, ph_error *err);

/* A text as a user would have it tokenised between what stands around it. */
ph_status ph__job_encode(ph_encoded *out, const ph_job *job, const char *text, size_t bytes,
                         ph_error *err);
/* Whether these are n given ids behind the job's own context. */
bool ph__encoded_equal(const ph_encoded *e, const ph_job *job, const int32_t *ids, size_t n);

/* *text = the bytes of n ids and a 0 as they stand behind the job's context, without a blank that all
 * texts have there; caller frees. */
ph_status ph__job_decode(char **text, size_t *bytes, const ph_job *job, const int32_t *ids,
                         size_t n, ph_error *err);

/* Whether n ids, printed as valid UTF-8 behind the prefix, tokenise to themselves again. */
ph_status ph__job_trips(bool *out, const ph_job *job, const int32_t *ids, size_t n, ph_error *err);
/* Whether what n ids print keeps the constraints that are about whole texts. */
ph_status ph__job_fits(bool *out, const ph_job *job, const int32_t *ids, size_t n, ph_error *err);
bool ph__job_text_fits(const ph_job *job, const char *text, size_t bytes);

/* A job for one given text: *ids (n, at least 1, freed with ph__free) are its tokens, the job's
 * context is what stands before them. */
ph_status ph__job_open_text(ph_job *out, int32_t **ids, size_t *n, const ph_model *model,
                            const ph_text *text, const ph_run_options *run, ph_error *err);

/* Region of a feature under the job's reduce and sign. */
ph_status ph__job_region(ph_region *out, const ph_job *job, const ph_feature *f, int64_t T,
                         ph_error *err);
/* The taps that a feature looks at, n of them. */
const ph_tap *ph__taps_of(const ph_feature *f, size_t *n);
/* A session that reads what a feature looks at. */
void ph__session_at(ph_session_options *o, const ph_feature *f);
/* Do two features look at the same taps? Then they share sessions, and are said to be of one tap. */
bool ph__same_taps(const ph_feature *a, const ph_feature *b);
/* How many features of one tap there are one after another in the list from `first` on, and those. */
size_t ph__same_tap_run(const ph_features *features, size_t first, const ph_feature **run);

#endif
