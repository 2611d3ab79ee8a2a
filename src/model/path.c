/* path.c — the way from the embedding to a tap: which blocks, and what their matrices come to. */
#include "model/path.h"

ph_path ph__path(ph_tap tap, const ph_arch *a)
{
    const bool whole = tap.place == PH_PLACE_FINAL || tap.place == PH_PLACE_LOGITS;
    return (ph_path){tap, tap.only ? tap.block : 1,
                     whole                         ? a->blocks
                     : tap.place == PH_PLACE_EMBED ? 0
                                                   : tap.block};
}

ph_place ph__path_stop(const ph_path *p, int64_t n)
{
    return n == p->last && p->tap.place <= PH_PLACE_NEURON ? p->tap.place : PH_PLACE_BLOCK;
}

/* Matrices (K,J) of a path, one after another. */
typedef double (*size_fn)(int64_t K, int64_t J, size_t element);

static double add_up(const ph_path *p, const ph_arch *a, size_fn size, size_t element)
{
    double sum = p->tap.place == PH_PLACE_LOGITS ? size(a->C, a->V, element) : 0;
    for (int64_t n = p->first; n <= p->last; n++) {
        const ph_place stop = ph__path_stop(p, n);
        sum += size(a->C, (a->H + 2 * a->Hkv) * a->D, element) + size(a->H * a->D, a->C, element);
        if (stop != PH_PLACE_ATTN) sum += size(a->C, ph__arch_up(a), element);
        if (stop == PH_PLACE_BLOCK || stop == PH_PLACE_MLP) sum += size(a->F, a->C, element);
    }
    return sum;
}

static double weights(int64_t K, int64_t J, size_t element)
{
    (void)element;
    return (double)K * (double)J;
}

/* A large one fills whole huge pages (kernels/host.c). */
static double room(int64_t K, int64_t J, size_t element)
{
    const size_t huge = (size_t)2 << 20, bytes = (size_t)(K * J) * element;
    return (double)(bytes < huge / 2 ? bytes : (bytes + huge - 1) / huge * huge);
}

double ph__path_parameters(const ph_path *p, const ph_arch *a)
{
    return add_up(p, a, weights, 0);
}

size_t ph__path_bytes(const ph_path *p, const ph_arch *a, size_t element)
{
    return (size_t)add_up(p, a, room, element);
}
