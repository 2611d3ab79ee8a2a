/* symbols.c — byte strings that get a number each, found again by a hash. */
#include "text/symbols.h"

#include "base/mem.h"

#include <string.h>

uint64_t ph__spread(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t hash_bytes(const char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)p[i]) * 0x100000001b3u;
    return ph__spread(h);
}

/* The slot that holds these bytes, or the empty one where they would go. */
static uint32_t *find_slot(const ph_symbols *s, const char *p, size_t n)
{
    const size_t mask = s->n_slots - 1;
    for (size_t i = hash_bytes(p, n) & mask;; i = (i + 1) & mask) {
        const uint32_t k = s->slots[i];
        if (k == PH_NO_SYMBOL) return &s->slots[i];
        if (s->at[k].size == n && memcmp(s->bytes + s->at[k].at, p, n) == 0) return &s->slots[i];
    }
}

static ph_status grow_slots(ph_symbols *s, size_t want, ph_error *err)
{
    size_t n = s->n_slots ? s->n_slots : 1024;
    uint32_t *slots = NULL;

    while (n < want)
        if (!ph__mul(&n, n, 2)) return ph__fail_memory(err, want);
    PH_TRY(PH_NEW(&slots, n, err));
    memset(slots, 0xff, n * sizeof *slots);
    ph__free(s->slots);
    s->slots = slots;
    s->n_slots = n;
    for (size_t i = 0; i < s->n; i++)
        *find_slot(s, s->bytes + s->at[i].at, s->at[i].size) = (uint32_t)i;
    return PH_OK;
}

ph_status ph__grow_to(void **p, size_t *cap, size_t want, size_t size, ph_error *err)
{
    size_t n = *cap ? *cap : 1024;
    if (want <= *cap) return PH_OK;
    while (n < want)
        if (!ph__mul(&n, n, 2)) return ph__fail_memory(err, want);
    PH_TRY(ph__grow(p, *cap, n, size, err));
    *cap = n;
    return PH_OK;
}

ph_status ph__symbols_add(uint32_t *out, ph_symbols *s, const char *p, size_t n, ph_error *err)
{
    if (s->n_slots < 2 * (s->n + 1)) PH_TRY(grow_slots(s, 2 * (s->n + 1), err));
    uint32_t *slot = find_slot(s, p, n);
    if (*slot == PH_NO_SYMBOL) {
        if (s->n >= INT32_MAX || n > INT32_MAX)
            return ph__fail(err, PH_EFORMAT, -1, "the vocabulary has too many or too long tokens");
        PH_TRY(ph__grow_to((void **)&s->at, &s->cap, s->n + 1, sizeof *s->at, err));
        PH_TRY(ph__grow_to((void **)&s->bytes, &s->cap_bytes, s->n_bytes + n, 1, err));
        memcpy(s->bytes + s->n_bytes, p, n);
        s->at[s->n] = (ph_symbol){s->n_bytes, (uint32_t)n, UINT32_MAX, -1};
        s->n_bytes += n;
        if (n > s->longest) s->longest = n;
        *slot = (uint32_t)s->n++;
    }
    *out = *slot;
    return PH_OK;
}

uint32_t ph__symbols_find(const ph_symbols *s, const char *p, size_t n)
{
    return n <= s->longest && s->n_slots ? *find_slot(s, p, n) : PH_NO_SYMBOL;
}

void ph__symbols_close(ph_symbols *s)
{
    ph__free(s->bytes);
    ph__free(s->at);
    ph__free(s->slots);
    *s = (ph_symbols){0};
}
