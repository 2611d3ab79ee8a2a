/* recover.c — a text found again from the hidden layer it produced.
 *
 * Descends, or lets exact.c search; reads what a descent found in several ways; measures every
 * reading, and the page's closeness test, by plain forward passes. Source: Badger, Language Model
 * Features, and its companions on input recovery.
 */
#include "search/recover.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "search/decode.h"
#include "search/descent.h"
#include "search/options.h"

#include <math.h>
#include <string.h>

enum { BATCH_TOKENS = 320 }; /* rows × tokens descended at once */

/* The noise of the closeness test is no start's: a stream of its own. */
#define NOISE_STREAM UINT64_MAX

struct recovery {
    const ph_recover_options *o;
    ph_job job;
    int32_t *ids; /* (n) the text */
    size_t n;
    bool exact;
    int decode; /* a row of the decodes, -1: all */
    size_t n_decodes;
    ph_descent descent; /* T aside */
    ph_lexicon *lexicon;
    ph_decoder *decoder; /* opened when the first descent is done */
    ph_recover_fn result;
    void *payload;
};

/* What is handed out for a feature. */
struct outcome {
    ph_recover_result r;
    ph_recovered *decodes;
    int32_t *ids; /* of the decodes */
    double *curve;
};

/* ---- options ---- */

static const char *method_name(size_t i)
{
    static const char *const names[] = {"descent", "exact"};
    return i < 2 ? names[i] : NULL;
}

/* Objectives that have a meaning against a whole output. */
static const char *objective_name(size_t i)
{
    static const char *const names[] = {"l1", "l2"};
    return i < 2 ? names[i] : NULL;
}

static bool is_one_of(const char *name, const char *(*names)(size_t))
{
    for (size_t i = 0; names(i); i++)
        if (strcmp(names(i), name) == 0) return true;
    return false;
}

static ph_status check_names(struct recovery *v, ph_error *err)
{
    const ph_recover_options *o = v->o;

    if (!is_one_of(o->method, method_name))
        return ph__unknown("method", o->method, method_name, err);
    v->exact = strcmp(o->method, "exact") == 0;
    if (!is_one_of(o->objective, objective_name))
        return ph__unknown("objective", o->objective, objective_name, err);
    v->descent.objective = ph__objective_find(o->objective);
    if ((v->descent.optimizer = ph__optimizer_find(o->optimizer)) < 0)
        return ph__unknown("optimizer", o->optimizer, ph_optimizer_name, err);
    v->decode = ph__decode_find(o->decode);
    if (v->decode < 0 && strcmp(o->decode, "all") != 0)
        return ph__unknown("decode", o->decode, ph_decode_name, err);
    v->n_decodes = v->decode < 0 ? PH_DECODES : 1;
    return PH_OK;
}

static ph_status check_among(const struct recovery *v, ph_error *err)
{
    const ph_recover_options *o = v->o;
    const int64_t V = v->job.model->arch.V;

    if (!o->among) return PH_OK;
    if (o->n_among == 0) return ph__fail(err, PH_EINVAL, -1, "among: expected at least one token");
    for (size_t i = 0; i < o->n_among; i++)
        if (o->among[i] < 0 || o->among[i] >= V)
            return ph__fail(err, PH_ERANGE, -1, "among: id %d: this model has 0 to %lld",
                            o->among[i], (long long)V - 1);
    return PH_OK;
}

/* What goes from token to token needs the output of them all. */
static ph_status check_region(const struct recovery *v, const ph_feature *f, ph_error *err)
{
    const int64_t T = (int64_t)v->n;
    ph_region r;

    if (f->n_terms)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "%s: a text is recovered from the output of one place, not from a sum",
                        f->text);
    PH_TRY(ph__job_region(&r, &v->job, f, T, err));
    if ((!v->exact && !v->o->sequential) || (r.first == 0 && r.last == T)) return PH_OK;
    return ph__fail(err, PH_EINVAL, -1,
                    "%s: %s recovery goes from token to token and needs them all, as in [:, :, …]",
                    f->text, v->exact ? "exact" : "sequential");
}

