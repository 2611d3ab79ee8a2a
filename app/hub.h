/* hub.h — models by their name in Hugging Face's cache. */
#ifndef PH_APP_HUB_H
#define PH_APP_HUB_H

#include <phosphene.h>
#include <stdbool.h>

/* If *path, owned and replaced, is no file or folder but ORG/NAME or ORG/NAME:FILE, the snapshot (its
 * file) in the cache of $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub. Nothing is
 * downloaded. PH_EIO names the place where it would be; a name without ORG/ that is not there stays. */
ph_status hub_resolve(char **path, ph_error *err);

#endif
