/* arrays.c — lines of the store as NumPy arrays.
 *
 * A table says for each array which field of a line it takes; an array has one element a line, or one
 * row of a list, padded.
 */
#include "arrays.h"

#include "npz.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a path begins: in the line, in the place of its feature, in the line of its run. */
enum from { LINE, PLACE, RUN };

/* kind: s bytes of UTF-8, i a whole number (-1 where there is none), f a figure (NaN), b true or false,
 * I a list of whole numbers, F a list of figures, of the entries' field if there is one. */
static const struct array {
    const char *type, *name;
    enum from from;
    const char *path, *entry;
    char kind;
} arrays[] = {
    {"dream", "feature", LINE, "feature", NULL, 's'},
    {"dream", "place", PLACE, "place", NULL, 's'},
    {"dream", "block", PLACE, "block", NULL, 'i'},
    {"dream", "component", PLACE, "component", NULL, 'i'},
    {"dream", "run", LINE, "run", NULL, 's'},
    {"dream", "model", RUN, "model.sha256", NULL, 's'},
    {"dream", "method", LINE, "method", NULL, 's'},
    {"dream", "sign", LINE, "sign", NULL, 's'},
    {"dream", "rank", LINE, "rank", NULL, 'i'},
    {"dream", "seed", LINE, "seed", NULL, 'i'},
    {"dream", "text", LINE, "text", NULL, 's'},
    {"dream", "ids", LINE, "ids", NULL, 'I'},
    {"dream", "values", LINE, "values", NULL, 'F'},
    {"dream", "activation", LINE, "activation.text", NULL, 'f'},
    {"dream", "activation_ids", LINE, "activation.ids", NULL, 'f'},
    {"dream", "activation_soft", LINE, "activation.soft", NULL, 'f'},
    {"dream", "z", LINE, "z", NULL, 'f'},
    {"dream", "norm_ratio", LINE, "norm_ratio", NULL, 'f'},
    {"dream", "round_trip", LINE, "round_trip", NULL, 'b'},
    {"dream", "best_token_id", LINE, "best_token.id", NULL, 'i'},
    {"dream", "best_token", LINE, "best_token.activation", NULL, 'f'},
    {"scan", "feature", LINE, "feature", NULL, 's'},
    {"scan", "place", PLACE, "place", NULL, 's'},
    {"scan", "block", PLACE, "block", NULL, 'i'},
    {"scan", "component", PLACE, "component", NULL, 'i'},
    {"scan", "run", LINE, "run", NULL, 's'},
    {"scan", "model", RUN, "model.sha256", NULL, 's'},
    {"scan", "top_id", LINE, "top", "id", 'I'},
    {"scan", "top", LINE, "top", "activation", 'F'},
    {"scan", "bottom_id", LINE, "bottom", "id", 'I'},
    {"scan", "bottom", LINE, "bottom", "activation", 'F'},
    {"scan", "mean", LINE, "mean", NULL, 'f'},
    {"scan", "sd", LINE, "sd", NULL, 'f'},
    {"scan", "n", LINE, "n", NULL, 'i'},
};

struct source {
    const json_t *lines, *places, *runs;
};

/* "a" or "a.b" */
static const json_t *at_path(const json_t *object, const char *path)
{
    char outer[24];
    const char *dot = strchr(path, '.');
    if (!dot) return json_object_get(object, path);
    snprintf(outer, sizeof outer, "%.*s", (int)(dot - path), path);
    return json_object_get(json_object_get(object, outer), dot + 1);
}

static const json_t *value_of(const struct array *a, const struct source *s, const json_t *line)
{
    const char *feature = json_string_value(json_object_get(line, "feature"));
    const char *run = json_string_value(json_object_get(line, "run"));
    if (a->from == LINE) return at_path(line, a->path);
    if (a->from == PLACE)
        return feature ? at_path(json_object_get(s->places, feature), a->path) : NULL;
    return run ? at_path(json_object_get(s->runs, run), a->path) : NULL;
}

static bool is_of(const struct array *a, const json_t *line)
{
    const char *type = json_string_value(json_object_get(line, "type"));
    return type && strcmp(type, a->type) == 0;
}

static double figure(const json_t *v)
{
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static int64_t whole(const json_t *v)
{
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : -1;
}

/* The elements that one line needs. */
static size_t length_of(const struct array *a, const json_t *v)
{
    if (a->kind == 's') return json_string_length(v);
    return strchr("IF", a->kind) ? json_array_size(v) : 1;
}

static size_t element_size(char kind)
{
    return strchr("sb", kind) ? 1 : 8;
}

static void write_value(const struct array *a, const json_t *v, size_t room, void *out)
{
    size_t i;
    switch (a->kind) {
    case 's':
        memcpy(out, json_string_value(v) ? json_string_value(v) : "", json_string_length(v));
        break;
    case 'b': *(char *)out = json_is_true(v); break;
    case 'i': *(int64_t *)out = whole(v); break;
    case 'f': *(double *)out = figure(v); break;
    default:
        for (i = 0; i < room; i++) {
            const json_t *entry = json_array_get(v, i);
            if (a->entry) entry = json_object_get(entry, a->entry);
            if (a->kind == 'I')
                ((int64_t *)out)[i] = whole(entry);
            else
                ((double *)out)[i] = figure(entry);
        }
    }
}

static bool add_array(struct npz *z, const struct array *a, const struct source *s)
{
    size_t n = 0, room = 1, i;
    const json_t *line;
    char name[48], type[24];

    json_array_foreach(s->lines, i, line)
    {
        if (!is_of(a, line)) continue;
        const size_t length = length_of(a, value_of(a, s, line));
        if (length > room) room = length;
        n++;
    }
    const size_t each = room * element_size(a->kind);
    char *all = calloc(n ? n : 1, each), *out = all;
    if (!all) return false;
    json_array_foreach(s->lines, i, line)
    {
        if (!is_of(a, line)) continue;
        write_value(a, value_of(a, s, line), room, out);
        out += each;
    }
    const int64_t shape[] = {(int64_t)n, (int64_t)room};
    const char kind = a->kind;
    snprintf(name, sizeof name, "%s_%s", a->type, a->name);
    if (kind == 's')
        snprintf(type, sizeof type, "|S%zu", room);
    else
        snprintf(type, sizeof type, "%s", kind == 'b' ? "|b1" : strchr("iI", kind) ? "<i8" : "<f8");
    const bool ok = npz_add(z, name, type, kind == 's' ? room : element_size(kind), shape,
                            strchr("IF", kind) ? 2 : 1, all);
    free(all);
    return ok;
}

char *arrays_write(const json_t *lines, const json_t *places, const json_t *runs)
{
    const struct source s = {lines, places, runs};
    struct npz *z = npz_new();
    bool ok = z != NULL;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        ok = ok && add_array(z, &arrays[i], &s);
    char *problem = ok ? npz_write(z) : strdup("out of memory");
    npz_free(z);
    return problem;
}
