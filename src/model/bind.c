/* bind.c — tensor names to slots of verified shape. */
#include "model/bind.h"

#include "base/mem.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Sizes a shape may name. */
enum size { ONE, C, F, Q, KV, V };

static int64_t size_of(const ph_arch *a, enum size s)
{
    const int64_t sizes[] = {
        [ONE] = 1, [C] = a->C, [F] = a->F, [Q] = a->H * a->D, [KV] = a->Hkv * a->D, [V] = a->V};
    return sizes[s];
}

struct slot {
    const char *name;
    size_t offset;
    enum size rows, columns; /* a vector of n is n rows × 1 */
};

#define BLOCK(field) offsetof(ph_block_slots, field)
static const struct slot block_slots[] = {
    {"attn_norm", BLOCK(attn_norm), C, ONE},
    {"attn_q", BLOCK(q), Q, C},
    {"attn_k", BLOCK(k), KV, C},
    {"attn_v", BLOCK(v), KV, C},
    {"attn_output", BLOCK(o), C, Q},
    {"ffn_norm", BLOCK(ffn_norm), C, ONE},
    {"ffn_gate", BLOCK(gate), F, C},
    {"ffn_up", BLOCK(up), F, C},
    {"ffn_down", BLOCK(down), C, F},
};
enum { BLOCK_SLOTS = sizeof block_slots / sizeof *block_slots };

#define FILE_SLOT(field) offsetof(ph_slots, field)
static const struct slot file_slots[] = {
    {"token_embd", FILE_SLOT(embedding), V, C},
    {"output_norm", FILE_SLOT(final_norm), C, ONE},
    {"output", FILE_SLOT(output), V, C},
};
enum { FILE_SLOTS = sizeof file_slots / sizeof *file_slots };

/* Where the tensors of slots come from. */
struct source {
    const ph_weights *file; /* NULL: they are made */
    const ph_arch *arch;
    ph_slots *slots;
};

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
    const ph_tensor **at = (const ph_tensor **)(void *)((char *)base + s->offset);
    const int64_t rows = size_of(from->arch, s->rows), columns = size_of(from->arch, s->columns);
    if (from->file) return ph__weights_need(at, from->file, name, rows, columns, err);
    make(at, from->slots, name, rows, columns);
    return PH_OK;
}

static ph_status bind_block(ph_block_slots *b, int64_t n, const struct source *from, ph_error *err)
{
    char name[64];
    for (size_t i = 0; i < BLOCK_SLOTS; i++) {
        snprintf(name, sizeof name, "blk.%lld.%s.weight", (long long)n, block_slots[i].name);
        PH_TRY(fill(b, &block_slots[i], name, from, err));
    }
    return PH_OK;
}

static ph_status fill_all(ph_slots *s, const struct source *from, ph_error *err)
{
    const ph_arch *a = from->arch;
    for (size_t i = 0; i < FILE_SLOTS; i++) {
        char name[64];
        if (a->tied && file_slots[i].offset == FILE_SLOT(output)) continue;
        snprintf(name, sizeof name, "%s.weight", file_slots[i].name);
        PH_TRY(fill(s, &file_slots[i], name, from, err));
    }
    if (a->tied) s->output = s->embedding;
    PH_TRY(PH_NEW(&s->block, (size_t)a->blocks, err));
    for (int64_t n = 0; n < a->blocks; n++) PH_TRY(bind_block(&s->block[n], n, from, err));
    return PH_OK;
}

static bool known(const char *name, int64_t blocks)
{
    char want[64];
    long long n;
    int end = 0;

    for (size_t i = 0; i < FILE_SLOTS; i++) {
        snprintf(want, sizeof want, "%s.weight", file_slots[i].name);
        if (strcmp(name, want) == 0) return true;
    }
    if (sscanf(name, "blk.%lld.%n", &n, &end) != 1 || end == 0 || n < 0 || n >= blocks)
        return false;
    for (size_t i = 0; i < BLOCK_SLOTS; i++) {
        snprintf(want, sizeof want, "%s.weight", block_slots[i].name);
        if (strcmp(name + end, want) == 0) return true;
    }
    return false;
}

static ph_status refuse_unknown(const ph_weights *w, const ph_arch *a, ph_error *err)
{
    for (size_t i = 0; i < ph__weights_count(w); i++) {
        const char *name = ph__weights_at(w, i)->name;
        if (!known(name, a->blocks))
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

    PH_GO(fill_all(&s, &(struct source){w, a, &s}, err));
    PH_GO(refuse_unknown(w, a, err));
    *out = s;
    s = (ph_slots){0};
done:
    ph__slots_close(&s);
    return st;
}

ph_status ph__bind_sizes(ph_slots *out, const ph_arch *a, ph_error *err)
{
    const size_t n = FILE_SLOTS + BLOCK_SLOTS * (size_t)a->blocks;
    ph_status st = PH_OK;
    ph_slots s = {0};

    PH_GO(PH_NEW(&s.made, n, err));
    PH_GO(PH_NEW(&s.names, n, err));
    PH_GO(fill_all(&s, &(struct source){NULL, a, &s}, err));
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
