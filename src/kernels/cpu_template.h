/* cpu_template.h — every operation in vectors of W floats.
 *
 * One source, compiled for three instruction sets (cpu_avx512.c, cpu_avx2.c, cpu_base.c), which
 * define W, the tile of a product ROWS × VECTORS, and CPU_SET, the name. Written with the vector
 * types of GCC and clang, so that the order of every sum is what stands here: W partial sums in
 * order of the index, then halves onto halves. It depends on nothing but the length of the sum.
 *
 * B rows, T tokens, P context tokens, C width, H heads, Hkv KV heads, D head width, F MLP width;
 * N = B*T. See kernels.h for the contracts.
 */
#include "kernels/host.h"

#include <math.h>
#include <omp.h>
#include <string.h>
#if W > 4
#include <immintrin.h>
#endif

typedef float vf __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));

/* Less work than this, in elements touched, is not worth waking other threads for. */
enum { SMALL = 16384 };

/* ---- vectors ----------------------------------------------------------------------------------- */

static inline vf all(float a)
{
    return a - (vf){0};
}

static inline vf choose(vi mask, vf yes, vf no)
{
    return (vf)(((vi)yes & mask) | ((vi)no & ~mask));
}

/* All bits in the first n elements, none in the others; 0 ≤ n ≤ W. */
static inline vi first(int64_t n)
{
#if W == 16
    const vi index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif W == 8
    const vi index = {0, 1, 2, 3, 4, 5, 6, 7};
#else
    const vi index = {0, 1, 2, 3};
#endif
    return index < (int32_t)n;
}

/* Is a bit set in any element? */
static inline bool any(vi v)
{
#if W == 16 && defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)v, (__m512i)v) != 0;
#elif W == 8 && defined(__AVX__)
    return !_mm256_testz_si256((__m256i)v, (__m256i)v);
#else
    int64_t halves[2 * W / 4];
    memcpy(halves, &v, sizeof v);
    for (int i = 1; i < 2 * W / 4; i++) halves[0] |= halves[i];
    return halves[0] != 0;
#endif
}

/* The first `left` < W elements of a vector: those alone are read and written. */
#if W == 16 && defined(__AVX512F__)
static inline vf get_part(const float *p, int64_t left, vf fill)
{
    return (vf)_mm512_mask_loadu_ps((__m512)fill, (__mmask16)((1u << left) - 1), p);
}

static inline void put_part(float *p, vf v, int64_t left)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << left) - 1), (__m512)v);
}
#elif W == 8 && defined(__AVX2__)
static inline vf get_part(const float *p, int64_t left, vf fill)
{
    const vi mask = first(left);
    return choose(mask, (vf)_mm256_maskload_ps(p, (__m256i)mask), fill);
}

static inline void put_part(float *p, vf v, int64_t left)
{
    _mm256_maskstore_ps(p, (__m256i)first(left), (__m256)v);
}
#else
static inline vf get_part(const float *p, int64_t left, vf fill)
{
    for (int64_t i = 0; i < left; i++) fill[i] = p[i];
    return fill;
}

static inline void put_part(float *p, vf v, int64_t left)
{
    for (int64_t i = 0; i < left; i++) p[i] = v[i];
}
#endif

/* A vector from p, of which `left` elements may be read; the others are `fill`. */
static inline vf get_or(const float *p, int64_t left, float fill)
{
    vf v;
    if (left < W) return get_part(p, left, all(fill));
    memcpy(&v, p, sizeof v);
    return v;
}

static inline vf get(const float *p, int64_t left)
{
    return get_or(p, left, 0);
}

static inline void put(float *p, vf v, int64_t left)
{
    if (left < W)
        put_part(p, v, left);
    else
        memcpy(p, &v, sizeof v);
}

