/* ref_template.h — every operation as its equation, forward and backward side by side.
 *
 * One source, compiled at REAL = float (ref.c) and REAL = double (ref64.c). Written to be read;
 * fast only so far that real models can be run through it. Sums over one token are in double, sums
 * of a product run over k in order, in REAL.
 *
 * B rows, T tokens, P context tokens, C width, H heads, Hkv KV heads, D head width, F MLP width;
 * N = B*T. See kernels.h for the contracts, docs/KERNELS.md for the derivations.
 */
#include "kernels/host.h"

#include <math.h>
#include <omp.h>

/* ---- rmsnorm ----------------------------------------------------------------------------------- */

static void rmsnorm_fwd(ph_real *y_, ph_real *r_, const ph_real *x_, const ph_real *w_, double eps,
                        int64_t N, int64_t C, ph_stream *s)
{
    const REAL *w = (const REAL *)w_;
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const REAL *x = (const REAL *)x_ + n * C;
        REAL *y = (REAL *)y_ + n * C;
        double sum = 0;
        for (int64_t i = 0; i < C; i++) sum += (double)x[i] * (double)x[i];
        REAL r = (REAL)(1 / sqrt(sum / (double)C + eps));
        for (int64_t i = 0; i < C; i++) y[i] = x[i] * r * w[i];
        ((REAL *)r_)[n] = r;
    }
}

static void rmsnorm_bwd(ph_real *dx_, float beta, const ph_real *dy_, const ph_real *x_,
                        const ph_real *w_, const ph_real *r_, int64_t N, int64_t C, ph_stream *s)
{
    const REAL *w = (const REAL *)w_;
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const REAL *x = (const REAL *)x_ + n * C, *dy = (const REAL *)dy_ + n * C;
        REAL *dx = (REAL *)dx_ + n * C, r = ((const REAL *)r_)[n];
        double sum = 0;
        for (int64_t i = 0; i < C; i++) sum += (double)dy[i] * (double)w[i] * (double)x[i];
        REAL a = (REAL)((double)r * (double)r * (double)r / (double)C * sum);
        for (int64_t i = 0; i < C; i++) {
            REAL d = r * dy[i] * w[i] - a * x[i];
            dx[i] = beta != 0 ? dx[i] + d : d;
        }
    }
}

/* ---- layernorm --------------------------------------------------------------------------------- */

static REAL mean(const REAL *x, int64_t C)
{
    double sum = 0;
    for (int64_t i = 0; i < C; i++) sum += (double)x[i];
    return (REAL)(sum / (double)C);
}

static REAL inverse_deviation(const REAL *x, REAL m, double eps, int64_t C)
{
    double sum = 0;
    for (int64_t i = 0; i < C; i++) sum += (double)(x[i] - m) * (double)(x[i] - m);
    return (REAL)(1 / sqrt(sum / (double)C + eps));
}

static void layernorm_fwd(ph_real *y_, ph_real *m_, ph_real *r_, const ph_real *x_,
                          const ph_real *w_, const ph_real *b_, double eps, int64_t N, int64_t C,
                          ph_stream *s)
{
    const REAL *w = (const REAL *)w_, *b = (const REAL *)b_;
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const REAL *x = (const REAL *)x_ + n * C;
        REAL *y = (REAL *)y_ + n * C;
        const REAL m = mean(x, C), r = inverse_deviation(x, m, eps, C);
        for (int64_t i = 0; i < C; i++) y[i] = (x[i] - m) * r * w[i] + (b ? b[i] : 0);
        ((REAL *)m_)[n] = m;
        ((REAL *)r_)[n] = r;
    }
}

