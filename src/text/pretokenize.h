/* pretokenize.h — the pre-tokenizers that GGUF files name. */
#ifndef PH_PRETOKENIZE_H
#define PH_PRETOKENIZE_H

#include "text/steps.h"

/* What a file means by its name besides cutting words. */
typedef struct ph_pre_traits {
    bool add_bos;     /* what tokenizer.ggml.add_bos_token is where the file does not say */
    bool whole_words; /* a word that is a token is that token, whatever the merges say */
} ph_pre_traits;

/* Add the steps of tokenizer.ggml.pre. Errors: PH_EUNSUPPORTED with the name. */
ph_status ph__pretokenizer_read(ph_steps *out, ph_pre_traits *traits, const char *name,
                                ph_error *err);

/* The first name of the i-th definition; NULL behind the last. */
const char *ph__pretokenizer_name(size_t i);

#endif
