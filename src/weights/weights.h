/* weights.h — what a file of weights holds: named tensors and metadata, checked, not converted.
 *
 * Tensors and strings are borrowed from the mapped file. Rooms above ask for tensors by the shape
 * and for keys by the type they expect; a mismatch is an error that names the tensor or key.
 */
#ifndef PH_WEIGHTS_H
#define PH_WEIGHTS_H

#include "base/err.h"

typedef enum ph_dtype { /* our own numbering; quant.c maps GGUF's numbers to it */
                        PH_F32,
                        PH_F16,
                        PH_BF16,
                        PH_Q4_0,
                        PH_Q4_1,
                        PH_Q5_0,
                        PH_Q5_1,
                        PH_Q8_0,
                        PH_Q4_K,
                        PH_Q5_K,
                        PH_Q6_K,
                        PH_Q2_K,
                        PH_Q3_K,
                        PH_Q8_K,
                        PH_IQ4_NL,
                        PH_IQ4_XS,
                        PH_F64, /* not of GGUF */
                        PH_DTYPE_COUNT
} ph_dtype;

typedef struct ph_tensor {
    const char *name;
    ph_dtype type;
    int dims;
    int64_t shape[4]; /* slowest index first, the reverse of GGUF's own order; unused ones are 1 */
    const uint8_t *data;
    size_t bytes;
} ph_tensor;

/* A string of the file: not terminated by 0. */
typedef struct ph_bytes {
    const char *data;
    size_t size;
} ph_bytes;

typedef struct ph_weights ph_weights;

/* Open a GGUF or safetensors file, told by its first bytes, or a Hugging Face folder; any part of a
 * split GGUF opens all. On success *out is owned by the caller. */
ph_status ph__weights_open(ph_weights **out, const char *path, ph_error *err);
/* The same from memory that outlives *out (fuzzing, tests). */
ph_status ph__weights_parse(ph_weights **out, const uint8_t *bytes, size_t size, ph_error *err);
void ph__weights_close(ph_weights **w);
/* All files that were opened: their bytes, and what tells them from all else: the sha256 of a file (of
 * several parts, one after the other), or of a folder's config.json, shards and tokenizer. */
size_t ph__weights_bytes(const ph_weights *w);
ph_status ph__weights_sha256(char out[65], const ph_weights *w, ph_error *err);
/* The folder, NULL of a file. */
const char *ph__weights_folder(const ph_weights *w);

/* The pages of a mapped tensor are not needed for a while: they leave this process's memory, and come
 * back from the file when they are read again. */
void ph__weights_let_go(const ph_weights *w, const ph_tensor *t);

size_t ph__weights_count(const ph_weights *w);
const ph_tensor *ph__weights_at(const ph_weights *w, size_t i);
/* NULL if there is none of that name. */
const ph_tensor *ph__weights_find(const ph_weights *w, const char *name);
/* A tensor that must be there with this shape (unused dimensions 1); the message says what is. */
ph_status ph__weights_need(const ph_tensor **out, const ph_weights *w, const char *name,
                           int64_t rows, int64_t columns, ph_error *err);

/* Metadata. find: true if the key exists. A value of another type is PH_EFORMAT naming the key;
 * where the key is absent, *out keeps the value that it had, the default. Integers of any width
 * and bool are taken where an integer is asked for, f32 and f64 where a real is. */
bool ph__meta_has(const ph_weights *w, const char *key);
ph_status ph__meta_int(int64_t *out, const ph_weights *w, const char *key, ph_error *err);
ph_status ph__meta_real(double *out, const ph_weights *w, const char *key, ph_error *err);
ph_status ph__meta_bool(bool *out, const ph_weights *w, const char *key, ph_error *err);
ph_status ph__meta_string(ph_bytes *out, const ph_weights *w, const char *key, ph_error *err);
/* Arrays: *n elements, or 0 if the key is absent. */
ph_status ph__meta_strings(size_t *n, const ph_weights *w, const char *key, ph_error *err);
ph_status ph__meta_numbers(size_t *n, const ph_weights *w, const char *key, ph_error *err);
/* Element i of an array that the calls above have accepted. */
ph_bytes ph__meta_string_at(const ph_weights *w, const char *key, size_t i);
double ph__meta_number_at(const ph_weights *w, const char *key, size_t i);

/* A string of the file as a C string of the caller's (ph__free). */
ph_status ph__bytes_dup(char **out, ph_bytes s, ph_error *err);

#endif
