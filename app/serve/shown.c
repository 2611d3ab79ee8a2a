/* shown.c — answers from the store: lists of rows, and the columns of a heat map. */
#include "serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 10000, USUAL_ROWS = 200, MOST_LINES = 500 };

/* ---- the query of a request ---- */

static const struct {
    const char *name;
    size_t at;
} texts[] = {
#define TEXT(field)                                                                                \
    {                                                                                              \
#field, offsetof(ph_store_query, field)                                                    \
    }
    TEXT(model),    TEXT(place), TEXT(feature), TEXT(token),  TEXT(text),
    TEXT(contains), TEXT(type),  TEXT(run),     TEXT(method), TEXT(sort)};

static const struct {
    const char *name;
    size_t at;
} numbers_of[] = {
#define NUMBER(field)                                                                              \
    {                                                                                              \
#field, offsetof(ph_store_query, field)                                                    \
    }
    NUMBER(block), NUMBER(first), NUMBER(last), NUMBER(limit), NUMBER(offset)};

static bool take_number(struct exchange *x, int64_t *out, const char *name)
{
    char *end;
    const char *s = target_get(&x->target, name);
    if (!s || !*s) return true;
    errno = 0;
    *out = strtoll(s, &end, 10);
    if (!*end && !errno && *out >= 0) return true;
    reply_error(x, 400, -1, "%s: expected a whole number, 0 or more", name);
    return false;
}

/* Fill in a query of a view from the request's fields; false: it was refused. */
static bool ask(struct exchange *x, ph_store_query *q, const char *view)
{
    const ph_store_query defaults = PH_STORE_QUERY_INIT;
    const char *ascending = target_get(&x->target, "ascending");

    *q = defaults;
    q->view = view;
    q->limit = USUAL_ROWS;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *value = target_get(&x->target, texts[i].name);
        if (value && *value) *(const char **)((char *)q + texts[i].at) = value;
    }
    for (size_t i = 0; i < sizeof numbers_of / sizeof *numbers_of; i++)
        if (!take_number(x, (int64_t *)((char *)q + numbers_of[i].at), numbers_of[i].name))
            return false;
    if (q->limit > MOST_ROWS) q->limit = MOST_ROWS;
    q->ascending = ascending && strcmp(ascending, "0") != 0 && strcmp(ascending, "false") != 0;
    return true;
}

/* A request without a field that it needs is refused. */
static bool need(struct exchange *x, const char *const *names)
{
    for (; *names; names++) {
        const char *value = target_get(&x->target, *names);
        if (value && *value) continue;
        reply_error(x, 400, -1, "%s is missing", *names);
        return false;
    }
    return true;
}

/* A query that the store refused: nothing is known of a model of the command line until something is kept
 * of it. true: then there are just no rows. Else the request is answered. */
static bool none_yet(struct exchange *x, const ph_store_query *q, const ph_error *err)
{
    ph_store_query m = PH_STORE_QUERY_INIT;
    json_t *known = NULL;

    m.view = "models";
    m.model = q->model;
    const bool unknown = err->code == PH_EINVAL && q->model &&
                         archive_list(serving_of(x)->archive, &known, &m, NULL) != PH_OK;
    json_decref(known);
    if (unknown && models_mine(serving_of(x)->models, q->model)) return true;
    if (unknown)
        reply_error(x, 404, -1, "%s", err->msg);
    else
        reply_failure(x, err);
    return false;
}

/* The rows of a query; NULL: the request is answered with an error. */
static json_t *rows_of(struct exchange *x, const ph_store_query *q)
{
    json_t *rows = NULL;
    ph_error err = {0};
    if (archive_list(serving_of(x)->archive, &rows, q, &err) == PH_OK) return rows;
    return none_yet(x, q, &err) ? json_array() : NULL;
}

