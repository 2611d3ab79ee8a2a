/* table.h — text for a terminal: columns by display width, quoted tokens, colours. */
#ifndef TABLE_H
#define TABLE_H

#include <phosphene.h>
#include <stdio.h>

/* Columns a valid UTF-8 text takes on a terminal. */
int display_width(const char *text);
/* Print text padded (width > 0 on the right, < 0 on the left) and cut with … to |width|. */
void cell(const char *text, int width);
/* Print printf-style, right-aligned in width columns; "–" for NaN. A number that is too wide gets fewer
 * digits, and is printed whole if none would do: it is never cut. */
void cell_number(double v, const char *format, int width);
/* *out (malloc) = the bytes in quotes: UTF-8 as it is, line breaks and control bytes escaped. */
char *quoted(const char *bytes, size_t n, char quote);
/* quoted() of a token, or "–" for id -1. */
char *quoted_token(const ph_tokenizer *t, int32_t id);

/* A curve as a line of blocks, ▁▃▅▇, no wider than width columns: each the highest of its share of the
 * values, from the lowest of all to the highest. Nothing for fewer than three or where all are one. */
void spark(const double *v, size_t n, int width);

/* true if stdout is a terminal that shows colours. */
bool colours(void);
/* Start a background between blue (-1), none (0) and orange (+1), in 24 bits or of 256 colours by
 * what the terminal says of itself; colour_end() ends it. */
void colour(double strength);
void colour_end(void);
/* Tokens one behind the other, each coloured by its value against the largest, and a line end. */
void coloured_tokens(const ph_tokenizer *t, const int32_t *ids, const double *values, size_t n);

#endif
