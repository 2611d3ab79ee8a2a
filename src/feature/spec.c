/* spec.c — the feature language: one place and its region, read and printed.
 *
 * Each function takes one rule of the grammar (docs/FEATURES.md), which stands above it, and checks
 * it against the model on the way, so that the first mistake from the left is the one reported.
 */
#include "feature/spec.h"

#include <stdio.h>
#include <string.h>

#define PLACES "block N, embed, final, logits or a hook name"

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

static const char *place_text(char out[PH_FEATURE_TEXT], const ph_tap *tap)
{
    *put_place(out, tap) = 0;
    return out;
}

/* ---- grammar ---- */

/* An index, or an end of a range or slice: s is NULL on the token axis, where -k may stand; on the
 * component axis a value of the place's width is allowed where `last` is 1, the end of a slice. */
static ph_status bound(ph_reader *r, int64_t *out, const ph_spec *s, int last)
{
    const int64_t start = r->at;
    const bool back = ph__read_take(r, '-');
    char text[PH_FEATURE_TEXT];

    if (back && s)
        return ph__fail(r->err, PH_ESPEC, start,
                        "features count from 0: only tokens count from the end");
    PH_TRY(ph__read_number(r, out,
                           back ? "a number after '-'"
                           : s  ? "the number of a feature"
                                : "the number of a token"));
    ph__read_skip(r);
    if (back && *out == 0)
        return ph__fail(r->err, PH_ESPEC, start, "there is no token -0: the last one is -1");
    if (back) *out = -*out;
    if (!s || *out - last < s->width) return PH_OK;
    if (s->latents)
        return ph__fail(r->err, PH_ERANGE, start, "latent %lld: this SAE has 0 to %lld",
                        (long long)*out, (long long)s->width - 1);
    if (last)
        return ph__fail(r->err, PH_ERANGE, start,
                        "end %lld: %s of this model has 0 to %lld, a slice ends at most at %lld",
                        (long long)*out, place_text(text, &s->tap), (long long)s->width - 1,
                        (long long)s->width);
    return ph__fail(r->err, PH_ERANGE, start, "feature %lld: %s of this model has 0 to %lld",
                    (long long)*out, place_text(text, &s->tap), (long long)s->width - 1);
}

/* slice = [a] ":" [b], from its ":" on */
static ph_status slice(ph_reader *r, ph_axis *out, const ph_spec *s, int64_t begin, int64_t start)
{
    int64_t end = s ? s->width : PH_END;

    ph__read_take(r, ':');
    if (ph__read_peek(r) == '-' || ph__is_digit(ph__read_peek(r))) PH_TRY(bound(r, &end, s, 1));
    /* Ends counted from different sides are compared when the number of tokens is known. */
    if (end == 0 || ((begin < 0) == (end < 0) && end <= begin))
        return ph__fail(r->err, PH_ESPEC, start, "the slice %lld:%lld is empty: %lld is excluded",
                        (long long)begin, (long long)end, (long long)end);
    *out = (ph_axis){{begin, end}, 1};
    return PH_OK;
}

/* range = a "-" b, from its "-" on */
static ph_status range(ph_reader *r, ph_axis *out, const ph_spec *s, int64_t begin, int64_t start)
{
    int64_t last = 0;

    if (begin < 0)
        return ph__fail(r->err, PH_ESPEC, start,
                        "the ends of a range count from the first token, found %lld",
                        (long long)begin);
    ph__read_take(r, '-');
    if (!ph__is_digit(ph__read_peek(r)))
        return ph__read_expected(r, "the last number of the range");
    PH_TRY(bound(r, &last, s, 0));
    if (last < begin)
        return ph__fail(r->err, PH_ESPEC, start, "the range %lld-%lld is empty: write %lld-%lld",
                        (long long)begin, (long long)last, (long long)last, (long long)begin);
    *out = (ph_axis){{begin, begin + 1}, last - begin + 1};
    return PH_OK;
}

