/* exact.c — a text from its states, position by position.
 *
 * The state at a position depends on the tokens up to it: with those before it found, the token
 * whose state is the text's is the text's token (Nikolaou et al. 2025, 2510.15511, SipIt). Which
 * tokens are tried first is what a gradient suggests. Probes, embeddings that need not be tokens,
 * move against the gradient of their distance to the state, and the tokens that lie most in a
 * probe's direction, as seen from the mean embedding, are tried. The first probe descends round by
 * round from the mean itself; the others make one step each from the tokens that came nearest so
 * far.
 *
 * Knows nothing of text; called by recover.c.
 */
#include "base/mem.h"
#include "search/recover.h"

#include <math.h>
#include <string.h>

enum {
    PROBES = 8,     /* at once */
    FOR_EACH = 8,   /* candidates that a probe names in a round … */
    FOR_FIRST = 32, /* … and the first one while it is alone */
    BATCH = PROBES * FOR_EACH,
    FALL = 30, /* rounds in which the first probe's step falls to 0, to begin anew */
    ENOUGH = 4 /* components with which a distance below the tolerance is no accident */
};

/* Lengths of steps, in the mean distance of a token from the mean embedding: the first probe's in
 * the beginning, and that from a token. */
static const double first_step = 0.2, token_step = 0.5;

/* The vocabulary as seen from its mean embedding. */
struct view {
    const float *W; /* (V,C) borrowed */
    int64_t V, C;
    float *mean;    /* (C) */
    float *length;  /* (V) |w - mean| */
    double typical; /* mean of these */
};

/* The search for the token of one position. */
struct hunt {
    ph_target *target;
    const struct view *view;
    ph_session *session;
    ph_region region;
    const double *state; /* (W) that has to be met */
    double norm;         /* of that */
    bool certain;        /* the region has components enough to stop at a token within rounding */
    float *descent;      /* (C) the first probe, from round to round */
    float *e, *dE;       /* (BATCH,C) */
    double *X, *dX;      /* (BATCH,W), (PROBES,W) */
    float *score;        /* (PROBES,V) */
    bool *tried;         /* (V) */
    float *promise;      /* (V) minus the distance of tokens that no probe started from yet */
    int32_t batch[BATCH];
    int64_t n;         /* in the batch */
    ph_near best;      /* the nearest token so far */
    int64_t all, next; /* candidates there are; the first id not yet looked at, unguided */
    int64_t count;     /* tried so far */
};

/* ---- the view ---- */

static void view_close(struct view *v)
{
    ph__free(v->mean);
    ph__free(v->length);
}

static ph_status find_mean(struct view *v, ph_error *err)
{
    double *sum = NULL;

    PH_TRY(PH_NEW(&v->mean, (size_t)v->C, err));
    PH_TRY(PH_NEW(&sum, (size_t)v->C, err));
    for (int64_t t = 0; t < v->V; t++)
        for (int64_t i = 0; i < v->C; i++) sum[i] += (double)v->W[t * v->C + i];
    for (int64_t i = 0; i < v->C; i++) v->mean[i] = (float)(sum[i] / (double)v->V);
    ph__free(sum);
    return PH_OK;
}

static ph_status view_open(struct view *v, const ph_lexicon *lexicon, int64_t C, ph_error *err)
{
    *v = (struct view){.W = ph__lexicon_rows(lexicon), .V = ph__lexicon_vocab(lexicon), .C = C};
    PH_TRY(find_mean(v, err));
    PH_TRY(PH_NEW(&v->length, (size_t)v->V, err));
    for (int64_t t = 0; t < v->V; t++) {
        double squares = 0;
        for (int64_t i = 0; i < C; i++) {
            const double d = (double)v->W[t * C + i] - (double)v->mean[i];
            squares += d * d;
        }
        v->length[t] = (float)sqrt(squares);
        v->typical += sqrt(squares) / (double)v->V;
    }
    return PH_OK;
}

/* ---- memory ---- */

static void hunt_close(struct hunt *h)
{
    ph_session_close(&h->session);
    ph__free(h->descent);
    ph__free(h->e);
    ph__free(h->dE);
    ph__free(h->X);
    ph__free(h->dX);
    ph__free(h->score);
    ph__free(h->tried);
    ph__free(h->promise);
}