static void layernorm_bwd(ph_real *dx_, float beta, const ph_real *dy_, const ph_real *x_,
                          const ph_real *w_, const ph_real *m_, const ph_real *r_, int64_t N,
                          int64_t C, ph_stream *s)
{
    const REAL *w = (const REAL *)w_;
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const REAL *x = (const REAL *)x_ + n * C, *dy = (const REAL *)dy_ + n * C;
        REAL *dx = (REAL *)dx_ + n * C, m = ((const REAL *)m_)[n], r = ((const REAL *)r_)[n];
        double sum = 0, along = 0; /* of g and of g*z */
        for (int64_t i = 0; i < C; i++) {
            sum += (double)dy[i] * (double)w[i];
            along += (double)dy[i] * (double)w[i] * (double)((x[i] - m) * r);
        }
        const REAL a = (REAL)(sum / (double)C), b = (REAL)(along / (double)C);
        for (int64_t i = 0; i < C; i++) {
            REAL d = r * (dy[i] * w[i] - a - (x[i] - m) * r * b);
            dx[i] = beta != 0 ? dx[i] + d : d;
        }
    }
}

/* ---- headnorm ---------------------------------------------------------------------------------- */

/* The mean that is taken off, and one over what remains. */
static void head_stats(REAL *m, REAL *r, const REAL *x, ph_norm_kind kind, double eps, int64_t D)
{
    *m = kind == PH_NORM_LAYER ? mean(x, D) : 0;
    *r = inverse_deviation(x, *m, eps, D);
}

static void headnorm_fwd(ph_real *y_, const ph_real *x_, const ph_real *w_, ph_norm_kind kind,
                         bool each, double eps, int64_t N, int64_t H, int64_t D, int64_t ld,
                         ph_stream *s)
{
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t nh = 0; nh < N * H; nh++) {
        const int64_t n = nh / H, h = nh % H;
        const REAL *x = (const REAL *)x_ + n * ld + h * D;
        const REAL *w = (const REAL *)w_ + (each ? h * D : 0);
        REAL *y = (REAL *)y_ + n * ld + h * D, m, r;
        head_stats(&m, &r, x, kind, eps, D);
        for (int64_t i = 0; i < D; i++) y[i] = (x[i] - m) * r * w[i];
    }
}

/* layernorm's gradient; rmsnorm's is the same without the mean of g. */
static void headnorm_bwd(ph_real *dx_, const ph_real *x_, const ph_real *w_, ph_norm_kind kind,
                         bool each, double eps, int64_t N, int64_t H, int64_t D, int64_t ld,
                         ph_stream *s)
{
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t nh = 0; nh < N * H; nh++) {
        const int64_t n = nh / H, h = nh % H;
        const REAL *x = (const REAL *)x_ + n * ld + h * D;
        const REAL *w = (const REAL *)w_ + (each ? h * D : 0);
        REAL *dx = (REAL *)dx_ + n * ld + h * D, m, r;
        double sum = 0, along = 0;
        head_stats(&m, &r, x, kind, eps, D);
        for (int64_t i = 0; i < D; i++) {
            sum += (double)dx[i] * (double)w[i];
            along += (double)dx[i] * (double)w[i] * (double)((x[i] - m) * r);
        }
        const REAL a = kind == PH_NORM_LAYER ? (REAL)(sum / (double)D) : 0;
        const REAL b = (REAL)(along / (double)D);
        for (int64_t i = 0; i < D; i++) dx[i] = r * (dx[i] * w[i] - a - (x[i] - m) * r * b);
    }
}

/* ---- matmul ------------------------------------------------------------------------------------ */

enum { REF_COLUMNS = 64 }; /* columns of M that a thread keeps in its cache for all rows */

/* y (N,columns) of stride J += x times a piece, in order of k. */
static void add_piece(REAL *y, const REAL *x, const float *piece, const ph_matrix *M, int64_t N,
                      int64_t depth, int64_t columns)
{
    const int64_t by_k = M->transpose ? 1 : columns, by_j = M->transpose ? depth : 1;
    for (int64_t n = 0; n < N; n++)
        for (int64_t j = 0; j < columns; j++) {
            REAL sum = y[n * M->J + j];
            for (int64_t k = 0; k < depth; k++)
                sum += x[n * M->K + k] * (REAL)piece[k * by_k + j * by_j];
            y[n * M->J + j] = sum;
        }
}

