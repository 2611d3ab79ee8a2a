/* buf.h — a byte string that grows. */
#ifndef PH_BUF_H
#define PH_BUF_H

#include "base/mem.h"

/* Always followed by a 0 byte once anything was added; {0} is the empty one. */
typedef struct ph_str {
    char *data;
    size_t size, cap;
} ph_str;

ph_status ph__str_add(ph_str *s, const void *bytes, size_t n, ph_error *err);
void ph__str_close(ph_str *s);

#endif
