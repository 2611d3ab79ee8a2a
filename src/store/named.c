/* named.c — features by name, without a model. */
#include "store/named.h"

#include "base/buf.h"
#include "base/json.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 300000 };

/* A spec without its outer blanks, canonical in its blanks. */
static ph_status tidy(ph_str *out, const char *spec, size_t n, ph_error *err)
{
    int depth = 0;
    char last = ' ';
    for (size_t i = 0; i < n; i++) {
        const char c = isspace((unsigned char)spec[i]) ? ' ' : spec[i];
        if (c == ' ' && (depth || last == ' ' || i + 1 == n)) continue;
        if (c == '[' && !depth && last != ' ') PH_TRY(ph__str_add(out, " ", 1, err));
        PH_TRY(ph__str_add(out, &c, 1, err));
        last = c;
        if (c == ',' && depth) PH_TRY(ph__str_add(out, " ", 1, err));
        depth += (c == '[') - (c == ']');
    }
    while (out->size && out->data[out->size - 1] == ' ') out->data[--out->size] = 0;
    return PH_OK;
}

/* The first range "a-b" that fills an axis; NULL: there is none. */
static const char *find_range(const char *spec, long long *a, long long *b, const char **end)
{
    const char *p = strchr(spec, '[');
    for (; p && *p; p = strchr(p, ' ')) {
        char *dash, *stop;
        p++;
        if (!isdigit((unsigned char)*p)) continue;
        *a = strtoll(p, &dash, 10);
        if (*dash != '-' || !isdigit((unsigned char)dash[1])) continue;
        *b = strtoll(dash + 1, &stop, 10);
        if (*stop != ',' && *stop != ']') continue;
        *end = stop;
        return p;
    }
    return NULL;
}

static ph_status add_name(json_t *list, const char *spec, ph_error *err)
{
    if (json_array_size(list) >= MOST)
        return ph__fail(err, PH_EINVAL, -1, "more than %d features", MOST);
    if (json_array_append_new(list, json_string(spec)) == 0) return PH_OK;
    return ph__fail(err, PH_ETEXT, -1, "feature %.60s: not valid UTF-8", spec);
}

static ph_status expand(json_t *list, const char *spec, ph_error *err)
{
    ph_status st = PH_OK;
    long long a, b;
    const char *end, *range = find_range(spec, &a, &b, &end);

    if (!range) return add_name(list, spec, err);
    if (a > b)
        return ph__fail(err, PH_EINVAL, -1, "feature %.100s: %lld-%lld runs backwards", spec, a, b);
    if (b - a >= MOST) return ph__fail(err, PH_EINVAL, -1, "more than %d features", MOST);
    for (long long i = a; i <= b && st == PH_OK; i++) {
        char *one = NULL;
        st = ph__printf(&one, err, "%.*s%lld%s", (int)(range - spec), spec, i, end);
        if (st == PH_OK) st = expand(list, one, err);
        ph__free(one);
    }
    return st;
}

static ph_status add_spec(json_t *list, const char *spec, size_t n, ph_error *err)
{
    ph_str name = {0};
    ph_status st = tidy(&name, spec, n, err);
    if (st == PH_OK)
        st = name.size ? expand(list, name.data, err)
                       : ph__fail(err, PH_EINVAL, -1, "which feature? one is missing");
    ph__str_close(&name);
    return st;
}

ph_status ph__named(char **json, const char *specs, ph_error *err)
{
    ph_status st;
    json_t *list = json_array();
    int depth = 0;
    const char *from = specs, *p = specs;

    if (!list) return ph__fail_memory(err, 0);
    for (;; p++) {
        depth += (*p == '[') - (*p == ']');
        if (*p && (*p != ',' || depth > 0)) continue;
        PH_GO(add_spec(list, from, (size_t)(p - from), err));
        if (!*p) break;
        from = p + 1;
    }
    st = ph__json_dump(json, list, err);
done:
    json_decref(list);
    return st;
}