static void matmul_fed(REAL *y, float beta, const REAL *x, const ph_matrix *M, int64_t N,
                       ph_stream *s)
{
    const int64_t K = M->K, J = M->J;
    for (int64_t i = 0; beta == 0 && i < N * J; i++) y[i] = 0;
#pragma omp parallel for num_threads(s->threads) schedule(dynamic)
    for (int64_t j = 0; j < J; j += PH_FEED_COLUMNS) {
        const int64_t columns = J - j < PH_FEED_COLUMNS ? J - j : PH_FEED_COLUMNS;
        float *piece = s->pieces + omp_get_thread_num() * 2 * PH_FEED_PIECE;
        for (int64_t k = 0; k < K; k += PH_FEED_DEPTH) {
            const int64_t depth = K - k < PH_FEED_DEPTH ? K - k : PH_FEED_DEPTH;
            ph__feed_piece(piece, M, k, depth, j, columns);
            add_piece(y + j, x + k, piece, M, N, depth, columns);
        }
    }
}

static void matmul(ph_real *y_, float beta, const ph_real *x_, const ph_matrix *M, int64_t N,
                   ph_stream *s)
{
    const int64_t K = M->K, J = M->J;
    const REAL *m = M->data, *x = (const REAL *)x_;
    if (M->feed.read) {
        matmul_fed((REAL *)y_, beta, x, M, N, s);
        return;
    }
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t j0 = 0; j0 < J; j0 += REF_COLUMNS) {
        const int64_t wide = J - j0 < REF_COLUMNS ? J - j0 : REF_COLUMNS;
        for (int64_t n = 0; n < N; n++) {
            REAL *y = (REAL *)y_ + n * J + j0, sum[REF_COLUMNS] = {0};
            for (int64_t k = 0; k < K; k++) {
                const REAL xk = x[n * K + k], *mk = m + k * J + j0;
#pragma omp simd
                for (int64_t j = 0; j < wide; j++) sum[j] += xk * mk[j];
            }
            for (int64_t j = 0; j < wide; j++) y[j] = beta != 0 ? y[j] + sum[j] : sum[j];
        }
    }
}

/* M (K,J) dense */
static ph_status matrix_new(ph_matrix **out, const float *w, int64_t rows, int64_t columns,
                            bool transpose, ph_backend *be, ph_error *err)
{
    const int64_t K = transpose ? columns : rows, J = transpose ? rows : columns;
    ph_matrix *m = NULL;
    ph_status st = PH_OK;

    PH_GO(PH_NEW(&m, 1, err));
    PH_GO(ph__matrix_init(m, K, J, (size_t)K * (size_t)J * be->element, err));
    REAL *to = m->data;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            to[transpose ? j * rows + i : i * columns + j] = (REAL)w[i * columns + j];
    *out = m;
    m = NULL;
done:
    ph__free(m);
    return st;
}

/* ---- rope -------------------------------------------------------------------------------------- */

static void rope(REAL *x, const REAL *cosine, const REAL *sine, REAL sign, ph_rope_kind kind,
                 int64_t first, int64_t B, int64_t T, int64_t H, int64_t D, int64_t rot, int64_t ld,
                 ph_stream *s)
{
    const int64_t half = rot / 2;
    const int64_t step = kind == PH_ROPE_HALVES ? 1 : 2;     /* from one pair to the next */
    const int64_t apart = kind == PH_ROPE_HALVES ? half : 1; /* from a to b of a pair */
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t n = 0; n < B * T; n++) {
        const REAL *c = cosine + (first + n % T) * half, *sn = sine + (first + n % T) * half;
        for (int64_t h = 0; h < H; h++)
            for (int64_t i = 0; i < half; i++) {
                REAL *pair = x + n * ld + h * D + i * step, a = pair[0], b = pair[apart];
                pair[0] = a * c[i] - b * (sign * sn[i]);
                pair[apart] = a * (sign * sn[i]) + b * c[i];
            }
    }
}

static void rope_fwd(ph_real *x, const ph_real *cosine, const ph_real *sine, ph_rope_kind kind,
                     int64_t first, int64_t B, int64_t T, int64_t H, int64_t D, int64_t rot,
                     int64_t ld, ph_stream *s)
{
    rope((REAL *)x, (const REAL *)cosine, (const REAL *)sine, 1, kind, first, B, T, H, D, rot, ld,
         s);
}