#if W == 16
#define AWAY(v, k)                                                                                 \
    __builtin_shufflevector(v, v, 0 ^ k, 1 ^ k, 2 ^ k, 3 ^ k, 4 ^ k, 5 ^ k, 6 ^ k, 7 ^ k, 8 ^ k,   \
                            9 ^ k, 10 ^ k, 11 ^ k, 12 ^ k, 13 ^ k, 14 ^ k, 15 ^ k)
#elif W == 8
#define AWAY(v, k)                                                                                 \
    __builtin_shufflevector(v, v, 0 ^ k, 1 ^ k, 2 ^ k, 3 ^ k, 4 ^ k, 5 ^ k, 6 ^ k, 7 ^ k)
#else
#define AWAY(v, k) __builtin_shufflevector(v, v, 0 ^ k, 1 ^ k, 2 ^ k, 3 ^ k)
#endif

/* Every element with the one k places away (k a power of 2), until one holds all. */
static inline float total(vf v)
{
#if W == 16
    v += AWAY(v, 8);
#endif
#if W >= 8
    v += AWAY(v, 4);
#endif
    v += AWAY(v, 2);
    v += AWAY(v, 1);
    return v[0];
}

static inline vf larger(vf a, vf b)
{
    return choose(a > b, a, b);
}

static inline float largest(vf v)
{
#if W == 16
    v = larger(v, AWAY(v, 8));
#endif
#if W >= 8
    v = larger(v, AWAY(v, 4));
#endif
    v = larger(v, AWAY(v, 2));
    v = larger(v, AWAY(v, 1));
    return v[0];
}

/* exp(x), within 2 units in the last place; exactly 1 at 0, infinity from 88.73 on, 0 below
 * -103.98, NaN for NaN. x = n*log 2 + r, |r| ≤ log(2)/2; exp(r) by its minimax polynomial (Cephes,
 * expf); 2^n in two factors, so that results below the normal numbers are rounded once. */
static inline vf vexp(vf x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to the nearest integer */
    x = choose(x > 89.0f, all(89.0f), x);
    x = choose(x < -104.0f, all(-104.0f), x);
    vf shifted = x * 1.44269504088896341f + magic;
    vf n = shifted - magic;
    vf r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    vf p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    vi e = (vi)shifted - 0x4b400000; /* n as an integer */
    vi e1 = e >> 1, e2 = e - e1;
    return p * (vf)((e1 + 127) << 23) * (vf)((e2 + 127) << 23);
}

/* tanh(x), within 3 units in the last place; Cephes, tanhf: a polynomial up to 0.625, then by exp. */
static inline vf vtanh(vf x)
{
    const vf z = x * x;
    vf p = all(-5.70498872745e-3f);
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const vf far = 1.0f - 2.0f / (vexp(x + x) + 1.0f), near = p * (z * x) + x;
    return choose(z < 0.390625f, near, far);
}

static inline float dot(const float *a, const float *b, int64_t n)
{
    vf sum = {0};
    for (int64_t i = 0; i < n; i += W) sum += get(a + i, n - i) * get(b + i, n - i);
    return total(sum);
}

/* ---- rmsnorm ----------------------------------------------------------------------------------- */

static void rmsnorm_fwd(ph_real *y_, ph_real *r_, const ph_real *x_, const ph_real *w_, double eps,
                        int64_t N, int64_t C, ph_stream *s)
{
    const float *w = (const float *)w_;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (N * C > SMALL)
    for (int64_t n = 0; n < N; n++) {
        const float *x = (const float *)x_ + n * C;
        float *y = (float *)y_ + n * C;
        const float r = 1 / sqrtf(dot(x, x, C) / (float)C + (float)eps);
        for (int64_t i = 0; i < C; i += W)
            put(y + i, get(x + i, C - i) * r * get(w + i, C - i), C - i);
        ((float *)r_)[n] = r;
    }
}