/* The id of a token written in quotes. */
static ph_status token(ph_reader *r, int64_t *out)
{
    const int64_t start = r->at;
    const ph_tokenizer *t = r->model ? r->model->tokenizer : NULL;
    ph_status st = PH_OK;
    char *text = NULL;
    int32_t *ids = NULL;
    size_t n = 0;

    PH_GO(ph__read_quoted(r, &text));
    if (!r->model)
        PH_GO(ph__fail(r->err, PH_ESPEC, start, "without a model a token is written as its id"));
    if (!t || !ph_tokenizer_get_info(t)->encodes)
        PH_GO(ph__fail(r->err, PH_ESPEC, start,
                       "this model's vocabulary cannot be encoded: write "
                       "the token's id"));
    PH_GO(ph_tokenizer_encode(&ids, &n, t, text, strlen(text), PH_ENCODE_SPECIAL, r->err));
    if (n != 1)
        PH_GO(ph__fail(r->err, PH_ESPEC, start, "this text is %zu tokens: one is asked for", n));
    *out = ids[0];
done:
    ph_free(ids);
    ph__free(text);
    if (st != PH_OK && r->err) r->err->pos = start;
    return st;
}

/* axis = ":" | range | slice | index | quoted, the last for logits */
static ph_status axis(ph_reader *r, ph_axis *out, const ph_spec *s)
{
    const int64_t start = r->at;
    int64_t begin = 0;

    if (s && s->tap.place == PH_PLACE_LOGITS && ph__read_peek(r) == '"') {
        PH_TRY(token(r, &begin));
        *out = (ph_axis){{begin, begin + 1}, 1};
        return PH_OK;
    }
    if (ph__read_peek(r) != ':') {
        if (ph__read_peek(r) != '-' && !ph__is_digit(ph__read_peek(r)))
            return ph__read_expected(r, s ? "features: a number, a-b, a:b or ':'"
                                          : "tokens: a number, -k, a-b, a:b or ':'");
        PH_TRY(bound(r, &begin, s, 0));
    }
    if (ph__read_peek(r) == ':') return slice(r, out, s, begin, start);
    if (ph__read_peek(r) == '-') return range(r, out, s, begin, start);
    *out = (ph_axis){{begin, begin == -1 ? PH_END : begin + 1}, 1};
    return PH_OK;
}

/* region = "[" ":" "," axis "," axis "]"; of a direction the second axis may be missing, as it is
 * always ":" */
static ph_status region(ph_reader *r, ph_spec *s)
{
    char buffer[PH_FOUND_MAX];

    ph__read_take(r, '[');
    if (!ph__read_take(r, ':'))
        return ph__fail(r->err, PH_ESPEC, r->at, "the batch axis is always ':', found %s",
                        ph__read_found(buffer, r));
    if (!ph__read_take(r, ',')) return ph__read_expected(r, "',' after the batch axis");
    PH_TRY(axis(r, &s->tokens, NULL));
    if (s->file && !s->latents && ph__read_take(r, ']')) return PH_OK;
    if (!ph__read_take(r, ',')) return ph__read_expected(r, "',' after the tokens");
    const int64_t start = r->at;
    PH_TRY(axis(r, &s->components, s));
    const ph_range c = s->components.range;
    if (s->file && !s->latents &&
        (s->components.count > 1 || c.begin > 0 || (r->model && c.end < s->width)))
        return ph__fail(r->err, PH_ESPEC, start, "a direction takes all features of its place");
    if (s->latents && c.end - c.begin > 1)
        return ph__fail(r->err, PH_ESPEC, start, "an SAE's latents are taken one by one: a or a-b");
    if (!ph__read_take(r, ']')) return ph__read_expected(r, "']' after the features");
    return PH_OK;
}

/* The number of a block, which the language counts from `first`. */
static ph_status block_number(ph_reader *r, int64_t *out, int64_t first)
{
    const int64_t start = r->at, blocks = r->model ? r->model->blocks : PH_NUMBER_MAX;
    const char *word = first ? "block " : "blocks.";
    int64_t n = 0;

    PH_TRY(ph__read_number(
        r, &n, first ? "the number of a block" : "the number of a block after 'blocks.'"));
    if (blocks < 1) return ph__fail(r->err, PH_ERANGE, start, "this model has no blocks");
    if (!r->model && n < first)
        return ph__fail(r->err, PH_ERANGE, start, "block 0: blocks count from 1");
    if (n < first || n >= blocks + first)
        return ph__fail(r->err, PH_ERANGE, start, "%s%lld: this model has blocks %lld to %lld%s",
                        word, (long long)n, (long long)first, (long long)(blocks + first - 1),
                        first ? "" : " in these names");
    *out = n - first + 1;
    return PH_OK;
}

