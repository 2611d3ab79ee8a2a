/* kops.c — the operations as kcheck sees them, and the error allowed to each.
 *
 * Bounds are in units of u = 2^-24, the rounding error of one float operation. A sum of n terms may
 * err by k(n) u sum|terms| with k(n) = 4 + 3 sqrt(n): its worst case is n, but roundings are not
 * conspirators (Higham & Mary 2019, lambda = 3, and 4 for what stands around the sum). The factors
 * before other terms count the operations that they pass through, twice where there are few (add,
 * rope, a last addition), so that half of the bound, where kcheck warns, is the worst case. Errors of
 * intermediate results are carried on to first order, those of softmax without that approximation.
 */
#include "kops.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static const double u = 0x1p-24;
static const double subnormal = 0x1p-145; /* 16 times the smallest float: sums of such roundings */

static double k_sum(int64_t n)
{
    return 4 + 3 * sqrt((double)n);
}

/* ---- rmsnorm ----------------------------------------------------------------------------------- */

static const double eps = (double)1e-5f; /* what a float backend makes of it is this */

static int rmsnorm_fwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"y", K_OUT, K_DATA, c->C, false};
    s[1] = (struct k_slot){"r", K_OUT, K_DATA, 1, false};
    s[2] = (struct k_slot){"x", K_IN, K_DATA, c->C, false};
    s[3] = (struct k_slot){"w", K_IN, K_WEIGHT, c->C, true};
    return 4;
}

static void rmsnorm_fwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.rmsnorm_fwd(k->at[0], k->at[1], k->at[2], k->at[3], eps, k->rows, c->C, k->stream);
}

/* r is the root of a sum of positive terms: half the sum's relative error, and a few roundings. */
static void rmsnorm_fwd_bound(const struct k_case *c, double *const tol[], double *const in[],
                              const double *weight_sum)
{
    (void)weight_sum;
    const double k = k_sum(c->C) / 2 + 6;
    for (int64_t n = 0; n < c->N; n++) {
        const double *x = in[2] + n * c->C;
        double sum = 0;
        for (int64_t i = 0; i < c->C; i++) sum += x[i] * x[i];
        const double r = 1 / sqrt(sum / (double)c->C + eps);
        tol[1][n] = k * u * r;
        for (int64_t i = 0; i < c->C; i++)
            tol[0][n * c->C + i] = k * u * fabs(x[i] * r * in[3][i]) + subnormal;
    }
}

static int rmsnorm_bwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"dx", K_GRAD, K_DATA, c->C, false};
    s[1] = (struct k_slot){"dy", K_IN, K_DATA, c->C, false};
    s[2] = (struct k_slot){"x", K_IN, K_DATA, c->C, false};
    s[3] = (struct k_slot){"w", K_IN, K_WEIGHT, c->C, true};
    s[4] = (struct k_slot){"r", K_IN, K_RMS, 1, false};
    return 5;
}

static void rmsnorm_bwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.rmsnorm_bwd(k->at[0], (float)c->beta, k->at[1], k->at[2], k->at[3], k->at[4],
                           k->rows, c->C, k->stream);
}

static void rmsnorm_bwd_bound(const struct k_case *c, double *const tol[], double *const in[],
                              const double *weight_sum)
{
    (void)weight_sum;
    for (int64_t n = 0; n < c->N; n++) {
        const double *dx = in[0] + n * c->C, *dy = in[1] + n * c->C, *x = in[2] + n * c->C;
        const double r = in[4][n], *w = in[3];
        double sum = 0;
        for (int64_t i = 0; i < c->C; i++) sum += fabs(dy[i] * w[i] * x[i]);
        for (int64_t i = 0; i < c->C; i++) {
            const double direct = fabs(r * dy[i] * w[i]);
            const double through = fabs(x[i]) * r * r * r / (double)c->C * sum;
            const double before = c->beta ? 2 * fabs(dx[i]) : 0;
            tol[0][n * c->C + i] =
                u * (6 * direct + (k_sum(c->C) + 8) * through + before) + subnormal;
        }
    }
}

static double rmsnorm_work(const struct k_case *c, double *bytes)
{
    *bytes = 4.0 * (double)(c->N * c->C) * 3;
    return 5.0 * (double)(c->N * c->C);
}

/* ---- layernorm, headnorm ------------------------------------------------------------------------ */

/* What a norm makes of one line x (C), and how far that may be off: the mean (0 for an RMS norm), one
 * over the deviation (its error relative), and x less the mean. */
struct line {
    double m, r, m_err, r_err;
    const double *x;
};

static double centred(const struct line *l, int64_t i)
{
    return l->x[i] - l->m;
}

static double centred_err(const struct line *l, int64_t i)
{
    return l->m_err + u * fabs(centred(l, i));
}

static struct line line_of(const double *x, int64_t C, bool layer)
{
    const double n = (double)C;
    struct line l = {.x = x};
    double sum = 0, squares = 0, off = 0;
    for (int64_t i = 0; i < C && layer; i++) {
        l.m += x[i] / n;
        sum += fabs(x[i]) / n;
    }
    l.m_err = (k_sum(C) + 1) * u * sum;
    for (int64_t i = 0; i < C; i++) {
        squares += centred(&l, i) * centred(&l, i) / n;
        off += (2 * fabs(centred(&l, i)) + centred_err(&l, i)) * centred_err(&l, i) / n;
    }
    l.r = 1 / sqrt(squares + eps);
    l.r_err = (off + k_sum(C) * u * squares) / (2 * (squares + eps)) + 6 * u;
    return l;
}

