/* cpu.c — the backend "cpu": picks the vector operations for this processor. */
#include "kernels/host.h"

#include <string.h>

static bool always(void)
{
    return true;
}

#ifdef PH_HAVE_X86
static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

static const struct {
    const struct ph__cpu_kernels *kernels;
    bool (*present)(void);
} sets[] = {
#ifdef PH_HAVE_X86
    {&ph__cpu_avx512, has_avx512},
    {&ph__cpu_avx2, has_avx2},
#endif
    {&ph__cpu_base, always},
};

const struct ph_lanes_ops *ph__lanes(void)
{
    size_t i = 0;
    while (!sets[i].present()) i++;
    return &sets[i].kernels->lanes;
}

ph_status ph__cpu_open_set(ph_backend **out, const char *set, int threads, ph_error *err)
{
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        if ((set && strcmp(set, sets[i].kernels->name) != 0) || !sets[i].present()) continue;
        PH_TRY(ph__host_open(out, "cpu", sizeof(float), threads, err));
        (*out)->ops = sets[i].kernels->ops;
        (*out)->matrix_new = sets[i].kernels->matrix_new;
        return PH_OK;
    }
    return ph__fail(err, PH_EUNSUPPORTED, -1, "backend cpu: no instruction set %s here", set);
}

ph_status ph__cpu_open(ph_backend **out, int threads, ph_error *err)
{
    return ph__cpu_open_set(out, NULL, threads, err);
}
