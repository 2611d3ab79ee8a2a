/* dreaming.h — what to ask of ph_dream: options, for the commands that call it. */
#ifndef DREAMING_H
#define DREAMING_H

#include "allow.h"

struct dreaming {
    ph_dream_options o; /* PH_DREAM_OPTIONS_INIT before parse_options */
    struct allow allow; /* o.constraints are its, once it is opened */
    unsigned
        descends; /* options of descents that were given: they are what is meant, unless said */
};

/* Everything that belongs to a method but its choice: a child of a command's argp whose input is a struct
 * dreaming. */
extern const struct argp dreaming_argp;

bool is_method(const char *name);
/* What was given that none of these methods looks at, in words to be freed; NULL: nothing. */
char *dreaming_unused(const struct dreaming *d, const char *const *methods, int n);

/* The settings of a dream for its run line, those that are common to all commands among them. */
json_t *dream_settings(const ph_dream_options *o, const struct common *common,
                       const struct allow *allow);

#endif
