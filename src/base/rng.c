/* rng.c — random numbers by (seed, stream). */
#include "base/rng.h"

#include <math.h>

uint64_t ph__rng_next(ph_rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

ph_rng ph__rng(uint64_t seed, uint64_t stream)
{
    ph_rng a = {seed};
    ph_rng b = {ph__rng_next(&a) ^ (stream * 0xd1342543de82ef95u)};
    return (ph_rng){ph__rng_next(&b)};
}

uint64_t ph__rng_below(ph_rng *r, uint64_t n)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, x;
    do x = ph__rng_next(r);
    while (x >= limit);
    return x % n;
}

double ph__rng_normal(ph_rng *r)
{
    const double unit = 1.0 / 9007199254740992.0; /* 2^-53 */
    double u = ((double)(ph__rng_next(r) >> 11) + 1) * unit;
    double v = (double)(ph__rng_next(r) >> 11) * unit;
    return sqrt(-2 * log(u)) * cos(6.283185307179586476925286766559 * v);
}
