/* ref64.c — the reference backend in double: "ref64", what the others are checked against. */
#define REAL      double
#define REAL_EXP  exp
#define REAL_TANH tanh
#define REAL_ERFC erfc
#define REF_NAME  "ref64"
#define REF_OPEN  ph__ref64_open
#include "kernels/ref_template.h"
