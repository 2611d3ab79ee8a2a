/* safetensors_out.h — arrays in a file that safetensors.numpy.load_file reads. */
#ifndef SAFETENSORS_OUT_H
#define SAFETENSORS_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct safetensors_out;

/* As in npz.h, types in NumPy's names too; bytes, "|S12", become a last axis of numbers. */
struct safetensors_out *safetensors_out_new(void);
bool safetensors_out_add(struct safetensors_out *s, const char *name, const char *type, size_t size,
                         const int64_t *shape, int dims, const void *data);
/* Write everything to stdout. NULL, or what went wrong (to be freed). */
char *safetensors_out_write(struct safetensors_out *s);
void safetensors_out_free(struct safetensors_out *s);

#endif
