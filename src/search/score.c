/* score.c — the activation of a given text, and which of its tokens cause it. */
#include "base/mem.h"
#include "search/scorer.h"

#include <math.h>
#include <string.h>

/* Features of one tap on a text, which is run forward to it once. Text of n tokens of width C, the
 * tap's width W. */
struct attribution {
    const ph_job *job;
    const int32_t *ids; /* n, borrowed */
    size_t n;
    const ph_feature **features; /* count */
    ph_region *regions;          /* count */
    size_t count;
    ph_session *session;
    int64_t W;
    double *X;      /* (n,W) */
    double *values; /* (n) */
    double *post;   /* (n) behind the nonlinearity of SAEs */
    /* ---- with gradient */
    float *E, *dE;             /* (n,C) */
    double *dX;                /* (n,W) */
    double *occluded;          /* (count,n) activations with a token replaced; NULL: by what? */
    double *norm, *product;    /* (n) */
    double *occlusion, *share; /* (n) */
};

static void attribution_close(struct attribution *a)
{
    ph_session_close(&a->session);
    ph__free(a->features);
    ph__free(a->regions);
    ph__free(a->X);
    ph__free(a->values);
    ph__free(a->post);
    ph__free(a->E);
    ph__free(a->dE);
    ph__free(a->dX);
    ph__free(a->occluded);
    ph__free(a->norm);
    ph__free(a->product);
    ph__free(a->occlusion);
    ph__free(a->share);
    *a = (struct attribution){0};
}

static ph_status choose_features(struct attribution *a, const ph_features *features, size_t first,
                                 ph_error *err)
{
    PH_TRY(PH_NEW(&a->features, ph_features_count(features) - first, err));
    a->count = ph__same_tap_run(features, first, a->features);
    PH_TRY(PH_NEW(&a->regions, a->count, err));
    for (size_t i = 0; i < a->count; i++)
        PH_TRY(ph__job_region(&a->regions[i], a->job, a->features[i], (int64_t)a->n, err));
    return PH_OK;
}

static ph_status run_text(struct attribution *a, bool gradient, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    const ph_job *job = a->job;

    ph__session_at(&o, a->features[0]);
    o.tokens = (int64_t)a->n;
    o.context = job->context;
    o.n_context = job->n_context;
    o.gradient = gradient;
    PH_TRY(ph_session_open(&a->session, job->model, &o, err));
    a->W = ph__session_width(a->session);
    PH_TRY(PH_NEW(&a->values, a->n, err));
    PH_TRY(PH_NEW(&a->post, a->n, err));
    PH_TRY(PH_NEW(&a->X, a->n * (size_t)a->W, err));
    PH_TRY(PH_NEW(&a->E, a->n * (size_t)job->model->arch.C, err));
    PH_TRY(ph_model_embed(job->model, a->E, a->ids, a->n, err));
    ph__session_write(a->session, a->E, 1);
    PH_TRY(ph__session_run(a->session, err));
    ph__session_read64(a->session, a->X);
    return PH_OK;
}

/* ---- which tokens cause it ---- */

static void visit(int64_t row, const double *X, int64_t W, void *payload)
{
    const struct attribution *a = payload;
    for (size_t i = 0; i < a->count; i++)
        a->occluded[i * a->n + (size_t)row] =
            ph__measure(&a->regions[i], NULL, X, (int64_t)a->n, W).activation;
}

/* The text once for each of its tokens, with that one replaced. */
static ph_status occlude(struct attribution *a, ph_error *err)
{
    const ph_tokenizer_info *info = ph_tokenizer_get_info(a->job->tokenizer);
    const int32_t blank = info->eot >= 0 ? info->eot : info->bos;
    const size_t n = a->n;
    ph_status st = PH_OK;
    ph_scorer *scorer = NULL;
    int32_t *ids = NULL;

    if (blank < 0) return PH_OK;
    PH_GO(PH_NEW(&a->occluded, a->count * n, err));
    PH_GO(PH_NEW(&a->occlusion, n, err));
    PH_GO(PH_NEW(&a->share, n, err));
    PH_GO(PH_NEW(&ids, n * n, err));
    for (size_t row = 0; row < n; row++) {
        memcpy(ids + row * n, a->ids, n * sizeof *ids);
        ids[row * n + row] = blank;
    }
    PH_GO(ph__scorer_open(&scorer, a->job, err));
    PH_GO(ph__scorer_texts(scorer, a->features[0], ids, (int64_t)n, (int64_t)n, "occlusion", visit,
                           a, err));
done:
    ph__scorer_close(&scorer);
    ph__free(ids);
    return st;
}

