/* pretokenize.c — cutting text into words with PCRE2. */
#include "text/pretokenize.h"

#include "text/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

/* White space, spelled out: PCRE2's own \s also takes U+180E, which no tokenizer does. */
#define WHITE                                                                                      \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"        \
    "\\x{205f}\\x{3000}"
#define SPACE     "[" WHITE "]"
#define NOT_SPACE "[^" WHITE "]"
#define SYMBOL    "[^" WHITE "\\p{L}\\p{N}]"

#define GPT2                                                                                       \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?" SYMBOL "+|" SPACE "+(?!" NOT_SPACE ")|" SPACE \
    "+"
/* Every digit by itself first, then GPT-2 within what is left: so the end of a stretch without
 * digits is an end of text for the look-ahead. */
#define DIGITS_GPT2                                                                                \
    "\\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?" SYMBOL "+|" SPACE "+(?![^" WHITE                 \
    "\\p{N}])|" SPACE "+"
#define CL100K(digits)                                                                             \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?" SYMBOL              \
    "+[\\r\\n]*|" SPACE "*[\\r\\n]+|" SPACE "+(?!" NOT_SPACE ")|" SPACE "+"

/* Names as converters write them. "default" is not among them: they write it for a tokenizer that
 * they did not recognise, so nobody knows how that one cuts. */
static const struct row {
    const char *names[5];
    const char *pattern;
    bool add_bos, whole_words;
} table[] = {
    {{"smollm", "starcoder", "refact", "codeshell"}, DIGITS_GPT2, false, false},
    {{"gpt-2", "gpt2", "phi-2"}, GPT2, false, false},
    {{"llama-bpe", "llama3", "llama-v3"}, CL100K("\\p{N}{1,3}"), true, true},
    {{"qwen2", "deepseek-r1-qwen"}, CL100K("\\p{N}"), false, false},
};

static const struct row *find_row(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (const char *const *n = table[i].names; *n; n++)
            if (strcmp(*n, name) == 0) return &table[i];
    return NULL;
}

ph_status ph__pretokenizer_open(ph_pretokenizer *out, const char *name, ph_error *err)
{
    const struct row *row = find_row(name);
    int number;
    PCRE2_SIZE at;

    if (!*name)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "the file does not name its pre-tokenizer (tokenizer.ggml.pre)");
    if (!row)
        return ph__fail(err, PH_EUNSUPPORTED, -1, "pre-tokenizer \"%s\" is not supported", name);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)row->pattern, PCRE2_ZERO_TERMINATED,
                                     PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &number, &at, NULL);
    if (!code)
        return ph__fail(err, PH_ENOMEM, -1, "pre-tokenizer \"%s\": PCRE2 error %d", name, number);
    /* Without JIT, where the system forbids it, the same matches come more slowly. */
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    *out = (ph_pretokenizer){code, row->add_bos, row->whole_words};
    return PH_OK;
}

void ph__pretokenizer_close(ph_pretokenizer *p)
{
    pcre2_code_free(p->code);
    *p = (ph_pretokenizer){0};
}

ph_status ph__split_open(ph_split *out, const ph_pretokenizer *pre, ph_error *err)
{
    ph_split s = {pre, pcre2_match_data_create(1, NULL), pcre2_match_context_create(NULL)};

    if (!s.match || !s.limits) {
        ph__split_close(&s);
        return ph__fail(err, PH_ENOMEM, -1, "out of memory for the pre-tokenizer");
    }
    /* The patterns take time proportional to the text: a limit would only refuse long ones. */
    pcre2_set_match_limit(s.limits, UINT32_MAX);
    *out = s;
    return PH_OK;
}

void ph__split_close(ph_split *s)
{
    pcre2_match_context_free(s->limits);
    pcre2_match_data_free(s->match);
    *s = (ph_split){0};
}

ph_status ph__split_next(size_t *end, ph_split *s, const char *text, size_t from, size_t n,
                         ph_error *err)
{
    const int found = pcre2_match(s->pre->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK,
                                  s->match, s->limits);
    size_t e = found > 0 ? pcre2_get_ovector_pointer(s->match)[1] : from;

    if (found == PCRE2_ERROR_NOMEMORY || found == PCRE2_ERROR_HEAPLIMIT)
        return ph__fail(err, PH_ENOMEM, -1, "out of memory for the pre-tokenizer");
    if (found < 0 && found != PCRE2_ERROR_NOMATCH)
        return ph__fail(err, PH_ETEXT, (int64_t)from, "the pre-tokenizer gives up: PCRE2 error %d",
                        found);
    if (e <= from) e = from + ph__utf8_char(NULL, text + from, n - from);
    *end = e;
    return PH_OK;
}
