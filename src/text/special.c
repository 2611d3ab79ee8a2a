/* special.c — tokens that are found in the text as they are written. */
#include "text/special.h"

#include "base/mem.h"
#include "text/utf8.h"

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

ph_status ph__specials_add(ph_specials *s, const char *text, size_t bytes, int32_t id, bool control,
                           ph_added how, ph_error *err)
{
    char *copy = NULL;

    if (bytes == 0) return PH_OK;
    if (s->n == s->cap) {
        const size_t cap = s->cap ? 2 * s->cap : 64;
        PH_TRY(PH_GROW(&s->at, s->cap, cap, err));
        s->cap = cap;
    }
    PH_TRY(ph__strndup(&copy, text, bytes, err));
    s->at[s->n++] = (ph_special){copy, bytes, id, control, how};
    return PH_OK;
}

void ph__specials_close(ph_specials *s)
{
    for (size_t i = 0; i < s->n; i++) ph__free(s->at[i].text);
    ph__free(s->at);
    *s = (ph_specials){0};
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

/* ---- cutting a text at them ---- */

/* Add [from, to), nothing if it is empty. */
static ph_status add_span(ph_spans *s, size_t from, size_t to, int32_t id, ph_error *err)
{
    if (from == to) return PH_OK;
    if (s->n == s->cap) {
        size_t cap;
        if (!ph__mul(&cap, s->cap ? s->cap : 8, 2)) return ph__fail_memory(err, SIZE_MAX);
        PH_TRY(PH_GROW(&s->at, s->cap, cap, err));
        s->cap = cap;
    }
    s->at[s->n++] = (ph_span){from, to, id};
    return PH_OK;
}

/* The stretch that a walk over a text is in, and where it ends there. */
typedef struct place {
    const ph_stretch *stretch, *last;
    const uint32_t *origin;
    size_t n, end;       /* end: in the text that is walked */
    size_t end_of_given; /* in the joined text */
} place;

/* Go on to the stretch of byte `at`. */
static void move(place *p, size_t at)
{
    const size_t given = p->origin ? p->origin[at] : at;
    while (given >= p->end_of_given && p->stretch < p->last)
        p->end_of_given += (++p->stretch)->bytes;
    if (!p->origin)
        p->end = p->end_of_given < p->n ? p->end_of_given : p->n;
    else
        while (p->end < p->n && p->origin[p->end] < p->end_of_given) p->end++;
}

/* Whether nothing of a word touches text[from … to). */
static bool stands_alone(const char *text, size_t from, size_t to, size_t n)
{
    return !ph__utf8_word_before(text, from) && !ph__utf8_word(text + to, n - to);
}

ph_status ph__specials_cut(ph_spans *out, const ph_specials *s, const char *text,
                           const uint32_t *origin, size_t n, const ph_stretch *stretches,
                           size_t count, ph_error *err)
{
    place p = {stretches, stretches + count - 1, origin, n, 0, stretches->bytes};
    size_t plain = 0, found; /* plain: where text begins that no special token took */

    for (size_t at = 0; s->n && at < n;) {
        move(&p, at);
        const size_t control = p.stretch->special && p.end > at ? p.end - at : 0;
        const ph_special *token = ph__specials_find(s, text + at, control, n - at);
        if (!token) {
            at++;
            continue;
        }
        found = at;
        at += token->bytes;
        if (token->how.word && !stands_alone(text, found, at, n)) continue;
        if (token->how.left) found -= ph__utf8_spaces_before(text + plain, found - plain);
        if (token->how.right) at += ph__utf8_spaces(text + at, n - at);
        PH_TRY(add_span(out, plain, found, -1, err));
        PH_TRY(add_span(out, found, at, token->id, err));
        plain = at;
    }
    return add_span(out, plain, n, -1, err);
}
