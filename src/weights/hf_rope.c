/* hf_rope.c — how a Hugging Face folder says that rope's angles are stretched, as GGUF says it.
 *
 * rope_parameters of today, or rope_scaling beside rope_theta as it was. Gemma 3 has one for blocks
 * that see all and one for those with a window.
 */
#include "weights/folder.h"

#include <math.h>
#include <string.h>

enum { MAX_HEAD_WIDTH = 1 << 16 };

/* A number of the rope's own object, else of the configuration; *out where neither has it. */
static ph_status read(double *out, const ph_hf *hf, const json_t *rope, const char *key,
                      ph_error *err)
{
    PH_TRY(ph__hf_number(out, hf->config, key, err));
    return ph__hf_number(out, rope, key, err);
}

static ph_status read_positive(double *out, const ph_hf *hf, const json_t *rope, const char *key,
                               ph_error *err)
{
    PH_TRY(read(out, hf, rope, key, err));
    if (*out > 0 && *out < 1e15) return PH_OK; /* sizes among them become integers */
    return ph__fail(err, PH_EFORMAT, -1,
                    "config.json: rope's \"%s\" is missing, or no positive number", key);
}

static ph_status read_dims(ph_hf *hf, const json_t *rope, ph_error *err)
{
    double part = hf->family == PH_HF_PHI ? 0.5 : 1;

    if (hf->family & (PH_HF_NEOX | PH_HF_STABLELM)) part = 0.25;
    PH_TRY(ph__hf_number(&part, hf->config, "rotary_pct", err));
    PH_TRY(read(&part, hf, rope, "partial_rotary_factor", err));
    if (!(part > 0 && part <= 1) || hf->head_width > MAX_HEAD_WIDTH)
        return ph__fail(err, PH_EFORMAT, -1,
                        "config.json: %g of heads of %lld turn, expected a part of up to %d", part,
                        (long long)hf->head_width, MAX_HEAD_WIDTH);
    hf->rope_dims = (int64_t)((double)hf->head_width * part);
    return ph__hf_put_integer(hf, "rope.dimension_count", hf->rope_dims, err);
}

/* Llama 3: slow frequencies are divided by the factor, fast ones stay, those between by something
 * between. GGUF holds what results, as float32. */
static ph_status llama3(ph_hf *hf, const json_t *rope, double base, ph_error *err)
{
    double factor = 0, low = 0, high = 0, context = (double)hf->context;

    if (hf->family != PH_HF_LLAMA)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "config.json: rope scaling \"llama3\" is not supported yet for %s",
                        hf->name);
    PH_TRY(read_positive(&factor, hf, rope, "factor", err));
    PH_TRY(read_positive(&low, hf, rope, "low_freq_factor", err));
    PH_TRY(read_positive(&high, hf, rope, "high_freq_factor", err));
    PH_TRY(read_positive(&context, hf, rope, "original_max_position_embeddings", err));
    PH_TRY(PH_NEW(&hf->rope[0], (size_t)(hf->rope_dims / 2), err));
    for (int64_t i = 0; i < hf->rope_dims / 2; i++) {
        const double turn = pow(base, -(double)(2 * i) / (double)hf->rope_dims);
        const double length = 2 * acos(-1) / turn;
        const double kept = (context / length - low) / (high - low);
        double f = (1 - kept) / factor + kept;
        if (length > context / low) f = 1 / factor;
        if (length < context / high) f = 1;
        hf->rope[0][i] = (float)(1 / f);
    }
    return PH_OK;
}

static double yarn_scale(double factor, double m)
{
    return factor > 1 ? 0.1 * m * log(factor) + 1 : 1;
}

static ph_status yarn(ph_hf *hf, const json_t *rope, ph_error *err)
{
    static const char *const betas[][2] = {{"beta_fast", "rope.scaling.yarn_beta_fast"},
                                           {"beta_slow", "rope.scaling.yarn_beta_slow"}};
    double factor = 0, context = (double)hf->context, scale = 0, m = 0, m_all = 0;

    PH_TRY(read_positive(&context, hf, rope, "original_max_position_embeddings", err));
    factor = (double)hf->context / context;
    PH_TRY(read_positive(&factor, hf, rope, "factor", err));
    PH_TRY(read(&m, hf, rope, "mscale", err));
    PH_TRY(read(&m_all, hf, rope, "mscale_all_dim", err));
    scale = m != 0 && m_all != 0 ? yarn_scale(factor, m) / yarn_scale(factor, m_all)
                                 : yarn_scale(factor, 1);
    PH_TRY(read_positive(&scale, hf, rope, "attention_factor", err));
    if (json_is_false(json_object_get(rope, "truncate")))
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "config.json: rope scaling \"yarn\" without \"truncate\" is not supported "
                        "yet");
    for (size_t i = 0; i < 2; i++) {
        double beta = 0;
        PH_TRY(read(&beta, hf, rope, betas[i][0], err));
        if (beta != 0) PH_TRY(ph__hf_put_number(hf, betas[i][1], beta, err));
    }
    PH_TRY(ph__hf_put_number(hf, "rope.scaling.factor", factor, err));
    PH_TRY(ph__hf_put_integer(hf, "rope.scaling.original_context_length", (int64_t)context, err));
    return ph__hf_put_number(hf, "rope.scaling.attn_factor", scale / yarn_scale(factor, 1), err);
}

