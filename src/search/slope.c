/* slope.c — activation, objective and gradient of many rows at once: what every descent asks for. */
#include "search/slope.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

/* The session need not compute components of the tap's output that no row looks at. */
static ph_status narrow(const ph_slope *s, const ph_row *rows, ph_error *err)
{
    bool *looked = NULL;
    int64_t *columns = NULL, n = 0;
    ph_status st = PH_OK;

    PH_GO(PH_NEW(&looked, (size_t)s->W, err));
    PH_GO(PH_NEW(&columns, (size_t)s->W, err));
    for (int64_t i = 0; i < s->n; i++) {
        const ph_region *r = &rows[i].region;
        const bool local = ph__objective_local(s->d->objective, r);
        const int64_t begin = local ? r->begin : 0, end = local ? r->end : s->W;
        for (int64_t c = begin; c < end; c++) looked[c] = true;
    }
    for (int64_t c = 0; c < s->W; c++)
        if (looked[c]) columns[n++] = c;
    PH_GO(ph__session_columns(s->session, columns, n, err));
done:
    ph__free(columns);
    ph__free(looked);
    return st;
}

ph_status ph__slope_open(ph_slope *out, const ph_descent *d, ph_session *session,
                         const ph_row *rows, int64_t n, const ph_job *job, ph_error *err)
{
    const int64_t T = d->T, C = job->model->arch.C, W = ph__session_width(session);

    *out = (ph_slope){.d = d, .session = session, .job = job, .n = n, .T = T, .C = C, .W = W};
    PH_TRY(PH_NEW(&out->X, (size_t)(n * T * W), err));
    PH_TRY(PH_NEW(&out->dX, (size_t)(n * T * W), err));
    PH_TRY(PH_NEW(&out->dE, (size_t)(n * T * C), err));
    PH_TRY(PH_NEW(&out->activation, (size_t)n, err));
    PH_TRY(PH_NEW(&out->value, (size_t)n, err));
    return narrow(out, rows, err);
}

void ph__slope_close(ph_slope *s)
{
    if (s->session)
        (void)ph__session_columns(s->session, NULL, 0, NULL); /* to give back never fails */
    ph__free(s->X);
    ph__free(s->dX);
    ph__free(s->dE);
    ph__free(s->activation);
    ph__free(s->value);
}

static void measure(ph_slope *s, const ph_row *r, int64_t i)
{
    const ph_descent *d = s->d;
    const double *X = s->X + i * s->T * s->W;
    double *dX = s->dX + i * s->T * s->W;

    if (r->wanted) {
        s->value[i] = ph__mismatch(dX, d->objective, r->wanted, &r->region, X, s->T, s->W);
        s->activation[i] = ph__distance(&r->region, X, r->wanted, s->W);
    } else {
        s->value[i] = ph__objective(dX, d->objective, d->target, &r->region, X, s->T, s->W);
        s->activation[i] = ph__measure(&r->region, NULL, X, s->T, s->W).activation;
    }
}

ph_status ph__slope_run(ph_slope *s, const ph_row *rows, const float *E, ph_error *err)
{
    ph__session_write(s->session, E, s->n);
    PH_TRY(ph__session_run(s->session, err));
    ph__session_read64(s->session, s->X);
    for (int64_t i = 0; i < s->n; i++) measure(s, &rows[i], i);
    return PH_OK;
}

ph_status ph__slope_back(ph_slope *s, ph_error *err)
{
    PH_TRY(ph__session_back64(s->session, s->dX, err));
    ph__session_gradient(s->session, s->dE);
    return PH_OK;
}

/* The best of each feature's rows, which stand together. */
static void offer_glimpses(const ph_slope *s, const ph_row *rows, int64_t step)
{
    const ph_job *job = s->job;
    double best = 0;
    for (int64_t i = 0; job->glimpse && i < s->n; i++) {
        const ph_row *r = &rows[i];
        const double a = r->curve[step], sign = r->region.sign;
        const bool first = i == 0 || rows[i - 1].feature != r->feature;
        if (first || sign * a > sign * best) best = a;
        if (i + 1 == s->n || rows[i + 1].feature != r->feature)
            job->glimpse(&(ph_glimpse){r->feature, NULL, 0, best, 0}, job->glimpse_payload);
    }
}

void ph__slope_note(const ph_slope *s, ph_row *rows, int64_t step)
{
    for (int64_t i = 0; i < s->n; i++) {
        ph_row *r = &rows[i];
        const bool again = (r->diverged |= !isfinite(s->activation[i])) && step;
        r->curve[step] = again ? r->curve[step - 1] : s->activation[i];
        if (r->objective) r->objective[step] = again ? r->objective[step - 1] : s->value[i];
    }
    offer_glimpses(s, rows, step);
}

bool ph__finite(const float *x, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * 0;
    return sum == 0;
}

void ph__slope_keep(ph_slope *s, ph_row *rows, float *E)
{
    const size_t size = (size_t)(s->T * s->C);
    for (int64_t i = 0; i < s->n; i++) {
        float *e = E + (size_t)i * size, *g = s->dE + (size_t)i * size;
        ph_row *r = &rows[i];
        r->diverged |= !ph__finite(g, size) || !ph__finite(e, size);
        if (r->diverged) {
            memcpy(e, r->e, size * sizeof *e);
            memset(g, 0, size * sizeof *g);
        } else {
            memcpy(r->e, e, size * sizeof *e);
        }
    }
}
