/* utf8.c — reading UTF-8 and telling where it is not. */
#include "text/utf8.h"

#include "base/buf.h"

#include <phosphene.h>
#include <utf8proc.h>

/* Bytes that the lead byte promises, 0 for one that leads nothing; [*low, *high] is where the
 * second byte must lie (Unicode 15, table 3-7). */
static size_t lead(uint8_t *low, uint8_t *high, uint8_t c)
{
    *low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    *high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (c < 0x80) return 1;
    if (c < 0xc2) return 0;
    if (c < 0xe0) return 2;
    if (c < 0xf0) return 3;
    return c < 0xf5 ? 4 : 0;
}

/* How many of the bytes at p belong together, and in *want how many there had to be. */
static size_t extent(size_t *want, const char *p, size_t n)
{
    uint8_t low, high;
    size_t i = 1;

    *want = lead(&low, &high, (uint8_t)p[0]);
    for (; i < *want && i < n; i++) {
        const uint8_t c = (uint8_t)p[i];
        if (c < low || c > high) break;
        low = 0x80;
        high = 0xbf;
    }
    return i;
}

size_t ph__utf8_char(uint32_t *code, const char *p, size_t n)
{
    static const uint8_t mask[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    size_t want, have = extent(&want, p, n);

    if (want == 0 || have < want) return 0;
    if (code) {
        uint32_t c = (uint8_t)p[0] & mask[want];
        for (size_t i = 1; i < want; i++) c = c << 6 | ((uint8_t)p[i] & 0x3f);
        *code = c;
    }
    return want;
}

size_t ph__utf8_subpart(const char *p, size_t n)
{
    size_t want;
    return extent(&want, p, n);
}

size_t ph__utf8_check(const char *p, size_t n)
{
    size_t i = 0, step;
    while (i < n && (step = ph__utf8_char(NULL, p + i, n - i)) > 0) i += step;
    return i;
}

static bool is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

static bool is_word(uint32_t c)
{
    const utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    const bool circled = (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
                         (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC ||
           circled || c == 0x200c || c == 0x200d;
}
_Static_assert(UTF8PROC_CATEGORY_ND == 9 && UTF8PROC_CATEGORY_NL == 10, "digits behind marks");

/* The last character of n > 0 bytes of UTF-8. */
static size_t char_before(uint32_t *code, const char *p, size_t n)
{
    size_t size = 1;
    while (size < n && size < 4 && ((uint8_t)p[n - size] & 0xc0) == 0x80) size++;
    return ph__utf8_char(code, p + n - size, size);
}

size_t ph__utf8_spaces(const char *p, size_t n)
{
    size_t at = 0, step;
    uint32_t c;
    while (at < n && (step = ph__utf8_char(&c, p + at, n - at)) > 0 && is_space(c)) at += step;
    return at;
}

size_t ph__utf8_spaces_before(const char *p, size_t n)
{
    size_t left = n, step;
    uint32_t c;
    while (left > 0 && (step = char_before(&c, p, left)) > 0 && is_space(c)) left -= step;
    return n - left;
}

bool ph__utf8_word(const char *p, size_t n)
{
    uint32_t c;
    return n > 0 && ph__utf8_char(&c, p, n) > 0 && is_word(c);
}

bool ph__utf8_word_before(const char *p, size_t n)
{
    uint32_t c;
    return n > 0 && char_before(&c, p, n) > 0 && is_word(c);
}

static bool is_letter(uint32_t c)
{
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_ME;
}
_Static_assert(UTF8PROC_CATEGORY_LU == 1 && UTF8PROC_CATEGORY_LO == 5 &&
                   UTF8PROC_CATEGORY_MN == 6 && UTF8PROC_CATEGORY_ME == 8,
               "letters, then marks");

bool ph__utf8_letters(const char *p, size_t n)
{
    for (size_t i = 0, step; i < n; i += step) {
        uint32_t c = 0;
        step = ph__utf8_char(&c, p + i, n - i);
        if (step == 0 || (c != ' ' && !is_letter(c))) return false;
    }
    return true;
}

ph_status ph_utf8_clean(char **out, const char *bytes, size_t n, ph_error *err)
{
    ph_status st = PH_OK;
    ph_str s = {0};
    size_t i = 0;

    PH_GO(ph__str_add(&s, "", 0, err));
    while (i < n) {
        const size_t good = ph__utf8_check(bytes + i, n - i);
        PH_GO(ph__str_add(&s, bytes + i, good, err));
        i += good;
        if (i == n) break;
        PH_GO(ph__str_add(&s, "\xef\xbf\xbd", 3, err));
        i += ph__utf8_subpart(bytes + i, n - i);
    }
    *out = s.data;
    s = (ph_str){0};
done:
    ph__str_close(&s);
    return st;
}
