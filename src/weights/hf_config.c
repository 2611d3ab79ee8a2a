/* hf_config.c — config.json of a Hugging Face folder as GGUF's keys.
 *
 * A kind of model is a row; what all say is a table from their keys to GGUF's. What a configuration
 * leaves out is what transformers' class for it would take.
 */
#include "weights/folder.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- kinds of models ---- */

static const struct kind {
    const char *type, *name; /* model_type, and GGUF's family */
    unsigned family;
    const char *act[2]; /* the MLP's nonlinearity, by its names */
} kinds[] = {
    {"llama", "llama", PH_HF_LLAMA, {"silu", "swish"}},
    {"mistral", "llama", PH_HF_LLAMA, {"silu", "swish"}},
    {"qwen2", "qwen2", PH_HF_QWEN2, {"silu", "swish"}},
    {"qwen3", "qwen3", PH_HF_QWEN3, {"silu", "swish"}},
    {"gemma", "gemma", PH_HF_GEMMA, {"gelu_pytorch_tanh", "gelu_new"}},
    {"gemma2", "gemma2", PH_HF_GEMMA2, {"gelu_pytorch_tanh", "gelu_new"}},
    {"gemma3_text", "gemma3", PH_HF_GEMMA3, {"gelu_pytorch_tanh", "gelu_new"}},
    {"gpt2", "gpt2", PH_HF_GPT2, {"gelu_new", "gelu_pytorch_tanh"}},
    {"gpt_neox", "gptneox", PH_HF_NEOX, {"gelu", "gelu"}},
    {"phi", "phi2", PH_HF_PHI, {"gelu_new", "gelu_pytorch_tanh"}},
    {"phi3", "phi3", PH_HF_PHI3, {"silu", "swish"}},
    {"olmo2", "olmo2", PH_HF_OLMO2, {"silu", "swish"}},
    {"stablelm", "stablelm", PH_HF_STABLELM, {"silu", "swish"}},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const struct {
    unsigned families;
    const char *key;
    int64_t value;
} defaults[] = {
    {PH_HF_GEMMAS, "head_dim", 256},
    {PH_HF_GEMMA2 | PH_HF_GEMMA3, "query_pre_attn_scalar", 256},
    {PH_HF_GEMMA2 | PH_HF_GEMMA3, "sliding_window", 4096},
    {PH_HF_GEMMA3, "num_attention_heads", 8},
    {PH_HF_GEMMA3, "num_key_value_heads", 4},
    {PH_HF_GEMMA3, "max_position_embeddings", 131072},
};

/* ---- reading ---- */

static const json_t *value_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v;
}

ph_status ph__hf_integer(int64_t *out, const json_t *o, const char *key, ph_error *err)
{
    const json_t *v = value_of(o, key);
    if (v && !json_is_integer(v))
        return ph__fail(err, PH_EFORMAT, -1, "config.json: \"%s\" is no integer", key);
    if (v) *out = json_integer_value(v);
    return PH_OK;
}

ph_status ph__hf_number(double *out, const json_t *o, const char *key, ph_error *err)
{
    const json_t *v = value_of(o, key);
    if (v && !json_is_number(v))
        return ph__fail(err, PH_EFORMAT, -1, "config.json: \"%s\" is no number", key);
    if (v) *out = json_number_value(v);
    return PH_OK;
}

static ph_status read_bool(bool *out, const json_t *o, const char *key, ph_error *err)
{
    const json_t *v = value_of(o, key);
    if (v && !json_is_boolean(v))
        return ph__fail(err, PH_EFORMAT, -1, "config.json: \"%s\" is neither true nor false", key);
    if (v) *out = json_is_true(v);
    return PH_OK;
}

const char *ph__hf_text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* A size by the first of its names that is there, else what is in *out, else the class's. */
static ph_status read_size(int64_t *out, const ph_hf *hf, const char *key, const char *old,
                           ph_error *err)
{
    enum { MOST = 1 << 27 };
    int64_t n = *out;

    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        if (defaults[i].families & hf->family && strcmp(defaults[i].key, key) == 0)
            n = defaults[i].value;
    if (old) PH_TRY(ph__hf_integer(&n, hf->config, old, err));
    PH_TRY(ph__hf_integer(&n, hf->config, key, err));
    if (n == 0 && !value_of(hf->config, key))
        return ph__fail(err, PH_EFORMAT, -1, "config.json: \"%s\" is missing", key);
    if (n < 1 || n > MOST)
        return ph__fail(err, PH_EFORMAT, -1, "config.json: \"%s\" is %lld, expected 1 to %d", key,
                        (long long)n, MOST);
    *out = n;
    return PH_OK;
}

