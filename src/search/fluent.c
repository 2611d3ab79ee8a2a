/* fluent.c — what the model itself would say: next-token distributions, cross-entropy, gradient.
 *
 * A session shows nothing of its context. Where there is one, its last token is run as the first of
 * every row instead: what stands there tells the text's first token.
 */
#include "search/fluent.h"

#include "base/mem.h"
#include "model/ragged.h"

#include <math.h>
#include <string.h>

enum {
    SLOPE_TOKENS = 96
}; /* rows × tokens at once: they have V numbers each, several times over */

/* Texts behind a context, whole, to the logits. */
struct plain {
    ph_session *session;
    int32_t *context, *ids; /* ids (tokens) */
    size_t n_context;
    int64_t rows, tokens, lead; /* lead 1: the context's last token stands in front */
    float *E;                   /* (rows,tokens,C) */
    double *L;                  /* (rows,tokens,V) */
};

struct ph_fluent {
    const ph_job *job;
    int64_t longest, C, V;
    struct plain text, slopes;
    float *dE;    /* (rows,tokens,C) of slopes */
    float *log_p; /* (longest,V) */
    ph_ragged *ragged;
    float *scores; /* (longest,V) */
};

ph_status ph__fluent_open(ph_fluent **out, const ph_job *job, int64_t longest, ph_error *err)
{
    ph_fluent *f = NULL;
    PH_TRY(PH_NEW(&f, 1, err));
    *f = (ph_fluent){
        .job = job, .longest = longest, .C = job->model->arch.C, .V = job->model->arch.V};
    *out = f;
    return PH_OK;
}

static void plain_close(struct plain *p)
{
    ph_session_close(&p->session);
    ph__free(p->context);
    ph__free(p->ids);
    ph__free(p->E);
    ph__free(p->L);
    *p = (struct plain){0};
}

void ph__fluent_close(ph_fluent **fluent)
{
    ph_fluent *f = *fluent;
    if (!f) return;
    plain_close(&f->text);
    plain_close(&f->slopes);
    ph__ragged_close(&f->ragged);
    ph__free(f->dE);
    ph__free(f->log_p);
    ph__free(f->scores);
    ph__free(f);
    *fluent = NULL;
}

/* ---- whole texts ---- */

/* For texts of n tokens, `rows` of them. */
static ph_status plain_open(struct plain *p, const ph_fluent *f, int64_t rows, int64_t n,
                            const int32_t *context, size_t n_context, bool gradient, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;

    *p = (struct plain){.n_context = n_context, .rows = rows, .lead = n_context > 0};
    p->tokens = n + p->lead;
    PH_TRY(PH_NEW(&p->context, n_context, err));
    if (n_context) memcpy(p->context, context, n_context * sizeof *context);
    const size_t N = (size_t)(rows * p->tokens);
    PH_TRY(PH_NEW(&p->ids, (size_t)p->tokens, err));
    PH_TRY(PH_NEW(&p->E, N * (size_t)f->C, err));
    PH_TRY(PH_NEW(&p->L, N * (size_t)f->V, err));
    o.tap = (ph_tap){PH_PLACE_LOGITS, false, 0};
    o.rows = rows;
    o.tokens = p->tokens;
    o.context = p->context;
    o.n_context = n_context - (size_t)p->lead;
    o.gradient = gradient;
    return ph_session_open(&p->session, f->job->model, &o, err);
}

/* A causal model does not see what follows: shorter texts are padded with their own first token. */
static ph_status put(struct plain *p, const ph_fluent *f, int64_t row, const int32_t *ids,
                     int64_t n, ph_error *err)
{
    if (p->lead) p->ids[0] = p->context[p->n_context - 1];
    for (int64_t t = 0; t < p->tokens - p->lead; t++) p->ids[p->lead + t] = ids[t < n ? t : 0];
    return ph_model_embed(f->job->model, p->E + row * p->tokens * f->C, p->ids, (size_t)p->tokens,
                          err);
}

static ph_status run_plain(struct plain *p, int64_t rows, ph_error *err)
{
    ph__session_write(p->session, p->E, rows);
    PH_TRY(ph__session_run(p->session, err));
    ph__session_read64(p->session, p->L);
    return PH_OK;
}

/* The scores of token t of a row; NULL where nothing stands before it. */
static double *scores_at(const struct plain *p, int64_t V, int64_t row, int64_t t)
{
    const int64_t at = t - 1 + p->lead;
    return at < 0 ? NULL : p->L + (row * p->tokens + at) * V;
}

/* ln sum exp */
static double total(const double *s, int64_t V)
{
    double most = (double)-INFINITY, sum = 0;
    for (int64_t v = 0; v < V; v++) most = s[v] > most ? s[v] : most;
    for (int64_t v = 0; v < V; v++) sum += exp(s[v] - most);
    return most + log(sum);
}