static void rope_bwd(ph_real *dx, const ph_real *cosine, const ph_real *sine, ph_rope_kind kind,
                     int64_t first, int64_t B, int64_t T, int64_t H, int64_t D, int64_t rot,
                     int64_t ld, ph_stream *s)
{
    rope((REAL *)dx, (const REAL *)cosine, (const REAL *)sine, -1, kind, first, B, T, H, D, rot, ld,
         s);
}

/* ---- attention --------------------------------------------------------------------------------- */

static REAL dot(const REAL *a, const REAL *b, int64_t D)
{
    double sum = 0;
    for (int64_t i = 0; i < D; i++) sum += (double)a[i] * (double)b[i];
    return (REAL)sum;
}

static void axpy(REAL *y, REAL a, const REAL *x, int64_t D)
{
    for (int64_t i = 0; i < D; i++) y[i] += a * x[i];
}

/* Keys or values of one row and one KV head: the shared context, then the row's own tokens. */
struct keys {
    const REAL *context, *own;
    int64_t P, context_ld, ld;
};

static struct keys keys_of(const ph_real *context, const ph_real *own, int64_t b, int64_t g,
                           int64_t T, int64_t P, int64_t Hkv, int64_t D, int64_t ld)
{
    return (struct keys){P ? (const REAL *)context + g * D : NULL,
                         (const REAL *)own + b * T * ld + g * D, P, Hkv * D, ld};
}

static const REAL *key(const struct keys *k, int64_t u)
{
    return u < k->P ? k->context + u * k->context_ld : k->own + (u - k->P) * k->ld;
}

/* The first token that is seen by the one behind n - 1 others. */
static int64_t first_seen(int64_t n, int64_t window)
{
    return window && n > window ? n - window : 0;
}

static REAL capped(REAL z, double cap)
{
    return cap != 0 ? (REAL)cap * REAL_TANH(z / (REAL)cap) : z;
}

static REAL capped_slope(REAL z, double cap)
{
    const REAL t = cap != 0 ? REAL_TANH(z / (REAL)cap) : 0;
    return 1 - t * t;
}

/* of p[from] … p[n-1]; the others become 0 */
static void softmax(REAL *p, int64_t from, int64_t n, int64_t all)
{
    REAL top = -(REAL)INFINITY;
    double sum = 0;
    for (int64_t u = from; u < n; u++) top = p[u] > top ? p[u] : top;
    for (int64_t u = from; u < n; u++) {
        p[u] = REAL_EXP(p[u] - top);
        sum += (double)p[u];
    }
    for (int64_t u = from; u < n; u++) p[u] = (REAL)((double)p[u] / sum);
    for (int64_t u = 0; u < from; u++) p[u] = 0;
    for (int64_t u = n; u < all; u++) p[u] = 0;
}

static void attention_fwd(ph_real *o_, ph_real *p_, const ph_real *q_, const ph_real *k,
                          const ph_real *v, const ph_real *kc, const ph_real *vc, double scale,
                          double cap, int64_t window, int64_t B, int64_t T, int64_t P, int64_t H,
                          int64_t Hkv, int64_t D, int64_t ld, ph_stream *s)
{
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t bh = 0; bh < B * H; bh++) {
        const int64_t b = bh / H, h = bh % H, g = h / (H / Hkv);
        const struct keys K = keys_of(kc, k, b, g, T, P, Hkv, D, ld);
        const struct keys V = keys_of(vc, v, b, g, T, P, Hkv, D, ld);
        for (int64_t t = 0; t < T; t++) {
            const REAL *q = (const REAL *)q_ + (b * T + t) * ld + h * D;
            REAL *o = (REAL *)o_ + ((b * T + t) * H + h) * D;
            REAL *p = (REAL *)p_ + (bh * T + t) * (P + T);
            const int64_t n = P + t + 1, from = first_seen(n, window);
            for (int64_t u = from; u < n; u++)
                p[u] = capped((REAL)scale * dot(q, key(&K, u), D), cap);
            softmax(p, from, n, P + T);
            for (int64_t i = 0; i < D; i++) o[i] = 0;
            for (int64_t u = from; u < n; u++) axpy(o, p[u], key(&V, u), D);
        }
    }
}

