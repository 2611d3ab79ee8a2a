/* decode.h — from an embedding to tokens.
 *
 * For each decode the token t with the largest score, w_t the rows of the embedding matrix W (V,C),
 * e the embedding, G = W^T W:
 *
 *   pinv      w_t · G^-1 e          the page's W^+ e; favours rare tokens
 *   leverage  the same / sqrt(h_t)  h_t = w_t^T G^-1 w_t
 *   cosine    e·w_t / |w_t|
 *   euclid    2 e·w_t - |w_t|^2
 *   dot       e·w_t
 *   hidden    the index of e's own largest component, read as a token id
 *
 * Only allowed tokens are named, but by `hidden`. Source: Badger, Language Model Features, and
 * METHODS.md section 2 of the project's design.
 */
#ifndef PH_DECODE_H
#define PH_DECODE_H

#include "search/lexicon.h"

enum { PH_DECODES = 6 };

/* The row of the table; -1 for an unknown name. */
int ph__decode_find(const char *name);

typedef struct ph_decoder ph_decoder;
/* Borrows job and lexicon. only: the one decode that is wanted, -1 for all: G is factored where
 * pinv or leverage is. */
ph_status ph__decoder_open(ph_decoder **out, const ph_job *job, ph_lexicon *lexicon, int only,
                           ph_error *err);
/* Name these tokens only, n of them, borrowed; `hidden` too. */
void ph__decoder_among(ph_decoder *d, const int32_t *ids, size_t n);
void ph__decoder_close(ph_decoder **decoder);

/* e (n,C). ids (PH_DECODES,n): one token each, -1 where a decode has none (hidden beyond the
 * vocabulary; one that is not wanted). nearest (n): the token of highest cosine, and the cosine. */
ph_status ph__decoder_run(ph_decoder *d, int32_t *ids, ph_near *nearest, const float *e, int64_t n,
                          ph_error *err);

#endif
