/* kernels.h — the seam between the model and whatever computes.
 *
 * A backend is a place for numbers (alloc, write, read), a way to pack weight matrices, and a flat
 * table of operations. The reference fills every slot of the table, a faster backend overrides what
 * it does better. Nothing above this line knows oneDNN or CUDA; nothing below it knows a model.
 *
 * B rows, T tokens of a row, P context tokens shared by all rows, C width, H heads, Hkv KV heads,
 * D head width, F MLP width; N = B*T. Arrays are dense, last index fastest, unless a stride is
 * named: `ld` is the distance in elements from one token to the next.
 *
 * Rules for every operation:
 *   - order of parameters: outputs, saved for backward, inputs, weights, scalars, sizes, stream;
 *   - inputs are never written; outputs alias inputs only where the contract says so;
 *   - a backward operation ADDS to beta times what is there: d = beta*d + …; beta == 0 means that d
 *     is not read (it may hold NaN); other values of beta are 1;
 *   - nothing allocates; the same call on the same numbers gives the same bits;
 *   - row b of the output depends on row b of the inputs only, bit for bit, whatever B is.
 */
#ifndef PH_KERNELS_H
#define PH_KERNELS_H

#include "base/err.h"

/* An element in the backend's own precision and memory: float, or double in ref64. Incomplete on
 * purpose: only kernels look inside. */
typedef struct ph_real ph_real;
/* The right operand of a product, packed by a backend. */
typedef struct ph_matrix ph_matrix;
/* One thread's place to compute: scratch memory, cached primitives. */
typedef struct ph_stream ph_stream;
typedef struct ph_backend ph_backend;

/* A matrix W (rows,columns) that stays where it is, in whatever form: a product asks for pieces of
 * it when it needs them. read: dst (n_rows,n), dense, = n columns from `first` on of the rows from
 * `row` on; any number of threads call it at once. source outlives the matrix. */
typedef struct ph_feed {
    void (*read)(float *dst, int64_t row, int64_t n_rows, int64_t first, int64_t n,
                 const void *source);
    const void *source;
} ph_feed;

typedef enum ph_rope_kind {
    PH_ROPE_INTERLEAVED, /* pairs (2i, 2i+1): llama family in GGUF, whose q and k rows are permuted */
    PH_ROPE_HALVES       /* pairs (i, i + D/2): the layout of the original checkpoints */
} ph_rope_kind;

typedef enum ph_act_kind {
    PH_ACT_SILU,      /* x/(1+exp(-x)) */
    PH_ACT_GELU_TANH, /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    PH_ACT_GELU       /* x/2 (1 + erf(x/sqrt(2))) */
} ph_act_kind;

typedef enum ph_norm_kind { PH_NORM_RMS, PH_NORM_LAYER } ph_norm_kind;

struct ph_ops {
    /* rmsnorm
     *   y[n,i] = x[n,i] * r[n] * w[i]          r[n] = 1/sqrt(mean_i x[n,i]^2 + eps)
     *   x, y (N,C), y must not alias x; w (C); r (N) written for the backward pass
     *   sums in float; in double in the reference
     * backward, g = dy*w:
     *   dx[n,j] = beta*dx[n,j] + r*g[j] - x[n,j] * r^3/C * sum_i g[i]*x[n,i]
     */
    void (*rmsnorm_fwd)(ph_real *y, ph_real *r, const ph_real *x, const ph_real *w, double eps,
                        int64_t N, int64_t C, ph_stream *s);
    void (*rmsnorm_bwd)(ph_real *dx, float beta, const ph_real *dy, const ph_real *x,
                        const ph_real *w, const ph_real *r, int64_t N, int64_t C, ph_stream *s);

