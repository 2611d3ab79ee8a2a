/* backend.c — the list of backends that were built in; the first is taken where none is named. */
#include "kernels/host.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    ph_status (*open)(ph_backend **out, int threads, ph_error *err);
} backends[] = {
    {"cpu", ph__cpu_open},
#ifdef PH_HAVE_ONEDNN
    {"onednn", ph__onednn_open},
#endif
    {"ref", ph__ref_open},
    {"ref64", ph__ref64_open},
};
enum { BACKENDS = sizeof backends / sizeof backends[0] };

const char *ph__backend_name(size_t i)
{
    return i < BACKENDS ? backends[i].name : NULL;
}

static ph_status fail_name(const char *name, ph_error *err)
{
    char list[100] = "";
    size_t at = 0;
    for (size_t i = 0; i < BACKENDS; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, i ? ", %s" : "%s", backends[i].name);
    return ph__fail(err, PH_EINVAL, -1, "backend %s: this build has %s", name, list);
}

ph_status ph__backend_open(ph_backend **out, const char *name, int threads, ph_error *err)
{
    if (threads < 0)
        return ph__fail(err, PH_EINVAL, -1, "%d threads: a number of 1 or more, or 0 for all",
                        threads);
    if (threads == 0) threads = omp_get_num_procs();
    for (size_t i = 0; i < BACKENDS; i++)
        if (!name || strcmp(name, backends[i].name) == 0)
            return backends[i].open(out, threads, err);
    return fail_name(name, err);
}

void ph__backend_close(ph_backend **be)
{
    if (*be) (*be)->close(*be);
    *be = NULL;
}
