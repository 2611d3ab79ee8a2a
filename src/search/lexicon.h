/* lexicon.h — products with the whole embedding matrix W (V,C): every token at once.
 *
 *   scores  s = e W^T   (n,V) of embeddings e (n,C)
 *   mix     e = x W     (n,C) of weights x (n,V) over the vocabulary
 *
 * W is packed when the first of each is asked for. Borrows the model; belongs to one thread.
 */
#ifndef PH_LEXICON_H
#define PH_LEXICON_H

#include "search/job.h"

typedef struct ph_lexicon ph_lexicon;

ph_status ph__lexicon_open(ph_lexicon **out, const ph_model *model, ph_error *err);
void ph__lexicon_close(ph_lexicon **lexicon);

ph_status ph__lexicon_scores(ph_lexicon *l, float *s, const float *e, int64_t n, ph_error *err);
ph_status ph__lexicon_mix(ph_lexicon *l, float *e, const float *x, int64_t n, ph_error *err);

/* nearest (n) = the allowed token of smallest |e - w|^2, and that; ties to the lower id. */
ph_status ph__lexicon_nearest(ph_lexicon *l, ph_near *nearest, const float *e, int64_t n,
                              const ph_job *job, ph_error *err);
/* The same by cosine: nearest (n) = the allowed token of the highest one, and that. */
ph_status ph__lexicon_alike(ph_lexicon *l, ph_near *nearest, const float *e, int64_t n,
                            const ph_job *job, ph_error *err);

int64_t ph__lexicon_vocab(const ph_lexicon *l);      /* V */
const float *ph__lexicon_rows(const ph_lexicon *l);  /* W (V,C) */
const float *ph__lexicon_norms(const ph_lexicon *l); /* |w_t|^2 (V) */

#endif
