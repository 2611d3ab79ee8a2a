/* descent.c — gradient descent on the input embedding, many rows at once. */
#include "search/descent.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "search/slope.h"
#include "search/softmax.h"

#include <math.h>
#include <string.h>

/* ---- starts: a row each; value of a normal z, or a token ---- */

static const struct start {
    const char *name;
    double mean, sd;
    bool rms;    /* sd counts in units of the embedding's root mean square */
    bool tokens; /* embeddings of random allowed tokens */
} starts[] = {{"half", 0.5, 0.05, false, false},
              {"normal", 0, 1, false, false},
              {"rms", 0, 1, true, false},
              {"tokens", 0, 0, false, true}};
enum { STARTS = sizeof starts / sizeof *starts };

const char *ph_start_name(size_t i)
{
    return i < STARTS ? starts[i].name : i == STARTS ? "text:" : NULL;
}

ph_status ph__start_fill(float *e, const ph_job *job, const char *start, int64_t T, int64_t restart,
                         ph_error *err)
{
    const struct start *s = NULL;
    const size_t C = (size_t)job->model->arch.C, n = (size_t)T * C;
    ph_rng rng = ph__rng(job->run.seed, (uint64_t)restart);
    double sd;

    for (size_t i = 0; i < STARTS; i++)
        if (strcmp(start, starts[i].name) == 0) s = &starts[i];
    if (!s)
        return ph__fail(err, PH_EINVAL, -1,
                        "start \"%s\": expected half, normal, rms, tokens or text:…", start);
    for (int64_t t = 0; s->tokens && t < T; t++) {
        const int32_t id = job->allowed[ph__rng_below(&rng, job->n_allowed)];
        PH_TRY(ph_model_embed(job->model, e + (size_t)t * C, &id, 1, err));
    }
    if (s->tokens) return PH_OK;
    sd = s->sd;
    if (s->rms) {
        const float *W;
        double rms = 0;
        PH_TRY(ph__model_embedding(&W, &rms, job->model, err));
        sd *= rms;
    }
    for (size_t i = 0; i < n; i++) e[i] = (float)(s->mean + sd * ph__rng_normal(&rng));
    return PH_OK;
}

/* ---- optimisers: a row each. state (2,n) is zero at first; step counts from 0 ---- */

static void step_gd(float *e, float *state, const float *g, double eta, int64_t step, size_t n)
{
    (void)state, (void)step;
    for (size_t i = 0; i < n; i++) e[i] -= (float)eta * g[i];
}

/* Kingma & Ba 2014, beta 0.9 and 0.999. */
static void step_adam(float *e, float *state, const float *g, double eta, int64_t step, size_t n)
{
    const float c1 = (float)(1 - pow(0.9, (double)(step + 1)));
    const float c2 = (float)(1 - pow(0.999, (double)(step + 1)));
    float *m = state, *v = state + n;
    for (size_t i = 0; i < n; i++) {
        m[i] = 0.9f * m[i] + 0.1f * g[i];
        v[i] = 0.999f * v[i] + 0.001f * g[i] * g[i];
        e[i] -= (float)eta * (m[i] / c1) / (sqrtf(v[i] / c2) + 1e-8f);
    }
}

/* Loshchilov & Hutter 2017, decay 0.1. */
static void step_adamw(float *e, float *state, const float *g, double eta, int64_t step, size_t n)
{
    const float keep = (float)(1 - 0.1 * eta);
    for (size_t i = 0; i < n; i++) e[i] *= keep;
    step_adam(e, state, g, eta, step, n);
}

static const struct optimizer {
    const char *name;
    void (*step)(float *e, float *state, const float *g, double eta, int64_t step, size_t n);
} optimizers[] = {{"gd", step_gd}, {"adam", step_adam}, {"adamw", step_adamw}};
enum { OPTIMIZERS = sizeof optimizers / sizeof *optimizers };

const char *ph_optimizer_name(size_t i)
{
    return i < OPTIMIZERS ? optimizers[i].name : NULL;
}

double ph__eta(const ph_descent *d, int64_t step)
{
    return d->eta_first + (d->eta_last - d->eta_first) * (double)step / (double)d->steps;
}

void ph__optimizer_step(const ph_descent *d, float *e, float *state, const float *g, int64_t step,
                        size_t n)
{
    optimizers[d->optimizer].step(e, state, g, ph__eta(d, step), step, n);
}

int ph__optimizer_find(const char *name)
{
    for (int i = 0; i < OPTIMIZERS; i++)
        if (strcmp(optimizers[i].name, name) == 0) return i;
    return -1;
}

/* ---- the loop ---- */

/* A loop over n rows: everything that is (n,T,·). */
struct loop {
    const ph_descent *d;
    ph_row *rows;
    ph_slope slope;
    size_t size;      /* of a row's embedding */
    float *E;         /* (n,T,C) */
    float *state;     /* (n,2,T,C) of the optimiser */
    ph_near *nearest; /* (n,T) with a penalty */
    ph_softmax *softmax;
};

static void loop_close(struct loop *l)
{
    ph__softmax_close(&l->softmax);
    ph__slope_close(&l->slope);
    ph__free(l->E);
    ph__free(l->state);
    ph__free(l->nearest);
}

