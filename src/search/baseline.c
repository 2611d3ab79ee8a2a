/* baseline.c — what random texts reach. */
#include "search/baseline.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

struct state {
    const ph_region *regions; /* count */
    size_t count, n_norms;
    double *activations; /* (count, texts) */
    double *norms;
    int64_t T;
};

static void visit(int64_t row, const double *X, int64_t W, void *payload)
{
    struct state *s = payload;
    for (size_t i = 0; i < s->count; i++)
        s->activations[i * PH_RANDOM_TEXTS + (size_t)row] =
            ph__measure(&s->regions[i], NULL, X, s->T, W).activation;
    for (int64_t t = s->T > 1 ? 1 : 0; t < s->T; t++) {
        double sum = 0;
        for (int64_t i = 0; i < W; i++) sum += X[t * W + i] * X[t * W + i];
        s->norms[s->n_norms++] = sqrt(sum);
    }
}

static ph_moments moments(const double *a, size_t n)
{
    ph_moments m = {0, 0, a[0], a[0]};
    for (size_t i = 0; i < n; i++) {
        m.mean += a[i] / (double)n;
        m.min = fmin(m.min, a[i]);
        m.max = fmax(m.max, a[i]);
    }
    for (size_t i = 0; i < n; i++) m.sd += (a[i] - m.mean) * (a[i] - m.mean);
    m.sd = sqrt(m.sd / (double)(n - 1));
    return m;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

ph_status ph__baseline(ph_moments *out, double *norm, ph_scorer *s, const ph_job *job,
                       const ph_feature *const *features, size_t count, int64_t T, ph_error *err)
{
    ph_status st = PH_OK;
    const size_t tokens = (size_t)(PH_RANDOM_TEXTS * T);
    ph_rng rng = ph__rng(job->run.seed, (uint64_t)1 << 40); /* far from the restarts' streams */
    struct state state = {.count = count, .T = T};
    ph_region *regions = NULL;
    int32_t *ids = NULL;

    PH_GO(PH_NEW(&regions, count, err));
    PH_GO(PH_NEW(&ids, tokens, err));
    PH_GO(PH_NEW(&state.norms, tokens, err));
    PH_GO(PH_NEW(&state.activations, count * PH_RANDOM_TEXTS, err));
    for (size_t i = 0; i < count; i++) PH_GO(ph__job_region(&regions[i], job, features[i], T, err));
    for (size_t i = 0; i < tokens; i++)
        ids[i] = job->ordinary[ph__rng_below(&rng, job->n_ordinary)];
    state.regions = regions;
    PH_GO(ph__scorer_texts(s, features[0], ids, PH_RANDOM_TEXTS, T, "random texts", visit, &state,
                           err));
    for (size_t i = 0; i < count; i++)
        out[i] = moments(state.activations + i * PH_RANDOM_TEXTS, PH_RANDOM_TEXTS);
    qsort(state.norms, state.n_norms, sizeof *state.norms, compare);
    *norm = state.norms[state.n_norms / 2];
done:
    ph__free(state.activations);
    ph__free(state.norms);
    ph__free(ids);
    ph__free(regions);
    return st;
}
