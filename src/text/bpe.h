/* bpe.h — byte pair encoding of words: the tokenizer model of all vocabularies that we read.
 *
 * A word starts as its characters; the best pair of neighbours, leftmost first, is merged until
 * there is none. Which pairs, and which is better, is said by a list of merges (by rank: GPT-2 and
 * tokenizer.json) or by the tokens' scores (SentencePiece: a pair whose text is a token).
 */
#ifndef PH_BPE_H
#define PH_BPE_H

#include "text/tokenizer.h"

typedef struct ph_bpe ph_bpe;

/* Fill t->bpe. `model` is what messages call the vocabulary's model. */
ph_status ph__bpe_open(ph_tokenizer *t, const ph_vocab *vocab, bool by_score, bool byte_fallback,
                       ph_error *err);
void ph__bpe_close(ph_bpe *b);

/* What encoding needs, for one thread; grows with the longest word. */
typedef struct ph_bpe_work ph_bpe_work;
ph_status ph__bpe_work_open(ph_bpe_work **out, ph_error *err);
void ph__bpe_work_close(ph_bpe_work *w);

/* Add the ids of a word of f. */
ph_status ph__bpe_encode(ph_ids *out, const ph_tokenizer *t, ph_bpe_work *w, const ph_flow *f,
                         ph_piece word, ph_error *err);

#endif
