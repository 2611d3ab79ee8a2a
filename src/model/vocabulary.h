/* vocabulary.h — the tokenizer that a model file describes. */
#ifndef PH_VOCABULARY_H
#define PH_VOCABULARY_H

#include "weights/weights.h"

/* Read the keys tokenizer.ggml.*. On success *out is owned by the caller and keeps nothing of w. */
ph_status ph__vocabulary_read(ph_tokenizer **out, const ph_weights *w, ph_error *err);

#endif