static ph_status prepare(struct recovery *v, const ph_model *model, const ph_features *features,
                         const ph_text *text, ph_error *err)
{
    const ph_recover_options *o = v->o;

    PH_TRY(check_names(v, err));
    PH_TRY(ph__within("steps", o->steps, 1000000, err));
    PH_TRY(ph__within("restarts", o->restarts, 100000, err));
    PH_TRY(ph__absolute_eta(&v->descent.eta_first, o->eta_first, o->eta_first_rms, model, err));
    PH_TRY(ph__absolute_eta(&v->descent.eta_last, o->eta_last, o->eta_last_rms, model, err));
    v->descent.steps = o->steps;
    PH_TRY(ph__job_open_text(&v->job, &v->ids, &v->n, model, text, &o->run, err));
    PH_TRY(check_among(v, err));
    for (size_t i = 0; i < ph_features_count(features); i++)
        PH_TRY(check_region(v, ph_features_at(features, i), err));
    return ph__lexicon_open(&v->lexicon, model, err);
}

/* ---- the target ---- */

ph_status ph__target_session(ph_session **out, ph_target *t, const int32_t *begin, size_t length,
                             int64_t rows, bool gradient, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    const ph_job *job = t->job;
    int32_t *context = NULL;

    PH_TRY(PH_NEW(&context, job->n_context + length, err));
    if (job->n_context) memcpy(context, job->context, job->n_context * sizeof *context);
    if (length) memcpy(context + job->n_context, begin, length * sizeof *context);
    o.tap = t->feature->tap;
    o.rows = rows;
    o.tokens = 1;
    o.context = context;
    o.n_context = job->n_context + length;
    o.gradient = gradient;
    const ph_status st = ph_session_open(out, job->model, &o, err);
    t->token_forwards += (int64_t)o.n_context;
    ph__free(context);
    return st;
}

ph_region ph__single(const ph_target *t)
{
    return ph__region_single(&t->region);
}

/* X (rows,T,W) of embeddings E (rows,T,C), T as the session has it, checked to be finite. */
static ph_status forward(ph_target *t, ph_session *s, double *X, const float *E, int64_t rows,
                         int64_t T, ph_error *err)
{
    double sum = 0;

    ph__session_write(s, E, rows);
    PH_TRY(ph__session_run(s, err));
    ph__session_read64(s, X);
    t->token_forwards += rows * T;
    for (int64_t i = 0; i < rows * T * t->W; i++) sum += X[i] * 0;
    if (sum == 0) return PH_OK;
    return ph__fail(err, PH_ENUMERIC, -1, "%s is NaN or infinite on a text", t->feature->text);
}

/* Rows at once that keep activations in cache. */
static int64_t rows_of(int64_t rows, int64_t T)
{
    const int64_t most = BATCH_TOKENS < T ? 1 : BATCH_TOKENS / T;
    return rows < most ? rows : most;
}

static void target_close(ph_target *t)
{
    ph_session_close(&t->session);
    ph__free(t->X);
}

/* The session of the whole text: descends on the restarts, or runs texts one by one. */
static ph_status open_session(ph_target *t, int64_t restarts, bool gradient, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;

    t->rows = rows_of(gradient ? restarts : 1, t->T);
    o.tap = t->feature->tap;
    o.rows = t->rows;
    o.tokens = t->T;
    o.context = t->job->context;
    o.n_context = t->job->n_context;
    o.gradient = gradient;
    PH_TRY(ph_session_open(&t->session, t->job->model, &o, err));
    t->token_forwards += (int64_t)o.n_context;
    t->W = ph__session_width(t->session);
    return PH_OK;
}

/* The text's output, and how far a little noise on its embedding moves that. */
static ph_status measure_text(ph_target *t, ph_error *err)
{
    ph_status st = PH_OK;
    const size_t n = (size_t)(t->T * t->job->model->arch.C);
    ph_rng rng = ph__rng(t->job->run.seed, NOISE_STREAM);
    float *E = NULL;
    double *noisy = NULL;

    PH_GO(PH_NEW(&t->X, (size_t)(t->T * t->W), err));
    PH_GO(PH_NEW(&noisy, (size_t)(t->T * t->W), err));
    PH_GO(PH_NEW(&E, n, err));
    PH_GO(ph_model_embed(t->job->model, E, t->ids, (size_t)t->T, err));
    PH_GO(forward(t, t->session, t->X, E, 1, t->T, err));
    for (size_t i = 0; i < n; i++) E[i] += (float)(ph__rng_normal(&rng) / 20);
    PH_GO(forward(t, t->session, noisy, E, 1, t->T, err));
    t->random_distance = ph__distance(&t->region, noisy, t->X, t->W);
done:
    ph__free(E);
    ph__free(noisy);
    return st;
}

