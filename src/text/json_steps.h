/* json_steps.h — the parts of a tokenizer.json that say what happens around its model. */
#ifndef PH_JSON_STEPS_H
#define PH_JSON_STEPS_H

#include "base/json.h"
#include "text/steps.h"
#include "text/vocab.h"

/* A member of an object as a string, "" where it is null or not there; PH_EFORMAT for others.
 * `of` is what messages call the object. */
ph_status ph__json_text(const char **out, size_t *n, const json_t *o, const char *of,
                        const char *key, ph_error *err);
/* The same for true and false, `otherwise` where it is null or not there. */
ph_status ph__json_flag(bool *out, const json_t *o, const char *of, const char *key, bool otherwise,
                        ph_error *err);

/* "normalizer" and "pre_tokenizer"; null: no steps. *byte_level is set where one of them is. */
ph_status ph__json_normalizer(ph_steps *out, const json_t *node, ph_error *err);
ph_status ph__json_pre_tokenizer(ph_steps *out, bool *byte_level, const json_t *node,
                                 ph_error *err);

/* "decoder": *byte_level is set where it is one, *strip where it takes a blank from the beginning. */
ph_status ph__json_decoder(bool *byte_level, bool *strip, const json_t *node, ph_error *err);

/* "post_processor": the ids that are put before and behind a text; left alone where there is none. */
ph_status ph__json_post_processor(int64_t *bos, int64_t *eos, const json_t *node, ph_error *err);

/* json_tokenizer.c: a tokenizer from what such a file holds. config: NULL, or tokenizer_config.json. */
ph_status ph__json_tokenizer(struct ph_tokenizer **out, const json_t *root, const json_t *config,
                             ph_error *err);

#endif
