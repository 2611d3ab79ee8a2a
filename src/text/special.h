/* special.h — tokens that are found in the text as they are written, before it is cut into words. */
#ifndef PH_SPECIAL_H
#define PH_SPECIAL_H

#include "text/vocab.h"

typedef struct ph_special {
    char *text; /* owned */
    size_t bytes;
    int32_t id;
    bool control; /* found only where special tokens are parsed */
    ph_added how;
} ph_special;

/* Sorted by text; those that begin with byte c are first[c] … first[c + 1] - 1. */
typedef struct ph_specials {
    ph_special *at;
    size_t n, cap, first[257];
} ph_specials;

/* Add one, which is nothing where the text is empty. Its text is kept. */
ph_status ph__specials_add(ph_specials *s, const char *text, size_t bytes, int32_t id, bool control,
                           ph_added how, ph_error *err);
/* Put them to use. */
void ph__specials_sort(ph_specials *s);
void ph__specials_close(ph_specials *s);
/* The longest one at p; of equal ones the first id. A control token must end within `control`
 * bytes, any other within `n`. NULL if there is none. */
const ph_special *ph__specials_find(const ph_specials *s, const char *p, size_t control, size_t n);

/* A stretch of text [from, to): a special token, or plain text where id is -1. */
typedef struct ph_span {
    size_t from, to;
    int32_t id;
} ph_span;

typedef struct ph_spans {
    ph_span *at;
    size_t n, cap;
} ph_spans;

/* Cut n bytes at their special tokens, the leftmost first, there the longest. origin[i] (NULL: i) is
 * the byte of the stretches' joined text that byte i comes from: control tokens are found only
 * within a stretch that parses them. */
ph_status ph__specials_cut(ph_spans *out, const ph_specials *s, const char *text,
                           const uint32_t *origin, size_t n, const ph_stretch *stretches,
                           size_t count, ph_error *err);

#endif