static double normed_err(const struct line *l, int64_t i, double w)
{
    return fabs(w) * l->r * (centred_err(l, i) + fabs(centred(l, i)) * (l->r_err + 4 * u));
}

static int layernorm_fwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"y", K_OUT, K_DATA, c->C, false};
    s[1] = (struct k_slot){"m", K_OUT, K_DATA, 1, false};
    s[2] = (struct k_slot){"r", K_OUT, K_DATA, 1, false};
    s[3] = (struct k_slot){"x", K_IN, K_DATA, c->C, false};
    s[4] = (struct k_slot){"w", K_IN, K_WEIGHT, c->C, true};
    s[5] = (struct k_slot){"b", K_IN, K_DATA, c->C, true};
    return 6;
}

static void layernorm_fwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.layernorm_fwd(k->at[0], k->at[1], k->at[2], k->at[3], k->at[4],
                             c->bias ? k->at[5] : NULL, eps, k->rows, c->C, k->stream);
}

static void layernorm_fwd_bound(const struct k_case *c, double *const tol[], double *const in[],
                                const double *weight_sum)
{
    (void)weight_sum;
    for (int64_t n = 0; n < c->N; n++) {
        const struct line l = line_of(in[3] + n * c->C, c->C, true);
        tol[1][n] = l.m_err + subnormal;
        tol[2][n] = l.r_err * l.r;
        for (int64_t i = 0; i < c->C; i++) {
            const double w = in[4][i], y = centred(&l, i) * l.r * w + (c->bias ? in[5][i] : 0);
            tol[0][n * c->C + i] = normed_err(&l, i, w) + 2 * u * fabs(y) + subnormal;
        }
    }
}

static int layernorm_bwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"dx", K_GRAD, K_DATA, c->C, false};
    s[1] = (struct k_slot){"dy", K_IN, K_DATA, c->C, false};
    s[2] = (struct k_slot){"x", K_IN, K_DATA, c->C, false};
    s[3] = (struct k_slot){"w", K_IN, K_WEIGHT, c->C, true};
    s[4] = (struct k_slot){"m", K_IN, K_DATA, 1, false};
    s[5] = (struct k_slot){"r", K_IN, K_RMS, 1, false};
    return 6;
}

static void layernorm_bwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.layernorm_bwd(k->at[0], (float)c->beta, k->at[1], k->at[2], k->at[3], k->at[4],
                             k->at[5], k->rows, c->C, k->stream);
}

/* dx of one line: r*(g - mean g - z*mean(g*z)), g = dy*w, z = (x - m)*r. */
static void norm_bwd_bound(double *tol, const struct line *l, const double *dy, const double *w,
                           bool layer, int64_t C)
{
    double g = 0, gz = 0, gz_err = 0, along = 0;
    for (int64_t i = 0; i < C; i++) {
        const double a = fabs(dy[i] * w[i]) / (double)C;
        const double z_err = l->r * (centred_err(l, i) + fabs(centred(l, i)) * (l->r_err + 2 * u));
        g += layer ? a : 0;
        along += dy[i] * w[i] / (double)C * centred(l, i) * l->r;
        gz += a * fabs(centred(l, i)) * l->r;
        gz_err += a * z_err;
    }
    for (int64_t i = 0; i < C; i++) {
        const double z = fabs(centred(l, i)) * l->r, direct = fabs(dy[i] * w[i]);
        const double z_err = l->r * centred_err(l, i) + z * (l->r_err + 2 * u);
        tol[i] = l->r * (l->r_err * (direct + g + fabs(along) * z) +
                         u * (6 * direct + (k_sum(C) + 6) * g + (k_sum(C) + 8) * z * gz) +
                         z * gz_err + z_err * fabs(along)) +
                 subnormal * (1 + l->r);
    }
}

static void layernorm_bwd_bound(const struct k_case *c, double *const tol[], double *const in[],
                                const double *weight_sum)
{
    (void)weight_sum;
    for (int64_t n = 0; n < c->N; n++) {
        const struct line l = {.x = in[2] + n * c->C, .m = in[4][n], .r = in[5][n]};
        double *t = tol[0] + n * c->C;
        norm_bwd_bound(t, &l, in[1] + n * c->C, in[3], true, c->C);
        for (int64_t i = 0; i < c->C && c->beta; i++) t[i] += 2 * u * fabs(in[0][n * c->C + i]);
    }
}

static double layernorm_work(const struct k_case *c, double *bytes)
{
    *bytes = 4.0 * (double)(c->N * c->C) * 3;
    return 8.0 * (double)(c->N * c->C);
}

enum { HEAD_GAP = 5 }; /* elements between one token and the next that nobody may touch */

static int64_t head_ld(const struct k_case *c)
{
    return c->H * c->D + HEAD_GAP;
}

static int headnorm_fwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"y", K_INPLACE, K_DATA, head_ld(c), false};
    s[1] = (struct k_slot){"x", K_IN, K_DATA, head_ld(c), false};
    s[2] = (struct k_slot){"w", K_IN, K_WEIGHT, c->each ? c->H * c->D : c->D, true};
    return 3;
}

