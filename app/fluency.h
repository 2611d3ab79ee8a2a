/* fluency.h — how fluent the texts of a dream are: options, settings, the front in both forms. */
#ifndef FLUENCY_H
#define FLUENCY_H

#include "opt.h"

/* --fluent, --lambda and what belongs to epo: a child of a command's argp whose input is its
 * ph_dream_options. */
extern const struct argp fluency_argp;

/* Whether texts have a cross-entropy under these options. */
bool fluency_shown(const ph_dream_options *o);
/* Add to the run line's settings. */
void fluency_settings(json_t *settings, const ph_dream_options *o);
/* Add to a result's line: cross_entropy, and on the best answer's the front. */
void fluency_json(json_t *line, const ph_dream_result *r);
/* Beneath the best answer: the front, its texts in columns of these widths. */
void fluency_print(const ph_dream_result *r, int feature_width, int text_width);

#endif
