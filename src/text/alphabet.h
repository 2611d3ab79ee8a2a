/* alphabet.h — the alphabet of byte-level tokenizers: a printable character for each byte. */
#ifndef PH_ALPHABET_H
#define PH_ALPHABET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The byte of a character, -1 for one that is not in the alphabet. */
int ph__alphabet_byte(uint32_t code);
/* out = the character of a byte in UTF-8; returns its length, 1 or 2. */
size_t ph__alphabet_write(char out[2], uint8_t byte);
/* out = the *size bytes that n bytes of the alphabet stand for; false if they are none. */
bool ph__alphabet_read(char *out, size_t *size, const char *text, size_t n);

#endif
