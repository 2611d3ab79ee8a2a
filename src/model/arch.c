/* arch.c — reads an arch from a file's metadata.
 *
 * A family is a row: what its files do not say of themselves, and one function for what only they
 * say. Keys that all families share are read for all. See docs/ADDING-A-FAMILY.md.
 */
#include "model/arch.h"

#include "base/mem.h"
#include "model/keys.h"
#include "model/scaling.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_BLOCKS = 4096, MAX_WIDTH = 1 << 20, MAX_HEADS = 4096, MAX_CONTEXT = 1 << 27 };

/* ---- what only one family says ---- */

/* GGUF's q and k are permuted so that neighbours turn together; a Hugging Face folder's are not, and
 * folder.c says so by a key of its own. */
static ph_status read_llama(ph_arch *a, const ph_weights *w, ph_error *err)
{
    bool halves = false;
    PH_TRY(ph__key_bool(&halves, w, a->family, "rope.halves", err));
    if (halves) a->rope = PH_ROPE_HALVES;
    return PH_OK;
}

static ph_status read_gemma(ph_arch *a, const ph_weights *w, ph_error *err)
{
    (void)w, (void)err;
    a->embed_scale = sqrtf((float)a->C);
    return PH_OK;
}

/* The files do not say how queries are scaled: the 27 B models alone do not go by the head width. */
static void scale_queries(ph_arch *a, int64_t blocks_of_27b)
{
    if (a->blocks == blocks_of_27b) a->score_scale = 1 / sqrt((double)a->C / (double)a->H);
}

static ph_status read_caps(ph_arch *a, const ph_weights *w, ph_error *err)
{
    PH_TRY(ph__key_positive(&a->score_cap, w, a->family, "attn_logit_softcapping", err));
    return ph__key_positive(&a->logit_cap, w, a->family, "final_logit_softcapping", err);
}

static ph_status read_gemma2(ph_arch *a, const ph_weights *w, ph_error *err)
{
    a->window = 4096;
    a->window_every = 2;
    a->score_cap = 50;
    a->logit_cap = 30;
    scale_queries(a, 46);
    PH_TRY(read_gemma(a, w, err));
    PH_TRY(ph__key_count(&a->window, w, a->family, "attention.sliding_window", MAX_CONTEXT, err));
    return read_caps(a, w, err);
}

static ph_status read_gemma3(ph_arch *a, const ph_weights *w, ph_error *err)
{
    a->window_every = 6;
    a->rope_base_local = 10000;
    scale_queries(a, 62);
    PH_TRY(read_gemma(a, w, err));
    PH_TRY(ph__key_count(&a->window, w, a->family, "attention.sliding_window", MAX_CONTEXT, err));
    PH_TRY(ph__key_count(&a->window_every, w, a->family, "attention.sliding_window_pattern",
                         MAX_BLOCKS, err));
    PH_TRY(ph__key_positive(&a->rope_base_local, w, a->family, "rope.freq_base_swa", err));
    return read_caps(a, w, err);
}

static ph_status read_gpt2(ph_arch *a, const ph_weights *w, ph_error *err)
{
    (void)w, (void)err;
    a->branch_init = 1 / sqrt(2 * (double)a->blocks);
    return PH_OK;
}

static ph_status read_gptneox(ph_arch *a, const ph_weights *w, ph_error *err)
{
    a->parallel = true;
    return ph__key_bool(&a->parallel, w, a->family, "use_parallel_residual", err);
}

static ph_status read_phi2(ph_arch *a, const ph_weights *w, ph_error *err)
{
    (void)w, (void)err;
    a->parallel = true;
    return PH_OK;
}

static ph_status read_phi3(ph_arch *a, const ph_weights *w, ph_error *err)
{
    if (!ph__key_has(w, a->family, "attention.sliding_window")) return PH_OK;
    return ph__key_count(&a->window, w, a->family, "attention.sliding_window", MAX_CONTEXT, err);
}

/* Parallel blocks have one norm for both branches. The key that says so is no help: converters wrote
 * true where a configuration was silent, and meant the others. */
static ph_status read_stablelm(ph_arch *a, const ph_weights *w, ph_error *err)
{
    (void)err;
    a->parallel = !ph__weights_find(w, "blk.0.ffn_norm.weight");
    if (!a->parallel) a->needs |= PH_PART_FFN_NORM;
    if (ph__weights_find(w, "blk.0.attn_q_norm.weight")) a->qk_norm = PH_QK_HEADS;
    return PH_OK;
}

/* ---- the families ---- */

enum {
    PRE_NORMS = PH_PART_ATTN_NORM | PH_PART_FFN_NORM,
    BIASES = PH_PART_QKV_BIAS | PH_PART_O_BIAS | PH_PART_MLP_BIAS,
    LLAMA = PRE_NORMS | PH_PART_SPLIT | PH_PART_GATE,
    GPT = PRE_NORMS | PH_PART_NORM_BIAS | PH_PART_FUSED | BIASES
};

