/* plain.h — for tests: whole texts through a model, in double, one at a time, nothing shared.
 *
 * The context is run in front of every text as tokens like any other.
 */
#ifndef PLAIN_H
#define PLAIN_H

#include "search/job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLAIN_TOKENS = 16 };

static inline void must(ph_status st, const ph_error *err)
{
    if (st == PH_OK) return;
    fprintf(stderr, "%s\n", err->msg);
    exit(1);
}

static inline double *room(int64_t n)
{
    double *p = calloc((size_t)n, sizeof *p);
    if (!p) exit(1);
    return p;
}

/* A tap for texts of n tokens. */
struct plain {
    const ph_job *job;
    ph_session *session;
    int64_t P, n, T, C, W; /* T = P + n */
    double *E, *X, *dE;    /* (T,C), (T,W), (T,C) */
};

static inline void plain_open(struct plain *p, const ph_job *job, ph_tap tap, int64_t n)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_error err = {0};

    *p = (struct plain){.job = job, .P = (int64_t)job->n_context, .n = n, .C = job->model->arch.C};
    p->T = p->P + n;
    p->W = ph_place_width(ph_model_get_info(job->model), tap.place);
    o.tap = tap;
    o.tokens = p->T;
    o.gradient = true;
    must(ph_session_open(&p->session, job->model, &o, &err), &err);
    p->E = room(p->T * p->C);
    p->X = room(p->T * p->W);
    p->dE = room(p->T * p->C);
}

static inline void plain_close(struct plain *p)
{
    ph_session_close(&p->session);
    free(p->E);
    free(p->X);
    free(p->dE);
}

static inline void plain_embed(struct plain *p, const int32_t *ids)
{
    float E[PLAIN_TOKENS * 128];
    int32_t all[PLAIN_TOKENS];
    ph_error err = {0};

    if (p->T > PLAIN_TOKENS || p->C > 128) exit(1);
    memcpy(all, p->job->context, (size_t)p->P * sizeof *all);
    memcpy(all + p->P, ids, (size_t)p->n * sizeof *all);
    must(ph_model_embed(p->job->model, E, all, (size_t)p->T, &err), &err);
    for (int64_t i = 0; i < p->T * p->C; i++) p->E[i] = (double)E[i];
}

static inline void plain_run(struct plain *p)
{
    ph_error err = {0};
    ph__session_write64(p->session, p->E, 1);
    must(ph__session_run(p->session, &err), &err);
    ph__session_read64(p->session, p->X);
}

/* The gradient with respect to the text's embeddings (n,C) for dX (T,W). */
static inline const double *plain_back(struct plain *p, const double *dX)
{
    ph_error err = {0};
    must(ph__session_back64(p->session, dX, &err), &err);
    ph__session_gradient64(p->session, p->dE);
    return p->dE + p->P * p->C;
}

/* ln p (n,V) of every token at every position, 0 where nothing stands before it; of a tap at the logits
 * that has run. */
static inline void plain_log_p(const struct plain *p, double *out)
{
    for (int64_t t = 0; t < p->n; t++) {
        const double *s = p->X + (p->P + t - 1) * p->W;
        double z = 0;
        for (int64_t v = 0; v < p->W; v++) out[t * p->W + v] = 0;
        if (p->P + t == 0) continue;
        for (int64_t v = 0; v < p->W; v++) z += exp(s[v]);
        for (int64_t v = 0; v < p->W; v++) out[t * p->W + v] = s[v] - log(z);
    }
}

static inline int64_t plain_counted(const struct plain *p)
{
    return p->n - (p->P == 0);
}

#endif
