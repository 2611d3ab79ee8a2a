/* selection.h — which features of the store: the options that show, export and report share. */
#ifndef SELECTION_H
#define SELECTION_H

#include "opt.h"

struct selection {
    struct common common;
    char *store; /* owned */
    ph_store_query query;
    char words[200]; /* the same for people */
};

/* To be a child of a command's argp; its input is the struct selection. */
extern const struct argp selection_argp;

/* Defaults, at most `limit` features, then the command's own parser over argv. */
void selection_parse(struct selection *s, const struct argp *argp, int64_t limit, int argc,
                     char **argv);
void selection_free(struct selection *s);

#endif