static ph_status target_open(ph_target *t, const struct recovery *v, const ph_feature *f,
                             ph_error *err)
{
    const bool descends = !v->exact && !v->o->sequential;

    *t = (ph_target){.job = &v->job, .o = v->o, .feature = f, .ids = v->ids, .T = (int64_t)v->n};
    t->lexicon = v->lexicon;
    PH_TRY(ph__job_region(&t->region, &v->job, f, t->T, err));
    PH_TRY(open_session(t, v->o->restarts, descends, err));
    return measure_text(t, err);
}

/* ---- a stretch of tokens, and texts measured on it ---- */

/* The whole text, or one token of it behind what was found. */
struct stretch {
    ph_session *session;
    int64_t T, rows; /* rows: what the session holds */
    ph_region region;
    const double *X; /* (T,W) what is wanted there */
};

static struct stretch whole(const ph_target *t)
{
    return (struct stretch){t->session, t->T, t->rows, t->region, t->X};
}

/* distance (n) = |O(ids) - O(x)| of n texts ids (n,T), as many at once as the session holds. */
static ph_status measure(double *distance, ph_target *t, const struct stretch *s,
                         const int32_t *ids, size_t n, ph_error *err)
{
    ph_status st = PH_OK;
    const size_t T = (size_t)s->T, rows = (size_t)s->rows, W = (size_t)t->W;
    float *E = NULL;
    double *X = NULL;

    PH_GO(PH_NEW(&E, rows * T * (size_t)t->job->model->arch.C, err));
    PH_GO(PH_NEW(&X, rows * T * W, err));
    for (size_t at = 0, part; at < n; at += part) {
        part = n - at < rows ? n - at : rows;
        PH_GO(ph_model_embed(t->job->model, E, ids + at * T, part * T, err));
        PH_GO(forward(t, s->session, X, E, (int64_t)part, s->T, err));
        for (size_t i = 0; i < part; i++)
            distance[at + i] = ph__distance(&s->region, X + i * T * W, s->X, t->W);
    }
done:
    ph__free(X);
    ph__free(E);
    return st;
}

/* ---- descents: all starts of one stretch of tokens, each read in several ways ---- */

struct descents {
    int64_t T, n;       /* restarts */
    ph_row *row;        /* (n) */
    float *e;           /* (n,T,C) */
    double *curve;      /* (n,steps+1) */
    int32_t *ids;       /* (n,n_decodes,T) */
    double *distance;   /* (n,n_decodes) */
    int64_t best_row;   /* the row with the smallest of them … */
    size_t best_decode; /* … and whose it is */
};

static void descents_close(struct descents *d)
{
    ph__free(d->row);
    ph__free(d->e);
    ph__free(d->curve);
    ph__free(d->ids);
    ph__free(d->distance);
}

static ph_status descents_open(struct descents *d, const struct recovery *v,
                               const struct stretch *s, ph_error *err)
{
    const size_t n = (size_t)v->o->restarts, T = (size_t)s->T, points = (size_t)v->o->steps + 1;
    const size_t C = (size_t)v->job.model->arch.C;

    *d = (struct descents){.T = s->T, .n = v->o->restarts};
    PH_TRY(PH_NEW(&d->row, n, err));
    PH_TRY(PH_NEW(&d->e, n * T * C, err));
    PH_TRY(PH_NEW(&d->curve, n * points, err));
    PH_TRY(PH_NEW(&d->ids, n * v->n_decodes * T, err));
    PH_TRY(PH_NEW(&d->distance, n * v->n_decodes, err));
    for (size_t i = 0; i < n; i++) {
        d->row[i] = (ph_row){.region = s->region,
                             .restart = (int64_t)i,
                             .wanted = s->X,
                             .e = d->e + i * T * C,
                             .curve = d->curve + i * points};
        PH_TRY(ph__start_fill(d->row[i].e, &v->job, v->o->start, s->T, (int64_t)i, err));
    }
    return PH_OK;
}

