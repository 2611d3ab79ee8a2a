/* named.h — features by name, without a model: the list of canonical forms that specs mean. */
#ifndef PH_NAMED_H
#define PH_NAMED_H

#include "base/err.h"

/* *json (ph__free) = the names that ph_features_names gives, as a JSON array. PH_EINVAL: they are too
 * many. */
ph_status ph__named(char **json, const char *specs, ph_error *err);
/* The same of one name that is meant as it stands. */
ph_status ph__named_so(char **json, const char *name, ph_error *err);

#endif
