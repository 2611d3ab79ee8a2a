/* columns.h — some columns of a block's output, where nobody asks for the others.
 *
 * A feature is a number or two of a stream that is hundreds wide. The last block's down-projection is
 * then a product with a few rows of its weight, forwards and backwards. Its numbers are those of the
 * whole product; the other columns of the output are left as they were before the MLP.
 */
#ifndef PH_COLUMNS_H
#define PH_COLUMNS_H

#include "model/model.h"

struct ph_columns {
    int64_t n; /* 0: all are wanted */
    int64_t *at;
    ph_matrix *down, *down_t; /* (F,n) and (n,F) */
};

/* Can a block's down-projection be narrowed? Not where something stands between it and the stream,
 * and not where weights are read from the file. */
bool ph__columns_apply(const ph_model *m, const ph_block_weights *w);
/* Columns at[0] < … < at[n-1] of block n's output, for products of so many rows. `gradient`: backwards
 * too. */
ph_status ph__columns_open(ph_columns *out, const ph_model *m, int64_t block, const int64_t *at,
                           int64_t n, ph_stream *stream, int64_t rows, bool gradient,
                           ph_error *err);
void ph__columns_close(ph_columns *c, const ph_model *m);
/* Weights that a token passes less. */
double ph__columns_saved(const ph_columns *c, const ph_arch *a);

#endif
