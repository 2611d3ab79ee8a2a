/* pattern.c — regular expressions as tokenizers write them, run by PCRE2.
 *
 * The two dialects agree on what pre-tokenizers use but for the escapes below, for nested classes
 * and intersections (which we refuse: PCRE2 would read them as something else), and for ^ and $,
 * which are about lines in Ruby.
 */
#include "text/pattern.h"

#include "base/buf.h"
#include "text/newer.h"
#include "text/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

/* White space, spelled out: PCRE2's own \s also takes U+180E, which no tokenizer does. */
#define WHITE                                                                                      \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"        \
    "\\x{205f}\\x{3000}"
#define NOT_WHITE                                                                                  \
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"       \
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"                 \
    "\\x{3001}-\\x{10ffff}"

enum { LONGEST = 16384 }; /* bytes: a class that is written in five of them is compiled to many */

/* What an escape stands for within a class; outside it goes between brackets. */
static const struct escape {
    char letter;
    const char *within, *outside;
} escapes[] = {
    {'s', WHITE, "[" WHITE "]"},       {'S', NOT_WHITE, "[^" WHITE "]"},
    {'h', "0-9a-fA-F", "[0-9a-fA-F]"}, {'H', NULL, "[^0-9a-fA-F]"},
    {'v', "\\x0b", "\\x0b"},
};

static ph_status refuse(const char *text, size_t n, const char *why, ph_error *err)
{
    return ph__fail(err, PH_EUNSUPPORTED, -1,
                    "the regular expression \"%.*s\" is not supported: %s",
                    (int)(n < 200 ? n : 200), text, why);
}

static bool is_script(const char *name, size_t n)
{
    char text[64];
    int number;
    PCRE2_SIZE at;
    const int size = snprintf(text, sizeof text, "\\p{sc:%.*s}", (int)(n < 40 ? n : 40), name);

    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)text, (PCRE2_SIZE)size, PCRE2_UTF, &number, &at, NULL);
    pcre2_code_free(code);
    return code != NULL;
}

/* The members of a general category such as "L" or "Lu", or of a script, as Oniguruma has it: without
 * what other scripts use as well. */
static ph_status add_category(ph_str *out, const char *name, size_t n, ph_error *err)
{
    static const char han[] = "\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}";
    const bool script = n > 2 && is_script(name, n);
    char range[48];

    PH_TRY(ph__str_add(out, script ? "\\p{sc:" : "\\p{", script ? 6 : 3, err));
    PH_TRY(ph__str_add(out, name, n, err));
    PH_TRY(ph__str_add(out, "}", 1, err));
    if (script && n == 3 && memcmp(name, "Han", n) == 0)
        PH_TRY(ph__str_add(out, han, sizeof han - 1, err));
    for (size_t i = 0; n <= 2 && i < sizeof newer / sizeof *newer; i++) {
        if (memcmp(newer[i].category, name, n) != 0) continue;
        const int size =
            snprintf(range, sizeof range, "\\x{%x}-\\x{%x}", newer[i].from, newer[i].to);
        PH_TRY(ph__str_add(out, range, (size_t)size, err));
    }
    return PH_OK;
}

/* Letters, marks, digits, connectors and what Oniguruma counts among them. */
static ph_status add_word(ph_str *out, ph_error *err)
{
    static const char *const names[] = {"L", "M", "Nd", "Nl", "Pc"};
    static const char more[] = "\\xb2\\xb3\\xb9\\xbc-\\xbe\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"
                               "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        PH_TRY(add_category(out, names[i], strlen(names[i]), err));
    return ph__str_add(out, more, sizeof more - 1, err);
}

/* \p{…}, \P{…}, \w, \W, \d or \D, at p: n bytes without the backslash, of which *used are read; none where
 * it is something else. */
static ph_status add_property(ph_str *out, size_t *used, const char *p, size_t n, bool in_class,
                              ph_error *err)
{
    const char *end = n > 3 && p[1] == '{' ? memchr(p, '}', n) : NULL;
    const bool word = *p == 'w' || *p == 'W', digit = *p == 'd' || *p == 'D';
    const bool not = *p == 'P' || *p == 'W' || *p == 'D';
    const bool category = (*p == 'p' || *p == 'P') && end && p[2] != '^';

    *used = 0;
    if ((!word && !digit && !category) || (in_class && not )) return PH_OK;
    if (!in_class) PH_TRY(ph__str_add(out, not ? "[^" : "[", not ? 2 : 1, err));
    if (word) PH_TRY(add_word(out, err));
    if (digit) PH_TRY(add_category(out, "Nd", 2, err));
    if (category) PH_TRY(add_category(out, p + 2, (size_t)(end - p) - 2, err));
    if (!in_class) PH_TRY(ph__str_add(out, "]", 1, err));
    *used = category ? (size_t)(end - p) + 1 : 1;
    return PH_OK;
}

/* text[i] is the letter behind a backslash. */
static ph_status add_escape(ph_str *out, const char *text, size_t n, size_t i, bool in_class,
                            ph_error *err)
{
    for (size_t k = 0; k < sizeof escapes / sizeof *escapes; k++) {
        if (escapes[k].letter != text[i]) continue;
        const char *to = in_class ? escapes[k].within : escapes[k].outside;
        if (!to) return refuse(text, n, "\\H within a class", err);
        return ph__str_add(out, to, strlen(to), err);
    }
    if (text[i] == 'u') return refuse(text, n, "\\u", err);
    if (text[i] == 'W') return refuse(text, n, "\\W within a class", err);
    PH_TRY(ph__str_add(out, "\\", 1, err));
    return ph__str_add(out, text + i, 1, err);
}