static ph_status loop_new(struct loop *l, ph_session *session, const ph_job *job, int64_t n,
                          ph_error *err)
{
    PH_TRY(ph__slope_open(&l->slope, l->d, session, l->rows, n, job, err));
    l->size = (size_t)(l->d->T * l->slope.C);
    PH_TRY(PH_NEW(&l->E, (size_t)n * l->size, err));
    PH_TRY(PH_NEW(&l->state, 2 * (size_t)n * l->size, err));
    for (size_t i = 0; i < (size_t)n; i++)
        memcpy(l->E + i * l->size, l->rows[i].e, l->size * sizeof *l->E);
    if (l->d->near_weight != 0) PH_TRY(PH_NEW(&l->nearest, (size_t)(n * l->d->T), err));
    if (!l->d->softmax) return PH_OK;
    PH_TRY(ph__softmax_open(&l->softmax, l->d->lexicon, n * l->d->T, err));
    return ph__softmax_start(l->softmax, l->E, err);
}

/* The penalty of every row's objective, and its gradient on top of dE (of dX's backward pass). */
static void add_penalty(struct loop *l, bool gradient)
{
    const int64_t T = l->d->T, C = l->slope.C;
    const double weight = l->d->near_weight / (double)T;
    const float *W = ph__lexicon_rows(l->d->lexicon);
    for (int64_t i = 0; i < l->slope.n * T; i++) {
        const float *w = W + l->nearest[i].id * C, *e = l->E + i * C;
        float *g = l->slope.dE + i * C;
        if (!gradient) l->slope.value[i / T] += weight * l->nearest[i].value;
        for (int64_t j = 0; gradient && j < C; j++) g[j] += (float)(2 * weight) * (e[j] - w[j]);
    }
}

/* Forward all rows, seed their gradients, and note activation and objective at `step`. */
static ph_status forward(struct loop *l, int64_t step, ph_error *err)
{
    PH_TRY(ph__slope_run(&l->slope, l->rows, l->E, err));
    if (l->nearest) {
        PH_TRY(ph__lexicon_nearest(l->d->lexicon, l->nearest, l->E, l->slope.n * l->d->T,
                                   l->slope.job, err));
        add_penalty(l, false);
    }
    ph__slope_note(&l->slope, l->rows, step);
    return PH_OK;
}

static ph_status backward(struct loop *l, ph_error *err)
{
    PH_TRY(ph__slope_back(&l->slope, err));
    if (l->nearest) add_penalty(l, true);
    return PH_OK;
}

/* One step of every row that still goes. */
static ph_status update(struct loop *l, int64_t step, ph_error *err)
{
    const ph_descent *d = l->d;

    ph__slope_keep(&l->slope, l->rows, l->E);
    if (l->softmax) return ph__softmax_step(l->softmax, l->E, l->slope.dE, ph__eta(d, step), err);
    for (size_t i = 0; i < (size_t)l->slope.n; i++)
        if (!l->rows[i].diverged)
            ph__optimizer_step(d, l->E + i * l->size, l->state + 2 * i * l->size,
                               l->slope.dE + i * l->size, step, l->size);
    return PH_OK;
}

static ph_status keep_last(struct loop *l, ph_error *err)
{
    const size_t T = (size_t)l->d->T, n = (size_t)l->slope.n;
    int32_t *ids = NULL;

    for (size_t i = 0; i < n; i++) {
        const float *e = l->E + i * l->size;
        ph_row *r = &l->rows[i];
        if (!r->diverged && ph__finite(e, l->size)) memcpy(r->e, e, l->size * sizeof *e);
        r->soft = r->curve[l->d->steps];
        r->forwards += (int64_t)T * (3 * l->d->steps + 1);
    }
    if (!l->softmax) return PH_OK;
    PH_TRY(PH_NEW(&ids, n * T, err));
    ph__softmax_tokens(l->softmax, ids, l->slope.job);
    for (size_t i = 0; i < n; i++)
        if (l->rows[i].ids) memcpy(l->rows[i].ids, ids + i * T, T * sizeof *ids);
    ph__free(ids);
    return PH_OK;
}

ph_status ph__descend(ph_row *rows, int64_t n, const ph_descent *d, ph_session *session,
                      const ph_job *job, double *seconds, double *flops, double *first,
                      ph_error *err)
{
    ph_status st = PH_OK;
    struct loop l = {.d = d, .rows = rows};
    const double begin = ph__now();

    PH_GO(loop_new(&l, session, job, n, err));
    for (int64_t step = 0; step < d->steps; step++) {
        PH_GO(forward(&l, step, err));
        PH_GO(backward(&l, err));
        PH_GO(update(&l, step, err));
        if (*first == 0) *first = ph__now();
        PH_GO(ph__job_progress(job, "descent", (double)(step + 1) / (double)d->steps, err));
    }
    *seconds += ph__now() - begin;
    *flops += (double)d->steps * 2 * ph_session_flops(session, n);
    PH_GO(forward(&l, d->steps, err));
    PH_GO(keep_last(&l, err));
done:
    loop_close(&l);
    return st;
}
