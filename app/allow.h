/* allow.h — which tokens a search may name: options, the file they read, the run line. */
#ifndef ALLOW_H
#define ALLOW_H

#include "opt.h"

struct allow {
    ph_constraints c;
    const char *path; /* of --allow, borrowed */
    char *text;       /* what it holds, owned */
    const char **ban; /* owned */
};

/* --ascii, --letters, --allow, --ban, --contains and --special: a child of a command's argp whose
 * input is a struct allow, all zero. */
extern const struct argp allow_argp;

/* Read the file, if one was named; c is complete then and lives as long as the struct. */
ph_status allow_open(struct allow *a, ph_error *err);
void allow_free(struct allow *a);
/* For the run line's settings. */
json_t *allow_json(const struct allow *a);

#endif
