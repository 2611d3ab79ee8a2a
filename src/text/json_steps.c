/* json_steps.c — the parts of a tokenizer.json that say what happens around its model. */
#include "text/json_steps.h"

#include <string.h>

#define BLANK "▁" /* Metaspace's and SentencePiece's */

/* ---- members ---- */

ph_status ph__json_text(const char **out, size_t *n, const json_t *o, const char *of,
                        const char *key, ph_error *err)
{
    const json_t *v = json_object_get(o, key);
    *out = "";
    *n = 0;
    if (!v || json_is_null(v)) return PH_OK;
    if (!json_is_string(v))
        return ph__fail(err, PH_EFORMAT, -1, "%s: \"%s\" is no string", of, key);
    *out = json_string_value(v);
    *n = json_string_length(v);
    return PH_OK;
}

ph_status ph__json_flag(bool *out, const json_t *o, const char *of, const char *key, bool otherwise,
                        ph_error *err)
{
    const json_t *v = json_object_get(o, key);
    *out = otherwise;
    if (!v || json_is_null(v)) return PH_OK;
    if (!json_is_boolean(v))
        return ph__fail(err, PH_EFORMAT, -1, "%s: \"%s\" is neither true nor false", of, key);
    *out = json_is_true(v);
    return PH_OK;
}

/* {"String": …} or {"Regex": …} */
static ph_status read_pattern(const char **out, size_t *n, bool *literal, const json_t *o,
                              const char *of, ph_error *err)
{
    const json_t *v = json_object_get(o, "pattern");
    const json_t *text = json_object_get(v, "String");

    *literal = text != NULL;
    if (!text) text = json_object_get(v, "Regex");
    if (!json_is_string(text))
        return ph__fail(err, PH_EFORMAT, -1, "%s: \"pattern\" is neither a String nor a Regex", of);
    *out = json_string_value(text);
    *n = json_string_length(text);
    return PH_OK;
}

/* ---- kinds of parts ---- */

typedef struct part {
    const char *what; /* "normalizer", … */
    ph_steps *out;
    bool byte_level, strip;
    int64_t bos, eos;
} part;

typedef struct row {
    const char *type;
    ph_status (*read)(part *p, const json_t *o, ph_error *err);
} row;

static ph_status read_part(part *p, const row *rows, size_t n, const json_t *o, ph_error *err);

/* Each of an array by itself. */
static ph_status read_parts(part *p, const row *rows, size_t n, const json_t *o, const char *key,
                            ph_error *err)
{
    const json_t *list = json_object_get(o, key);
    if (!json_is_array(list))
        return ph__fail(err, PH_EFORMAT, -1, "%s \"Sequence\": \"%s\" is no array", p->what, key);
    for (size_t i = 0; i < json_array_size(list); i++)
        PH_TRY(read_part(p, rows, n, json_array_get(list, i), err));
    return PH_OK;
}

static ph_status read_part(part *p, const row *rows, size_t n, const json_t *o, ph_error *err)
{
    const char *type = json_string_value(json_object_get(o, "type"));

    if (!o || json_is_null(o)) return PH_OK;
    if (!type) return ph__fail(err, PH_EFORMAT, -1, "%s: \"type\" is no string", p->what);
    for (size_t i = 0; i < n; i++)
        if (strcmp(rows[i].type, type) == 0) return rows[i].read(p, o, err);
    return ph__fail(err, PH_EUNSUPPORTED, -1, "%s \"%.100s\" is not supported", p->what, type);
}

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

static ph_status nothing(part *p, const json_t *o, ph_error *err)
{
    (void)p, (void)o, (void)err;
    return PH_OK;
}

/* ---- normalizers ---- */

static ph_status add_form(part *p, bool compose, bool compat, ph_error *err)
{
    ph_step s = {.kind = PH_STEP_FORM, .compose = compose, .compat = compat};
    return ph__steps_add(p->out, &s, err);
}

static ph_status nfc(part *p, const json_t *o, ph_error *err)
{
    (void)o;
    return add_form(p, true, false, err);
}

static ph_status nfd(part *p, const json_t *o, ph_error *err)
{
    (void)o;
    return add_form(p, false, false, err);
}

static ph_status nfkc(part *p, const json_t *o, ph_error *err)
{
    (void)o;
    return add_form(p, true, true, err);
}

static ph_status nfkd(part *p, const json_t *o, ph_error *err)
{
    (void)o;
    return add_form(p, false, true, err);
}

static ph_status lowercase(part *p, const json_t *o, ph_error *err)
{
    ph_step s = {.kind = PH_STEP_LOWER};
    (void)o;
    return ph__steps_add(p->out, &s, err);
}