/* Parallel over what shares a dk and dv: one KV head of one row. */
static void attention_bwd(ph_real *dq_, ph_real *dk_, ph_real *dv_, float beta, const ph_real *do_,
                          const ph_real *p_, const ph_real *q_, const ph_real *k, const ph_real *v,
                          const ph_real *kc, const ph_real *vc, double scale, double cap,
                          int64_t window, int64_t B, int64_t T, int64_t P, int64_t H, int64_t Hkv,
                          int64_t D, int64_t ld, ph_stream *s)
{
    const int64_t group = H / Hkv;
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t bg = 0; bg < B * Hkv; bg++) {
        const int64_t b = bg / Hkv, g = bg % Hkv;
        const struct keys K = keys_of(kc, k, b, g, T, P, Hkv, D, ld);
        const struct keys V = keys_of(vc, v, b, g, T, P, Hkv, D, ld);
        REAL *dk = (REAL *)dk_ + b * T * ld + g * D, *dv = (REAL *)dv_ + b * T * ld + g * D;
        for (int64_t t = 0; t < T && beta == 0; t++)
            for (int64_t i = 0; i < D; i++) dk[t * ld + i] = dv[t * ld + i] = 0;
        for (int64_t h = g * group; h < (g + 1) * group; h++)
            for (int64_t t = 0; t < T; t++) {
                const REAL *q = (const REAL *)q_ + (b * T + t) * ld + h * D;
                const REAL *d_o = (const REAL *)do_ + ((b * T + t) * H + h) * D;
                const REAL *p = (const REAL *)p_ + ((b * H + h) * T + t) * (P + T);
                const int64_t from = first_seen(P + t + 1, window);
                REAL *dq = (REAL *)dq_ + (b * T + t) * ld + h * D;
                double sum = 0; /* sum_w p[w]*dp[w] */
                for (int64_t i = 0; i < D && beta == 0; i++) dq[i] = 0;
                for (int64_t u = from; u <= P + t; u++)
                    sum += (double)p[u] * (double)dot(d_o, key(&V, u), D);
                for (int64_t u = from; u <= P + t; u++) {
                    const REAL dp = dot(d_o, key(&V, u), D);
                    REAL ds = (REAL)scale * p[u] * (REAL)((double)dp - sum);
                    if (cap != 0) ds *= capped_slope((REAL)scale * dot(q, key(&K, u), D), cap);
                    axpy(dq, ds, key(&K, u), D);
                    if (u < P) continue;
                    axpy(dk + (u - P) * ld, ds, q, D);
                    axpy(dv + (u - P) * ld, p[u], d_o, D);
                }
            }
    }
}

/* ---- gated and act ----------------------------------------------------------------------------- */

static REAL sigma(REAL x)
{
    return 1 / (1 + REAL_EXP(-x));
}

/* y = act(x) and its slope. silu: y = x*s, y' = s * (1 + x*(1 - s)) with s = sigma(x).
 * gelu_tanh: (1 + tanh(z))/2 = sigma(2z), so y = x*s, y' = s + x*s*(1 - s) * 2z' with s = sigma(2z),
 * z = a*(x + c*x^3). gelu: y = x*Phi(x), y' = Phi(x) + x*phi(x). */
static REAL act(REAL *slope, REAL x, ph_act_kind kind)
{
    const REAL a2 = (REAL)1.5957691216057307117597842397375, c = (REAL)0.044715; /* sqrt(8/pi) */
    const REAL half = (REAL)0.70710678118654752440084436210485;                  /* its root */
    const REAL peak = (REAL)0.39894228040143267793994605993438;                  /* 1/sqrt(2 pi) */
    REAL s;
    switch (kind) {
    case PH_ACT_GELU_TANH:
        s = sigma(a2 * x * (1 + c * x * x));
        *slope = s + x * s * (1 - s) * a2 * (1 + 3 * c * x * x);
        return x * s;
    case PH_ACT_GELU:
        s = (REAL)0.5 * REAL_ERFC(-x * half);
        *slope = s + x * (peak * REAL_EXP((REAL)-0.5 * x * x));
        return x * s;
    default:
        s = sigma(x);
        *slope = s * (1 + x * (1 - s));
        return x * s;
    }
}

