/* dream_line.h — an answer as one object of JSON Lines, and the settings of its run: what the dream
 * command prints and the server sends. */
#ifndef DREAM_LINE_H
#define DREAM_LINE_H

#include "allow.h"

/* What stands around an answer; all borrowed. */
struct dream_said {
    const char *run; /* id of the run line */
    const ph_tokenizer *tokenizer;
    const ph_corpus *corpus; /* what it is compared with; NULL: nothing */
    const ph_run_options *options;
};

json_t *dream_line(const struct dream_said *said, const ph_dream_result *r);
/* For the run line. */
json_t *dream_settings(const ph_dream_options *o, const struct common *common,
                       const struct allow *allow);

#endif
