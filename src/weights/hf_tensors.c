/* hf_tensors.c — a Hugging Face folder's tensors under GGUF's names.
 *
 * Most are borrowed from their shard as they are. What the two formats hold differently is copied:
 * Gemma's norms (w, not 1 + w), GPT-2's matrices (transposed), GPT-NeoX's q, k and v (head by head).
 */
#include "weights/folder.h"

#include "weights/quant.h"

#include <stdio.h>
#include <string.h>

enum how { AS_IS, NORM, TRANSPOSED, BY_HEAD };
enum {
    ALL = -1,
    GPT2 = PH_HF_GPT2,
    NEOX = PH_HF_NEOX,
    PHI = PH_HF_PHI,
    SANDWICH = PH_HF_GEMMA2 | PH_HF_GEMMA3, /* norms before and behind a branch */
    BEHIND = SANDWICH | PH_HF_OLMO2,
    USUAL = ALL & ~(GPT2 | NEOX | PHI) /* named as Llama's */
};

/* Names without .weight and .bias; of blocks, without layers.N or blk.N. */
struct row {
    const char *theirs, *ours;
    int families;
    enum how how;
};

static const struct row file_rows[] = {
    {"embed_tokens", "token_embd", ALL, AS_IS},
    {"wte", "token_embd", GPT2, AS_IS},
    {"embed_in", "token_embd", NEOX, AS_IS},
    {"wpe", "position_embd", GPT2, AS_IS},
    {"norm", "output_norm", USUAL, NORM},
    {"ln_f", "output_norm", GPT2, NORM},
    {"final_layer_norm", "output_norm", NEOX, NORM},
    {"final_layernorm", "output_norm", PHI, NORM},
    {"lm_head", "output", ALL, AS_IS},
    {"embed_out", "output", NEOX, AS_IS},
};

static const struct row block_rows[] = {
    {"input_layernorm", "attn_norm", ALL, NORM},
    {"post_attention_layernorm", "ffn_norm", ALL & ~BEHIND, NORM},
    {"post_attention_layernorm", "post_attention_norm", BEHIND, NORM},
    {"pre_feedforward_layernorm", "ffn_norm", SANDWICH, NORM},
    {"post_feedforward_layernorm", "post_ffw_norm", BEHIND, NORM},
    {"self_attn.q_proj", "attn_q", ALL, AS_IS},
    {"self_attn.k_proj", "attn_k", ALL, AS_IS},
    {"self_attn.v_proj", "attn_v", ALL, AS_IS},
    {"self_attn.qkv_proj", "attn_qkv", PH_HF_PHI3, AS_IS},
    {"self_attn.o_proj", "attn_output", ALL, AS_IS},
    {"self_attn.q_norm", "attn_q_norm", USUAL, NORM},
    {"self_attn.k_norm", "attn_k_norm", USUAL, NORM},
    {"mlp.gate_proj", "ffn_gate", ALL, AS_IS},
    {"mlp.up_proj", "ffn_up", ALL, AS_IS},
    {"mlp.gate_up_proj", "ffn_up", PH_HF_PHI3, AS_IS},
    {"mlp.down_proj", "ffn_down", ALL, AS_IS},
    {"ln_1", "attn_norm", GPT2, NORM},
    {"ln_2", "ffn_norm", GPT2, NORM},
    {"attn.c_attn", "attn_qkv", GPT2, TRANSPOSED},
    {"attn.c_proj", "attn_output", GPT2, TRANSPOSED},
    {"mlp.c_fc", "ffn_up", GPT2, TRANSPOSED},
    {"mlp.c_proj", "ffn_down", GPT2, TRANSPOSED},
    {"attention.query_key_value", "attn_qkv", NEOX, BY_HEAD},
    {"attention.dense", "attn_output", NEOX, AS_IS},
    {"mlp.dense_h_to_4h", "ffn_up", NEOX, AS_IS},
    {"mlp.dense_4h_to_h", "ffn_down", NEOX, AS_IS},
    {"self_attn.dense", "attn_output", PHI, AS_IS},
    {"mlp.fc1", "ffn_up", PHI, AS_IS},
    {"mlp.fc2", "ffn_down", PHI, AS_IS},
};
#define ROWS(table) table, sizeof table / sizeof *(table)

/* ---- names ---- */

