/* alphabet.c — the alphabet of byte-level tokenizers.
 *
 * Printable Latin-1 stands for itself, U+0100 … U+0143 for the 68 bytes that are not, in their
 * order.
 */
#include "text/alphabet.h"

#include "text/utf8.h"

static bool is_itself(uint32_t code)
{
    return ((code >= 0x21 && code <= 0x7e) || (code >= 0xa1 && code <= 0xff)) && code != 0xad;
}

int ph__alphabet_byte(uint32_t code)
{
    if (is_itself(code)) return (int)code;
    if (code < 0x100 || code > 0x143) return -1;
    const uint32_t i = code - 0x100;
    return (int)(i <= 0x20 ? i : i <= 0x42 ? 0x7f + i - 0x21 : 0xad);
}

size_t ph__alphabet_write(char out[2], uint8_t byte)
{
    const uint32_t b = byte;
    const uint32_t code = is_itself(b) ? b
                          : b <= 0x20  ? 0x100 + b
                          : b == 0xad  ? 0x143
                                       : 0x121 + b - 0x7f;
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    out[0] = (char)(0xc0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3f));
    return 2;
}

bool ph__alphabet_read(char *out, size_t *size, const char *text, size_t n)
{
    size_t used = 0;
    for (size_t i = 0, step; i < n; i += step) {
        uint32_t code;
        step = ph__utf8_char(&code, text + i, n - i);
        const int byte = step ? ph__alphabet_byte(code) : -1;
        if (byte < 0) return false;
        out[used++] = (char)byte;
    }
    *size = used;
    return true;
}
