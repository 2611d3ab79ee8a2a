/* buf.c — a byte string that grows. */
#include "base/buf.h"

#include <string.h>

ph_status ph__str_add(ph_str *s, const void *bytes, size_t n, ph_error *err)
{
    size_t want;
    if (!ph__add(&want, s->size, n) || !ph__add(&want, want, 1)) return ph__fail_memory(err, n);
    if (want > s->cap) {
        size_t cap = s->cap ? s->cap : 32;
        while (cap < want)
            if (!ph__mul(&cap, cap, 2)) return ph__fail_memory(err, want);
        PH_TRY(PH_GROW(&s->data, s->cap, cap, err));
        s->cap = cap;
    }
    if (n) memcpy(s->data + s->size, bytes, n);
    s->size += n;
    s->data[s->size] = 0;
    return PH_OK;
}

void ph__str_close(ph_str *s)
{
    ph__free(s->data);
    *s = (ph_str){0};
}