static void rmsnorm_bwd(ph_real *dx_, float beta, const ph_real *dy_, const ph_real *x_,
                        const ph_real *w_, const ph_real *r_, int64_t N, int64_t C, ph_stream *s)
{
    const float *w = (const float *)w_;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (N * C > SMALL)
    for (int64_t n = 0; n < N; n++) {
        const float *x = (const float *)x_ + n * C, *dy = (const float *)dy_ + n * C;
        float *dx = (float *)dx_ + n * C;
        const float r = ((const float *)r_)[n];
        vf sum = {0};
        for (int64_t i = 0; i < C; i += W)
            sum += get(dy + i, C - i) * get(w + i, C - i) * get(x + i, C - i);
        const float a = r * r * r / (float)C * total(sum);
        for (int64_t i = 0; i < C; i += W) {
            vf d = get(dy + i, C - i) * get(w + i, C - i) * r - get(x + i, C - i) * a;
            if (beta != 0) d += get(dx + i, C - i);
            put(dx + i, d, C - i);
        }
    }
}

/* ---- layernorm and headnorm ---------------------------------------------------------------------
 *
 * All of one line x (C) at once: m is the mean that is taken off, r one over what remains.
 */
static inline float mean(const float *x, int64_t C)
{
    vf sum = {0};
    for (int64_t i = 0; i < C; i += W) sum += get(x + i, C - i);
    return total(sum) / (float)C;
}

static inline float inverse_deviation(const float *x, float m, float eps, int64_t C)
{
    vf sum = {0};
    for (int64_t i = 0; i < C; i += W) {
        const vf d = get_or(x + i, C - i, m) - m;
        sum += d * d;
    }
    return 1 / sqrtf(total(sum) / (float)C + eps);
}

static inline void norm_line(float *y, const float *x, const float *w, const float *b, float m,
                             float r, int64_t C)
{
    for (int64_t i = 0; i < C; i += W) {
        vf v = (get(x + i, C - i) - m) * r * get(w + i, C - i);
        if (b) v += get(b + i, C - i);
        put(y + i, v, C - i);
    }
}

/* dx may be dy; `centred`: the mean of dy*w is taken off, as layernorm's gradient has it. */
static inline void norm_line_bwd(float *dx, float beta, const float *dy, const float *x,
                                 const float *w, float m, float r, bool centred, int64_t C)
{
    vf sum = {0}, along = {0};
    for (int64_t i = 0; i < C; i += W) {
        const vf g = get(dy + i, C - i) * get(w + i, C - i);
        sum += g;
        along += g * ((get_or(x + i, C - i, m) - m) * r);
    }
    const float a = centred ? total(sum) / (float)C : 0, b = total(along) / (float)C;
    for (int64_t i = 0; i < C; i += W) {
        const vf z = (get(x + i, C - i) - m) * r;
        vf d = (get(dy + i, C - i) * get(w + i, C - i) - a - z * b) * r;
        if (beta != 0) d += get(dx + i, C - i);
        put(dx + i, d, C - i);
    }
}

static void layernorm_fwd(ph_real *y, ph_real *m_, ph_real *r_, const ph_real *x_, const ph_real *w,
                          const ph_real *b, double eps, int64_t N, int64_t C, ph_stream *s)
{
#pragma omp parallel for num_threads(s->threads) schedule(static) if (N * C > SMALL)
    for (int64_t n = 0; n < N; n++) {
        const float *x = (const float *)x_ + n * C;
        const float m = mean(x, C), r = inverse_deviation(x, m, (float)eps, C);
        norm_line((float *)y + n * C, x, (const float *)w, (const float *)b, m, r, C);
        ((float *)m_)[n] = m;
        ((float *)r_)[n] = r;
    }
}

static void layernorm_bwd(ph_real *dx, float beta, const ph_real *dy, const ph_real *x,
                          const ph_real *w, const ph_real *m, const ph_real *r, int64_t N,
                          int64_t C, ph_stream *s)
{
#pragma omp parallel for num_threads(s->threads) schedule(static) if (N * C > SMALL)
    for (int64_t n = 0; n < N; n++)
        norm_line_bwd((float *)dx + n * C, beta, (const float *)dy + n * C,
                      (const float *)x + n * C, (const float *)w, ((const float *)m)[n],
                      ((const float *)r)[n], true, C);
}

