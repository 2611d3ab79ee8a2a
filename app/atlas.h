/* atlas.h — phosphene scan without SPEC: every feature, as a table or a file. */
#ifndef ATLAS_H
#define ATLAS_H

#include "search.h"

/* The endings of --output FILE, in words; and whether a path has one of them. */
#define ATLAS_ENDINGS ".jsonl, .csv, .npz or .safetensors"
bool atlas_writes(const char *path);
/* true for .jsonl, which a scan of single features can write too. */
bool atlas_writes_lines(const char *path);

/* Survey a subject's model (it needs no features) and print the result, or write it to `path` if
 * that is not NULL. */
ph_status atlas_run(struct subject *s, struct common *c, const ph_survey_options *o,
                    const char *path, ph_error *err);

#endif
