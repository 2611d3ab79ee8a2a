/* pretokenize.h — cutting text into the pieces ("words") that merges stay within.
 *
 * A pre-tokenizer is a regular expression that matches at every position of any text; its matches,
 * one after another, are the words. It does not change after it was opened.
 */
#ifndef PH_PRETOKENIZE_H
#define PH_PRETOKENIZE_H

#include "base/err.h"

#include <stdbool.h>

typedef struct ph_pretokenizer {
    void *code;       /* compiled pattern */
    bool add_bos;     /* what tokenizer.ggml.add_bos_token is where the file does not say */
    bool whole_words; /* a word that is a token is that token, whatever the merges say */
} ph_pretokenizer;

/* By tokenizer.ggml.pre. Errors: PH_EUNSUPPORTED with the name. */
ph_status ph__pretokenizer_open(ph_pretokenizer *out, const char *name, ph_error *err);
void ph__pretokenizer_close(ph_pretokenizer *p);

/* One walk over texts, by one thread. */
typedef struct ph_split {
    const ph_pretokenizer *pre;
    void *match, *limits;
} ph_split;

ph_status ph__split_open(ph_split *out, const ph_pretokenizer *pre, ph_error *err);
void ph__split_close(ph_split *s);
/* *end = where the word that begins at `from` ends; text[0 … n) is valid UTF-8 and ends at n for
 * look-ahead too; from < n. */
ph_status ph__split_next(size_t *end, ph_split *s, const char *text, size_t from, size_t n,
                         ph_error *err);

#endif
