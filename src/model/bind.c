/* bind.c — tensor names to slots of verified shape. */
#include "model/bind.h"

#include "base/mem.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Sizes a shape may name. QN and KN are the rows of the norms of q and k, NORM their columns. */
enum size { ONE, C, F, UP, Q, KV, QKV, QN, KN, NORM, V, CONTEXT, ANGLES };

static int64_t size_of(const ph_arch *a, enum size s)
{
    const bool heads = a->qk_norm == PH_QK_HEADS, width = a->qk_norm == PH_QK_WIDTH;
    const int64_t sizes[] = {[ONE] = 1,
                             [C] = a->C,
                             [F] = a->F,
                             [UP] = a->needs & PH_PART_GATE ? a->F : ph__arch_up(a),
                             [Q] = a->H * a->D,
                             [KV] = a->Hkv * a->D,
                             [QKV] = (a->H + 2 * a->Hkv) * a->D,
                             [QN] = heads   ? a->H
                                    : width ? a->H * a->D
                                            : a->D,
                             [KN] = heads   ? a->Hkv
                                    : width ? a->Hkv * a->D
                                            : a->D,
                             [NORM] = heads ? a->D : 1,
                             [V] = a->V,
                             [CONTEXT] = a->context_length,
                             [ANGLES] = a->rope_dims / 2};
    return sizes[s];
}

enum { NO_SLOT = -1 };

struct slot {
    const char *name;
    int64_t offset;          /* NO_SLOT: known and checked, read elsewhere */
    enum size rows, columns; /* a vector of n is n rows × 1 */
    unsigned parts;          /* where a family has all of these */
};

#define BLOCK(field) (int64_t) offsetof(ph_block_slots, field)
static const struct slot block_slots[] = {
    {"attn_norm.weight", BLOCK(attn_norm), C, ONE, PH_PART_ATTN_NORM},
    {"attn_norm.bias", BLOCK(attn_norm_bias), C, ONE, PH_PART_ATTN_NORM | PH_PART_NORM_BIAS},
    {"attn_qkv.weight", BLOCK(qkv), QKV, C, PH_PART_FUSED},
    {"attn_qkv.bias", BLOCK(qkv_bias), QKV, ONE, PH_PART_FUSED | PH_PART_QKV_BIAS},
    {"attn_q.weight", BLOCK(q), Q, C, PH_PART_SPLIT},
    {"attn_k.weight", BLOCK(k), KV, C, PH_PART_SPLIT},
    {"attn_v.weight", BLOCK(v), KV, C, PH_PART_SPLIT},
    {"attn_q.bias", BLOCK(q_bias), Q, ONE, PH_PART_SPLIT | PH_PART_QKV_BIAS},
    {"attn_k.bias", BLOCK(k_bias), KV, ONE, PH_PART_SPLIT | PH_PART_QKV_BIAS},
    {"attn_v.bias", BLOCK(v_bias), KV, ONE, PH_PART_SPLIT | PH_PART_QKV_BIAS},
    {"attn_q_norm.weight", BLOCK(q_norm), QN, NORM, PH_PART_QK_NORM},
    {"attn_k_norm.weight", BLOCK(k_norm), KN, NORM, PH_PART_QK_NORM},
    {"attn_output.weight", BLOCK(o), C, Q, 0},
    {"attn_output.bias", BLOCK(o_bias), C, ONE, PH_PART_O_BIAS},
    {"post_attention_norm.weight", BLOCK(post_attn), C, ONE, PH_PART_POST_NORMS},
    {"ffn_norm.weight", BLOCK(ffn_norm), C, ONE, PH_PART_FFN_NORM},
    {"ffn_norm.bias", BLOCK(ffn_norm_bias), C, ONE, PH_PART_FFN_NORM | PH_PART_NORM_BIAS},
    {"ffn_gate.weight", BLOCK(gate), F, C, PH_PART_GATE},
    {"ffn_gate.bias", BLOCK(gate_bias), F, ONE, PH_PART_GATE | PH_PART_MLP_BIAS},
    {"ffn_up.weight", BLOCK(up), UP, C, 0},
    {"ffn_up.bias", BLOCK(up_bias), UP, ONE, PH_PART_MLP_BIAS},
    {"ffn_down.weight", BLOCK(down), C, F, 0},
    {"ffn_down.bias", BLOCK(down_bias), C, ONE, PH_PART_MLP_BIAS},
    {"post_ffw_norm.weight", BLOCK(post_ffn), C, ONE, PH_PART_POST_NORMS},
};
enum { BLOCK_SLOTS = sizeof block_slots / sizeof *block_slots };

