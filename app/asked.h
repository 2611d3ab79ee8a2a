/* asked.h — what part of the store a command is asked for: options and SPECs of show, export and their
 * like. */
#ifndef ASKED_H
#define ASKED_H

#include "opt.h"

/* A command's own options struct begins with it. */
struct asked {
    struct common common;
    ph_store_query q;
    char *specs; /* owned */
    char *path;  /* of the store, owned */
};

/* The options, to be a child of a command's argp; its input is the struct asked. */
extern const struct argp asked_argp;

/* Defaults, then the command's parser over argv, as parse_options does it. */
void asked_parse(struct asked *a, const struct argp *argp, int argc, char **argv);
/* Open the store that is meant: for reading. */
ph_status asked_open(ph_store **out, struct asked *a, ph_error *err);
void asked_free(struct asked *a);
/* A row of a view. NULL: a line of the store is damaged, and *err says whose. */
json_t *asked_row(const char *row, size_t bytes, ph_error *err);

#endif