/* hook-name = "hook_embed" | "blocks." N "." name, N from 0, one word without blanks */
static ph_status hook(ph_reader *r, ph_tap *tap)
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
    int n = ph__read_word_length(s, true);

    if (ph__read_word_is(s, n, "hook_embed")) {
        tap->place = PH_PLACE_EMBED;
        r->at += n;
        return PH_OK;
    }
    if (strncmp(s, "blocks.", 7) != 0)
        return ph__read_expected(r, "hook_embed or blocks.N.NAME as the name of a hook");
    r->at += 7;
    PH_TRY(block_number(r, &tap->block, 0));
    if (ph__read_peek(r) != '.') return ph__read_expected(r, "'.' and the name of a hook");
    s = r->text + ++r->at;
    n = ph__read_word_length(s, true);
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) {
        if (!ph__read_word_is(s, n, hooks[i].name)) continue;
        r->at += n;
        tap->block -= hooks[i].before;
        tap->place = tap->block ? hooks[i].place : PH_PLACE_EMBED;
        return PH_OK;
    }
    return ph__read_expected(r, "hook_resid_post, hook_resid_pre, hook_attn_out, hook_mlp_out or "
                                "mlp.hook_post");
}

/* "block" N [ "attn" | "mlp" | "neuron" ], from its N on; bare: no region has to follow */
static ph_status block(ph_reader *r, ph_tap *tap, bool bare)
{
    PH_TRY(block_number(r, &tap->block, 1));
    ph__read_skip(r);
    tap->place = PH_PLACE_BLOCK;
    for (ph_place p = PH_PLACE_ATTN; p <= PH_PLACE_NEURON; p++) {
        if (!ph__read_take_word(r, place_words[p])) continue;
        tap->place = p;
        return PH_OK;
    }
    return bare || ph__read_peek(r) == '['
               ? PH_OK
               : ph__read_expected(r, "attn, mlp, neuron or '[' after the block");
}

/* place = "block" … | "embed" | "final" | "logits" | hook-name */
static ph_status place(ph_reader *r, ph_tap *tap, bool bare)
{
    const char *s = r->text + r->at;
    const int n = ph__read_word_length(s, false);

    if (s[n] == '.' || strncmp(s, "hook_", 5) == 0) return hook(r, tap);
    if (ph__read_take_word(r, "block")) return block(r, tap, bare);
    for (ph_place p = PH_PLACE_EMBED; p <= PH_PLACE_LOGITS; p++) {
        if (!ph__read_take_word(r, place_words[p])) continue;
        tap->place = p;
        return PH_OK;
    }
    return ph__read_expected(r, PLACES);
}

/* [ "only" ] place */
static ph_status tap(ph_reader *r, ph_spec *s, bool bare)
{
    char text[PH_FEATURE_TEXT];

    s->tap.only = ph__read_take_word(r, "only");
    const int64_t start = r->at;
    PH_TRY(place(r, &s->tap, bare));
    if (s->tap.only && s->tap.block == 0)
        return ph__fail(r->err, PH_ESPEC, start, "'only' is for a block: %s is not in one",
                        place_words[s->tap.place]);
    ph__read_skip(r);
    s->width = r->model ? ph_place_width(r->model, s->tap.place) : PH_END;
    if (s->width < 1)
        return ph__fail(r->err, PH_ERANGE, start, "%s: this model has no features there",
                        place_text(text, &s->tap));
    return PH_OK;
}

/* What went wrong with a file has no byte of the spec but where its name begins. */
static ph_status at_file(ph_reader *r, ph_status st, int64_t pos)
{
    if (st != PH_OK && r->err) r->err->pos = pos;
    return st;
}

