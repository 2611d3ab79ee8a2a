/* jobs.h — searches that were started from the page: one at a time works, the others wait.
 *
 * A search lives as long as the server and keeps its lines, the very ones that dream --json prints, and
 * the way to them. Whoever watches may come and go. Nothing is in the store before it is kept.
 */
#ifndef JOBS_H
#define JOBS_H

#include "models.h"

enum {
    JOBS_WAITING = 16, /* searches that may wait … */
    JOBS_KNOWN = 40,   /* … and that are known in all: an older one that ended is forgotten */
    JOBS_LINE_BYTES = 8 << 20, /* of one search's lines: then it ends */
    JOBS_GLIMPSES = 4096       /* of one search; after that only its progress is told */
};

struct jobs;
struct job;

ph_status jobs_open(struct jobs **out, struct models *models, struct archive *archive,
                    const struct common *c, ph_error *err);
/* End the search at work, begin no other, let every watcher hear of it; what was to be kept is. */
void jobs_stop(struct jobs *jobs);
/* When nobody asks any more. */
void jobs_close(struct jobs **jobs);

/* Begin a search, "features" of a "model" with "options", as soon as it is its turn. pos of an error is
 * a byte of "features". PH_ENOMEM: too many wait. */
ph_status jobs_add(struct jobs *jobs, char id[17], const json_t *wish, ph_error *err);
/* Everything of a search, as JSON on a stream; false: unknown. All of them in short. */
bool jobs_state(struct jobs *jobs, const char *id, FILE *out);
json_t *jobs_list(struct jobs *jobs);
/* false: unknown. A search that has ended does not change. */
bool jobs_cancel(struct jobs *jobs, const char *id);
/* Keep its lines in the store: now, and when it ends those that are still to come. *found = false:
 * unknown. */
ph_status jobs_keep(struct jobs *jobs, const char *id, bool *found, ph_error *err);

/* ---- watching, for events.c ---- */

/* How much of a search somebody has seen. */
struct seen {
    size_t lines, glimpses;
    uint64_t version, progressed;
    bool ended;
};

/* A search, kept in memory until jobs_leave; NULL: unknown. */
struct job *jobs_watch(struct jobs *jobs, const char *id);
void jobs_leave(struct jobs *jobs, struct job *job);
/* Wait at most so long for something that was not seen, and write it as events. false: there is
 * nothing more to come. */
bool jobs_follow(struct jobs *jobs, struct job *job, struct seen *seen, double patience, FILE *out);

#endif
