/* cpu_avx2.c — the vector operations for AVX2 with FMA: 12 sums in 16 registers. */
#define CPU_SET     "avx2"
#define CPU_KERNELS ph__cpu_avx2
#define W           8
#define ROWS        6
#define VECTORS     2
#include "kernels/cpu_template.h"
