/* flow.c — a text on its way to the tokenizer model. */
#include "text/flow.h"

#include "base/mem.h"

#include <string.h>

void ph__flow_close(ph_flow *f)
{
    ph__free(f->bytes);
    ph__free(f->origin);
    ph__free(f->pieces);
    *f = (ph_flow){0};
}

/* Room for n more bytes and the end's origin. */
static ph_status reserve(ph_flow *f, size_t n, ph_error *err)
{
    size_t want, cap = f->cap ? f->cap : 64;

    if (!ph__add(&want, f->n, n) || !ph__add(&want, want, 1)) return ph__fail_memory(err, n);
    if (want - 1 > f->most)
        return ph__fail(err, PH_ETEXT, -1,
                        "the normalised text has more than %zu bytes, too many for the given one",
                        f->most);
    if (want <= f->cap) return PH_OK;
    while (cap < want) cap *= 2;
    PH_TRY(PH_GROW(&f->bytes, f->cap, cap, err));
    PH_TRY(PH_GROW(&f->origin, f->cap, cap, err));
    f->cap = cap;
    return PH_OK;
}

void ph__flow_clear(ph_flow *f)
{
    f->n = f->n_pieces = 0;
}

ph_status ph__flow_piece(ph_flow *f, size_t from, size_t to, ph_error *err)
{
    if (f->n_pieces == f->cap_pieces) {
        size_t cap;
        if (!ph__mul(&cap, f->cap_pieces ? f->cap_pieces : 32, 2)) return ph__fail_memory(err, 0);
        PH_TRY(PH_GROW(&f->pieces, f->cap_pieces, cap, err));
        f->cap_pieces = cap;
    }
    f->pieces[f->n_pieces++] = (ph_piece){(uint32_t)from, (uint32_t)to};
    return PH_OK;
}

ph_status ph__flow_put(ph_flow *f, const char *bytes, size_t n, uint32_t origin, ph_error *err)
{
    PH_TRY(reserve(f, n, err));
    memcpy(f->bytes + f->n, bytes, n);
    for (size_t i = 0; i < n; i++) f->origin[f->n + i] = origin;
    f->n += n;
    return PH_OK;
}

ph_status ph__flow_copy(ph_flow *f, const ph_flow *of, size_t from, size_t to, ph_error *err)
{
    if (from >= to) return PH_OK;
    PH_TRY(reserve(f, to - from, err));
    memcpy(f->bytes + f->n, of->bytes + from, to - from);
    memcpy(f->origin + f->n, of->origin + from, (to - from) * sizeof *f->origin);
    f->n += to - from;
    return PH_OK;
}

ph_status ph__flow_end(ph_flow *f, uint32_t end, ph_error *err)
{
    PH_TRY(reserve(f, 0, err));
    f->origin[f->n] = end;
    return PH_OK;
}

ph_status ph__flow_begin(ph_flow *f, const char *text, size_t from, size_t to, ph_error *err)
{
    const size_t n = to - from;

    ph__flow_clear(f);
    /* Unicode's forms make at most 11 bytes of one, the byte level 2 of each. */
    f->most = n < UINT32_MAX / 128 ? 64 * n + 1024 : UINT32_MAX / 2;
    PH_TRY(reserve(f, n, err));
    if (n) memcpy(f->bytes, text + from, n);
    for (size_t i = 0; i < n; i++) f->origin[i] = (uint32_t)(from + i);
    f->n = n;
    PH_TRY(ph__flow_end(f, (uint32_t)to, err));
    return n ? ph__flow_piece(f, 0, n, err) : PH_OK;
}

ph_status ph__flow_take(ph_flow *f, const ph_flow *of, size_t from, size_t to, ph_error *err)
{
    ph__flow_clear(f);
    f->most = of->most;
    PH_TRY(ph__flow_copy(f, of, from, to, err));
    PH_TRY(ph__flow_end(f, of->origin[to], err));
    return f->n ? ph__flow_piece(f, 0, f->n, err) : PH_OK;
}
