/* effect.c — what a unit does next: the tokens that its direction speaks for, and what becomes of a
 * text's next token when the unit is set to another value.
 *
 * C width, V vocabulary, n tokens of the text, W width of the tap.
 */
#include "base/mem.h"
#include "search/job.h"
#include "search/ranked.h"

#include <math.h>
#include <string.h>

enum { MOST_CHANGES = 3 };

/* ---- from the end of the stream to a score for every token ---- */

struct output {
    const ph_model *model;
    const ph_head_weights *head;
    double *norm; /* (C) the final norm's weights */
    ph_stream *stream;
    ph_real *x, *scores; /* (C), (V) of the backend */
};

static void output_close(struct output *o)
{
    ph_backend *be = o->model ? o->model->backend : NULL;
    if (!be) return;
    be->release(be, o->x);
    be->release(be, o->scores);
    be->stream_close(&o->stream, be);
    ph__free(o->norm);
}

static ph_status output_open(struct output *o, const ph_model *model, ph_error *err)
{
    ph_backend *be = model->backend;
    const size_t C = (size_t)model->arch.C;

    o->model = model;
    PH_TRY(ph__model_head(&o->head, model, true, false, err));
    PH_TRY(PH_NEW(&o->norm, C, err));
    be->read64(o->norm, o->head->norm, C, be);
    PH_TRY(be->alloc(&o->x, C, be, err));
    PH_TRY(be->alloc(&o->scores, (size_t)model->arch.V, be, err));
    PH_TRY(be->stream_new(&o->stream, 0, be, err));
    return be->stream_prepare(o->stream, o->head->out, 1, err);
}

/* scores (V) of x (C), the stream's end behind the final norm; of a direction the product alone. */
static ph_status output_scores(struct output *o, double *scores, const double *x, bool direction,
                               ph_error *err)
{
    ph_backend *be = o->model->backend;
    const ph_run run = {.arch = &o->model->arch, .backend = be, .stream = o->stream};
    be->write64(o->x, x, (size_t)o->model->arch.C, be);
    if (direction)
        be->ops.matmul(o->scores, 0, o->x, o->head->out, 1, o->stream);
    else
        ph__logits_forward(o->scores, o->x, o->head, 1, &run);
    be->read64(scores, o->scores, (size_t)o->model->arch.V, be);
    return be->stream_status(o->stream, err);
}

/* ---- features of one tap ---- */

struct effect {
    const ph_effect_options *o;
    ph_job job;
    int32_t *ids; /* n; NULL: no text */
    size_t n, top;
    struct output output;
    const ph_feature **features; /* count of them, of one tap */
    size_t count;
    ph_tap tap;
    int64_t W;
    double *directions; /* (count,C) */
    double *scores;     /* (V) */
    ph_near *promoted, *suppressed, *moved;
    /* ---- with a text */
    ph_region *regions; /* count */
    ph_session *session;
    double *E;              /* (MOST_CHANGES,n,C) the text's embeddings, in every row */
    double *X;              /* (n,W) at the tap, as the text has it */
    double *Y;              /* (MOST_CHANGES,n,W) what is put there instead */
    double *end;            /* (MOST_CHANGES,n,C) the normed end of the stream */
    double *before, *after; /* (V) logarithms of the next token's probabilities */
    ph_shift *shifts;       /* (MOST_CHANGES,top) */
};

/* What belongs to the features of one tap. */
static void close_features(struct effect *e)
{
    ph_session_close(&e->session);
    ph__free(e->features);
    ph__free(e->directions);
    ph__free(e->regions);
    ph__free(e->X);
    ph__free(e->Y);
    e->features = NULL;
    e->directions = e->X = e->Y = NULL;
    e->regions = NULL;
}

static void effect_close(struct effect *e)
{
    close_features(e);
    output_close(&e->output);
    ph__free(e->scores);
    ph__free(e->promoted);
    ph__free(e->suppressed);
    ph__free(e->moved);
    ph__free(e->E);
    ph__free(e->end);
    ph__free(e->before);
    ph__free(e->after);
    ph__free(e->shifts);
    ph__free(e->ids);
    ph__job_close(&e->job);
}

static ph_status check_features(const ph_features *features, ph_error *err)
{
    const ph_feature *f;
    for (size_t i = 0; (f = ph_features_at(features, i)); i++) {
        if (f->n_terms)
            return ph__fail(err, PH_EUNSUPPORTED, -1,
                            "%s: the effect of components of one place is known, not of sums, "
                            "directions and SAE latents",
                            f->text);
        if (f->tap.only)
            return ph__fail(err, PH_EUNSUPPORTED, -1,
                            "%s: a block alone is not followed by a next token", f->text);
        if (f->tap.place == PH_PLACE_FINAL || f->tap.place == PH_PLACE_LOGITS)
            return ph__fail(err, PH_EUNSUPPORTED, -1,
                            "%s: the effect of units in blocks and of the embedding is known, what "
                            "stands behind the last block adds nothing to the stream",
                            f->text);
    }
    return PH_OK;
}

