/* dream.c — the main job: what a method finds, its decodes, the texts, the yardsticks, the answers.
 *
 * Conducts the other files of this room; computes nothing itself. Features of one tap that stand
 * next to each other share a session, batches of them the work of a method.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "search/baseline.h"
#include "search/decode.h"
#include "search/front.h"
#include "search/hunt.h"
#include "search/options.h"
#include "search/rescore.h"
#include "search/resume.h"
#include "search/specific.h"

#include <math.h>
#include <string.h>

enum {
    BATCH_TOKENS = 320,  /* rows × tokens descended at once: keeps activations in cache */
    BATCH_FEATURES = 16, /* features between two reports … */
    HUNT_FEATURES = 64,  /* … and of a method that shows all what each finds */
    SPARE = 2            /* answers beside those asked for: a text may rank lower as printed */
};

struct dream {
    const ph_dream_options *o;
    ph_job job;
    const ph_method *method;
    ph_task task;
    int64_t restarts;
    int decode; /* a row of the decodes, -1: all */
    ph_order order;
    size_t candidates; /* of a row: its decodes, and its method's own tokens */
    ph_lexicon *lexicon;
    ph_fluent *fluent;   /* NULL: not asked for */
    ph_decoder *decoder; /* opened when the first descent is done */
    ph_dream_fn result;
    void *payload;
    double began;
};

/* Neighbouring features of one tap and what they are measured against. */
struct group {
    const ph_feature **features;
    size_t count;
    ph_moments *random; /* (count) */
    double norm;
    ph_complete complete;
    float *singles; /* (count,V) for a method that ranks them */
    bool measured;
};

/* The rows of some features of a group, and everything read from them. */
struct batch {
    const struct group *group;
    size_t first, count; /* features */
    int64_t rows;        /* count × restarts, a feature's rows together */
    size_t points;       /* of a curve */
    ph_row *row;
    float *e;            /* (rows,T,C) */
    double *curves;      /* (2,rows,points): activations, then objectives */
    int32_t *own;        /* (rows,longest) the tokens a method names itself */
    int32_t *ids;        /* (PH_DECODES,rows,T) */
    ph_near *nearest;    /* (rows,T) */
    ph_decoded *decoded; /* (rows,candidates) */
    ph_dream_row *found; /* (rows) */
    double *repeated;    /* (count) */
    ph_printed *fronts;  /* (count) */
    double seconds;
};

/* ---- options ---- */

/* The cross-entropy of texts takes the whole model. */
static ph_status check_fluent(const struct dream *d, const ph_feature *f, ph_error *err)
{
    if (!d->task.fluent || !f->tap.only) return PH_OK;
    return ph__fail(err, PH_EUNSUPPORTED, -1,
                    "%s: a block alone, but the cross-entropy is of the whole model", f->text);
}

static ph_status check_features(struct dream *d, const ph_features *features, ph_error *err)
{
    for (size_t i = 0; i < ph_features_count(features); i++) {
        const ph_feature *f = ph_features_at(features, i);
        ph_region r;
        PH_TRY(check_fluent(d, f, err));
        PH_TRY(ph__job_region(&r, &d->job, f, d->task.descent.T, err));
    }
    return PH_OK;
}

static ph_status check_options(struct dream *d, ph_error *err)
{
    const ph_dream_options *o = d->o;
    const int64_t longest = d->job.model->arch.context_length - (int64_t)d->job.n_context;

    if ((d->task.descent.objective = ph__objective_find(o->objective)) < 0)
        return ph__unknown("objective", o->objective, ph_objective_name, err);
    if ((d->task.descent.optimizer = ph__optimizer_find(o->optimizer)) < 0)
        return ph__unknown("optimizer", o->optimizer, ph_optimizer_name, err);
    d->decode = ph__decode_find(o->decode);
    if (d->decode < 0 && strcmp(o->decode, "all") != 0)
        return ph__unknown("decode", o->decode, ph_decode_name, err);
    if (!isfinite(o->target)) return ph__fail(err, PH_EINVAL, -1, "target must be a finite number");
    if (!isfinite(o->near_weight) || o->near_weight < 0)
        return ph__fail(err, PH_EINVAL, -1, "near weight %g: expected 0 or more", o->near_weight);
    PH_TRY(ph__within("tokens", d->task.descent.T, longest, err));
    PH_TRY(ph__task_limits(&d->task, d->method, longest, err));
    PH_TRY(ph__within("steps", o->steps, 1000000, err));
    PH_TRY(ph__within("top", o->top, 100000 - (d->method->answers ? SPARE : 0), err));
    return ph__within("restarts", d->restarts, 100000, err);
}

