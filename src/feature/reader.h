/* reader.h — reading the feature language: bytes, words, numbers, and what to say of a wrong one.
 *
 * What stands for a rule of the grammar is in spec.c (one place and its region) and expr.c (sums).
 * Blanks behind what is taken are skipped with it.
 */
#ifndef PH_READER_H
#define PH_READER_H

#include "base/err.h"

/* Numbers stop short of PH_END, so that the end of an index, n + 1, is a number and not PH_END. */
#define PH_NUMBER_MAX (INT64_MAX - 2)
#define PH_FOUND_MAX  48

typedef struct ph_reader {
    const char *text;
    int64_t at;
    const ph_model_info *model; /* NULL: of none, any place and number goes */
    ph_error *err;
} ph_reader;

char ph__read_peek(const ph_reader *r);
bool ph__is_digit(char c);
void ph__read_skip(ph_reader *r);
bool ph__read_take(ph_reader *r, char c);
/* Length of the word at s; that of a hook's name may hold digits and dots. */
int ph__read_word_length(const char *s, bool hook);
bool ph__read_word_is(const char *s, int n, const char *word);
/* Take `word` if it is what stands here. */
bool ph__read_take_word(ph_reader *r, const char *word);
/* What stands here, printable whatever the bytes are. */
const char *ph__read_found(char out[PH_FOUND_MAX], const ph_reader *r);
/* "expected …, found …" */
ph_status ph__read_expected(const ph_reader *r, const char *what);
/* N = digit { digit }; blanks behind it stay. */
ph_status ph__read_number(ph_reader *r, int64_t *out, const char *what);
/* A name of a file: up to a blank or one of " @[#" and the end, or in double quotes, where a
 * backslash stands before a quote or backslash. *out is freed with ph__free. */
ph_status ph__read_file_name(ph_reader *r, char **out);
/* Text in double quotes, as above. */
ph_status ph__read_quoted(ph_reader *r, char **out);

#endif
