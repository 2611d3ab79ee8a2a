/* keys.c — values of a family's keys, FAMILY.key, checked. */
#include "model/keys.h"

#include <math.h>
#include <stdio.h>

typedef char full_key[128];

static const char *full(full_key out, const char *family, const char *key)
{
    snprintf(out, sizeof(full_key), "%s.%s", family, key);
    return out;
}

bool ph__key_has(const ph_weights *w, const char *family, const char *key)
{
    full_key name;
    return ph__meta_has(w, full(name, family, key));
}

ph_status ph__key_count(int64_t *out, const ph_weights *w, const char *family, const char *key,
                        int64_t max, ph_error *err)
{
    full_key name;
    PH_TRY(ph__meta_int(out, w, full(name, family, key), err));
    if (*out == 0 && !ph__meta_has(w, name))
        return ph__fail(err, PH_EFORMAT, -1, "key %s is missing", name);
    if (*out < 1 || *out > max)
        return ph__fail(err, PH_EFORMAT, -1, "key %s is %lld, expected 1 to %lld", name,
                        (long long)*out, (long long)max);
    return PH_OK;
}

ph_status ph__key_positive(double *out, const ph_weights *w, const char *family, const char *key,
                           ph_error *err)
{
    full_key name;
    PH_TRY(ph__meta_real(out, w, full(name, family, key), err));
    if (ph__meta_has(w, name) && (!(*out > 0) || !isfinite(*out)))
        return ph__fail(err, PH_EFORMAT, -1, "key %s is %g, expected a positive number", name,
                        *out);
    return PH_OK;
}

ph_status ph__key_bool(bool *out, const ph_weights *w, const char *family, const char *key,
                       ph_error *err)
{
    full_key name;
    return ph__meta_bool(out, w, full(name, family, key), err);
}

ph_status ph__key_string(ph_bytes *out, const ph_weights *w, const char *family, const char *key,
                         ph_error *err)
{
    full_key name;
    return ph__meta_string(out, w, full(name, family, key), err);
}
