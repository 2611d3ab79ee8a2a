/* compose.h — GGUF files from lines of tokens, for tests; include after cmocka.h.
 *
 * Tokens are separated by blanks:
 *
 *     GGUF                        the four bytes
 *     U8 I8 … F64 STRING ARRAY    a value type, as u32
 *     u8:N u16:N u32:N u64:N      a number            f32:X f64:X   a real
 *     s:TEXT   length and bytes                       x:HH          one byte
 *     z:N      N zeros                                pad:N         zeros to a multiple of N
 */
#ifndef PH_COMPOSE_H
#define PH_COMPOSE_H

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

static inline void compose_bytes(ph_str *s, const void *bytes, size_t n)
{
    assert_int_equal(ph__str_add(s, bytes, n, NULL), PH_OK);
}

static inline void compose_number(ph_str *s, uint64_t x, size_t bytes)
{
    compose_bytes(s, &x, bytes);
}

static inline void compose_zeros(ph_str *s, size_t n)
{
    for (size_t i = 0; i < n; i++) compose_bytes(s, "", 1);
}

static inline void compose_token(ph_str *s, const char *token)
{
    static const char *const types[] = {"U8",   "I8",     "U16",   "I16", "U32", "I32", "F32",
                                        "BOOL", "STRING", "ARRAY", "U64", "I64", "F64"};
    const char *colon = strchr(token, ':'), *value = colon ? colon + 1 : "";
    const double real = strtod(value, NULL);
    const float single = (float)real;
    const size_t length = colon ? (size_t)(colon - token) : strlen(token);
    char kind[8] = "";

    assert_true(length < sizeof kind);
    memcpy(kind, token, length);
    for (uint32_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(kind, types[i]) == 0) {
            compose_bytes(s, &i, 4);
            return;
        }
    if (strcmp(kind, "GGUF") == 0) {
        compose_bytes(s, "GGUF", 4);
    } else if (strcmp(kind, "f32") == 0) {
        compose_bytes(s, &single, 4);
    } else if (strcmp(kind, "f64") == 0) {
        compose_bytes(s, &real, 8);
    } else if (kind[0] == 'u') {
        compose_number(s, strtoull(value, NULL, 0), (size_t)strtoul(kind + 1, NULL, 10) / 8);
    } else if (strcmp(kind, "s") == 0) {
        compose_number(s, strlen(value), 8);
        compose_bytes(s, value, strlen(value));
    } else if (strcmp(kind, "x") == 0) {
        compose_number(s, strtoull(value, NULL, 16), 1);
    } else if (strcmp(kind, "z") == 0) {
        compose_zeros(s, strtoul(value, NULL, 10));
    } else if (strcmp(kind, "pad") == 0) {
        while (s->size % strtoul(value, NULL, 10) != 0) compose_zeros(s, 1);
    } else {
        fail_msg("the test's token '%s' means nothing", token);
    }
}

static inline void compose(ph_str *s, const char *line)
{
    char token[160];
    while (*line) {
        const size_t n = strcspn(line, " ");
        assert_true(n < sizeof token);
        memcpy(token, line, n);
        token[n] = 0;
        if (n) compose_token(s, token);
        line += n + (line[n] != 0);
    }
}

#endif
