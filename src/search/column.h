/* column.h — what a census keeps of one feature, and how values are added to it.
 *
 * A column's memory does not grow: the sum and the sum of squares, the highest and the lowest values
 * with the numbers of their tokens, and a histogram. Its range begins with the first values' and
 * doubles, bins merged in pairs, when a value lies outside: it is never wider than 4 times what was
 * seen. Knows no model.
 */
#ifndef PH_COLUMN_H
#define PH_COLUMN_H

#include "kernels/lanes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Arrays over `count` columns; lists of `top` entries each, best first, ties to the earlier token,
 * token -1 where an entry is empty. */
typedef struct ph_columns {
    size_t count, top;
    double *sum, *squares;           /* (count) */
    float *low, *step;               /* (count) bin k holds values from low + k*step on */
    float *highest, *lowest;         /* (count,top) */
    int32_t *at_highest, *at_lowest; /* (count,top) */
    uint32_t *bins;                  /* (count,PH_BINS) */
} ph_columns;

/* Empty lists and histograms; sums are zero already. */
void ph__columns_clear(ph_columns *c);
/* Add X (N,W), whose columns are `first` on and whose rows are the tokens `token` on. Of each
 * `window` tokens only the best enters a list. Columns are shared out among threads, the result does
 * not depend on them. false, and a result of no use, if X holds NaN or infinity. */
bool ph__columns_add(ph_columns *c, size_t first, const float *X, int64_t N, int64_t W,
                     int64_t token, int64_t window, int threads);

/* One of them; pointers are borrowed. */
typedef struct ph_column {
    int64_t n; /* tokens */
    double sum, squares;
    float low, step;
    const uint32_t *bins;
    size_t top; /* entries that follow */
    const float *highest, *lowest;
    const int32_t *at_highest, *at_lowest;
} ph_column;

ph_column ph__column_at(const ph_columns *c, size_t i, int64_t n);
/* Standard deviation of n values with this sum and sum of squares. */
double ph__deviation(double sum, double squares, double n);
double ph__column_mean(const ph_column *c);
double ph__column_deviation(const ph_column *c);
/* The value below which a share `level` of the tokens lies, and the share below a value: to the
 * width of a bin. */
double ph__column_quantile(const ph_column *c, double level);
double ph__column_below(const ph_column *c, double value);

#endif
