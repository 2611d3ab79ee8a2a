/* specific.c — whether a text is a feature's own. */
#include "search/specific.h"

#include <math.h>

struct measure {
    const ph_corpus *corpus;
    const ph_feature *f;
    const ph_region *r;
    int64_t T;
    ph_specificity *out;
};

/* In the direction of the region's sign; NaN where the corpus says nothing. */
static double standardised(const struct measure *m, const double *X, int64_t W, int64_t component)
{
    ph_region r = *m->r;
    ph_corpus_stat stat;
    if (!ph_corpus_get(m->corpus, m->f->tap, component, &stat) || !(stat.sd > 0))
        return (double)NAN;
    r.begin = component;
    r.end = component + 1;
    return r.sign * (ph__measure(&r, NULL, X, m->T, W).activation - stat.mean) / stat.sd;
}

static void visit(int64_t row, const double *X, int64_t W, void *payload)
{
    const struct measure *m = payload;
    ph_specificity out = {.z = standardised(m, X, W, m->f->components.begin), .rank = 1};
    (void)row;
    if (!isfinite(out.z)) return;
    for (int64_t i = 0; i < W; i++) {
        const double z = standardised(m, X, W, i);
        out.rank += z > out.z;
        out.of += isfinite(z);
    }
    *m->out = out;
}

ph_status ph__specificity(ph_specificity *out, ph_scorer *s, const ph_job *job,
                          const ph_corpus *corpus, const ph_feature *f, const int32_t *ids,
                          size_t n, ph_error *err)
{
    ph_region r;
    struct measure m = {corpus, f, &r, (int64_t)n, out};
    const bool place = f->tap.place == PH_PLACE_BLOCK || f->tap.place == PH_PLACE_NEURON;

    *out = (ph_specificity){.z = (double)NAN};
    if (!corpus || !place || f->tap.only || f->n_terms ||
        f->components.end != f->components.begin + 1)
        return PH_OK;
    if (n == 0 || ph__job_region(&r, job, f, (int64_t)n, NULL) != PH_OK) return PH_OK;
    return ph__scorer_texts(s, f, ids, 1, (int64_t)n, "specificity", visit, &m, err);
}
