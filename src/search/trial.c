/* trial.c — plain forward passes over many texts for many features.
 *
 * A token leaves K numbers behind: the value of each feature there (of a sum whose terms are apart,
 * that of each term), the norm of the taps' output, and -ln p of the token itself. A parent keeps them for every token of its text, as
 * the model keeps its keys and values; a child takes over those of the tokens in common.
 */
#include "search/trial.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH_TOKENS = 512,
    WIDE = 8192, /* outputs wider than this are run in smaller batches */
    WIDE_BATCH_TOKENS = 128
};

struct ph_trials {
    ph_trials_options o;
    ph_ragged *ragged;
    int64_t tokens, W, K;
    size_t n_taps;    /* of the features; the logits follow, with fluent */
    int64_t *columns; /* (count) each feature's first of the K numbers */
    double *x;        /* (W) one token's output */
    double *kept;     /* (parents,longest,K) */
    double *line;     /* (longest,K): one child's */
    float *X;         /* (tokens,W) of the feature's tap */
    float *L;         /* (tokens,V) of the logits, with fluent */
    double *own;      /* (tokens,K) */
    ph_strand *strands;
    size_t *order; /* of the children of a call */
    size_t cap;
};

/* How many numbers a feature leaves at a token, and where they are among the K. */
static int64_t columns_of(const ph_trials *t, size_t i)
{
    const ph_feature *f = t->o.features[i];
    return ph__apart(f, t->o.job->run.reduce) ? (int64_t)f->n_terms : 1;
}

static ph_status choose_columns(ph_trials *t, ph_error *err)
{
    PH_TRY(PH_NEW(&t->columns, t->o.count, err));
    for (size_t i = 0; i < t->o.count; i++) {
        t->columns[i] = t->K;
        t->K += columns_of(t, i);
    }
    t->K += 2;
    return PH_OK;
}

static ph_status open_ragged(ph_trials *t, ph_error *err)
{
    const ph_job *job = t->o.job;
    const ph_model_info *info = ph_model_get_info(job->model);
    const ph_tap *own = ph__taps_of(t->o.features[0], &t->n_taps);
    ph_tap taps[PH_RAGGED_TAPS + 1];
    ph_ragged_options o = {.taps = taps,
                           .n_taps = (int)t->n_taps + t->o.fluent,
                           .context = job->context,
                           .n_context = job->n_context,
                           .longest = t->o.longest,
                           .slots = t->o.parents};

    for (size_t i = 0; i < t->n_taps; i++) {
        t->W += ph_place_width(info, own[i].place);
        if (i < PH_RAGGED_TAPS) taps[i] = own[i];
    }
    taps[t->n_taps < PH_RAGGED_TAPS ? t->n_taps : PH_RAGGED_TAPS] =
        (ph_tap){PH_PLACE_LOGITS, false, 0};
    const int64_t widest = t->o.fluent ? job->model->arch.V : t->W;
    t->tokens = widest > WIDE ? WIDE_BATCH_TOKENS : BATCH_TOKENS;
    if (t->tokens < t->o.longest) t->tokens = t->o.longest;
    o.tokens = t->tokens;
    return ph__ragged_open(&t->ragged, job->model, &o, err);
}

ph_status ph__trials_open(ph_trials **out, const ph_trials_options *options, ph_error *err)
{
    ph_trials *t = NULL;
    ph_status st = PH_OK;

    PH_GO(PH_NEW(&t, 1, err));
    *t = (ph_trials){.o = *options};
    PH_GO(choose_columns(t, err));
    PH_GO(open_ragged(t, err));
    const size_t n = (size_t)t->tokens, K = (size_t)t->K;
    PH_GO(PH_NEW(&t->kept, (size_t)(options->parents * options->longest) * K, err));
    PH_GO(PH_NEW(&t->line, (size_t)options->longest * K, err));
    PH_GO(PH_NEW(&t->X, n * (size_t)t->W, err));
    PH_GO(PH_NEW(&t->x, (size_t)t->W, err));
    PH_GO(PH_NEW(&t->own, n * K, err));
    PH_GO(PH_NEW(&t->strands, n, err));
    if (options->fluent) PH_GO(PH_NEW(&t->L, n * (size_t)options->job->model->arch.V, err));
    *out = t;
    t = NULL;
done:
    ph__trials_close(&t);
    return st;
}

