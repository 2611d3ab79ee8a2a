/* folder.h — a Hugging Face folder as if it were a GGUF file: tensors and keys have GGUF's names.
 *
 * Private to this room and to what looks inside it (tests, fuzzing). config.json becomes the bytes of
 * GGUF's keys, which gguf.c reads, so that rooms above know of one kind of file only.
 */
#ifndef PH_FOLDER_H
#define PH_FOLDER_H

#include "base/buf.h"
#include "base/json.h"
#include "weights/gguf.h"

/* Kinds of models that config.json names, as bits. */
enum {
    PH_HF_LLAMA = 1 << 0,
    PH_HF_QWEN2 = 1 << 1,
    PH_HF_QWEN3 = 1 << 2,
    PH_HF_GEMMA = 1 << 3,
    PH_HF_GEMMA2 = 1 << 4,
    PH_HF_GEMMA3 = 1 << 5,
    PH_HF_GPT2 = 1 << 6,
    PH_HF_NEOX = 1 << 7,
    PH_HF_PHI = 1 << 8,
    PH_HF_PHI3 = 1 << 9,
    PH_HF_OLMO2 = 1 << 10,
    PH_HF_STABLELM = 1 << 11,
    PH_HF_GEMMAS = PH_HF_GEMMA | PH_HF_GEMMA2 | PH_HF_GEMMA3
};

/* What a config.json says. */
typedef struct ph_hf {
    const json_t *config; /* borrowed; where one is inside for the text, that */
    const char *name;     /* GGUF's of the family */
    unsigned family;      /* its bit */
    bool tied;
    bool inside; /* the text's part of a model that also sees */
    int64_t width, blocks, heads, kv_heads, head_width, rope_dims, context;
    float *rope[2]; /* (rope_dims/2) factors, owned: of llama3, or short and long; NULL: none */
    ph_str keys;    /* in GGUF's bytes */
    uint64_t n_keys;
} ph_hf;

/* Read and check; messages begin with config.json. On success *out is to be closed; it borrows
 * `config`, and `name` (NULL: none) becomes the model's. */
ph_status ph__hf_read(ph_hf *out, const json_t *config, const char *name, ph_error *err);
void ph__hf_close(ph_hf *hf);

/* hf_rope.c: keys and factors for how rope's angles were stretched. */
ph_status ph__hf_rope(ph_hf *hf, ph_error *err);

/* Keys of config.json, NULL in the JSON being as good as absent. *out stays where it is absent. */
ph_status ph__hf_integer(int64_t *out, const json_t *o, const char *key, ph_error *err);
ph_status ph__hf_number(double *out, const json_t *o, const char *key, ph_error *err);
const char *ph__hf_text(const json_t *o, const char *key); /* NULL: no string is there */
/* A key FAMILY.key of GGUF's. */
ph_status ph__hf_put_integer(ph_hf *hf, const char *key, int64_t value, ph_error *err);
ph_status ph__hf_put_number(ph_hf *hf, const char *key, double value, ph_error *err);
ph_status ph__hf_put_bool(ph_hf *hf, const char *key, bool value, ph_error *err);
ph_status ph__hf_put_text(ph_hf *hf, const char *key, const char *value, ph_error *err);

/* Fill w's tensors from its shards: renamed, and rearranged where the two formats differ. */
ph_status ph__hf_tensors(ph_weights *w, const ph_hf *hf, ph_error *err);
/* Whether a tensor of that name holds no weights of the text's model. */
bool ph__hf_ignores(const ph_hf *hf, const char *name);

/* Files that an index names, each once, in the order of their names; freed by ph__hf_files_free.
 * Names that would leave the folder are refused. */
ph_status ph__hf_index_files(char ***files, size_t *n, const json_t *index, ph_error *err);
void ph__hf_files_free(char **files, size_t n);
/* Fill w, whose shards are open, in the order of `files`. index: NULL where there is one file. */
ph_status ph__hf_assemble(ph_weights *w, const json_t *config, const json_t *index,
                          char *const *files, const char *name, ph_error *err);

/* Open the folder. On success *out is owned by the caller. */
ph_status ph__folder_open(ph_weights **out, const char *path, ph_error *err);

#endif
