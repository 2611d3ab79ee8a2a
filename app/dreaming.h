/* dreaming.h — what to ask of ph_dream: options, for the commands that call it. */
#ifndef DREAMING_H
#define DREAMING_H

#include "allow.h"

struct dreaming {
    ph_dream_options o; /* PH_DREAM_OPTIONS_INIT before parse_options */
    struct allow allow; /* o.constraints are its, once it is opened */
    bool descends;      /* an option of descents was given: they are what is meant, unless said */
};

/* Everything that belongs to a method but its choice: a child of a command's argp whose input is a struct
 * dreaming. */
extern const struct argp dreaming_argp;

#endif