static const struct family {
    const char *name;
    ph_rope_kind rope;
    ph_norm_kind norm;
    ph_qk_norm qk_norm;
    ph_act_kind act;
    bool gated;
    double rope_base; /* where the file does not say */
    unsigned needs, may;
    ph_status (*read)(ph_arch *a, const ph_weights *w, ph_error *err);
} families[] = {
    {"llama", PH_ROPE_INTERLEAVED, PH_NORM_RMS, PH_QK_NONE, PH_ACT_SILU, true, 1e4, LLAMA,
     BIASES | PH_PART_ROPE_FREQS, read_llama},
    {"qwen2", PH_ROPE_HALVES, PH_NORM_RMS, PH_QK_NONE, PH_ACT_SILU, true, 1e4,
     LLAMA | PH_PART_QKV_BIAS, 0, NULL},
    {"qwen3", PH_ROPE_HALVES, PH_NORM_RMS, PH_QK_HEAD, PH_ACT_SILU, true, 1e6,
     LLAMA | PH_PART_QK_NORM, PH_PART_QKV_BIAS | PH_PART_O_BIAS, NULL},
    {"gemma", PH_ROPE_HALVES, PH_NORM_RMS, PH_QK_NONE, PH_ACT_GELU_TANH, true, 1e4, LLAMA, 0,
     read_gemma},
    {"gemma2", PH_ROPE_HALVES, PH_NORM_RMS, PH_QK_NONE, PH_ACT_GELU_TANH, true, 1e4,
     LLAMA | PH_PART_POST_NORMS, 0, read_gemma2},
    {"gemma3", PH_ROPE_HALVES, PH_NORM_RMS, PH_QK_HEAD, PH_ACT_GELU_TANH, true, 1e6,
     LLAMA | PH_PART_POST_NORMS | PH_PART_QK_NORM, 0, read_gemma3},
    {"gpt2", PH_ROPE_HALVES, PH_NORM_LAYER, PH_QK_NONE, PH_ACT_GELU_TANH, false, 1e4,
     GPT | PH_PART_POSITIONS, 0, read_gpt2},
    {"gptneox", PH_ROPE_HALVES, PH_NORM_LAYER, PH_QK_NONE, PH_ACT_GELU, false, 1e4, GPT, 0,
     read_gptneox},
    {"phi2", PH_ROPE_HALVES, PH_NORM_LAYER, PH_QK_NONE, PH_ACT_GELU_TANH, false, 1e4,
     PH_PART_ATTN_NORM | PH_PART_NORM_BIAS | BIASES | PH_PART_OUTPUT_BIAS,
     PH_PART_SPLIT | PH_PART_FUSED, read_phi2},
    {"phi3", PH_ROPE_HALVES, PH_NORM_RMS, PH_QK_NONE, PH_ACT_SILU, true, 1e4, PRE_NORMS,
     PH_PART_SPLIT | PH_PART_FUSED | PH_PART_ROPE_LONG, read_phi3},
    {"olmo2", PH_ROPE_HALVES, PH_NORM_RMS, PH_QK_WIDTH, PH_ACT_SILU, true, 1e4,
     PH_PART_SPLIT | PH_PART_GATE | PH_PART_POST_NORMS | PH_PART_QK_NORM, 0, NULL},
    {"stablelm", PH_ROPE_HALVES, PH_NORM_LAYER, PH_QK_NONE, PH_ACT_SILU, true, 1e4,
     PH_PART_ATTN_NORM | PH_PART_NORM_BIAS | PH_PART_SPLIT | PH_PART_GATE,
     PH_PART_QKV_BIAS | PH_PART_QK_NORM, read_stablelm},
};
enum { FAMILIES = sizeof families / sizeof *families };

static ph_status unsupported(ph_bytes name, ph_error *err)
{
    char list[200] = "";
    for (size_t i = 0, at = 0; i < FAMILIES; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, i ? ", %s" : "%s", families[i].name);
    return ph__fail(err, PH_EUNSUPPORTED, -1,
                    "architecture \"%.*s\" is not supported yet (supported: %s)",
                    (int)(name.size < 64 ? name.size : 64), name.data, list);
}

static ph_status find_family(const struct family **out, const ph_weights *w, ph_error *err)
{
    ph_bytes name = {"", 0};
    PH_TRY(ph__meta_string(&name, w, "general.architecture", err));
    if (!ph__meta_has(w, "general.architecture"))
        return ph__fail(err, PH_EFORMAT, -1, "key general.architecture is missing");
    for (size_t i = 0; i < FAMILIES; i++) {
        if (strlen(families[i].name) == name.size &&
            memcmp(families[i].name, name.data, name.size) == 0) {
            *out = &families[i];
            return PH_OK;
        }
    }
    return unsupported(name, err);
}

/* ---- what all say ---- */

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

