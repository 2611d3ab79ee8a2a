/* descent.c — gradient descent on the input embedding, many rows at once. */
#include "search/descent.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

/* ---- starts: a row each; value of a normal z, or a token ---- */

static const struct start {
    const char *name;
    double mean, sd;
    bool rms;    /* sd counts in units of the embedding's root mean square */
    bool tokens; /* embeddings of random ordinary tokens */
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
        const int32_t id = job->ordinary[ph__rng_below(&rng, job->n_ordinary)];
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

/* Memory of a loop over n rows: everything that is (n,T,·). */
struct loop {
    float *E, *dE;  /* (n,T,C) */
    double *X, *dX; /* (n,T,W) */
    float *state;   /* (n,2,T,C) of the optimiser */
};

static void loop_close(struct loop *l)
{
    ph__free(l->E);
    ph__free(l->dE);
    ph__free(l->X);
    ph__free(l->dX);
    ph__free(l->state);
}

static ph_status loop_new(struct loop *l, size_t n, size_t C, size_t W, ph_error *err)
{
    PH_TRY(PH_NEW(&l->E, n * C, err));
    PH_TRY(PH_NEW(&l->dE, n * C, err));
    PH_TRY(PH_NEW(&l->X, n * W, err));
    PH_TRY(PH_NEW(&l->dX, n * W, err));
    return PH_NEW(&l->state, 2 * n * C, err);
}

/* Forward all rows and note the activation at `step` of their curves. */
static ph_status forward(struct loop *l, ph_row *rows, int64_t n, const ph_descent *d,
                         ph_session *s, int64_t step, ph_error *err)
{
    const int64_t W = ph__session_width(s);
    ph__session_write(s, l->E, n);
    PH_TRY(ph__session_run(s, err));
    ph__session_read64(s, l->X);
    for (int64_t i = 0; i < n; i++) {
        const double a =
            ph__measure(&rows[i].region, NULL, l->X + i * d->T * W, d->T, W).activation;
        rows[i].diverged |= !isfinite(a);
        rows[i].curve[step] = rows[i].diverged && step ? rows[i].curve[step - 1] : a;
    }
    return PH_OK;
}

static ph_status backward(struct loop *l, const ph_row *rows, int64_t n, const ph_descent *d,
                          ph_session *s, ph_error *err)
{
    const int64_t W = ph__session_width(s);
    for (int64_t i = 0; i < n; i++)
        ph__objective(l->dX + i * d->T * W, d->objective, d->target, &rows[i].region,
                      l->X + i * d->T * W, d->T, W);
    PH_TRY(ph__session_back64(s, l->dX, err));
    ph__session_gradient(s, l->dE);
    return PH_OK;
}

static bool finite_row(const float *x, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * 0;
    return sum == 0;
}

/* One step of every row that still goes; row.e keeps the last embedding that was good. */
static void update(struct loop *l, ph_row *rows, int64_t n, const ph_descent *d, size_t C,
                   int64_t step)
{
    const size_t size = (size_t)d->T * C;
    const double eta =
        d->eta_first + (d->eta_last - d->eta_first) * (double)step / (double)d->steps;
    for (int64_t i = 0; i < n; i++) {
        float *e = l->E + (size_t)i * size, *g = l->dE + (size_t)i * size;
        rows[i].diverged |= !finite_row(g, size);
        if (rows[i].diverged) {
            memcpy(e, rows[i].e, size * sizeof *e); /* so that it disturbs nobody */
            continue;
        }
        memcpy(rows[i].e, e, size * sizeof *e);
        optimizers[d->optimizer].step(e, l->state + 2 * (size_t)i * size, g, eta, step, size);
    }
}

static void keep_finite(struct loop *l, ph_row *rows, int64_t n, size_t size)
{
    for (int64_t i = 0; i < n; i++) {
        const float *e = l->E + (size_t)i * size;
        if (!rows[i].diverged && finite_row(e, size)) memcpy(rows[i].e, e, size * sizeof *e);
    }
}

ph_status ph__descend(ph_row *rows, int64_t n, const ph_descent *d, ph_session *session,
                      const ph_job *job, double *seconds, double *flops, double *first,
                      ph_error *err)
{
    ph_status st = PH_OK;
    struct loop l = {0};
    const size_t C = (size_t)job->model->arch.C, size = (size_t)d->T * C;
    const double begin = ph__now();

    PH_GO(loop_new(&l, (size_t)(n * d->T), C, (size_t)ph__session_width(session), err));
    for (int64_t i = 0; i < n; i++) memcpy(l.E + (size_t)i * size, rows[i].e, size * sizeof *l.E);
    for (int64_t step = 0; step < d->steps; step++) {
        PH_GO(forward(&l, rows, n, d, session, step, err));
        PH_GO(backward(&l, rows, n, d, session, err));
        update(&l, rows, n, d, C, step);
        if (*first == 0) *first = ph__now();
        PH_GO(ph__job_progress(job, "descent", (double)(step + 1) / (double)d->steps, err));
    }
    *seconds += ph__now() - begin;
    *flops += (double)d->steps *
              (ph_session_flops(session, n, false) + ph_session_flops(session, n, true));
    PH_GO(forward(&l, rows, n, d, session, d->steps, err));
    keep_finite(&l, rows, n, size);
done:
    loop_close(&l);
    return st;
}