/* A decode that names no token (hidden, beyond what may be named) reads the first there is. */
static ph_status decode(struct descents *d, struct recovery *v, ph_error *err)
{
    ph_status st = PH_OK;
    const size_t n = (size_t)(d->n * d->T), T = (size_t)d->T;
    const int32_t instead = v->o->among ? v->o->among[0] : v->job.ordinary[0];
    int32_t *all = NULL;
    ph_near *nearest = NULL;

    PH_GO(PH_NEW(&all, PH_DECODES * n, err));
    PH_GO(PH_NEW(&nearest, n, err));
    if (!v->decoder) {
        PH_GO(ph__decoder_open(&v->decoder, &v->job, v->lexicon, v->decode, err));
        if (v->o->among) ph__decoder_among(v->decoder, v->o->among, v->o->n_among);
    }
    PH_GO(ph__decoder_run(v->decoder, all, nearest, d->e, (int64_t)n, err));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < v->n_decodes; k++) {
            const size_t by = v->decode < 0 ? k : (size_t)v->decode;
            const int32_t id = all[by * n + i];
            d->ids[(i / T * v->n_decodes + k) * T + i % T] = id < 0 ? instead : id;
        }
done:
    ph__free(nearest);
    ph__free(all);
    return st;
}

static void choose(struct descents *d, size_t n_decodes)
{
    size_t best = 0;
    for (size_t i = 1; i < (size_t)d->n * n_decodes; i++)
        if (d->distance[i] < d->distance[best]) best = i;
    d->best_row = (int64_t)(best / n_decodes);
    d->best_decode = best % n_decodes;
}

static ph_status descend(struct descents *d, struct recovery *v, ph_target *t,
                         const struct stretch *s, ph_error *err)
{
    double seconds = 0, flops = 0, first = 0;

    PH_TRY(descents_open(d, v, s, err));
    v->descent.T = s->T;
    for (int64_t at = 0; at < d->n; at += s->rows) {
        const int64_t part = d->n - at < s->rows ? d->n - at : s->rows;
        PH_TRY(ph__descend(d->row + at, part, &v->descent, s->session, &v->job, &seconds, &flops,
                           &first, err));
        t->token_forwards += part * s->T * (3 * v->o->steps + 1);
    }
    PH_TRY(decode(d, v, err));
    PH_TRY(measure(d->distance, t, s, d->ids, (size_t)d->n * v->n_decodes, err));
    choose(d, v->n_decodes);
    return PH_OK;
}

/* ---- methods ---- */

static void outcome_close(struct outcome *out)
{
    ph__free(out->decodes);
    ph__free(out->ids);
    ph__free(out->curve);
}

static ph_status outcome_open(struct outcome *out, const ph_target *t, size_t decodes,
                              size_t points, ph_error *err)
{
    PH_TRY(PH_NEW(&out->decodes, decodes, err));
    PH_TRY(PH_NEW(&out->ids, decodes * (size_t)t->T, err));
    PH_TRY(PH_NEW(&out->curve, points, err));
    for (size_t i = 0; i < decodes; i++) out->decodes[i].ids = out->ids + i * (size_t)t->T;
    out->r.n_decodes = decodes;
    out->r.curve = points ? out->curve : NULL;
    out->r.n_curve = points;
    return PH_OK;
}

/* The whole text at once: the best row's readings are handed out. */
static ph_status recover_whole(struct outcome *out, struct recovery *v, ph_target *t, ph_error *err)
{
    ph_status st = PH_OK;
    const size_t points = (size_t)v->o->steps + 1, size = v->n_decodes * (size_t)t->T;
    const struct stretch s = whole(t);
    struct descents d = {0};

    PH_GO(outcome_open(out, t, v->n_decodes, points, err));
    PH_GO(descend(&d, v, t, &s, err));
    const size_t row = (size_t)d.best_row;
    memcpy(out->ids, d.ids + row * size, size * sizeof *out->ids);
    memcpy(out->curve, d.curve + row * points, points * sizeof *out->curve);
    for (size_t k = 0; k < v->n_decodes; k++) {
        out->decodes[k].decode = ph_decode_name(v->decode < 0 ? k : (size_t)v->decode);
        out->decodes[k].distance = d.distance[row * v->n_decodes + k];
    }
    out->r.restart = d.best_row;
    out->r.answer = &out->decodes[d.best_decode];
    out->r.distance = out->curve[points - 1];
done:
    descents_close(&d);
    return st;
}