static ph_status read_list(float **out, const ph_hf *hf, const json_t *rope, const char *key,
                           ph_error *err)
{
    const json_t *list = json_object_get(rope, key);
    const size_t n = (size_t)(hf->rope_dims / 2);

    if (json_array_size(list) != n)
        return ph__fail(err, PH_EFORMAT, -1,
                        "config.json: rope's \"%s\" has %zu elements, expected %zu", key,
                        json_array_size(list), n);
    PH_TRY(PH_NEW(out, n, err));
    for (size_t i = 0; i < n; i++) (*out)[i] = (float)json_number_value(json_array_get(list, i));
    return PH_OK;
}

static ph_status longrope(ph_hf *hf, const json_t *rope, ph_error *err)
{
    double context = (double)hf->context, factor, scale;

    if (hf->family != PH_HF_PHI3)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "config.json: rope scaling \"longrope\" is not supported yet for %s",
                        hf->name);
    PH_TRY(read_positive(&context, hf, rope, "original_max_position_embeddings", err));
    factor = (double)hf->context / context;
    PH_TRY(read_positive(&factor, hf, rope, "factor", err));
    scale = factor <= 1 ? 1 : sqrt(1 + log(factor) / log(context));
    PH_TRY(read_positive(&scale, hf, rope, "attention_factor", err));
    PH_TRY(read_list(&hf->rope[0], hf, rope, "short_factor", err));
    PH_TRY(read_list(&hf->rope[1], hf, rope, "long_factor", err));
    PH_TRY(ph__hf_put_integer(hf, "rope.scaling.original_context_length", (int64_t)context, err));
    return ph__hf_put_number(hf, "rope.scaling.attn_factor", scale, err);
}

/* "dynamic" stretches beyond the first context only, which here is where a text ends. */
static ph_status stretch(ph_hf *hf, const json_t *rope, double base, ph_error *err)
{
    const char *kind = ph__hf_text(rope, "rope_type");
    double factor = 0;

    if (!kind) kind = ph__hf_text(rope, "type");
    if (!kind) kind = "default";
    const bool plain = strcmp(kind, "default") == 0 || strcmp(kind, "dynamic") == 0;
    if (strcmp(kind, "su") == 0) kind = "longrope";
    if (strcmp(kind, "llama3") == 0) return llama3(hf, rope, base, err);
    if (plain) kind = "none";
    PH_TRY(ph__hf_put_text(hf, "rope.scaling.type", kind, err));
    if (plain) return PH_OK;
    if (strcmp(kind, "yarn") == 0) return yarn(hf, rope, err);
    if (strcmp(kind, "longrope") == 0) return longrope(hf, rope, err);
    if (strcmp(kind, "linear") != 0)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "config.json: rope scaling \"%.40s\" is not supported yet", kind);
    PH_TRY(read_positive(&factor, hf, rope, "factor", err));
    return ph__hf_put_number(hf, "rope.scaling.factor", factor, err);
}

ph_status ph__hf_rope(ph_hf *hf, ph_error *err)
{
    const json_t *rope = json_object_get(hf->config, "rope_parameters"), *local = NULL;
    double base = hf->family == PH_HF_GEMMA3 ? 1e6 : 1e4, base_local = 1e4;

    if (!json_is_object(rope)) rope = json_object_get(hf->config, "rope_scaling");
    if (hf->family == PH_HF_GEMMA3 && json_is_object(json_object_get(rope, "full_attention"))) {
        local = json_object_get(rope, "sliding_attention");
        rope = json_object_get(rope, "full_attention");
    }
    PH_TRY(ph__hf_number(&base, hf->config, "rotary_emb_base", err));
    PH_TRY(read_positive(&base, hf, rope, "rope_theta", err));
    PH_TRY(ph__hf_put_number(hf, "rope.freq_base", base, err));
    PH_TRY(read_dims(hf, rope, err));
    if (local && ph__hf_text(local, "rope_type") &&
        strcmp(ph__hf_text(local, "rope_type"), "default") != 0)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "config.json: rope scaling of \"sliding_attention\" is not supported yet");
    if (hf->family == PH_HF_GEMMA3) {
        PH_TRY(ph__hf_number(&base_local, hf->config, "rope_local_base_freq", err));
        PH_TRY(ph__hf_number(&base_local, local, "rope_theta", err));
        PH_TRY(ph__hf_put_number(hf, "rope.freq_base_swa", base_local, err));
    }
    return stretch(hf, rope, base, err);
}
