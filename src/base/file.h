/* file.h — files: read-only mapping, hash, whole writes. */
#ifndef PH_FILE_H
#define PH_FILE_H

#include "base/mem.h"

/* A file mapped read-only and private; {0} is the empty one. */
typedef struct ph_map {
    const uint8_t *bytes;
    size_t size;
} ph_map;

/* Errors: PH_EIO with the path and the system's reason; an empty file or a directory is PH_EIO. */
ph_status ph__map_open(ph_map *out, const char *path, ph_error *err);
void ph__map_close(ph_map *map);
/* Whole pages inside of n bytes of a mapping leave memory until they are read again. */
void ph__map_let_go(const void *bytes, size_t n);

/* sha256 in hexadecimal, 64 characters and a 0. */
ph_status ph__sha256(char out[65], const void *bytes, size_t n, ph_error *err);
/* The same of n files, one after the other. */
ph_status ph__sha256_files(char out[65], const ph_map *files, size_t n, ph_error *err);

/* Write a file whole or not at all: a temporary beside it, then renamed over it. */
ph_status ph__file_write(const char *path, const void *bytes, size_t n, ph_error *err);

#endif