static int headnorm_bwd_slots(struct k_slot *s, const struct k_case *c)
{
    headnorm_fwd_slots(s, c);
    s[0].name = "dx";
    return 3;
}

static void headnorm_fwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.headnorm_fwd(k->at[0], k->at[1], k->at[2], c->layer ? PH_NORM_LAYER : PH_NORM_RMS,
                            c->each != 0, eps, k->rows, c->H, c->D, head_ld(c), k->stream);
}

static void headnorm_bwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.headnorm_bwd(k->at[0], k->at[1], k->at[2], c->layer ? PH_NORM_LAYER : PH_NORM_RMS,
                            c->each != 0, eps, k->rows, c->H, c->D, head_ld(c), k->stream);
}

static void headnorm_bound(const struct k_case *c, double *const tol[], double *const in[],
                           const double *weight_sum)
{
    (void)weight_sum;
    for (int64_t nh = 0; nh < c->N * c->H; nh++) {
        const int64_t at = nh / c->H * head_ld(c) + nh % c->H * c->D;
        const double *w = in[2] + (c->each ? nh % c->H * c->D : 0);
        const struct line l = line_of(in[1] + at, c->D, c->layer != 0);
        if (c->op->slots == headnorm_bwd_slots) {
            norm_bwd_bound(tol[0] + at, &l, in[0] + at, w, c->layer != 0, c->D);
            continue;
        }
        for (int64_t i = 0; i < c->D; i++) tol[0][at + i] = normed_err(&l, i, w[i]) + subnormal;
    }
}

static double headnorm_work(const struct k_case *c, double *bytes)
{
    *bytes = 12.0 * (double)(c->N * c->H * c->D);
    return 8.0 * (double)(c->N * c->H * c->D);
}

/* ---- matmul ------------------------------------------------------------------------------------ */

static int matmul_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"y", K_GRAD, K_DATA, c->J, false};
    s[1] = (struct k_slot){"x", K_IN, K_DATA, c->K, false};
    return 2;
}

static void matmul_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.matmul(k->at[0], (float)c->beta, k->at[1], k->M, k->rows, k->stream);
}

static void matmul_bound(const struct k_case *c, double *const tol[], double *const in[],
                         const double *weight_sum)
{
    for (int64_t i = 0; i < c->N * c->J; i++) {
        const double before = c->beta ? fabs(in[0][i]) : 0;
        tol[0][i] = k_sum(c->K) * u * (weight_sum[i] + before) + (double)c->K * subnormal;
    }
}

static double matmul_work(const struct k_case *c, double *bytes)
{
    *bytes = 4.0 * (double)(c->K * c->J + c->N * (c->K + c->J));
    return 2.0 * (double)c->N * (double)c->K * (double)c->J;
}

/* ---- rope -------------------------------------------------------------------------------------- */

enum { GAP = 5 }; /* elements between one token and the next that nobody may touch */

static int64_t rope_ld(const struct k_case *c)
{
    return c->H * c->D + GAP;
}

static int rope_slots(struct k_slot *s, const struct k_case *c)
{
    const int64_t table = (c->first + c->T) * (c->rot / 2);
    s[0] = (struct k_slot){"x", K_INPLACE, K_DATA, c->T * rope_ld(c), false};
    s[1] = (struct k_slot){"cos", K_IN, K_ANGLE, table, true};
    s[2] = (struct k_slot){"sin", K_IN, K_ANGLE, table, true};
    return 3;
}

static ph_rope_kind rope_kind(const struct k_case *c)
{
    return c->halves ? PH_ROPE_HALVES : PH_ROPE_INTERLEAVED;
}

static void rope_fwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.rope_fwd(k->at[0], k->at[1], k->at[2], rope_kind(c), c->first, k->rows, c->T, c->H,
                        c->D, c->rot, rope_ld(c), k->stream);
}

static void rope_bwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.rope_bwd(k->at[0], k->at[1], k->at[2], rope_kind(c), c->first, k->rows, c->T, c->H,
                        c->D, c->rot, rope_ld(c), k->stream);
}

static void rope_bound(const struct k_case *c, double *const tol[], double *const in[],
                       const double *weight_sum)
{
    (void)weight_sum;
    const int64_t half = c->rot / 2, step = c->halves ? 1 : 2, apart = c->halves ? half : 1;
    for (int64_t n = 0; n < c->B * c->T; n++) {
        const int64_t row = (c->first + n % c->T) * half;
        for (int64_t h = 0; h < c->H; h++)
            for (int64_t i = 0; i < half; i++) {
                const int64_t a = n * rope_ld(c) + h * c->D + i * step, b = a + apart;
                const double co = fabs(in[1][row + i]), si = fabs(in[2][row + i]);
                const double xa = fabs(in[0][a]), xb = fabs(in[0][b]);
                tol[0][a] = 4 * u * (xa * co + xb * si) + subnormal;
                tol[0][b] = 4 * u * (xa * si + xb * co) + subnormal;
            }
    }
}

static double rope_work(const struct k_case *c, double *bytes)
{
    *bytes = 8.0 * (double)(c->B * c->T * c->H * c->rot);
    return 3.0 * (double)(c->B * c->T * c->H * c->rot);
}

