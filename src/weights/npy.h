/* npy.h — one array of NumPy's, as a tensor. */
#ifndef PH_NPY_H
#define PH_NPY_H

#include "weights/weights.h"

/* A .npy file in memory: floats of 2, 4 or 8 bytes, little-endian, in C order, of 1 or 2
 * dimensions. *out borrows the bytes; it has no name. Errors do not name the file. */
ph_status ph__npy_parse(ph_tensor *out, const uint8_t *bytes, size_t size, ph_error *err);

#endif
