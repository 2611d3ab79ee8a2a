/* arrays.h — lines of the store as NumPy arrays. */
#ifndef ARRAYS_H
#define ARRAYS_H

#include <jansson.h>
#include <stdbool.h>

/* Write lines (dream and scan; others are left out) into a .npz; places gives for each feature an object
 * with place, block and component, runs for each run its run line. NULL, or what went wrong (to be
 * freed). */
char *arrays_write(const json_t *lines, const json_t *places, const json_t *runs);

#endif