/* ---- attention ---------------------------------------------------------------------------------
 *
 * q, k and v stand side by side in one buffer, as in the model: (B,T,ld), ld = (H + 2Hkv) D + GAP.
 */
static int64_t attention_ld(const struct k_case *c)
{
    return (c->H + 2 * c->Hkv) * c->D + GAP;
}

static double attention_scale(const struct k_case *c)
{
    return (double)(float)(1 / sqrt((double)c->D)); /* what a float backend makes of it is this */
}

/* The first token that is seen behind n - 1 others. */
static int64_t first_seen(const struct k_case *c, int64_t n)
{
    return c->window && n > c->window ? n - c->window : 0;
}

/* where q, k and v of a token begin */
struct qkv {
    ph_real *q, *k, *v;
};

static struct qkv parts(const struct k_case *c, const struct k_call *call, int slot)
{
    ph_real *q = call->at[slot];
    return (struct qkv){q, ph__at(call->be, q, c->H * c->D),
                        ph__at(call->be, q, (c->H + c->Hkv) * c->D)};
}

static int attention_fwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"o", K_OUT, K_DATA, c->T * c->H * c->D, false};
    s[1] = (struct k_slot){"p", K_OUT, K_DATA, c->H * c->T * (c->P + c->T), false};
    s[2] = (struct k_slot){"qkv", K_IN, K_DATA, c->T * attention_ld(c), false};
    s[3] = (struct k_slot){"kc", K_IN, K_DATA, c->P * c->Hkv * c->D, true};
    s[4] = (struct k_slot){"vc", K_IN, K_DATA, c->P * c->Hkv * c->D, true};
    return 5;
}

static void attention_fwd_call(const struct k_case *c, const struct k_call *k)
{
    const struct qkv x = parts(c, k, 2);
    k->be->ops.attention_fwd(k->at[0], k->at[1], x.q, x.k, x.v, c->P ? k->at[3] : NULL,
                             c->P ? k->at[4] : NULL, attention_scale(c), (double)c->cap, c->window,
                             k->rows, c->T, c->P, c->H, c->Hkv, c->D, attention_ld(c), k->stream);
}

static int attention_bwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"dqkv", K_GRAD, K_DATA, c->T * attention_ld(c), false};
    s[1] = (struct k_slot){"do", K_IN, K_DATA, c->T * c->H * c->D, false};
    s[2] = (struct k_slot){"qkv", K_IN, K_DATA, c->T * attention_ld(c), false};
    s[3] = (struct k_slot){"kc", K_IN, K_DATA, c->P * c->Hkv * c->D, true};
    s[4] = (struct k_slot){"vc", K_IN, K_DATA, c->P * c->Hkv * c->D, true};
    s[5] = (struct k_slot){"p", K_IN, K_PROBABILITY, c->H * c->T * (c->P + c->T), false};
    return 6;
}

static void attention_bwd_call(const struct k_case *c, const struct k_call *k)
{
    const struct qkv x = parts(c, k, 2), d = parts(c, k, 0);
    k->be->ops.attention_bwd(d.q, d.k, d.v, (float)c->beta, k->at[1], k->at[5], x.q, x.k, x.v,
                             c->P ? k->at[3] : NULL, c->P ? k->at[4] : NULL, attention_scale(c),
                             (double)c->cap, c->window, k->rows, c->T, c->P, c->H, c->Hkv, c->D,
                             attention_ld(c), k->stream);
}

/* One token's head among its inputs. */
struct head {
    const struct k_case *c;
    double *const *in;
    int64_t b, t, h, g;
};

static const double *query(const struct head *a)
{
    return a->in[2] + (a->b * a->c->T + a->t) * attention_ld(a->c) + a->h * a->c->D;
}

/* which: 0 a key, 1 a value */
static int64_t own_offset(const struct head *a, int64_t t, int which)
{
    const struct k_case *c = a->c;
    return (a->b * c->T + t) * attention_ld(c) + (c->H + which * c->Hkv + a->g) * c->D;
}

static const double *key(const struct head *a, int64_t v, int which)
{
    const struct k_case *c = a->c;
    return v < c->P ? a->in[3 + which] + (v * c->Hkv + a->g) * c->D
                    : a->in[2] + own_offset(a, v - c->P, which);
}

static double dot(const double *a, const double *b, int64_t n, bool absolute)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += absolute ? fabs(a[i] * b[i]) : a[i] * b[i];
    return sum;
}

/* scale q·K[v], and how far it may be off */
static double score(double *err, const struct head *a, int64_t v)
{
    const double scale = attention_scale(a->c);
    *err = (k_sum(a->c->D) + 2) * u * scale * dot(query(a), key(a, v, 0), a->c->D, true);
    return scale * dot(query(a), key(a, v, 0), a->c->D, false);
}

/* p[v] and what it may err by: its score errs by d[v], which moves p by the factor exp(d[v]) and the
 * sum below it by 1 + sum p (exp(d) - 1). A cap's slope is at most 1, and tanh errs by a few u. */
