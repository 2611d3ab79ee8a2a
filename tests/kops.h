/* kops.h — what kcheck knows of each operation: its buffers, how to call it, how far from the exact
 * result it may be, and the table of cases.
 */
#ifndef PH_KOPS_H
#define PH_KOPS_H

#include "base/rng.h"
#include "kernels/kernels.h"

enum { K_SLOTS = 10 };

enum k_role {
    K_IN,     /* read only */
    K_OUT,    /* written, never read */
    K_GRAD,   /* beta times itself plus something */
    K_INPLACE /* read and written */
};

enum k_fill { K_DATA, K_WEIGHT, K_RMS, K_PROBABILITY, K_ANGLE };

enum k_dist { K_NORMAL, K_WIDE, K_TINY, K_LARGE, K_ZEROS, K_ONEHOT, K_DISTS };

/* One buffer: `rows` rows of `per` elements, or one shared by all rows. */
struct k_slot {
    const char *name;
    enum k_role role;
    enum k_fill fill;
    int64_t per;
    bool shared;
};

struct k_case {
    const struct k_op *op;
    char backend[16];
    int64_t B, T, P, H, Hkv, D, rot, first, N, C, K, J, F, transpose, fed, halves, beta, seed;
    int64_t cap, window, act, layer, each, bias;
    enum k_dist dist;
};

/* Operands of a call: slot i's first element, or what stands in it, by slot number. */
struct k_call {
    const ph_backend *be;
    ph_stream *stream;
    ph_real *at[K_SLOTS];
    const ph_matrix *M;
    int64_t rows;
};

struct k_op {
    const char *name;
    const char *keys; /* the sizes it has, as in "B T P" */
    int (*slots)(struct k_slot *slots, const struct k_case *c);
    void (*call)(const struct k_case *c, const struct k_call *k);
    /* tol[slot][i] for every element that the operation writes: the absolute error allowed to an
     * implementation in float. in: the values before the call; weight_sum: matmul's sum |x||M|. */
    void (*bound)(const struct k_case *c, double *const tol[], double *const in[],
                  const double *weight_sum);
    double (*work)(const struct k_case *c, double *bytes); /* floating-point operations */
};

extern const struct k_op k_ops[];
extern const char *const k_cases[]; /* every backend, every distribution unless one is named */
extern const char *const k_benches[];
extern const char *const k_dist_names[K_DISTS];

/* A line such as "rmsnorm_bwd cpu N=3 C=7 beta=1 dist=wide seed=5", in any order after the name. */
bool k_parse(struct k_case *c, const char *line);
void k_print(char *line, size_t size, const struct k_case *c);
/* The numbers that stand in a buffer before the call; outputs get NaN. */
void k_fill(float *x, const struct k_slot *s, const struct k_case *c, ph_rng *r);
void k_fill_data(float *x, int64_t rows, int64_t per, enum k_dist dist, ph_rng *r);
int64_t k_rows(const struct k_case *c);

#endif
