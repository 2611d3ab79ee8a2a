/* spm.c — how SentencePiece writes tokens. */
#include "text/spm.h"

#include <string.h>

static const char blank[] = "▁";
enum { WIDE = sizeof blank - 1 };

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int ph__spm_byte(const char *token, size_t n)
{
    if (n != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>') return -1;
    return digit(token[3]) < 0 || digit(token[4]) < 0 ? -1 : 16 * digit(token[3]) + digit(token[4]);
}

size_t ph__spm_blanks(char *out, const char *token, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n;) {
        if (n - i >= WIDE && memcmp(token + i, blank, WIDE) == 0) {
            out[at++] = ' ';
            i += WIDE;
        } else {
            out[at++] = token[i++];
        }
    }
    return at;
}

size_t ph__spm_piece(char *out, const char *token, size_t n)
{
    const int byte = ph__spm_byte(token, n);
    if (byte < 0) return ph__spm_blanks(out, token, n);
    out[0] = (char)byte;
    return 1;
}

/* What has nothing but blanks becomes nothing, before which none is put. */
static ph_status squeeze_steps(ph_steps *out, bool before, ph_error *err)
{
    static const char ends[] = "\\A +| +\\z| (?= )", begin[] = "\\A(?=[\\s\\S])";
    PH_TRY(ph__steps_replace(out, ends, sizeof ends - 1, false, "", 0, err));
    if (!before) return PH_OK;
    return ph__steps_replace(out, begin, sizeof begin - 1, false, blank, WIDE, err);
}

ph_status ph__spm_steps(ph_steps *out, bool before, bool squeeze, ph_error *err)
{
    if (squeeze) PH_TRY(squeeze_steps(out, before, err));
    if (before && !squeeze) PH_TRY(ph__steps_prepend(out, blank, WIDE, false, false, err));
    return ph__steps_replace(out, " ", 1, true, blank, WIDE, err);
}