static const char *behind(const char *s, const char *prefix)
{
    const size_t n = strlen(prefix);
    return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* What stands before the names depends on who saved the model. */
static const char *strip(const char *name)
{
    static const char *const prefixes[] = {"language_model.", "model.",          "transformer.",
                                           "gpt_neox.",       "language_model.", "model."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        const char *rest = behind(name, prefixes[i]);
        if (rest) name = rest;
    }
    return name;
}

/* What is left of "layers.N." or "h.N.", and N; NULL where it is no block's. */
static const char *block_of(int64_t *n, const char *name)
{
    const char *rest = behind(name, "layers."), *digits;
    int64_t value = 0;

    if (!rest) rest = behind(name, "h.");
    if (!rest) return NULL;
    for (digits = rest; *rest >= '0' && *rest <= '9' && rest - digits < 6; rest++)
        value = 10 * value + (*rest - '0');
    *n = value;
    return rest > digits && *rest == '.' ? rest + 1 : NULL;
}

static const struct row *find_row(const struct row *rows, size_t n, const char *stem, size_t bytes,
                                  unsigned family)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(rows[i].theirs) == bytes && memcmp(rows[i].theirs, stem, bytes) == 0 &&
            ((unsigned)rows[i].families & family))
            return &rows[i];
    return NULL;
}

bool ph__hf_ignores(const ph_hf *hf, const char *name)
{
    static const char *const masks[] = {"attn.bias", "attn.masked_bias", "attention.bias",
                                        "attention.masked_bias"};
    const char *end = strrchr(name, '.'), *text = strip(name), *rest;
    int64_t n;

    if (end && strcmp(end, ".inv_freq") == 0) return true;
    if (hf->inside && (behind(text, "vision_tower.") || behind(text, "multi_modal_projector.")))
        return true;
    if (hf->tied && strcmp(text, "lm_head.weight") == 0) return true;
    if (hf->tied && strcmp(text, "embed_out.weight") == 0) return true;
    rest = block_of(&n, text);
    for (size_t i = 0; rest && i < sizeof masks / sizeof *masks; i++)
        if (strcmp(rest, masks[i]) == 0) return true;
    return false;
}

/* GGUF's name of a tensor, and what is to be done with it; false if the family has none such. */
static bool translate(ph_tensor_name out, enum how *how, const ph_hf *hf, const char *name)
{
    int64_t n = 0;
    const char *text = strip(name), *rest = block_of(&n, text);
    const char *stem = rest ? rest : text, *end = strrchr(stem, '.');
    const struct row *row;

    if (!end || (strcmp(end, ".weight") != 0 && strcmp(end, ".bias") != 0)) return false;
    const size_t bytes = (size_t)(end - stem);
    row = rest ? find_row(ROWS(block_rows), stem, bytes, hf->family)
               : find_row(ROWS(file_rows), stem, bytes, hf->family);
    if (!row) return false;
    *how = row->how;
    if (rest)
        snprintf(out, sizeof(ph_tensor_name), "blk.%lld.%s%s", (long long)n, row->ours, end);
    else
        snprintf(out, sizeof(ph_tensor_name), "%s%s", row->ours, end);
    return true;
}

/* ---- data ---- */

/* A tensor being taken: it, and where its copied data go. */
struct taking {
    ph_weights *w;
    const ph_hf *hf;
    ph_tensor *t;
    const char *theirs;
    ph_error *err;
};

static ph_status refuse(const struct taking *k, const char *what)
{
    return ph__fail(k->err, PH_EFORMAT, -1, "tensor %s: %s", k->theirs, what);
}

static size_t element_bytes(const ph_tensor *t)
{
    return ph__quant(t->type)->block_bytes;
}

/* Memory for what a tensor becomes, beside what it was. */
static ph_status make(uint8_t **data, struct taking *k, size_t bytes)
{
    PH_TRY(PH_NEW(data, bytes, k->err));
    k->w->made[k->t - k->w->tensors] = *data;
    return PH_OK;
}

static ph_status add_one(struct taking *k)
{
    ph_tensor *t = k->t;
    uint8_t *data = NULL;

    if (t->dims != 1) return refuse(k, "a norm with more than one dimension");
    PH_TRY(make(&data, k, (size_t)t->shape[0] * sizeof(float)));
    float *x = (float *)(void *)data;
    ph__dequant_rows(x, t, 0, 1);
    for (int64_t i = 0; i < t->shape[0]; i++) x[i] += 1;
    t->type = PH_F32;
    t->data = data;
    t->bytes = (size_t)t->shape[0] * sizeof(float);
    return PH_OK;
}

