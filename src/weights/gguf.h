/* gguf.h — what gguf.c and weights.c share: the parsed file, and its metadata by element.
 *
 * Private to this room and to what looks inside it (tests, fuzzing).
 */
#ifndef PH_GGUF_H
#define PH_GGUF_H

#include "base/file.h"
#include "weights/weights.h"

/* What we are willing to read. Counts are also bounded by what the file's size can hold. */
enum {
    PH_GGUF_KEYS_MAX = 1 << 16,
    PH_GGUF_TENSORS_MAX = 1 << 16,
    PH_GGUF_KEY_BYTES_MAX = (1 << 16) - 1,
    PH_GGUF_TENSOR_NAME_MAX = 127,
    PH_GGUF_STRING_MAX = 1 << 26,
    PH_GGUF_ARRAY_MAX = 1 << 26,
    PH_GGUF_DIMS_MAX = 4
};

typedef enum ph_gguf_type { /* of values; numbers as in GGUF */
                            PH_GGUF_U8,
                            PH_GGUF_I8,
                            PH_GGUF_U16,
                            PH_GGUF_I16,
                            PH_GGUF_U32,
                            PH_GGUF_I32,
                            PH_GGUF_F32,
                            PH_GGUF_BOOL,
                            PH_GGUF_STRING,
                            PH_GGUF_ARRAY,
                            PH_GGUF_U64,
                            PH_GGUF_I64,
                            PH_GGUF_F64,
                            PH_GGUF_TYPE_COUNT
} ph_gguf_type;

typedef struct ph_value {
    ph_bytes key;
    size_t pos;        /* where the key stands in the file */
    ph_gguf_type type; /* of the elements: never PH_GGUF_ARRAY */
    bool array;
    size_t count;   /* 1 where it is no array */
    size_t at;      /* offset of the first element */
    size_t *starts; /* strings: offset of each element */
} ph_value;

/* An entry of an index that is sorted by name. */
typedef struct ph_name {
    ph_bytes name;
    size_t item;
} ph_name;

typedef char ph_tensor_name[PH_GGUF_TENSOR_NAME_MAX + 1];

struct ph_weights {
    ph_map map; /* {0} where the caller owns the bytes */
    ph_bytes file;
    ph_value *values;
    size_t n_values;
    ph_name *value_index;
    ph_tensor *tensors;
    size_t n_tensors;
    ph_tensor_name *names; /* of the tensors, with a 0 */
    ph_name *tensor_index;

    /* Of a folder: `map` is its config.json, `file` GGUF's keys made of that, tensors are the shards'. */
    char *folder, *keys;
    ph_weights **shards;
    size_t n_shards;
    uint8_t **made;    /* data of tensors that were rearranged, NULL or owned, as many as tensors */
    ph_weights **rest; /* the parts behind the first (split.h), whose tensors stand above */
    size_t n_rest;
};

/* Fill the empty *w from w->file. On failure *w holds what was read so far, to be closed. */
ph_status ph__gguf_parse(ph_weights *w, ph_error *err);

/* Sort an index; the entry that repeats the name before it, NULL if all are different. */
const ph_name *ph__index_sort(ph_name *index, size_t n);
/* SIZE_MAX if there is none of that name. */
size_t ph__gguf_find(const ph_name *index, size_t n, const char *name);
const char *ph__gguf_value_type_name(ph_gguf_type type);

/* Element i < count of a value of a fitting type. An integer that does not fit is false. */
bool ph__value_integer(int64_t *out, const ph_weights *w, const ph_value *v, size_t i);
double ph__value_real(const ph_weights *w, const ph_value *v, size_t i);
ph_bytes ph__value_string(const ph_weights *w, const ph_value *v, size_t i);

#endif