/* ---- writing ---- */

static ph_status put(ph_hf *hf, const char *key, ph_gguf_type type, const void *value, size_t bytes,
                     ph_error *err)
{
    char name[128];
    const uint32_t number = type;
    const bool general = strncmp(key, "general.", 8) == 0;
    const uint64_t n = (uint64_t)snprintf(name, sizeof name, "%s%s%s", general ? "" : hf->name,
                                          general ? "" : ".", key);

    PH_TRY(ph__str_add(&hf->keys, &n, sizeof n, err));
    PH_TRY(ph__str_add(&hf->keys, name, n, err));
    PH_TRY(ph__str_add(&hf->keys, &number, sizeof number, err));
    hf->n_keys++;
    return ph__str_add(&hf->keys, value, bytes, err);
}

ph_status ph__hf_put_integer(ph_hf *hf, const char *key, int64_t value, ph_error *err)
{
    return put(hf, key, PH_GGUF_I64, &value, sizeof value, err);
}

ph_status ph__hf_put_number(ph_hf *hf, const char *key, double value, ph_error *err)
{
    return put(hf, key, PH_GGUF_F64, &value, sizeof value, err);
}

ph_status ph__hf_put_bool(ph_hf *hf, const char *key, bool value, ph_error *err)
{
    const char byte = value;
    return put(hf, key, PH_GGUF_BOOL, &byte, 1, err);
}

ph_status ph__hf_put_text(ph_hf *hf, const char *key, const char *value, ph_error *err)
{
    const uint64_t n = strlen(value);
    PH_TRY(put(hf, key, PH_GGUF_STRING, &n, sizeof n, err));
    return ph__str_add(&hf->keys, value, n, err);
}

/* ---- what is said ---- */

static ph_status unsupported(const char *type, ph_error *err)
{
    char list[200] = "";
    for (size_t i = 0, at = 0; i < KINDS; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, i ? ", %s" : "%s", kinds[i].type);
    return ph__fail(err, PH_EUNSUPPORTED, -1,
                    "config.json: model_type \"%.60s\" is not supported yet (supported: %s)", type,
                    list);
}

static ph_status find_kind(const struct kind **out, ph_hf *hf, ph_error *err)
{
    const json_t *text = value_of(hf->config, "text_config");
    const char *type = ph__hf_text(hf->config, "model_type");

    if (type && strcmp(type, "gemma3") == 0 && json_is_object(text)) {
        hf->config = text;
        hf->inside = true;
        type = "gemma3_text";
    }
    if (!type) return ph__fail(err, PH_EFORMAT, -1, "config.json: \"model_type\" is missing");
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].type, type) == 0) {
            *out = &kinds[i];
            return PH_OK;
        }
    return unsupported(type, err);
}

static ph_status check_act(const ph_hf *hf, const struct kind *k, ph_error *err)
{
    static const char *const keys[] = {"hidden_activation", "hidden_act", "activation_function"};
    const bool gemma = hf->family & PH_HF_GEMMAS; /* its classes never looked at hidden_act */

    for (size_t i = 0; i < (gemma ? 1 : 3); i++) {
        const char *act = ph__hf_text(hf->config, keys[i]);
        if (act && strcmp(act, k->act[0]) != 0 && strcmp(act, k->act[1]) != 0)
            return ph__fail(err, PH_EUNSUPPORTED, -1,
                            "config.json: \"%s\" \"%.60s\" is not supported yet for %s, \"%s\" is",
                            keys[i], act, k->type, k->act[0]);
    }
    return PH_OK;
}

/* Switches that would change the numbers and that arch.c does not know. */
static ph_status check_rest(const ph_hf *hf, ph_error *err)
{
    static const struct {
        const char *key;
        bool expected;
    } flags[] = {{"scale_attn_by_inverse_layer_idx", false},
                 {"scale_attn_weights", true},
                 {"add_cross_attention", false},
                 {"use_bidirectional_attention", false}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool found = flags[i].expected;
        PH_TRY(read_bool(&found, hf->config, flags[i].key, err));
        if (found != flags[i].expected)
            return ph__fail(err, PH_EUNSUPPORTED, -1, "config.json: \"%s\" %s is not supported yet",
                            flags[i].key, found ? "true" : "false");
    }
    if (value_of(hf->config, "quantization_config"))
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "config.json: \"quantization_config\" is not supported yet: only weights "
                        "in F32, F16 and BF16 are read from a folder");
    return PH_OK;
}

