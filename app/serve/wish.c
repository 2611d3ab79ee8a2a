/* wish.c — what a request asks a search for: a JSON object of options as those of the command line. */
#include "wish.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef const char *(*name_fn)(size_t i);

enum kind { WHOLE, SEED, REAL, YES, TEXT, NAME, START, LENGTHS, ETA, BOS, REDUCE, SIGN };

/* One option: its name, where it goes, and what it may be. */
struct wish {
    const char *name;
    enum kind kind;
    size_t at;
    double min, max;
    name_fn names;
};

#define AT(field)    offsetof(ph_dream_options, field)
#define RUN(field)   (AT(run) + offsetof(ph_run_options, field))
#define ALLOW(field) (AT(constraints) + offsetof(ph_constraints, field))

static const struct wish wishes[] = {
    {"bos", BOS, RUN(bos), 0, 0, NULL},
    {"prefix", TEXT, RUN(prefix), 0, 4096, NULL},
    {"suffix", TEXT, RUN(suffix), 0, 4096, NULL},
    {"reduce", REDUCE, RUN(reduce), 0, 0, NULL},
    {"sign", SIGN, RUN(sign), 0, 0, NULL},
    {"seed", SEED, RUN(seed), 0, 0, NULL},
    {"method", NAME, AT(method), 0, 0, ph_method_name},
    {"tokens", LENGTHS, AT(tokens), 1, 64, NULL},
    {"budget", WHOLE, AT(budget), 1, 1e8, NULL},
    {"time", REAL, AT(seconds), 0, 86400, NULL},
    {"top", WHOLE, AT(top), 1, 10, NULL},
    {"steps", WHOLE, AT(steps), 1, 10000, NULL},
    {"restarts", WHOLE, AT(restarts), 1, 64, NULL},
    {"eta", ETA, AT(eta_first), 0, 1e6, NULL},
    {"objective", NAME, AT(objective), 0, 0, ph_objective_name},
    {"target", REAL, AT(target), -1e6, 1e6, NULL},
    {"optimizer", NAME, AT(optimizer), 0, 0, ph_optimizer_name},
    {"start", START, AT(start), 0, 4096, ph_start_name},
    {"near_weight", REAL, AT(near_weight), 0, 1e6, NULL},
    {"fluent", YES, AT(fluent), 0, 0, NULL},
    {"lambda", REAL, AT(lambda), 0, 1e6, NULL},
    {"share", YES, AT(alone), 0, 0, NULL},
    {"top_k", WHOLE, AT(top_k), 1, 4096, NULL},
    {"width", WHOLE, AT(width), 1, 4096, NULL},
    {"ascii", YES, ALLOW(ascii), 0, 0, NULL},
    {"letters", YES, ALLOW(letters), 0, 0, NULL},
    {"contains", TEXT, ALLOW(contains), 0, 256, NULL},
};

/* ---- one value ---- */

static ph_status take_whole(int64_t *out, const struct wish *w, const json_t *v, ph_error *err)
{
    const json_int_t n = json_integer_value(v);
    if (!json_is_integer(v) || (double)n < w->min || (double)n > w->max)
        return fail_with(err, PH_EINVAL, "%s: expected a whole number from %.0f to %.0f", w->name,
                         w->min, w->max);
    *out = n;
    return PH_OK;
}

static ph_status take_real(double *out, const struct wish *w, const json_t *v, ph_error *err)
{
    const double x = json_number_value(v);
    if (!json_is_number(v) || !(x >= w->min && x <= w->max))
        return fail_with(err, PH_EINVAL, "%s: expected a number from %g to %g", w->name, w->min,
                         w->max);
    *out = x;
    return PH_OK;
}

static ph_status take_text(const char **out, const struct wish *w, const json_t *v, ph_error *err)
{
    const char *s = json_string_value(v);
    if (!s || strlen(s) != json_string_length(v) || json_string_length(v) > (size_t)w->max)
        return fail_with(err, PH_EINVAL,
                         "%s: expected a text of at most %.0f bytes, none of them 0", w->name,
                         w->max);
    *out = *s ? s : NULL;
    return PH_OK;
}

static bool is_name(const char *s, name_fn names)
{
    const char *name;
    for (size_t i = 0; s && (name = names(i)); i++)
        if (strcmp(s, name) == 0) return true;
    return false;
}

