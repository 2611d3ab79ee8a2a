/* softmax.c — the page's prior: the input is a distribution over the vocabulary at each position. */
#include "search/softmax.h"

#include "base/mem.h"

#include <math.h>

struct ph_softmax {
    ph_lexicon *lexicon;
    int64_t n, V;
    float *x;        /* (n,V) */
    float *gradient; /* (n,V) */
};

ph_status ph__softmax_open(ph_softmax **out, ph_lexicon *lexicon, int64_t n, ph_error *err)
{
    ph_status st = PH_OK;
    ph_softmax *s = NULL;
    const int64_t V = ph__lexicon_vocab(lexicon);
    size_t size;

    if (!ph__mul(&size, (size_t)n, (size_t)V)) return ph__fail_memory(err, SIZE_MAX);
    PH_GO(PH_NEW(&s, 1, err));
    *s = (ph_softmax){.lexicon = lexicon, .n = n, .V = V};
    PH_GO(PH_NEW(&s->x, size, err));
    PH_GO(PH_NEW(&s->gradient, size, err));
    *out = s;
    s = NULL;
done:
    ph__softmax_close(&s);
    return st;
}

void ph__softmax_close(ph_softmax **softmax)
{
    if (!*softmax) return;
    ph__free((*softmax)->x);
    ph__free((*softmax)->gradient);
    ph__free(*softmax);
    *softmax = NULL;
}

static void softmax(float *x, int64_t V)
{
    float most = -INFINITY;
    double sum = 0;
    for (int64_t t = 0; t < V; t++) most = x[t] > most ? x[t] : most;
    for (int64_t t = 0; t < V; t++) {
        x[t] = expf(x[t] - most);
        sum += (double)x[t];
    }
    for (int64_t t = 0; t < V; t++) x[t] = (float)((double)x[t] / sum);
}

ph_status ph__softmax_start(ph_softmax *s, float *e, ph_error *err)
{
    PH_TRY(ph__lexicon_scores(s->lexicon, s->x, e, s->n, err));
    for (int64_t i = 0; i < s->n; i++) softmax(s->x + i * s->V, s->V);
    return ph__lexicon_mix(s->lexicon, e, s->x, s->n, err);
}

ph_status ph__softmax_step(ph_softmax *s, float *e, const float *dE, double eta, ph_error *err)
{
    PH_TRY(ph__lexicon_scores(s->lexicon, s->gradient, dE, s->n, err));
    for (int64_t i = 0; i < s->n; i++) {
        float *x = s->x + i * s->V;
        const float *g = s->gradient + i * s->V;
        for (int64_t t = 0; t < s->V; t++) x[t] -= (float)eta * g[t];
        softmax(x, s->V);
    }
    return ph__lexicon_mix(s->lexicon, e, s->x, s->n, err);
}

void ph__softmax_tokens(const ph_softmax *s, int32_t *ids, const ph_job *job)
{
    for (int64_t i = 0; i < s->n; i++) {
        const float *x = s->x + i * s->V;
        ids[i] = job->allowed[0];
        for (size_t k = 1; k < job->n_allowed; k++)
            if (x[job->allowed[k]] > x[ids[i]]) ids[i] = job->allowed[k];
    }
}