static bool holds(const struct plain *p, int64_t n, const int32_t *context, size_t n_context)
{
    return p->session && p->tokens - p->lead == n && p->n_context == n_context &&
           (n_context == 0 || memcmp(p->context, context, n_context * sizeof *context) == 0);
}

ph_status ph__fluent_cross(double *cross, ph_fluent *f, const int32_t *ids, size_t n,
                           const int32_t *context, size_t n_context, ph_error *err)
{
    struct plain *p = &f->text;
    const int64_t T = (int64_t)n;
    double sum = 0;
    int64_t counted = 0;

    *cross = (double)NAN;
    if (n == 0) return PH_OK;
    if (!context) {
        context = f->job->context;
        n_context = f->job->n_context;
    }
    if ((int64_t)(n + n_context) > f->job->model->arch.context_length) return PH_OK;
    if (!holds(p, T, context, n_context)) {
        plain_close(p);
        PH_TRY(plain_open(p, f, 1, T, context, n_context, false, err));
    }
    PH_TRY(put(p, f, 0, ids, T, err));
    PH_TRY(run_plain(p, 1, err));
    for (int64_t t = 0; t < T; t++) {
        const double *s = scores_at(p, f->V, 0, t);
        if (!s) continue;
        sum += total(s, f->V) - s[ids[t]];
        counted++;
    }
    if (counted) *cross = sum / (double)counted;
    return PH_OK;
}

/* ---- slopes ---- */

static ph_status open_slopes(ph_fluent *f, ph_error *err)
{
    const ph_job *job = f->job;
    const int64_t rows = SLOPE_TOKENS / (f->longest + 1);
    struct plain *p = &f->slopes;

    if (p->session) return PH_OK;
    plain_close(p); /* what an attempt that failed has left */
    PH_TRY(
        plain_open(p, f, rows < 1 ? 1 : rows, f->longest, job->context, job->n_context, true, err));
    if (!f->dE) PH_TRY(PH_NEW(&f->dE, (size_t)(p->rows * p->tokens * f->C), err));
    if (!f->log_p) PH_TRY(PH_NEW(&f->log_p, (size_t)(f->longest * f->V), err));
    return PH_OK;
}

static int64_t counted_of(const struct plain *p, int64_t n)
{
    return n - 1 + p->lead;
}

/* A row's scores become ln p; the cross-entropy of its text. */
static double normalise(const struct plain *p, int64_t V, int64_t row, const ph_fluent_text *text)
{
    double sum = 0;
    for (int64_t t = 0; t < text->n; t++) {
        double *s = scores_at(p, V, row, t);
        if (!s) continue;
        const double z = total(s, V);
        for (int64_t v = 0; v < V; v++) s[v] -= z;
        sum -= s[text->ids[t]];
    }
    return counted_of(p, text->n) ? sum / (double)counted_of(p, text->n) : (double)NAN;
}

/* A row's ln p become the gradient of the cross-entropy: (p - [the token]) / counted. */
static void seed(const struct plain *p, int64_t V, int64_t row, const ph_fluent_text *text)
{
    const double m = (double)counted_of(p, text->n);
    for (int64_t at = 0; at < p->tokens; at++) {
        const int64_t t = at + 1 - p->lead; /* the token that is predicted here */
        double *s = p->L + (row * p->tokens + at) * V;
        if (t >= text->n) {
            memset(s, 0, (size_t)V * sizeof *s);
            continue;
        }
        for (int64_t v = 0; v < V; v++) s[v] = exp(s[v]) / m;
        s[text->ids[t]] -= 1 / m;
    }
}

static void copy_log_p(ph_fluent *f, int64_t row, int64_t n)
{
    for (int64_t t = 0; t < n; t++) {
        const double *s = scores_at(&f->slopes, f->V, row, t);
        for (int64_t v = 0; v < f->V; v++) f->log_p[t * f->V + v] = s ? (float)s[v] : 0;
    }
}

static ph_status show(ph_fluent *f, int64_t row, int64_t index, const ph_fluent_text *text,
                      ph_fluency_fn visit, void *payload, ph_error *err)
{
    const struct plain *p = &f->slopes;
    const ph_fluency out = {.cross = normalise(p, f->V, row, text),
                            .counted = counted_of(p, text->n),
                            .gradient = f->dE + (row * p->tokens + p->lead) * f->C,
                            .log_p = f->log_p};
    copy_log_p(f, row, text->n);
    return visit(index, &out, payload, err);
}

