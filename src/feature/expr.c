/* expr.c — the feature language: sums of places and regions, expanded to features.
 *
 *   specs = expr { "," expr }     expr = [ "-" ] term { ( "+" | "-" ) term }
 *   term  = [ weight "*" ] spec   weight = a decimal number from 1e-8 to 1e8 of at most 15 digits
 *
 * Weights of so few digits are read, printed and read again without any rounding.
 */
#include "feature/spec.h"

#include "model/taps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TERMS_MAX = 4 * PH_FEATURES_MAX, DIGITS_MAX = 15 };

/* A term as it is written. */
struct part {
    double weight;
    ph_spec spec;
};

/* A sum: some parts, and how many features it stands for. */
struct expr {
    size_t first, n, count;
    int64_t pos;
};

struct parsed {
    struct part *parts;
    struct expr *exprs;
    size_t n_parts, n_exprs, cap_parts, cap_exprs;
};

struct ph_features {
    ph_feature *items;
    size_t count;
    ph_str texts; /* the canonical texts, each with its 0 */
    ph_term *terms;
    ph_tap *taps;
    ph_shelf shelf; /* what terms read from files */
};

/* ---- grammar ---- */

/* Digits up to `most`, leading zeros not counted, onto *value; *places is lowered by each where it
 * is not NULL. */
static bool digits(ph_reader *r, int64_t *value, int *n, int *places)
{
    if (!ph__is_digit(ph__read_peek(r))) return false;
    for (; ph__is_digit(ph__read_peek(r)); r->at++) {
        if (*n < 2 * DIGITS_MAX && (*value || ph__read_peek(r) != '0')) ++*n;
        if (*n <= DIGITS_MAX) *value = *value * 10 + (ph__read_peek(r) - '0');
        if (places && *places > -1000) --*places;
    }
    return true;
}

static double scaled(int64_t mantissa, int exponent)
{
    double power = 1; /* exact up to 1e22 */
    for (int i = 0; i < abs(exponent); i++) power *= 10;
    return exponent < 0 ? (double)mantissa / power : (double)mantissa * power;
}

/* weight = digits [ "." digits ] [ "e" [ "+" | "-" ] digits ] */
static ph_status weight(ph_reader *r, double *out)
{
    const int64_t start = r->at;
    int64_t mantissa = 0, exponent = 0;
    int n = 0, places = 0, length = 0;
    bool well = digits(r, &mantissa, &n, NULL), down = false;

    if (well && ph__read_peek(r) == '.') {
        r->at++;
        well = digits(r, &mantissa, &n, &places);
    }
    if (well && (ph__read_peek(r) == 'e' || ph__read_peek(r) == 'E')) {
        r->at++;
        down = ph__read_peek(r) == '-';
        if (down || ph__read_peek(r) == '+') r->at++;
        well = digits(r, &exponent, &length, NULL);
    }
    if (!well) return ph__read_expected(r, "a digit of the weight");
    if (n > DIGITS_MAX || length > 2)
        return ph__fail(r->err, PH_ESPEC, start, "a weight has at most %d digits, its power two",
                        DIGITS_MAX);
    places += (int)(down ? -exponent : exponent);
    *out = places < -22 || places > 22 ? 0 : scaled(mantissa, places);
    if (!(*out >= 1e-8 && *out <= 1e8))
        return ph__fail(r->err, PH_ERANGE, start, "a weight lies between 1e-8 and 1e8");
    ph__read_skip(r);
    return PH_OK;
}

static ph_status more_parts(struct parsed *p, ph_error *err)
{
    const size_t cap = p->cap_parts ? 2 * p->cap_parts : 4;
    if (p->n_parts < p->cap_parts) return PH_OK;
    PH_TRY(PH_GROW(&p->parts, p->cap_parts, cap, err));
    p->cap_parts = cap;
    return PH_OK;
}

/* term = [ weight "*" ] spec */
static ph_status term(ph_reader *r, struct parsed *p, double sign, ph_shelf *shelf)
{
    PH_TRY(more_parts(p, r->err));
    struct part *part = &p->parts[p->n_parts++];

    *part = (struct part){.weight = 1};
    if (ph__is_digit(ph__read_peek(r))) {
        PH_TRY(weight(r, &part->weight));
        if (!ph__read_take(r, '*')) return ph__read_expected(r, "'*' after the weight");
    }
    part->weight *= sign;
    return ph__spec_read(r, &part->spec, shelf);
}

static size_t count_of(const ph_spec *s)
{
    size_t n;
    return ph__mul(&n, (size_t)s->tokens.count, (size_t)s->components.count) ? n : SIZE_MAX;
}

