/* ranked.c — the n best of many values, in a list that the caller owns. */
#include "search/ranked.h"

#include <math.h>

void ph__ranked_clear(ph_near *list, size_t n, int sign)
{
    for (size_t i = 0; i < n; i++) list[i] = (ph_near){-1, -sign * (double)INFINITY};
}

void ph__ranked_add(ph_near *list, size_t n, int sign, int32_t id, double value)
{
    size_t at = n - 1;
    if (n == 0 || !(sign * value > sign * list[at].value)) return;
    for (; at > 0 && sign * value > sign * list[at - 1].value; at--) list[at] = list[at - 1];
    list[at] = (ph_near){id, value};
}
