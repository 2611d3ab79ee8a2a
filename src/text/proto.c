/* proto.c — reading protocol buffers. Every length is compared with what is left before it is used. */
#include "text/proto.h"

#include <string.h>

static ph_status bad(const ph_proto *p, const char *subject, const char *what, ph_error *err)
{
    return ph__fail(err, PH_EFORMAT, p->at - p->begin, "%s: byte %lld: %s", subject,
                    (long long)(p->at - p->begin), what);
}

static ph_status varint(uint64_t *out, ph_proto *p, const char *subject, ph_error *err)
{
    *out = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (p->at == p->end) return bad(p, subject, "a number is cut off", err);
        const uint8_t byte = *p->at++;
        if (shift == 63 && byte > 1) break;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return PH_OK;
    }
    return bad(p, subject, "a number of more than 64 bits", err);
}

static ph_status fixed(uint64_t *out, ph_proto *p, size_t n, const char *subject, ph_error *err)
{
    if ((size_t)(p->end - p->at) < n) return bad(p, subject, "a number is cut off", err);
    *out = 0;
    for (size_t i = 0; i < n; i++) *out |= (uint64_t)p->at[i] << (8 * i);
    p->at += n;
    return PH_OK;
}

ph_status ph__proto_next(bool *more, ph_field *out, ph_proto *p, const char *subject, ph_error *err)
{
    uint64_t key, n;

    *more = p->at < p->end;
    *out = (ph_field){0};
    if (!*more) return PH_OK;
    PH_TRY(varint(&key, p, subject, err));
    if (key >> 3 == 0 || key >> 32) return bad(p, subject, "a field of no number", err);
    out->number = (uint32_t)(key >> 3);
    out->wire = (ph_wire)(key & 7);
    switch (out->wire) {
    case PH_WIRE_VARINT: return varint(&out->value, p, subject, err);
    case PH_WIRE_64: return fixed(&out->value, p, 8, subject, err);
    case PH_WIRE_32: return fixed(&out->value, p, 4, subject, err);
    case PH_WIRE_BYTES: break;
    default: return bad(p, subject, "a field of no kind that there is", err);
    }
    PH_TRY(varint(&n, p, subject, err));
    if (n > (uint64_t)(p->end - p->at))
        return bad(p, subject, "a field is longer than what is left", err);
    out->bytes = p->at;
    out->size = (size_t)n;
    p->at += n;
    return PH_OK;
}

ph_proto ph__proto_inside(const ph_proto *p, const ph_field *f)
{
    return (ph_proto){f->bytes, f->bytes + f->size, p->begin};
}
