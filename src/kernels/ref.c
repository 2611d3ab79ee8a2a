/* ref.c — the reference backend in float: "ref". */
#define REAL      float
#define REAL_EXP  expf
#define REAL_TANH tanhf
#define REAL_ERFC erfcf
#define REF_NAME  "ref"
#define REF_OPEN  ph__ref_open
#include "kernels/ref_template.h"
