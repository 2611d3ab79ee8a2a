/* split.h — a GGUF model in several files, NAME-00001-of-0000N.gguf and so on.
 *
 * Every part is a whole GGUF file with tensors of its own and three keys: split.no (from 0),
 * split.count, and split.tensors.count, of all parts together. The first part's other keys are the
 * model's. Private to this room and to what looks inside it.
 */
#ifndef PH_SPLIT_H
#define PH_SPLIT_H

#include "weights/gguf.h"

/* Opens one file, whatever it says of others. */
typedef ph_status (*ph_part_open)(ph_weights **out, const char *path, ph_error *err);

/* Where *w, opened from a path, is a part of several: open the others, which stand beside it, and
 * make one of them all, in *w. A whole file stays as it is. On failure *w is still to be closed. */
ph_status ph__split_open(ph_weights **w, const char *path, ph_part_open open, ph_error *err);

/* Check that these are the n parts of one model, in order, and make one of them: parts[0], which owns
 * the rest from then on; they become NULL. On failure nothing has changed. */
ph_status ph__split_join(ph_weights **parts, size_t n, ph_error *err);

#endif