/* Ranges of a sum go in step: all that expand have one length. */
static ph_status count_features(struct expr *e, const struct part *parts, ph_error *err)
{
    e->count = 1;
    for (size_t i = 0; i < e->n; i++) {
        const size_t n = count_of(&parts[i].spec);
        if (n == 1 || n == e->count) continue;
        if (e->count != 1)
            return ph__fail(err, PH_ESPEC, parts[i].spec.pos,
                            "ranges of a sum go in step: here are %zu, before %zu", n, e->count);
        e->count = n;
    }
    return PH_OK;
}

/* Blocks alone share no pass with other blocks. */
static ph_status check_alone(const struct expr *e, const struct part *parts, ph_error *err)
{
    const ph_tap first = parts[0].spec.tap;
    for (size_t i = 1; i < e->n; i++) {
        const ph_tap t = parts[i].spec.tap;
        if (t.only == first.only && (!t.only || t.block == first.block)) continue;
        return ph__fail(err, PH_ESPEC, parts[i].spec.pos,
                        "in one sum all places are of 'only' the same block, or none is");
    }
    return PH_OK;
}

/* expr = [ "-" ] term { ( "+" | "-" ) term } */
static ph_status expr(ph_reader *r, struct parsed *p, ph_shelf *shelf)
{
    struct expr *e = &p->exprs[p->n_exprs++];
    double sign = ph__read_take(r, '-') ? -1 : 1;

    *e = (struct expr){.first = p->n_parts, .pos = r->at};
    for (;;) {
        PH_TRY(term(r, p, sign, shelf));
        e->n++;
        if (ph__read_take(r, '+'))
            sign = 1;
        else if (ph__read_take(r, '-'))
            sign = -1;
        else
            break;
    }
    PH_TRY(check_alone(e, p->parts + e->first, r->err));
    return count_features(e, p->parts + e->first, r->err);
}

/* specs = expr { "," expr } */
static ph_status specs(ph_reader *r, struct parsed *p, ph_shelf *shelf)
{
    ph__read_skip(r);
    do {
        if (p->n_exprs == p->cap_exprs) {
            const size_t cap = p->cap_exprs ? 2 * p->cap_exprs : 4;
            PH_TRY(PH_GROW(&p->exprs, p->cap_exprs, cap, r->err));
            p->cap_exprs = cap;
        }
        PH_TRY(expr(r, p, shelf));
    } while (ph__read_take(r, ','));
    return ph__read_peek(r) ? ph__read_expected(r, "',' or the end after ']'") : PH_OK;
}

static void parsed_close(struct parsed *p)
{
    for (size_t i = 0; i < p->n_parts; i++) ph__spec_close(&p->parts[i].spec);
    ph__free(p->parts);
    ph__free(p->exprs);
}

/* ---- expansion ---- */

/* Components of one place with weight 1 and nothing else: no sum. */
static bool is_plain(const struct expr *e, const struct part *parts)
{
    return e->n == 1 && parts->weight == 1 && !parts->spec.file;
}

static ph_status count_all(const ph_reader *r, const struct parsed *p, size_t *features,
                           size_t *terms)
{
    bool fits = true;
    size_t total = 0, n = 0;
    int64_t pos = -1, pos_terms = -1;

    for (size_t i = 0; i < p->n_exprs; i++) {
        const struct expr *e = &p->exprs[i];
        size_t here = 0;
        fits = fits && e->count < SIZE_MAX && ph__add(&total, total, e->count);
        if (pos < 0 && (!fits || total > PH_FEATURES_MAX)) pos = e->pos;
        if (is_plain(e, p->parts + e->first)) continue;
        if (!ph__mul(&here, e->count, e->n) || !ph__add(&n, n, here)) n = SIZE_MAX / 2;
        if (pos_terms < 0 && n > TERMS_MAX) pos_terms = e->pos;
    }
    if (!fits)
        return ph__fail(r->err, PH_ERANGE, pos, "more than 2^64 features asked for, at most %d",
                        PH_FEATURES_MAX);
    if (pos >= 0)
        return ph__fail(r->err, PH_ERANGE, pos, "%zu features asked for, at most %d can be", total,
                        PH_FEATURES_MAX);
    if (pos_terms >= 0)
        return ph__fail(r->err, PH_ERANGE, pos_terms, "%zu terms asked for, at most %d can be", n,
                        TERMS_MAX);
    *features = total;
    *terms = n;
    return PH_OK;
}

static ph_range moved(ph_range r, int64_t by)
{
    return (ph_range){r.begin + by, r.end + by};
}