static ph_status strip(part *p, const json_t *o, ph_error *err)
{
    ph_step s = {.kind = PH_STEP_STRIP};
    PH_TRY(ph__json_flag(&s.left, o, "normalizer \"Strip\"", "strip_left", true, err));
    PH_TRY(ph__json_flag(&s.right, o, "normalizer \"Strip\"", "strip_right", true, err));
    return ph__steps_add(p->out, &s, err);
}

static ph_status prepend(part *p, const json_t *o, ph_error *err)
{
    const char *text;
    size_t n;
    PH_TRY(ph__json_text(&text, &n, o, "normalizer \"Prepend\"", "prepend", err));
    return ph__steps_prepend(p->out, text, n, false, false, err);
}

static ph_status replace(part *p, const json_t *o, ph_error *err)
{
    const char *pattern, *text;
    size_t n, bytes;
    bool literal;
    PH_TRY(read_pattern(&pattern, &n, &literal, o, "normalizer \"Replace\"", err));
    PH_TRY(ph__json_text(&text, &bytes, o, "normalizer \"Replace\"", "content", err));
    return ph__steps_replace(p->out, pattern, n, literal, text, bytes, err);
}

static ph_status normalizers(part *p, const json_t *o, ph_error *err);

static const row normalizer_rows[] = {
    {"NFC", nfc},
    {"NFD", nfd},
    {"NFKC", nfkc},
    {"NFKD", nfkd},
    {"Prepend", prepend},
    {"Replace", replace},
    {"Lowercase", lowercase},
    {"Strip", strip},
    {"Sequence", normalizers},
};

static ph_status normalizers(part *p, const json_t *o, ph_error *err)
{
    return read_parts(p, normalizer_rows, COUNT(normalizer_rows), o, "normalizers", err);
}

ph_status ph__json_normalizer(ph_steps *out, const json_t *node, ph_error *err)
{
    part p = {.what = "normalizer", .out = out};
    return read_part(&p, normalizer_rows, COUNT(normalizer_rows), node, err);
}

/* ---- pre-tokenizers ---- */