/* {NAME:[rows]} */
static void reply_rows(struct exchange *x, const char *name, const ph_store_query *q)
{
    char *text = NULL;
    size_t bytes = 0;
    ph_error err = {0};
    FILE *out = open_memstream(&text, &bytes);

    if (!out) {
        reply_error(x, 503, -1, "out of memory");
        return;
    }
    fprintf(out, "{\"%s\":[", name);
    const ph_status st = archive_rows(serving_of(x)->archive, out, q, NULL, &err);
    fputs("]}", out);
    if (fclose(out) == 0 && st == PH_OK) {
        reply_text(x, text, bytes);
        return;
    }
    free(text);
    if (st == PH_OK)
        reply_error(x, 503, -1, "out of memory");
    else if (none_yet(x, q, &err))
        reply_json(x, json_pack("{s:[]}", name));
}

/* ---- lists ---- */

void show_models(struct exchange *x)
{
    json_t *list = NULL;
    ph_error err = {0};
    if (models_list(serving_of(x)->models, &list, &err) == PH_OK)
        reply_json(x, json_pack("{s:o}", "models", list));
    else
        reply_failure(x, &err);
}

void show_blocks(struct exchange *x)
{
    ph_store_query q;
    if (!need(x, (const char *[]){"model", NULL}) || !ask(x, &q, "blocks")) return;
    q.limit = MOST_ROWS;
    reply_rows(x, "blocks", &q);
}

void show_results(struct exchange *x)
{
    ph_store_query q;
    if (ask(x, &q, "results")) reply_rows(x, "rows", &q);
}

/* The tokens that rows are about, each once. */
static json_t *distinct_tokens(const json_t *rows)
{
    json_t *list = json_array(), *seen = json_object(), *row;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        json_t *id = json_object_get(row, "id"), *token = json_object_get(row, "token");
        char key[32];
        snprintf(key, sizeof key, "%lld", (long long)json_integer_value(id));
        if (!id || json_object_get(seen, key)) continue;
        json_object_set_new(seen, key, json_true());
        json_array_append_new(
            list, json_pack("{s:O, s:O}", "id", id, "token", token ? token : json_null()));
    }
    json_decref(seen);
    return list;
}

void show_tokens(struct exchange *x)
{
    ph_store_query q;
    json_t *rows;

    if (!need(x, (const char *[]){"model", "token", NULL}) || !ask(x, &q, "tokens")) return;
    if (!(rows = rows_of(x, &q))) return;
    reply_json(x, json_pack("{s:o, s:o}", "tokens", distinct_tokens(rows), "rows", rows));
}

/* ---- columns ---- */

static const char *const columns[] = {"component", "activation",       "z",       "gap",  "text",
                                      "token",     "token_activation", "token_z", "mean", "sd",
                                      "results",   "feature"};
enum { COLUMNS = sizeof columns / sizeof *columns };

/* Rows with the same members as one object of arrays. */
static json_t *as_columns(const json_t *rows)
{
    json_t *o = json_object(), *row;
    size_t i;
    for (size_t c = 0; c < COLUMNS; c++) json_object_set_new(o, columns[c], json_array());
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        for (size_t c = 0; c < COLUMNS; c++) {
            json_t *v = json_object_get(row, columns[c]);
            json_array_append(json_object_get(o, columns[c]), v ? v : json_null());
        }
    }
    return o;
}

/* The map of a tap; NULL: it was answered with an error. */
static json_t *map_of(struct exchange *x, const char *model)
{
    ph_store_query q;
    json_t *rows, *o;

    if (!ask(x, &q, "map")) return NULL;
    q.model = model;
    q.limit = -1;
    if (!q.place) q.place = "block";
    if (!(rows = rows_of(x, &q))) return NULL;
    o = as_columns(rows);
    json_decref(rows);
    return o;
}

/* Components of the residual stream, as far as it is known. */
static json_t *width_of(struct exchange *x, const char *model)
{
    ph_store_query q = PH_STORE_QUERY_INIT;
    json_t *rows = NULL;
    const char *place = target_get(&x->target, "place");

    if (place && (strstr(place, "neuron") || strcmp(place, "logits") == 0)) return json_null();
    json_t *width = models_width(serving_of(x)->models, model);
    if (width) return width;
    q.view = "models";
    q.model = model;
    if (archive_list(serving_of(x)->archive, &rows, &q, NULL) != PH_OK) return json_null();
    width = json_incref(json_object_get(json_array_get(rows, 0), "width"));
    json_decref(rows);
    return width ? width : json_null();
}

