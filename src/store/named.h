/* named.h — features by name, without a model: a list of canonical forms out of what people write. */
#ifndef PH_NAMED_H
#define PH_NAMED_H

#include "base/err.h"

/* *json (ph__free) = the names as a JSON array, in the order written: specs joined by commas, "a-b" in a
 * region one after another, blanks as in the canonical form. What only a model could resolve is left as
 * it stands. PH_EINVAL: there is nothing between two commas, a range runs backwards, or they are too
 * many. */
ph_status ph__named(char **json, const char *specs, ph_error *err);

#endif
