/* plan.h — what a sweep is to do: the options of phosphene sweep, from a file or the command line. */
#ifndef PLAN_H
#define PLAN_H

#include "dreaming.h"

enum { PLAN_FEATURES = 1024, PLAN_METHODS = 16, PLAN_SEEDS = 1024 };

struct plan {
    struct common common; /* first: common_argp sees it */
    struct dreaming dreaming;
    struct plan_features {
        const char *specs;
        int line; /* of the file; 0: of the command line */
    } features[PLAN_FEATURES];
    const char *methods[PLAN_METHODS];
    uint64_t seeds[PLAN_SEEDS];
    int n_features, n_methods, n_seeds;
    int64_t unit, list; /* features of a unit; tokens in a scan's lists */
    int64_t lease;      /* seconds */
    int workers;
    bool worker, status;
    bool dry; /* options are only looked at */
    /* of the file; all NULL without one */
    const char *path;
    char *text;
    char **args; /* its lines as options */
    int *lines;  /* where each stands */
    int n_args;
};

/* Read the file: `key = value` a line is the option --key=value, a key alone the option --key, and
 * # at the beginning or behind a blank begins a comment. A mistake ends the program with status 2 and says
 * the line. */
void plan_read(struct plan *p, const char *path, const struct argp *argp);
/* The line of the file that the argument at this place of the joined command line came from; 0: it
 * is the user's own. */
int plan_line(const struct plan *p, int at);
void plan_free(struct plan *p);

#endif