static ph_status read_attention(ph_arch *a, const ph_weights *w, ph_error *err)
{
    const char *f = a->family;
    int64_t value_width = 0;

    PH_TRY(ph__key_count(&a->H, w, f, "attention.head_count", MAX_HEADS, err));
    a->Hkv = a->H;
    PH_TRY(ph__key_count(&a->Hkv, w, f, "attention.head_count_kv", MAX_HEADS, err));
    a->D = a->C / a->H ? a->C / a->H : 1;
    PH_TRY(ph__key_count(&a->D, w, f, "attention.key_length", MAX_WIDTH, err));
    value_width = a->D;
    PH_TRY(ph__key_count(&value_width, w, f, "attention.value_length", MAX_WIDTH, err));
    if (value_width != a->D)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "values of width %lld beside keys of width %lld are not supported yet",
                        (long long)value_width, (long long)a->D);
    a->score_scale = 1 / sqrt((double)a->D);
    return ph__key_positive(&a->score_scale, w, f, "attention.scale", err);
}

static ph_status read_rope(ph_arch *a, const ph_weights *w, ph_error *err)
{
    const char *f = a->family;
    if (a->needs & PH_PART_POSITIONS) return PH_OK;
    a->rope_dims = a->D;
    PH_TRY(ph__key_count(&a->rope_dims, w, f, "rope.dimension_count", MAX_WIDTH, err));
    PH_TRY(ph__key_positive(&a->rope_base, w, f, "rope.freq_base", err));
    PH_TRY(check_heads(a, err));
    return ph__scaling_read(a, w, err);
}

static ph_status read_sizes(ph_arch *a, const ph_weights *w, ph_error *err)
{
    const char *f = a->family;

    a->context_length = MAX_CONTEXT;
    PH_TRY(ph__key_count(&a->blocks, w, f, "block_count", MAX_BLOCKS, err));
    PH_TRY(ph__key_count(&a->C, w, f, "embedding_length", MAX_WIDTH, err));
    PH_TRY(ph__key_count(&a->F, w, f, "feed_forward_length", MAX_WIDTH, err));
    PH_TRY(ph__key_count(&a->context_length, w, f, "context_length", MAX_CONTEXT, err));
    PH_TRY(ph__key_positive(&a->norm_eps, w, f,
                            a->norm == PH_NORM_RMS ? "attention.layer_norm_rms_epsilon"
                                                   : "attention.layer_norm_epsilon",
                            err));
    if (a->norm_eps == 0)
        return ph__fail(err, PH_EFORMAT, -1, "key %s.attention.layer_norm_%sepsilon is missing", f,
                        a->norm == PH_NORM_RMS ? "rms_" : "");
    PH_TRY(read_attention(a, w, err));
    return check_heads(a, err);
}

static ph_status read_vocabulary(ph_arch *a, const ph_weights *w, ph_error *err)
{
    const ph_tensor *embedding = ph__weights_find(w, "token_embd.weight");
    if (!embedding)
        return ph__fail(
            err, PH_EFORMAT, -1,
            "tensor token_embd.weight is missing (does the file hold a vocabulary only?)");
    a->V = embedding->shape[0];
    if (a->V < 1 || a->V > INT32_MAX)
        return ph__fail(err, PH_EFORMAT, -1, "tensor token_embd.weight has %lld rows",
                        (long long)a->V);
    a->tied = !ph__weights_find(w, "output.weight");
    return PH_OK;
}

ph_status ph__arch_read(ph_arch *out, const ph_weights *w, ph_error *err)
{
    const struct family *family = NULL;
    ph_status st = PH_OK;
    ph_arch a = {0};

    PH_GO(find_family(&family, w, err));
    a = (ph_arch){.family = family->name,
                  .rope = family->rope,
                  .norm = family->norm,
                  .qk_norm = family->qk_norm,
                  .act = family->act,
                  .gated = family->gated,
                  .needs = family->needs,
                  .may = family->may,
                  .rope_base = family->rope_base,
                  .rope_scale = 1,
                  .rope_scaling = "none",
                  .rope_factor = 1,
                  .embed_scale = 1,
                  .branch_init = 1};
    PH_GO(read_sizes(&a, w, err));
    PH_GO(read_rope(&a, w, err));
    if (family->read) PH_GO(family->read(&a, w, err));
    PH_GO(read_vocabulary(&a, w, err));
    *out = a;
    a = (ph_arch){0};
done:
    ph__arch_close(&a);
    return st;
}

void ph__arch_close(ph_arch *a)
{
    ph__free(a->rope_factors);
    a->rope_factors = NULL;
}

int64_t ph__arch_window(const ph_arch *a, int64_t n)
{
    return a->window_every && n % a->window_every == 0 ? 0 : a->window;
}

int64_t ph__arch_up(const ph_arch *a)
{
    return a->gated ? 2 * a->F : a->F;
}

int64_t ph__arch_block_parameters(const ph_arch *a)
{
    return a->C * (2 * a->H + 2 * a->Hkv) * a->D + a->C * (ph__arch_up(a) + a->F);
}
