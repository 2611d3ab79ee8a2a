/* lines.h — texts one to a line: \n \r \t \\ and \xHH stand for bytes that a line cannot hold. */
#ifndef PH_LINES_H
#define PH_LINES_H

#include <stddef.h>
#include <string.h>

static inline int lines_hex(char c)
{
    const char *const digits = "0123456789abcdef";
    const char *p = c ? strchr(digits, c) : NULL;
    return p ? (int)(p - digits) : -1;
}

/* Undo the escapes of n bytes in place; returns how many bytes there are then, or (size_t)-1 for an
 * escape that is none. */
static inline size_t lines_unescape(char *s, size_t n)
{
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] != '\\') {
            s[out++] = s[i];
            continue;
        }
        const char c = i + 1 < n ? s[++i] : 0;
        if (c == 'x' && i + 2 < n && lines_hex(s[i + 1]) >= 0 && lines_hex(s[i + 2]) >= 0) {
            s[out++] = (char)(lines_hex(s[i + 1]) * 16 + lines_hex(s[i + 2]));
            i += 2;
        } else if (c == 'n' || c == 'r' || c == 't' || c == '\\') {
            s[out++] = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : '\\';
        } else {
            return (size_t)-1;
        }
    }
    return out;
}

#endif
