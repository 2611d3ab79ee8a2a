/* scorer.h — plain forward passes over texts: the only source of figures that are published. */
#ifndef PH_SCORER_H
#define PH_SCORER_H

#include "search/job.h"

/* One text to be scored for one feature; the fields below the line are written. */
typedef struct ph_item {
    const ph_feature *feature;
    const int32_t *ids;
    size_t n;
    const int32_t *context; /* NULL: the job's */
    size_t n_context;
    double *values; /* n, NULL allowed: the feature at each token */
    bool behind;    /* measure behind the nonlinearity of SAEs too */
    /* ---- */
    bool valid; /* false: the text has no such token, or too many; nothing else is written */
    ph_measured measured;
    double post; /* where asked for: the activation behind the nonlinearity, NaN without one */
    double norm; /* largest Euclidean norm of the tap's output over the region's tokens */
} ph_item;

typedef struct ph_scorer ph_scorer;

/* A scorer keeps sessions for the lengths it has met. It borrows the job. */
ph_status ph__scorer_open(ph_scorer **out, const ph_job *job, ph_error *err);
void ph__scorer_close(ph_scorer **scorer);

/* Score items, all of one tap. Texts of one length (and context) share a batch; the figures do not
 * depend on which texts do. PH_ENUMERIC if the model gives NaN or infinity. */
ph_status ph__scorer_run(ph_scorer *s, ph_item *items, size_t count, ph_error *err);
/* Tokens sent forward so far. */
int64_t ph__scorer_tokens(const ph_scorer *s);

/* Run `rows` texts of T ids each through the tap of feature `at` and hand X (T,W) of each row to a
 * visitor. */
typedef void (*ph_row_fn)(int64_t row, const double *X, int64_t W, void *payload);
ph_status ph__scorer_texts(ph_scorer *s, const ph_feature *at, const int32_t *ids, int64_t rows,
                           int64_t T, const char *stage, ph_row_fn visit, void *payload,
                           ph_error *err);
/* The same for n single tokens, each behind the job's context and `length` more ids, whose keys and
 * values are computed once. */
ph_status ph__scorer_next(ph_scorer *s, const ph_feature *at, const int32_t *begin, size_t length,
                          const int32_t *ids, int64_t n, const char *stage, ph_row_fn visit,
                          void *payload, ph_error *err);

#endif