/* "dir:" file [ "#" name ] "@" [ "only" ] place [ region ], from the file on */
static ph_status direction(ph_reader *r, ph_spec *s, ph_shelf *shelf)
{
    const int64_t start = r->at;

    PH_TRY(ph__read_file_name(r, &s->file));
    if (ph__read_take(r, '#')) PH_TRY(ph__read_file_name(r, &s->name));
    if (!ph__read_take(r, '@')) return ph__read_expected(r, "'@' and the place of the direction");
    PH_TRY(tap(r, s, true));
    s->tokens = (ph_axis){{0, PH_END}, 1};
    s->components = (ph_axis){{0, s->width}, 1};
    if (ph__read_peek(r) == '[') PH_TRY(region(r, s));
    if (!r->model) return PH_OK;
    return at_file(
        r, ph__shelf_direction(&s->direction, shelf, s->file, s->name, s->tap, s->width, r->err),
        start);
}

/* "sae:" file region, from the file on */
static ph_status latents(ph_reader *r, ph_spec *s, ph_shelf *shelf)
{
    const int64_t start = r->at;

    s->latents = true;
    s->width = PH_END;
    PH_TRY(ph__read_file_name(r, &s->file));
    if (r->model) {
        PH_TRY(at_file(r, ph__shelf_sae(&s->sae, shelf, s->file, r->model, r->err), start));
        s->tap = ph__sae_tap(s->sae);
        s->width = ph__sae_latents(s->sae);
    }
    if (ph__read_peek(r) != '[') return ph__read_expected(r, "'[' after the SAE");
    return region(r, s);
}

ph_status ph__spec_read(ph_reader *r, ph_spec *s, ph_shelf *shelf)
{
    const char *here = r->text + r->at;
    const bool dir = strncmp(here, "dir:", 4) == 0;

    *s = (ph_spec){.pos = r->at};
    if (dir || strncmp(here, "sae:", 4) == 0) {
        r->at += 4;
        ph__read_skip(r);
        return dir ? direction(r, s, shelf) : latents(r, s, shelf);
    }
    PH_TRY(tap(r, s, false));
    if (ph__read_peek(r) != '[') return ph__read_expected(r, "'[' after the place");
    return region(r, s);
}

void ph__spec_close(ph_spec *s)
{
    ph__free(s->file);
    ph__free(s->name);
    s->file = s->name = NULL;
}

ph_status ph__hook_read(ph_tap *out, const ph_model_info *model, const char *name, ph_error *err)
{
    ph_reader r = {name, 0, model, err};
    *out = (ph_tap){0};
    PH_TRY(hook(&r, out));
    return ph__read_peek(&r) ? ph__read_expected(&r, "the end of the name") : PH_OK;
}

/* ---- printing, with files ---- */

static ph_status print_name(ph_str *out, const char *name, ph_error *err)
{
    if (*name && strcspn(name, " \t\n\r@[#\"") == strlen(name))
        return ph__str_add(out, name, strlen(name), err);
    PH_TRY(ph__str_add(out, "\"", 1, err));
    for (; *name; name++) {
        if (*name == '"' || *name == '\\') PH_TRY(ph__str_add(out, "\\", 1, err));
        PH_TRY(ph__str_add(out, name, 1, err));
    }
    return ph__str_add(out, "\"", 1, err);
}

ph_status ph__spec_print(ph_str *out, const ph_spec *s, ph_range tokens, ph_range components,
                         ph_error *err)
{
    const ph_feature f = {.tap = s->tap, .tokens = tokens, .components = components};
    char text[PH_FEATURE_TEXT], *p = text;

    if (!s->file) return ph__str_add(out, text, ph__feature_print(text, &f, s->width), err);
    PH_TRY(ph__str_add(out, s->latents ? "sae:" : "dir:", 4, err));
    PH_TRY(print_name(out, s->file, err));
    if (s->name) {
        PH_TRY(ph__str_add(out, "#", 1, err));
        PH_TRY(print_name(out, s->name, err));
    }
    if (!s->latents) p = put_place(put(p, " @ "), &s->tap);
    p = put_range(put(p, " [:, "), tokens, PH_END);
    if (s->latents) p = put_number(put(p, ", "), components.begin);
    *p++ = ']';
    return ph__str_add(out, text, (size_t)(p - text), err);
}
