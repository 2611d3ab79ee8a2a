/* taken.c — what is taken from a line of the contract, to keep and search it by.
 *
 * Knows the names of fields, and no table. Called by put.c and check.c.
 */
#include "store/taken.h"

#include "base/file.h"
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ph_said said(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    if (!json_is_string(v)) return (ph_said){0};
    return (ph_said){json_string_value(v), json_string_length(v)};
}

static double figure(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static int64_t whole(const json_t *object, const char *name)
{
    return (int64_t)json_integer_value(json_object_get(object, name));
}

bool ph__taken_is_run(const ph_taken *t)
{
    return strcmp(t->type.data, "run") == 0;
}

/* ---- the key ---- */

/* What tells lines of one type apart within a run and a feature. */
static const struct kind {
    const char *type, *fields[3];
} kinds[] = {{"dream", {"sign", "rank", NULL}}, {"scan", {NULL}},       {"recover", {"target_ids"}},
             {"score", {"ids", NULL}},          {"attribute", {"ids"}}, {"sweep", {NULL}},
             {"unit", {"unit", NULL}}};

/* The fields as a list; of types not in the table everything but what varies from run to run. */
static json_t *distinction(const json_t *root, const char *type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].type, type) != 0) continue;
        json_t *list = json_array();
        for (const char *const *f = kinds[i].fields; *f; f++) {
            json_t *v = json_object_get(root, *f);
            json_array_append_new(list, v ? json_incref(v) : json_null());
        }
        return list;
    }
    json_t *all = json_copy((json_t *)(uintptr_t)root);
    json_object_del(all, "seconds");
    return all;
}

/* As it is written if that is short, else its sha256. */
static ph_status make_key(ph_taken *t, ph_error *err)
{
    char digest[65];
    json_t *value = distinction(t->root, t->type.data);
    ph_status st = ph__json_dump(&t->key, value, err);

    json_decref(value);
    if (st != PH_OK || strlen(t->key) <= 32) return st;
    PH_TRY(ph__sha256(digest, t->key, strlen(t->key), err));
    memcpy(t->key, digest, 32);
    t->key[32] = 0;
    return PH_OK;
}

/* ---- a run line ---- */

/* A model's key: its sha256, or how its weights were drawn. */
static ph_status model_key(ph_taken *t, const json_t *model, ph_error *err)
{
    const ph_said shape = said(model, "shape");
    if (!json_is_true(json_object_get(model, "untrained")))
        return ph__strndup(&t->model, t->sha256.data, t->sha256.n, err);
    return ph__printf(&t->model, err, "untrained:%s:%lld%s%s:%lld", t->sha256.data,
                      (long long)whole(model, "init_seed"), shape.data ? ":" : "",
                      shape.data ? shape.data : "", (long long)t->blocks);
}

static int plainness(const json_t *settings)
{
    const ph_said bos = said(settings, "bos");
    const bool alone = !said(settings, "prefix").n && !said(settings, "suffix").n;
    return 2 * alone + (!bos.data || strcmp(bos.data, "auto") == 0);
}

static ph_status take_run(ph_taken *t, ph_error *err)
{
    const json_t *model = json_object_get(t->root, "model");

    t->run = said(t->root, "id");
    t->sha256 = said(model, "sha256");
    if (!t->run.n) return ph__fail(err, PH_EFORMAT, -1, "a run line without \"id\"");
    if (!t->sha256.n) return ph__fail(err, PH_EFORMAT, -1, "a run line without a model's sha256");
    t->file = said(model, "file");
    t->name = said(model, "name");
    t->quant = said(model, "quant");
    t->family = said(model, "family");
    t->blocks = whole(model, "blocks");
    t->width = whole(model, "width");
    t->command = said(t->root, "command");
    t->plain = plainness(json_object_get(t->root, "settings"));
    return model_key(t, model, err);
}

/* ---- a result ---- */

/* A difference to as many digits as the figures have that it is made of. */
static double rounded(double v)
{
    char text[32];
    snprintf(text, sizeof text, "%.9g", v);
    return strtod(text, NULL);
}

/* activation, of a dream that of its text, and what it is compared with */
static void take_figures(ph_taken *t)
{
    const json_t *a = json_object_get(t->root, "activation");
    const json_t *best = json_object_get(t->root, "best_token");

    t->activation = json_is_object(a) ? figure(a, "text") : figure(t->root, "activation");
    t->z = figure(t->root, "z");
    t->gap = rounded(t->sign * (t->activation - figure(best, "activation")));
    t->mean = figure(t->root, "mean");
    t->sd = figure(t->root, "sd");
}

static int class_of(const json_t *root)
{
    return 4 * !json_is_true(json_object_get(root, "violates")) +
           2 * !json_is_false(json_object_get(root, "round_trip")) +
           !(figure(root, "norm_ratio") > 3);
}

static ph_status take_result(ph_taken *t, ph_error *err)
{
    const ph_said sign = said(t->root, "sign");

    t->run = said(t->root, "run");
    if (!t->run.n) return ph__fail(err, PH_EFORMAT, -1, "a %s line without \"run\"", t->type.data);
    t->feature = said(t->root, "feature");
    t->method = said(t->root, "method");
    t->text = said(t->root, "text");
    t->sign = sign.data && *sign.data == '-' ? -1 : 1;
    t->rank = whole(t->root, "rank");
    t->cls = class_of(t->root);
    take_figures(t);
    if (strcmp(t->type.data, "scan") == 0) {
        t->top = json_object_get(t->root, "top");
        t->bottom = json_object_get(t->root, "bottom");
    }
    return make_key(t, err);
}

static ph_status parse(json_t **out, const char *line, size_t bytes, ph_error *err)
{
    json_error_t e = {.text = ""};
    json_t *root = json_loadb(line, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);

    if (!root && json_error_code(&e) == json_error_out_of_memory)
        return ph__fail_memory(err, bytes);
    if (!root) return ph__fail(err, PH_EFORMAT, e.position, "not JSON: %.150s", e.text);
    *out = root;
    return PH_OK;
}

ph_status ph__taken(ph_taken *out, const char *line, size_t bytes, ph_error *err)
{
    const double none = (double)NAN;
    ph_status st;
    ph_taken t = {.mean = none, .sd = none, .activation = none, .z = none, .gap = none, .sign = 1};

    PH_TRY(parse(&t.root, line, bytes, err));
    t.type = said(t.root, "type");
    if (!t.type.n)
        st = ph__fail(err, PH_EFORMAT, -1, "no line of results: \"type\" is missing");
    else
        st = ph__taken_is_run(&t) ? take_run(&t, err) : take_result(&t, err);
    if (st == PH_OK)
        *out = t;
    else
        ph__taken_close(&t);
    return st;
}

void ph__taken_close(ph_taken *t)
{
    json_decref(t->root);
    ph__free(t->key);
    ph__free(t->model);
    *t = (ph_taken){0};
}