static ph_status read_behavior(ph_behavior *out, const json_t *o, const char *of,
                               const char *otherwise, ph_error *err)
{
    static const char *const names[] = {
        [PH_ISOLATED] = "Isolated",
        [PH_REMOVED] = "Removed",
        [PH_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [PH_MERGED_WITH_NEXT] = "MergedWithNext",
        [PH_CONTIGUOUS] = "Contiguous",
    };
    const char *name;
    size_t n;

    PH_TRY(ph__json_text(&name, &n, o, of, "behavior", err));
    if (n == 0) name = otherwise;
    for (size_t i = 0; i < COUNT(names); i++)
        if (strcmp(names[i], name) == 0) {
            *out = (ph_behavior)i;
            return PH_OK;
        }
    return ph__fail(err, PH_EUNSUPPORTED, -1, "%s: behavior \"%.100s\" is not supported", of, name);
}

static ph_status split(part *p, const json_t *o, ph_error *err)
{
    static const char of[] = "pre_tokenizer \"Split\"";
    const char *pattern;
    size_t n;
    bool literal, invert;
    ph_behavior behavior;

    PH_TRY(read_pattern(&pattern, &n, &literal, o, of, err));
    PH_TRY(read_behavior(&behavior, o, of, "", err));
    PH_TRY(ph__json_flag(&invert, o, of, "invert", false, err));
    return ph__steps_split(p->out, pattern, n, literal, behavior, invert, err);
}

static ph_status add_split(part *p, const char *regex, ph_behavior behavior, bool invert,
                           ph_error *err)
{
    return ph__steps_split(p->out, regex, strlen(regex), false, behavior, invert, err);
}

static ph_status byte_level(part *p, const json_t *o, ph_error *err)
{
    static const char of[] = "pre_tokenizer \"ByteLevel\"";
    bool blank, words;

    p->byte_level = true;
    PH_TRY(ph__json_flag(&blank, o, of, "add_prefix_space", true, err));
    PH_TRY(ph__json_flag(&words, o, of, "use_regex", true, err));
    return ph__steps_bytes(p->out, blank, words, err);
}

static ph_status digits(part *p, const json_t *o, ph_error *err)
{
    bool each;
    PH_TRY(ph__json_flag(&each, o, "pre_tokenizer \"Digits\"", "individual_digits", false, err));
    return add_split(p, PH_DIGIT, each ? PH_ISOLATED : PH_CONTIGUOUS, false, err);
}

static ph_status punctuation(part *p, const json_t *o, ph_error *err)
{
    ph_behavior behavior;
    PH_TRY(read_behavior(&behavior, o, "pre_tokenizer \"Punctuation\"", "Isolated", err));
    return add_split(p, PH_PUNCTUATION, behavior, false, err);
}

/* \w+|[^\w\s]+ in the dialect of Rust, to which joiners are of a word, and fractions are not. */
static ph_status whitespace(part *p, const json_t *o, ph_error *err)
{
    (void)o;
    return add_split(p,
                     "(?:(?![\\xb2\\xb3\\xb9\\xbc-\\xbe])[\\w\\x{200c}\\x{200d}])+|"
                     "(?:[^\\w\\s\\x{200c}\\x{200d}]|[\\xb2\\xb3\\xb9\\xbc-\\xbe])+",
                     PH_REMOVED, true, err);
}

static ph_status whitespace_split(part *p, const json_t *o, ph_error *err)
{
    (void)o;
    return add_split(p, "\\s", PH_REMOVED, false, err);
}

/* Where Metaspace puts a blank before a text: "always", "first" or "never"; older files say only
 * whether. */
static ph_status read_scheme(const char **out, const json_t *o, const char *of, ph_error *err)
{
    size_t n;
    bool add;

    PH_TRY(ph__json_text(out, &n, o, of, "replacement", err));
    if (strcmp(*out, BLANK) != 0)
        return ph__fail(err, PH_EUNSUPPORTED, -1, "%s: replacement \"%.20s\" is not supported", of,
                        *out);
    PH_TRY(ph__json_flag(&add, o, of, "add_prefix_space", true, err));
    PH_TRY(ph__json_text(out, &n, o, of, "prepend_scheme", err));
    if (n == 0) *out = add ? "always" : "never";
    if (strcmp(*out, "always") != 0 && strcmp(*out, "first") != 0 && strcmp(*out, "never") != 0)
        return ph__fail(err, PH_EUNSUPPORTED, -1, "%s: prepend_scheme \"%.100s\" is not supported",
                        of, *out);
    return PH_OK;
}

static ph_status metaspace(part *p, const json_t *o, ph_error *err)
{
    static const char of[] = "pre_tokenizer \"Metaspace\"";
    const size_t n = strlen(BLANK);
    const char *scheme;
    bool cut;

    PH_TRY(read_scheme(&scheme, o, of, err));
    PH_TRY(ph__json_flag(&cut, o, of, "split", true, err));
    PH_TRY(ph__steps_replace(p->out, " ", 1, true, BLANK, n, err));
    if (*scheme != 'n') PH_TRY(ph__steps_prepend(p->out, BLANK, n, true, *scheme == 'f', err));
    if (!cut) return PH_OK;
    return ph__steps_split(p->out, BLANK, n, true, PH_MERGED_WITH_NEXT, false, err);
}

static ph_status pre_tokenizers(part *p, const json_t *o, ph_error *err);

static const row pre_tokenizer_rows[] = {
    {"ByteLevel", byte_level},
    {"Split", split},
    {"Digits", digits},
    {"Punctuation", punctuation},
    {"Metaspace", metaspace},
    {"Whitespace", whitespace},
    {"WhitespaceSplit", whitespace_split},
    {"Sequence", pre_tokenizers},
};

static ph_status pre_tokenizers(part *p, const json_t *o, ph_error *err)
{
    return read_parts(p, pre_tokenizer_rows, COUNT(pre_tokenizer_rows), o, "pretokenizers", err);
}

ph_status ph__json_pre_tokenizer(ph_steps *out, bool *is_byte_level, const json_t *node,
                                 ph_error *err)
{
    part p = {.what = "pre_tokenizer", .out = out};
    PH_TRY(read_part(&p, pre_tokenizer_rows, COUNT(pre_tokenizer_rows), node, err));
    *is_byte_level = *is_byte_level || p.byte_level;
    return PH_OK;
}

/* ---- decoders ---- */

static ph_status decode_bytes(part *p, const json_t *o, ph_error *err)
{
    (void)o, (void)err;
    p->byte_level = true;
    return PH_OK;
}

static ph_status decode_replace(part *p, const json_t *o, ph_error *err)
{
    static const char of[] = "decoder \"Replace\"";
    const char *pattern, *text;
    size_t n, bytes;
    bool literal;

    (void)p;
    PH_TRY(read_pattern(&pattern, &n, &literal, o, of, err));
    PH_TRY(ph__json_text(&text, &bytes, o, of, "content", err));
    if (strcmp(pattern, BLANK) == 0 && strcmp(text, " ") == 0) return PH_OK;
    return ph__fail(err, PH_EUNSUPPORTED, -1, "%s of \"%.100s\" is not supported", of, pattern);
}

static ph_status decode_strip(part *p, const json_t *o, ph_error *err)
{
    const char *text;
    size_t n;

    PH_TRY(ph__json_text(&text, &n, o, "decoder \"Strip\"", "content", err));
    const json_int_t start = json_integer_value(json_object_get(o, "start"));
    const json_int_t stop = json_integer_value(json_object_get(o, "stop"));
    if (strcmp(text, " ") != 0 || start < 0 || start > 1 || stop != 0)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "decoder \"Strip\" of other than one blank at the beginning is not "
                        "supported");
    p->strip = start == 1;
    return PH_OK;
}