static void gated_fwd(ph_real *h_, const ph_real *gu_, ph_act_kind kind, int64_t N, int64_t F,
                      ph_stream *s)
{
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const REAL *g = (const REAL *)gu_ + n * 2 * F, *u = g + F;
        REAL *h = (REAL *)h_ + n * F, slope;
        for (int64_t i = 0; i < F; i++) h[i] = act(&slope, g[i], kind) * u[i];
    }
}

static void gated_bwd(ph_real *dgu_, const ph_real *dh_, const ph_real *gu_, ph_act_kind kind,
                      int64_t N, int64_t F, ph_stream *s)
{
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const REAL *g = (const REAL *)gu_ + n * 2 * F, *u = g + F;
        const REAL *dh = (const REAL *)dh_ + n * F;
        REAL *dg = (REAL *)dgu_ + n * 2 * F, *du = dg + F, slope;
        for (int64_t i = 0; i < F; i++) {
            du[i] = dh[i] * act(&slope, g[i], kind);
            dg[i] = dh[i] * u[i] * slope;
        }
    }
}

static void act_fwd(ph_real *h_, const ph_real *x_, ph_act_kind kind, int64_t n, ph_stream *s)
{
    REAL *h = (REAL *)h_;
    const REAL *x = (const REAL *)x_;
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t i = 0; i < n; i++) {
        REAL slope;
        h[i] = act(&slope, x[i], kind);
    }
}

static void act_bwd(ph_real *dx_, const ph_real *dh_, const ph_real *x_, ph_act_kind kind,
                    int64_t n, ph_stream *s)
{
    REAL *dx = (REAL *)dx_;
    const REAL *dh = (const REAL *)dh_, *x = (const REAL *)x_;
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t i = 0; i < n; i++) {
        REAL slope;
        act(&slope, x[i], kind);
        dx[i] = dh[i] * slope;
    }
}

/* ---- softcap, add_bias ------------------------------------------------------------------------- */

static void softcap_fwd(ph_real *y_, double cap, int64_t n, ph_stream *s)
{
    REAL *y = (REAL *)y_;
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = capped(y[i], cap);
}

static void softcap_bwd(ph_real *dy_, const ph_real *y_, double cap, int64_t n, ph_stream *s)
{
    REAL *dy = (REAL *)dy_;
    const REAL *y = (const REAL *)y_;
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const REAL t = y[i] / (REAL)cap;
        dy[i] *= 1 - t * t;
    }
}

static void add_bias(ph_real *y_, const ph_real *b_, int64_t N, int64_t J, ph_stream *s)
{
    const REAL *b = (const REAL *)b_;
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        REAL *y = (REAL *)y_ + n * J;
        for (int64_t j = 0; j < J; j++) y[j] += b[j];
    }
}

/* ---- add --------------------------------------------------------------------------------------- */

static void add_fwd(ph_real *y_, const ph_real *a_, const ph_real *b_, int64_t n, ph_stream *s)
{
    REAL *y = (REAL *)y_;
    const REAL *a = (const REAL *)a_, *b = (const REAL *)b_;
#pragma omp parallel for num_threads(s->threads) schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

ph_status REF_OPEN(ph_backend **out, int threads, ph_error *err)
{
    PH_TRY(ph__host_open(out, REF_NAME, sizeof(REAL), threads, err));
    (*out)->matrix_new = matrix_new;
    (*out)->ops = (struct ph_ops){
        rmsnorm_fwd,  rmsnorm_bwd,      layernorm_fwd,  layernorm_bwd,    headnorm_fwd,
        headnorm_bwd, matmul,           ph__matmul_add, ph__matmul_gated, rope_fwd,
        rope_bwd,     attention_fwd,    attention_bwd,  gated_fwd,        gated_bwd,
        act_fwd,      act_bwd,          softcap_fwd,    softcap_bwd,      add_bias,
        add_fwd,      ph__columns_take, ph__columns_put};
    return PH_OK;
}
