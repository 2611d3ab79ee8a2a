/* options.c — what searches check of their options alike. */
#include "search/options.h"

#include <math.h>
#include <string.h>

ph_status ph__unknown(const char *what, const char *given, const char *(*name)(size_t),
                      ph_error *err)
{
    char list[120] = "";
    for (size_t i = 0, at = 0; name(i) && at + 16 < sizeof list; i++) {
        const char *parts[] = {i ? ", " : "", name(i)};
        for (size_t k = 0; k < 2; k++) {
            memcpy(list + at, parts[k], strlen(parts[k]) + 1);
            at += strlen(parts[k]);
        }
    }
    return ph__fail(err, PH_EINVAL, -1, "%s \"%s\": expected one of %s", what, given, list);
}

ph_status ph__within(const char *what, int64_t value, int64_t max, ph_error *err)
{
    if (value >= 1 && value <= max) return PH_OK;
    return ph__fail(err, PH_EINVAL, -1, "%s %lld: expected 1 to %lld", what, (long long)value,
                    (long long)max);
}

ph_status ph__absolute_eta(double *out, double eta, bool rms, const ph_model *model, ph_error *err)
{
    const float *W;
    double unit = 1;

    if (!isfinite(eta)) return ph__fail(err, PH_EINVAL, -1, "eta must be a finite number");
    if (rms) PH_TRY(ph__model_embedding(&W, &unit, model, err));
    *out = eta * unit;
    return PH_OK;
}