/* One token behind those that were found. */
static ph_status descend_token(struct outcome *out, struct recovery *v, ph_target *t, int64_t at,
                               ph_error *err)
{
    ph_status st = PH_OK;
    const size_t points = (size_t)v->o->steps + 1;
    struct stretch s = {
        .T = 1, .rows = rows_of(v->o->restarts, 1), .region = ph__single(t), .X = t->X + at * t->W};
    struct descents d = {0};

    PH_GO(ph__target_session(&s.session, t, out->ids, (size_t)at, s.rows, true, err));
    PH_GO(descend(&d, v, t, &s, err));
    out->ids[at] = d.ids[(size_t)d.best_row * v->n_decodes + d.best_decode];
    memcpy(out->curve + (size_t)at * points, d.curve + (size_t)d.best_row * points,
           points * sizeof *out->curve);
done:
    descents_close(&d);
    ph_session_close(&s.session);
    return st;
}

/* Tokens were found: the one reading is measured as a text. */
static ph_status measure_outcome(struct outcome *out, ph_target *t, ph_error *err)
{
    const struct stretch s = whole(t);
    PH_TRY(measure(&out->decodes->distance, t, &s, out->ids, 1, err));
    out->r.restart = -1;
    out->r.answer = out->decodes;
    out->r.distance = out->decodes->distance;
    return PH_OK;
}

static ph_status recover_sequential(struct outcome *out, struct recovery *v, ph_target *t,
                                    ph_error *err)
{
    PH_TRY(outcome_open(out, t, 1, (size_t)t->T * ((size_t)v->o->steps + 1), err));
    if (v->decode >= 0) out->decodes->decode = ph_decode_name((size_t)v->decode);
    for (int64_t at = 0; at < t->T; at++) PH_TRY(descend_token(out, v, t, at, err));
    return measure_outcome(out, t, err);
}

static ph_status recover_exact(struct outcome *out, struct recovery *v, ph_target *t, ph_error *err)
{
    (void)v;
    PH_TRY(outcome_open(out, t, 1, 0, err));
    ph_exact found = {.ids = out->ids};
    PH_TRY(ph__exact(&found, t, err));
    out->r.tried = found.tried;
    out->r.tolerance = PH_EXACT_TOLERANCE;
    out->r.worst_found = found.worst;
    return measure_outcome(out, t, err);
}

/* ---- one feature after another ---- */

static void count_matches(struct outcome *out, const ph_target *t)
{
    for (size_t k = 0; k < out->r.n_decodes; k++)
        for (int64_t i = 0; i < t->T; i++)
            out->decodes[k].matched += out->decodes[k].ids[i] == t->ids[i];
}

static ph_status recover_feature(struct recovery *v, const ph_feature *f, ph_error *err)
{
    ph_status st = PH_OK;
    ph_target t = {0};
    struct outcome out = {0};
    const double began = ph__now();

    PH_GO(target_open(&t, v, f, err));
    PH_GO((v->exact           ? recover_exact
           : v->o->sequential ? recover_sequential
                              : recover_whole)(&out, v, &t, err));
    count_matches(&out, &t);
    out.r.feature = f;
    out.r.method = v->o->method;
    out.r.target_ids = t.ids;
    out.r.n = (size_t)t.T;
    out.r.decodes = out.decodes;
    out.r.random_distance = t.random_distance;
    out.r.token_forwards = t.token_forwards;
    out.r.seconds = ph__now() - began;
    if (v->result(&out.r, v->payload))
        st = ph__fail(err, PH_ECANCELED, -1, "cancelled by the caller");
done:
    outcome_close(&out);
    target_close(&t);
    return st;
}

ph_status ph_recover(const ph_model *model, const ph_features *features, const ph_text *text,
                     const ph_recover_options *options, ph_recover_fn result, void *payload,
                     ph_error *err)
{
    const ph_recover_options defaults = PH_RECOVER_OPTIONS_INIT;
    struct recovery v = {.o = options ? options : &defaults, .result = result, .payload = payload};
    ph_status st = PH_OK;

    PH_GO(prepare(&v, model, features, text, err));
    for (size_t i = 0; i < ph_features_count(features); i++)
        PH_GO(recover_feature(&v, ph_features_at(features, i), err));
done:
    ph__decoder_close(&v.decoder);
    ph__lexicon_close(&v.lexicon);
    ph__job_close(&v.job);
    ph__free(v.ids);
    return st;
}
