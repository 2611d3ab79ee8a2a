/* model.c — opens a model and packs its weights when they are first needed.
 *
 * Does not run anything. Called by session.c and by whoever wants embeddings.
 */
#include "model/model.h"

#include "base/mem.h"
#include "model/untrained.h"
#include "model/vocabulary.h"
#include "weights/quant.h"

#include <math.h>
#include <string.h>

/* One row at a time from the file: a text needs a few of them, not the whole matrix. */
ph_status ph_model_embed(const ph_model *model, float *E, const int32_t *ids, size_t n,
                         ph_error *err)
{
    const ph_arch *a = &model->arch;
    for (size_t i = 0; i < n; i++) {
        float *row = E + i * (size_t)a->C;
        if (ids[i] < 0 || ids[i] >= a->V)
            return ph__fail(err, PH_ERANGE, -1, "id %d: this model has 0 to %lld", ids[i],
                            (long long)a->V - 1);
        ph__model_row(row, model, model->slots.embedding, ids[i]);
        for (int64_t j = 0; j < a->C; j++) row[j] *= a->embed_scale;
    }
    return PH_OK;
}

/* ---- open and close ---- */

/* i-th tensor of the file, or of those that were made; NULL past the last. */
static const ph_tensor *tensor_at(const ph_model *m, size_t i)
{
    if (m->untrained) return i < m->slots.n_made ? &m->slots.made[i] : NULL;
    return i < ph__weights_count(m->weights) ? ph__weights_at(m->weights, i) : NULL;
}

/* The type that most weights have, and how many weights there are. */
static void count_weights(ph_model_info *info, const ph_model *m)
{
    int64_t by_type[PH_DTYPE_COUNT] = {0};
    int best = 0;
    for (size_t i = 0; tensor_at(m, i); i++) {
        const ph_tensor *t = tensor_at(m, i);
        int64_t n = t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3];
        by_type[t->type] += n;
        info->parameters += n;
    }
    for (int t = 1; t < PH_DTYPE_COUNT; t++)
        if (by_type[t] > by_type[best]) best = t;
    info->quant = m->untrained ? "untrained" : ph__quant((ph_dtype)best)->name;
}

/* general.name, else what the file is called; of a shape its name. */
static ph_status read_name(ph_bytes *name, const ph_model *m, const char *path, ph_error *err)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    if (m->shape) base = m->shape;
    *name = (ph_bytes){base, strlen(base)};
    return m->shape ? PH_OK : ph__meta_string(name, m->weights, "general.name", err);
}

static ph_status fill_info(ph_model *m, const char *path, ph_error *err)
{
    const ph_arch *a = &m->arch;
    ph_bytes name;

    PH_TRY(read_name(&name, m, path, err));
    PH_TRY(ph__strndup(&m->strings[0], path, strlen(path), err));
    PH_TRY(ph__bytes_dup(&m->strings[2], name, err));
    PH_TRY(ph_utf8_clean(&m->strings[1], m->strings[2], strlen(m->strings[2]), err));
    m->info = (ph_model_info){.path = m->strings[0],
                              .name = m->strings[1],
                              .family = a->family,
                              .backend = m->backend->name,
                              .plan = m->streamed ? "streamed" : "packed",
                              .tokenizer = m->tokenizer,
                              .blocks = a->blocks,
                              .width = a->C,
                              .heads = a->H,
                              .kv_heads = a->Hkv,
                              .head_width = a->D,
                              .ffn = a->F,
                              .vocab = a->V,
                              .context_length = a->context_length,
                              .tied = a->tied,
                              .untrained = m->untrained,
                              .untrained_seed = m->seed,
                              .shape = m->shape,
                              .block_parameters = ph__arch_block_parameters(a),
                              .file_bytes = ph__weights_bytes(m->weights),
                              .threads = m->backend->threads};
    count_weights(&m->info, m);
    return PH_OK;
}

static ph_status read_tokenizer(ph_model *m, ph_error *err)
{
    if (m->tokenizer || !ph__vocabulary_has(m->weights)) return PH_OK;
    PH_TRY(ph__vocabulary_read(&m->tokenizer, m->weights, err));
    int32_t n = ph_tokenizer_get_info(m->tokenizer)->vocab;
    if (n > m->arch.V)
        return ph__fail(err, PH_EFORMAT, -1,
                        "the vocabulary has %d tokens, tensor token_embd.weight only %lld rows", n,
                        (long long)m->arch.V);
    return PH_OK;
}

/* Sizes and tensors: the file's, or a shape's without any. */
static ph_status read_sizes(ph_model *m, const ph_model_options *o, ph_error *err)
{
    enum { MOST = 4096 };
    m->untrained = o->untrained || o->shape;
    m->seed = m->untrained ? o->untrained_seed : 0;
    if (o->shape) {
        PH_TRY(ph__vocabulary_read(&m->tokenizer, m->weights, err));
        PH_TRY(ph__shape_arch(&m->arch, o->shape, ph_tokenizer_get_info(m->tokenizer)->vocab, err));
        PH_TRY(ph__strndup(&m->shape, o->shape, strlen(o->shape), err));
    } else {
        PH_TRY(ph__arch_read(&m->arch, m->weights, err));
    }
    if (!m->untrained && o->blocks)
        return ph__fail(err, PH_EINVAL, -1, "blocks can be chosen for untrained models only");
    if (o->blocks < 0 || o->blocks > MOST)
        return ph__fail(err, PH_EINVAL, -1, "%lld blocks: expected 1 to %d", (long long)o->blocks,
                        MOST);
    if (o->blocks) m->arch.blocks = o->blocks;
    return m->untrained ? ph__bind_sizes(&m->slots, &m->arch, o->shape ? NULL : m->weights, err)
                        : ph__bind(&m->slots, m->weights, &m->arch, err);
}