#define FILE_SLOT(field) (int64_t) offsetof(ph_slots, field)
static const struct slot file_slots[] = {
    {"token_embd.weight", FILE_SLOT(embedding), V, C, 0},
    {"position_embd.weight", FILE_SLOT(positions), CONTEXT, C, PH_PART_POSITIONS},
    {"output_norm.weight", FILE_SLOT(final_norm), C, ONE, 0},
    {"output_norm.bias", FILE_SLOT(final_norm_bias), C, ONE, PH_PART_NORM_BIAS},
    {"output.weight", FILE_SLOT(output), V, C, 0},
    {"output.bias", FILE_SLOT(output_bias), V, ONE, PH_PART_OUTPUT_BIAS},
    {"rope_freqs.weight", NO_SLOT, ANGLES, ONE, PH_PART_ROPE_FREQS},
    {"rope_factors_short.weight", NO_SLOT, ANGLES, ONE, PH_PART_ROPE_LONG},
    {"rope_factors_long.weight", NO_SLOT, ANGLES, ONE, PH_PART_ROPE_LONG},
};
enum { FILE_SLOTS = sizeof file_slots / sizeof *file_slots };

/* Where the tensors of slots come from. */
struct source {
    const ph_weights *file; /* NULL: they are made … */
    const ph_weights *like; /* … as this has them */
    const ph_arch *arch;
    ph_slots *slots;
};

static bool has_parts(unsigned parts, unsigned has)
{
    return (parts & has) == parts;
}

/* Whether a tensor is to be looked for: needed, or possible and there. */
static bool wanted(const struct slot *s, const char *name, const struct source *from)
{
    const ph_arch *a = from->arch;
    const ph_weights *at = from->file ? from->file : from->like;
    if (s->offset == NO_SLOT && !from->file) return false;
    if (has_parts(s->parts, a->needs)) return true;
    return has_parts(s->parts, a->needs | a->may) && at && ph__weights_find(at, name);
}

/* A tensor with a name and a shape, and no data. */
static void make(const ph_tensor **at, ph_slots *s, const char *name, int64_t rows, int64_t columns)
{
    ph_tensor *t = &s->made[s->n_made];
    char *own = s->names[s->n_made++];
    snprintf(own, sizeof *s->names, "%s", name);
    *t = (ph_tensor){.name = own, .dims = columns == 1 ? 1 : 2, .shape = {rows, columns, 1, 1}};
    *at = t;
}

static ph_status fill(void *base, const struct slot *s, const char *name, const struct source *from,
                      ph_error *err)
{
    const ph_tensor *elsewhere = NULL;
    const ph_tensor **at =
        s->offset == NO_SLOT ? &elsewhere : (const ph_tensor **)(void *)((char *)base + s->offset);
    const int64_t rows = size_of(from->arch, s->rows), columns = size_of(from->arch, s->columns);
    if (!wanted(s, name, from)) return PH_OK;
    if (from->file) return ph__weights_need(at, from->file, name, rows, columns, err);
    make(at, from->slots, name, rows, columns);
    return PH_OK;
}

/* What a family may have, it has all of or none. */
static const struct together {
    const char *names;
    int64_t slots[3], n;
} together[] = {
    {"attn_q.bias, attn_k.bias and attn_v.bias", {BLOCK(q_bias), BLOCK(k_bias), BLOCK(v_bias)}, 3},
    {"attn_q_norm.weight and attn_k_norm.weight", {BLOCK(q_norm), BLOCK(k_norm)}, 2},
    {"ffn_gate.bias and ffn_up.bias", {BLOCK(gate_bias), BLOCK(up_bias)}, 2},
};

static bool has(const ph_block_slots *b, int64_t slot)
{
    return *(const ph_tensor *const *)(const void *)((const char *)b + slot) != NULL;
}