/* All that can be refused before anything is run. */
static ph_status settle(struct dream *d, const ph_model *model, const ph_features *features,
                        ph_error *err)
{
    const ph_dream_options *o = d->o;
    ph_run_options run;

    d->method = ph__method_find(o->method);
    if (!d->method) return ph__unknown("method", o->method, ph_method_name, err);
    PH_TRY(ph_features_run(&run, features, &o->run, err));
    PH_TRY(ph__job_open(&d->job, model, &run, err));
    PH_TRY(ph__job_allow(&d->job, &o->constraints, err));
    d->job.glimpse = o->glimpse;
    d->job.glimpse_payload = o->glimpse_payload;
    d->task.job = &d->job;
    d->task.o = o;
    d->task.descent = (ph_descent){
        .T = o->tokens, .steps = o->steps, .target = o->target, .near_weight = o->near_weight};
    PH_TRY(ph__task_start(&d->task, d->method, err));
    d->restarts = d->method->answers ? o->top + SPARE : o->restarts;
    d->task.answers = d->restarts;
    PH_TRY(check_options(d, err));
    d->order = (ph_order){d->job.run.sign, d->task.round_trip, o->outliers,
                          d->task.fluent ? o->lambda : 0};
    d->candidates = d->method->names;
    if (d->method->descends) d->candidates += d->decode < 0 ? PH_DECODES : 1;
    PH_TRY(
        ph__absolute_eta(&d->task.descent.eta_first, o->eta_first, o->eta_first_rms, model, err));
    PH_TRY(ph__absolute_eta(&d->task.descent.eta_last, o->eta_last, o->eta_last_rms, model, err));
    return check_features(d, features, err);
}

static ph_status open_tools(struct dream *d, ph_error *err)
{
    if (d->task.fluent) PH_TRY(ph__fluent_open(&d->fluent, &d->job, d->task.longest, err));
    if (d->method->descends || d->method->hunts)
        PH_TRY(ph__lexicon_open(&d->lexicon, d->job.model, err));
    d->task.descent.lexicon = d->task.lexicon = d->lexicon;
    return ph__scorer_open(&d->task.scorer, &d->job, err);
}

/* ---- a batch and its rows ---- */

static void batch_close(struct batch *b, const struct dream *d)
{
    for (size_t i = 0; b->decoded && i < (size_t)b->rows * d->candidates; i++)
        ph__decoded_close(&b->decoded[i]);
    for (size_t i = 0; b->fronts && i < b->count; i++) ph__front_close(&b->fronts[i]);
    for (int64_t i = 0; b->row && i < b->rows; i++) ph__free(b->row[i].front);
    ph__free(b->fronts);
    ph__free(b->row);
    ph__free(b->e);
    ph__free(b->curves);
    ph__free(b->own);
    ph__free(b->ids);
    ph__free(b->nearest);
    ph__free(b->decoded);
    ph__free(b->found);
    ph__free(b->repeated);
}

static ph_status batch_new(struct batch *b, const struct dream *d, ph_error *err)
{
    const size_t rows = (size_t)b->rows, T = (size_t)d->task.descent.T;
    const size_t C = (size_t)d->job.model->arch.C;
    size_t n;

    if (!ph__mul(&n, rows, T * C)) return ph__fail_memory(err, SIZE_MAX);
    PH_TRY(PH_NEW(&b->row, rows, err));
    PH_TRY(PH_NEW(&b->curves, 2 * rows * b->points, err));
    PH_TRY(PH_NEW(&b->own, rows * (size_t)d->task.longest, err));
    PH_TRY(PH_NEW(&b->decoded, rows * d->candidates, err));
    PH_TRY(PH_NEW(&b->found, rows, err));
    PH_TRY(PH_NEW(&b->repeated, b->count, err));
    PH_TRY(PH_NEW(&b->fronts, b->count, err));
    if (!d->method->descends) return PH_OK;
    PH_TRY(PH_NEW(&b->e, n, err));
    PH_TRY(PH_NEW(&b->ids, rows * PH_DECODES * T, err));
    return PH_NEW(&b->nearest, rows * T, err);
}

