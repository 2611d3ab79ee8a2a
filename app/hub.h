/* hub.h — models by their name in Hugging Face's cache: where things are. */
#ifndef PH_APP_HUB_H
#define PH_APP_HUB_H

#include <phosphene.h>
#include <stdbool.h>

/* "NAME" or "ORG/NAME", and behind ':' a file; the parts are borrowed, org and file may be empty. */
struct hub_id {
    int org, name; /* bytes */
    const char *text, *file;
};

/* Whether `text` is one. */
bool hub_read_id(struct hub_id *id, const char *text);
/* The cache of $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub, and in it the folder of a
 * model; to be freed, NULL without memory. */
char *hub_cache(void);
char *hub_folder(const char *cache, const struct hub_id *id);
/* The token of $HF_TOKEN, or of the file that $HF_TOKEN_PATH or $HF_HOME names; to be freed, NULL where
 * there is none. */
char *hub_token(void);
/* The value of a variable, NULL where it is empty. */
const char *hub_variable(const char *name);

/* If *path, owned and replaced, is no file or folder but ORG/NAME or ORG/NAME:FILE, the snapshot (its
 * file) in the cache. FILE may be a part of a name, as in pick.h. Nothing is downloaded. PH_EIO names
 * the place where it would be; a name without ORG/ that is not there stays. */
ph_status hub_resolve(char **path, ph_error *err);

/* Fill *err; returns code. */

#endif