static void softmax_bound(double *p, double *tol, const struct head *a, int64_t from, int64_t n)
{
    const double cap = (double)a->c->cap;
    double top = -HUGE_VAL, sum = 0, moved = 0;
    for (int64_t v = from; v < n; v++) {
        p[v] = score(&tol[v], a, v);
        if (cap > 0) {
            p[v] = cap * tanh(p[v] / cap);
            tol[v] += 10 * u * fabs(p[v]);
        }
        top = fmax(top, p[v]);
    }
    for (int64_t v = from; v < n; v++) {
        tol[v] += 2 * u * (top - p[v]);
        p[v] = exp(p[v] - top);
        sum += p[v];
    }
    for (int64_t v = from; v < n; v++) moved += (p[v] /= sum) * expm1(tol[v]);
    for (int64_t v = from; v < n; v++) {
        const double f = (expm1(tol[v]) + 1) * (1 + 2 * moved) * (1 + (k_sum(n) + 8) * u) - 1;
        tol[v] = moved < 0.5 ? fmin(1, p[v] * f) : 1;
        tol[v] += (double)FLT_MIN; /* exp below the normal numbers */
    }
}

static void attention_fwd_bound(const struct k_case *c, double *const tol[], double *const in[],
                                const double *weight_sum)
{
    (void)weight_sum;
    const int64_t all = c->P + c->T;
    double *p = malloc((size_t)all * sizeof *p);
    for (int64_t i = 0; p && i < c->B * c->H * c->T; i++) {
        const int64_t b = i / c->H / c->T, h = i / c->T % c->H, t = i % c->T, n = c->P + t + 1;
        const struct head a = {c, in, b, t, h, h / (c->H / c->Hkv)};
        double *pt = tol[1] + i * all, *ot = tol[0] + ((b * c->T + t) * c->H + h) * c->D;
        const int64_t from = first_seen(c, n);
        softmax_bound(p, pt, &a, from, n);
        for (int64_t v = 0; v < all; v++) pt[v] = v < from || v >= n ? 0 : pt[v];
        for (int64_t d = 0; d < c->D; d++) {
            double sum = 0, err = 0;
            for (int64_t v = from; v < n; v++) {
                sum += p[v] * fabs(key(&a, v, 1)[d]);
                err += pt[v] * fabs(key(&a, v, 1)[d]);
            }
            ot[d] = err + k_sum(n) * u * sum + subnormal;
        }
    }
    free(p);
}

/* A cap's slope 1 - t^2 at a token's score, and its error in units of u */
static double cap_slope(double *err, const struct head *a, int64_t v)
{
    const double cap = (double)a->c->cap;
    double off, t;
    *err = 0;
    if (a->c->cap == 0) return 1;
    t = tanh(score(&off, a, v) / cap);
    *err = 2 * fabs(t) * (10 * fabs(t) + (1 - t * t) * off / u / cap) + 2;
    return 1 - t * t;
}

/* ds[v] and its error in units of u */
static void ds_bound(double *ds, double *err, const struct head *a, const double *p, int64_t from,
                     int64_t n)
{
    const struct k_case *c = a->c;
    const double *d_o = a->in[1] + ((a->b * c->T + a->t) * c->H + a->h) * c->D;
    const double scale = attention_scale(c);
    double sum = 0, sum_err = 0, slope_err;
    for (int64_t v = from; v < n; v++) {
        ds[v] = dot(d_o, key(a, v, 1), c->D, false);
        err[v] = k_sum(c->D) * dot(d_o, key(a, v, 1), c->D, true);
        sum += p[v] * ds[v];
        sum_err += p[v] * (err[v] + k_sum(n) * fabs(ds[v]));
    }
    for (int64_t v = from; v < n; v++) {
        const double slope = cap_slope(&slope_err, a, v);
        err[v] = scale * p[v] *
                 (slope * (err[v] + sum_err + 4 * (fabs(ds[v]) + fabs(sum))) +
                  slope_err * fabs(ds[v] - sum));
        ds[v] = scale * p[v] * (ds[v] - sum) * slope;
    }
}

static void add_bounds(double *tol, const struct head *a, const double *ds, const double *err,
                       const double *p, int64_t from, int64_t n)
{
    const struct k_case *c = a->c;
    const double *d_o = a->in[1] + ((a->b * c->T + a->t) * c->H + a->h) * c->D, *q = query(a);
    const double kq = k_sum(n), kk = k_sum(c->T * (c->H / c->Hkv));
    double *dq = tol + (q - a->in[2]);
    for (int64_t v = from; v < n; v++) {
        for (int64_t d = 0; d < c->D; d++)
            dq[d] += u * (err[v] + kq * fabs(ds[v])) * fabs(key(a, v, 0)[d]);
        if (v < c->P) continue;
        double *dk = tol + own_offset(a, v - c->P, 0), *dv = tol + own_offset(a, v - c->P, 1);
        for (int64_t d = 0; d < c->D; d++) {
            dk[d] += u * (err[v] + kk * fabs(ds[v])) * fabs(q[d]);
            dv[d] += u * kk * p[v] * fabs(d_o[d]);
        }
    }
}