static void headnorm_fwd(ph_real *y, const ph_real *x_, const ph_real *w, ph_norm_kind kind,
                         bool each, double eps, int64_t N, int64_t H, int64_t D, int64_t ld,
                         ph_stream *s)
{
#pragma omp parallel for num_threads(s->threads) schedule(static) if (N * H * D > SMALL)
    for (int64_t nh = 0; nh < N * H; nh++) {
        const int64_t h = nh % H, at = nh / H * ld + h * D;
        const float *x = (const float *)x_ + at;
        const float m = kind == PH_NORM_LAYER ? mean(x, D) : 0;
        norm_line((float *)y + at, x, (const float *)w + (each ? h * D : 0), NULL, m,
                  inverse_deviation(x, m, (float)eps, D), D);
    }
}

static void headnorm_bwd(ph_real *dx_, const ph_real *x_, const ph_real *w, ph_norm_kind kind,
                         bool each, double eps, int64_t N, int64_t H, int64_t D, int64_t ld,
                         ph_stream *s)
{
#pragma omp parallel for num_threads(s->threads) schedule(static) if (N * H * D > SMALL)
    for (int64_t nh = 0; nh < N * H; nh++) {
        const int64_t h = nh % H, at = nh / H * ld + h * D;
        const float *x = (const float *)x_ + at;
        float *dx = (float *)dx_ + at;
        const float m = kind == PH_NORM_LAYER ? mean(x, D) : 0;
        norm_line_bwd(dx, 0, dx, x, (const float *)w + (each ? h * D : 0), m,
                      inverse_deviation(x, m, (float)eps, D), kind == PH_NORM_LAYER, D);
    }
}

#include "kernels/product_template.h"

/* ---- rope -------------------------------------------------------------------------------------- */

static inline void turn_interleaved(float *restrict x, const float *restrict c,
                                    const float *restrict sn, float sign, int64_t half)
{
    for (int64_t i = 0; i < half; i++) {
        const float a = x[2 * i], b = x[2 * i + 1], si = sign * sn[i];
        x[2 * i] = a * c[i] - b * si;
        x[2 * i + 1] = a * si + b * c[i];
    }
}

static inline void turn_halves(float *restrict x, const float *restrict c, const float *restrict sn,
                               float sign, int64_t half)
{
    for (int64_t i = 0; i < half; i++) {
        const float a = x[i], b = x[i + half], si = sign * sn[i];
        x[i] = a * c[i] - b * si;
        x[i + half] = a * si + b * c[i];
    }
}

static void rope(float *x, const float *cosine, const float *sine, float sign, ph_rope_kind kind,
                 int64_t first, int64_t B, int64_t T, int64_t H, int64_t D, int64_t rot, int64_t ld,
                 ph_stream *s)
{
    const int64_t half = rot / 2;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (B * T * H * D > SMALL)
    for (int64_t n = 0; n < B * T; n++) {
        const float *c = cosine + (first + n % T) * half, *sn = sine + (first + n % T) * half;
        for (int64_t h = 0; h < H; h++) {
            if (kind == PH_ROPE_INTERLEAVED)
                turn_interleaved(x + n * ld + h * D, c, sn, sign, half);
            else
                turn_halves(x + n * ld + h * D, c, sn, sign, half);
        }
    }
}

static void rope_fwd(ph_real *x, const ph_real *cosine, const ph_real *sine, ph_rope_kind kind,
                     int64_t first, int64_t B, int64_t T, int64_t H, int64_t D, int64_t rot,
                     int64_t ld, ph_stream *s)
{
    rope((float *)x, (const float *)cosine, (const float *)sine, 1, kind, first, B, T, H, D, rot,
         ld, s);
}