static ph_status open_text(struct effect *e, ph_error *err)
{
    const size_t C = (size_t)e->job.model->arch.C, V = (size_t)e->job.model->arch.V, n = e->n;
    ph_status st = PH_OK;
    float *E = NULL;

    PH_GO(PH_NEW(&E, n * C, err));
    PH_GO(ph_model_embed(e->job.model, E, e->ids, n, err));
    PH_GO(PH_NEW(&e->E, MOST_CHANGES * n * C, err));
    for (size_t i = 0; i < MOST_CHANGES * n * C; i++) e->E[i] = (double)E[i % (n * C)];
    PH_GO(PH_NEW(&e->end, MOST_CHANGES * n * C, err));
    PH_GO(PH_NEW(&e->before, V, err));
    PH_GO(PH_NEW(&e->after, V, err));
    PH_GO(PH_NEW(&e->moved, e->top, err));
    PH_GO(PH_NEW(&e->shifts, MOST_CHANGES * e->top, err));
done:
    ph__free(E);
    return st;
}

static ph_status effect_open(struct effect *e, const ph_model *model, const ph_text *text,
                             ph_error *err)
{
    const size_t V = (size_t)model->arch.V;

    if (e->o->top < 1 || e->o->top > 1000000)
        return ph__fail(err, PH_EINVAL, -1, "%lld tokens in a list: expected 1 to 1000000",
                        (long long)e->o->top);
    e->top = (size_t)e->o->top < V ? (size_t)e->o->top : V;
    PH_TRY(text ? ph__job_open_text(&e->job, &e->ids, &e->n, model, text, &e->o->run, err)
                : ph__job_open(&e->job, model, &e->o->run, err));
    PH_TRY(output_open(&e->output, model, err));
    PH_TRY(PH_NEW(&e->scores, V, err));
    PH_TRY(PH_NEW(&e->promoted, e->top, err));
    PH_TRY(PH_NEW(&e->suppressed, e->top, err));
    return text ? open_text(e, err) : PH_OK;
}

/* ---- the direction ---- */

/* A neuron writes its column of the down-projection (C,F) to the stream, as a norm behind it weighs
 * that. */
static ph_status read_columns(struct effect *e, ph_error *err)
{
    const ph_model *m = e->job.model;
    const ph_block_slots *slots = &m->slots.block[e->tap.block - 1];
    const ph_tensor *down = slots->down;
    const int64_t C = m->arch.C;
    float *row = NULL, *post = NULL;
    ph_status st = PH_OK;

    PH_GO(PH_NEW(&row, (size_t)m->arch.F, err));
    PH_GO(PH_NEW(&post, (size_t)C, err));
    if (slots->post_ffn) ph__model_row(post, m, slots->post_ffn, 0);
    for (int64_t i = 0; i < C; i++) {
        ph__model_row(row, m, down, i);
        for (size_t k = 0; k < e->count; k++) {
            const ph_range r = e->features[k]->components;
            double sum = 0;
            for (int64_t j = r.begin; j < r.end; j++) sum += (double)row[j];
            e->directions[(int64_t)k * C + i] = sum / (double)(r.end - r.begin);
            if (slots->post_ffn) e->directions[(int64_t)k * C + i] *= (double)post[i];
        }
    }
done:
    ph__free(post);
    ph__free(row);
    return st;
}

static ph_status find_directions(struct effect *e, ph_error *err)
{
    const int64_t C = e->job.model->arch.C;

    PH_TRY(PH_NEW(&e->directions, e->count * (size_t)C, err));
    if (e->tap.place == PH_PLACE_NEURON) return read_columns(e, err);
    for (size_t k = 0; k < e->count; k++) {
        const ph_range r = e->features[k]->components;
        for (int64_t i = r.begin; i < r.end; i++)
            e->directions[(int64_t)k * C + i] = 1 / (double)(r.end - r.begin);
    }
    return PH_OK;
}

/* The tokens that a direction (C, overwritten) raises and lowers most. */
static ph_status rank_tokens(struct effect *e, double *direction, ph_error *err)
{
    const int64_t C = e->job.model->arch.C, V = e->job.model->arch.V;
    double middle = 0, mean = 0;

    for (int64_t i = 0; i < C; i++) middle += direction[i] / (double)C;
    if (e->job.model->arch.norm != PH_NORM_LAYER) middle = 0; /* which no other norm takes away */
    for (int64_t i = 0; i < C; i++) direction[i] = (direction[i] - middle) * e->output.norm[i];
    PH_TRY(output_scores(&e->output, e->scores, direction, true, err));
    for (int64_t v = 0; v < V; v++) mean += e->scores[v] / (double)V;
    ph__ranked_clear(e->promoted, e->top, 1);
    ph__ranked_clear(e->suppressed, e->top, -1);
    for (int64_t v = 0; v < V; v++) {
        ph__ranked_add(e->promoted, e->top, 1, (int32_t)v, e->scores[v] - mean);
        ph__ranked_add(e->suppressed, e->top, -1, (int32_t)v, e->scores[v] - mean);
    }
    return PH_OK;
}

