/* vocabulary.h — the tokenizer that a model file describes. */
#ifndef PH_VOCABULARY_H
#define PH_VOCABULARY_H

#include "weights/weights.h"

/* Whether there is one: a folder has one if it has a tokenizer.json, a tokenizer.model or a vocab.json. */
bool ph__vocabulary_has(const ph_weights *w);
/* Read the keys tokenizer.ggml.*, or a folder's files. On success *out is owned by the caller and keeps
 * nothing of w. */
ph_status ph__vocabulary_read(ph_tokenizer **out, const ph_weights *w, ph_error *err);

#endif
