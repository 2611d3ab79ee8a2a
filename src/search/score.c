/* score.c — the activation of a given text, and which of its tokens cause it. */
#include "base/mem.h"
#include "search/job.h"

#include <math.h>
#include <string.h>

/* What a given text is: its tokens and what stands before them. */
static ph_status take_text(ph_encoded *out, const ph_job *job, const ph_text *text, ph_error *err)
{
    const int64_t V = job->model->arch.V;
    ph_encoded e = {0};
    ph_status st = PH_OK;

    if (!text->ids) {
        PH_TRY(ph__job_encode(out, job, text->text, text->bytes, err));
        return PH_OK;
    }
    PH_GO(PH_NEW(&e.ids, text->n_ids, err));
    PH_GO(PH_NEW(&e.context, job->n_context, err));
    for (size_t i = 0; i < text->n_ids; i++) {
        if (text->ids[i] < 0 || text->ids[i] >= V) {
            st = ph__fail(err, PH_ERANGE, -1, "id %d: this model has 0 to %lld", text->ids[i],
                          (long long)V - 1);
            goto done;
        }
        e.ids[e.n++] = text->ids[i];
    }
    for (size_t i = 0; i < job->n_context; i++) e.context[e.n_context++] = job->context[i];
    *out = e;
    return PH_OK;
done:
    ph__encoded_close(&e);
    return st;
}

static ph_status open_text(ph_job *job, ph_encoded *e, const ph_model *model, const ph_text *text,
                           const ph_run_options *run, ph_error *err)
{
    PH_TRY(ph__job_open(job, model, run, err));
    PH_TRY(take_text(e, job, text, err));
    if (e->n == 0) return ph__fail(err, PH_ETEXT, -1, "the text has no tokens");
    return PH_OK;
}

/* ---- a text at a tap ---- */

/* A text run forward to a tap: what all features of that tap share. Text of n tokens of width C,
 * the tap's width W. */
struct attribution {
    ph_session *session;
    ph_tap tap;
    int64_t W;
    float *E, *dE;                   /* (n,C) */
    double *X, *dX;                  /* (n,W) */
    double *values, *norm, *product; /* (n) */
};

static void attribution_close(struct attribution *a)
{
    ph_session_close(&a->session);
    ph__free(a->E);
    ph__free(a->dE);
    ph__free(a->X);
    ph__free(a->dX);
    ph__free(a->values);
    ph__free(a->norm);
    ph__free(a->product);
    *a = (struct attribution){0};
}

static ph_status attribution_arrays(struct attribution *a, size_t n, size_t C, size_t W,
                                    bool gradient, ph_error *err)
{
    PH_TRY(PH_NEW(&a->values, n, err));
    PH_TRY(PH_NEW(&a->X, n * W, err));
    PH_TRY(PH_NEW(&a->E, n * C, err));
    if (!gradient) return PH_OK;
    PH_TRY(PH_NEW(&a->dE, n * C, err));
    PH_TRY(PH_NEW(&a->dX, n * W, err));
    PH_TRY(PH_NEW(&a->norm, n, err));
    return PH_NEW(&a->product, n, err);
}

static ph_status attribution_open(struct attribution *a, const ph_job *job, ph_tap tap,
                                  const ph_encoded *e, bool gradient, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;

    o.tap = a->tap = tap;
    o.tokens = (int64_t)e->n;
    o.context = e->context;
    o.n_context = e->n_context;
    o.gradient = gradient;
    PH_TRY(ph_session_open(&a->session, job->model, &o, err));
    a->W = ph__session_width(a->session);
    PH_TRY(attribution_arrays(a, e->n, (size_t)job->model->arch.C, (size_t)a->W, gradient, err));
    PH_TRY(ph_model_embed(job->model, a->E, e->ids, e->n, err));
    ph__session_write(a->session, a->E, 1);
    PH_TRY(ph__session_run(a->session, err));
    ph__session_read64(a->session, a->X);
    return PH_OK;
}

static void reduce_gradient(struct attribution *a, size_t n, size_t C)
{
    for (size_t t = 0; t < n; t++) {
        double squares = 0, product = 0;
        for (size_t i = 0; i < C; i++) {
            const double g = (double)a->dE[t * C + i];
            squares += g * g;
            product += g * (double)a->E[t * C + i];
        }
        a->norm[t] = sqrt(squares);
        a->product[t] = product;
    }
}

/* One feature: its values, and with `gradient` which tokens cause them. */
static ph_status report(struct attribution *a, const ph_job *job, const ph_feature *f,
                        const ph_encoded *e, bool gradient, ph_score_fn result, void *payload,
                        ph_error *err)
{
    ph_region region;
    const int64_t T = (int64_t)e->n;

    PH_TRY(ph__job_region(&region, job, f, T, err));
    if (!a->session || !ph__same_tap(a->tap, f->tap)) {
        attribution_close(a);
        PH_TRY(attribution_open(a, job, f->tap, e, gradient, err));
    }
    const ph_measured m = ph__measure(&region, a->values, a->X, T, a->W);
    if (!isfinite(m.activation))
        return ph__fail(err, PH_ENUMERIC, -1, "%s is NaN or infinite on this text", f->text);
    if (gradient) {
        ph__objective(a->dX, -1, 0, &region, a->X, T, a->W);
        PH_TRY(ph__session_back64(a->session, a->dX, err));
        ph__session_gradient(a->session, a->dE);
        reduce_gradient(a, e->n, (size_t)job->model->arch.C);
    }
    const ph_score_result r = {.feature = f,
                               .ids = e->ids,
                               .n = e->n,
                               .values = a->values,
                               .activation = m.activation,
                               .grad_norm = a->norm,
                               .grad_x_input = a->product};
    if (result(&r, payload)) return ph__fail(err, PH_ECANCELED, -1, "cancelled by the caller");
    return PH_OK;
}

static ph_status report_all(const ph_model *model, const ph_features *features, const ph_text *text,
                            const ph_run_options *options, bool gradient, ph_score_fn result,
                            void *payload, ph_error *err)
{
    ph_status st = PH_OK;
    ph_job job = {0};
    ph_encoded e = {0};
    struct attribution a = {0};
    const char *stage = gradient ? "attribute" : "score";
    const size_t count = ph_features_count(features);

    PH_GO(open_text(&job, &e, model, text, options, err));
    for (size_t i = 0; i < count; i++) {
        PH_GO(report(&a, &job, ph_features_at(features, i), &e, gradient, result, payload, err));
        PH_GO(ph__job_progress(&job, stage, (double)(i + 1) / (double)count, err));
    }
done:
    attribution_close(&a);
    ph__encoded_close(&e);
    ph__job_close(&job);
    return st;
}

ph_status ph_score(const ph_model *model, const ph_features *features, const ph_text *text,
                   const ph_run_options *options, ph_score_fn result, void *payload, ph_error *err)
{
    return report_all(model, features, text, options, false, result, payload, err);
}

ph_status ph_attribute(const ph_model *model, const ph_features *features, const ph_text *text,
                       const ph_run_options *options, ph_score_fn result, void *payload,
                       ph_error *err)
{
    return report_all(model, features, text, options, true, result, payload, err);
}