static ph_status transpose(struct taking *k)
{
    ph_tensor *t = k->t;
    const size_t size = element_bytes(t);
    const size_t rows = (size_t)t->shape[0], columns = (size_t)t->shape[1];
    uint8_t *data = NULL;

    if (t->dims != 2) return PH_OK; /* its bias */
    PH_TRY(make(&data, k, t->bytes));
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            memcpy(data + (j * rows + i) * size, t->data + (i * columns + j) * size, size);
    t->shape[0] = (int64_t)columns;
    t->shape[1] = (int64_t)rows;
    t->data = data;
    return PH_OK;
}

/* (H,3,D) rows to (3,H,D). */
static ph_status part_heads(struct taking *k)
{
    ph_tensor *t = k->t;
    const size_t H = (size_t)k->hf->heads, rows = (size_t)t->shape[0];
    uint8_t *data = NULL;

    if (rows % (3 * H) != 0)
        return refuse(k, "its rows are no queries, keys and values of all heads");
    PH_TRY(make(&data, k, t->bytes));
    const size_t piece = t->bytes / (3 * H);
    for (size_t h = 0; h < H; h++)
        for (size_t i = 0; i < 3; i++)
            memcpy(data + (i * H + h) * piece, t->data + (3 * h + i) * piece, piece);
    t->data = data;
    return PH_OK;
}

static ph_status arrange(struct taking *k, enum how how)
{
    if (how == NORM && (k->hf->family & PH_HF_GEMMAS)) return add_one(k);
    if (how == TRANSPOSED) return transpose(k);
    return how == BY_HEAD ? part_heads(k) : PH_OK;
}

/* ---- norms of single heads ---- */

static const ph_tensor *find_in_shards(const ph_weights *w, const char *name)
{
    const ph_tensor *t = NULL;
    for (size_t i = 0; !t && i < w->n_shards; i++) t = ph__weights_find(w->shards[i], name);
    return t;
}

/* StableLM has a tensor for each head, "….q_layernorm.norms.3.weight": which head, -1 elsewhere. */
static int64_t head_norm(int64_t *block, char *letter, const ph_hf *hf, const char *name)
{
    const char *rest = block_of(block, strip(name));
    char x = 0;
    long long head = -1;
    int end = 0;

    if (hf->family != PH_HF_STABLELM || !rest) return -1;
    if (sscanf(rest, "self_attn.%c_layernorm.norms.%5lld.weight%n", &x, &head, &end) != 2)
        return -1;
    *letter = x;
    return (x == 'q' || x == 'k') && end && !rest[end] ? head : -1;
}

/* That of head h, which must be as head 0's, the one being taken. */
static ph_status find_head(const ph_tensor **out, const struct taking *k, int64_t h)
{
    const int before = (int)(strlen(k->theirs) - strlen("0.weight"));
    char name[PH_GGUF_TENSOR_NAME_MAX + 24];

    snprintf(name, sizeof name, "%.*s%lld.weight", before, k->theirs, (long long)h);
    const ph_tensor *t = *out = find_in_shards(k->w, name);
    if (t && t->type == k->t->type && t->dims == 1 && t->bytes == k->t->bytes) return PH_OK;
    return ph__fail(k->err, PH_EFORMAT, -1, "tensor %s is missing, or not like that of head 0",
                    name);
}

/* All heads' as one tensor (H,D), made when the first is met. The configuration's word for H is worth
 * memory once all of them are there. */
static ph_status stack_heads(struct taking *k, char letter)
{
    const int64_t H = letter == 'q' ? k->hf->heads : k->hf->kv_heads;
    const size_t bytes = k->t->bytes;
    const ph_tensor *one = NULL;
    uint8_t *data = NULL;
    size_t all;

    if (k->t->dims != 1) return refuse(k, "a norm with more than one dimension");
    for (int64_t h = 0; h < H; h++) PH_TRY(find_head(&one, k, h));
    if (!ph__mul(&all, (size_t)H, bytes)) return ph__fail_memory(k->err, SIZE_MAX);
    PH_TRY(make(&data, k, all));
    for (int64_t h = 0; h < H; h++) {
        PH_TRY(find_head(&one, k, h));
        if (bytes) memcpy(data + (size_t)h * bytes, one->data, bytes);
    }
    k->t->dims = 2;
    k->t->shape[1] = k->t->shape[0];
    k->t->shape[0] = H;
    k->t->data = data;
    k->t->bytes = all;
    return PH_OK;
}