static ph_status put_sizes(ph_hf *hf, ph_error *err)
{
    int64_t ffn = 0;
    const bool gpt2 = hf->family == PH_HF_GPT2;

    PH_TRY(read_size(&hf->width, hf, "hidden_size", "n_embd", err));
    PH_TRY(read_size(&hf->blocks, hf, "num_hidden_layers", "n_layer", err));
    PH_TRY(read_size(&hf->heads, hf, "num_attention_heads", "n_head", err));
    hf->kv_heads = hf->heads;
    PH_TRY(read_size(&hf->kv_heads, hf, "num_key_value_heads", NULL, err));
    hf->head_width = hf->width / hf->heads ? hf->width / hf->heads : 1;
    PH_TRY(read_size(&hf->head_width, hf, "head_dim", NULL, err));
    if (gpt2) ffn = 4 * hf->width;
    PH_TRY(read_size(&ffn, hf, "intermediate_size", "n_inner", err));
    PH_TRY(read_size(&hf->context, hf, "max_position_embeddings", "n_positions", err));
    PH_TRY(ph__hf_put_integer(hf, "embedding_length", hf->width, err));
    PH_TRY(ph__hf_put_integer(hf, "block_count", hf->blocks, err));
    PH_TRY(ph__hf_put_integer(hf, "attention.head_count", hf->heads, err));
    PH_TRY(ph__hf_put_integer(hf, "attention.head_count_kv", hf->kv_heads, err));
    PH_TRY(ph__hf_put_integer(hf, "attention.key_length", hf->head_width, err));
    PH_TRY(ph__hf_put_integer(hf, "attention.value_length", hf->head_width, err));
    return ph__hf_put_integer(hf, "feed_forward_length", ffn, err);
}

static ph_status put_norms(ph_hf *hf, ph_error *err)
{
    const unsigned layer = PH_HF_GPT2 | PH_HF_NEOX | PH_HF_PHI | PH_HF_STABLELM;
    const unsigned coarse = layer | PH_HF_PHI3 | PH_HF_OLMO2;
    double eps = hf->family & coarse ? 1e-5 : 1e-6;

    if (!(hf->family & layer)) {
        PH_TRY(ph__hf_number(&eps, hf->config, "rms_norm_eps", err));
        return ph__hf_put_number(hf, "attention.layer_norm_rms_epsilon", eps, err);
    }
    PH_TRY(ph__hf_number(&eps, hf->config, "layer_norm_epsilon", err));
    PH_TRY(ph__hf_number(&eps, hf->config, "layer_norm_eps", err));
    return ph__hf_put_number(hf, "attention.layer_norm_epsilon", eps, err);
}

/* Every so many-th block sees all: their number, INT_MAX where none does, -1 where there is no list of
 * layer_types, 0 where it has no such order; *all: no block has a window. */
static int64_t read_pattern(bool *all, const ph_hf *hf)
{
    const json_t *types = value_of(hf->config, "layer_types");
    const size_t n = json_array_size(types);
    size_t every = 0, full = 0;

    if (!types) return -1;
    if (n != (size_t)hf->blocks) return 0;
    for (size_t i = 0; i < n; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        const bool is_full = type && strcmp(type, "full_attention") == 0;
        if (!is_full && (!type || strcmp(type, "sliding_attention") != 0)) return 0;
        full += is_full;
        if (is_full && !every) every = i + 1;
    }
    *all = full == n;
    if (!every) return INT_MAX;
    for (size_t i = 0; i < n; i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (((i + 1) % every == 0) != (type[0] == 'f')) return 0;
    }
    return (int64_t)every;
}