static ph_status take_name(const char **out, const struct wish *w, const json_t *v, ph_error *err)
{
    const char *s = json_string_value(v), *name;
    char list[160] = "";
    for (size_t i = 0, n = 0; (name = w->names(i)) && n < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", name);
    if (!is_name(s, w->names))
        return fail_with(err, PH_EINVAL, "%s: expected one of %s", w->name, list);
    *out = s;
    return PH_OK;
}

/* N, or "A:B" of two numbers. */
static ph_status take_lengths(ph_dream_options *o, const struct wish *w, const json_t *v,
                              ph_error *err)
{
    long long a = 0, b = 0;
    char rest;
    const char *s = json_string_value(v);
    if (!s) return take_whole(&o->tokens, w, v, err);
    const int n = strlen(s) < 16 ? sscanf(s, "%lld:%lld%c", &a, &b, &rest) : 0;
    if ((n != 2 && !(n == 1 && !strchr(s, ':'))) || a < 1 || a > 64 ||
        (n == 2 && (b < a || b > 64)))
        return fail_with(err, PH_EINVAL, "tokens: expected 1 to 64, or two of them as in \"3:8\"");
    o->tokens = a;
    o->tokens_to = n == 2 ? b : 0;
    return PH_OK;
}

/* [first, last]; units are the embedding's own. */
static ph_status take_eta(ph_dream_options *o, const struct wish *w, const json_t *v, ph_error *err)
{
    if (json_array_size(v) != 2) return fail_with(err, PH_EINVAL, "eta: expected [first, last]");
    ph_status st = take_real(&o->eta_first, w, json_array_get(v, 0), err);
    if (st == PH_OK) st = take_real(&o->eta_last, w, json_array_get(v, 1), err);
    if (st == PH_OK && o->eta_first == 0 && o->eta_last == 0)
        return fail_with(err, PH_EINVAL, "eta: no step");
    return st;
}

/* The place of a text in a list that ends with NULL. */
static ph_status choose_one(int *out, const struct wish *w, const json_t *v,
                            const char *const *list, const char *expected, ph_error *err)
{
    const char *s = json_string_value(v);
    for (*out = 0; s && list[*out]; ++*out)
        if (strcmp(s, list[*out]) == 0) return PH_OK;
    return fail_with(err, PH_EINVAL, "%s: expected %s", w->name, expected);
}

static ph_status take_context(ph_run_options *o, const struct wish *w, const json_t *v,
                              ph_error *err)
{
    static const char *const bos[] = {"auto", "on", "off", NULL};
    static const char *const reduce[] = {"default", "mean", "max", "last", NULL};
    static const char *const sign[] = {"-", "+", NULL};
    int which = 0;
    ph_status st;

    if (w->kind == BOS) {
        st = choose_one(&which, w, v, bos, "auto, on or off", err);
        o->bos = (ph_bos)which;
    } else if (w->kind == REDUCE) {
        st = choose_one(&which, w, v, reduce, "default, mean, max or last", err);
        o->reduce = (ph_reduce)which;
    } else {
        st = choose_one(&which, w, v, sign, "+ or -", err);
        o->sign = which ? 1 : -1;
    }
    return st;
}

static ph_status take(ph_dream_options *o, const struct wish *w, const json_t *v, ph_error *err)
{
    void *at = (char *)o + w->at;
    switch (w->kind) {
    case WHOLE: return take_whole(at, w, v, err);
    case REAL: return take_real(at, w, v, err);
    case TEXT: return take_text(at, w, v, err);
    case NAME: return take_name(at, w, v, err);
    case LENGTHS: return take_lengths(o, w, v, err);
    case ETA: return take_eta(o, w, v, err);
    case SEED:
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return fail_with(err, PH_EINVAL, "seed: expected a whole number, 0 or more");
        o->run.seed = (uint64_t)json_integer_value(v);
        return PH_OK;
    case YES:
        if (!json_is_boolean(v))
            return fail_with(err, PH_EINVAL, "%s: expected true or false", w->name);
        *(bool *)at = json_is_true(v) != (w->at == AT(alone));
        return PH_OK;
    case START:
        if (json_string_value(v) && strncmp(json_string_value(v), "text:", 5) == 0)
            return take_text(at, w, v, err);
        return take_name(at, w, v, err);
    default: return take_context(&o->run, w, v, err);
    }
}

/* ---- all of them ---- */

static const struct wish *find(const char *name, bool run_only)
{
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        if (strcmp(wishes[i].name, name) == 0 &&
            (!run_only || wishes[i].at < AT(run) + sizeof(ph_run_options)))
            return &wishes[i];
    return NULL;
}

static ph_status take_all(ph_dream_options *o, const json_t *options, bool run_only, ph_error *err)
{
    const char *name;
    json_t *v;

    if (!options || json_is_null(options)) return PH_OK;
    if (!json_is_object(options)) return fail_with(err, PH_EINVAL, "options: expected an object");
    json_object_foreach((json_t *)(uintptr_t)options, name, v)
    {
        const struct wish *w = find(name, run_only);
        if (!w) return fail_with(err, PH_EINVAL, "options: there is no \"%.40s\"", name);
        if (json_is_null(v)) continue;
        const ph_status st = take(o, w, v, err);
        if (st != PH_OK) return st;
    }
    return PH_OK;
}

ph_status wish_dream(ph_dream_options *o, const json_t *options, ph_error *err)
{
    const ph_status st = take_all(o, options, false, err);
    if (st == PH_OK) ph_dream_defaults(o);
    return st;
}

ph_status wish_run(ph_run_options *o, const json_t *options, ph_error *err)
{
    ph_dream_options all = PH_DREAM_OPTIONS_INIT;
    all.run = *o;
    const ph_status st = take_all(&all, options, true, err);
    if (st == PH_OK) *o = all.run;
    return st;
}

/* ---- the menu ---- */

static json_t *list_of(name_fn names)
{
    json_t *list = json_array();
    const char *name;
    for (size_t i = 0; (name = names(i)); i++) json_array_append_new(list, json_string(name));
    return list;
}

static json_t *methods(void)
{
    json_t *list = json_array();
    const char *name;
    for (size_t i = 0; (name = ph_method_name(i)); i++)
        json_array_append_new(
            list, json_pack("{s:s, s:b, s:b, s:b}", "name", name, "budget", ph_method_budget(name),
                            "steps", ph_method_steps(name), "fluent", ph_method_fluent(name)));
    return list;
}

json_t *wish_menu(void)
{
    json_t *limits = json_object();
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        const struct wish *w = &wishes[i];
        if (w->kind == REAL)
            json_object_set_new(limits, w->name, json_pack("[f, f]", w->min, w->max));
        if (w->kind == WHOLE || w->kind == LENGTHS)
            json_object_set_new(limits, w->name,
                                json_pack("[I, I]", (json_int_t)w->min, (json_int_t)w->max));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:i}", "methods", methods(), "objectives",
                     list_of(ph_objective_name), "optimizers", list_of(ph_optimizer_name), "starts",
                     list_of(ph_start_name), "limits", limits, "features", WISH_FEATURES);
}
