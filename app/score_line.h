/* score_line.h — a text's score or attribution as one object of JSON Lines: what score and attribute
 * print and the server sends. */
#ifndef SCORE_LINE_H
#define SCORE_LINE_H

#include "opt.h"

/* "type" is "attribute" where the result has gradients. run: the id of the run line. */
json_t *score_line(const char *run, const ph_tokenizer *t, const ph_run_options *o,
                   const ph_score_result *r);

#endif
