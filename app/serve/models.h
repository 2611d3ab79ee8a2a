/* models.h — the models that requests ask for: opened when first asked for, a few at a time.
 *
 * A model goes by its key of the store (its sha256; of an untrained one "untrained:SHA256:SEED…:BLOCKS").
 * It is looked for among those of the command line, then where the runs in the store found it; what is
 * there now has to have the same hash.
 */
#ifndef MODELS_H
#define MODELS_H

#include "../opt.h"
#include "archive.h"

enum { MODELS_OPEN = 2 }; /* at most, for their packed weights */

struct models;
struct held; /* an open model in use */

/* The models of the command line, if they were named: else the default one, if it is there. Both are
 * borrowed. PH_EIO if a named one cannot be read. */
ph_status models_open(struct models **out, const struct common *c, bool named,
                      struct archive *archive, ph_error *err);
void models_close(struct models **models);

/* Open a model, or use one that is open. PH_EIO: nothing is known of that key, or its file is not there. PH_EFORMAT: its content changed. PH_ENOMEM: others are in use. */
ph_status models_take(struct models *m, struct held **out, const char *key, ph_error *err);
void models_give(struct models *m, struct held *held);
const ph_model *held_model(const struct held *held);

/* Its width, as far as it was open already; else NULL. */
json_t *models_width(struct models *m, const char *key);
/* Whether a key is of a model of the command line. */
bool models_mine(struct models *m, const char *key);
/* The rows of the store's view, each with "open", and behind them the models of the command line that it
 * does not know. */
ph_status models_list(struct models *m, json_t **list, ph_error *err);
/* The key of the model that a request means: itself, or where it is NULL the command line's first, to be
 * freed; NULL if there is none. */
char *models_key(struct models *m, const char *asked);

#endif
