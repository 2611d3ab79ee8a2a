/* census.h — statistics of every feature of many blocks over a stream of tokens, in bounded memory.
 *
 * One pass: rows of `window` tokens, each after the job's context, go through blocks 1 … depth; every
 * component of every block's output, and with `neurons` every neuron, is a column. A pass that was
 * cancelled or killed goes on from the job's cache folder, one that is done is read from there.
 */
#ifndef PH_CENSUS_H
#define PH_CENSUS_H

#include "search/column.h"
#include "search/job.h"

enum { PH_CENSUS_BATCH = 256 /* tokens: what a batch computes stays in the second cache */ };

typedef struct ph_census_plan {
    const char *name;   /* stage of the progress, part of the cache's key */
    const int32_t *ids; /* n tokens, borrowed until the census is closed */
    int64_t n, window;  /* the last row may be shorter */
    int64_t depth, top; /* top: entries of a list, fewer if there are fewer windows */
    bool neurons;
    bool norms;        /* keep the Euclidean norm of every block's output at every token */
    double most_flops; /* *out = NULL if the pass is not kept and takes more; 0: any */
} ph_census_plan;

typedef struct ph_census ph_census;

/* cost may be NULL. PH_ENUMERIC, naming the block, if the model gives NaN or infinity. */
ph_status ph__census_open(ph_census **out, const ph_job *job, const ph_census_plan *plan,
                          ph_pass_cost *cost, ph_error *err);
void ph__census_close(ph_census **census);

/* false for a place that the census does not follow, or a component that it does not have. */
bool ph__census_column(ph_column *out, const ph_census *c, ph_tap tap, int64_t component);
/* (n) the norms of a block's output; NULL where none were kept. */
const float *ph__census_norms(const ph_census *c, int64_t block);

#endif
