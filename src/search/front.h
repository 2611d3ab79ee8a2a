/* front.h — the Pareto front of a feature's texts: activation against cross-entropy.
 *
 * One text dominates another if it is no worse in both and better in one. On the front stands every
 * text that was evaluated, may be an answer, and is dominated by none; of equals the first. Texts that
 * trigger an outlier norm stand there only if nothing else does, or if they are kept.
 */
#ifndef PH_FRONT_H
#define PH_FRONT_H

#include "search/fluent.h"
#include "search/hunt.h"
#include "search/rescore.h"

/* Show a quarry a text. When PH_FRONT texts stand on the front, of the two that lie nearest to each
 * other in activation the less active one makes room. */
void ph__front_show(const ph_hunt *h, ph_quarry *q, const ph_find *f);

/* A front as printed: what is handed out. */
typedef struct ph_printed {
    ph_decoded *list; /* n, the most active first */
    size_t n, made;   /* made: the list's texts, those dominated as printed behind the others */
    int64_t tokens;   /* that the plain passes sent forward */
} ph_printed;

/* The front of a row, re-scored by plain passes on the printed texts. */
ph_status ph__front_print(ph_printed *out, const ph_row *row, ph_scorer *scorer, ph_fluent *fluent,
                          const ph_job *job, double ordinary_norm, const ph_order *order,
                          ph_error *err);
void ph__front_close(ph_printed *p);

#endif
