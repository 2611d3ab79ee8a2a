/* descent.c — gradient descent on the input embedding, many rows at once. */
#include "search/descent.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
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

static const struct optimizer {
    const char *name;
    void (*step)(float *e, float *state, const float *g, double eta, int64_t step, size_t n);
} optimizers[] = {{"gd", step_gd}, {"adam", step_adam}};
enum { OPTIMIZERS = sizeof optimizers / sizeof *optimizers };

const char *ph_optimizer_name(size_t i)
{
    return i < OPTIMIZERS ? optimizers[i].name : NULL;
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
    ph_session *session;
    ph_row *rows;
    int64_t n, W;
    size_t C;
    float *E, *dE;    /* (n,T,C) */
    double *X, *dX;   /* (n,T,W) */
    float *state;     /* (n,2,T,C) of the optimiser */
    double *value;    /* (n) the objective at E */
    ph_near *nearest; /* (n,T) with a penalty */
    ph_softmax *softmax;
};

static void loop_close(struct loop *l)
{
    ph__softmax_close(&l->softmax);
    ph__free(l->E);
    ph__free(l->dE);
    ph__free(l->X);
    ph__free(l->dX);
    ph__free(l->state);
    ph__free(l->value);
    ph__free(l->nearest);
}

static ph_status loop_new(struct loop *l, ph_error *err)
{
    const size_t n = (size_t)(l->n * l->d->T), W = (size_t)l->W, size = (size_t)l->d->T * l->C;

    PH_TRY(PH_NEW(&l->E, n * l->C, err));
    PH_TRY(PH_NEW(&l->dE, n * l->C, err));
    PH_TRY(PH_NEW(&l->X, n * W, err));
    PH_TRY(PH_NEW(&l->dX, n * W, err));
    PH_TRY(PH_NEW(&l->state, 2 * n * l->C, err));
    PH_TRY(PH_NEW(&l->value, (size_t)l->n, err));
    for (size_t i = 0; i < (size_t)l->n; i++)
        memcpy(l->E + i * size, l->rows[i].e, size * sizeof *l->E);
    if (l->d->near_weight != 0) PH_TRY(PH_NEW(&l->nearest, n, err));
    if (!l->d->softmax) return PH_OK;
    PH_TRY(ph__softmax_open(&l->softmax, l->d->lexicon, (int64_t)n, err));
    return ph__softmax_start(l->softmax, l->E, err);
}

/* The penalty of every row's objective, and its gradient on top of dE (of dX's backward pass). */
static void add_penalty(struct loop *l, bool gradient)
{
    const int64_t T = l->d->T;
    const double weight = l->d->near_weight / (double)T;
    const float *W = ph__lexicon_rows(l->d->lexicon);
    for (int64_t i = 0; i < l->n * T; i++) {
        const float *w = W + (size_t)l->nearest[i].id * l->C;
        float *g = l->dE + (size_t)i * l->C;
        const float *e = l->E + (size_t)i * l->C;
        if (!gradient) l->value[i / T] += weight * l->nearest[i].value;
        for (size_t j = 0; gradient && j < l->C; j++) g[j] += (float)(2 * weight) * (e[j] - w[j]);
    }
}

/* Forward all rows, seed their gradients, and note activation and objective at `step`. */
static ph_status forward(struct loop *l, const ph_job *job, int64_t step, ph_error *err)
{
    const ph_descent *d = l->d;
    const int64_t size = d->T * l->W;

    ph__session_write(l->session, l->E, l->n);
    PH_TRY(ph__session_run(l->session, err));
    ph__session_read64(l->session, l->X);
    for (int64_t i = 0; i < l->n; i++) {
        const ph_row *r = &l->rows[i];
        const double *X = l->X + i * size;
        double *dX = l->dX + i * size;
        l->value[i] = r->wanted
                          ? ph__mismatch(dX, d->objective, r->wanted, &r->region, X, d->T, l->W)
                          : ph__objective(dX, d->objective, d->target, &r->region, X, d->T, l->W);
    }
    if (l->nearest) {
        PH_TRY(ph__lexicon_nearest(d->lexicon, l->nearest, l->E, l->n * d->T, job, err));
        add_penalty(l, false);
    }
    for (int64_t i = 0; i < l->n; i++) {
        ph_row *r = &l->rows[i];
        const double *X = l->X + i * size;
        const double a = r->wanted ? ph__distance(&r->region, X, r->wanted, l->W)
                                   : ph__measure(&r->region, NULL, X, d->T, l->W).activation;
        r->diverged |= !isfinite(a);
        r->curve[step] = r->diverged && step ? r->curve[step - 1] : a;
        if (r->objective)
            r->objective[step] = r->diverged && step ? r->objective[step - 1] : l->value[i];
    }
    return PH_OK;
}

