/* pez.c — descend on an embedding by the gradient at the tokens nearest to it. */
#include "base/clock.h"
#include "base/mem.h"
#include "search/method.h"
#include "search/slope.h"

#include <string.h>

/* A loop over n rows: everything that is (n,T,·). */
struct pez {
    ph_task *task;
    const ph_descent *d;
    ph_row *rows;
    int64_t n;
    ph_slope slope;
    size_t size;      /* of a row's embedding */
    float *E, *P;     /* (n,T,C) the embedding, and the tokens nearest to it */
    float *state;     /* (n,2,T,C) of the optimiser */
    ph_near *nearest; /* (n,T) those tokens */
    int32_t *ids;     /* (n,T) */
    double *best;     /* (n) the activation of the rows' ids */
};

static void pez_close(struct pez *z)
{
    ph__slope_close(&z->slope);
    ph__free(z->E);
    ph__free(z->P);
    ph__free(z->state);
    ph__free(z->nearest);
    ph__free(z->ids);
    ph__free(z->best);
}

static ph_status pez_new(struct pez *z, ph_error *err)
{
    const size_t n = (size_t)z->n, T = (size_t)z->d->T;

    PH_TRY(ph__slope_open(&z->slope, z->d, z->task->session, z->rows, z->n, z->task->job, err));
    z->size = T * (size_t)z->slope.C;
    PH_TRY(PH_NEW(&z->E, n * z->size, err));
    PH_TRY(PH_NEW(&z->P, n * z->size, err));
    PH_TRY(PH_NEW(&z->state, 2 * n * z->size, err));
    PH_TRY(PH_NEW(&z->nearest, n * T, err));
    PH_TRY(PH_NEW(&z->ids, n * T, err));
    PH_TRY(PH_NEW(&z->best, n, err));
    for (size_t i = 0; i < n; i++) memcpy(z->E + i * z->size, z->rows[i].e, z->size * sizeof *z->E);
    return PH_OK;
}

static ph_status project(struct pez *z, ph_error *err)
{
    const int64_t n = z->n * z->d->T;
    PH_TRY(ph__lexicon_alike(z->d->lexicon, z->nearest, z->E, n, z->task->job, err));
    for (int64_t i = 0; i < n; i++) z->ids[i] = z->nearest[i].id;
    return ph_model_embed(z->task->job->model, z->P, z->ids, (size_t)n, err);
}

/* Each row keeps the best of the tokens it has been near to. */
static void keep_best(struct pez *z, int64_t step)
{
    const size_t T = (size_t)z->d->T;
    for (size_t i = 0; i < (size_t)z->n; i++) {
        const double a = z->slope.activation[i], sign = z->rows[i].region.sign;
        if (step && !(sign * a > sign * z->best[i])) continue;
        z->best[i] = a;
        memcpy(z->rows[i].ids, z->ids + i * T, T * sizeof *z->ids);
    }
}

static ph_status evaluate(struct pez *z, int64_t step, ph_error *err)
{
    PH_TRY(project(z, err));
    PH_TRY(ph__slope_run(&z->slope, z->rows, z->P, err));
    ph__slope_note(&z->slope, z->rows, step);
    keep_best(z, step);
    return PH_OK;
}

static void update(struct pez *z, int64_t step)
{
    ph__slope_keep(&z->slope, z->rows, z->E);
    for (size_t i = 0; i < (size_t)z->n; i++)
        if (!z->rows[i].diverged)
            ph__optimizer_step(z->d, z->E + i * z->size, z->state + 2 * i * z->size,
                               z->slope.dE + i * z->size, step, z->size);
}

/* What the embedding itself gives in the end. */
static ph_status finish(struct pez *z, ph_error *err)
{
    memset(z->slope.dE, 0, (size_t)z->n * z->size * sizeof *z->slope.dE);
    ph__slope_keep(&z->slope, z->rows, z->E);
    PH_TRY(ph__slope_run(&z->slope, z->rows, z->E, err));
    for (int64_t i = 0; i < z->n; i++) {
        z->rows[i].soft = z->slope.activation[i];
        z->rows[i].forwards += z->d->T * (3 * z->d->steps + 2);
    }
    return PH_OK;
}

ph_status ph__pez(ph_row *rows, int64_t n, ph_task *t, ph_error *err)
{
    ph_status st = PH_OK;
    struct pez z = {.task = t, .d = &t->descent, .rows = rows, .n = n};
    const int64_t steps = z.d->steps;
    const double begin = ph__now();

    PH_GO(pez_new(&z, err));
    for (int64_t step = 0; step < steps; step++) {
        PH_GO(evaluate(&z, step, err));
        PH_GO(ph__slope_back(&z.slope, err));
        update(&z, step);
        if (t->first == 0) t->first = ph__now();
        PH_GO(ph__job_progress(t->job, "pez", (double)(step + 1) / (double)steps, err));
    }
    ph__method_charge(t, n, begin);
    PH_GO(evaluate(&z, steps, err));
    PH_GO(finish(&z, err));
done:
    pez_close(&z);
    return st;
}
