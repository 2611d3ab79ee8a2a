/* scorer.c — plain forward passes over texts: the only source of figures that are published. */
#include "search/scorer.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { BATCH_TOKENS = 512, KEPT = 8 };

/* A session with the host memory that one of its batches needs. */
struct seat {
    ph_session *session;
    const ph_feature *at; /* whose tap it runs to, borrowed */
    int64_t rows, T, W;
    int32_t *ids; /* (rows,T) */
    float *E;     /* (rows,T,C) */
    double *X;    /* (rows,T,W) */
    int64_t used; /* when last, for replacing the oldest */
};

struct ph_scorer {
    const ph_job *job;
    struct seat seats[KEPT];
    int64_t clock, tokens;
};

/* ---- seats: sessions by tap and length ---- */

static void seat_close(struct seat *s)
{
    ph_session_close(&s->session);
    ph__free(s->ids);
    ph__free(s->E);
    ph__free(s->X);
    *s = (struct seat){0};
}

static ph_status seat_open(struct seat *out, const ph_job *job, const ph_feature *at, int64_t T,
                           const int32_t *context, size_t n_context, ph_error *err)
{
    ph_status st = PH_OK;
    const int64_t rows = T < BATCH_TOKENS ? BATCH_TOKENS / T : 1;
    struct seat s = {.at = at, .rows = rows, .T = T};
    ph_session_options o = PH_SESSION_OPTIONS_INIT;

    ph__session_at(&o, at);
    o.rows = rows;
    o.tokens = T;
    o.context = context;
    o.n_context = n_context;
    PH_GO(ph__session_open_team(&s.session, job->model, &o, err));
    s.W = ph__session_width(s.session);
    PH_GO(PH_NEW(&s.ids, (size_t)(rows * T), err));
    PH_GO(PH_NEW(&s.E, (size_t)(rows * T * job->model->arch.C), err));
    PH_GO(PH_NEW(&s.X, (size_t)(rows * T * s.W), err));
    *out = s;
    s = (struct seat){0};
done:
    seat_close(&s);
    return st;
}

static ph_status find_seat(struct seat **out, ph_scorer *s, const ph_feature *at, int64_t T,
                           ph_error *err)
{
    struct seat *oldest = &s->seats[0];
    for (int i = 0; i < KEPT; i++) {
        struct seat *c = &s->seats[i];
        if (c->session && c->T == T && ph__same_taps(c->at, at)) {
            c->used = ++s->clock;
            *out = c;
            return PH_OK;
        }
        if (c->used < oldest->used) oldest = c;
    }
    seat_close(oldest);
    PH_TRY(seat_open(oldest, s->job, at, T, s->job->context, s->job->n_context, err));
    oldest->used = ++s->clock;
    *out = oldest;
    return PH_OK;
}

ph_status ph__scorer_open(ph_scorer **out, const ph_job *job, ph_error *err)
{
    ph_scorer *s = NULL;
    PH_TRY(PH_NEW(&s, 1, err));
    s->job = job;
    *out = s;
    return PH_OK;
}

void ph__scorer_close(ph_scorer **scorer)
{
    if (!*scorer) return;
    for (int i = 0; i < KEPT; i++) seat_close(&(*scorer)->seats[i]);
    ph__free(*scorer);
    *scorer = NULL;
}

int64_t ph__scorer_tokens(const ph_scorer *s)
{
    return s->tokens;
}

/* Forward B rows of the seat's ids; X holds the tap's output, checked to be finite. */
static ph_status forward(ph_scorer *s, struct seat *seat, int64_t B, ph_error *err)
{
    const size_t n = (size_t)(B * seat->T);
    double sum = 0;

    PH_TRY(ph_model_embed(s->job->model, seat->E, seat->ids, n, err));
    ph__session_write(seat->session, seat->E, B);
    PH_TRY(ph__session_run(seat->session, err));
    ph__session_read64(seat->session, seat->X);
    s->tokens += (int64_t)n;
    for (size_t i = 0; i < n * (size_t)seat->W; i++) sum += seat->X[i] * 0;
    if (sum == 0) return PH_OK;
    char tap[48];
    ph__tap_name(tap, seat->at->tap);
    return ph__fail(err, PH_ENUMERIC, -1, "the output of %s is NaN or infinite on a text", tap);
}

/* ---- items ---- */

/* A causal model does not see what follows: texts are padded to few lengths. */
static int64_t padded(size_t n)
{
    return n <= 8 ? (int64_t)n : ((int64_t)n + 3) / 4 * 4;
}

/* The same, but never longer than the model's context allows where the text itself fits. */
static int64_t batch_length(const ph_job *job, const ph_item *item, size_t n_context)
{
    const int64_t room = job->model->arch.context_length - (int64_t)n_context;
    const int64_t T = padded(item->n);
    return T > room ? (int64_t)item->n : T;
}

static bool same_context(const ph_item *a, const ph_item *b)
{
    if (!a->context || !b->context) return a->context == b->context;
    return a->n_context == b->n_context &&
           memcmp(a->context, b->context, a->n_context * sizeof *a->context) == 0;
}

static double largest_norm(const ph_region *r, const double *X, int64_t W)
{
    double largest = 0;
    for (int64_t t = r->first; t < r->last; t++) {
        double sum = 0;
        for (int64_t i = 0; i < W; i++) sum += X[t * W + i] * X[t * W + i];
        if (sqrt(sum) > largest) largest = sqrt(sum);
    }
    return largest;
}

static ph_status read_item(ph_item *item, const ph_region *r, const double *X, int64_t W,
                           ph_error *err)
{
    ph_measured post = {0};

    item->measured = ph__measure(r, item->values, X, (int64_t)item->n, W);
    item->norm = largest_norm(r, X, W);
    item->valid = true;
    if (item->behind) PH_TRY(ph__measure_post(&post, r, NULL, X, (int64_t)item->n, W, err));
    item->post = post.activation;
    return PH_OK;
}

