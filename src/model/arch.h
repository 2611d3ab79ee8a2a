/* arch.h — one plain struct for every family: what a file's metadata says of the model. */
#ifndef PH_ARCH_H
#define PH_ARCH_H

#include "kernels/kernels.h"
#include "weights/weights.h"

/* What a model is made of besides the matrices that all have: tensors that a family needs or may
 * have. bind.c says which. */
enum ph_arch_part {
    PH_PART_ATTN_NORM = 1 << 0, /* before attention */
    PH_PART_FFN_NORM = 1 << 1,  /* before the MLP; without it a parallel MLP shares attention's */
    PH_PART_NORM_BIAS = 1 << 2, /* of those, and of the final one */
    PH_PART_POST_NORMS = 1 << 3,
    PH_PART_SPLIT = 1 << 4, /* q, k and v apart … */
    PH_PART_FUSED = 1 << 5, /* … or in one matrix */
    PH_PART_QKV_BIAS = 1 << 6,
    PH_PART_O_BIAS = 1 << 7,
    PH_PART_QK_NORM = 1 << 8,
    PH_PART_GATE = 1 << 9, /* a matrix of its own; gated without it: the first half of up */
    PH_PART_MLP_BIAS = 1 << 10,
    PH_PART_POSITIONS = 1 << 11, /* learned, added to the embeddings before block 1 */
    PH_PART_OUTPUT_BIAS = 1 << 12,
    PH_PART_ROPE_FREQS = 1 << 13,
    PH_PART_ROPE_LONG = 1 << 14
};

typedef enum ph_qk_norm {
    PH_QK_NONE,
    PH_QK_HEAD,  /* of every head, one weight (D) for all */
    PH_QK_HEADS, /* of every head, each with its own (H,D) */
    PH_QK_WIDTH  /* of all heads together (HD) */
} ph_qk_norm;

typedef struct ph_arch {
    const char *family;
    int64_t blocks, C, H, Hkv, D, F, V; /* D: head width */
    int64_t context_length;
    unsigned needs, may; /* parts */
    ph_norm_kind norm;   /* all of them */
    double norm_eps;
    ph_qk_norm qk_norm;
    double score_scale;   /* q·k is multiplied by it */
    double score_cap;     /* soft; 0: none */
    int64_t window;       /* tokens that a token of a windowed block sees; 0: no block is */
    int64_t window_every; /* every so many-th block is not windowed; 0: all are */
    ph_rope_kind rope;
    int64_t rope_dims; /* ≤ D, even; 0: no rope */
    double rope_base;
    double
        rope_base_local;  /* of windowed blocks, which know no scaling; 0: they are as the others */
    double *rope_factors; /* (rope_dims/2) frequencies are divided by them, owned; NULL: by 1 */
    double rope_scale;    /* cos and sin are multiplied by it */
    const char *rope_scaling; /* what the factors are: "none", "linear", …; and by how much */
    double rope_factor;
    ph_act_kind act;
    bool gated;         /* the MLP's nonlinearity is a gate beside another product */
    bool parallel;      /* the MLP gets what attention got */
    float embed_scale;  /* embeddings are multiplied by it before block 1 */
    double logit_cap;   /* soft, of the output scores; 0: none */
    double branch_init; /* untrained matrices that end a branch are drawn this much smaller */
    bool tied;
} ph_arch;

/* Read and check; errors name the key. On success *out is to be closed. */
ph_status ph__arch_read(ph_arch *out, const ph_weights *w, ph_error *err);
void ph__arch_close(ph_arch *a);
/* What block n (from 1) sees of the tokens before; 0: all. */
int64_t ph__arch_window(const ph_arch *a, int64_t n);
/* Columns of the MLP's first product: F, or twice that with a gate. */
int64_t ph__arch_up(const ph_arch *a);
/* Weights of one block's matrices. */
int64_t ph__arch_block_parameters(const ph_arch *a);

#endif
