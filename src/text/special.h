/* special.h — tokens that are found in the text as they are written, before it is cut into words. */
#ifndef PH_SPECIAL_H
#define PH_SPECIAL_H

#include "base/err.h"

#include <stdbool.h>

typedef struct ph_special {
    const char *text; /* borrowed from the tokenizer */
    size_t bytes;
    int32_t id;
    bool control; /* found only where special tokens are parsed */
} ph_special;

/* Sorted by text; those that begin with byte c are first[c] … first[c + 1] - 1. */
typedef struct ph_specials {
    ph_special *at;
    size_t n, first[257];
} ph_specials;

/* Put n of them, in any order, to use. */
void ph__specials_sort(ph_specials *s);
/* The longest one at p; of equal ones the first id. A control token must end within `control`
 * bytes, any other within `n`. NULL if there is none. */
const ph_special *ph__specials_find(const ph_specials *s, const char *p, size_t control, size_t n);

#endif