static void reduce_gradient(struct attribution *a)
{
    const size_t C = (size_t)a->job->model->arch.C;
    for (size_t t = 0; t < a->n; t++) {
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

/* share += weight times each token's part of the sum of |v|; false where that is 0. */
static bool add_shares(double *share, const double *v, size_t n)
{
    double sum = 0;
    for (size_t t = 0; t < n; t++) sum += fabs(v[t]);
    for (size_t t = 0; t < n && sum > 0; t++) share[t] += fabs(v[t]) / sum;
    return sum > 0;
}

static void combine(struct attribution *a, size_t feature, double activation)
{
    int kinds = 0;
    for (size_t t = 0; t < a->n; t++) {
        a->occlusion[t] = activation - a->occluded[feature * a->n + t];
        a->share[t] = 0;
    }
    kinds += add_shares(a->share, a->product, a->n);
    kinds += add_shares(a->share, a->occlusion, a->n);
    for (size_t t = 0; t < a->n && kinds; t++) a->share[t] /= kinds;
}

static ph_status attribute(struct attribution *a, size_t feature, double activation, ph_error *err)
{
    ph__objective(a->dX, -1, 0, &a->regions[feature], a->X, (int64_t)a->n, a->W);
    PH_TRY(ph__session_back64(a->session, a->dX, err));
    ph__session_gradient(a->session, a->dE);
    reduce_gradient(a);
    if (a->occluded) combine(a, feature, activation);
    return PH_OK;
}

/* ---- features of one tap ---- */

static ph_status attribution_open(struct attribution *a, const ph_features *features, size_t first,
                                  bool gradient, ph_error *err)
{
    PH_TRY(choose_features(a, features, first, err));
    PH_TRY(run_text(a, gradient, err));
    if (!gradient) return PH_OK;
    PH_TRY(PH_NEW(&a->dE, a->n * (size_t)a->job->model->arch.C, err));
    PH_TRY(PH_NEW(&a->dX, a->n * (size_t)a->W, err));
    PH_TRY(PH_NEW(&a->norm, a->n, err));
    PH_TRY(PH_NEW(&a->product, a->n, err));
    return occlude(a, err);
}

static ph_status report(struct attribution *a, size_t feature, bool gradient, ph_score_fn result,
                        void *payload, ph_error *err)
{
    const ph_feature *f = a->features[feature];
    const ph_measured m = ph__measure(&a->regions[feature], a->values, a->X, (int64_t)a->n, a->W);
    ph_measured post;

    if (!isfinite(m.activation))
        return ph__fail(err, PH_ENUMERIC, -1, "%s is NaN or infinite on this text", f->text);
    PH_TRY(ph__measure_post(&post, &a->regions[feature], a->post, a->X, (int64_t)a->n, a->W, err));
    if (gradient) PH_TRY(attribute(a, feature, m.activation, err));
    const ph_score_result r = {.feature = f,
                               .ids = a->ids,
                               .n = a->n,
                               .values = a->values,
                               .activation = m.activation,
                               .post_values = isnan(post.activation) ? NULL : a->post,
                               .post = post.activation,
                               .grad_norm = a->norm,
                               .grad_x_input = a->product,
                               .occlusion = a->occlusion,
                               .combined = a->share,
                               .gradient = a->dE};
    if (result(&r, payload)) return ph__fail(err, PH_ECANCELED, -1, "cancelled by the caller");
    return PH_OK;
}

static ph_status report_all(const ph_model *model, const ph_features *features, const ph_text *text,
                            const ph_run_options *options, bool gradient, ph_score_fn result,
                            void *payload, ph_error *err)
{
    ph_status st = PH_OK;
    ph_job job = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    struct attribution a = {0};
    const char *stage = gradient ? "attribute" : "score";
    const size_t count = ph_features_count(features);
    ph_run_options run;

    PH_GO(ph_features_run(&run, features, options, err));
    PH_GO(ph__job_open_text(&job, &ids, &n, model, text, &run, err));
    for (size_t i = 0; i < count; i += a.count) {
        attribution_close(&a);
        a = (struct attribution){.job = &job, .ids = ids, .n = n};
        PH_GO(attribution_open(&a, features, i, gradient, err));
        for (size_t k = 0; k < a.count; k++) {
            PH_GO(report(&a, k, gradient, result, payload, err));
            PH_GO(ph__job_progress(&job, stage, (double)(i + k + 1) / (double)count, err));
        }
    }
done:
    attribution_close(&a);
    ph__free(ids);
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
