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

ph_status ph__spm_steps(ph_steps *out, bool before, ph_error *err)
{
    if (before) PH_TRY(ph__steps_prepend(out, blank, WIDE, false, false, err));
    return ph__steps_replace(out, " ", 1, true, blank, WIDE, err);
}
