/* turn.h — the words around a text: BOS, the chat's turn, prefix and suffix, as ph_run_options say. */
#ifndef PH_TURN_H
#define PH_TURN_H

#include "text/vocab.h"

#include <phosphene.h>

typedef struct ph_turn {
    int32_t bos;          /* the token in front, or -1 */
    char *before, *after; /* owned; special tokens are parsed in both */
    bool blank; /* a blank stands between `before` and the text, and is part of its first token */
} ph_turn;

ph_status ph__turn_open(ph_turn *out, const ph_tokenizer *t, const ph_run_options *run,
                        ph_error *err);
void ph__turn_close(ph_turn *turn);
/* *ids (n, freed with ph__free): what stands before every text. */
ph_status ph__turn_context(int32_t **ids, size_t *n, const ph_turn *turn, const ph_tokenizer *t,
                           ph_error *err);

/* A text as a user would have it tokenised: all as one, no special tokens parsed in the text. ids (n)
 * are the tokens that hold bytes of the text, context (n_context) what stands before them with the
 * BOS; both freed with ph__free. */
typedef struct ph_encoded {
    int32_t *ids, *context;
    size_t n, n_context;
} ph_encoded;
ph_status ph__turn_encode(ph_encoded *out, const ph_turn *turn, const ph_tokenizer *t,
                          const char *text, size_t bytes, ph_error *err);
void ph__encoded_close(ph_encoded *e);

#endif