/* ---- the text ---- */

static ph_status take_values(ph_session *s, int64_t block, void *payload, ph_error *err)
{
    const struct effect *e = payload;
    (void)err;
    ph__session_read_block64(s, block, e->tap.place, e->X);
    return PH_OK;
}

static ph_status put_values(ph_session *s, int64_t block, void *payload, ph_error *err)
{
    const struct effect *e = payload;
    (void)err;
    ph__session_write_block64(s, block, e->tap.place, e->Y);
    return PH_OK;
}

/* Run `rows` rows of embeddings to the end of the stream; watch sees the tap. */
static ph_status run_rows(struct effect *e, const double *E, int64_t rows, ph_watch_fn watch,
                          ph_error *err)
{
    if (e->tap.block) ph__session_watch_at(e->session, e->tap, watch, e);
    ph__session_write64(e->session, E, rows);
    PH_TRY(ph__session_run(e->session, err));
    ph__session_read64(e->session, e->end);
    return PH_OK;
}

/* logs (V) = the logarithms of the probabilities that a row gives the token behind the text. */
static ph_status next_token(struct effect *e, double *logs, int64_t row, ph_error *err)
{
    const int64_t C = e->job.model->arch.C, V = e->job.model->arch.V, n = (int64_t)e->n;
    double most = -(double)INFINITY, sum = 0;

    PH_TRY(output_scores(&e->output, logs, e->end + ((row + 1) * n - 1) * C, false, err));
    for (int64_t v = 0; v < V; v++) most = fmax(most, logs[v]);
    for (int64_t v = 0; v < V; v++) sum += exp(logs[v] - most);
    if (!isfinite(sum))
        return ph__fail(err, PH_ENUMERIC, -1, "the next token's scores are NaN or infinite");
    for (int64_t v = 0; v < V; v++) logs[v] -= most + log(sum);
    return PH_OK;
}

/* The text as it is, once for all features of the tap. */
static ph_status run_text(struct effect *e, ph_error *err)
{
    const int64_t C = e->job.model->arch.C;
    const size_t values = e->n * (size_t)e->W;
    ph_session_options o = PH_SESSION_OPTIONS_INIT;

    PH_TRY(PH_NEW(&e->regions, e->count, err));
    for (size_t i = 0; i < e->count; i++)
        PH_TRY(ph__job_region(&e->regions[i], &e->job, e->features[i], (int64_t)e->n, err));
    o.tap = (ph_tap){PH_PLACE_FINAL, false, 0};
    o.rows = MOST_CHANGES;
    o.tokens = (int64_t)e->n;
    o.context = e->job.context;
    o.n_context = e->job.n_context;
    PH_TRY(ph_session_open(&e->session, e->job.model, &o, err));
    PH_TRY(PH_NEW(&e->X, values, err));
    PH_TRY(PH_NEW(&e->Y, MOST_CHANGES * values, err));
    if (!e->tap.block) memcpy(e->X, e->E, e->n * (size_t)C * sizeof *e->X);
    PH_TRY(run_rows(e, e->E, 1, take_values, err));
    return next_token(e, e->before, 0, err);
}

/* What one component of a unit is set to and raised by, the largest |value|: in the corpus where
 * that follows it, else in the region. false: no mean is known. */
static bool reference_values(double *mean, double *amount, const struct effect *e,
                             const ph_region *r, int64_t component)
{
    ph_corpus_stat s;
    if (e->o->corpus && ph_corpus_get(e->o->corpus, e->tap, component, &s)) {
        *mean = s.mean;
        *amount = fmax(fabs(s.max), fabs(s.min));
        return true;
    }
    *mean = (double)NAN;
    *amount = 0;
    for (int64_t t = r->first; t < r->last; t++)
        *amount = fmax(*amount, fabs(e->X[t * e->W + component]));
    return false;
}

/* Rows of Y with the unit's components changed at the region's tokens, and what they are called; the
 * changes' values are means over the components. Returns how many there are. */
