/* arena.c — hands out the parts of one allocation of a backend's memory. */
#include "model/arena.h"

#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define PH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PH_ASAN 1
#endif
#endif
#ifdef PH_ASAN
#include <sanitizer/asan_interface.h>
enum { RED_ZONE = 64 }; /* bytes */
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
enum { RED_ZONE = 0 };
#endif

void ph__arena_take(ph_arena *a, ph_real **slot, int64_t rows, int64_t columns)
{
    const size_t line = 64 / a->backend->element;
    size_t n = 0;
    a->overflow |= !ph__mul(&n, (size_t)rows, (size_t)columns) || n > SIZE_MAX / 64;
    if (a->overflow) return;
    if (a->base) *slot = ph__at(a->backend, a->base, (int64_t)a->used);
    n = (n + line - 1) / line * line;
    if (a->base)
        ASAN_POISON_MEMORY_REGION(ph__at(a->backend, a->base, (int64_t)(a->used + n)), RED_ZONE);
    a->overflow |= !ph__add(&a->used, a->used, n + RED_ZONE / a->backend->element);
}
