/* resume.h — the state of a search among tokens in the job's cache folder, so that one that was
 * interrupted goes on as if it never had been.
 *
 * A file is named after everything that the search depends on but its time limit. It goes when the
 * whole dream is done.
 */
#ifndef PH_RESUME_H
#define PH_RESUME_H

#include "search/hunt.h"

/* A part of a method's own state; pointers in it are the method's to put right after loading. */
typedef struct ph_part {
    void *at;
    size_t bytes;
} ph_part;

/* *path = the file for this search, NULL without a cache; the task's. `method` names the layout of
 * the parts, too. */
ph_status ph__resume_path(const char **path, ph_hunt *h, const char *method, ph_error *err);
/* Write the state; a folder that takes no more costs the resuming, not the search. */
ph_status ph__resume_save(const char *path, const ph_hunt *h, const ph_part *parts, size_t n,
                          ph_error *err);
/* *found: the state was there, whole, and has been taken over. */
ph_status ph__resume_load(bool *found, const char *path, ph_hunt *h, const ph_part *parts, size_t n,
                          ph_error *err);

/* A dream that is done forgets the states of its searches; else they are only let go of. */
void ph__resume_close(ph_task *task, bool done);

#endif
