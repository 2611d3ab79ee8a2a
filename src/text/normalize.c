/* normalize.c — Unicode normal forms, small letters and stripping, with origins.
 *
 * A normal form is taken segment by segment, so that a character that changes does not blur where
 * the others come from. A segment begins at a character that can neither be reordered nor composed
 * with what is before it, in any form.
 */
#include "text/steps.h"

#include "base/mem.h"
#include "text/utf8.h"

#include <string.h>
#include <utf8proc.h>

/* Characters newer than the Unicode of Hugging Face's normalizers, which leave them alone: so models
 * were trained. Found by asking it. */
static const struct range {
    uint32_t from, to;
} unknown[] = {
    {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},
    {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x1715, 0x1715},
    {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},   {0x32ff, 0x32ff},   {0xa7f2, 0xa7f4},
    {0xa82c, 0xa82c},   {0xab69, 0xab69},   {0x10781, 0x10785}, {0x10787, 0x107b0},
    {0x107b2, 0x107ba}, {0x10d24, 0x10d27}, {0x10eab, 0x10eac}, {0x10efd, 0x10eff},
    {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b},
    {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11938, 0x11938}, {0x1193d, 0x1193e},
    {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47},
    {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97},
    {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f},
    {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef},
    {0x1f16c, 0x1f16c}, {0x1fbf0, 0x1fbf9},
};

static bool is_unknown(uint32_t c)
{
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown && unknown[i].from <= c; i++)
        if (c <= unknown[i].to) return true;
    return false;
}

/* Marks may move and compose; vowels and final consonants of Hangul compose, as do the characters
 * that a compatibility form turns into them. */
static bool begins_segment(uint32_t c)
{
    if (c < 0x300) return true;
    if ((c >= 0x1160 && c <= 0x11ff) || (c >= 0xd7b0 && c <= 0xd7ff)) return false;
    if ((c >= 0x3131 && c <= 0x318e) || (c >= 0xff9e && c <= 0xffdc)) return false;
    const utf8proc_property_t *p = utf8proc_get_property((utf8proc_int32_t)c);
    return p->combining_class == 0 &&
           (p->category < UTF8PROC_CATEGORY_MN || p->category > UTF8PROC_CATEGORY_ME);
}

static size_t char_at(uint32_t *code, const ph_flow *f, size_t at, size_t to)
{
    *code = 0;
    return ph__utf8_char(code, f->bytes + at, to - at);
}

/* Where the segment that begins at `at` ends. */
static size_t segment_end(const ph_flow *f, size_t at, size_t to)
{
    uint32_t c;
    at += char_at(&c, f, at, to);
    while (at < to && !is_unknown(c)) {
        const size_t step = char_at(&c, f, at, to);
        if (begins_segment(c) || is_unknown(c)) break;
        at += step;
    }
    return at;
}

static ph_status write_segment(ph_flow *out, utf8proc_option_t options, const ph_flow *in,
                               size_t from, size_t to, ph_error *err)
{
    ph_status st = PH_OK;
    utf8proc_int32_t few[64], *codes = few, *many = NULL;
    const utf8proc_uint8_t *text = (const utf8proc_uint8_t *)in->bytes + from;
    const utf8proc_ssize_t bytes = (utf8proc_ssize_t)(to - from);
    const size_t room = sizeof few / sizeof *few - 1; /* reencode writes a 0 behind */

    utf8proc_ssize_t n = utf8proc_decompose(text, bytes, few, (utf8proc_ssize_t)room, options);
    if (n > (utf8proc_ssize_t)room) {
        PH_GO(PH_NEW(&many, (size_t)n + 1, err));
        codes = many;
        n = utf8proc_decompose(text, bytes, codes, n, options);
    }
    if (n >= 0) n = utf8proc_reencode(codes, n, options);
    if (n < 0)
        PH_GO(ph__fail(err, PH_ETEXT, (int64_t)in->origin[from],
                       "the text cannot be normalised: %s", utf8proc_errmsg(n)));
    if (n == bytes && memcmp(codes, text, (size_t)n) == 0)
        PH_GO(ph__flow_copy(out, in, from, to, err));
    else
        PH_GO(ph__flow_put(out, (const char *)codes, (size_t)n, in->origin[from], err));
done:
    ph__free(many);
    return st;
}

ph_status ph__write_form(ph_flow *out, const ph_step *s, const ph_flow *in, ph_piece p,
                         ph_error *err)
{
    const utf8proc_option_t options =
        (utf8proc_option_t)(UTF8PROC_STABLE | (s->compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                            (s->compat ? UTF8PROC_COMPAT : 0));

    for (size_t at = p.from, end; at < p.to; at = end) {
        uint32_t c;
        char_at(&c, in, at, p.to);
        end = segment_end(in, at, p.to);
        if (end == at + 1 || is_unknown(c)) /* ASCII, or left alone */
            PH_TRY(ph__flow_copy(out, in, at, end, err));
        else
            PH_TRY(write_segment(out, options, in, at, end, err));
    }
    return PH_OK;
}

ph_status ph__write_lower(ph_flow *out, const ph_flow *in, ph_piece p, ph_error *err)
{
    for (size_t at = p.from, step; at < p.to; at += step) {
        uint32_t c;
        utf8proc_uint8_t to[4];
        step = char_at(&c, in, at, p.to);
        if (c == 0x130) { /* the only one whose small letter is two characters */
            PH_TRY(ph__flow_put(out, "i\xcc\x87", 3, in->origin[at], err));
            continue;
        }
        const utf8proc_int32_t low = utf8proc_tolower((utf8proc_int32_t)c);
        if (low == (utf8proc_int32_t)c)
            PH_TRY(ph__flow_copy(out, in, at, at + step, err));
        else
            PH_TRY(ph__flow_put(out, (char *)to, (size_t)utf8proc_encode_char(low, to),
                                in->origin[at], err));
    }
    return PH_OK;
}

ph_status ph__write_stripped(ph_flow *out, const ph_step *s, const ph_flow *in, ph_piece p,
                             ph_error *err)
{
    size_t from = p.from, to = p.to;
    if (s->left) from += ph__utf8_spaces(in->bytes + from, to - from);
    if (s->right) to -= ph__utf8_spaces_before(in->bytes + from, to - from);
    return ph__flow_copy(out, in, from, to, err);
}
