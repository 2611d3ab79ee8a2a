/* rng.h — random numbers by (seed, stream): the same pair gives the same numbers on any machine.
 *
 * SplitMix64 (Steele, Lea & Flood 2014) on a state mixed from both keys. Not for secrets.
 */
#ifndef PH_RNG_H
#define PH_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct ph_rng {
    uint64_t state;
} ph_rng;

ph_rng ph__rng(uint64_t seed, uint64_t stream);
uint64_t ph__rng_next(ph_rng *r);
/* uniform in 0 … n-1, n > 0 */
uint64_t ph__rng_below(ph_rng *r, uint64_t n);
/* standard normal, by Box and Muller */
double ph__rng_normal(ph_rng *r);

#endif
