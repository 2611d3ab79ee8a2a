/* ranked.h — the n best of many values, in a list that the caller owns. */
#ifndef PH_RANKED_H
#define PH_RANKED_H

#include <phosphene.h>

/* An empty list: ids -1, and values that any other beats. sign 1 keeps the highest, -1 the lowest. */
void ph__ranked_clear(ph_near *list, size_t n, int sign);
/* Insert where it belongs; of equal values the one that came first stays in front: ids that come
 * rising tie to the lower. NaN never enters. */
void ph__ranked_add(ph_near *list, size_t n, int sign, int32_t id, double value);

#endif
