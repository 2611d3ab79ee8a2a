/* steps.h — what happens to a text before the tokenizer model sees it: a list of steps.
 *
 * The steps are those of Hugging Face's tokenizer.json: each looks at every piece by itself, as if
 * nothing stood around it, and rewrites it or cuts it into smaller ones.
 */
#ifndef PH_STEPS_H
#define PH_STEPS_H

#include "text/flow.h"
#include "text/pattern.h"

typedef enum ph_step_kind {
    PH_STEP_SPLIT,   /* cut at the matches of a pattern */
    PH_STEP_REPLACE, /* write `text` for each match */
    PH_STEP_PREPEND, /* write `text` before it */
    PH_STEP_BYTES,   /* write each byte in the byte-level alphabet */
    PH_STEP_FORM,    /* a Unicode normal form */
    PH_STEP_LOWER,   /* small letters */
    PH_STEP_STRIP,   /* without white space at the ends */
} ph_step_kind;

typedef enum ph_behavior { /* what becomes of a match, and of what is between matches */
                           PH_ISOLATED,             /* each is a piece */
                           PH_REMOVED,              /* only what is between matches stays */
                           PH_MERGED_WITH_PREVIOUS, /* a match belongs to what is before it */
                           PH_MERGED_WITH_NEXT,     /* or behind it */
                           PH_CONTIGUOUS            /* matches that touch are one piece */
} ph_behavior;

typedef struct ph_step {
    ph_step_kind kind;
    ph_pattern pattern;   /* SPLIT, REPLACE */
    ph_behavior behavior; /* SPLIT */
    bool invert;          /* SPLIT: what is between matches counts as the match */
    char *text;           /* REPLACE, PREPEND; owned */
    size_t bytes;
    bool missing;     /* PREPEND: only where it does not begin so */
    bool first;       /* PREPEND: only at the beginning of the whole text */
    bool compose;     /* FORM: NFC or NFKC */
    bool compat;      /* FORM: NFKD or NFKC */
    bool left, right; /* STRIP */
} ph_step;

typedef struct ph_steps {
    ph_step *at;
    size_t n, cap;
} ph_steps;

/* Add *step, which is closed on failure. */
ph_status ph__steps_add(ph_steps *s, ph_step *step, ph_error *err);
void ph__steps_close(ph_steps *s);
/* Cut at a regular expression (literal: a string). */
ph_status ph__steps_split(ph_steps *s, const char *pattern, size_t n, bool literal,
                          ph_behavior behavior, bool invert, ph_error *err);
/* As ph__steps_split with a replacement. */
ph_status ph__steps_replace(ph_steps *s, const char *pattern, size_t n, bool literal,
                            const char *text, size_t bytes, ph_error *err);
ph_status ph__steps_prepend(ph_steps *s, const char *text, size_t bytes, bool missing, bool first,
                            ph_error *err);
/* Byte-level words: optionally behind a blank, and by GPT-2's expression, then in the alphabet. */
ph_status ph__steps_bytes(ph_steps *s, bool blank, bool words, ph_error *err);

/* Hugging Face's Digits and Punctuation, characters as its libraries have them: the former knows
 * Unicode 17, the latter, but for ASCII, Unicode 8. */
#define PH_DIGIT "[\\p{N}\\x{11de0}-\\x{11de9}\\x{16ff4}-\\x{16ff6}]"
#define PH_NEWER_PUNCTUATION                                                                       \
    "\\x{61d}\\x{9fd}\\x{a76}\\x{c77}\\x{c84}\\x{1b4e}-\\x{1b4f}\\x{1b7d}-\\x{1b7f}"               \
    "\\x{2e43}-\\x{2e4f}\\x{2e52}-\\x{2e5d}\\x{10d6e}\\x{10ead}\\x{10f55}-\\x{10f59}"              \
    "\\x{10f86}-\\x{10f89}\\x{113d4}-\\x{113d5}\\x{113d7}-\\x{113d8}\\x{1144b}-\\x{1144f}"         \
    "\\x{1145a}-\\x{1145b}\\x{1145d}\\x{11660}-\\x{1166c}\\x{116b9}\\x{1183b}"                     \
    "\\x{11944}-\\x{11946}\\x{119e2}\\x{11a3f}-\\x{11a46}\\x{11a9a}-\\x{11a9c}"                    \
    "\\x{11a9e}-\\x{11aa2}\\x{11b00}-\\x{11b09}\\x{11be1}\\x{11c41}-\\x{11c45}"                    \
    "\\x{11c70}-\\x{11c71}\\x{11ef7}-\\x{11ef8}\\x{11f43}-\\x{11f4f}\\x{11fff}"                    \
    "\\x{12ff1}-\\x{12ff2}\\x{16d6d}-\\x{16d6f}\\x{16e97}-\\x{16e9a}\\x{16fe2}\\x{1e5ff}"          \
    "\\x{1e95e}-\\x{1e95f}"
#define PH_PUNCTUATION "(?![" PH_NEWER_PUNCTUATION "])[\\p{P}$+<=>^`|~\\x{166d}\\x{111c9}]"

/* Two flows to go to and fro between, for one thread. */
typedef struct ph_walk {
    ph_flow now, spare;
    ph_match match;
} ph_walk;

void ph__walk_close(ph_walk *w);
/* Run the steps on w->now. */
ph_status ph__steps_run(const ph_steps *s, ph_walk *w, ph_error *err);

/* normalize.c: write the bytes [p.from, p.to) of `in` behind `out` in another form. */
ph_status ph__write_form(ph_flow *out, const ph_step *s, const ph_flow *in, ph_piece p,
                         ph_error *err);
ph_status ph__write_lower(ph_flow *out, const ph_flow *in, ph_piece p, ph_error *err);
ph_status ph__write_stripped(ph_flow *out, const ph_step *s, const ph_flow *in, ph_piece p,
                             ph_error *err);

#endif