static ph_status decode_metaspace(part *p, const json_t *o, ph_error *err)
{
    const char *scheme;
    PH_TRY(read_scheme(&scheme, o, "decoder \"Metaspace\"", err));
    p->strip = *scheme != 'n';
    return PH_OK;
}

static ph_status decoders(part *p, const json_t *o, ph_error *err);

static const row decoder_rows[] = {
    {"ByteLevel", decode_bytes}, {"Replace", decode_replace}, {"ByteFallback", nothing},
    {"Fuse", nothing},           {"Strip", decode_strip},     {"Metaspace", decode_metaspace},
    {"Sequence", decoders},
};

static ph_status decoders(part *p, const json_t *o, ph_error *err)
{
    return read_parts(p, decoder_rows, COUNT(decoder_rows), o, "decoders", err);
}

ph_status ph__json_decoder(bool *is_byte_level, bool *strips, const json_t *node, ph_error *err)
{
    part p = {.what = "decoder"};
    PH_TRY(read_part(&p, decoder_rows, COUNT(decoder_rows), node, err));
    *is_byte_level = *is_byte_level || p.byte_level;
    *strips = p.strip;
    return PH_OK;
}

/* ---- post-processors ---- */

static ph_status too_many(const char *where, ph_error *err)
{
    return ph__fail(err, PH_EUNSUPPORTED, -1,
                    "post_processor: more than one token %s the text is not supported", where);
}

/* The one id of a special token of a template. */
static ph_status template_id(int64_t *out, const json_t *o, const json_t *item, ph_error *err)
{
    const char *name = json_string_value(json_object_get(item, "id"));
    const json_t *token = json_object_get(json_object_get(o, "special_tokens"), name ? name : "");
    const json_t *ids = json_object_get(token, "ids");

    if (json_array_size(ids) != 1 || !json_is_integer(json_array_get(ids, 0)))
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "post_processor: special token \"%.100s\" has not one id",
                        name ? name : "");
    *out = json_integer_value(json_array_get(ids, 0));
    return PH_OK;
}

static ph_status template(part *p, const json_t *o, ph_error *err)
{
    const json_t *single = json_object_get(o, "single");
    bool behind = false;

    if (!json_is_array(single))
        return ph__fail(err, PH_EFORMAT, -1, "post_processor: \"single\" is no array");
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i);
        const json_t *special = json_object_get(item, "SpecialToken");
        int64_t *to = behind ? &p->eos : &p->bos;
        if (!special) {
            behind = true;
            continue;
        }
        if (*to >= 0) return too_many(behind ? "behind" : "before", err);
        PH_TRY(template_id(to, o, special, err));
    }
    return PH_OK;
}

/* BERT's and RoBERTa's: "cls" before and "sep" behind, each a pair of text and id. */
static ph_status enclose(part *p, const json_t *o, ph_error *err)
{
    const json_t *cls = json_array_get(json_object_get(o, "cls"), 1);
    const json_t *sep = json_array_get(json_object_get(o, "sep"), 1);

    if (!json_is_integer(cls) || !json_is_integer(sep))
        return ph__fail(err, PH_EFORMAT, -1, "post_processor: \"cls\" or \"sep\" has no id");
    if (p->bos >= 0) return too_many("before", err);
    p->bos = json_integer_value(cls);
    p->eos = json_integer_value(sep);
    return PH_OK;
}

static ph_status processors(part *p, const json_t *o, ph_error *err);

static const row processor_rows[] = {
    {"ByteLevel", nothing},         {"TemplateProcessing", template}, {"BertProcessing", enclose},
    {"RobertaProcessing", enclose}, {"Sequence", processors},
};

static ph_status processors(part *p, const json_t *o, ph_error *err)
{
    return read_parts(p, processor_rows, COUNT(processor_rows), o, "processors", err);
}

ph_status ph__json_post_processor(int64_t *bos, int64_t *eos, const json_t *node, ph_error *err)
{
    part p = {.what = "post_processor", .bos = -1, .eos = -1};
    PH_TRY(read_part(&p, processor_rows, COUNT(processor_rows), node, err));
    *bos = p.bos;
    *eos = p.eos;
    return PH_OK;
}
