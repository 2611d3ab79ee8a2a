/* cpu_avx512.c — the vector operations for AVX-512: 24 sums in 32 registers. */
#define CPU_SET     "avx512"
#define CPU_KERNELS ph__cpu_avx512
#define W           16
#define ROWS        8
#define VECTORS     3
#include "kernels/cpu_template.h"