static ph_status backward(struct loop *l, ph_error *err)
{
    PH_TRY(ph__session_back64(l->session, l->dX, err));
    ph__session_gradient(l->session, l->dE);
    if (l->nearest) add_penalty(l, true);
    return PH_OK;
}

static bool finite_row(const float *x, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * 0;
    return sum == 0;
}

/* Notice rows whose gradient is not finite; row.e keeps the last embedding that was good. */
static void keep_good(struct loop *l)
{
    const size_t size = (size_t)l->d->T * l->C;
    for (int64_t i = 0; i < l->n; i++) {
        float *e = l->E + (size_t)i * size, *g = l->dE + (size_t)i * size;
        ph_row *r = &l->rows[i];
        r->diverged |= !finite_row(g, size);
        if (r->diverged) { /* so that it disturbs nobody */
            memcpy(e, r->e, size * sizeof *e);
            memset(g, 0, size * sizeof *g);
        } else {
            memcpy(r->e, e, size * sizeof *e);
        }
    }
}

/* One step of every row that still goes. */
static ph_status update(struct loop *l, int64_t step, ph_error *err)
{
    const ph_descent *d = l->d;
    const size_t size = (size_t)d->T * l->C;
    const double eta =
        d->eta_first + (d->eta_last - d->eta_first) * (double)step / (double)d->steps;

    keep_good(l);
    if (l->softmax) return ph__softmax_step(l->softmax, l->E, l->dE, eta, err);
    for (int64_t i = 0; i < l->n; i++)
        if (!l->rows[i].diverged)
            optimizers[d->optimizer].step(l->E + (size_t)i * size, l->state + 2 * (size_t)i * size,
                                          l->dE + (size_t)i * size, eta, step, size);
    return PH_OK;
}

static ph_status keep_last(struct loop *l, const ph_job *job, ph_error *err)
{
    const size_t T = (size_t)l->d->T, size = T * l->C;
    int32_t *ids = NULL;

    for (int64_t i = 0; i < l->n; i++) {
        const float *e = l->E + (size_t)i * size;
        ph_row *r = &l->rows[i];
        if (!r->diverged && finite_row(e, size)) memcpy(r->e, e, size * sizeof *e);
        r->soft = r->curve[l->d->steps];
        r->forwards += (int64_t)T * (3 * l->d->steps + 1);
    }
    if (!l->softmax) return PH_OK;
    PH_TRY(PH_NEW(&ids, (size_t)l->n * T, err));
    ph__softmax_tokens(l->softmax, ids, job);
    for (size_t i = 0; i < (size_t)l->n; i++)
        if (l->rows[i].ids) memcpy(l->rows[i].ids, ids + i * T, T * sizeof *ids);
    ph__free(ids);
    return PH_OK;
}

ph_status ph__descend(ph_row *rows, int64_t n, const ph_descent *d, ph_session *session,
                      const ph_job *job, double *seconds, double *flops, double *first,
                      ph_error *err)
{
    ph_status st = PH_OK;
    struct loop l = {.d = d,
                     .session = session,
                     .rows = rows,
                     .n = n,
                     .W = ph__session_width(session),
                     .C = (size_t)job->model->arch.C};
    const double begin = ph__now();

    PH_GO(loop_new(&l, err));
    for (int64_t step = 0; step < d->steps; step++) {
        PH_GO(forward(&l, job, step, err));
        PH_GO(backward(&l, err));
        PH_GO(update(&l, step, err));
        if (*first == 0) *first = ph__now();
        PH_GO(ph__job_progress(job, "descent", (double)(step + 1) / (double)d->steps, err));
    }
    *seconds += ph__now() - begin;
    *flops += (double)d->steps *
              (ph_session_flops(session, n, false) + ph_session_flops(session, n, true));
    PH_GO(forward(&l, job, d->steps, err));
    PH_GO(keep_last(&l, job, err));
done:
    loop_close(&l);
    return st;
}
