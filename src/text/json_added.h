/* json_added.h — tokens that stand beside an older vocabulary: what is added, and what is special. */
#ifndef PH_JSON_ADDED_H
#define PH_JSON_ADDED_H

#include "base/json.h"
#include "text/vocab.h"

/* The files of a ph_beside, NULL where one is not there; to be closed. */
typedef struct ph_beside_json {
    json_t *config, *special, *added, *model;
} ph_beside_json;

ph_status ph__beside_parse(ph_beside_json *out, const ph_beside *beside, ph_error *err);
void ph__beside_close(ph_beside_json *b);

/* *out, to be given back with json_decref, = "added_tokens" as a tokenizer.json has them: of
 * tokenizer_config.json or added_tokens.json, and the special tokens that the files name and that
 * `find` (the id of a text in the vocabulary, -1: none) knows. */
ph_status ph__json_added(json_t **out, const ph_beside_json *beside,
                         int64_t (*find)(const void *source, const char *text, size_t n),
                         const void *source, ph_error *err);

/* The text of a special token such as "bos_token", wherever it is named: a JSON string, borrowed; NULL:
 * nowhere. */
const json_t *ph__json_special(const ph_beside_json *beside, const char *key);

#endif
