/* safetensors.h — reads safetensors into the same tensors as GGUF; there is no metadata.
 *
 * Private to this room and to what looks inside it.
 */
#ifndef PH_SAFETENSORS_H
#define PH_SAFETENSORS_H

#include "weights/gguf.h"

/* By the header's length, its first byte and its last. */
bool ph__is_safetensors(const uint8_t *bytes, size_t size);
/* Fill the empty *w from w->file. Tensors of types that are no floats, or of more than 4 dimensions,
 * are checked and left out. On failure *w holds what was read so far, to be closed. */
ph_status ph__safetensors_parse(ph_weights *w, ph_error *err);

#endif