static void rope_bwd(ph_real *dx, const ph_real *cosine, const ph_real *sine, ph_rope_kind kind,
                     int64_t first, int64_t B, int64_t T, int64_t H, int64_t D, int64_t rot,
                     int64_t ld, ph_stream *s)
{
    rope((float *)dx, (const float *)cosine, (const float *)sine, -1, kind, first, B, T, H, D, rot,
         ld, s);
}

#include "kernels/attention_template.h"

/* ---- gated and act ----------------------------------------------------------------------------- */

static inline vf sigma(vf x)
{
    return 1.0f / (1.0f + vexp(-x));
}

/* Phi(x); there is no vector erfc, and no family of ours needs it fast. */
static inline vf normal_integral(vf x)
{
    for (int i = 0; i < W; i++) x[i] = 0.5f * erfcf(-x[i] * 0.70710678f);
    return x;
}

/* act(x) = x*s and its slope; see ref_template.h */
static inline vf act_share(vf x, ph_act_kind kind)
{
    switch (kind) {
    case PH_ACT_GELU_TANH: return sigma(1.5957691216f * x * (1.0f + 0.044715f * x * x));
    case PH_ACT_GELU: return normal_integral(x);
    default: return sigma(x);
    }
}

static inline vf act_slope(vf x, vf s, ph_act_kind kind)
{
    switch (kind) {
    case PH_ACT_GELU_TANH:
        return s + x * s * (1.0f - s) * 1.5957691216f * (1.0f + 3 * 0.044715f * x * x);
    case PH_ACT_GELU: return s + x * (0.3989422804f * vexp(-0.5f * x * x));
    default: return s * (1.0f + x * (1.0f - s));
    }
}

/* kind is a constant where these are called, so that the loops have no branch */
static inline __attribute__((always_inline)) void
gated_line(float *h, const float *g, const float *u, const ph_act_kind kind, int64_t F)
{
    for (int64_t i = 0; i < F; i += W) {
        const vf x = get(g + i, F - i);
        put(h + i, x * act_share(x, kind) * get(u + i, F - i), F - i);
    }
}

static inline __attribute__((always_inline)) void gated_line_bwd(float *dg, float *du,
                                                                 const float *dh, const float *g,
                                                                 const float *u,
                                                                 const ph_act_kind kind, int64_t F)
{
    for (int64_t i = 0; i < F; i += W) {
        const vf x = get(g + i, F - i), a = act_share(x, kind), d = get(dh + i, F - i);
        put(dg + i, d * get(u + i, F - i) * act_slope(x, a, kind), F - i);
        put(du + i, d * (x * a), F - i);
    }
}

static inline void gated(float *h, const float *g, const float *u, ph_act_kind kind, int64_t F)
{
    switch (kind) {
    case PH_ACT_SILU: gated_line(h, g, u, PH_ACT_SILU, F); break;
    case PH_ACT_GELU_TANH: gated_line(h, g, u, PH_ACT_GELU_TANH, F); break;
    case PH_ACT_GELU: gated_line(h, g, u, PH_ACT_GELU, F); break;
    }
}

static void gated_fwd(ph_real *h, const ph_real *gu_, ph_act_kind kind, int64_t N, int64_t F,
                      ph_stream *s)
{
#pragma omp parallel for num_threads(s->threads) schedule(static) if (N * F > SMALL)
    for (int64_t n = 0; n < N; n++) {
        const float *g = (const float *)gu_ + n * 2 * F;
        gated((float *)h + n * F, g, g + F, kind, F);
    }
}