/* The seeds overwrite the distributions, which are then read once more. */
static ph_status slopes(ph_fluent *f, const ph_fluent_text *texts, int64_t B, int64_t first,
                        ph_fluency_fn visit, void *payload, ph_error *err)
{
    struct plain *p = &f->slopes;

    for (int64_t i = 0; i < B; i++) PH_TRY(put(p, f, i, texts[i].ids, texts[i].n, err));
    PH_TRY(run_plain(p, B, err));
    for (int64_t i = 0; i < B; i++) {
        (void)normalise(p, f->V, i, &texts[i]);
        seed(p, f->V, i, &texts[i]);
    }
    PH_TRY(ph__session_back64(p->session, p->L, err));
    ph__session_gradient(p->session, f->dE);
    ph__session_read64(p->session, p->L);
    for (int64_t i = 0; i < B; i++) PH_TRY(show(f, i, first + i, &texts[i], visit, payload, err));
    return PH_OK;
}

ph_status ph__fluent_slopes(ph_fluent *f, const ph_fluent_text *texts, int64_t n,
                            ph_fluency_fn visit, void *payload, ph_error *err)
{
    PH_TRY(open_slopes(f, err));
    for (int64_t at = 0; at < n; at += f->slopes.rows) {
        const int64_t B = n - at < f->slopes.rows ? n - at : f->slopes.rows;
        PH_TRY(slopes(f, texts + at, B, at, visit, payload, err));
    }
    return PH_OK;
}

/* ---- the most probable tokens ---- */

static ph_status open_ragged(ph_fluent *f, ph_error *err)
{
    const ph_tap logits = {PH_PLACE_LOGITS, false, 0};
    const ph_ragged_options o = {.taps = &logits,
                                 .n_taps = 1,
                                 .context = f->job->context,
                                 .n_context = f->job->n_context,
                                 .tokens = f->longest,
                                 .longest = f->longest};
    if (!f->scores) PH_TRY(PH_NEW(&f->scores, (size_t)(f->longest * f->V), err));
    return f->ragged ? PH_OK : ph__ragged_open(&f->ragged, f->job->model, &o, err);
}

/* Ids rise, so a later one goes behind its equals. */
static void best_of(ph_near *top, int64_t k, const float *scores, const ph_fluent *f)
{
    const ph_job *job = f->job;
    double most = (double)-INFINITY, sum = 0;

    for (int64_t i = 0; i < k; i++) top[i] = (ph_near){-1, (double)-INFINITY};
    if (!scores) return;
    for (int64_t v = 0; v < f->V; v++) most = (double)scores[v] > most ? (double)scores[v] : most;
    for (int64_t v = 0; v < f->V; v++) sum += exp((double)scores[v] - most);
    for (size_t c = 0; c < job->n_allowed; c++) {
        const ph_near x = {job->allowed[c], (double)scores[job->allowed[c]] - most - log(sum)};
        int64_t at = k;
        while (at > 0 && x.value > top[at - 1].value) at--;
        if (at == k) continue;
        memmove(&top[at + 1], &top[at], (size_t)(k - 1 - at) * sizeof *top);
        top[at] = x;
    }
}

ph_status ph__fluent_top(ph_fluent *f, ph_near *top, int64_t k, const int32_t *ids, int64_t n,
                         ph_error *err)
{
    const ph_strand text = {ids, n, 0, -1, -1};

    PH_TRY(open_ragged(f, err));
    PH_TRY(ph__ragged_run(f->ragged, &text, 1, err));
    ph__ragged_read(f->ragged, 0, f->scores, f->V);
    for (int64_t t = 0; t < n; t++)
        best_of(top + t * k, k, t ? f->scores + (t - 1) * f->V : ph__ragged_context(f->ragged, 0),
                f);
    return PH_OK;
}

/* ---- draws ---- */

ph_status ph__draws_open(ph_draws *out, const ph_job *job, const float *scores, ph_error *err)
{
    double most = (double)-INFINITY;

    *out = (ph_draws){.job = job};
    PH_TRY(PH_NEW(&out->p, job->n_allowed, err));
    for (size_t i = 0; scores && i < job->n_allowed; i++)
        most = fmax(most, (double)scores[job->allowed[i]]);
    for (size_t i = 0; i < job->n_allowed; i++)
        out->p[i] = scores ? exp((double)scores[job->allowed[i]] - most) : 1;
    return PH_OK;
}

int32_t ph__draw(ph_draws *d, ph_rng *rng)
{
    const size_t n = d->job->n_allowed;
    double sum = 0;
    size_t last = n;

    for (size_t i = 0; i < n; i++) sum += d->p[i];
    double at = sum * ((double)(ph__rng_next(rng) >> 11) * 0x1p-53);
    for (size_t i = 0; i < n; i++) {
        if (d->p[i] == 0) continue;
        last = i;
        if ((at -= d->p[i]) < 0) break;
    }
    if (last == n) return -1;
    d->p[last] = 0;
    return d->job->allowed[last];
}

void ph__draws_close(ph_draws *d)
{
    ph__free(d->p);
    *d = (ph_draws){0};
}
