/* vocab.h — what a tokenizer is made from, whatever file it came in.
 *
 * Filled by who reads files (model/vocabulary.c for GGUF, json_tokenizer.c for tokenizer.json), so
 * that tokenizer.c knows neither. Everything but the steps is borrowed for the call only.
 */
#ifndef PH_VOCAB_H
#define PH_VOCAB_H

#include "base/err.h"

#include <stdbool.h>

struct ph_steps;

typedef struct ph_pair { /* of texts that are merged */
    const char *left, *right;
    size_t n_left, n_right;
} ph_pair;

/* How an added token is found in a text. */
typedef struct ph_added {
    bool left, right; /* takes the white space before it, or behind it, along */
    bool word;        /* only where no character of a word touches it */
    bool normalized;  /* looked for, in normalised form, in the normalised text */
} ph_added;

typedef struct ph_vocab {
    const char *model; /* "gpt2": byte-level BPE; "llama": SentencePiece; "BPE": tokenizer.json */
    const char *pre;   /* name of the pre-tokenizer; "" if the file has none */
    size_t n_tokens, n_merges;
    /* i-th token's text as stored in the file (byte-level alphabet for "gpt2"), not terminated */
    const char *(*token)(const void *source, size_t i, size_t *bytes);
    /* i-th merge; false: it is no pair */
    bool (*merge)(ph_pair *out, const void *source, size_t i);
    /* a ph_token_kind; normal where the file gives none */
    int (*kind)(const void *source, size_t i);
    /* whether words can become it; NULL: whether it is ordinary */
    bool (*in_words)(const void *source, size_t i);
    /* NULL: the file gives none */
    float (*score)(const void *source, size_t i);
    /* whether a user-defined token is found in the normalised text, as it is written; NULL: none is */
    bool (*late)(const void *source, size_t i);
    /* NULL: tokens are found as they are written */
    ph_added (*added)(const void *source, size_t i);
    const void *source;
    int64_t bos, eos, unk;           /* ids, -1 where the file gives none */
    int add_bos, add_eos, add_space; /* 0, 1, or -1 where the file gives none */
    bool squeeze; /* blanks at the ends go, and of several in a row all but one */

    /* of a tokenizer.json only: */
    struct ph_steps *normal, *split; /* taken over: emptied where the call succeeds */
    bool byte_level;                 /* tokens are written in the byte-level alphabet */
    bool whole_words;                /* a word that is a token is that token */
    bool byte_fallback;              /* <0xNN> for what is no token */
    bool fuse_unk;                   /* one unknown token for several unknown characters */
    bool strip;                      /* a decoded text loses one blank at its beginning */
} ph_vocab;

ph_status ph__tokenizer_new(struct ph_tokenizer **out, const ph_vocab *vocab, ph_error *err);

/* The tokenizer has this chat template, in place of any before. */
ph_status ph__tokenizer_set_chat(struct ph_tokenizer *t, const char *text, size_t n, ph_error *err);

/* Read "left right", the first blank behind the first byte being the border. */
bool ph__pair_read(ph_pair *out, const char *text, size_t n);

/* A tokenizer from the text of a tokenizer.json, and of the tokenizer_config.json beside it (NULL:
 * none), which names BOS and EOS and says whether they are added. Errors name what is not supported. */
ph_status ph__tokenizer_open_json(struct ph_tokenizer **out, const char *json, size_t bytes,
                                  const char *config, size_t config_bytes, ph_error *err);

/* A text of a file; data NULL: the file is not there. */
typedef struct ph_content {
    const char *data;
    size_t size;
} ph_content;

/* What stands beside an older vocabulary in its folder, as texts of JSON. */
typedef struct ph_beside {
    ph_content config;  /* tokenizer_config.json */
    ph_content special; /* special_tokens_map.json */
    ph_content added;   /* added_tokens.json */
    ph_content model;   /* config.json */
} ph_beside;

/* A tokenizer from a vocab.json and a merges.txt, of classes whose pre-tokenizer is known. */
ph_status ph__tokenizer_open_pair(struct ph_tokenizer **out, ph_content vocab, ph_content merges,
                                  const ph_beside *beside, ph_error *err);
/* A tokenizer from SentencePiece's tokenizer.model, if it is one of BPE. */
ph_status ph__tokenizer_open_spm(struct ph_tokenizer **out, ph_content model,
                                 const ph_beside *beside, ph_error *err);

/* Encode several stretches of text as one text: merges and pre-tokens cross their borders, but
 * special tokens are parsed only in stretches that say so. starts[i] (caller frees with ph__free)
 * is the byte of the joined text at which token i begins; starts[n] is the total length. They never
 * fall, but a blank that the tokenizer puts before a text has no bytes there. */
typedef struct ph_stretch {
    const char *text;
    size_t bytes;
    bool special;
} ph_stretch;
ph_status ph__tokenizer_encode_stretches(int32_t **ids, size_t **starts, size_t *n,
                                         const struct ph_tokenizer *t, const ph_stretch *stretches,
                                         size_t count, ph_error *err);

/* As ph_tokenizer_decode, behind the token `before` (-1: at the beginning): a blank that the
 * tokenizer itself puts before a text is left out only where it would put one. */
ph_status ph__tokenizer_decode_behind(char **text, size_t *bytes, const struct ph_tokenizer *t,
                                      int32_t before, const int32_t *ids, size_t n, ph_error *err);

#endif
