/* spec.c — the feature language: parse, expand, print.
 *
 * Each function of the reader takes one rule of the grammar (docs/FEATURES.md), which stands above
 * it, and checks it against the model on the way, so that the first mistake from the left is the
 * one reported. Blanks after a token are skipped with it. Knows no text and no weights.
 */
#include "feature/spec.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* Numbers stop short of PH_END, so that the end of an index, n + 1, is a number and not PH_END. */
#define NUMBER_MAX (INT64_MAX - 2)
#define FOUND_MAX  48
#define PLACES     "block N, embed, final, logits or a hook name"

/* One axis. A range a-b is its first index and a count: the others follow, each one further. */
struct axis {
    ph_range range;
    int64_t count;
};

struct spec {
    ph_tap tap;
    int64_t width; /* of the place */
    struct axis tokens, components;
    int64_t pos; /* of its first byte */
};

struct reader {
    const char *text;
    int64_t at;
    const ph_model_info *model;
    ph_error *err;
};

struct ph_features {
    ph_feature *items;
    size_t count;
    char *texts; /* the canonical texts, each with its 0 */
};

static const char *const place_words[PH_PLACE_COUNT] = {
    [PH_PLACE_BLOCK] = "block",   [PH_PLACE_ATTN] = "attn",   [PH_PLACE_MLP] = "mlp",
    [PH_PLACE_NEURON] = "neuron", [PH_PLACE_EMBED] = "embed", [PH_PLACE_FINAL] = "final",
    [PH_PLACE_LOGITS] = "logits",
};

int64_t ph_place_width(const ph_model_info *model, ph_place place)
{
    switch (place) {
    case PH_PLACE_NEURON: return model->ffn;
    case PH_PLACE_LOGITS: return model->vocab;
    case PH_PLACE_BLOCK:
    case PH_PLACE_ATTN:
    case PH_PLACE_MLP:
    case PH_PLACE_EMBED:
    case PH_PLACE_FINAL: return model->width;
    default: return 0;
    }
}

/* ---- printing ---- */

static char *put(char *p, const char *s)
{
    const size_t n = strlen(s);
    memcpy(p, s, n);
    return p + n;
}

static char *put_number(char *p, int64_t value)
{
    char digits[20];
    int n = 0;

    if (value < 0) *p++ = '-';
    do {
        const int digit = (int)(value % 10);
        digits[n++] = (char)('0' + (digit < 0 ? -digit : digit));
    } while (value /= 10);
    while (n) *p++ = digits[--n];
    return p;
}

static char *put_place(char *p, const ph_tap *tap)
{
    if (tap->only) p = put(p, "only ");
    if (tap->block) p = put_number(put(p, "block "), tap->block);
    if (tap->block && tap->place != PH_PLACE_BLOCK) *p++ = ' ';
    return tap->place == PH_PLACE_BLOCK ? p : put(p, place_words[tap->place]);
}

/* end: of the whole axis */
static char *put_range(char *p, ph_range r, int64_t end)
{
    if (r.begin == 0 && r.end == end) return put(p, ":");
    p = put_number(p, r.begin);
    if (r.end == r.begin + 1 || (r.begin == -1 && r.end == PH_END)) return p;
    *p++ = ':';
    return r.end == PH_END ? p : put_number(p, r.end);
}

size_t ph__feature_print(char out[PH_FEATURE_TEXT], const ph_feature *f, int64_t width)
{
    char *p = put(put_place(out, &f->tap), " [:, ");
    p = put(put_range(p, f->tokens, PH_END), ", ");
    p = put(put_range(p, f->components, width), "]");
    *p = 0;
    return (size_t)(p - out);
}

/* ---- bytes ---- */