static size_t prepare_changes(struct effect *e, ph_change *changes, const ph_region *r)
{
    const size_t values = e->n * (size_t)e->W;
    const double width = (double)(r->end - r->begin);
    double mean, amount;
    const bool has_mean = reference_values(&mean, &amount, e, r, r->begin);
    const size_t n = has_mean ? 3 : 2;
    double *zero = e->Y, *middle = e->Y + values, *raised = e->Y + (n - 1) * values;

    for (size_t i = 0; i < n; i++) memcpy(e->Y + i * values, e->X, values * sizeof *e->Y);
    changes[0] = (ph_change){.what = "zero"};
    changes[1] = (ph_change){.what = "mean"};
    changes[n - 1] = (ph_change){.what = "raise"};
    for (int64_t i = r->begin; i < r->end; i++) {
        reference_values(&mean, &amount, e, r, i);
        if (has_mean) changes[1].value += mean / width;
        changes[n - 1].value += amount / width;
        for (int64_t t = r->first; t < r->last; t++) {
            const int64_t at = t * e->W + i;
            zero[at] = 0;
            if (has_mean) middle[at] = mean;
            raised[at] += amount;
        }
    }
    return n;
}

/* Compare `after` with `before`: the divergence, and the tokens whose probability moved most. */
static void compare(struct effect *e, ph_change *change, ph_shift *shifts)
{
    const int64_t V = e->job.model->arch.V;

    ph__ranked_clear(e->moved, e->top, 1);
    for (int64_t v = 0; v < V; v++) {
        const double p = exp(e->before[v]), q = exp(e->after[v]);
        if (p > 0) change->kl += p * (e->before[v] - e->after[v]);
        ph__ranked_add(e->moved, e->top, 1, (int32_t)v, fabs(q - p));
    }
    change->kl = fmax(change->kl, 0); /* its rounding is not a divergence */
    for (size_t i = 0; i < e->top; i++) {
        const int32_t id = e->moved[i].id;
        shifts[i] = (ph_shift){id, exp(e->before[id]), exp(e->after[id])};
    }
    change->shifts = shifts;
    change->n_shifts = e->top;
}

static ph_status change_text(struct effect *e, ph_change *changes, size_t *n, const ph_region *r,
                             ph_error *err)
{
    *n = prepare_changes(e, changes, r);
    PH_TRY(run_rows(e, e->tap.block ? e->E : e->Y, (int64_t)*n, put_values, err));
    for (size_t i = 0; i < *n; i++) {
        PH_TRY(next_token(e, e->after, (int64_t)i, err));
        compare(e, &changes[i], e->shifts + i * e->top);
    }
    return PH_OK;
}

/* ---- results ---- */

static ph_status report(struct effect *e, size_t i, ph_effect_fn result, void *payload,
                        ph_error *err)
{
    ph_change changes[MOST_CHANGES];
    ph_effect_result r = {.feature = e->features[i],
                          .promoted = e->promoted,
                          .suppressed = e->suppressed,
                          .n_top = e->top,
                          .ids = e->ids,
                          .n = e->n,
                          .activation = (double)NAN,
                          .changes = changes};

    PH_TRY(rank_tokens(e, e->directions + i * (size_t)e->job.model->arch.C, err));
    if (e->ids) {
        r.activation = ph__measure(&e->regions[i], NULL, e->X, (int64_t)e->n, e->W).activation;
        PH_TRY(change_text(e, changes, &r.n_changes, &e->regions[i], err));
    }
    if (result(&r, payload)) return ph__fail(err, PH_ECANCELED, -1, "cancelled by the caller");
    return PH_OK;
}

static ph_status open_features(struct effect *e, const ph_features *features, size_t first,
                               ph_error *err)
{
    PH_TRY(PH_NEW(&e->features, ph_features_count(features) - first, err));
    e->count = ph__same_tap_run(features, first, e->features);
    e->tap = e->features[0]->tap;
    e->W = ph_place_width(&e->job.model->info, e->tap.place);
    PH_TRY(find_directions(e, err));
    return e->ids ? run_text(e, err) : PH_OK;
}

ph_status ph_effect(const ph_model *model, const ph_features *features, const ph_text *text,
                    const ph_effect_options *options, ph_effect_fn result, void *payload,
                    ph_error *err)
{
    const ph_effect_options defaults = PH_EFFECT_OPTIONS_INIT;
    struct effect e = {.o = options ? options : &defaults};
    const size_t count = ph_features_count(features);
    ph_status st = PH_OK;

    PH_GO(check_features(features, err));
    PH_GO(effect_open(&e, model, text, err));
    for (size_t i = 0; i < count; i += e.count) {
        close_features(&e);
        PH_GO(open_features(&e, features, i, err));
        for (size_t k = 0; k < e.count; k++) {
            PH_GO(report(&e, k, result, payload, err));
            PH_GO(ph__job_progress(&e.job, "effect", (double)(i + k + 1) / (double)count, err));
        }
    }
done:
    effect_close(&e);
    return st;
}