/* Ranges of a part's i-th feature: the components vary fastest. */
static void ranges_of(ph_range *tokens, ph_range *components, const ph_spec *s, size_t i)
{
    const size_t across = (size_t)s->components.count;
    if (count_of(s) == 1) i = 0;
    *tokens = s->tokens.range;
    *components = s->components.range;
    if (s->tokens.count > 1) *tokens = moved(*tokens, (int64_t)(i / across));
    if (across > 1) *components = moved(*components, (int64_t)(i % across));
}

/* "0.5*", nothing for 1. */
static ph_status print_weight(ph_str *out, double weight, ph_error *err)
{
    char text[32];
    if (weight == 1) return PH_OK;
    const int n = snprintf(text, sizeof text, "%.15g*", weight);
    for (int i = 0; i < n; i++) /* whatever the locale's point is */
        if (!strchr("0123456789e+-*", text[i])) text[i] = '.';
    return ph__str_add(out, text, (size_t)n, err);
}

static ph_status print(ph_str *out, const struct part *parts, size_t n, size_t i, ph_error *err)
{
    for (size_t k = 0; k < n; k++) {
        const double w = parts[k].weight;
        const char *sign = w < 0 ? " - " : " + ";
        ph_range tokens, components;
        if (k == 0) sign = w < 0 ? "-" : "";
        ranges_of(&tokens, &components, &parts[k].spec, i);
        PH_TRY(ph__str_add(out, sign, strlen(sign), err));
        PH_TRY(print_weight(out, w < 0 ? -w : w, err));
        PH_TRY(ph__spec_print(out, &parts[k].spec, tokens, components, err));
    }
    return ph__str_add(out, "", 1, err);
}

static int compare_taps(const void *a, const void *b)
{
    return ph__tap_order(*(const ph_tap *)a, *(const ph_tap *)b);
}

/* taps (n) = the different taps of the parts, sorted. Returns how many. */
static size_t list_taps(ph_tap *taps, const struct part *parts, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) taps[i] = parts[i].spec.tap;
    qsort(taps, n, sizeof *taps, compare_taps);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || ph__tap_order(taps[kept - 1], taps[i])) taps[kept++] = taps[i];
    return kept;
}

static int64_t column_of(const ph_feature *f, ph_tap tap, const ph_model_info *model)
{
    int64_t at = 0;
    for (const ph_tap *t = f->taps; ph__tap_order(*t, tap); t++)
        at += ph_place_width(model, t->place);
    return at;
}

static ph_status fill_term(ph_term *t, ph_features *features, const ph_feature *f,
                           const struct part *p, size_t i, const ph_reader *r)
{
    *t = (ph_term){.weight = p->weight, .tap = p->spec.tap, .direction = p->spec.direction};
    ranges_of(&t->tokens, &t->components, &p->spec, i);
    t->at = column_of(f, t->tap, r->model);
    if (!p->spec.sae) return PH_OK;
    const ph_status st =
        ph__shelf_latent(&t->latent, &features->shelf, p->spec.sae, t->components.begin, r->err);
    if (st != PH_OK) {
        if (r->err) r->err->pos = p->spec.pos;
        return st;
    }
    t->direction = ph__latent_direction(t->latent, &t->offset);
    t->components = (ph_range){0, ph_place_width(r->model, t->tap.place)};
    return PH_OK;
}

static bool same_range(ph_range a, ph_range b)
{
    return a.begin == b.begin && a.end == b.end;
}

/* The i-th feature of an expression; its text is still an offset. */
static ph_status fill(ph_feature *f, ph_features *features, ph_term **terms, const ph_tap *taps,
                      size_t n_taps, const struct expr *e, const struct part *parts, size_t i,
                      const ph_reader *r)
{
    PH_TRY(print(&features->texts, parts, e->n, i, r->err));
    if (is_plain(e, parts)) {
        f->tap = parts->spec.tap;
        ranges_of(&f->tokens, &f->components, &parts->spec, i);
        return PH_OK;
    }
    *f = (ph_feature){.tap = taps[n_taps - 1], .terms = *terms, .n_terms = e->n};
    f->taps = taps;
    f->n_taps = n_taps;
    for (size_t k = 0; k < e->n; k++) PH_TRY(fill_term((*terms)++, features, f, &parts[k], i, r));
    f->tokens = f->terms->tokens;
    for (size_t k = 1; k < e->n; k++)
        if (!same_range(f->terms[k].tokens, f->tokens)) f->tokens = (ph_range){0, PH_END};
    return PH_OK;
}

