/* taken.h — what is taken from a line of the contract, to keep and search it by. */
#ifndef PH_TAKEN_H
#define PH_TAKEN_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>

/* A text of a line: n bytes, borrowed from its JSON; data NULL where there is none. */
typedef struct ph_said {
    const char *data;
    size_t n;
} ph_said;

/* Texts are borrowed from root; key is owned. */
typedef struct ph_taken {
    json_t *root;
    ph_said type, run, feature; /* of a run line run is its id */
    char *key;                  /* what tells a line apart from others of its run, type, feature */
    /* of a run line */
    char *model; /* the key of its model, owned */
    ph_said sha256, file, name, quant, family, command;
    int64_t blocks, width; /* 0: not said */
    int plain; /* 2: without prefix and suffix, plus 1: with the context of --bos auto */
    /* of the others; NaN: not said */
    ph_said method, text;
    int sign;
    int64_t rank;
    int cls; /* 4: breaks no constraint; 2: tokenises back; 1: no outlier norm */
    double activation, z, gap, mean, sd;
    const json_t *top, *bottom; /* of a scan; else NULL */
} ph_taken;

/* Take a line apart: PH_EFORMAT, with the byte where it is no JSON. */
ph_status ph__taken(ph_taken *out, const char *line, size_t bytes, ph_error *err);
void ph__taken_close(ph_taken *taken);
bool ph__taken_is_run(const ph_taken *taken);

#endif
