/* mem.c — every allocation of the library, with checked sizes. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

bool ph__mul(size_t *out, size_t a, size_t b)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool ph__add(size_t *out, size_t a, size_t b)
{
    return !__builtin_add_overflow(a, b, out);
}

ph_status ph__alloc(void **out, size_t count, size_t size, ph_error *err)
{
    void *p = calloc(count ? count : 1, size);
    if (!p) return ph__fail_memory(err, count * size);
    *out = p;
    return PH_OK;
}

ph_status ph__alloc_aligned(void **out, size_t count, size_t size, ph_error *err)
{
    size_t bytes;
    if (!ph__mul(&bytes, count ? count : 1, size) || !ph__add(&bytes, bytes, 63))
        return ph__fail_memory(err, SIZE_MAX);
    bytes &= ~(size_t)63;
    const size_t whole = bytes & ~(PH_HUGE_PAGE - 1), line = whole ? PH_HUGE_PAGE : 64;
    size_t room; /* whole lines; what is beyond `bytes` is never touched */
    if (!ph__add(&room, bytes, line - 1)) return ph__fail_memory(err, SIZE_MAX);
    void *p = aligned_alloc(line, room & ~(line - 1));
    if (!p) return ph__fail_memory(err, bytes);
    if (whole) (void)madvise(p, whole, MADV_HUGEPAGE); /* advice: may be refused */
    memset(p, 0, bytes);
    *out = p;
    return PH_OK;
}

ph_status ph__grow(void **p, size_t old, size_t count, size_t size, ph_error *err)
{
    size_t bytes;
    if (!ph__mul(&bytes, count ? count : 1, size)) return ph__fail_memory(err, SIZE_MAX);
    void *q = realloc(*p, bytes);
    if (!q) return ph__fail_memory(err, bytes);
    if (count > old) memset((char *)q + old * size, 0, (count - old) * size);
    *p = q;
    return PH_OK;
}

ph_status ph__strndup(char **out, const char *s, size_t n, ph_error *err)
{
    char *p = NULL;
    PH_TRY(PH_NEW(&p, n + 1, err));
    if (n) memcpy(p, s, n);
    *out = p;
    return PH_OK;
}

ph_status ph__printf(char **out, ph_error *err, const char *fmt, ...)
{
    va_list ap;
    char *p = NULL;

    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) return ph__fail(err, PH_EINVAL, -1, "a text cannot be formatted");
    PH_TRY(PH_NEW(&p, (size_t)n + 1, err));
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    *out = p;
    return PH_OK;
}

void ph__free(void *p)
{
    free(p);
}

void ph_free(void *p)
{
    ph__free(p);
}

size_t ph__memory_most(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t most = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX;
    unsigned long long limit;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r"); /* "max" where there is no limit */
    if (!f) return most;
    if (fscanf(f, "%llu", &limit) == 1 && limit < most) most = (size_t)limit;
    fclose(f);
    return most;
}
