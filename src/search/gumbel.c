/* gumbel.c — descend on a distribution over tokens at each position, drawn from with Gumbel noise. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "search/method.h"
#include "search/slope.h"

#include <math.h>
#include <string.h>

#define STREAM ((uint64_t)3 << 40) /* of the noise, plus the restart */
enum {
    SAMPLES = 16
}; /* texts of each row that are tried in the end, the most probable one first */

/* A loop over n rows, T positions each, V tokens a position. */
struct gumbel {
    ph_task *task;
    const ph_descent *d;
    ph_row *rows;
    int64_t n;
    ph_slope slope;
    size_t V, wide; /* of a position; of a row's */
    float *x;       /* (n,T,V) logits, of allowed tokens */
    float *p;       /* (n,T,V) the distribution in use, 0 elsewhere; then the gradient on x */
    float *s;       /* (n,T,V) dE W^T */
    float *state;   /* (n,2,T,V) of the optimiser */
    float *E;       /* (n,T,C) p W */
    int32_t *ids;   /* (n,T) */
    ph_rng *rng;    /* (n) */
    double *best;   /* (n) */
};

static void gumbel_close(struct gumbel *z)
{
    ph__slope_close(&z->slope);
    ph__free(z->x);
    ph__free(z->p);
    ph__free(z->s);
    ph__free(z->state);
    ph__free(z->E);
    ph__free(z->ids);
    ph__free(z->rng);
    ph__free(z->best);
}

static ph_status gumbel_new(struct gumbel *z, ph_error *err)
{
    const size_t n = (size_t)z->n, T = (size_t)z->d->T, C = (size_t)z->task->job->model->arch.C;
    size_t size;

    z->V = (size_t)ph__lexicon_vocab(z->d->lexicon);
    z->wide = T * z->V;
    if (!ph__mul(&size, 2 * n, z->wide)) return ph__fail_memory(err, SIZE_MAX);
    PH_TRY(ph__slope_open(&z->slope, z->d, z->task->session, z->rows, z->n, z->task->job, err));
    PH_TRY(PH_NEW(&z->x, n * z->wide, err));
    PH_TRY(PH_NEW(&z->p, n * z->wide, err));
    PH_TRY(PH_NEW(&z->s, n * z->wide, err));
    PH_TRY(PH_NEW(&z->state, size, err));
    PH_TRY(PH_NEW(&z->E, n * T * C, err));
    PH_TRY(PH_NEW(&z->ids, n * T, err));
    PH_TRY(PH_NEW(&z->rng, n, err));
    PH_TRY(PH_NEW(&z->best, n, err));
    for (size_t i = 0; i < n; i++) {
        z->rng[i] = ph__rng(z->task->job->run.seed, STREAM + (uint64_t)z->rows[i].restart);
        memcpy(z->E + i * T * C, z->rows[i].e, T * C * sizeof *z->E);
    }
    return ph__lexicon_scores(z->d->lexicon, z->x, z->E, z->n * (int64_t)T, err);
}

/* Standard Gumbel noise; 23 bits, so that no u rounds to 1. */
static float noise_of(ph_rng *r)
{
    const float u = ((float)(ph__rng_next(r) >> 41) + 0.5f) * 0x1p-23f;
    return -logf(-logf(u));
}

/* p = softmax((x + noise) / tau) of one position; rng NULL: without noise. */
static void spread(const struct gumbel *z, float *p, const float *x, float tau, ph_rng *rng)
{
    const ph_job *job = z->task->job;
    float most = -INFINITY;
    double sum = 0;

    for (size_t k = 0; k < job->n_allowed; k++) {
        const int32_t t = job->allowed[k];
        p[t] = x[t] + (rng ? noise_of(rng) : 0);
        if (p[t] > most) most = p[t];
    }
    for (size_t k = 0; k < job->n_allowed; k++) {
        const int32_t t = job->allowed[k];
        p[t] = expf((p[t] - most) / tau);
        sum += (double)p[t];
    }
    for (size_t k = 0; k < job->n_allowed; k++) p[job->allowed[k]] /= (float)sum;
}

/* p has been used: it becomes p * (s - p·s) / tau, the gradient on x. */
static void turn(const struct gumbel *z, float *p, const float *s, float tau)
{
    const ph_job *job = z->task->job;
    double mean = 0;
    for (size_t k = 0; k < job->n_allowed; k++)
        mean += (double)p[job->allowed[k]] * (double)s[job->allowed[k]];
    for (size_t k = 0; k < job->n_allowed; k++) {
        const int32_t t = job->allowed[k];
        p[t] *= (s[t] - (float)mean) / tau;
    }
}

/* The temperature falls from 2 to 0.1 by equal factors. */
static float tau_at(int64_t step, int64_t steps)
{
    return (float)(2 * pow(0.05, (double)step / (double)steps));
}

