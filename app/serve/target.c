/* target.c — what a request asks for: its path and the fields of its query, decoded and checked. */
#include "target.h"

#include <phosphene.h>
#include <stdlib.h>
#include <string.h>

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The byte of an escape whose two digits begin at s, -1 if they are none (or the text ends). */
static int escaped(const char *s)
{
    const int high = digit(s[0]), low = high < 0 ? -1 : digit(s[1]);
    return low < 0 ? -1 : 16 * high + low;
}

/* Whether n bytes are UTF-8 that a person could have meant: no control characters but, in a query,
 * those that texts have. */
static bool is_text(const char *s, size_t n, bool query)
{
    char *clean = NULL;
    for (size_t i = 0; i < n; i++) {
        const bool spacing = s[i] == '\n' || s[i] == '\t' || s[i] == '\r';
        if (((unsigned char)s[i] < 0x20 && !(spacing && query)) || s[i] == 0x7f) return false;
    }
    if (ph_utf8_clean(&clean, s, n, NULL) != PH_OK) return false;
    const bool same = strlen(clean) == n && memcmp(clean, s, n) == 0;
    ph_free(clean);
    return same;
}

/* Decode a 0-ended text in place. */
static bool decode(char *s, bool query)
{
    char *out = s;
    const char *const begin = s;
    for (; *s; s++) {
        const int byte = *s == '%' ? escaped(s + 1) : *s == '+' && query ? ' ' : *s;
        if (byte < 0) return false;
        if (*s == '%') s += 2;
        *out++ = (char)byte;
    }
    *out = 0;
    return is_text(begin, (size_t)(out - begin), query);
}

static bool take_fields(struct target *t, char *query)
{
    for (char *next; query && *query; query = next) {
        char *end = strchr(query, '&'), *equals;
        next = end ? end + 1 : NULL;
        if (end) *end = 0;
        if (!*query) continue;
        if (t->n == TARGET_FIELDS) return false;
        equals = strchr(query, '=');
        if (equals) *equals = 0;
        char *value = equals ? equals + 1 : query + strlen(query);
        if (!decode(query, true) || !decode(value, true)) return false;
        t->fields[t->n++] = (struct target_field){query, value};
    }
    return true;
}

static bool printable(const char *s)
{
    for (; *s; s++)
        if (*s <= 0x20 || *s >= 0x7f || *s == '#') return false;
    return true;
}

unsigned target_parse(struct target *t, const char **why, const char *raw)
{
    const size_t n = strnlen(raw, TARGET_BYTES + 1);
    char *query;

    *t = (struct target){0};
    *why = "the address is longer than 8192 bytes";
    if (n > TARGET_BYTES) return 414;
    *why = "out of memory";
    if (!(t->text = malloc(n + 1))) return 503;
    memcpy(t->text, raw, n + 1);
    *why = "the address is not a path with fields, percent-encoded UTF-8";
    if (*raw != '/' || !printable(raw)) return 400;
    query = strchr(t->text, '?');
    if (query) *query++ = 0;
    if (!decode(t->text, false) || !take_fields(t, query)) return 400;
    t->path = t->text;
    *why = NULL;
    return 0;
}

void target_free(struct target *t)
{
    free(t->text);
    *t = (struct target){0};
}

const char *target_get(const struct target *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->fields[i].name, name) == 0) return t->fields[i].value;
    return NULL;
}

bool target_match(const char *path, const char *form, char *part, size_t n)
{
    for (; *form; form++) {
        if (*form != '*') {
            if (*path++ != *form) return false;
            continue;
        }
        if (form[1] == '*') return true;
        const size_t length = strcspn(path, "/");
        if (length == 0 || length >= n) return false;
        memcpy(part, path, length);
        part[length] = 0;
        path += length;
    }
    return *path == 0;
}