static ph_status set_rows(struct batch *b, const struct dream *d, ph_error *err)
{
    const int64_t T = d->task.descent.T, C = d->job.model->arch.C;
    for (int64_t i = 0; i < b->rows; i++) {
        const ph_feature *f = b->group->features[b->first + (size_t)(i / d->restarts)];
        ph_row *r = &b->row[i];
        *r = (ph_row){.feature = f, .restart = i % d->restarts, .n = T};
        r->curve = b->curves + (size_t)i * b->points;
        if (d->method->complete) r->scan = d->job.model->arch.V;
        if (d->method->names) r->ids = b->own + i * d->task.longest;
        if (d->method->descends) {
            r->e = b->e + i * T * C;
            r->objective = b->curves + (size_t)(b->rows + i) * b->points;
        }
        PH_TRY(ph__job_region(&r->region, &d->job, f, T, err));
    }
    return PH_OK;
}

/* ---- yardsticks of a group, when first needed ---- */

static ph_status measure_group(struct group *g, struct dream *d, ph_error *err)
{
    if (g->measured) return PH_OK;
    PH_TRY(PH_NEW(&g->random, g->count, err));
    PH_TRY(ph__baseline(g->random, &g->norm, d->task.scorer, &d->job, g->features, g->count,
                        d->task.descent.T, err));
    if (d->o->corpus && g->features[0]->n_taps <= 1) {
        const double ordinary = ph_corpus_norm(d->o->corpus, g->features[0]->tap);
        if (isfinite(ordinary)) g->norm = ordinary;
    }
    if (d->method->hunts) PH_TRY(PH_NEW(&g->singles, g->count * (size_t)d->job.model->arch.V, err));
    PH_TRY(ph__complete(&g->complete, g->singles, d->task.scorer, &d->job, g->features, g->count, 1,
                        err));
    g->measured = true;
    return PH_OK;
}

static ph_near best_single(const struct group *g, size_t feature, int sign)
{
    const ph_tally *t = &g->complete.tallies[feature];
    return sign < 0 ? t->worst : t->best;
}

/* The activation of T copies of the best single token. */
static ph_status score_repeated(struct batch *b, struct dream *d, ph_error *err)
{
    ph_status st = PH_OK;
    const size_t T = (size_t)d->task.descent.T;
    ph_item *items = NULL;
    int32_t *ids = NULL;

    PH_GO(PH_NEW(&items, b->count, err));
    PH_GO(PH_NEW(&ids, b->count * T, err));
    for (size_t i = 0; i < b->count; i++) {
        const ph_near best = best_single(b->group, b->first + i, d->o->run.sign);
        for (size_t t = 0; t < T; t++) ids[i * T + t] = best.id;
        items[i] =
            (ph_item){.feature = b->group->features[b->first + i], .ids = ids + i * T, .n = T};
    }
    PH_GO(ph__scorer_run(d->task.scorer, items, b->count, err));
    for (size_t i = 0; i < b->count; i++) b->repeated[i] = items[i].measured.activation;
done:
    ph__free(ids);
    ph__free(items);
    return st;
}

/* ---- decode, re-score ---- */

/* One reading of one row. `hidden` may point at rows of the embedding that no token names. */
static ph_decoded decoded_row(const struct dream *d, const ph_row *row, int32_t *ids,
                              const char *decode)
{
    const size_t T = decode ? (size_t)d->task.descent.T : (size_t)row->n;
    const int32_t known = ph_tokenizer_get_info(d->job.tokenizer)->vocab;
    ph_decoded out = {.decode = decode, .ids = ids, .n = T};

    for (size_t t = 0; t < T; t++) {
        out.special |= ids[t] < 0 || !d->job.is_ordinary[ids[t]];
        out.violates |= ids[t] < 0 || !d->job.is_allowed[ids[t]];
        if (ids[t] < 0 || ids[t] >= known) ids[t] = d->job.allowed[0];
    }
    out.activation.soft = row->e ? row->soft : (double)NAN;
    return out;
}

