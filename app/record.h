/* record.h — the runs of a contest in a file, as lines of the contract: each is added when it is done,
 * and a run that the file has is not run again.
 *
 * A run is the same if model, context, settings, feature, method, seed and budget are. The file belongs
 * to one process at a time. A last line that was not written to its end is cut off.
 */
#ifndef RECORD_H
#define RECORD_H

#include "contest.h"
#include "emit.h"

/* What tells the runs of a contest apart. */
struct run_name {
    const char *feature, *method;
    int64_t seed, budget;
};

struct record {
    const char *path; /* NULL: no record */
    int fd;
    json_t *runs; /* {"what is the same":line,…} */
    char *same;   /* what all runs of this contest have in common */
};

/* Read the file, or make it. On failure close all the same. */
ph_status record_open(struct record *r, const char *path, ph_error *err);
void record_close(struct record *r);
/* Another contest, by its run line (taken over), which is added. */
ph_status record_begin(struct record *r, json_t *run, ph_error *err);
/* *out = what a run came to (text owned by the caller), out->done whether the file has it. */
ph_status record_find(struct outcome *out, const struct record *r, const struct run_name *name,
                      ph_error *err);
/* A run that is done; the line is taken over. */
ph_status record_add(struct record *r, json_t *line, ph_error *err);

#endif