/* Families whose windows the model knows say so; elsewhere a text ends where a window would. */
static ph_status put_window(ph_hf *hf, ph_error *err)
{
    const unsigned knows = PH_HF_GEMMA2 | PH_HF_GEMMA3 | PH_HF_PHI3;
    const unsigned may = PH_HF_QWEN2 | PH_HF_QWEN3; /* only where it is switched on */
    bool all = false, on = !(hf->family & may);
    int64_t every = read_pattern(&all, hf), window = hf->context;
    const int64_t wants = hf->family == PH_HF_PHI3 || hf->blocks < 2 ? INT_MAX : 2;
    const bool fixed = hf->family == PH_HF_GEMMA2 || hf->family == PH_HF_PHI3; /* by arch.c */

    PH_TRY(read_bool(&on, hf->config, "use_sliding_window", err));
    PH_TRY(read_size(&window, hf, "sliding_window", NULL, err));
    if (every == 0 || (fixed && every > 0 && every != wants))
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "config.json: this order of \"layer_types\" is not supported yet");
    if (hf->family == PH_HF_GEMMA3) {
        if (every < 0) {
            every = 6;
            PH_TRY(ph__hf_integer(&every, hf->config, "sliding_window_pattern", err));
        }
        if (every > 4096) every = 4096;
        PH_TRY(ph__hf_put_integer(hf, "attention.sliding_window_pattern", every, err));
    }
    if (!(hf->family & knows)) {
        if (on && !all && window < hf->context) hf->context = window;
        return PH_OK;
    }
    if (hf->family == PH_HF_PHI3 && !value_of(hf->config, "sliding_window")) return PH_OK;
    return ph__hf_put_integer(hf, "attention.sliding_window", window, err);
}

static ph_status put_scores(ph_hf *hf, ph_error *err)
{
    static const char *const caps[] = {"attn_logit_softcapping", "final_logit_softcapping"};
    int64_t scalar = 0;

    if (!(hf->family & (PH_HF_GEMMA2 | PH_HF_GEMMA3))) return PH_OK;
    PH_TRY(read_size(&scalar, hf, "query_pre_attn_scalar", NULL, err));
    PH_TRY(ph__hf_put_number(hf, "attention.scale", 1 / sqrt((double)scalar), err));
    for (size_t i = 0; i < 2; i++) {
        const json_t *said = json_object_get(hf->config, caps[i]);
        double cap = 0;
        PH_TRY(ph__hf_number(&cap, hf->config, caps[i], err));
        if (json_is_null(said) && hf->family == PH_HF_GEMMA2)
            return ph__fail(err, PH_EUNSUPPORTED, -1,
                            "config.json: \"%s\" null is not supported yet for gemma2", caps[i]);
        if (value_of(hf->config, caps[i])) PH_TRY(ph__hf_put_number(hf, caps[i], cap, err));
    }
    return PH_OK;
}

static ph_status put_all(ph_hf *hf, const char *name, ph_error *err)
{
    bool parallel = true;

    PH_TRY(ph__hf_put_text(hf, "general.architecture", hf->name, err));
    if (name) PH_TRY(ph__hf_put_text(hf, "general.name", name, err));
    PH_TRY(put_sizes(hf, err));
    PH_TRY(put_norms(hf, err));
    PH_TRY(put_scores(hf, err));
    if (hf->family != PH_HF_GPT2) PH_TRY(ph__hf_rope(hf, err));
    PH_TRY(put_window(hf, err));
    PH_TRY(ph__hf_put_integer(hf, "context_length", hf->context, err));
    if (hf->family == PH_HF_LLAMA) PH_TRY(ph__hf_put_bool(hf, "rope.halves", true, err));
    if (hf->family != PH_HF_NEOX) return PH_OK;
    PH_TRY(read_bool(&parallel, hf->config, "use_parallel_residual", err));
    return ph__hf_put_bool(hf, "use_parallel_residual", parallel, err);
}

ph_status ph__hf_read(ph_hf *out, const json_t *config, const char *name, ph_error *err)
{
    ph_status st = PH_OK;
    const struct kind *k = NULL;
    ph_hf hf = {.config = config};

    PH_GO(find_kind(&k, &hf, err));
    hf.name = k->name;
    hf.family = k->family;
    hf.tied = hf.family & (PH_HF_GEMMAS | PH_HF_GPT2);
    PH_GO(read_bool(&hf.tied, config, "tie_word_embeddings", err));
    PH_GO(read_bool(&hf.tied, hf.config, "tie_word_embeddings", err));
    PH_GO(check_act(&hf, k, err));
    PH_GO(check_rest(&hf, err));
    PH_GO(put_all(&hf, name, err));
    *out = hf;
    hf = (ph_hf){0};
done:
    ph__hf_close(&hf);
    return st;
}

void ph__hf_close(ph_hf *hf)
{
    ph__str_close(&hf->keys);
    ph__free(hf->rope[0]);
    ph__free(hf->rope[1]);
    *hf = (ph_hf){0};
}