static ph_status decode_rows(struct batch *b, struct dream *d, ph_error *err)
{
    const size_t rows = (size_t)b->rows, T = (size_t)d->task.descent.T;
    ph_decoded *at = b->decoded;

    if (d->method->descends) {
        if (!d->decoder) PH_TRY(ph__decoder_open(&d->decoder, &d->job, d->lexicon, d->decode, err));
        PH_TRY(ph__decoder_run(d->decoder, b->ids, b->nearest, b->e, (int64_t)(rows * T), err));
    }
    for (size_t i = 0; i < rows; i++) {
        const ph_row *r = &b->row[i];
        if (r->ids) *at++ = decoded_row(d, r, r->ids, NULL);
        for (size_t k = 0; r->e && k < PH_DECODES; k++)
            if (d->decode < 0 || k == (size_t)d->decode)
                *at++ = decoded_row(d, r, b->ids + (k * rows + i) * T, ph_decode_name(k));
    }
    return PH_OK;
}

static ph_status rescore_rows(struct batch *b, struct dream *d, ph_error *err)
{
    ph_candidates *sets = NULL;
    const size_t per_feature = (size_t)d->restarts * d->candidates;

    PH_TRY(PH_NEW(&sets, b->count, err));
    for (size_t i = 0; i < b->count; i++)
        sets[i] = (ph_candidates){.list = b->decoded + i * per_feature,
                                  .count = per_feature,
                                  .feature = b->group->features[b->first + i],
                                  .fluent = d->fluent,
                                  .as_ids = d->task.round_trip == PH_ROUND_TRIP_OFF};
    ph_status st = ph__rescore(sets, b->count, d->task.scorer, &d->job, b->group->norm, err);
    ph__free(sets);
    return st;
}

static ph_status print_fronts(struct batch *b, struct dream *d, ph_error *err)
{
    for (size_t i = 0; d->fluent && i < b->count; i++)
        PH_TRY(ph__front_print(&b->fronts[i], &b->row[(int64_t)i * d->restarts], d->task.scorer,
                               d->fluent, &d->job, b->group->norm, &d->order, err));
    return PH_OK;
}

/* ---- answers ---- */

static int64_t forwards_of(const struct batch *b, const struct dream *d, size_t feature, bool naive)
{
    const size_t per_feature = (size_t)d->restarts * d->candidates;
    const ph_decoded *list = b->decoded + feature * per_feature;
    const ph_row *rows = b->row + (int64_t)feature * d->restarts;
    int64_t n = d->task.descent.T + b->fronts[feature].tokens; /* the repeated token, the front */

    for (int64_t i = 0; i < d->restarts; i++)
        n += naive && rows[i].naive ? rows[i].naive : rows[i].forwards;
    for (size_t i = 0; i < per_feature; i++) n += ph__rescore_cost(&list[i], d->fluent);
    return n;
}

static const ph_decoded *best_of_row(const struct batch *b, const struct dream *d, int64_t row)
{
    const ph_decoded *list = b->decoded + (size_t)row * d->candidates, *best = list;
    for (size_t k = 1; k < d->candidates; k++)
        if (ph__better(&list[k], best, &d->order)) best = &list[k];
    return best;
}

static bool alike(const ph_decoded *a, const ph_decoded *b)
{
    return ph__overlap(a->ids, a->n, b->ids, b->n) > 0.5;
}

/* Hand out one row's best answer. */
static ph_status report_row(const struct batch *b, struct dream *d, size_t feature, int64_t row,
                            size_t rank, ph_error *err)
{
    const struct group *g = b->group;
    const size_t at = b->first + feature, T = (size_t)d->task.descent.T;
    const ph_moments *m = &g->random[at];
    const ph_row *from = &b->row[row];
    const ph_decoded *answer = b->found[row].answer;
    ph_specificity specificity;
    PH_TRY(ph__specificity(&specificity, d->task.scorer, &d->job, d->o->corpus, g->features[at],
                           answer->ids, answer->n, err));
    const ph_dream_result r = {.feature = g->features[at],
                               .method = d->method->name,
                               .restart = from->restart,
                               .rank = rank,
                               .answer = answer,
                               .decodes = b->decoded + (size_t)row * d->candidates,
                               .n_decodes = d->candidates,
                               .rows = b->found + (int64_t)feature * d->restarts,
                               .n_rows = (size_t)d->restarts,
                               .random_mean = m->mean,
                               .random_sd = m->sd,
                               .random_min = m->min,
                               .random_max = m->max,
                               .random_n = PH_RANDOM_TEXTS,
                               .z = m->sd > 0 ? (answer->activation.text - m->mean) / m->sd
                                              : (double)NAN,
                               .best_token = best_single(g, at, d->o->run.sign),
                               .repeated = b->repeated[feature],
                               .curve = from->curve,
                               .n_curve = b->points,
                               .objective = from->objective,
                               .nearest = from->e ? b->nearest + (size_t)row * T : NULL,
                               .n_nearest = from->e ? T : 0,
                               .embedding = from->e,
                               .token_forwards = forwards_of(b, d, feature, false),
                               .naive_forwards = forwards_of(b, d, feature, true),
                               .scan_forwards = from->scan,
                               .budget = d->method->hunts ? d->task.reached : 0,
                               .starts = from->starts,
                               .specificity = specificity,
                               .cross_entropy = answer->cross_entropy,
                               .front = rank ? NULL : b->fronts[feature].list,
                               .n_front = rank ? 0 : b->fronts[feature].n,
                               .seconds = b->seconds / (double)b->count};
    if (d->result(&r, d->payload))
        return ph__fail(err, PH_ECANCELED, -1, "cancelled by the caller");
    return PH_OK;
}