    /* layernorm
     *   y[n,i] = (x[n,i] - m[n]) * r[n] * w[i] + b[i]
     *   m[n] = mean_i x[n,i]     r[n] = 1/sqrt(mean_i (x[n,i] - m[n])^2 + eps)
     *   x, y (N,C), y must not alias x; w, b (C), b NULL: 0; m, r (N) written for the backward pass
     * backward, g = dy*w, z = (x - m)*r:
     *   dx[n,j] = beta*dx[n,j] + r*(g[j] - mean_i g[i] - z[j] * mean_i g[i]*z[i])
     */
    void (*layernorm_fwd)(ph_real *y, ph_real *m, ph_real *r, const ph_real *x, const ph_real *w,
                          const ph_real *b, double eps, int64_t N, int64_t C, ph_stream *s);
    void (*layernorm_bwd)(ph_real *dx, float beta, const ph_real *dy, const ph_real *x,
                          const ph_real *w, const ph_real *m, const ph_real *r, int64_t N,
                          int64_t C, ph_stream *s);

    /* headnorm: rmsnorm, or layernorm without b, of every head of a token by itself
     *   x, y (N,H,D) with stride ld per token, y must not alias x; w (D) shared by the heads, or
     *   (H,D) where `each` is true; nothing is saved
     * backward, in place: dx holds dy before and dx afterwards, x is what the norm was given.
     */
    void (*headnorm_fwd)(ph_real *y, const ph_real *x, const ph_real *w, ph_norm_kind kind,
                         bool each, double eps, int64_t N, int64_t H, int64_t D, int64_t ld,
                         ph_stream *s);
    void (*headnorm_bwd)(ph_real *dx, const ph_real *x, const ph_real *w, ph_norm_kind kind,
                         bool each, double eps, int64_t N, int64_t H, int64_t D, int64_t ld,
                         ph_stream *s);

    /* matmul
     *   y[n,j] = beta*y[n,j] + sum_k x[n,k] * M[k,j]     x (N,K), y (N,J), y must not alias x
     *   beta is 0 or 1. The forward product of a weight W (J,K) uses M = W^T, its backward product
     *   (dx = dy W) uses M = W: two packings of one weight, one operation.
     */
    void (*matmul)(ph_real *y, float beta, const ph_real *x, const ph_matrix *M, int64_t N,
                   ph_stream *s);

    /* matmul_add: the end of a branch, y = z + x M
     *   y, z (N,J), x (N,K); y aliases neither. The bits of matmul and add_fwd, in one pass over y.
     */
    void (*matmul_add)(ph_real *y, const ph_real *z, const ph_real *x, const ph_matrix *M,
                       int64_t N, ph_stream *s);

    /* matmul_gated: h (N,F) = gated of x M, x (N,K), M (K,2F)
     *   The bits of matmul and gated_fwd. room (N,2F) holds nothing of use afterwards: the product
     *   need not go through memory. h, room and x are apart.
     */
    void (*matmul_gated)(ph_real *h, ph_real *room, const ph_real *x, const ph_matrix *M,
                         ph_act_kind kind, int64_t N, ph_stream *s);

    /* rope, in place
     *   each pair (a,b) of head h of token t turns by the angle of position p = first + t:
     *     a' = a cos - b sin      b' = a sin + b cos
     *   x (B,T,H,D) with stride ld per token; cos, sin (positions, D/2); dimensions past rot are
     *   left alone (rot ≤ D, even; table rows have rot/2 entries)
     * backward: the same with -sin; x then holds the gradient.
     */
    void (*rope_fwd)(ph_real *x, const ph_real *cos, const ph_real *sin, ph_rope_kind kind,
                     int64_t first, int64_t B, int64_t T, int64_t H, int64_t D, int64_t rot,
                     int64_t ld, ph_stream *s);
    void (*rope_bwd)(ph_real *dx, const ph_real *cos, const ph_real *sin, ph_rope_kind kind,
                     int64_t first, int64_t B, int64_t T, int64_t H, int64_t D, int64_t rot,
                     int64_t ld, ph_stream *s);

