/* arena.c — parts of one allocation of a backend, and what runs of blocks lay out in it alike. */
#include "model/arena.h"

#include "base/mem.h"

#include <math.h>

#if defined(__SANITIZE_ADDRESS__)
#define PH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PH_ASAN 1
#endif
#endif
#ifdef PH_ASAN
#include <sanitizer/asan_interface.h>
enum { RED_ZONE = 64 }; /* bytes behind every buffer that nothing may touch */
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
enum { RED_ZONE = 0 };
#endif

void ph__take(ph_arena *a, ph_real **slot, int64_t rows, int64_t columns)
{
    const size_t line = 64 / a->backend->element;
    size_t n = 0;
    a->overflow |= !ph__mul(&n, (size_t)rows, (size_t)columns) || n > SIZE_MAX / 64;
    if (a->overflow) return;
    if (a->base) *slot = ph__at(a->backend, a->base, (int64_t)a->used);
    n = (n + line - 1) / line * line;
    if (a->base)
        ASAN_POISON_MEMORY_REGION(ph__at(a->backend, a->base, (int64_t)(a->used + n)), RED_ZONE);
    a->overflow |= !ph__add(&a->used, a->used, n + RED_ZONE / a->backend->element);
}

void ph__take_block(ph_arena *a, ph_block_state *s, const ph_arch *m, int64_t N, int64_t keys)
{
    ph__take(a, &s->r1, N, 1);
    ph__take(a, &s->qkv, N, (m->H + 2 * m->Hkv) * m->D);
    ph__take(a, &s->p, N * m->H, keys);
    ph__take(a, &s->mid, N, m->C);
    ph__take(a, &s->r2, N, 1);
    ph__take(a, &s->gu, N, 2 * m->F);
    ph__take(a, &s->out, N, m->C);
}

ph_status ph__write_angles(ph_real *cosine, ph_real *sine, ph_backend *be, const ph_arch *a,
                           int64_t positions, ph_error *err)
{
    const int64_t half = a->rope_dims / 2, n = positions * half;
    double *table = NULL;

    PH_TRY(PH_NEW(&table, (size_t)(2 * n), err));
    for (int64_t i = 0; i < n; i++) {
        const float exponent = (float)(2 * (i % half)) / (float)a->rope_dims;
        const float frequency = 1 / powf((float)a->rope_base, exponent);
        const float angle = (float)(i / half) * frequency;
        table[i] = cos((double)angle);
        table[n + i] = sin((double)angle);
    }
    be->write64(cosine, table, (size_t)n, be);
    be->write64(sine, table + n, (size_t)n, be);
    ph__free(table);
    return PH_OK;
}