static char peek(const struct reader *r)
{
    return r->text[r->at];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void skip(struct reader *r)
{
    while (is_blank(peek(r))) r->at++;
}

static bool take(struct reader *r, char c)
{
    if (peek(r) != c) return false;
    r->at++;
    skip(r);
    return true;
}

static int word_length(const char *s, bool hook)
{
    int n = 0;
    while (n < INT32_MAX && (is_letter(s[n]) || (hook && (is_digit(s[n]) || s[n] == '.')))) n++;
    return n;
}

static bool word_is(const char *s, int n, const char *word)
{
    return strlen(word) == (size_t)n && memcmp(s, word, (size_t)n) == 0;
}

/* Take `word` if it is what stands here. */
static bool take_word(struct reader *r, const char *word)
{
    const char *s = r->text + r->at;
    const int n = word_length(s, false);
    if (!word_is(s, n, word)) return false;
    r->at += n;
    skip(r);
    return true;
}

/* ---- errors ---- */

static int clip(int n)
{
    return n < 32 ? n : 32;
}

/* What stands here, printable whatever the bytes are. */
static const char *found(char out[FOUND_MAX], const struct reader *r)
{
    const char *s = r->text + r->at;
    const unsigned char c = (unsigned char)*s;
    const int n = clip(word_length(s, true));

    if (c == 0)
        return "the end";
    else if (c < 0x20 || c == 0x7f)
        snprintf(out, FOUND_MAX, "control byte 0x%02x", c);
    else if (c >= 0x80)
        snprintf(out, FOUND_MAX, "byte 0x%02x, which is not ASCII", c);
    else
        snprintf(out, FOUND_MAX, "'%.*s'", n ? n : 1, s);
    return out;
}

static ph_status expected(const struct reader *r, const char *what)
{
    char buffer[FOUND_MAX];
    return ph__fail(r->err, PH_ESPEC, r->at, "expected %s, found %s", what, found(buffer, r));
}

static const char *place_text(char out[PH_FEATURE_TEXT], const ph_tap *tap)
{
    *put_place(out, tap) = 0;
    return out;
}

/* ---- grammar ---- */

/* N = digit { digit } */
static ph_status number(struct reader *r, int64_t *out, const char *what)
{
    const int64_t start = r->at;
    int64_t value = 0;
    bool fits = true;

    if (!is_digit(peek(r))) return expected(r, what);
    for (; is_digit(peek(r)); r->at++) {
        const int digit = peek(r) - '0';
        fits = fits && value <= (NUMBER_MAX - digit) / 10;
        value = fits ? value * 10 + digit : value;
    }
    if (!fits)
        return ph__fail(r->err, PH_ERANGE, start, "a number of %lld digits is too large",
                        (long long)(r->at - start));
    *out = value;
    return PH_OK;
}

/* An index, or an end of a range or slice: s is NULL on the token axis, where -k may stand; on the
 * component axis a value of the place's width is allowed where `last` is 1, the end of a slice. */
static ph_status bound(struct reader *r, int64_t *out, const struct spec *s, int last)
{
    const int64_t start = r->at;
    const bool back = take(r, '-');
    char text[PH_FEATURE_TEXT];

    if (back && s)
        return ph__fail(r->err, PH_ESPEC, start,
                        "features count from 0: only tokens count from the end");
    PH_TRY(number(r, out,
                  back ? "a number after '-'"
                  : s  ? "the number of a feature"
                       : "the number of a token"));
    skip(r);
    if (back && *out == 0)
        return ph__fail(r->err, PH_ESPEC, start, "there is no token -0: the last one is -1");
    if (back) *out = -*out;
    if (!s || *out < s->width + last) return PH_OK;
    if (last)
        return ph__fail(r->err, PH_ERANGE, start,
                        "end %lld: %s of this model has 0 to %lld, a slice ends at most at %lld",
                        (long long)*out, place_text(text, &s->tap), (long long)s->width - 1,
                        (long long)s->width);
    return ph__fail(r->err, PH_ERANGE, start, "feature %lld: %s of this model has 0 to %lld",
                    (long long)*out, place_text(text, &s->tap), (long long)s->width - 1);
}

/* slice = [a] ":" [b], from its ":" on */
static ph_status slice(struct reader *r, struct axis *out, const struct spec *s, int64_t begin,
                       int64_t start)
{
    int64_t end = s ? s->width : PH_END;

    take(r, ':');
    if (peek(r) == '-' || is_digit(peek(r))) PH_TRY(bound(r, &end, s, 1));
    /* Ends counted from different sides are compared when the number of tokens is known. */
    if (end == 0 || ((begin < 0) == (end < 0) && end <= begin))
        return ph__fail(r->err, PH_ESPEC, start, "the slice %lld:%lld is empty: %lld is excluded",
                        (long long)begin, (long long)end, (long long)end);
    *out = (struct axis){{begin, end}, 1};
    return PH_OK;
}

/* range = a "-" b, from its "-" on */
static ph_status range(struct reader *r, struct axis *out, const struct spec *s, int64_t begin,
                       int64_t start)
{
    int64_t last = 0;

    if (begin < 0)
        return ph__fail(r->err, PH_ESPEC, start,
                        "the ends of a range count from the first token, found %lld",
                        (long long)begin);
    take(r, '-');
    if (!is_digit(peek(r))) return expected(r, "the last number of the range");
    PH_TRY(bound(r, &last, s, 0));
    if (last < begin)
        return ph__fail(r->err, PH_ESPEC, start, "the range %lld-%lld is empty: write %lld-%lld",
                        (long long)begin, (long long)last, (long long)last, (long long)begin);
    *out = (struct axis){{begin, begin + 1}, last - begin + 1};
    return PH_OK;
}

/* axis = ":" | range | slice | index */
static ph_status axis(struct reader *r, struct axis *out, const struct spec *s)
{
    const int64_t start = r->at;
    int64_t begin = 0;

    if (peek(r) != ':') {
        if (peek(r) != '-' && !is_digit(peek(r)))
            return expected(r, s ? "features: a number, a-b, a:b or ':'"
                                 : "tokens: a number, -k, a-b, a:b or ':'");
        PH_TRY(bound(r, &begin, s, 0));
    }
    if (peek(r) == ':') return slice(r, out, s, begin, start);
    if (peek(r) == '-') return range(r, out, s, begin, start);
    *out = (struct axis){{begin, begin == -1 ? PH_END : begin + 1}, 1};
    return PH_OK;
}

/* region = "[" ":" "," axis "," axis "]" */
static ph_status region(struct reader *r, struct spec *s)
{
    char buffer[FOUND_MAX];

    take(r, '[');
    if (!take(r, ':'))
        return ph__fail(r->err, PH_ESPEC, r->at, "the batch axis is always ':', found %s",
                        found(buffer, r));
    if (!take(r, ',')) return expected(r, "',' after the batch axis");
    PH_TRY(axis(r, &s->tokens, NULL));
    if (!take(r, ',')) return expected(r, "',' after the tokens");
    PH_TRY(axis(r, &s->components, s));
    if (!take(r, ']')) return expected(r, "']' after the features");
    return PH_OK;
}

/* The number of a block, which the language counts from `first`. */
static ph_status block_number(struct reader *r, int64_t *out, int64_t first)
{
    const int64_t start = r->at, blocks = r->model->blocks;
    const char *word = first ? "block " : "blocks.";
    int64_t n = 0;

    PH_TRY(
        number(r, &n, first ? "the number of a block" : "the number of a block after 'blocks.'"));
    if (blocks < 1) return ph__fail(r->err, PH_ERANGE, start, "this model has no blocks");
    if (n < first || n >= blocks + first)
        return ph__fail(r->err, PH_ERANGE, start, "%s%lld: this model has blocks %lld to %lld%s",
                        word, (long long)n, (long long)first, (long long)(blocks + first - 1),
                        first ? "" : " in these names");
    *out = n - first + 1;
    return PH_OK;
}

/* hook-name = "hook_embed" | "blocks." N "." name, N from 0, one word without blanks */
static ph_status hook(struct reader *r, ph_tap *tap)
{
    static const struct {
        const char *name;
        ph_place place;
        int before; /* the stream before that block: after the one before */
    } hooks[] = {{"hook_resid_post", PH_PLACE_BLOCK, 0},
                 {"hook_resid_pre", PH_PLACE_BLOCK, 1},
                 {"hook_attn_out", PH_PLACE_ATTN, 0},
                 {"hook_mlp_out", PH_PLACE_MLP, 0},
                 {"mlp.hook_post", PH_PLACE_NEURON, 0}};
    const char *s = r->text + r->at;
    int n = word_length(s, true);

    if (word_is(s, n, "hook_embed")) {
        tap->place = PH_PLACE_EMBED;
        r->at += n;
        return PH_OK;
    }
    if (strncmp(s, "blocks.", 7) != 0)
        return expected(r, "hook_embed or blocks.N.NAME as the name of a hook");
    r->at += 7;
    PH_TRY(block_number(r, &tap->block, 0));
    if (peek(r) != '.') return expected(r, "'.' and the name of a hook");
    s = r->text + ++r->at;
    n = word_length(s, true);
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) {
        if (!word_is(s, n, hooks[i].name)) continue;
        r->at += n;
        tap->block -= hooks[i].before;
        tap->place = tap->block ? hooks[i].place : PH_PLACE_EMBED;
        return PH_OK;
    }
    return expected(r, "hook_resid_post, hook_resid_pre, hook_attn_out, hook_mlp_out or "
                       "mlp.hook_post");
}

