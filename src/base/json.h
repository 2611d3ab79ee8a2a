/* json.h — JSON texts, read and written with jansson. */
#ifndef PH_JSON_H
#define PH_JSON_H

#include "base/mem.h"

#include <jansson.h>

/* *out, to be given back with json_decref, = the object that `bytes` bytes hold. Names that repeat
 * are refused, as is anything behind it but blanks. Where one integer does not fit, all
 * become reals. `subject` is what messages call the text; PH_EFORMAT with the byte. */
ph_status ph__json_parse(json_t **out, const char *text, size_t bytes, const char *subject,
                         ph_error *err);

/* *out, to be freed with ph__free, = a value as text: compact, names in order, always the same. */
ph_status ph__json_dump(char **out, const json_t *value, ph_error *err);

#endif
