/* status.h — how far sweeps are, read from the store alone. */
#ifndef STATUS_H
#define STATUS_H

#include "units.h"

struct status_row {                     /* of a sweep's run */
    char *run, *method, *model, *input; /* owned */
    int64_t seed, units, features;
    int64_t done, under_way;
    double cost, cost_done, seconds; /* seconds: of the done units whose time is known … */
    double cost_timed;               /* … and their cost */
    char **labels;                   /* of done units; owned */
    size_t n_labels;
};

struct status {
    struct status_row *rows;
    size_t n;
    int64_t units, done, under_way;
    double per_minute; /* units, by those that are under way */
    double left;       /* seconds at that rate; of one worker if nobody works; NaN: not known yet */
};

/* Of all sweeps of the store, or of one plan's runs only. */
ph_status status_read(struct status *s, ph_store *store, const struct units *only, ph_error *err);
void status_free(struct status *s);

/* "12 of 40 units, 2 under way, 3.1 a minute, 9 min left" */
void status_line(const struct status *s, FILE *out);
/* A table, or with --json a line for each run and one of all together. */
void status_print(const struct status *s, bool json);

#endif
