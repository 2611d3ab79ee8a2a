/* pattern.h — regular expressions as tokenizers write them, run by PCRE2. */
#ifndef PH_PATTERN_H
#define PH_PATTERN_H

#include "base/err.h"

#include <stdbool.h>

/* Does not change after it was opened. */
typedef struct ph_pattern {
    void *code;
} ph_pattern;

/* Compile n bytes of UTF-8 in the language of Hugging Face's tokenizer.json (Oniguruma, Ruby
 * syntax), or, with `literal`, what matches exactly these bytes. Errors: PH_EUNSUPPORTED with the
 * expression. */
ph_status ph__pattern_open(ph_pattern *out, const char *text, size_t n, bool literal,
                           ph_error *err);
void ph__pattern_close(ph_pattern *p);

/* What matching needs, for one thread and any pattern; {0} before the first use. */
typedef struct ph_match {
    void *data, *limits;
} ph_match;

ph_status ph__match_open(ph_match *out, ph_error *err);
void ph__match_close(ph_match *m);

/* The next match in text[0 … n), valid UTF-8: *found, and where it is, *from and *to. A search
 * begins at *to and passes over an empty match at `last`, where the one before ended
 * ((size_t)-1: none before). Nothing outside of the n bytes is looked at. */
ph_status ph__match_next(bool *found, size_t *from, size_t *to, const ph_pattern *p, ph_match *m,
                         const char *text, size_t n, size_t last, ph_error *err);

#endif