static void gated_bwd(ph_real *dgu_, const ph_real *dh_, const ph_real *gu_, ph_act_kind kind,
                      int64_t N, int64_t F, ph_stream *s)
{
#pragma omp parallel for num_threads(s->threads) schedule(static) if (N * F > SMALL)
    for (int64_t n = 0; n < N; n++) {
        const float *g = (const float *)gu_ + n * 2 * F, *u = g + F;
        const float *dh = (const float *)dh_ + n * F;
        float *dg = (float *)dgu_ + n * 2 * F, *du = dg + F;
        switch (kind) {
        case PH_ACT_SILU: gated_line_bwd(dg, du, dh, g, u, PH_ACT_SILU, F); break;
        case PH_ACT_GELU_TANH: gated_line_bwd(dg, du, dh, g, u, PH_ACT_GELU_TANH, F); break;
        case PH_ACT_GELU: gated_line_bwd(dg, du, dh, g, u, PH_ACT_GELU, F); break;
        }
    }
}

static void act_fwd(ph_real *h_, const ph_real *x_, ph_act_kind kind, int64_t n, ph_stream *s)
{
    float *h = (float *)h_;
    const float *x = (const float *)x_;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (n > SMALL)
    for (int64_t i = 0; i < n; i += W) {
        const vf v = get(x + i, n - i);
        put(h + i, v * act_share(v, kind), n - i);
    }
}

static void act_bwd(ph_real *dx_, const ph_real *dh_, const ph_real *x_, ph_act_kind kind,
                    int64_t n, ph_stream *s)
{
    float *dx = (float *)dx_;
    const float *dh = (const float *)dh_, *x = (const float *)x_;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (n > SMALL)
    for (int64_t i = 0; i < n; i += W) {
        const vf v = get(x + i, n - i);
        put(dx + i, get(dh + i, n - i) * act_slope(v, act_share(v, kind), kind), n - i);
    }
}

/* ---- softcap, add_bias ------------------------------------------------------------------------- */

static void softcap_fwd(ph_real *y_, double cap, int64_t n, ph_stream *s)
{
    float *y = (float *)y_;
    const float c = (float)cap;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (n > SMALL)
    for (int64_t i = 0; i < n; i += W) put(y + i, c * vtanh(get(y + i, n - i) / c), n - i);
}

static void softcap_bwd(ph_real *dy_, const ph_real *y_, double cap, int64_t n, ph_stream *s)
{
    float *dy = (float *)dy_;
    const float *y = (const float *)y_;
    const float c = (float)cap;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (n > SMALL)
    for (int64_t i = 0; i < n; i += W) {
        const vf t = get(y + i, n - i) / c;
        put(dy + i, get(dy + i, n - i) * (1.0f - t * t), n - i);
    }
}

static void add_bias(ph_real *y_, const ph_real *b_, int64_t N, int64_t J, ph_stream *s)
{
    const float *b = (const float *)b_;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (N * J > 4 * SMALL)
    for (int64_t n = 0; n < N; n++) {
        float *y = (float *)y_ + n * J;
        for (int64_t j = 0; j < J; j += W) put(y + j, get(y + j, J - j) + get(b + j, J - j), J - j);
    }
}

/* ---- add --------------------------------------------------------------------------------------- */

static void add_fwd(ph_real *y_, const ph_real *a_, const ph_real *b_, int64_t n, ph_stream *s)
{
    float *y = (float *)y_;
    const float *a = (const float *)a_, *b = (const float *)b_;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (n > 4 * SMALL)
    for (int64_t i = 0; i < n; i += W) put(y + i, get(a + i, n - i) + get(b + i, n - i), n - i);
}

#include "kernels/gated_template.h"
#include "kernels/lanes_template.h"

const struct ph__cpu_kernels CPU_KERNELS = {
    CPU_SET,
    {rmsnorm_fwd,   rmsnorm_bwd, layernorm_fwd, layernorm_bwd,    headnorm_fwd,   headnorm_bwd,
     matmul,        matmul_add,  matmul_gated,  rope_fwd,         rope_bwd,       attention_fwd,
     attention_bwd, gated_fwd,   gated_bwd,     act_fwd,          act_bwd,        softcap_fwd,
     softcap_bwd,   add_bias,    add_fwd,       ph__columns_take, ph__columns_put},
    matrix_new,
    {lanes_load, lanes_beyond, lanes_count}};
