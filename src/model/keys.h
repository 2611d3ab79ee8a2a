/* keys.h — values of a family's keys, FAMILY.key, checked. */
#ifndef PH_KEYS_H
#define PH_KEYS_H

#include "weights/weights.h"

bool ph__key_has(const ph_weights *w, const char *family, const char *key);
/* From 1 to max. Absent: *out is the default, or an error where it is 0. */
ph_status ph__key_count(int64_t *out, const ph_weights *w, const char *family, const char *key,
                        int64_t max, ph_error *err);
/* Positive and finite. Absent: *out stays. */
ph_status ph__key_positive(double *out, const ph_weights *w, const char *family, const char *key,
                           ph_error *err);
ph_status ph__key_bool(bool *out, const ph_weights *w, const char *family, const char *key,
                       ph_error *err);
ph_status ph__key_string(ph_bytes *out, const ph_weights *w, const char *family, const char *key,
                         ph_error *err);

#endif
