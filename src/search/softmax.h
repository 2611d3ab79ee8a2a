/* softmax.h — the page's prior: the input is a distribution over the vocabulary at each position.
 *
 *   e = x W,  x (T,V);  after every step  x <- softmax(x - eta * de/dx gradient),  that is dE W^T
 *
 * Source: Badger, Language Model Features. x has V/C times the numbers of e: rows are few.
 */
#ifndef PH_SOFTMAX_H
#define PH_SOFTMAX_H

#include "search/lexicon.h"

typedef struct ph_softmax ph_softmax;

/* For n positions (rows × tokens). */
ph_status ph__softmax_open(ph_softmax **out, ph_lexicon *lexicon, int64_t n, ph_error *err);
void ph__softmax_close(ph_softmax **softmax);

/* x = softmax(W e): the tokens most like a start e (n,C); e becomes x W. */
ph_status ph__softmax_start(ph_softmax *s, float *e, ph_error *err);
/* One step of all positions from the gradient dE (n,C); e (n,C) becomes the new x W. */
ph_status ph__softmax_step(ph_softmax *s, float *e, const float *dE, double eta, ph_error *err);
/* ids (n) = the allowed token of the largest weight. */
void ph__softmax_tokens(const ph_softmax *s, int32_t *ids, const ph_job *job);

#endif
