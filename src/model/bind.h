/* bind.h — tensor names to slots of verified shape. */
#ifndef PH_BIND_H
#define PH_BIND_H

#include "model/arch.h"

/* NULL where the family, or this file of it, has none. Either qkv or q, k and v are there. */
typedef struct ph_block_slots {
    const ph_tensor *attn_norm, *attn_norm_bias;
    const ph_tensor *qkv, *q, *k, *v, *qkv_bias, *q_bias, *k_bias, *v_bias;
    const ph_tensor *q_norm, *k_norm;
    const ph_tensor *o, *o_bias, *post_attn;
    const ph_tensor *ffn_norm, *ffn_norm_bias; /* attention's where a parallel MLP shares it */
    const ph_tensor *gate, *up, *gate_bias, *up_bias, *down, *down_bias, *post_ffn;
} ph_block_slots;

typedef struct ph_slots {
    const ph_tensor *embedding, *positions, *final_norm, *final_norm_bias;
    const ph_tensor *output, *output_bias; /* output is embedding where tied */
    ph_block_slots *block;                 /* arch.blocks of them, owned */
    ph_tensor *made; /* of a model without a file: the tensors behind the slots, owned */
    char (*names)[64];
    size_t n_made;
} ph_slots;

/* Find every tensor the family needs, check its shape, and refuse a file with tensors that this
 * family would ignore: silent wrong numbers are worse than an error. */
ph_status ph__bind(ph_slots *out, const ph_weights *w, const ph_arch *a, ph_error *err);
/* The same slots for sizes alone: tensors with names and shapes, without data. Of those that a
 * family may have, the ones that are in `like` (NULL: none). */
ph_status ph__bind_sizes(ph_slots *out, const ph_arch *a, const ph_weights *like, ph_error *err);
void ph__slots_close(ph_slots *s);

#endif
