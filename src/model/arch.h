/* arch.h — one plain struct for every family: what a file's metadata says of the model. */
#ifndef PH_ARCH_H
#define PH_ARCH_H

#include "kernels/kernels.h"
#include "weights/weights.h"

typedef struct ph_arch {
    const char *family;
    int64_t blocks, C, H, Hkv, D, F, V; /* D: head width */
    int64_t context_length;
    float norm_eps;
    ph_rope_kind rope;
    int64_t rope_dims; /* ≤ D, even */
    double rope_base;
    ph_act_kind act;
    float embed_scale; /* embeddings are multiplied by it before block 1 */
    bool tied;
} ph_arch;

/* Read and check; errors name the key. */
ph_status ph__arch_read(ph_arch *out, const ph_weights *w, ph_error *err);
/* Weights of one block's matrices. */
int64_t ph__arch_block_parameters(const ph_arch *a);

#endif
