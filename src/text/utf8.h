/* utf8.h — reading UTF-8 and telling where it is not. */
#ifndef PH_UTF8_H
#define PH_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the character at p, of which n > 0 bytes are there; 0 if they do not begin with one.
 * *code (NULL allowed) is its code point. Surrogates, overlong forms and what lies above U+10FFFF
 * are no characters. */
size_t ph__utf8_char(uint32_t *code, const char *p, size_t n);

/* Length of the maximal subpart at p, where no character begins: what one U+FFFD stands for
 * (Unicode 15, section 3.9; the same as Python's errors="replace"). n > 0. */
size_t ph__utf8_subpart(const char *p, size_t n);

/* Offset of the first byte that is not UTF-8; n if there is none. */
size_t ph__utf8_check(const char *p, size_t n);

/* How many bytes of white space (Unicode's White_Space) the n bytes of UTF-8 at p begin with, or end
 * with. */
size_t ph__utf8_spaces(const char *p, size_t n);
size_t ph__utf8_spaces_before(const char *p, size_t n);

/* Whether the UTF-8 at p begins, or ends, with a character of a word: a letter, mark, digit,
 * connector or joiner, as Rust's \w has it. */
bool ph__utf8_word(const char *p, size_t n);
bool ph__utf8_word_before(const char *p, size_t n);

/* Whether this is UTF-8 made of letters of any script, combining marks and blanks only. */
bool ph__utf8_letters(const char *p, size_t n);

#endif
