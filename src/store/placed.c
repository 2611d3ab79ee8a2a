/* placed.c — where in a model a canonical form lies, read without a model.
 *
 * "[only ]block N[ attn| mlp| neuron] [:, tokens, components]", and the same of embed, final, logits.
 */
#include "store/placed.h"

#include <stdio.h>
#include <string.h>

/* Step over a word; false, and nothing happens, if it is not there. */
static bool word(const char **p, const char *w)
{
    const size_t n = strlen(w);
    if (strncmp(*p, w, n) != 0) return false;
    *p += n;
    return true;
}

/* Digits, at most 18 of them; -1: there are none, or more. */
static int64_t number(const char **p)
{
    int64_t v = 0;
    const size_t n = strspn(*p, "0123456789");
    if (n == 0 || n > 18) return -1;
    for (size_t i = 0; i < n; i++) v = 10 * v + (*(*p)++ - '0');
    return v;
}

/* "block N[ attn…]" or a place without a number. NULL: neither. */
static const char *read_place(const char **p, int64_t *block)
{
    static const char *const alone[] = {"embed", "final", "logits"};
    static const char *const parts[] = {" attn", " mlp", " neuron"};

    *block = 0;
    for (int i = 0; i < 3; i++)
        if (word(p, alone[i])) return alone[i];
    if (!word(p, "block ") || (*block = number(p)) < 0) return NULL;
    for (int i = 0; i < 3; i++)
        if (word(p, parts[i])) return parts[i] + 1;
    return "block";
}

/* "[:, tokens, components]" to the end of the text; *component of a single one, else -1. */
static bool read_region(const char *p, int64_t *component, bool *whole)
{
    if (!word(&p, " [:, ")) return false;
    *whole = strncmp(p, ":,", 2) == 0;
    p += strspn(p, "-:0123456789");
    if (!word(&p, ", ")) return false;
    const size_t n = strspn(p, ":0123456789");
    const bool joint = memchr(p, ':', n) != NULL;
    *component = -1;
    if (joint)
        p += n;
    else if ((*component = number(&p)) < 0)
        return false;
    return strcmp(p, "]") == 0;
}

ph_placed ph__placed(const char *feature)
{
    ph_placed at = {"other", 0, -1, false};
    const char *p = feature;
    int64_t block, component;
    bool whole;
    const bool only = word(&p, "only ");
    const char *place = read_place(&p, &block);

    if (!place || !read_region(p, &component, &whole)) return at;
    snprintf(at.place, sizeof at.place, "%s%s", only ? "only " : "", place);
    at.block = block;
    at.component = component;
    at.whole = whole;
    return at;
}
