/* keep.h — the store that a command's lines go to as they are made. */
#ifndef KEEP_H
#define KEEP_H

#include "opt.h"

/* Where the store is: --store, $PHOSPHENE_STORE, or the user's own; to be freed. */
char *keep_path(const struct common *c);
/* Open it, if this command keeps what it finds. A store that cannot be written is an error where it
 * was named, else a warning. */
ph_status keep_begin(struct common *c, ph_error *err);
/* Whether lines are wanted. */
bool keeping(const struct common *c);
/* Keep a line; false if the command must stop: the store was named and cannot be written any more. */
bool keep_line(const struct common *c, const char *line, size_t bytes);
/* From now on keep lines by the hundred: what comes fast and can be had again. */
void keep_together(const struct common *c);
/* The end of it: st, or what became of the store if that is worse. */
ph_status keep_end(struct common *c, ph_status st, ph_error *err);

#endif