    /* attention, causal, with grouped KV heads and a shared context
     *   o[b,t,h,:] = sum_u p[b,h,t,u] * V[b,u,g,:]        g = h / (H/Hkv),  u = from … P+t
     *   p[b,h,t,:] = softmax_u c(scale * q[b,t,h,:]·K[b,u,g,:])
     *   c(z) = cap * tanh(z/cap), or z where cap is 0
     *   from = 0, or where window is not 0 the token window-1 places before the last, if there is one
     *   K[b,u] is kc[u] for u < P (the context, the same for all rows), else k[b,u-P]; V likewise
     *   q (B,T,H,D), k, v (B,T,Hkv,D) with one stride ld per token; kc, vc (P,Hkv,D) dense, unused
     *   and NULL if P = 0; o (B,T,H,D) dense; p (B,H,T,P+T) saved for backward, entries that a
     *   token does not see are written as 0
     * backward (no gradient goes to the context), c'(z) = 1 - tanh(z/cap)^2, or 1:
     *   dp[u] = do·V[u]   ds[u] = p[u]*(dp[u] - sum_w p[w]*dp[w]) * c'(scale q·K[u])
     *   dq = beta*dq + scale * sum_u ds[u]*K[u]     dk[u] = beta*dk[u] + scale * sum ds[u]*q
     *   dv[u] = beta*dv[u] + sum p[u]*do            (sums over t ≥ u and the H/Hkv heads of g)
     *   dq, dk, dv have stride ld like q, k, v; do is dense like o
     */
    void (*attention_fwd)(ph_real *o, ph_real *p, const ph_real *q, const ph_real *k,
                          const ph_real *v, const ph_real *kc, const ph_real *vc, double scale,
                          double cap, int64_t window, int64_t B, int64_t T, int64_t P, int64_t H,
                          int64_t Hkv, int64_t D, int64_t ld, ph_stream *s);
    void (*attention_bwd)(ph_real *dq, ph_real *dk, ph_real *dv, float beta, const ph_real *d_o,
                          const ph_real *p, const ph_real *q, const ph_real *k, const ph_real *v,
                          const ph_real *kc, const ph_real *vc, double scale, double cap,
                          int64_t window, int64_t B, int64_t T, int64_t P, int64_t H, int64_t Hkv,
                          int64_t D, int64_t ld, ph_stream *s);

    /* gated
     *   h[n,i] = act(g[n,i]) * u[n,i]                      act: see ph_act_kind
     *   gu (N,2F) holds g in its first F columns and u in the last F; h (N,F)
     * backward, overwriting: dgu (N,2F) = (dh*u*act'(g), dh*act(g));  dgu must not alias gu
     */
    void (*gated_fwd)(ph_real *h, const ph_real *gu, ph_act_kind kind, int64_t N, int64_t F,
                      ph_stream *s);
    void (*gated_bwd)(ph_real *dgu, const ph_real *dh, const ph_real *gu, ph_act_kind kind,
                      int64_t N, int64_t F, ph_stream *s);

    /* act
     *   h[i] = act(x[i]), n elements; h must not alias x
     * backward, overwriting: dx[i] = dh[i]*act'(x[i]); dx must not alias dh or x
     */
    void (*act_fwd)(ph_real *h, const ph_real *x, ph_act_kind kind, int64_t n, ph_stream *s);
    void (*act_bwd)(ph_real *dx, const ph_real *dh, const ph_real *x, ph_act_kind kind, int64_t n,
                    ph_stream *s);

    /* softcap, in place
     *   y[i] = cap * tanh(y[i]/cap), n elements, cap > 0
     * backward, in place, y being what the forward operation left: dy[i] = dy[i]*(1 - (y[i]/cap)^2)
     */
    void (*softcap_fwd)(ph_real *y, double cap, int64_t n, ph_stream *s);
    void (*softcap_bwd)(ph_real *dy, const ph_real *y, double cap, int64_t n, ph_stream *s);

    /* add_bias, in place
     *   y[n,j] = y[n,j] + b[j]       y (N,J), b (J). Its backward is the identity.
     */
    void (*add_bias)(ph_real *y, const ph_real *b, int64_t N, int64_t J, ph_stream *s);

