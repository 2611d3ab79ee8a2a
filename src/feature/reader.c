/* reader.c — reading the feature language: bytes, words, numbers. */
#include "feature/reader.h"

#include "base/buf.h"

#include <stdio.h>
#include <string.h>

char ph__read_peek(const ph_reader *r)
{
    return r->text[r->at];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool ph__is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

void ph__read_skip(ph_reader *r)
{
    while (is_blank(ph__read_peek(r))) r->at++;
}

bool ph__read_take(ph_reader *r, char c)
{
    if (ph__read_peek(r) != c) return false;
    r->at++;
    ph__read_skip(r);
    return true;
}

int ph__read_word_length(const char *s, bool hook)
{
    int n = 0;
    while (n < INT32_MAX && (is_letter(s[n]) || (hook && (ph__is_digit(s[n]) || s[n] == '.')))) n++;
    return n;
}

bool ph__read_word_is(const char *s, int n, const char *word)
{
    return strlen(word) == (size_t)n && memcmp(s, word, (size_t)n) == 0;
}

bool ph__read_take_word(ph_reader *r, const char *word)
{
    const char *s = r->text + r->at;
    const int n = ph__read_word_length(s, false);
    if (!ph__read_word_is(s, n, word)) return false;
    r->at += n;
    ph__read_skip(r);
    return true;
}

/* ---- errors ---- */

static int clip(int n)
{
    return n < 32 ? n : 32;
}

const char *ph__read_found(char out[PH_FOUND_MAX], const ph_reader *r)
{
    const char *s = r->text + r->at;
    const unsigned char c = (unsigned char)*s;
    const int n = clip(ph__read_word_length(s, true));

    if (c == 0)
        return "the end";
    else if (c < 0x20 || c == 0x7f)
        snprintf(out, PH_FOUND_MAX, "control byte 0x%02x", c);
    else if (c >= 0x80)
        snprintf(out, PH_FOUND_MAX, "byte 0x%02x, which is not ASCII", c);
    else
        snprintf(out, PH_FOUND_MAX, "'%.*s'", n ? n : 1, s);
    return out;
}

ph_status ph__read_expected(const ph_reader *r, const char *what)
{
    char buffer[PH_FOUND_MAX];
    return ph__fail(r->err, PH_ESPEC, r->at, "expected %s, found %s", what,
                    ph__read_found(buffer, r));
}

ph_status ph__read_number(ph_reader *r, int64_t *out, const char *what)
{
    const int64_t start = r->at;
    int64_t value = 0;
    bool fits = true;

    if (!ph__is_digit(ph__read_peek(r))) return ph__read_expected(r, what);
    for (; ph__is_digit(ph__read_peek(r)); r->at++) {
        const int digit = ph__read_peek(r) - '0';
        fits = fits && value <= (PH_NUMBER_MAX - digit) / 10;
        value = fits ? value * 10 + digit : value;
    }
    if (!fits)
        return ph__fail(r->err, PH_ERANGE, start, "a number of %lld digits is too large",
                        (long long)(r->at - start));
    *out = value;
    return PH_OK;
}

/* ---- names ---- */

static bool ends_name(char c)
{
    return is_blank(c) || c == '@' || c == '[' || c == '#' || c == '"' || c == 0;
}

ph_status ph__read_quoted(ph_reader *r, char **out)
{
    const int64_t start = r->at++;
    ph_status st = PH_OK;
    ph_str s = {0};

    for (; ph__read_peek(r) && ph__read_peek(r) != '"'; r->at++) {
        if (ph__read_peek(r) == '\\' && (r->text[r->at + 1] == '"' || r->text[r->at + 1] == '\\'))
            r->at++;
        PH_GO(ph__str_add(&s, r->text + r->at, 1, r->err));
    }
    if (!ph__read_peek(r)) PH_GO(ph__fail(r->err, PH_ESPEC, start, "the quote is not closed"));
    ph__read_take(r, '"');
    PH_GO(ph__str_add(&s, "", 0, r->err));
    *out = s.data;
    s.data = NULL;
done:
    ph__str_close(&s);
    return st;
}

ph_status ph__read_file_name(ph_reader *r, char **out)
{
    const char *s = r->text + r->at;
    size_t n = 0;

    if (*s == '"') return ph__read_quoted(r, out);
    while (!ends_name(s[n])) n++;
    if (n == 0) return ph__read_expected(r, "the name of a file");
    r->at += (int64_t)n;
    ph__read_skip(r);
    return ph__strndup(out, s, n, r->err);
}
