/* given.h — a text, ids or a file from the command line, for score, attribute and their like. */
#ifndef GIVEN_H
#define GIVEN_H

#include "opt.h"

struct given {
    ph_text text;
    int32_t *ids; /* owned, of --ids */
};

enum { KEY_IDS = 3000 };
#define GIVEN_OPTION                                                                               \
    {                                                                                              \
        "ids", KEY_IDS, "N,…", 0, "Token ids in place of TEXT", 0                                  \
    }

/* *ids (calloc) = the n ids of an option's value, "5,6,7"; a mistake is a usage error. */
void parse_ids(struct argp_state *state, const char *option, const char *arg, int32_t **ids,
               size_t *n);
/* Take the value of --ids. */
void given_ids(struct given *g, const char *arg, struct argp_state *state);
/* Take TEXT off the end of the positional arguments, unless ids were given; false (after a message)
 * if too few words are left for the specs. */
bool given_text(struct given *g, struct common *c);
void given_free(struct given *g);
/* *text (to be freed) = what a file holds. PH_EIO: "path: why". */
ph_status given_file(char **text, size_t *bytes, const char *path, ph_error *err);

#endif
