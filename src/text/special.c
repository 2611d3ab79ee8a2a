/* special.c — tokens that are found in the text as they are written. */
#include "text/special.h"

#include <stdlib.h>
#include <string.h>

static int by_text(const void *pa, const void *pb)
{
    const ph_special *a = pa, *b = pb;
    const int order = memcmp(a->text, b->text, a->bytes < b->bytes ? a->bytes : b->bytes);
    if (order != 0) return order;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

void ph__specials_sort(ph_specials *s)
{
    size_t i = 0;

    if (s->n) qsort(s->at, s->n, sizeof *s->at, by_text);
    for (size_t c = 0; c < 256; c++) {
        s->first[c] = i;
        while (i < s->n && (uint8_t)s->at[i].text[0] == c) i++;
    }
    s->first[256] = i;
}

/* First of [low, high) whose byte k is at least c; all of them are longer than k. */
static size_t narrow(const ph_specials *s, size_t low, size_t high, size_t k, unsigned c)
{
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((uint8_t)s->at[middle].text[k] < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const ph_special *ph__specials_find(const ph_specials *s, const char *p, size_t control, size_t n)
{
    const ph_special *best = NULL;
    size_t low = s->first[(uint8_t)p[0]], high = s->first[(uint8_t)p[0] + 1];

    /* [low, high) agree with p in the first k bytes */
    for (size_t k = 1; low < high; k++) {
        for (; low < high && s->at[low].bytes == k; low++) {
            const bool allowed = !s->at[low].control || k <= control;
            if (allowed && (!best || best->bytes < k)) best = &s->at[low];
        }
        if (k == n) break;
        const unsigned c = (uint8_t)p[k];
        low = narrow(s, low, high, k, c);
        high = narrow(s, low, high, k, c + 1);
    }
    return best;
}
