/* scaling.h — how a model's rope was stretched to contexts longer than it was trained with. */
#ifndef PH_SCALING_H
#define PH_SCALING_H

#include "model/arch.h"

/* Fill in rope_factors and rope_scale from the file's keys and tensors; rope_dims and rope_base are
 * known. Kinds: linear, yarn, longrope (its short factors: the context ends where they do), and
 * factors in a tensor (what converters make of "llama3"). PH_EUNSUPPORTED names any other. */
ph_status ph__scaling_read(ph_arch *a, const ph_weights *w, ph_error *err);

#endif
