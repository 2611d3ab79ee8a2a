/* lines.h — results as lines of the contract, whoever asked for them. */
#ifndef LINES_H
#define LINES_H

#include "emit.h"

/* Where results come from. */
struct line_source {
    const char *run; /* id of the run line */
    const ph_tokenizer *tokenizer;
    const ph_run_options *options;
};

/* Each makes one line, owned by the caller; NULL if out of memory. corpus may be NULL. */
json_t *dream_line(const struct line_source *w, const ph_dream_result *r, const ph_corpus *corpus);
json_t *scan_line(const struct line_source *w, const ph_scan_result *r);
json_t *survey_line(const struct line_source *w, const ph_survey_result *r);
json_t *recover_line(const struct line_source *w, const ph_recover_result *r);
/* attribute: of ph_attribute. */
json_t *score_line(const struct line_source *w, const ph_score_result *r, bool attribute);

#endif