static ph_status hunt_open(struct hunt *h, ph_target *target, const struct view *view,
                           ph_error *err)
{
    const size_t V = (size_t)view->V, C = (size_t)view->C, W = (size_t)target->W;

    *h = (struct hunt){.target = target, .view = view, .region = ph__single(target)};
    h->certain = h->region.end - h->region.begin >= ENOUGH;
    PH_TRY(PH_NEW(&h->descent, C, err));
    PH_TRY(PH_NEW(&h->e, BATCH * C, err));
    PH_TRY(PH_NEW(&h->dE, BATCH * C, err));
    PH_TRY(PH_NEW(&h->X, BATCH * W, err));
    PH_TRY(PH_NEW(&h->dX, PROBES * W, err));
    PH_TRY(PH_NEW(&h->score, PROBES * V, err));
    PH_TRY(PH_NEW(&h->tried, V, err));
    return PH_NEW(&h->promise, V, err);
}

/* Begin with a position; only tokens that are allowed are left to be tried. */
static ph_status aim(struct hunt *h, const int32_t *before, int64_t t, ph_error *err)
{
    ph_target *target = h->target;
    const ph_recover_options *o = target->o;

    h->state = target->X + t * target->W;
    h->norm = ph__distance(&h->region, h->state, NULL, target->W);
    h->best = (ph_near){-1, (double)INFINITY};
    h->all = h->next = h->count = 0;
    memcpy(h->descent, h->view->mean, (size_t)h->view->C * sizeof *h->descent);
    for (int64_t i = 0; i < h->view->V; i++) {
        h->tried[i] = o->among != NULL;
        h->promise[i] = -INFINITY;
    }
    for (size_t i = 0; o->among && i < o->n_among; i++) h->tried[o->among[i]] = false;
    for (int64_t i = 0; i < h->view->V; i++) h->all += !h->tried[i];
    ph_session_close(&h->session);
    return ph__target_session(&h->session, target, before, (size_t)t, BATCH, !o->unguided, err);
}

/* ---- candidates ---- */

static double relative(const struct hunt *h, int64_t row)
{
    const double d = ph__distance(&h->region, h->X + row * h->target->W, h->state, h->target->W);
    return h->norm > 0 ? d / h->norm : d;
}

static ph_status forward(struct hunt *h, int64_t rows, ph_error *err)
{
    ph__session_write(h->session, h->e, rows);
    PH_TRY(ph__session_run(h->session, err));
    ph__session_read64(h->session, h->X);
    h->target->token_forwards += rows;
    return PH_OK;
}

static void add(struct hunt *h, int32_t id)
{
    h->tried[id] = true;
    h->batch[h->n++] = id;
}

/* Run the batch and note its distances; ties to the lower id. */
static ph_status evaluate(struct hunt *h, ph_error *err)
{
    if (h->n == 0) return PH_OK;
    PH_TRY(ph_model_embed(h->target->job->model, h->e, h->batch, (size_t)h->n, err));
    PH_TRY(forward(h, h->n, err));
    for (int64_t i = 0; i < h->n; i++) {
        const ph_near now = {h->batch[i], relative(h, i)};
        h->promise[now.id] = -(float)now.value;
        if (now.value < h->best.value || (now.value == h->best.value && now.id < h->best.id))
            h->best = now;
    }
    h->count += h->n;
    h->n = 0;
    return PH_OK;
}

/* The next candidates in the order of their ids. */
static ph_status try_next(struct hunt *h, ph_error *err)
{
    for (; h->n < BATCH && h->next < h->view->V; h->next++)
        if (!h->tried[h->next]) add(h, (int32_t)h->next);
    return evaluate(h, err);
}

static bool found(const struct hunt *h)
{
    return h->certain && h->best.value <= PH_EXACT_TOLERANCE;
}

/* ---- probes ---- */

/* The index of the largest key; -1 if all are -INFINITY. */
static int32_t largest(const float *key, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (key[i] > key[best]) best = i;
    return key[best] == -INFINITY ? -1 : (int32_t)best;
}

/* Place the probes that start from tokens behind the first; returns how many probes there are. */
static int64_t start_probes(struct hunt *h)
{
    const int64_t C = h->view->C;
    int64_t n = 1;
    for (int32_t id; n < PROBES && (id = largest(h->promise, h->view->V)) >= 0; n++) {
        h->promise[id] = -INFINITY;
        memcpy(h->e + n * C, h->view->W + id * C, (size_t)C * sizeof *h->e);
    }
    return n;
}

/* Move a probe by `step` lengths of a typical embedding against its gradient. */
static void move(struct hunt *h, int64_t probe, double step)
{
    const int64_t C = h->view->C;
    const float *g = h->dE + probe * C;
    float *e = h->e + probe * C;
    double squares = 0;

    for (int64_t i = 0; i < C; i++) squares += (double)g[i] * (double)g[i];
    if (!(squares > 0) || !isfinite(squares)) return;
    const float factor = (float)(step * h->view->typical / sqrt(squares));
    for (int64_t i = 0; i < C; i++) e[i] -= factor * g[i];
}