/* Texts are found by their order once all are printed. */
static void link_texts(ph_features *features)
{
    const char *text = features->texts.data;
    for (size_t i = 0; i < features->count; i++) {
        features->items[i].text = text;
        text += strlen(text) + 1;
    }
}

static ph_status expand(ph_features *out, const struct parsed *p, const ph_reader *r)
{
    ph_term *terms = out->terms;
    ph_tap *taps = out->taps;
    ph_feature *f = out->items;

    for (size_t k = 0; k < p->n_exprs; k++) {
        const struct expr *e = &p->exprs[k];
        const struct part *parts = p->parts + e->first;
        const size_t n_taps = list_taps(taps, parts, e->n);
        for (size_t i = 0; i < e->count; i++, f++)
            PH_TRY(fill(f, out, &terms, taps, n_taps, e, parts, i, r));
        taps += n_taps;
    }
    link_texts(out);
    return PH_OK;
}

/* ---- public ---- */

ph_status ph_features_parse(ph_features **out, const ph_model_info *model, const char *text,
                            ph_error *err)
{
    ph_status st = PH_OK;
    ph_reader r = {text, 0, model, err};
    struct parsed p = {0};
    size_t n_terms = 0;
    ph_features *features = NULL;

    if (!out || !model || !text)
        return ph__fail(err, PH_EINVAL, -1, "features need a model and a spec");
    PH_GO(PH_NEW(&features, 1, err));
    PH_GO(specs(&r, &p, &features->shelf));
    PH_GO(count_all(&r, &p, &features->count, &n_terms));
    PH_GO(PH_NEW(&features->items, features->count, err));
    PH_GO(PH_NEW(&features->terms, n_terms, err));
    PH_GO(PH_NEW(&features->taps, p.n_parts, err));
    PH_GO(expand(features, &p, &r));
    *out = features;
    features = NULL;
done:
    ph_features_close(&features);
    parsed_close(&p);
    return st;
}

ph_status ph_features_names(char **out, size_t *n, const char *text, ph_error *err)
{
    ph_status st = PH_OK;
    ph_reader r = {text, 0, NULL, err};
    struct parsed p = {0};
    ph_shelf nothing = {0};
    ph_str names = {0};
    size_t n_terms = 0;

    if (!out || !n || !text) return ph__fail(err, PH_EINVAL, -1, "names need a spec");
    PH_GO(specs(&r, &p, &nothing));
    PH_GO(count_all(&r, &p, n, &n_terms));
    for (size_t k = 0; k < p.n_exprs; k++)
        for (size_t i = 0; i < p.exprs[k].count; i++)
            PH_GO(print(&names, p.parts + p.exprs[k].first, p.exprs[k].n, i, err));
    *out = names.data;
    names.data = NULL;
done:
    ph__str_close(&names);
    parsed_close(&p);
    return st;
}

void ph_features_close(ph_features **features)
{
    if (!features || !*features) return;
    ph__shelf_close(&(*features)->shelf);
    ph__str_close(&(*features)->texts);
    ph__free((*features)->terms);
    ph__free((*features)->taps);
    ph__free((*features)->items);
    ph__free(*features);
    *features = NULL;
}

size_t ph_features_count(const ph_features *features)
{
    return features ? features->count : 0;
}

const ph_feature *ph_features_at(const ph_features *features, size_t i)
{
    return features && i < features->count ? &features->items[i] : NULL;
}

const char *ph_features_file(const ph_features *features, size_t i)
{
    return features && i < features->shelf.n_files ? features->shelf.files[i] : NULL;
}

/* An SAE says whether it was trained behind a BOS; where nobody asks for one or none, that counts. */
ph_status ph_features_run(ph_run_options *out, const ph_features *features,
                          const ph_run_options *options, ph_error *err)
{
    const ph_run_options defaults = PH_RUN_OPTIONS_INIT;
    const ph_feature *with = NULL, *without = NULL;

    *out = options ? *options : defaults;
    if (out->bos != PH_BOS_AUTO) return PH_OK;
    for (size_t i = 0; i < ph_features_count(features); i++)
        for (size_t k = 0; k < features->items[i].n_terms; k++) {
            const ph_latent *l = features->items[i].terms[k].latent;
            if (l) *(ph__latent_bos(l) ? &with : &without) = &features->items[i];
        }
    if (with && without)
        return ph__fail(err, PH_EINVAL, -1,
                        "%.80s was trained behind a BOS, %.80s was not: say which with bos on or "
                        "off",
                        with->text, without->text);
    if (without) out->bos = PH_BOS_OFF;
    return PH_OK;
}