void ph__trials_close(ph_trials **trials)
{
    ph_trials *t = *trials;
    if (!t) return;
    ph__ragged_close(&t->ragged);
    ph__free(t->columns);
    ph__free(t->x);
    ph__free(t->kept);
    ph__free(t->line);
    ph__free(t->X);
    ph__free(t->L);
    ph__free(t->own);
    ph__free(t->strands);
    ph__free(t->order);
    ph__free(t);
    *trials = NULL;
}

/* ---- what a batch runs ---- */

/* The first token that has to be run: the one in front tells the next one's probability. */
static int64_t first_of(const ph_trials *t, const ph_child *c)
{
    const int64_t same = c->parent < 0 ? 0 : c->same;
    return t->o.fluent && same > 0 ? same - 1 : same;
}

int64_t ph__trials_cost(const ph_trials *t, const ph_child *c)
{
    return c->n - first_of(t, c);
}

/* qsort has no payload: the children of the call are sorted through this. */
struct place {
    int64_t parent, first, n;
    size_t index;
};

static int compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->parent != y->parent) return x->parent < y->parent ? -1 : 1;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Children alike next to each other, so that they share their attention. */
static ph_status arrange(ph_trials *t, const ph_child *children, size_t n, ph_error *err)
{
    struct place *places = NULL;

    if (n > t->cap) {
        PH_TRY(PH_GROW(&t->order, t->cap, n, err));
        t->cap = n;
    }
    PH_TRY(PH_NEW(&places, n, err));
    for (size_t i = 0; i < n; i++)
        places[i] = (struct place){children[i].parent, first_of(t, &children[i]), children[i].n, i};
    qsort(places, n, sizeof *places, compare);
    for (size_t i = 0; i < n; i++) t->order[i] = places[i].index;
    ph__free(places);
    return PH_OK;
}

/* ---- what a token leaves behind ---- */

/* The feature's numbers at a token whose output is x. */
static void read_feature(const ph_trials *t, size_t i, const double *x, double *y)
{
    const ph_feature *f = t->o.features[i];
    const int64_t n = columns_of(t, i);
    double sum = 0;

    for (size_t k = 0; k < f->n_terms; k++) {
        const double v = f->terms[k].weight * ph__term_value(&f->terms[k], x);
        if (n > 1) y[k] = v;
        sum += v;
    }
    if (n > 1) return;
    for (int64_t c = f->components.begin; c < f->components.end; c++) sum += x[c];
    *y = f->n_terms ? sum : sum / (double)(f->components.end - f->components.begin);
}

