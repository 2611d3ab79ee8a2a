/* quant.h — the block formats: one table row each. */
#ifndef PH_QUANT_H
#define PH_QUANT_H

#include "weights/weights.h"

typedef struct ph_quant {
    const char *name;   /* "Q4_K" */
    int64_t gguf;       /* GGUF's number of the type, -1: none that is read */
    int64_t block;      /* weights in a block */
    size_t block_bytes; /* bytes of a block */
    void (*dequant)(float *out, const uint8_t *in, int64_t blocks);
} ph_quant;

const ph_quant *ph__quant(ph_dtype type);
/* By GGUF's number; -1 for one that is not in the table. */
int ph__quant_from_gguf(int64_t number);
/* Name of a GGUF type number, also of ones we do not read; NULL if GGUF has no such number. */
const char *ph__gguf_type_name(int64_t number);

/* out (rows, last dimension) = rows of a tensor, seen as a matrix, as float32. Rows out of range
 * are the caller's mistake. */
void ph__dequant_rows(float *out, const ph_tensor *t, int64_t first, int64_t rows);
/* out = all of a vector or a matrix. */
void ph__dequant_all(float *out, const ph_tensor *t);
/* out (n) = weights first … first + n - 1 of one row. */
void ph__dequant_part(float *out, const ph_tensor *t, int64_t row, int64_t first, int64_t n);

#endif
