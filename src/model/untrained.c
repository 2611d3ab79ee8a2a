/* untrained.c — models that were never trained: presets of sizes, and weights drawn at random. */
#include "model/untrained.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define INITIALIZER_RANGE 0.02 /* transformers' LlamaConfig */

static const struct shape {
    const char *name;
    int64_t blocks, C, H, Hkv, D, F, context;
    double eps, rope_base;
    bool tied;
} shapes[] = {
    {"llama-7b", 32, 4096, 32, 32, 128, 11008, 2048, 1e-6, 1e4, false},
    {"llama-13b", 40, 5120, 40, 40, 128, 13824, 2048, 1e-6, 1e4, false},
    {"llama-30b", 60, 6656, 52, 52, 128, 17920, 2048, 1e-6, 1e4, false},
    {"llama-65b", 80, 8192, 64, 64, 128, 22016, 2048, 1e-6, 1e4, false},
    {"llama-2-7b", 32, 4096, 32, 32, 128, 11008, 4096, 1e-5, 1e4, false},
    {"llama-2-13b", 40, 5120, 40, 40, 128, 13824, 4096, 1e-5, 1e4, false},
    {"llama-2-70b", 80, 8192, 64, 8, 128, 28672, 4096, 1e-5, 1e4, false},
    {"llama-3-8b", 32, 4096, 32, 8, 128, 14336, 8192, 1e-5, 5e5, false},
    {"tinyllama-1.1b", 22, 2048, 32, 4, 64, 5632, 2048, 1e-5, 1e4, false},
    {"smollm2-135m", 30, 576, 9, 3, 64, 1536, 8192, 1e-5, 1e5, true},
    {"smollm2-360m", 32, 960, 15, 5, 64, 2560, 8192, 1e-5, 1e5, true},
    {"smollm2-1.7b", 24, 2048, 32, 32, 64, 8192, 8192, 1e-5, 1.3e5, true},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

const char *ph_shape_name(size_t i)
{
    return i < SHAPES ? shapes[i].name : NULL;
}

static ph_status unknown(const char *name, ph_error *err)
{
    char list[200] = "";
    for (size_t i = 0, at = 0; i < SHAPES; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, i ? ", %s" : "%s", shapes[i].name);
    return ph__fail(err, PH_EINVAL, -1, "shape \"%.32s\": expected one of %s", name, list);
}

ph_status ph__shape_arch(ph_arch *out, const char *name, int64_t V, ph_error *err)
{
    for (size_t i = 0; i < SHAPES; i++) {
        const struct shape *s = &shapes[i];
        if (strcmp(s->name, name) != 0) continue;
        *out =
            (ph_arch){.family = "llama",
                      .blocks = s->blocks,
                      .C = s->C,
                      .H = s->H,
                      .Hkv = s->Hkv,
                      .D = s->D,
                      .F = s->F,
                      .V = V,
                      .context_length = s->context,
                      .needs = PH_PART_ATTN_NORM | PH_PART_FFN_NORM | PH_PART_SPLIT | PH_PART_GATE,
                      .norm = PH_NORM_RMS,
                      .norm_eps = s->eps,
                      .score_scale = 1 / sqrt((double)s->D),
                      .rope = PH_ROPE_INTERLEAVED,
                      .rope_dims = s->D,
                      .rope_base = s->rope_base,
                      .rope_scale = 1,
                      .rope_scaling = "none",
                      .rope_factor = 1,
                      .act = PH_ACT_SILU,
                      .gated = true,
                      .embed_scale = 1,
                      .branch_init = 1,
                      .tied = s->tied};
        PH_TRY(PH_NEW(&out->rope_factors, (size_t)(s->D / 2), err));
        for (int64_t k = 0; k < s->D / 2; k++) out->rope_factors[k] = 1;
        return PH_OK;
    }
    return unknown(name, err);
}

/* FNV-1a */
static uint64_t hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    return h;
}

/* The branch's last matrix. */
static bool ends_branch(const char *name)
{
    return strstr(name, ".attn_output.weight") || strstr(name, ".ffn_down.weight");
}

void ph__untrained_row(float *row, const ph_tensor *t, int64_t i, uint64_t seed, double branch)
{
    const bool bias = strstr(t->name, ".bias"), norm = strstr(t->name, "norm.weight");
    const int64_t columns = t->dims == 1 ? t->shape[0] : t->shape[1];
    const double deviation = INITIALIZER_RANGE * (ends_branch(t->name) ? branch : 1);
    ph_rng rng = ph__rng(seed ^ hash(t->name), (uint64_t)i);
    for (int64_t j = 0; j < columns; j++)
        row[j] = bias ? 0 : norm ? 1 : (float)(deviation * ph__rng_normal(&rng));
}