static double norm_of(const double *x, int64_t W)
{
    double sum = 0;
    for (int64_t i = 0; i < W; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

/* -ln softmax(logits)[id] */
static double surprise(const float *logits, int64_t V, int32_t id)
{
    float top = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < V; i++) top = logits[i] > top ? logits[i] : top;
    for (int64_t i = 0; i < V; i++) sum += (double)expf(logits[i] - top);
    return log(sum) + (double)(top - logits[id]);
}

/* The numbers of the tokens first … n-1 of a child, which begin at `at` of the batch. */
static void read_child(const ph_trials *t, const ph_child *c, int64_t at)
{
    const int64_t first = first_of(t, c), V = t->o.job->model->arch.V;
    for (int64_t p = first; p < c->n; p++) {
        const int64_t row = at + p - first;
        double *y = t->own + row * t->K;
        for (int64_t i = 0; i < t->W; i++) t->x[i] = (double)t->X[row * t->W + i];
        for (size_t i = 0; i < t->o.count; i++) read_feature(t, i, t->x, y + t->columns[i]);
        y[t->K - 2] = norm_of(t->x, t->W);
        if (!t->o.fluent) continue;
        const float *before = p > first ? t->L + (row - 1) * V
                              : p == 0  ? ph__ragged_context(t->ragged, (int)t->n_taps)
                                        : NULL;
        y[t->K - 1] = before ? surprise(before, V, c->ids[p]) : (double)NAN;
    }
}

/* The whole text's numbers (n,K): the parent's, then its own. With fluent the first token that was
 * run stands there for the next one's sake and is the parent's, unless it is the text's first. */
static void gather(ph_trials *t, const ph_child *c, int64_t at)
{
    const int64_t first = first_of(t, c), same = c->parent < 0 ? 0 : c->same;
    const size_t K = (size_t)t->K;
    if (same)
        memcpy(t->line, t->kept + (size_t)(c->parent * t->o.longest) * K,
               (size_t)same * K * sizeof *t->line);
    memcpy(t->line + (size_t)same * K, t->own + (size_t)(at + same - first) * K,
           (size_t)(c->n - same) * K * sizeof *t->line);
    if (c->keep >= 0)
        memcpy(t->kept + (size_t)(c->keep * t->o.longest) * K, t->line,
               (size_t)c->n * K * sizeof *t->line);
}

/* A feature's activation from its numbers: they are weighted already. */
static double activation(const ph_trials *t, size_t i, const ph_region *r, int64_t n)
{
    double sum = 0;
    for (int64_t k = 0; k < columns_of(t, i); k++) {
        ph_region one = r->apart ? ph__region_term(r, (size_t)k, n) : *r;
        one.terms = NULL;
        one.n_terms = 0;
        one.apart = false;
        one.begin = t->columns[i] + k;
        one.end = one.begin + 1;
        sum += ph__measure(&one, NULL, t->line, n, t->K).activation;
    }
    return sum;
}

static void measure(const ph_trials *t, int64_t n, ph_trial *out, double *cross)
{
    double sum = 0;
    int64_t counted = 0;

    for (size_t i = 0; i < t->o.count; i++) {
        ph_region r;
        out[i] = (ph_trial){(double)NAN, 0};
        if (ph__job_region(&r, t->o.job, t->o.features[i], n, NULL) != PH_OK) continue;
        out[i].activation = activation(t, i, &r, n);
        for (int64_t p = r.first; p < r.last; p++)
            out[i].norm = fmax(out[i].norm, t->line[p * t->K + t->K - 2]);
    }
    for (int64_t p = 0; t->o.fluent && p < n; p++) {
        const double s = t->line[p * t->K + t->K - 1];
        if (isnan(s)) continue;
        sum += s;
        counted++;
    }
    if (t->o.fluent) *cross = counted ? sum / (double)counted : (double)NAN;
}

/* The features' taps side by side. */
static void read_taps(ph_trials *t)
{
    int64_t at = 0;
    for (int i = 0; i < (int)t->n_taps; i++) {
        ph__ragged_read(t->ragged, i, t->X + at, t->W);
        at += ph__ragged_width(t->ragged, i);
    }
}

/* Children order[from] … order[to-1] fit a batch. */
static ph_status run_batch(ph_trials *t, const ph_child *children, size_t from, size_t to,
                           ph_error *err)
{
    for (size_t i = from; i < to; i++) {
        const ph_child *c = &children[t->order[i]];
        const int64_t first = first_of(t, c);
        t->strands[i - from] =
            (ph_strand){c->ids + first, c->n - first, first, first ? c->parent : -1, c->keep};
    }
    PH_TRY(ph__ragged_run(t->ragged, t->strands, (int64_t)(to - from), err));
    read_taps(t);
    if (t->o.fluent)
        ph__ragged_read(t->ragged, (int)t->n_taps, t->L,
                        ph__ragged_width(t->ragged, (int)t->n_taps));
    return PH_OK;
}

ph_status ph__trials_run(ph_trials *t, const ph_child *children, size_t n, ph_trial *out,
                         double *cross, ph_error *err)
{
    PH_TRY(arrange(t, children, n, err));
    for (size_t from = 0, to; from < n; from = to) {
        int64_t at = 0;
        for (to = from; to < n; to++) {
            const int64_t more = ph__trials_cost(t, &children[t->order[to]]);
            if (at + more > t->tokens) break;
            at += more;
        }
        PH_TRY(run_batch(t, children, from, to, err));
        at = 0;
        for (size_t i = from; i < to; i++) {
            const ph_child *c = &children[t->order[i]];
            read_child(t, c, at);
            gather(t, c, at);
            measure(t, c->n, out + t->order[i] * t->o.count,
                    t->o.fluent ? &cross[t->order[i]] : NULL);
            at += ph__trials_cost(t, c);
        }
    }
    return PH_OK;
}