void show_map(struct exchange *x)
{
    const char *model = target_get(&x->target, "model");
    if (!need(x, (const char *[]){"model", NULL})) return;
    json_t *o = map_of(x, model);
    if (!o) return;
    json_object_set_new(o, "width", width_of(x, model));
    reply_json(x, o);
}

void show_compare(struct exchange *x)
{
    const char *a = target_get(&x->target, "a"), *b = target_get(&x->target, "b");
    if (!need(x, (const char *[]){"a", "b", NULL})) return;
    json_t *left = map_of(x, a), *right = left ? map_of(x, b) : NULL;
    if (!right) {
        json_decref(left);
        return;
    }
    reply_json(x, json_pack("{s:o, s:o, s:o}", "a", left, "b", right, "width", width_of(x, a)));
}

/* ---- a feature ---- */

/* The best lines of a type, behind those that are there. */
static bool add_lines(struct exchange *x, json_t *lines, ph_store_query q, const char *type,
                      int64_t limit)
{
    q.view = "lines";
    q.sort = "best";
    q.type = type;
    q.limit = limit;
    json_t *rows = rows_of(x, &q);
    if (rows) json_array_extend(lines, rows);
    json_decref(rows);
    return rows != NULL;
}

/* Lines by their type, in the order that they have. */
static json_t *by_type(const json_t *lines)
{
    json_t *results = json_array(), *others = json_array(), *scan = json_null(), *line;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)lines, i, line)
    {
        const char *type = json_string_value(json_object_get(line, "type"));
        if (type && strcmp(type, "scan") == 0)
            scan = line;
        else
            json_array_append(type && strcmp(type, "dream") == 0 ? results : others, line);
    }
    return json_pack("{s:o, s:O, s:o}", "results", results, "scan", scan, "others", others);
}

/* The run lines of some lines. */
static ph_status add_runs(struct exchange *x, json_t *o, const json_t *lines, ph_error *err)
{
    json_t *runs = json_array(), *seen = json_object(), *line, *found;
    ph_store_query q = PH_STORE_QUERY_INIT;
    ph_status st = PH_OK;
    size_t i;

    q.view = "runs";
    json_array_foreach((json_t *)(uintptr_t)lines, i, line)
    {
        q.run = json_string_value(json_object_get(line, "run"));
        if (!q.run || json_object_get(seen, q.run) || st != PH_OK) continue;
        json_object_set_new(seen, q.run, json_true());
        st = archive_list(serving_of(x)->archive, &found, &q, err);
        if (st == PH_OK) json_array_extend(runs, found);
        if (st == PH_OK) json_decref(found);
    }
    json_decref(seen);
    json_object_set_new(o, "runs", runs);
    return st;
}

void show_feature(struct exchange *x)
{
    ph_store_query q = PH_STORE_QUERY_INIT;
    json_t *lines = json_array(), *same = NULL, *o = NULL;
    ph_error err = {0};

    if (!need(x, (const char *[]){"model", "feature", NULL})) goto done;
    q.model = target_get(&x->target, "model");
    q.feature = target_get(&x->target, "feature");
    if (!add_lines(x, lines, q, "dream", MOST_LINES) || !add_lines(x, lines, q, "scan", 1) ||
        !add_lines(x, lines, q, "other", MOST_LINES))
        goto done;
    q.view = "same_text";
    q.limit = USUAL_ROWS;
    if (!(same = rows_of(x, &q))) goto done;
    o = by_type(lines);
    json_object_set_new(o, "feature", json_string(q.feature));
    json_object_set(o, "same_text", same);
    if (add_runs(x, o, lines, &err) == PH_OK)
        reply_json(x, json_incref(o));
    else
        reply_failure(x, &err);
done:
    json_decref(o);
    json_decref(lines);
    json_decref(same);
}