/* Run the items named by `batch` through a seat. */
static ph_status run_batch(ph_scorer *s, struct seat *seat, ph_item *items, const size_t *batch,
                           int64_t B, ph_error *err)
{
    for (int64_t b = 0; b < B; b++) {
        const ph_item *item = &items[batch[b]];
        for (int64_t t = 0; t < seat->T; t++)
            seat->ids[b * seat->T + t] = item->ids[t < (int64_t)item->n ? t : 0];
    }
    PH_TRY(forward(s, seat, B, err));
    for (int64_t b = 0; b < B; b++) {
        ph_item *item = &items[batch[b]];
        ph_region r;
        PH_TRY(ph__job_region(&r, s->job, item->feature, (int64_t)item->n, err));
        PH_TRY(read_item(item, &r, seat->X + b * seat->T * seat->W, seat->W, err));
    }
    return PH_OK;
}

static ph_status run_like(ph_scorer *s, ph_item *items, size_t count, size_t first, bool *done,
                          size_t *batch, ph_error *err)
{
    const ph_item *model = &items[first];
    const ph_feature *at = model->feature;
    const size_t n_context = model->context ? model->n_context : s->job->n_context;
    const int64_t T = batch_length(s->job, model, n_context);
    struct seat own = {0}, *seat = &own;
    ph_status st = PH_OK;
    int64_t B = 0;

    if (model->context)
        PH_GO(seat_open(&own, s->job, at, T, model->context, n_context, err));
    else
        PH_GO(find_seat(&seat, s, at, T, err));
    for (size_t i = first; i < count; i++) {
        if (done[i] || batch_length(s->job, &items[i], n_context) != T) continue;
        if (!same_context(&items[i], model)) continue;
        done[i] = true;
        batch[B++] = i;
        if (B < seat->rows) continue;
        PH_GO(run_batch(s, seat, items, batch, B, err));
        B = 0;
    }
    if (B) PH_GO(run_batch(s, seat, items, batch, B, err));
done:
    seat_close(&own);
    return st;
}

/* The job's own context under another name is the job's own. */
static void normalise_context(const ph_job *job, ph_item *item)
{
    if (item->context && item->n_context == job->n_context &&
        memcmp(item->context, job->context, job->n_context * sizeof *job->context) == 0)
        item->context = NULL;
}

/* A text may tokenise to more tokens than it was made of: too many for the model. */
static bool fits(const ph_job *job, const ph_item *item)
{
    const size_t n_context = item->context ? item->n_context : job->n_context;
    return (int64_t)(item->n + n_context) <= job->model->arch.context_length;
}

ph_status ph__scorer_run(ph_scorer *s, ph_item *items, size_t count, ph_error *err)
{
    ph_status st = PH_OK;
    bool *done = NULL;
    size_t *batch = NULL;

    PH_GO(PH_NEW(&done, count, err));
    PH_GO(PH_NEW(&batch, count, err));
    for (size_t i = 0; i < count; i++) {
        ph_region r;
        normalise_context(s->job, &items[i]);
        items[i].valid = false;
        done[i] = items[i].n == 0 || !fits(s->job, &items[i]) ||
                  ph__job_region(&r, s->job, items[i].feature, (int64_t)items[i].n, NULL) != PH_OK;
    }
    for (size_t i = 0; i < count; i++)
        if (!done[i]) PH_GO(run_like(s, items, count, i, done, batch, err));
done:
    ph__free(batch);
    ph__free(done);
    return st;
}

/* ---- many texts of one length ---- */

static ph_status run_texts(ph_scorer *s, struct seat *seat, const int32_t *ids, int64_t rows,
                           const char *stage, ph_row_fn visit, void *payload, ph_error *err)
{
    const int64_t T = seat->T;
    for (int64_t at = 0; at < rows; at += seat->rows) {
        const int64_t B = rows - at < seat->rows ? rows - at : seat->rows;
        PH_TRY(ph__job_progress(s->job, stage, (double)at / (double)rows, err));
        memcpy(seat->ids, ids + at * T, (size_t)(B * T) * sizeof *ids);
        PH_TRY(forward(s, seat, B, err));
        for (int64_t b = 0; b < B; b++) visit(at + b, seat->X + b * T * seat->W, seat->W, payload);
    }
    return ph__job_progress(s->job, stage, 1, err);
}

ph_status ph__scorer_texts(ph_scorer *s, const ph_feature *at, const int32_t *ids, int64_t rows,
                           int64_t T, const char *stage, ph_row_fn visit, void *payload,
                           ph_error *err)
{
    struct seat *seat = NULL;
    PH_TRY(find_seat(&seat, s, at, T, err));
    return run_texts(s, seat, ids, rows, stage, visit, payload, err);
}

ph_status ph__scorer_next(ph_scorer *s, const ph_feature *at, const int32_t *begin, size_t length,
                          const int32_t *ids, int64_t n, const char *stage, ph_row_fn visit,
                          void *payload, ph_error *err)
{
    ph_status st = PH_OK;
    struct seat seat = {0};
    int32_t *context = NULL;
    const size_t before = s->job->n_context;

    PH_GO(PH_NEW(&context, before + length, err));
    if (before) memcpy(context, s->job->context, before * sizeof *context);
    if (length) memcpy(context + before, begin, length * sizeof *context);
    PH_GO(seat_open(&seat, s->job, at, 1, context, before + length, err));
    PH_GO(run_texts(s, &seat, ids, n, stage, visit, payload, err));
done:
    seat_close(&seat);
    ph__free(context);
    return st;
}
