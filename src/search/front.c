/* front.c — the Pareto front of a feature's texts: activation against cross-entropy. */
#include "search/front.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

/* ---- while a search runs: a list in order of activation, so cross-entropy falls along it ---- */

static double gap(const ph_find *list, int32_t i)
{
    return fabs(list[i].activation - list[i + 1].activation);
}

/* Of the two that are closest one goes, but never an end. */
static void make_room(ph_quarry *q)
{
    int32_t least = 0, victim;
    for (int32_t i = 1; i + 1 < q->n_front; i++)
        if (gap(q->front, i) < gap(q->front, least)) least = i;
    victim = least + 2 < q->n_front ? least + 1 : least;
    q->n_front--;
    memmove(&q->front[victim], &q->front[victim + 1],
            (size_t)(q->n_front - victim) * sizeof *q->front);
}

static bool may_stand(const ph_hunt *h, const ph_find *f)
{
    return isfinite(f->activation) && isfinite(f->cross) && f->n >= h->task->shortest &&
           (!f->outlier || h->task->o->outliers != PH_OUTLIERS_DROP);
}

/* Outliers that rank last stand only as long as nothing else does. */
static bool gives_way(const ph_hunt *h, ph_quarry *q, const ph_find *f)
{
    if (h->task->o->outliers != PH_OUTLIERS_LAST || q->n_front == 0) return false;
    if (q->front[0].outlier && !f->outlier) q->n_front = 0;
    return q->n_front && f->outlier && !q->front[0].outlier;
}

void ph__front_show(const ph_hunt *h, ph_quarry *q, const ph_find *f)
{
    const int sign = h->task->job->run.sign;
    int32_t at = 0, end;

    if (!may_stand(h, f) || gives_way(h, q, f)) return;
    while (at < q->n_front && sign * q->front[at].activation > sign * f->activation) at++;
    if (at > 0 && q->front[at - 1].cross <= f->cross) return;
    if (at < q->n_front && q->front[at].activation == f->activation &&
        q->front[at].cross <= f->cross)
        return;
    for (end = at; end < q->n_front && q->front[end].cross >= f->cross;) end++;
    if (end == at && q->n_front == PH_FRONT) {
        make_room(q);
        ph__front_show(h, q, f);
        return;
    }
    memmove(&q->front[at + 1], &q->front[end], (size_t)(q->n_front - end) * sizeof *q->front);
    q->n_front += 1 - (end - at);
    q->front[at] = *f;
}

/* ---- as printed ---- */

static bool dominates(const ph_decoded *a, const ph_decoded *b, const ph_order *o)
{
    const double x = o->sign * ph__counted(a, o), y = o->sign * ph__counted(b, o);
    return x >= y && a->cross_entropy <= b->cross_entropy &&
           (x > y || a->cross_entropy < b->cross_entropy);
}

static bool equal(const ph_decoded *a, const ph_decoded *b, const ph_order *o)
{
    return ph__counted(a, o) == ph__counted(b, o) && a->cross_entropy == b->cross_entropy;
}

/* Whether the i-th text stands on the printed front. */
static bool stands(const ph_printed *p, size_t i, const ph_order *o)
{
    const ph_decoded *d = &p->list[i];
    if (d->violates || !isfinite(ph__counted(d, o)) || !isfinite(d->cross_entropy)) return false;
    for (size_t k = 0; k < p->made; k++)
        if ((!p->list[k].violates && dominates(&p->list[k], d, o)) ||
            (k < i && equal(&p->list[k], d, o)))
            return false;
    return true;
}

/* Those that stand to the front of the list, the most active first. */
static ph_status sort(ph_printed *p, const ph_order *o, ph_error *err)
{
    bool *on = NULL;

    PH_TRY(PH_NEW(&on, p->made, err));
    for (size_t i = 0; i < p->made; i++) on[i] = stands(p, i, o);
    for (size_t i = 0; i < p->made; i++) {
        const ph_decoded d = p->list[i];
        size_t at = p->n;
        if (!on[i]) continue;
        while (at > 0 && o->sign * ph__counted(&p->list[at - 1], o) < o->sign * ph__counted(&d, o))
            at--;
        /* what stood at i goes first, what lies between moves up by one */
        memmove(&p->list[at + 1], &p->list[at], (i - at) * sizeof d);
        p->list[at] = d;
        p->n++;
    }
    ph__free(on);
    return PH_OK;
}

ph_status ph__front_print(ph_printed *out, const ph_row *row, ph_scorer *scorer, ph_fluent *fluent,
                          const ph_job *job, double ordinary_norm, const ph_order *order,
                          ph_error *err)
{
    const size_t n = (size_t)row->n_front;

    *out = (ph_printed){0};
    PH_TRY(PH_NEW(&out->list, n, err));
    out->made = n;
    for (size_t i = 0; i < n; i++) {
        const ph_find *f = &row->front[i];
        ph_decoded *d = &out->list[i];
        *d = (ph_decoded){.ids = f->ids, .n = (size_t)f->n, .activation.soft = (double)NAN};
        for (int32_t t = 0; t < f->n; t++) d->special |= !job->is_ordinary[f->ids[t]];
    }
    ph_candidates set = {out->list, n, row->feature, fluent,
                         order->round_trip == PH_ROUND_TRIP_OFF};
    PH_TRY(ph__rescore(&set, 1, scorer, job, ordinary_norm, err));
    for (size_t i = 0; i < n; i++) out->tokens += ph__rescore_cost(&out->list[i], true);
    return sort(out, order, err);
}

void ph__front_close(ph_printed *p)
{
    for (size_t i = 0; i < p->made; i++) ph__decoded_close(&p->list[i]);
    ph__free(p->list);
    *p = (ph_printed){0};
}