static void summarise_rows(struct batch *b, const struct dream *d)
{
    for (int64_t i = 0; i < b->rows; i++) {
        const ph_row *r = &b->row[i];
        b->found[i] =
            (ph_dream_row){.restart = r->restart,
                           .objective = r->objective ? r->objective[b->points - 1] : (double)NAN,
                           .diverged = r->diverged,
                           .answer = best_of_row(b, d, i)};
    }
}

/* The feature's rows in order of rank, `top` of them, no two more than half alike. */
static ph_status report_feature(const struct batch *b, struct dream *d, size_t feature,
                                ph_error *err)
{
    ph_status st = PH_OK;
    const int64_t first = (int64_t)feature * d->restarts;
    const ph_dream_row *rows = b->found + first;
    bool *used = NULL;

    PH_TRY(PH_NEW(&used, (size_t)d->restarts, err));
    for (size_t rank = 0; rank < (size_t)d->o->top; rank++) {
        int64_t best = -1;
        for (int64_t i = 0; i < d->restarts; i++)
            if (!used[i] && (best < 0 || ph__better(rows[i].answer, rows[best].answer, &d->order)))
                best = i;
        if (best < 0) break;
        for (int64_t i = 0; i < d->restarts; i++)
            used[i] |= alike(rows[i].answer, rows[best].answer);
        PH_GO(report_row(b, d, feature, first + best, rank, err));
    }
    d->task.cost.token_forwards += forwards_of(b, d, feature, false);
    d->task.cost.naive_forwards += forwards_of(b, d, feature, true);
done:
    ph__free(used);
    return st;
}

/* Once a batch is searched, what was found is still to be reported: a call to cancel waits for that. */
static int note_cancel(const char *stage, double done, void *payload)
{
    struct dream *d = payload;
    const ph_run_options *run = &d->o->run;
    if (!d->task.stopped && run->progress)
        d->task.stopped = run->progress(stage, done, run->progress_payload) != 0;
    return 0;
}

static ph_status run_batch(struct dream *d, struct group *g, size_t first, size_t count,
                           ph_error *err)
{
    ph_status st = PH_OK;
    struct batch b = {.group = g, .first = first, .count = count};
    const double began = ph__now();

    b.rows = (int64_t)count * d->restarts;
    b.points = ph__method_points(d->method, &d->task.descent);
    PH_GO(batch_new(&b, d, err));
    PH_GO(set_rows(&b, d, err));
    if (d->method->complete) {
        PH_GO(measure_group(g, d, err));
        d->task.tally = g->complete.tallies + first;
        d->task.singles = g->singles ? g->singles + first * (size_t)d->job.model->arch.V : NULL;
        d->task.ordinary_norm = g->norm;
    }
    PH_GO(d->method->run(b.row, b.rows, &d->task, err));
    d->job.run.progress = note_cancel;
    d->job.run.progress_payload = d;
    d->task.cost.rows += b.rows;
    PH_GO(measure_group(g, d, err));
    PH_GO(decode_rows(&b, d, err));
    PH_GO(score_repeated(&b, d, err));
    PH_GO(rescore_rows(&b, d, err));
    PH_GO(print_fronts(&b, d, err));
    b.seconds = ph__now() - began;
    summarise_rows(&b, d);
    for (size_t i = 0; i < count; i++) PH_GO(report_feature(&b, d, i, err));
    if (d->task.stopped) st = ph__fail(err, PH_ECANCELED, -1, "cancelled by the caller");
done:
    d->job.run.progress = d->o->run.progress;
    d->job.run.progress_payload = d->o->run.progress_payload;
    batch_close(&b, d);
    return st;
}