/* ---- all of them ---- */

static void name_last(ph_weights *w, const char *name)
{
    snprintf(w->names[w->n_tensors], sizeof *w->names, "%s", name);
    w->tensors[w->n_tensors].name = w->names[w->n_tensors];
    w->n_tensors++;
}

static ph_status take(ph_weights *w, const ph_hf *hf, const ph_tensor *from, ph_error *err)
{
    ph_tensor *t = &w->tensors[w->n_tensors];
    struct taking k = {w, hf, t, from->name, err};
    ph_tensor_name name = "";
    enum how how = AS_IS;
    int64_t block = 0;
    char letter = 0;

    if (ph__hf_ignores(hf, from->name)) return PH_OK;
    const int64_t head = head_norm(&block, &letter, hf, from->name);
    if (head > 0 && head < (letter == 'q' ? hf->heads : hf->kv_heads)) return PH_OK;
    if (head == 0)
        snprintf(name, sizeof name, "blk.%lld.attn_%c_norm.weight", (long long)block, letter);
    else if (!translate(name, &how, hf, from->name))
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "tensor %s: family %s does not use it yet, so the numbers would be wrong",
                        from->name, hf->name);
    if (ph__quant(from->type)->block != 1 || from->dims > 2)
        return refuse(&k, "expected numbers in F32, F16 or BF16, of one or two dimensions");
    *t = *from;
    name_last(w, name);
    return head == 0 ? stack_heads(&k, letter) : arrange(&k, how);
}

/* What GGUF holds as tensors, and config.json as numbers. */
static ph_status put_factors(ph_weights *w, const ph_hf *hf, ph_error *err)
{
    const char *const names[] = {hf->rope[1] ? "rope_factors_short.weight" : "rope_freqs.weight",
                                 "rope_factors_long.weight"};
    const int64_t n = hf->rope_dims / 2;

    for (size_t i = 0; i < 2 && hf->rope[i]; i++) {
        ph_tensor *t = &w->tensors[w->n_tensors];
        const size_t bytes = (size_t)n * sizeof(float);
        struct taking k = {w, hf, t, names[i], err};
        uint8_t *data = NULL;
        PH_TRY(make(&data, &k, bytes));
        memcpy(data, hf->rope[i], bytes);
        *t = (ph_tensor){NULL, PH_F32, 1, {n, 1, 1, 1}, data, bytes};
        name_last(w, names[i]);
    }
    return PH_OK;
}

static ph_status index_all(ph_weights *w, ph_error *err)
{
    PH_TRY(PH_NEW(&w->tensor_index, w->n_tensors, err));
    for (size_t i = 0; i < w->n_tensors; i++)
        w->tensor_index[i] = (ph_name){{w->names[i], strlen(w->names[i])}, i};
    const ph_name *twice = ph__index_sort(w->tensor_index, w->n_tensors);
    if (twice)
        return ph__fail(err, PH_EFORMAT, -1, "tensor %s: two tensors of the folder are this one",
                        twice->name.data);
    return PH_OK;
}

ph_status ph__hf_tensors(ph_weights *w, const ph_hf *hf, ph_error *err)
{
    size_t n = 2; /* factors */

    for (size_t i = 0; i < w->n_shards; i++) n += ph__weights_count(w->shards[i]);
    PH_TRY(PH_NEW(&w->tensors, n, err));
    PH_TRY(PH_NEW(&w->names, n, err));
    PH_TRY(PH_NEW(&w->made, n, err));
    for (size_t i = 0; i < w->n_shards; i++)
        for (size_t j = 0; j < ph__weights_count(w->shards[i]); j++)
            PH_TRY(take(w, hf, ph__weights_at(w->shards[i], j), err));
    PH_TRY(put_factors(w, hf, err));
    PH_TRY(index_all(w, err));
    if (!hf->tied && !ph__weights_find(w, "output.weight"))
        return ph__fail(err, PH_EFORMAT, -1,
                        "tensor lm_head.weight is missing, and config.json does not say "
                        "\"tie_word_embeddings\": true");
    return PH_OK;
}
