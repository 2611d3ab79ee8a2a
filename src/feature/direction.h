/* direction.h — a direction at a place, read from a file.
 *
 *   FILE.npy          an array (width), or one row (rows,width) that `name` counts from 0
 *   FILE.safetensors  the tensor `name`; without: the only one, "direction.N", or the hook's name
 *   FILE.gguf         the same: "direction.N" is how control vectors call that of block N+1
 *
 * The file is read by what it holds, not by its ending.
 */
#ifndef PH_DIRECTION_H
#define PH_DIRECTION_H

#include "base/err.h"

/* d (width). name NULL: none. Errors name the file. */
ph_status ph__direction_read(float *d, const char *path, const char *name, ph_tap tap,
                             int64_t width, ph_error *err);

#endif
