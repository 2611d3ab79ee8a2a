/* cpu_base.c — the vector operations for the compiler's own baseline (SSE2 on x86-64): 8 sums in 16 registers. */
#define CPU_SET     "base"
#define CPU_KERNELS ph__cpu_base
#define W           4
#define ROWS        4
#define VECTORS     2
#include "kernels/cpu_template.h"
