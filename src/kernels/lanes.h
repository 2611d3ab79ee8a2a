/* lanes.h — sums, extremes and bins of PH_LANES columns side by side, in this processor's vectors.
 *
 * Of floats in the process's own memory, whatever the backend; used by search/column.c. The bits are
 * the same in every instruction set.
 */
#ifndef PH_LANES_H
#define PH_LANES_H

#include <stdint.h>

enum { PH_LANES = 16, PH_BINS = 512 };

/* x: n ≥ 1 rows of PH_LANES columns, ld apart; arrays of float and double hold one element for each
 * column. */
struct ph_lanes_ops {
    /* Row by row, sum += x and squares += x*x; the least and the most of each column. */
    void (*load)(double *sum, double *squares, float *least, float *most, const float *x, int64_t n,
                 int64_t ld);
    /* rows (n) = those in which a column lies below its `low` or above its `high`; returns how many. */
    int64_t (*beyond)(int32_t *rows, const float *x, const float *low, const float *high, int64_t n,
                      int64_t ld);
    /* bins[column*PH_BINS + k]++ for each value, k = (x - low) / step rounded down, 0 … PH_BINS-1 */
    void (*count)(uint32_t *bins, const float *x, const float *low, const float *step, int64_t n,
                  int64_t ld);
};

const struct ph_lanes_ops *ph__lanes(void);

#endif
