/* among.h — options of searches among tokens: budgets, what may be an answer, sizes. */
#ifndef AMONG_H
#define AMONG_H

#include "opt.h"

/* --budget, --time, --no-share, --round-trip, --outliers, --top-k, --width and --stay: a child of a
 * command's argp whose input is its ph_dream_options. */
extern const struct argp among_argp;

/* Of --outliers: what stands behind it, and back. */
ph_outliers parse_outliers(struct argp_state *state, const char *arg);
const char *outliers_name(ph_outliers which);

/* Add to the run line's settings. */
void among_settings(json_t *settings, const ph_dream_options *o);

#endif
