/* err.c — making errors. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

ph_status ph__fail(ph_error *err, ph_status code, int64_t pos, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        err->code = code;
        err->pos = pos;
        va_start(ap, fmt);
        vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
        /* A name from a file may hold a line break or a control byte: the message stays one line. */
        for (char *p = err->msg; *p; p++)
            if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    }
    return code;
}

ph_status ph__fail_memory(ph_error *err, size_t bytes)
{
    return ph__fail(err, PH_ENOMEM, -1, "out of memory: %zu bytes wanted", bytes);
}

const char *ph_status_name(ph_status code)
{
    static const char *const names[PH_STATUS_COUNT] = {
        [PH_OK] = "ok",
        [PH_EINVAL] = "invalid argument",
        [PH_ENOMEM] = "out of memory",
        [PH_EIO] = "input/output",
        [PH_EFORMAT] = "malformed file",
        [PH_EUNSUPPORTED] = "not supported",
        [PH_ESPEC] = "feature language",
        [PH_ERANGE] = "out of range",
        [PH_ETEXT] = "invalid text",
        [PH_ENUMERIC] = "not a number",
        [PH_ECANCELED] = "cancelled",
    };
    return (unsigned)code < PH_STATUS_COUNT && names[code] ? names[code] : "unknown status";
}