static void attention_bwd_bound(const struct k_case *c, double *const tol[], double *const in[],
                                const double *weight_sum)
{
    (void)weight_sum;
    const int64_t all = c->P + c->T, ld = attention_ld(c);
    const double k = k_sum(all) + k_sum(c->T * (c->H / c->Hkv));
    double *ds = malloc(2 * (size_t)all * sizeof *ds);
    for (int64_t i = 0; i < c->B * c->T * ld; i++)
        tol[0][i] = i % ld >= ld - GAP ? -1 : subnormal + (c->beta ? k * u * fabs(in[0][i]) : 0);
    for (int64_t i = 0; ds && i < c->B * c->H * c->T; i++) {
        const int64_t b = i / c->H / c->T, h = i / c->T % c->H, t = i % c->T, n = c->P + t + 1;
        const struct head a = {c, in, b, t, h, h / (c->H / c->Hkv)};
        const int64_t from = first_seen(c, n);
        ds_bound(ds, ds + all, &a, in[5] + i * all, from, n);
        add_bounds(tol[0], &a, ds, ds + all, in[5] + i * all, from, n);
    }
    free(ds);
}

static double attention_work(const struct k_case *c, double *bytes)
{
    const double pairs = (double)(c->B * c->H) * (double)(c->T * c->P + c->T * (c->T + 1) / 2);
    *bytes = 4.0 * (double)(c->B * c->T) * (double)(attention_ld(c) + c->H * c->D);
    return (c->op->name[10] == 'f' ? 4.0 : 8.0) * pairs * (double)c->D;
}

/* ---- gated and act ------------------------------------------------------------------------------
 *
 * act(x) = x*s. exp within 4 u, so sigma of an exact number within 8 u; below exp's range it is 0 or a
 * rounded subnormal. sigma's argument in gelu_tanh errs by 6 u of itself, which moves it by 1 - sigma
 * times that; erfc's by 2 u, which moves Phi by phi*|x| times that.
 */
struct act {
    double s, s_err, slope, slope_err;
};

static struct act sigmoid_act(double x, double z, double dz, double z_err)
{
    struct act a = {.s = 1 / (1 + exp(-z))};
    const double rest = 1 / (1 + exp(z)); /* 1 - s */
    a.s_err = a.s * (10 * u + rest * fabs(z) * z_err) + (double)FLT_MIN;
    a.slope = a.s * (1 + x * rest * dz);
    a.slope_err = a.s_err * (1 + fabs(x * dz) * (a.s + rest)) +
                  u * a.s * (4 + fabs(x * dz) * (12 * rest + a.s));
    return a;
}

static struct act act_of(double x, int64_t kind)
{
    const double k = sqrt(8 / acos(-1)), c = 0.044715;
    if (kind == PH_ACT_GELU_TANH)
        return sigmoid_act(x, k * (x + c * x * x * x), k * (1 + 3 * c * x * x), 6 * u);
    if (kind == PH_ACT_SILU) return sigmoid_act(x, x, 1, 0);
    const double phi = exp(-x * x / 2) / sqrt(2 * acos(-1));
    struct act a = {.s = erfc(-x / sqrt(2)) / 2};
    a.s_err = 12 * u * a.s + 2 * u * phi * fabs(x) + (double)FLT_MIN;
    a.slope = a.s + x * phi;
    a.slope_err =
        a.s_err + fabs(x) * (phi * u * (12 + 3 * x * x) + (double)FLT_MIN) + u * fabs(a.slope);
    return a;
}

static int gated_fwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"h", K_OUT, K_DATA, c->F, false};
    s[1] = (struct k_slot){"gu", K_IN, K_DATA, 2 * c->F, false};
    return 2;
}

static void gated_fwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.gated_fwd(k->at[0], k->at[1], (ph_act_kind)c->act, k->rows, c->F, k->stream);
}

static void gated_fwd_bound(const struct k_case *c, double *const tol[], double *const in[],
                            const double *weight_sum)
{
    (void)weight_sum;
    for (int64_t i = 0; i < c->N * c->F; i++) {
        const double *g = in[1] + i / c->F * 2 * c->F + i % c->F, up = fabs(g[c->F]);
        const struct act a = act_of(*g, c->act);
        tol[0][i] = fabs(*g) * up * (a.s_err + 2 * u * a.s) + subnormal * (1 + up);
    }
}

static int gated_bwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"dgu", K_OUT, K_DATA, 2 * c->F, false};
    s[1] = (struct k_slot){"dh", K_IN, K_DATA, c->F, false};
    s[2] = (struct k_slot){"gu", K_IN, K_DATA, 2 * c->F, false};
    return 3;
}

static void gated_bwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.gated_bwd(k->at[0], k->at[1], k->at[2], (ph_act_kind)c->act, k->rows, c->F,
                         k->stream);
}

static void gated_bwd_bound(const struct k_case *c, double *const tol[], double *const in[],
                            const double *weight_sum)
{
    (void)weight_sum;
    for (int64_t i = 0; i < c->N * c->F; i++) {
        const int64_t at = i / c->F * 2 * c->F + i % c->F;
        const double g = fabs(in[2][at]), up = fabs(in[2][at + c->F]), dh = fabs(in[1][i]);
        const struct act a = act_of(in[2][at], c->act);
        tol[0][at] = dh * up * (a.slope_err + 3 * u * fabs(a.slope)) + subnormal * (1 + dh * up);
        tol[0][at + c->F] = dh * g * (a.s_err + 2 * u * a.s) + subnormal * (1 + dh);
    }
}

