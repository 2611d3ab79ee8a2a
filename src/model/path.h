/* path.h — the way from the embedding to a tap: which blocks, and what their matrices come to. */
#ifndef PH_PATH_H
#define PH_PATH_H

#include "model/arch.h"

typedef struct ph_path {
    ph_tap tap;
    int64_t first, last; /* blocks that are run, from 1; last < first: none */
} ph_path;

ph_path ph__path(ph_tap tap, const ph_arch *a);
/* Where block n is left: the tap's place in the last block, its output before. */
ph_place ph__path_stop(const ph_path *p, int64_t n);
/* Weights that a token passes. */
double ph__path_parameters(const ph_path *p, const ph_arch *a);
/* Bytes of those matrices, packed one way, elements of `element` bytes. */
size_t ph__path_bytes(const ph_path *p, const ph_arch *a, size_t element);

#endif
