/* tokenizer.h — the parts of a tokenizer, for this room only.
 *
 * Encoding takes three steps: special tokens cut the text into spans (special.c), the
 * pre-tokenizer cuts spans into words (pretokenize.c), the tokenizer model makes ids of words
 * (bpe.c). Every step keeps byte positions, so that each id knows where it begins.
 */
#ifndef PH_TOKENIZER_H
#define PH_TOKENIZER_H

#include "text/pretokenize.h"
#include "text/special.h"
#include "text/vocab.h"

/* Ids with the byte at which each begins. */
typedef struct ph_ids {
    int32_t *ids;
    size_t *starts;
    size_t n, cap;
} ph_ids;

ph_status ph__ids_add(ph_ids *out, int32_t id, size_t start, ph_error *err);

/* A stretch of text [from, to): a special token, or plain text where id is -1. */
typedef struct ph_span {
    size_t from, to;
    int32_t id;
} ph_span;

/* One kind of tokenizer. Without `open` it is known by name only, without `encode` it decodes. */
typedef struct ph_tokenizer_model {
    const char *name; /* tokenizer.ggml.model */
    const char *what;
    /* out = the bytes that an ordinary token stands for, never more than n; returns how many */
    size_t (*piece)(char *out, const char *token, size_t n);
    ph_status (*open)(ph_tokenizer *t, const ph_vocab *vocab, ph_error *err);
    ph_status (*encode)(ph_ids *out, const ph_tokenizer *t, const char *text, const ph_span *spans,
                        size_t n, ph_error *err);
    void (*close)(ph_tokenizer *t);
} ph_tokenizer_model;

struct ph_tokenizer {
    ph_tokenizer_info info;
    const ph_tokenizer_model *model;
    ph_pretokenizer pre;
    ph_specials specials;
    char *names[2]; /* info's strings */
    char *bytes;    /* all pieces, one after another; piece i is [offset[i], offset[i + 1]) */
    size_t *offset;
    uint8_t *kinds;
    int32_t unk;
    void *state; /* the model's own */
};

/* Ordinary tokens come from words; the others are found as written or not at all. */
bool ph__token_ordinary(const ph_tokenizer *t, int32_t id);

#endif
