/* arch.c — reads an arch from a file's metadata. */
#include "model/arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A family is a row: what its files do not say of themselves. */
static const struct family {
    const char *name;
    ph_rope_kind rope;
    ph_act_kind act;
} families[] = {
    {"llama", PH_ROPE_INTERLEAVED, PH_ACT_SILU},
};

enum { MAX_BLOCKS = 4096, MAX_WIDTH = 1 << 20, MAX_HEADS = 4096, MAX_CONTEXT = 1 << 27 };

static ph_status find_family(const struct family **out, const ph_weights *w, ph_error *err)
{
    ph_bytes name = {"", 0};
    PH_TRY(ph__meta_string(&name, w, "general.architecture", err));
    if (!ph__meta_has(w, "general.architecture"))
        return ph__fail(err, PH_EFORMAT, -1, "key general.architecture is missing");
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (strlen(families[i].name) == name.size &&
            memcmp(families[i].name, name.data, name.size) == 0) {
            *out = &families[i];
            return PH_OK;
        }
    }
    return ph__fail(err, PH_EUNSUPPORTED, -1,
                    "architecture \"%.*s\" is not supported yet (supported: llama)",
                    (int)(name.size < 64 ? name.size : 64), name.data);
}

/* The value of FAMILY.key, from 1 to max. Absent: *out is the default, or an error where it is 0. */
static ph_status count(int64_t *out, const ph_weights *w, const char *family, const char *key,
                       int64_t max, ph_error *err)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", family, key);
    PH_TRY(ph__meta_int(out, w, full, err));
    if (*out == 0 && !ph__meta_has(w, full))
        return ph__fail(err, PH_EFORMAT, -1, "key %s is missing", full);
    if (*out < 1 || *out > max)
        return ph__fail(err, PH_EFORMAT, -1, "key %s is %lld, expected 1 to %lld", full,
                        (long long)*out, (long long)max);
    return PH_OK;
}

static ph_status positive(double *out, const ph_weights *w, const char *family, const char *key,
                          ph_error *err)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", family, key);
    PH_TRY(ph__meta_real(out, w, full, err));
    if (!(*out > 0) || !isfinite(*out))
        return ph__fail(err, PH_EFORMAT, -1, "key %s is %g, expected a positive number", full,
                        *out);
    return PH_OK;
}

static ph_status check_heads(const ph_arch *a, ph_error *err)
{
    if (a->H % a->Hkv != 0)
        return ph__fail(err, PH_EFORMAT, -1, "%lld heads are not a multiple of %lld KV heads",
                        (long long)a->H, (long long)a->Hkv);
    if (a->rope_dims % 2 != 0 || a->rope_dims > a->D)
        return ph__fail(err, PH_EFORMAT, -1,
                        "key %s.rope.dimension_count is %lld, expected an even number up to %lld",
                        a->family, (long long)a->rope_dims, (long long)a->D);
    return PH_OK;
}

/* What would change the numbers and is not implemented must not pass in silence. */
static ph_status refuse_scaling(const ph_weights *w, const char *family, ph_error *err)
{
    char full[128];
    ph_bytes kind = {"none", 4};
    snprintf(full, sizeof full, "%s.rope.scaling.type", family);
    PH_TRY(ph__meta_string(&kind, w, full, err));
    if (kind.size == 4 && memcmp(kind.data, "none", 4) == 0) return PH_OK;
    return ph__fail(err, PH_EUNSUPPORTED, -1, "rope scaling \"%.*s\" (%s) is not supported yet",
                    (int)(kind.size < 32 ? kind.size : 32), kind.data, full);
}

static ph_status read_sizes(ph_arch *a, const ph_weights *w, ph_error *err)
{
    const char *f = a->family;
    double eps = 0, base = 10000;
    int64_t value_width = 0;

    a->context_length = MAX_CONTEXT;
    PH_TRY(count(&a->blocks, w, f, "block_count", MAX_BLOCKS, err));
    PH_TRY(count(&a->C, w, f, "embedding_length", MAX_WIDTH, err));
    PH_TRY(count(&a->F, w, f, "feed_forward_length", MAX_WIDTH, err));
    PH_TRY(count(&a->H, w, f, "attention.head_count", MAX_HEADS, err));
    a->Hkv = a->H;
    PH_TRY(count(&a->Hkv, w, f, "attention.head_count_kv", MAX_HEADS, err));
    a->D = a->C / a->H ? a->C / a->H : 1;
    PH_TRY(count(&a->D, w, f, "attention.key_length", MAX_WIDTH, err));
    value_width = a->D;
    PH_TRY(count(&value_width, w, f, "attention.value_length", MAX_WIDTH, err));
    if (value_width != a->D)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "values of width %lld beside keys of width %lld are not supported yet",
                        (long long)value_width, (long long)a->D);
    a->rope_dims = a->D;
    PH_TRY(count(&a->rope_dims, w, f, "rope.dimension_count", MAX_WIDTH, err));
    PH_TRY(count(&a->context_length, w, f, "context_length", MAX_CONTEXT, err));
    PH_TRY(positive(&eps, w, f, "attention.layer_norm_rms_epsilon", err));
    PH_TRY(positive(&base, w, f, "rope.freq_base", err));
    a->norm_eps = (float)eps;
    a->rope_base = base;
    PH_TRY(refuse_scaling(w, f, err));
    return check_heads(a, err);
}

ph_status ph__arch_read(ph_arch *out, const ph_weights *w, ph_error *err)
{
    const struct family *family = NULL;
    const ph_tensor *embedding = ph__weights_find(w, "token_embd.weight");
    ph_arch a = {0};

    PH_TRY(find_family(&family, w, err));
    a.family = family->name;
    a.rope = family->rope;
    a.act = family->act;
    a.embed_scale = 1;
    PH_TRY(read_sizes(&a, w, err));
    if (!embedding)
        return ph__fail(
            err, PH_EFORMAT, -1,
            "tensor token_embd.weight is missing (does the file hold a vocabulary only?)");
    a.V = embedding->shape[0];
    if (a.V < 1 || a.V > INT32_MAX)
        return ph__fail(err, PH_EFORMAT, -1, "tensor token_embd.weight has %lld rows",
                        (long long)a.V);
    a.tied = !ph__weights_find(w, "output.weight");
    *out = a;
    return PH_OK;
}

int64_t ph__arch_block_parameters(const ph_arch *a)
{
    return a->C * (2 * a->H + 2 * a->Hkv) * a->D + 3 * a->C * a->F;
}