/* ---- groups ---- */

/* A session for the group's descents, in batches that keep activations in cache. */
static ph_status open_session(struct group *g, struct dream *d, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    int64_t rows = BATCH_TOKENS / d->task.descent.T;
    const int64_t all = (int64_t)g->count * d->restarts;

    if (rows > all) rows = all;
    d->task.session_rows = rows < 1 ? 1 : rows;
    ph__session_at(&o, g->features[0]);
    o.rows = d->task.session_rows;
    o.tokens = d->task.descent.T;
    o.context = d->job.context;
    o.n_context = d->job.n_context;
    o.gradient = true;
    return ph__session_open_team(&d->task.session, d->job.model, &o, err);
}

static ph_status run_group(struct dream *d, struct group *g, ph_error *err)
{
    int64_t size = d->method->hunts ? HUNT_FEATURES : BATCH_FEATURES;

    if (d->method->descends) {
        PH_TRY(open_session(g, d, err));
        size = d->task.session_rows / d->restarts;
        size = size < 1 ? 1 : size > BATCH_FEATURES ? BATCH_FEATURES : size;
    }
    for (size_t at = 0; at < g->count; at += (size_t)size) {
        const size_t n = g->count - at < (size_t)size ? g->count - at : (size_t)size;
        PH_TRY(run_batch(d, g, at, n, err));
    }
    ph_session_close(&d->task.session);
    return PH_OK;
}

static void group_close(struct group *g)
{
    ph__complete_close(&g->complete);
    ph__free(g->singles);
    ph__free(g->random);
    ph__free(g->features);
    *g = (struct group){0};
}

static ph_status next_group(struct group *g, const ph_features *features, size_t first,
                            ph_error *err)
{
    PH_TRY(PH_NEW(&g->features, ph_features_count(features) - first, err));
    g->count = ph__same_tap_run(features, first, g->features);
    return PH_OK;
}

static void dream_close(struct dream *d)
{
    ph_session_close(&d->task.session);
    ph__decoder_close(&d->decoder);
    ph__fluent_close(&d->fluent);
    ph__lexicon_close(&d->lexicon);
    ph__scorer_close(&d->task.scorer);
    ph__encoded_close(&d->task.text);
    ph__job_close(&d->job);
}

ph_status ph_dream_check(const ph_model *model, const ph_features *features,
                         const ph_dream_options *options, ph_error *err)
{
    const ph_dream_options defaults = PH_DREAM_OPTIONS_INIT;
    ph_dream_options o = options ? *options : defaults;
    struct dream d = {.o = &o};

    ph_dream_defaults(&o);
    const ph_status st = settle(&d, model, features, err);
    dream_close(&d);
    return st;
}

ph_status ph_dream(const ph_model *model, const ph_features *features,
                   const ph_dream_options *options, ph_dream_fn result, void *payload,
                   ph_cost *cost, ph_error *err)
{
    const ph_dream_options defaults = PH_DREAM_OPTIONS_INIT;
    ph_dream_options o = options ? *options : defaults;
    struct dream d = {.o = &o, .result = result, .payload = payload, .began = ph__now()};
    struct group g = {0};
    ph_status st = PH_OK;

    ph_dream_defaults(&o);
    PH_GO(settle(&d, model, features, err));
    PH_GO(open_tools(&d, err));
    d.task.waiting = (int64_t)ph_features_count(features);
    for (size_t at = 0; at < ph_features_count(features); at += g.count) {
        group_close(&g);
        PH_GO(next_group(&g, features, at, err));
        PH_GO(run_group(&d, &g, err));
    }
done:
    d.task.cost.first_step = d.task.first > 0 ? d.task.first - d.began : 0;
    if (cost) *cost = d.task.cost;
    ph__resume_close(&d.task, st == PH_OK && !d.task.late);
    group_close(&g);
    dream_close(&d);
    return st;
}