static double gated_work(const struct k_case *c, double *bytes)
{
    *bytes = 4.0 * (double)(c->N * c->F) * (c->op->name[6] == 'f' ? 3 : 5);
    return 10.0 * (double)(c->N * c->F);
}

static int act_fwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"h", K_OUT, K_DATA, c->F, false};
    s[1] = (struct k_slot){"x", K_IN, K_DATA, c->F, false};
    return 2;
}

static void act_fwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.act_fwd(k->at[0], k->at[1], (ph_act_kind)c->act, k->rows * c->F, k->stream);
}

static void act_fwd_bound(const struct k_case *c, double *const tol[], double *const in[],
                          const double *weight_sum)
{
    (void)weight_sum;
    for (int64_t i = 0; i < c->N * c->F; i++) {
        const struct act a = act_of(in[1][i], c->act);
        tol[0][i] = fabs(in[1][i]) * (a.s_err + u * a.s) + subnormal;
    }
}

static int act_bwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"dx", K_OUT, K_DATA, c->F, false};
    s[1] = (struct k_slot){"dh", K_IN, K_DATA, c->F, false};
    s[2] = (struct k_slot){"x", K_IN, K_DATA, c->F, false};
    return 3;
}

static void act_bwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.act_bwd(k->at[0], k->at[1], k->at[2], (ph_act_kind)c->act, k->rows * c->F,
                       k->stream);
}

static void act_bwd_bound(const struct k_case *c, double *const tol[], double *const in[],
                          const double *weight_sum)
{
    (void)weight_sum;
    for (int64_t i = 0; i < c->N * c->F; i++) {
        const struct act a = act_of(in[2][i], c->act);
        const double dh = fabs(in[1][i]);
        tol[0][i] = dh * (a.slope_err + 2 * u * fabs(a.slope)) + subnormal * (1 + dh);
    }
}

static double act_work(const struct k_case *c, double *bytes)
{
    *bytes = 4.0 * (double)(c->N * c->F) * (c->op->name[4] == 'f' ? 2 : 3);
    return 10.0 * (double)(c->N * c->F);
}

/* ---- softcap, add_bias ------------------------------------------------------------------------- */

static int softcap_fwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"y", K_INPLACE, K_DATA, c->C, false};
    return 1;
}

static void softcap_fwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.softcap_fwd(k->at[0], (double)c->cap, k->rows * c->C, k->stream);
}

static void softcap_fwd_bound(const struct k_case *c, double *const tol[], double *const in[],
                              const double *weight_sum)
{
    (void)weight_sum;
    const double cap = (double)c->cap;
    for (int64_t i = 0; i < c->N * c->C; i++)
        tol[0][i] = 10 * u * cap * fabs(tanh(in[0][i] / cap)) + cap * subnormal;
}

static int softcap_bwd_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"dy", K_INPLACE, K_DATA, c->C, false};
    s[1] = (struct k_slot){"y", K_IN, K_DATA, c->C, false};
    return 2;
}

static void softcap_bwd_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.softcap_bwd(k->at[0], k->at[1], (double)c->cap, k->rows * c->C, k->stream);
}

static void softcap_bwd_bound(const struct k_case *c, double *const tol[], double *const in[],
                              const double *weight_sum)
{
    (void)weight_sum;
    for (int64_t i = 0; i < c->N * c->C; i++) {
        const double t = in[1][i] / (double)c->cap;
        tol[0][i] = u * fabs(in[0][i]) * (8 * t * t + 4) + subnormal * (1 + fabs(in[0][i]));
    }
}

static int bias_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"y", K_INPLACE, K_DATA, c->J, false};
    s[1] = (struct k_slot){"b", K_IN, K_DATA, c->J, true};
    return 2;
}

static void bias_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.add_bias(k->at[0], k->at[1], k->rows, c->J, k->stream);
}

static void bias_bound(const struct k_case *c, double *const tol[], double *const in[],
                       const double *weight_sum)
{
    (void)weight_sum;
    for (int64_t i = 0; i < c->N * c->J; i++)
        tol[0][i] = 2 * u * fabs(in[0][i] + in[1][i % c->J]) + subnormal;
}

static double bias_work(const struct k_case *c, double *bytes)
{
    *bytes = 8.0 * (double)(c->N * c->J);
    return (double)(c->N * c->J);
}

/* ---- add --------------------------------------------------------------------------------------- */

static int add_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"y", K_OUT, K_DATA, c->C, false};
    s[1] = (struct k_slot){"a", K_IN, K_DATA, c->C, false};
    s[2] = (struct k_slot){"b", K_IN, K_DATA, c->C, false};
    return 3;
}

static void add_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.add_fwd(k->at[0], k->at[1], k->at[2], k->rows * c->C, k->stream);
}

static int add_onto_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"y", K_INPLACE, K_DATA, c->C, false};
    s[1] = (struct k_slot){"b", K_IN, K_DATA, c->C, false};
    return 2;
}

static void add_onto_call(const struct k_case *c, const struct k_call *k)
{
    k->be->ops.add_fwd(k->at[0], k->at[0], k->at[1], k->rows * c->C, k->stream);
}