/* Length of a POSIX class such as [:alpha:] at p, 0 if there is none. */
static size_t posix(const char *p, size_t n)
{
    if (n < 4 || p[1] != ':') return 0;
    for (size_t i = 2; i + 1 < n && p[i] != ']' && p[i] != '['; i++)
        if (p[i] == ':' && p[i + 1] == ']') return i + 2;
    return 0;
}

/* out = the same in PCRE2's dialect. */
static ph_status translate(ph_str *out, const char *text, size_t n, ph_error *err)
{
    size_t class_at = 0; /* behind the bracket that opened the class we are in; 0: in none */

    for (size_t i = 0; i < n; i++) {
        const char c = text[i];
        const size_t name = class_at && c == '[' ? posix(text + i, n - i) : 0;
        if (c == '\\' && i + 1 < n) {
            size_t used;
            PH_TRY(add_property(out, &used, text + i + 1, n - i - 1, class_at > 0, err));
            if (used == 0) PH_TRY(add_escape(out, text, n, i + 1, class_at > 0, err));
            i += used ? used : 1;
            continue;
        }
        if (name) {
            PH_TRY(ph__str_add(out, text + i, name, err));
            i += name - 1;
            continue;
        }
        if (class_at && c == '[') return refuse(text, n, "a class within a class", err);
        if (class_at && c == '&' && i + 1 < n && text[i + 1] == '&')
            return refuse(text, n, "an intersection of classes", err);
        if (!class_at && c == '(' && i + 1 < n && text[i + 1] == '*')
            return refuse(text, n, "nothing to repeat", err);
        const bool opens = !class_at && c == '[';
        /* a bracket that is the first of its class stands for itself */
        const bool closes = class_at && c == ']' && i > class_at;
        PH_TRY(ph__str_add(out, text + i, 1, err));
        if (opens && i + 1 < n && text[i + 1] == '^') PH_TRY(ph__str_add(out, &text[++i], 1, err));
        class_at = opens ? i + 1 : closes ? 0 : class_at;
    }
    return PH_OK;
}

ph_status ph__pattern_open(ph_pattern *out, const char *text, size_t n, bool literal, ph_error *err)
{
    ph_status st = PH_OK;
    ph_str s = {0};
    int number;
    PCRE2_SIZE at;
    char why[128];
    const uint32_t options =
        PCRE2_UTF |
        (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);

    if (n > LONGEST) return refuse(text, n, "it is longer than 16 KiB", err);
    if (n == 0) return ph__fail(err, PH_EUNSUPPORTED, -1, "an empty pattern is not supported");
    if (ph__utf8_check(text, n) < n)
        return ph__fail(err, PH_EUNSUPPORTED, -1, "a pattern that is not UTF-8");
    PH_GO(literal ? ph__str_add(&s, text, n, err) : translate(&s, text, n, err));
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)s.data, s.size, options, &number, &at, NULL);
    if (!code) {
        if (pcre2_get_error_message(number, (PCRE2_UCHAR *)why, sizeof why) < 0) *why = 0;
        PH_GO(refuse(text, n, why, err));
    }
    /* Without JIT, where the system forbids it, the same matches come more slowly. */
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    out->code = code;
done:
    ph__str_close(&s);
    return st;
}

void ph__pattern_close(ph_pattern *p)
{
    pcre2_code_free(p->code);
    p->code = NULL;
}

ph_status ph__match_open(ph_match *out, ph_error *err)
{
    ph_match m = {pcre2_match_data_create(1, NULL), pcre2_match_context_create(NULL)};

    if (!m.data || !m.limits) {
        ph__match_close(&m);
        return ph__fail(err, PH_ENOMEM, -1, "out of memory for the pre-tokenizer");
    }
    /* Long texts are no reason to give up; expressions that a file may hold are: what they ask for
     * grows with the text at a power. */
    pcre2_set_match_limit(m.limits, 10000000);
    pcre2_set_heap_limit(m.limits, 256 * 1024);
    *out = m;
    return PH_OK;
}

void ph__match_close(ph_match *m)
{
    pcre2_match_context_free(m->limits);
    pcre2_match_data_free(m->data);
    *m = (ph_match){0};
}

/* One search from `at`; 1: found, 0: none. */
static ph_status search(bool *found, size_t *from, size_t *to, const ph_pattern *p, ph_match *m,
                        const char *text, size_t n, size_t at, ph_error *err)
{
    int rc = pcre2_match(p->code, (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK, m->data, m->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(p->code, (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         m->data, m->limits);
    if (rc == PCRE2_ERROR_NOMEMORY)
        return ph__fail(err, PH_ENOMEM, -1, "out of memory for the pre-tokenizer");
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        return ph__fail(err, PH_ETEXT, -1, "the pre-tokenizer gives up: PCRE2 error %d", rc);
    *found = rc >= 0;
    if (!*found) return PH_OK;
    const PCRE2_SIZE *where = pcre2_get_ovector_pointer(m->data);
    *to = where[1] > at ? where[1] : at;
    *from = where[0] < at ? at : where[0] > *to ? *to : where[0]; /* \K may move it */
    return PH_OK;
}

ph_status ph__match_next(bool *found, size_t *from, size_t *to, const ph_pattern *p, ph_match *m,
                         const char *text, size_t n, size_t last, ph_error *err)
{
    size_t at = *to;

    for (;;) {
        PH_TRY(search(found, from, to, p, m, text, n, at, err));
        if (!*found || *from < *to || *to != last) return PH_OK;
        if (*to >= n) {
            *found = false;
            return PH_OK;
        }
        at = *to + ph__utf8_char(NULL, text + *to, n - *to);
    }
}