/* "block" N [ "attn" | "mlp" | "neuron" ], from its N on */
static ph_status block(struct reader *r, ph_tap *tap)
{
    PH_TRY(block_number(r, &tap->block, 1));
    skip(r);
    tap->place = PH_PLACE_BLOCK;
    for (ph_place p = PH_PLACE_ATTN; p <= PH_PLACE_NEURON; p++) {
        if (!take_word(r, place_words[p])) continue;
        tap->place = p;
        return PH_OK;
    }
    return peek(r) == '[' ? PH_OK : expected(r, "attn, mlp, neuron or '[' after the block");
}

/* place = "block" … | "embed" | "final" | "logits" | hook-name */
static ph_status place(struct reader *r, ph_tap *tap)
{
    const char *s = r->text + r->at;
    const int n = word_length(s, false);

    if (s[n] == '.' || strncmp(s, "hook_", 5) == 0) return hook(r, tap);
    if (take_word(r, "block")) return block(r, tap);
    for (ph_place p = PH_PLACE_EMBED; p <= PH_PLACE_LOGITS; p++) {
        if (!take_word(r, place_words[p])) continue;
        tap->place = p;
        return PH_OK;
    }
    return expected(r, PLACES);
}

/* spec = [ "only" ] place region */
static ph_status spec(struct reader *r, struct spec *s)
{
    char text[PH_FEATURE_TEXT];

    *s = (struct spec){.pos = r->at};
    s->tap.only = take_word(r, "only");
    const int64_t start = r->at;
    PH_TRY(place(r, &s->tap));
    if (s->tap.only && s->tap.block == 0)
        return ph__fail(r->err, PH_ESPEC, start, "'only' is for a block: %s is not in one",
                        place_words[s->tap.place]);
    skip(r);
    s->width = ph_place_width(r->model, s->tap.place);
    if (s->width < 1)
        return ph__fail(r->err, PH_ERANGE, start, "%s: this model has no features there",
                        place_text(text, &s->tap));
    if (peek(r) != '[') return expected(r, "'[' after the place");
    return region(r, s);
}

