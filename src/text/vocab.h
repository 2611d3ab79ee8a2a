/* vocab.h — what a tokenizer is made from, whatever file it came in.
 *
 * Filled by the room that reads files (model/bind.c for GGUF, later tokenizer.json), so that text/
 * does not know weights/. Everything is borrowed for the call only.
 */
#ifndef PH_VOCAB_H
#define PH_VOCAB_H

#include "base/err.h"

typedef struct ph_vocab {
    const char *model; /* "gpt2": byte-level BPE; "llama": SentencePiece, … */
    const char *pre;   /* name of the pre-tokenizer; "" if the file has none */
    size_t n_tokens, n_merges;
    /* i-th token's text as stored in the file (byte-level alphabet for "gpt2"), not terminated */
    const char *(*token)(const void *source, size_t i, size_t *bytes);
    /* i-th merge: "left right" */
    const char *(*merge)(const void *source, size_t i, size_t *bytes);
    /* a ph_token_kind; normal where the file gives none */
    int (*kind)(const void *source, size_t i);
    const void *source;
    int64_t bos, eos, unk;           /* ids, -1 where the file gives none */
    int add_bos, add_eos, add_space; /* 0, 1, or -1 where the file gives none */
} ph_vocab;

ph_status ph__tokenizer_new(ph_tokenizer **out, const ph_vocab *vocab, ph_error *err);

/* Encode several stretches of text as one text: merges and pre-tokens cross their borders, but
 * special tokens are parsed only in stretches that say so. starts[i] (caller frees with ph__free)
 * is the byte of the joined text at which token i begins; starts[n] is the total length. */
typedef struct ph_stretch {
    const char *text;
    size_t bytes;
    bool special;
} ph_stretch;
ph_status ph__tokenizer_encode_stretches(int32_t **ids, size_t **starts, size_t *n,
                                         const ph_tokenizer *t, const ph_stretch *stretches,
                                         size_t count, ph_error *err);

#endif
