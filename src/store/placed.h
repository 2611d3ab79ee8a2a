/* placed.h — where in a model a canonical form lies, read without a model. */
#ifndef PH_PLACED_H
#define PH_PLACED_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ph_placed {
    char place[16];    /* "block", "only mlp", … "other" for sums, directions and latents */
    int64_t block;     /* 0 where there is none */
    int64_t component; /* of a feature of one component, else -1 */
    bool whole;        /* at every token */
} ph_placed;

ph_placed ph__placed(const char *feature);

#endif
