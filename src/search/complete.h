/* complete.h — complete search: every token of the vocabulary alone after the context.
 *
 * One forward pass over V texts of one token gives the exact best and worst tokens of any number of
 * features of a tap. What was found is kept in the job's cache folder: for every single component
 * of the tap, since they cost nothing more.
 */
#ifndef PH_COMPLETE_H
#define PH_COMPLETE_H

#include "search/scorer.h"

enum { PH_TALLY_KEPT = 32 }; /* length of the lists that the cache holds */

/* What a complete search says of one run of components [begin, end), averaged, or of a sum. */
typedef struct ph_tally {
    int64_t begin, end;
    const ph_feature *of; /* the sum; NULL: components */
    double sum, squares;
    ph_near best, worst;   /* among ordinary tokens */
    ph_near *top, *bottom; /* n each: highest first, lowest first; ties by lower id */
    int32_t n;
} ph_tally;

typedef struct ph_complete {
    ph_tally *tallies; /* count, one for each feature asked for, in order */
    size_t count;
    int64_t V;
    /* ---- owned memory */
    ph_near *lists;
} ph_complete;

/* Features are all of one tap; their token axis is not looked at. `top` is the length of the
 * lists. values (count,V): the activation of every token, NULL: not wanted. */
ph_status ph__complete(ph_complete *out, float *values, ph_scorer *s, const ph_job *job,
                       const ph_feature *const *features, size_t count, int64_t top, ph_error *err);
void ph__complete_close(ph_complete *c);

#endif
