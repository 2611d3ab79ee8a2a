/* recover.h — a text's output at a tap, to be found again: what descent and exact search share.
 *
 * T tokens of the text, W width of the tap, V vocabulary, C width of the embedding.
 */
#ifndef PH_RECOVER_H
#define PH_RECOVER_H

#include "search/lexicon.h"

typedef struct ph_target {
    const ph_job *job; /* its context stands before the text */
    const ph_recover_options *o;
    const ph_feature *feature;
    ph_region region;
    const int32_t *ids;     /* (T) the text */
    double *X;              /* (T,W) its output */
    double random_distance; /* of the text's embedding and a little noise */
    int64_t T, W;
    ph_session *session; /* of T tokens … */
    int64_t rows;        /* … and so many rows */
    ph_lexicon *lexicon;
    int64_t token_forwards; /* spent so far; a backward counts two */
} ph_target;

/* A session of single tokens behind the job's context and `length` more ids. */
ph_status ph__target_session(ph_session **out, ph_target *t, const int32_t *begin, size_t length,
                             int64_t rows, bool gradient, ph_error *err);
/* The region of one token that stands alone. */
ph_region ph__single(const ph_target *t);

/* What exact search found. */
typedef struct ph_exact {
    int32_t *ids; /* (T) of the caller */
    int64_t tried;
    double worst; /* largest relative distance of a token that was kept */
} ph_exact;

/* A token counts as found below this distance, relative to the norm of the state it has to meet.
 * Rounding: a text's states by one order of summation and another (oneDNN, plain C, double) differ by
 * 1e-6 at block 1 of the default model and 7e-6 at block 30; with one backend they agree bit for bit.
 * The nearest wrong token lies at 0.08 or more after a context token, at 0.009 without one, where the
 * first position's huge norm hides the rest. Only tokens that training never touched are nearer (15
 * of the default model's, most of them equal in all bits): then the nearest of a batch is kept. */
#define PH_EXACT_TOLERANCE 1e-4

/* The region holds every token. Position by position, from the left: the token whose output there is
 * the text's, and where none is within the tolerance the nearest of all. */
ph_status ph__exact(ph_exact *out, ph_target *t, ph_error *err);

#endif