static void add_bound(const struct k_case *c, double *const tol[], double *const in[],
                      const double *weight_sum)
{
    (void)weight_sum;
    const int b = c->op->slots == add_slots ? 2 : 1;
    for (int64_t i = 0; i < c->N * c->C; i++)
        tol[0][i] = 2 * u * fabs(in[b - 1][i] + in[b][i]) + subnormal;
}

static double add_work(const struct k_case *c, double *bytes)
{
    *bytes = 12.0 * (double)(c->N * c->C);
    return (double)(c->N * c->C);
}

/* ---- columns: copies are exact ------------------------------------------------------------------ */

enum { MOST_COLUMNS = 512 };

/* J of C, spread evenly. */
static void spread(int64_t *columns, const struct k_case *c)
{
    for (int64_t j = 0; j < c->J && j < MOST_COLUMNS; j++) columns[j] = j * c->C / c->J;
}

static int take_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"x", K_OUT, K_DATA, c->J, false};
    s[1] = (struct k_slot){"y", K_IN, K_DATA, c->C, false};
    return 2;
}

static void take_call(const struct k_case *c, const struct k_call *k)
{
    int64_t columns[MOST_COLUMNS];
    spread(columns, c);
    k->be->ops.columns_take(k->at[0], k->at[1], columns, k->rows, c->C, c->J, k->stream);
}

static int put_slots(struct k_slot *s, const struct k_case *c)
{
    s[0] = (struct k_slot){"y", K_OUT, K_DATA, c->C, false};
    s[1] = (struct k_slot){"z", K_IN, K_DATA, c->C, false};
    s[2] = (struct k_slot){"x", K_IN, K_DATA, c->J, false};
    return 3;
}

static void put_call(const struct k_case *c, const struct k_call *k)
{
    int64_t columns[MOST_COLUMNS];
    spread(columns, c);
    k->be->ops.columns_put(k->at[0], k->at[1], k->at[2], columns, k->rows, c->C, c->J, k->stream);
}

static void columns_bound(const struct k_case *c, double *const tol[], double *const in[],
                          const double *weight_sum)
{
    (void)in, (void)weight_sum;
    const int64_t n = c->N * (c->op->slots == put_slots ? c->C : c->J);
    for (int64_t i = 0; i < n; i++) tol[0][i] = 0;
}

static double columns_work(const struct k_case *c, double *bytes)
{
    *bytes = 8.0 * (double)(c->N * (c->op->slots == put_slots ? c->C : c->J));
    return 0;
}

const struct k_op k_ops[] = {
    {"rmsnorm_fwd", "N C", rmsnorm_fwd_slots, rmsnorm_fwd_call, rmsnorm_fwd_bound, rmsnorm_work},
    {"rmsnorm_bwd", "N C beta", rmsnorm_bwd_slots, rmsnorm_bwd_call, rmsnorm_bwd_bound,
     rmsnorm_work},
    {"layernorm_fwd", "N C bias", layernorm_fwd_slots, layernorm_fwd_call, layernorm_fwd_bound,
     layernorm_work},
    {"layernorm_bwd", "N C beta", layernorm_bwd_slots, layernorm_bwd_call, layernorm_bwd_bound,
     layernorm_work},
    {"headnorm_fwd", "N H D layer each", headnorm_fwd_slots, headnorm_fwd_call, headnorm_bound,
     headnorm_work},
    {"headnorm_bwd", "N H D layer each", headnorm_bwd_slots, headnorm_bwd_call, headnorm_bound,
     headnorm_work},
    {"matmul", "N K J transpose fed beta", matmul_slots, matmul_call, matmul_bound, matmul_work},
    {"rope_fwd", "B T H D rot first halves", rope_slots, rope_fwd_call, rope_bound, rope_work},
    {"rope_bwd", "B T H D rot first halves", rope_slots, rope_bwd_call, rope_bound, rope_work},
    {"attention_fwd", "B T P H Hkv D cap window", attention_fwd_slots, attention_fwd_call,
     attention_fwd_bound, attention_work},
    {"attention_bwd", "B T P H Hkv D cap window beta", attention_bwd_slots, attention_bwd_call,
     attention_bwd_bound, attention_work},
    {"gated_fwd", "N F act", gated_fwd_slots, gated_fwd_call, gated_fwd_bound, gated_work},
    {"gated_bwd", "N F act", gated_bwd_slots, gated_bwd_call, gated_bwd_bound, gated_work},
    {"act_fwd", "N F act", act_fwd_slots, act_fwd_call, act_fwd_bound, act_work},
    {"act_bwd", "N F act", act_bwd_slots, act_bwd_call, act_bwd_bound, act_work},
    {"softcap_fwd", "N C cap", softcap_fwd_slots, softcap_fwd_call, softcap_fwd_bound, add_work},
    {"softcap_bwd", "N C cap", softcap_bwd_slots, softcap_bwd_call, softcap_bwd_bound, add_work},
    {"add_bias", "N J", bias_slots, bias_call, bias_bound, bias_work},
    {"add_fwd", "N C", add_slots, add_call, add_bound, add_work},
    {"add_onto", "N C", add_onto_slots, add_onto_call, add_bound, add_work},
    {"columns_take", "N C J", take_slots, take_call, columns_bound, columns_work},
    {"columns_put", "N C J", put_slots, put_call, columns_bound, columns_work},
    {0},
};
