/* bind.h — tensor names to slots of verified shape. */
#ifndef PH_BIND_H
#define PH_BIND_H

#include "model/arch.h"

typedef struct ph_block_slots {
    const ph_tensor *attn_norm, *q, *k, *v, *o, *ffn_norm, *gate, *up, *down;
} ph_block_slots;

typedef struct ph_slots {
    const ph_tensor *embedding, *final_norm, *output; /* output is embedding where tied */
    ph_block_slots *block;                            /* arch.blocks of them, owned */
    ph_tensor *made; /* of a model without a file: the tensors behind the slots, owned */
    char (*names)[64];
    size_t n_made;
} ph_slots;

/* Find every tensor the family needs, check its shape, and refuse a file with tensors that this
 * family would ignore: silent wrong numbers are worse than an error. */
ph_status ph__bind(ph_slots *out, const ph_weights *w, const ph_arch *a, ph_error *err);
/* The same slots for sizes alone: tensors with names and shapes, without data. */
ph_status ph__bind_sizes(ph_slots *out, const ph_arch *a, ph_error *err);
void ph__slots_close(ph_slots *s);

#endif
