/* proto.h — reading protocol buffers that anybody may have written: one field after another. */
#ifndef PH_PROTO_H
#define PH_PROTO_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* What is left to read, and where it began, for messages. */
typedef struct ph_proto {
    const uint8_t *at, *end, *begin;
} ph_proto;

typedef enum ph_wire {
    PH_WIRE_VARINT = 0,
    PH_WIRE_64 = 1,
    PH_WIRE_BYTES = 2,
    PH_WIRE_32 = 5
} ph_wire;

typedef struct ph_field {
    uint32_t number;
    ph_wire wire;
    uint64_t value;       /* of a number */
    const uint8_t *bytes; /* of a string or message */
    size_t size;
} ph_field;

/* The next field, *more = false at the end. PH_EFORMAT with the byte: what is cut off, longer than
 * what is left, or of a kind that there is none of. */
ph_status ph__proto_next(bool *more, ph_field *out, ph_proto *p, const char *subject,
                         ph_error *err);
/* The message within a field of bytes. */
ph_proto ph__proto_inside(const ph_proto *p, const ph_field *f);

#endif