ph_status ph_model_open(ph_model **out, const char *path, const ph_model_options *options,
                        ph_error *err)
{
    ph_status st = PH_OK;
    ph_model *m = NULL;
    const ph_model_options defaults = PH_MODEL_OPTIONS_INIT;

    if (!options) options = &defaults;
    PH_TRY(PH_NEW(&m, 1, err));
    PH_GO(ph__weights_open(&m->weights, path, err));
    PH_GO(read_sizes(m, options, err));
    PH_GO(read_tokenizer(m, err));
    PH_GO(ph__backend_open(&m->backend, options->backend, options->threads, err));
    PH_GO(ph__pack_open(m, options->plan, err));
    PH_GO(fill_info(m, path, err));
    *out = m;
    m = NULL;
done:
    ph_model_close(&m);
    return st;
}

void ph_model_close(ph_model **model)
{
    ph_model *m = *model;
    if (!m) return;
    ph__pack_close(m);
    ph__backend_close(&m->backend);
    ph_tokenizer_close(&m->tokenizer);
    ph__slots_close(&m->slots);
    ph__arch_close(&m->arch);
    ph__weights_close(&m->weights);
    for (size_t i = 0; i < sizeof m->strings / sizeof *m->strings; i++) ph__free(m->strings[i]);
    ph__free(m->shape);
    ph__free(m);
    *model = NULL;
}

/* ---- looking at it ---- */

const ph_model_info *ph_model_get_info(const ph_model *model)
{
    return &model->info;
}

static const char *positions_of(const ph_arch *a)
{
    if (a->needs & PH_PART_POSITIONS) return "learned";
    return a->rope == PH_ROPE_HALVES ? "halves" : "neighbours";
}

void ph_model_get_design(ph_model_design *out, const ph_model *model)
{
    static const char *const query_norms[] = {[PH_QK_NONE] = "none",
                                              [PH_QK_HEAD] = "head",
                                              [PH_QK_HEADS] = "each head",
                                              [PH_QK_WIDTH] = "width"};
    static const char *const activations[] = {
        [PH_ACT_SILU] = "silu", [PH_ACT_GELU_TANH] = "gelu tanh", [PH_ACT_GELU] = "gelu"};
    const ph_arch *a = &model->arch;
    const ph_block_slots *first = &model->slots.block[0];

    *out = (ph_model_design){.norm = a->norm == PH_NORM_RMS ? "rms" : "layer",
                             .norm_eps = a->norm_eps,
                             .norm_before = a->needs & PH_PART_ATTN_NORM,
                             .norm_after = a->needs & PH_PART_POST_NORMS,
                             .query_norm = query_norms[a->qk_norm],
                             .activation = activations[a->act],
                             .gated = a->gated,
                             .parallel = a->parallel,
                             .embed_scale = (double)a->embed_scale,
                             .score_scale = a->score_scale,
                             .score_cap = a->score_cap,
                             .logit_cap = a->logit_cap,
                             .positions = positions_of(a),
                             .rope_dims = a->rope_dims,
                             .rope_base = a->rope_base,
                             .rope_base_local = a->rope_base_local,
                             .rope_scaling = a->rope_scaling,
                             .rope_factor = a->rope_factor,
                             .qkv_bias = first->q_bias || first->qkv_bias,
                             .output_bias = model->slots.output_bias};
    for (int64_t n = 1; n <= a->blocks; n++) out->windowed += ph__arch_window(a, n) != 0;
    if (out->windowed) out->window = a->window;
}

const ph_tokenizer *ph_model_tokenizer(const ph_model *model)
{
    return model->tokenizer;
}

ph_status ph_model_sha256(const ph_model *model, char out[65], ph_error *err)
{
    struct ph_packed *p = model->packed;
    ph_status st = PH_OK;
    pthread_mutex_lock(&p->lock);
    if (!*p->sha256) st = ph__weights_sha256(p->sha256, model->weights, err);
    if (st == PH_OK)
        memcpy(out, p->sha256, 65);
    else
        *p->sha256 = 0;
    pthread_mutex_unlock(&p->lock);
    return st;
}

ph_status ph__model_identity(char **out, const ph_model *m, ph_error *err)
{
    char sha[65];
    PH_TRY(ph_model_sha256(m, sha, err));
    if (!m->untrained) return ph__printf(out, err, "%s", sha);
    return ph__printf(out, err, "%s untrained %llu %s %lld", sha, (unsigned long long)m->seed,
                      m->shape ? m->shape : "", (long long)m->arch.blocks);
}

bool ph_model_tensor(const ph_model *model, size_t i, ph_tensor_info *out)
{
    const ph_tensor *t = tensor_at(model, i);
    if (!t) return false;
    *out = (ph_tensor_info){.name = t->name,
                            .type = model->untrained ? "random" : ph__quant(t->type)->name,
                            .dims = t->dims,
                            .bytes = t->bytes};
    memcpy(out->shape, t->shape, sizeof out->shape);
    return true;
}

const char *ph_version(void)
{
    return PH_VERSION;
}
