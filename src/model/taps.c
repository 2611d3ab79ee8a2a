/* taps.c — places in a model: their order and width, and several of them read in one pass. */
#include "model/taps.h"

#include "base/mem.h"

#include <stdio.h>

/* ---- one place ---- */

void ph__tap_name(char out[48], ph_tap tap)
{
    static const char *const names[PH_PLACE_COUNT] = {
        [PH_PLACE_BLOCK] = "",         [PH_PLACE_ATTN] = " attn",  [PH_PLACE_MLP] = " mlp",
        [PH_PLACE_NEURON] = " neuron", [PH_PLACE_EMBED] = "embed", [PH_PLACE_FINAL] = "final",
        [PH_PLACE_LOGITS] = "logits"};
    if (tap.block)
        snprintf(out, 48, "%sblock %lld%s", tap.only ? "only " : "", (long long)tap.block,
                 names[tap.place]);
    else
        snprintf(out, 48, "%s", names[tap.place]);
}

int ph__tap_order(ph_tap a, ph_tap b)
{
    static const int within[PH_PLACE_COUNT] = {
        [PH_PLACE_EMBED] = 0, [PH_PLACE_ATTN] = 1,  [PH_PLACE_NEURON] = 2, [PH_PLACE_MLP] = 3,
        [PH_PLACE_BLOCK] = 4, [PH_PLACE_FINAL] = 5, [PH_PLACE_LOGITS] = 6};
    const int x = within[a.place], y = within[b.place];
    const bool inside = a.block && b.block;

    if (a.only != b.only) return a.only ? -1 : 1;
    if (inside && a.block != b.block) return a.block < b.block ? -1 : 1;
    return (x > y) - (x < y);
}

int64_t ph__tap_width(const ph_arch *a, ph_place place)
{
    return place == PH_PLACE_NEURON ? a->F : place == PH_PLACE_LOGITS ? a->V : a->C;
}

ph_status ph__tap_check(ph_tap tap, const ph_arch *a, ph_error *err)
{
    const bool in_block = tap.place <= PH_PLACE_NEURON;
    if ((unsigned)tap.place < PH_PLACE_COUNT &&
        (!in_block || (tap.block >= 1 && tap.block <= a->blocks)))
        return PH_OK;
    return ph__fail(err, PH_ERANGE, -1, "block %lld: this model has blocks 1 to %lld",
                    (long long)tap.block, (long long)a->blocks);
}

/* ---- several ---- */

/* Blocks alone are fed with the embedding: they share no pass with others. */
static ph_status check_pair(ph_tap a, ph_tap b, ph_error *err)
{
    char name[48];

    if (a.only == b.only && (!a.only || a.block == b.block) && ph__tap_order(a, b)) return PH_OK;
    ph__tap_name(name, b);
    return ph__fail(err, PH_EINVAL, -1, "%s: %s", name,
                    a.only == b.only && !ph__tap_order(a, b)
                        ? "is there twice"
                        : "a block alone shares no pass with other blocks");
}

ph_status ph__taps_open(ph_taps *out, ph_tap *deepest, const ph_tap *taps, size_t n,
                        const ph_arch *a, ph_error *err)
{
    PH_TRY(PH_NEW(&out->slots, n, err));
    *deepest = taps[0];
    for (size_t i = 0; i < n; i++) {
        const int64_t width = ph__tap_width(a, taps[i].place);
        PH_TRY(ph__tap_check(taps[i], a, err));
        for (size_t k = 0; k < i; k++) PH_TRY(check_pair(taps[k], taps[i], err));
        if (ph__tap_order(taps[i], *deepest) > 0) *deepest = taps[i];
        out->slots[out->n++] = (ph_tap_slot){.tap = taps[i], .width = width, .at = out->width};
        out->width += width;
    }
    return PH_OK;
}

void ph__taps_close(ph_taps *t)
{
    ph__free(t->slots);
    ph__free(t->X);
    *t = (ph_taps){0};
}

ph_tap_slot *ph__taps_find(const ph_taps *t, ph_place place, int64_t block)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->slots[i].tap.place == place && t->slots[i].tap.block == block) return &t->slots[i];
    return NULL;
}

void ph__taps_read(ph_taps *t, ph_place place, int64_t block, const ph_real *from, int64_t N,
                   ph_backend *be)
{
    const ph_tap_slot *slot = ph__taps_find(t, place, block);
    for (int64_t i = 0; slot && i < N; i++)
        be->read64(t->X + i * t->width + slot->at, ph__at(be, from, i * slot->width),
                   (size_t)slot->width, be);
}

void ph__taps_write(const ph_taps *t, const double *dX, int64_t N, ph_backend *be)
{
    for (size_t k = 0; k < t->n; k++) {
        const ph_tap_slot *slot = &t->slots[k];
        for (int64_t i = 0; i < N; i++)
            be->write64(ph__at(be, slot->seed, i * slot->width), dX + i * t->width + slot->at,
                        (size_t)slot->width, be);
    }
}

void ph__taps_forward(ph_taps *t, int64_t n, ph_block_state *s, ph_block_scratch *scratch,
                      const ph_block_weights *w, ph_place stop, const ph_run *run, ph_backend *be)
{
    const struct {
        ph_place place;
        const ph_real *output;
    } order[] = {{PH_PLACE_ATTN, scratch->branch},
                 {PH_PLACE_NEURON, scratch->h},
                 {PH_PLACE_MLP, scratch->branch}};
    const int64_t N = run->B * run->T;
    ph_place from = PH_PLACE_EMBED;

    for (int i = 0; i < 3; i++) {
        if (!ph__taps_find(t, order[i].place, n)) continue;
        ph__block_forward(s, scratch, w, from, order[i].place, run);
        ph__taps_read(t, order[i].place, n, order[i].output, N, be);
        from = order[i].place;
    }
    if (from != stop) ph__block_forward(s, scratch, w, from, stop, run);
    ph__taps_read(t, PH_PLACE_BLOCK, n, s->out, N, be);
}

static const ph_real *seed_at(const ph_taps *t, ph_place place, int64_t n, ph_place start)
{
    const ph_tap_slot *slot = place == start ? NULL : ph__taps_find(t, place, n);
    return slot ? slot->seed : NULL;
}

void ph__taps_backward(const ph_taps *t, int64_t n, ph_real *dx, const ph_block_state *s,
                       ph_block_scratch *scratch, const ph_block_weights *w, ph_place start,
                       const ph_run *run)
{
    const ph_tap_slot *end = ph__taps_find(t, start, n);
    const ph_block_seeds inside = {seed_at(t, PH_PLACE_ATTN, n, start),
                                   seed_at(t, PH_PLACE_NEURON, n, start),
                                   seed_at(t, PH_PLACE_MLP, n, start)};
    if (start == PH_PLACE_BLOCK && end && end->seed != dx)
        run->backend->ops.add_fwd(dx, dx, end->seed, run->B * run->T * run->arch->C, run->stream);
    ph__block_backward(dx, end ? end->seed : NULL, &inside, s, scratch, w, start, run);
}
