/* lanes_template.h — the columns' sums of lanes.h, in vectors of W floats; a part of cpu_template.h. */
#include "kernels/lanes.h"

typedef float hf __attribute__((vector_size(2 * W))); /* half a vector, as wide as vd */
typedef double vd __attribute__((vector_size(4 * W)));
enum { HALF = W / 2, HALVES = PH_LANES / HALF, WHOLES = PH_LANES / W };

static void lanes_load(double *sum, double *squares, float *least, float *most, const float *x,
                       int64_t n, int64_t ld)
{
    vd s[HALVES], q[HALVES];
    vf low[WHOLES], high[WHOLES];
    memcpy(s, sum, sizeof s);
    memcpy(q, squares, sizeof q);
    memcpy(low, x, sizeof low);
    memcpy(high, x, sizeof high);
    for (int64_t i = 0; i < n; i++, x += ld) {
        UNROLL for (int v = 0; v < HALVES; v++)
        {
            hf half;
            memcpy(&half, x + v * HALF, sizeof half);
            const vd d = __builtin_convertvector(half, vd);
            s[v] += d;
            q[v] += d * d; /* exact in double, fused or not */
        }
        UNROLL for (int v = 0; v < WHOLES; v++)
        {
            const vf f = get(x + v * W, W);
            low[v] = choose(f < low[v], f, low[v]);
            high[v] = larger(f, high[v]);
        }
    }
    memcpy(sum, s, sizeof s);
    memcpy(squares, q, sizeof q);
    memcpy(least, low, sizeof low);
    memcpy(most, high, sizeof high);
}

static int64_t lanes_beyond(int32_t *rows, const float *x, const float *low, const float *high,
                            int64_t n, int64_t ld)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++, x += ld) {
        vi out = {0};
        UNROLL for (int v = 0; v < WHOLES; v++)
        {
            const vf f = get(x + v * W, W);
            out |= (f < get(low + v * W, W)) | (f > get(high + v * W, W));
        }
        rows[found] = (int32_t)i;
        found += any(out);
    }
    return found;
}

/* Row by row, so that one column's increments do not wait for each other. */
static void lanes_count(uint32_t *bins, const float *x, const float *low, const float *step,
                        int64_t n, int64_t ld)
{
    vf from[WHOLES], scale[WHOLES];
    for (int v = 0; v < WHOLES; v++) from[v] = get(low + v * W, W);
    for (int v = 0; v < WHOLES; v++) scale[v] = 1.0f / get(step + v * W, W);
    for (int64_t i = 0; i < n; i++, x += ld) {
        int32_t at[PH_LANES];
        UNROLL for (int v = 0; v < WHOLES; v++)
        {
            vi k = __builtin_convertvector((get(x + v * W, W) - from[v]) * scale[v], vi);
            k = (k & (k < PH_BINS)) | ((PH_BINS - 1) & (k >= PH_BINS));
            k &= k > 0;
            memcpy(at + v * W, &k, sizeof k);
        }
        UNROLL for (int l = 0; l < PH_LANES; l++) bins[l * PH_BINS + at[l]]++;
    }
}
