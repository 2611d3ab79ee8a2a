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

void ph__take_norm(ph_arena *a, ph_norm_saved *s, const ph_arch *m, int64_t N)
{
    ph__take(a, &s->r, N, 1);
    if (m->norm == PH_NORM_LAYER) ph__take(a, &s->m, N, 1);
}

void ph__take_block(ph_arena *a, ph_block_state *s, const ph_arch *m, int64_t N, int64_t keys)
{
    const bool post = m->needs & PH_PART_POST_NORMS;
    ph__take_norm(a, &s->attn_norm, m, N);
    ph__take(a, &s->qkv, N, (m->H + 2 * m->Hkv) * m->D);
    s->qk = s->qkv;
    if (m->qk_norm) ph__take(a, &s->qk, N, (m->H + 2 * m->Hkv) * m->D);
    ph__take(a, &s->p, N * m->H, keys);
    ph__take(a, &s->mid, N, m->C);
    ph__take_norm(a, &s->ffn_norm, m, N);
    ph__take(a, &s->gu, N, ph__arch_up(m));
    ph__take(a, &s->out, N, m->C);
    if (!post) return;
    ph__take(a, &s->attn, N, m->C);
    ph__take_norm(a, &s->post_attn, m, N);
    ph__take(a, &s->mlp, N, m->C);
    ph__take_norm(a, &s->post_ffn, m, N);
}

void ph__take_angles(ph_arena *a, ph_real *cosine[2], ph_real *sine[2], const ph_arch *m,
                     int64_t positions)
{
    for (int i = 0; i < 2; i++) {
        ph__take(a, &cosine[i], positions, m->rope_dims / 2);
        ph__take(a, &sine[i], positions, m->rope_dims / 2);
        if (m->rope_base_local == 0) break;
    }
    if (m->rope_base_local != 0) return;
    cosine[1] = cosine[0];
    sine[1] = sine[0];
}

/* The i-th angle at a position: in double, or with float32's rounding at every step. */
static double angle(const ph_arch *a, bool local, int64_t position, int64_t i, bool exact)
{
    const double base = local ? a->rope_base_local : a->rope_base;
    const double factor = local ? 1 : a->rope_factors[i];
    if (exact)
        return (double)position / (pow(base, (double)(2 * i) / (double)a->rope_dims) * factor);
    const float exponent = (float)(2 * i) / (float)a->rope_dims;
    const float frequency = 1 / powf((float)base, exponent) / (float)factor;
    return (double)((float)position * frequency);
}

static ph_status write_table(ph_real *cosine, ph_real *sine, ph_backend *be, const ph_arch *a,
                             bool local, int64_t positions, ph_error *err)
{
    const int64_t half = a->rope_dims / 2, n = positions * half;
    const double scale = local ? 1 : a->rope_scale;
    double *table = NULL;

    PH_TRY(PH_NEW(&table, (size_t)(2 * n), err));
    for (int64_t i = 0; i < n; i++) {
        const double at = angle(a, local, i / half, i % half, be->element == sizeof(double));
        table[i] = cos(at) * scale;
        table[n + i] = sin(at) * scale;
    }
    be->write64(cosine, table, (size_t)n, be);
    be->write64(sine, table + n, (size_t)n, be);
    ph__free(table);
    return PH_OK;
}

ph_status ph__write_angles(ph_real *cosine[2], ph_real *sine[2], ph_backend *be, const ph_arch *a,
                           int64_t positions, ph_error *err)
{
    if (!a->rope_dims) return PH_OK;
    PH_TRY(write_table(cosine[0], sine[0], be, a, false, positions, err));
    if (a->rope_base_local == 0) return PH_OK;
    return write_table(cosine[1], sine[1], be, a, true, positions, err);
}