static ph_status check_together(const ph_block_slots *b, int64_t n, const ph_arch *a, ph_error *err)
{
    for (size_t i = 0; i < sizeof together / sizeof *together; i++) {
        const struct together *t = &together[i];
        int64_t there = 0;
        if (t->slots[0] == BLOCK(gate_bias) && !b->gate) continue; /* the product of both is up */
        for (int64_t k = 0; k < t->n; k++) there += has(b, t->slots[k]);
        if (there && there < t->n)
            return ph__fail(err, PH_EFORMAT, -1, "block %lld: of the tensors %s some are missing",
                            (long long)n, t->names);
    }
    if ((a->qk_norm != PH_QK_NONE) != (b->q_norm != NULL))
        return ph__fail(err, PH_EFORMAT, -1,
                        "tensor blk.%lld.attn_q_norm.weight is %s, unlike in other blocks",
                        (long long)n, b->q_norm ? "there" : "missing");
    return PH_OK;
}

static ph_status bind_block(ph_block_slots *b, int64_t n, const struct source *from, ph_error *err)
{
    char name[64];
    for (size_t i = 0; i < BLOCK_SLOTS; i++) {
        snprintf(name, sizeof name, "blk.%lld.%s", (long long)n, block_slots[i].name);
        PH_TRY(fill(b, &block_slots[i], name, from, err));
    }
    if (!b->qkv && (!b->q || !b->k || !b->v))
        return ph__fail(err, PH_EFORMAT, -1,
                        "tensor blk.%lld.attn_qkv.weight is missing, and so are attn_q, attn_k and "
                        "attn_v",
                        (long long)n);
    PH_TRY(check_together(b, n, from->arch, err));
    if (!b->ffn_norm && from->arch->parallel) {
        b->ffn_norm = b->attn_norm;
        b->ffn_norm_bias = b->attn_norm_bias;
    }
    return PH_OK;
}

static ph_status fill_all(ph_slots *s, const struct source *from, ph_error *err)
{
    const ph_arch *a = from->arch;
    for (size_t i = 0; i < FILE_SLOTS; i++) {
        if (a->tied && file_slots[i].offset == FILE_SLOT(output)) continue;
        PH_TRY(fill(s, &file_slots[i], file_slots[i].name, from, err));
    }
    if (a->tied) s->output = s->embedding;
    PH_TRY(PH_NEW(&s->block, (size_t)a->blocks, err));
    for (int64_t n = 0; n < a->blocks; n++) PH_TRY(bind_block(&s->block[n], n, from, err));
    return PH_OK;
}

static bool known(const char *name, const ph_arch *a)
{
    const unsigned has = a->needs | a->may;
    long long n;
    int end = 0;

    for (size_t i = 0; i < FILE_SLOTS; i++)
        if (strcmp(name, file_slots[i].name) == 0) return has_parts(file_slots[i].parts, has);
    if (sscanf(name, "blk.%lld.%n", &n, &end) != 1 || end == 0 || n < 0 || n >= a->blocks)
        return false;
    for (size_t i = 0; i < BLOCK_SLOTS; i++)
        if (strcmp(name + end, block_slots[i].name) == 0)
            return has_parts(block_slots[i].parts, has);
    return false;
}

static ph_status refuse_unknown(const ph_weights *w, const ph_arch *a, ph_error *err)
{
    for (size_t i = 0; i < ph__weights_count(w); i++) {
        const char *name = ph__weights_at(w, i)->name;
        if (!known(name, a))
            return ph__fail(
                err, PH_EUNSUPPORTED, -1,
                "tensor %s: family %s does not use it yet, so the numbers would be wrong", name,
                a->family);
    }
    return PH_OK;
}

ph_status ph__bind(ph_slots *out, const ph_weights *w, const ph_arch *a, ph_error *err)
{
    ph_status st = PH_OK;
    ph_slots s = {0};

    PH_GO(fill_all(&s, &(struct source){w, NULL, a, &s}, err));
    PH_GO(refuse_unknown(w, a, err));
    *out = s;
    s = (ph_slots){0};
done:
    ph__slots_close(&s);
    return st;
}

ph_status ph__bind_sizes(ph_slots *out, const ph_arch *a, const ph_weights *like, ph_error *err)
{
    const size_t n = FILE_SLOTS + BLOCK_SLOTS * (size_t)a->blocks;
    ph_status st = PH_OK;
    ph_slots s = {0};

    PH_GO(PH_NEW(&s.made, n, err));
    PH_GO(PH_NEW(&s.names, n, err));
    PH_GO(fill_all(&s, &(struct source){NULL, like, a, &s}, err));
    *out = s;
    s = (ph_slots){0};
done:
    ph__slots_close(&s);
    return st;
}

void ph__slots_close(ph_slots *s)
{
    ph__free(s->block);
    ph__free(s->made);
    ph__free(s->names);
    *s = (ph_slots){0};
}
