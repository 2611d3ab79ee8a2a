/* wish.h — what a request asks a search for: a JSON object of options as those of the command line.
 *
 * Every number is within limits that keep one search's time and memory bounded.
 */
#ifndef WISH_H
#define WISH_H

#include "../opt.h"

enum { WISH_FEATURES = 64 };

/* Fill in options from an object (NULL: none are asked for); texts are borrowed from it. The run's are
 * in o->run. PH_EINVAL names the option. Then what is left to the method is filled in. */
ph_status wish_dream(ph_dream_options *o, const json_t *options, ph_error *err);
/* The same of what is not of a search: bos, prefix, suffix, reduce, sign. */
ph_status wish_run(ph_run_options *o, const json_t *options, ph_error *err);
/* What may be asked for, for the page: methods, objectives, …, limits. */
json_t *wish_menu(void);

#endif
