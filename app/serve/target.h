/* target.h — what a request asks for: its path and the fields of its query, decoded and checked.
 *
 * Knows nothing of HTTP but its targets; fuzzed by fuzz_route.c.
 */
#ifndef TARGET_H
#define TARGET_H

#include <stdbool.h>
#include <stddef.h>

enum { TARGET_BYTES = 8192, TARGET_FIELDS = 32 };

struct target_field {
    const char *name, *value;
};

/* All strings are UTF-8 without control characters, but that fields may have line breaks and tabs, and
 * borrowed from `text`. */
struct target {
    char *text; /* owned */
    const char *path;
    struct target_field fields[TARGET_FIELDS];
    size_t n;
};

/* Take "/path?name=value&…" apart, %XX and (in the query) + decoded. 0, or the HTTP status of what is
 * wrong with it, which *why says. Free it in any case. */
unsigned target_parse(struct target *t, const char **why, const char *raw);
void target_free(struct target *t);
/* The value of a field, the first of that name; NULL without one. */
const char *target_get(const struct target *t, const char *name);

/* Whether a path is of this form, where "*" stands for one part between slashes, whose bytes go to
 * part (n bytes with the 0; a longer one does not match), and a last "**" for any rest. */
bool target_match(const char *path, const char *form, char *part, size_t n);

#endif
