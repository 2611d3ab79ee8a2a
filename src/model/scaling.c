/* scaling.c — how a model's rope was stretched to contexts longer than it was trained with.
 *
 * Whatever the kind, it ends in one number for each frequency, by which that is divided, and one by
 * which cos and sin are multiplied. Reads weights' tensors; computes no angle.
 */
#include "model/scaling.h"

#include "base/mem.h"
#include "model/keys.h"
#include "weights/quant.h"

#include <math.h>
#include <string.h>

static ph_status factors_new(ph_arch *a, ph_error *err)
{
    PH_TRY(PH_NEW(&a->rope_factors, (size_t)(a->rope_dims / 2), err));
    for (int64_t i = 0; i < a->rope_dims / 2; i++) a->rope_factors[i] = 1;
    return PH_OK;
}

/* Factors that stand in a tensor, onto those that are there. */
static ph_status read_tensor(ph_arch *a, const ph_weights *w, const char *name, ph_error *err)
{
    const int64_t n = a->rope_dims / 2;
    const ph_tensor *t = NULL;
    float *values = NULL;
    ph_status st = PH_OK;

    PH_GO(ph__weights_need(&t, w, name, n, 1, err));
    PH_GO(PH_NEW(&values, (size_t)n, err));
    ph__dequant_all(values, t);
    for (int64_t i = 0; i < n; i++) {
        if (!(values[i] > 0) || !isfinite(values[i])) {
            st = ph__fail(err, PH_EFORMAT, -1, "tensor %s: element %lld is %g, expected > 0", name,
                          (long long)i, (double)values[i]);
            goto done;
        }
        a->rope_factors[i] *= (double)values[i];
    }
done:
    ph__free(values);
    return st;
}

/* YaRN (Peng et al. 2023): the frequency that turns `turns` times within the first context. */
static double turning(const ph_arch *a, double turns, double context)
{
    return (double)a->rope_dims * log(context / (turns * 2 * acos(-1))) / (2 * log(a->rope_base));
}

/* Fast frequencies stay, slow ones are divided by the factor, those between by something between. */
static ph_status yarn(ph_arch *a, const ph_weights *w, double factor, ph_error *err)
{
    double fast = 32, slow = 1, attention = 1;
    int64_t context = a->context_length;

    PH_TRY(ph__key_positive(&fast, w, a->family, "rope.scaling.yarn_beta_fast", err));
    PH_TRY(ph__key_positive(&slow, w, a->family, "rope.scaling.yarn_beta_slow", err));
    PH_TRY(ph__key_positive(&attention, w, a->family, "rope.scaling.attn_factor", err));
    PH_TRY(ph__key_positive(&attention, w, a->family, "rope.scaling.yarn_attn_factor", err));
    PH_TRY(ph__key_count(&context, w, a->family, "rope.scaling.original_context_length", INT64_MAX,
                         err));
    if (ph__key_has(w, a->family, "rope.scaling.yarn_log_multiplier") ||
        ph__key_has(w, a->family, "rope.scaling.yarn_ext_factor"))
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "keys %s.rope.scaling.yarn_log_multiplier and yarn_ext_factor are not "
                        "supported yet",
                        a->family);
    const double low = fmax(floor(turning(a, fast, (double)context)), 0);
    const double high = fmin(ceil(turning(a, slow, (double)context)), (double)(a->rope_dims - 1));
    for (int64_t i = 0; i < a->rope_dims / 2; i++) {
        const double at = ((double)i - low) / fmax(high - low, 0.001);
        const double slowed = fmin(fmax(at, 0), 1);
        a->rope_factors[i] = 1 / (slowed / factor + (1 - slowed));
    }
    a->rope_scaling = "yarn";
    a->rope_scale = attention * (factor > 1 ? 1 + 0.1 * log(factor) : 1);
    return PH_OK;
}

/* Other factors hold beyond the first context, where a text's beginning would change its meaning
 * with the text's length: that is left out. */
static ph_status longrope(ph_arch *a, const ph_weights *w, ph_error *err)
{
    int64_t first = a->context_length;
    PH_TRY(ph__key_positive(&a->rope_scale, w, a->family, "rope.scaling.attn_factor", err));
    PH_TRY(ph__key_count(&first, w, a->family, "rope.scaling.original_context_length", INT64_MAX,
                         err));
    if (first < a->context_length) a->context_length = first;
    a->rope_scaling = "longrope";
    a->rope_factor = 1;
    return read_tensor(a, w, "rope_factors_short.weight", err);
}

static bool is(ph_bytes kind, const char *name)
{
    return kind.size == strlen(name) && memcmp(kind.data, name, kind.size) == 0;
}

static ph_status by_kind(ph_arch *a, const ph_weights *w, ph_bytes kind, ph_error *err)
{
    double factor = 1;

    if (is(kind, "none")) return PH_OK;
    PH_TRY(ph__key_positive(&factor, w, a->family, "rope.scale_linear", err));
    PH_TRY(ph__key_positive(&factor, w, a->family, "rope.scaling.factor", err));
    a->rope_factor = factor;
    if (is(kind, "yarn")) return yarn(a, w, factor, err);
    if (is(kind, "longrope")) return PH_OK; /* its tensors say the rest */
    if (!is(kind, "linear"))
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "rope scaling \"%.*s\" (%s.rope.scaling.type) is not supported yet",
                        (int)(kind.size < 32 ? kind.size : 32), kind.data, a->family);
    if (factor != 1) a->rope_scaling = "linear";
    for (int64_t i = 0; i < a->rope_dims / 2; i++) a->rope_factors[i] = factor;
    return PH_OK;
}

/* A factor without a kind is linear, as in files from before there were kinds. */
ph_status ph__scaling_read(ph_arch *a, const ph_weights *w, ph_error *err)
{
    const bool freqs = ph__weights_find(w, "rope_freqs.weight");
    const bool both = ph__weights_find(w, "rope_factors_short.weight");
    ph_bytes kind = {"linear", 6};

    PH_TRY(ph__key_string(&kind, w, a->family, "rope.scaling.type", err));
    PH_TRY(factors_new(a, err));
    PH_TRY(by_kind(a, w, kind, err));
    if (freqs && (a->may & PH_PART_ROPE_FREQS)) {
        PH_TRY(read_tensor(a, w, "rope_freqs.weight", err));
        a->rope_scaling = "llama3";
    }
    if (both && (a->may & PH_PART_ROPE_LONG)) return longrope(a, w, err);
    if (is(kind, "longrope"))
        return ph__fail(err, PH_EFORMAT, -1, "tensor rope_factors_short.weight is missing");
    return PH_OK;
}