    /* add
     *   y[i] = a[i] + b[i], n elements; y may alias a or b. Its backward is the identity.
     */
    void (*add_fwd)(ph_real *y, const ph_real *a, const ph_real *b, int64_t n, ph_stream *s);

    /* columns: some columns of an array by themselves, copied
     *   take: x[n,j] = y[n,columns[j]]
     *   put:  y[n,c] = x[n,j] where c = columns[j], z[n,c] elsewhere; its backward is take
     *   y, z (N,C), x (N,J), apart; columns (J) ascending, in the caller's own memory
     */
    void (*columns_take)(ph_real *x, const ph_real *y, const int64_t *columns, int64_t N, int64_t C,
                         int64_t J, ph_stream *s);
    void (*columns_put)(ph_real *y, const ph_real *z, const ph_real *x, const int64_t *columns,
                        int64_t N, int64_t C, int64_t J, ph_stream *s);
};

struct ph_backend {
    const char *name;
    size_t element; /* sizeof an element: 4 or 8 */
    int threads;
    struct ph_ops ops;

    /* Memory of n elements, zeroed, on a 64-byte boundary. */
    ph_status (*alloc)(ph_real **out, size_t n, ph_backend *be, ph_error *err);
    void (*release)(ph_backend *be, ph_real *p);
    /* Copy n elements between the backend's memory and floats (or doubles) of the caller's. */
    void (*write)(ph_real *dst, const float *src, size_t n, ph_backend *be);
    void (*read)(float *dst, const ph_real *src, size_t n, ph_backend *be);
    void (*write64)(ph_real *dst, const double *src, size_t n, ph_backend *be);
    void (*read64)(double *dst, const ph_real *src, size_t n, ph_backend *be);

    /* Pack w (rows,columns) dense as the right operand M (K,J) of matmul:
     * transpose: M = w^T, K = columns, J = rows (a forward product y = x W^T);
     * otherwise  M = w,   K = rows, J = columns (the backward product dx = dy W). */
    ph_status (*matrix_new)(ph_matrix **out, const float *w, int64_t rows, int64_t columns,
                            bool transpose, ph_backend *be, ph_error *err);
    /* The same right operand, kept nowhere: every product reads the matrix anew, which a product of
     * many rows hardly notices. The contract of matmul is the same. */
    ph_status (*matrix_feed)(ph_matrix **out, const ph_feed *feed, int64_t rows, int64_t columns,
                             bool transpose, ph_backend *be, ph_error *err);
    void (*matrix_close)(ph_matrix **m, ph_backend *be);
    size_t (*matrix_bytes)(const ph_matrix *m);

    /* threads: that its operations use, 0: the backend's. */
    ph_status (*stream_new)(ph_stream **out, int threads, ph_backend *be, ph_error *err);
    void (*stream_close)(ph_stream **s, ph_backend *be);
    /* Make ready what matmul with M on N rows needs, so that the loop itself allocates nothing. */
    ph_status (*stream_prepare)(ph_stream *s, const ph_matrix *M, int64_t N, ph_error *err);
    /* PH_OK, or what went wrong in an operation since the stream was made. */
    ph_status (*stream_status)(const ph_stream *s, ph_error *err);

    void (*close)(ph_backend *be);
};

/* Open a backend by name ("cpu", "onednn", "ref", "ref64"); NULL: the first.
 * threads 0: one for each processor this process may use. Unknown name: PH_EINVAL that lists them. */
ph_status ph__backend_open(ph_backend **out, const char *name, int threads, ph_error *err);
void ph__backend_close(ph_backend **be);
/* i-th built-in backend's name; NULL past the last. */
const char *ph__backend_name(size_t i);

/* The address of element i. */
static inline ph_real *ph__at(const ph_backend *be, const ph_real *p, int64_t i)
{
    return (ph_real *)((uintptr_t)p + (uintptr_t)i * be->element);
}

#endif
