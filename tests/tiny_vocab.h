/* tiny_vocab.h — a small vocabulary in memory, for test_tokenizer.c and fuzz_tokenizer.c.
 *
 * Ids 0 … 255 are the bytes, then come the tokens below.
 */
#ifndef PH_TINY_VOCAB_H
#define PH_TINY_VOCAB_H

#include "text/vocab.h"

#include <string.h>

/* In the byte-level alphabet: U+0120 is a blank, U+010A a line feed. */
static const struct tiny_token {
    const char *text;
    int kind;
} tiny_tokens[] = {
    {"\u0120t", 1},      {"he", 1},           {"\u0120the", 1},     {"in", 1},
    {"aa", 1},           {"aaaa", 1},         {"aaaaaaaa", 1},      {"12", 1},
    {"\u00c3\u00a9", 1}, {"\u0120\u0120", 1}, {"\u010a\u010a", 1},  {"'s", 1},
    {"xyz", 1},          {"whole", 1},        {"<|endoftext|>", 3}, {"<|im|>", 3},
    {"<|im|>\n", 3},     {"[PAD]", 4},        {"[PAD]1", 4},        {"PAD]1", 4},
    {"<unk>", 2},        {"\xff\xfe", 3},     {"\u65e5", 1},        {"unused", 5},
};
enum {
    TINY_T = 256,
    TINY_HE,
    TINY_THE,
    TINY_IN,
    TINY_AA,
    TINY_AAAA,
    TINY_AAAAAAAA,
    TINY_12,
    TINY_E_ACUTE,
    TINY_BLANKS,
    TINY_LINES,
    TINY_S,
    TINY_XYZ,
    TINY_WHOLE,
    TINY_EOT,
    TINY_IM,
    TINY_IM_LINE,
    TINY_PAD,
    TINY_PAD1,
    TINY_AD1,
    TINY_UNK,
    TINY_NOT_UTF8,
    TINY_NOT_ALPHABET,
    TINY_UNUSED,
    TINY_COUNT
};

/* "x y" makes no token, but "xy z" does; "q nope" and those after it can never apply. */
static const char *const tiny_merges[] = {
    "\u0120 t",
    "h e",
    "\u0120t he",
    "i n",
    "a a",
    "aa aa",
    "aaaa aaaa",
    "1 2",
    "\u00c3 \u00a9",
    "\u0120 \u0120",
    "\u010a \u010a",
    "' s",
    "x y",
    "xy z",
    "q nope",
    "noblank",
    "",
    " ",
    "a ",
    "\u65e5 a",
    "h e",
};

typedef struct tiny {
    char bytes[256][2]; /* byte b in the alphabet */
    size_t sizes[256];
    int missing; /* this byte is no token; -1: all are */
    ph_vocab vocab;
} tiny;

static inline const char *tiny_token(const void *source, size_t i, size_t *n)
{
    const tiny *t = source;
    if (i < 256 && (int)i == t->missing) {
        *n = 6;
        return "absent";
    }
    *n = i < 256 ? t->sizes[i] : strlen(tiny_tokens[i - 256].text);
    return i < 256 ? t->bytes[i] : tiny_tokens[i - 256].text;
}

static inline bool tiny_merge(ph_pair *out, const void *source, size_t i)
{
    (void)source;
    return ph__pair_read(out, tiny_merges[i], strlen(tiny_merges[i]));
}

static inline int tiny_kind(const void *source, size_t i)
{
    (void)source;
    return i < 256 ? PH_TOKEN_NORMAL : tiny_tokens[i - 256].kind;
}

static inline void tiny_init(tiny *t, const char *pre)
{
    unsigned next = 0x100;

    for (unsigned b = 0; b < 256; b++) {
        const bool itself = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);
        const unsigned code = itself ? b : next++;
        t->sizes[b] = code < 0x80 ? 1 : 2;
        t->bytes[b][0] = (char)(code < 0x80 ? code : 0xc0 | code >> 6);
        t->bytes[b][1] = (char)(0x80 | (code & 0x3f));
    }
    t->missing = -1;
    t->vocab = (ph_vocab){.model = "gpt2",
                          .pre = pre,
                          .n_tokens = TINY_COUNT,
                          .n_merges = sizeof tiny_merges / sizeof *tiny_merges,
                          .token = tiny_token,
                          .merge = tiny_merge,
                          .kind = tiny_kind,
                          .source = t,
                          .bos = TINY_IM,
                          .eos = TINY_EOT,
                          .unk = -1,
                          .add_bos = -1,
                          .add_eos = -1,
                          .add_space = -1};
}

#endif