/* Rows do not meet here: each has its own stream. */
static ph_status soften(struct gumbel *z, int64_t step, bool noise, ph_error *err)
{
    const float tau = tau_at(step, z->d->steps);
#pragma omp parallel for schedule(static) num_threads(z->task->job->model->backend->threads)
    for (int64_t i = 0; i < z->n; i++)
        for (int64_t t = 0; t < z->d->T; t++) {
            const size_t at = (size_t)(i * z->d->T + t) * z->V;
            spread(z, z->p + at, z->x + at, tau, noise ? &z->rng[i] : NULL);
        }
    PH_TRY(ph__lexicon_mix(z->d->lexicon, z->E, z->p, z->n * z->d->T, err));
    PH_TRY(ph__slope_run(&z->slope, z->rows, z->E, err));
    ph__slope_note(&z->slope, z->rows, step);
    return PH_OK;
}

static ph_status update(struct gumbel *z, int64_t step, ph_error *err)
{
    const float tau = tau_at(step, z->d->steps);

    ph__slope_keep(&z->slope, z->rows, z->E);
    PH_TRY(ph__lexicon_scores(z->d->lexicon, z->s, z->slope.dE, z->n * z->d->T, err));
#pragma omp parallel for schedule(static) num_threads(z->task->job->model->backend->threads)
    for (int64_t i = 0; i < z->n; i++) {
        const size_t at = (size_t)i * z->wide;
        if (z->rows[i].diverged) continue;
        for (int64_t t = 0; t < z->d->T; t++)
            turn(z, z->p + at + (size_t)t * z->V, z->s + at + (size_t)t * z->V, tau);
        ph__optimizer_step(z->d, z->x + at, z->state + 2 * at, z->p + at, step, z->wide);
    }
    return PH_OK;
}

/* Tokens of one row: of the largest logits, or a sample. */
static void draw(const struct gumbel *z, int32_t *ids, int64_t row, ph_rng *rng)
{
    const ph_job *job = z->task->job;
    for (int64_t t = 0; t < z->d->T; t++) {
        const float *x = z->x + (size_t)row * z->wide + (size_t)t * z->V;
        float most = -INFINITY;
        ids[t] = job->allowed[0];
        for (size_t k = 0; k < job->n_allowed; k++) {
            const float v = x[job->allowed[k]] + (rng ? noise_of(rng) : 0);
            if (!(v > most)) continue;
            most = v;
            ids[t] = job->allowed[k];
        }
    }
}

/* Each row's tokens: the best of its samples. */
static ph_status choose(struct gumbel *z, ph_error *err)
{
    const size_t T = (size_t)z->d->T;
    for (int sample = 0; sample < SAMPLES; sample++) {
        for (int64_t i = 0; i < z->n; i++)
            draw(z, z->ids + (size_t)i * T, i, sample ? &z->rng[i] : NULL);
        PH_TRY(ph_model_embed(z->task->job->model, z->E, z->ids, (size_t)z->n * T, err));
        PH_TRY(ph__slope_run(&z->slope, z->rows, z->E, err));
        for (size_t i = 0; i < (size_t)z->n; i++) {
            const double a = z->slope.activation[i], sign = z->rows[i].region.sign;
            if (sample && !(sign * a > sign * z->best[i])) continue;
            z->best[i] = a;
            memcpy(z->rows[i].ids, z->ids + i * T, T * sizeof *z->ids);
        }
    }
    return PH_OK;
}

/* The distribution without noise is the row's embedding. */
static ph_status finish(struct gumbel *z, ph_error *err)
{
    const size_t size = (size_t)(z->d->T * z->slope.C);

    PH_TRY(soften(z, z->d->steps, false, err));
    for (int64_t i = 0; i < z->n; i++) {
        ph_row *r = &z->rows[i];
        const float *e = z->E + (size_t)i * size;
        if (!r->diverged && ph__finite(e, size)) memcpy(r->e, e, size * sizeof *e);
        r->soft = r->curve[z->d->steps];
        r->forwards += z->d->T * (3 * z->d->steps + 1 + SAMPLES);
    }
    return choose(z, err);
}

ph_status ph__gumbel(ph_row *rows, int64_t n, ph_task *t, ph_error *err)
{
    ph_status st = PH_OK;
    struct gumbel z = {.task = t, .d = &t->descent, .rows = rows, .n = n};
    const int64_t steps = z.d->steps;
    const double begin = ph__now();

    PH_GO(gumbel_new(&z, err));
    for (int64_t step = 0; step < steps; step++) {
        PH_GO(soften(&z, step, true, err));
        PH_GO(ph__slope_back(&z.slope, err));
        PH_GO(update(&z, step, err));
        if (t->first == 0) t->first = ph__now();
        PH_GO(ph__job_progress(t->job, "gumbel", (double)(step + 1) / (double)steps, err));
    }
    ph__method_charge(t, n, begin);
    PH_GO(finish(&z, err));
done:
    gumbel_close(&z);
    return st;
}
