/* symbols.h — byte strings that get a number each, found again by a hash. */
#ifndef PH_SYMBOLS_H
#define PH_SYMBOLS_H

#include "base/err.h"

#define PH_NO_SYMBOL UINT32_MAX

typedef struct ph_symbol {
    size_t at; /* in ph_symbols.bytes */
    uint32_t size;
    uint32_t rank; /* 0 is the best; what it means is up to the caller */
    int32_t id;    /* -1: no token */
} ph_symbol;

typedef struct ph_symbols {
    char *bytes;
    size_t n_bytes, cap_bytes;
    ph_symbol *at;
    size_t n, cap;
    uint32_t *slots; /* open addressing, by their bytes */
    size_t n_slots;  /* a power of two, at least twice n */
    size_t longest;  /* bytes */
} ph_symbols;

uint64_t ph__spread(uint64_t z);
/* *out = the symbol of these bytes, made (with id -1) if there is none. */
ph_status ph__symbols_add(uint32_t *out, ph_symbols *s, const char *p, size_t n, ph_error *err);
/* PH_NO_SYMBOL if there is none. */
uint32_t ph__symbols_find(const ph_symbols *s, const char *p, size_t n);
void ph__symbols_close(ph_symbols *s);

/* *p has room for `want` elements of `size` bytes. */
ph_status ph__grow_to(void **p, size_t *cap, size_t want, size_t size, ph_error *err);

#endif