/* score[t] = cosine of w - mean and the probe's e - mean, times the latter's length. */
static ph_status look(struct hunt *h, int64_t probes, ph_error *err)
{
    const struct view *v = h->view;

    for (int64_t p = 0; p < probes; p++)
        for (int64_t i = 0; i < v->C; i++) h->dE[p * v->C + i] = h->e[p * v->C + i] - v->mean[i];
    PH_TRY(ph__lexicon_scores(h->target->lexicon, h->score, h->dE, probes, err));
    for (int64_t p = 0; p < probes; p++) {
        const float *d = h->dE + p * v->C;
        float *s = h->score + p * v->V;
        double middle = 0;
        for (int64_t i = 0; i < v->C; i++) middle += (double)d[i] * (double)v->mean[i];
        for (int64_t t = 0; t < v->V; t++) {
            const float cosine = (s[t] - (float)middle) / v->length[t];
            s[t] = isfinite(cosine) ? cosine : 0;
        }
    }
    return PH_OK;
}

/* Gradients of the probes' distances to the state. */
static ph_status turn(struct hunt *h, int64_t probes, ph_error *err)
{
    const int64_t W = h->target->W;
    const int l2 = ph__objective_find("l2");

    PH_TRY(forward(h, probes, err));
    for (int64_t p = 0; p < probes; p++)
        ph__mismatch(h->dX + p * W, l2, h->state, &h->region, h->X + p * W, 1, W);
    PH_TRY(ph__session_back64(h->session, h->dX, err));
    ph__session_gradient(h->session, h->dE);
    h->target->token_forwards += 2 * probes;
    return PH_OK;
}

/* The tokens not yet tried that the probes point at, probe by probe. */
static void name_candidates(struct hunt *h, int64_t probes)
{
    const int64_t V = h->view->V, each = probes == 1 ? FOR_FIRST : FOR_EACH;

    for (int64_t p = 0; p < probes; p++) {
        float *s = h->score + p * V;
        int32_t id;
        for (int64_t t = 0; t < V; t++)
            if (h->tried[t]) s[t] = -INFINITY;
        for (int64_t k = 0; k < each && (id = largest(s, V)) >= 0; k++) {
            s[id] = -INFINITY;
            add(h, id);
        }
    }
}

/* One round: the probes move, and the tokens they point at are tried. */
static ph_status probe(struct hunt *h, int64_t round, ph_error *err)
{
    const size_t size = (size_t)h->view->C * sizeof *h->e;

    memcpy(h->e, h->descent, size);
    const int64_t probes = start_probes(h);
    PH_TRY(turn(h, probes, err));
    move(h, 0, first_step * (1 - (double)(round % FALL) / FALL));
    memcpy(h->descent, h->e, size);
    for (int64_t p = 1; p < probes; p++) move(h, p, token_step);
    PH_TRY(look(h, probes, err));
    name_candidates(h, probes);
    return evaluate(h, err);
}

/* ---- a position ---- */

static ph_status report(const struct hunt *h, int64_t t, ph_error *err)
{
    const double part = (double)h->count / (double)h->view->V;
    return ph__job_progress(h->target->job, "exact", ((double)t + part) / (double)h->target->T,
                            err);
}

/* Candidates until one is found, or there are no more. */
static ph_status hunt_token(struct hunt *h, int64_t t, ph_error *err)
{
    const bool guided = h->certain && !h->target->o->unguided;

    for (int64_t round = 0; h->count < h->all && !found(h); round++) {
        PH_TRY(guided ? probe(h, round, err) : try_next(h, err));
        PH_TRY(report(h, t, err));
    }
    if (h->best.id >= 0) return PH_OK;
    return ph__fail(err, PH_ENUMERIC, -1, "%s is NaN or infinite for every token at position %lld",
                    h->target->feature->text, (long long)t);
}

ph_status ph__exact(ph_exact *out, ph_target *target, ph_error *err)
{
    ph_status st = PH_OK;
    struct view view = {0};
    struct hunt hunt = {0};

    out->tried = 0;
    out->worst = 0;
    PH_GO(view_open(&view, target->lexicon, target->job->model->arch.C, err));
    PH_GO(hunt_open(&hunt, target, &view, err));
    for (int64_t t = 0; t < target->T; t++) {
        PH_GO(aim(&hunt, out->ids, t, err));
        PH_GO(hunt_token(&hunt, t, err));
        out->ids[t] = hunt.best.id;
        out->tried += hunt.count;
        out->worst = fmax(out->worst, hunt.best.value);
    }
    st = ph__job_progress(target->job, "exact", 1, err);
done:
    hunt_close(&hunt);
    view_close(&view);
    return st;
}