/* specs = spec { "," spec } */
static ph_status specs(struct reader *r, struct spec **out, size_t *count)
{
    size_t cap = 0;

    skip(r);
    do {
        if (*count == cap) {
            PH_TRY(PH_GROW(out, cap, cap ? cap * 2 : 4, r->err));
            cap = cap ? cap * 2 : 4;
        }
        PH_TRY(spec(r, *out + *count));
        ++*count;
    } while (take(r, ','));
    return peek(r) ? expected(r, "',' or the end after ']'") : PH_OK;
}

/* ---- expansion ---- */

/* The feature of a spec at (t, c) of its ranges; where there is none t or c is 0. */
static ph_feature pick(const struct spec *s, int64_t t, int64_t c)
{
    ph_feature f = {s->tap, s->tokens.range, s->components.range, NULL};

    f.tokens = (ph_range){f.tokens.begin + t, f.tokens.end + t};
    f.components = (ph_range){f.components.begin + c, f.components.end + c};
    return f;
}

/* Features and bytes of text (at most) of all specs. */
static ph_status measure(const struct reader *r, const struct spec *s, size_t n, size_t *features,
                         size_t *bytes)
{
    size_t total = 0, size = 0;
    bool fits = true;
    int64_t pos = -1;

    for (; n; n--, s++) {
        const ph_feature longest = pick(s, s->tokens.count - 1, s->components.count - 1);
        char text[PH_FEATURE_TEXT];
        size_t count = 0;
        fits = fits && ph__mul(&count, (size_t)s->tokens.count, (size_t)s->components.count) &&
               ph__add(&total, total, count);
        if (pos < 0 && (!fits || total > PH_FEATURES_MAX)) pos = s->pos;
        if (pos < 0) size += count * (ph__feature_print(text, &longest, s->width) + 1);
    }
    if (!fits)
        return ph__fail(r->err, PH_ERANGE, pos, "more than 2^64 features asked for, at most %d",
                        PH_FEATURES_MAX);
    if (pos >= 0)
        return ph__fail(r->err, PH_ERANGE, pos, "%zu features asked for, at most %d can be", total,
                        PH_FEATURES_MAX);
    *features = total;
    *bytes = size;
    return PH_OK;
}

/* All features of the specs, into arrays of the measured sizes. */
static void expand(ph_features *out, const struct spec *s, size_t n)
{
    ph_feature *f = out->items;
    char *text = out->texts;

    for (; n; n--, s++)
        for (int64_t t = 0; t < s->tokens.count; t++)
            for (int64_t c = 0; c < s->components.count; c++, f++) {
                char copy[PH_FEATURE_TEXT];
                *f = pick(s, t, c);
                const size_t bytes = ph__feature_print(copy, f, s->width) + 1;
                f->text = memcpy(text, copy, bytes);
                text += bytes;
            }
}

ph_status ph_features_parse(ph_features **out, const ph_model_info *model, const char *text,
                            ph_error *err)
{
    ph_status st = PH_OK;
    struct reader r = {text, 0, model, err};
    struct spec *list = NULL;
    size_t n = 0, bytes = 0;
    ph_features *features = NULL;

    if (!out || !model || !text)
        return ph__fail(err, PH_EINVAL, -1, "features need a model and a spec");
    PH_GO(specs(&r, &list, &n));
    PH_GO(PH_NEW(&features, 1, err));
    PH_GO(measure(&r, list, n, &features->count, &bytes));
    PH_GO(PH_NEW(&features->items, features->count, err));
    PH_GO(PH_NEW(&features->texts, bytes, err));
    expand(features, list, n);
    *out = features;
    features = NULL;
done:
    ph_features_close(&features);
    ph__free(list);
    return st;
}

void ph_features_close(ph_features **features)
{
    if (!features || !*features) return;
    ph__free((*features)->texts);
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
