/* leads.h — short descents whose tokens a search among tokens begins from. */
#ifndef PH_LEADS_H
#define PH_LEADS_H

#include "search/hunt.h"

/* ids (count,each,longest): the tokens of `each` descents of pez for every quarry, of so many steps. The
 * quarries are charged. */
ph_status ph__leads(int32_t *ids, ph_hunt *h, int64_t each, int64_t steps, ph_error *err);

#endif
