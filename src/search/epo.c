/* epo.c — evolutionary prompt optimisation: a population over a grid of weights of fluency.
 *
 * Member i looks for the highest sign × activation - lambda_i × cross-entropy, the mean in nats of
 * fluent.h. In every step each makes `children` variants of one swap, position and token drawn
 * uniformly, of the top_k tokens by the derivative of its own objective; then every place goes to the
 * best text for its lambda among all members and all their children, so that one text may take
 * several places. After every `restart_every` steps all places go to a member drawn at random. The
 * front of everything that was evaluated is the result; hunt.h keeps it. A text is evaluated once
 * only.
 * Source: Thompson et al. 2024 (EPO, 2402.01702) and its program, whose derivative with respect to
 * one-hot tokens this is; without weights, with one member, it is swap.c that stays.
 */
#include "base/mem.h"
#include "search/fluent.h"
#include "search/hunt.h"
#include "search/options.h"

#include <math.h>
#include <string.h>

/* A place of the population. */
struct member {
    ph_find at;
    double lambda;
    ph_rng rng;
    int32_t *top; /* (longest,top_k) */
    int64_t home; /* the first member with the same text: it keeps that */
    bool sloped;  /* top is of the text that stands here */
};

/* A feature's population. */
struct breed {
    struct member *members; /* size */
    ph_rng rng;
    int64_t steps;
    bool over; /* there were no variants left, or the steps were done */
};

struct epo {
    ph_hunt hunt;
    ph_task *task;
    ph_fluent *fluent;
    struct breed *breeds;   /* one for each quarry */
    struct member *members; /* (count,size) */
    ph_find *next;          /* (size) */
    int64_t size;
    int32_t *lists;
    float *gradients;      /* (size,longest,C) of the activation, where a home needs it */
    float *x;              /* (longest,C) */
    ph_hint_text *hinted;  /* (size) */
    ph_fluent_text *texts; /* (size) … */
    int64_t *homes;        /* (size) … and whose they are */
    struct breed *breed;   /* of this step */
};

/* ---- open ---- */

ph_status ph__epo_check(const ph_dream_options *o, ph_error *err)
{
    const double a = o->lambda_first, b = o->lambda_last;

    PH_TRY(ph__within("population", o->population, 10000, err));
    PH_TRY(ph__within("children", o->children, 1000000, err));
    if (o->restart_every < 0)
        return ph__fail(err, PH_EINVAL, -1, "restart-every %lld: expected 0 or more",
                        (long long)o->restart_every);
    if (a == 0 && b == 0) return PH_OK;
    if (isfinite(a) && isfinite(b) && a > 0 && b > 0) return PH_OK;
    return ph__fail(err, PH_EINVAL, -1, "lambda %g:%g: expected both more than 0, or both 0", a, b);
}

static double weight(const ph_dream_options *o, int64_t i)
{
    const double a = o->lambda_first, b = o->lambda_last;
    if (a == b || o->population == 1) return a;
    return exp(log(a) + (log(b) - log(a)) * (double)i / (double)(o->population - 1));
}

static void set_members(struct epo *e)
{
    const ph_task *t = e->task;
    const int64_t each = t->longest * t->top_k;

    for (int64_t q = 0; q < e->hunt.count; q++) {
        struct breed *b = &e->breeds[q];
        b->members = e->members + q * e->size;
        b->rng = ph__rng(t->job->run.seed, (uint64_t)1 << 43);
        for (int64_t i = 0; i < e->size; i++) {
            struct member *m = &b->members[i];
            m->top = e->lists + (q * e->size + i) * each;
            m->lambda = weight(t->o, i);
            m->rng = ph__rng(t->job->run.seed, ((uint64_t)1 << 42) + (uint64_t)i);
        }
    }
}

static ph_status epo_open(struct epo *e, ph_row *rows, int64_t n, ph_task *t, ph_error *err)
{
    const size_t size = (size_t)t->o->population, longest = (size_t)t->longest;
    const size_t C = (size_t)t->job->model->arch.C;

    e->task = t;
    e->size = t->o->population;
    PH_TRY(ph__hunt_open(&e->hunt, rows, n, t, e->size, err));
    e->hunt.share = false; /* as in the paper: a population sees only itself */
    const size_t count = (size_t)e->hunt.count;
    PH_TRY(ph__fluent_open(&e->fluent, t->job, t->longest, err));
    PH_TRY(PH_NEW(&e->breeds, count, err));
    PH_TRY(PH_NEW(&e->members, count * size, err));
    PH_TRY(PH_NEW(&e->next, size, err));
    PH_TRY(PH_NEW(&e->lists, count * size * longest * (size_t)t->top_k, err));
    PH_TRY(PH_NEW(&e->gradients, size * longest * C, err));
    PH_TRY(PH_NEW(&e->x, longest * C, err));
    PH_TRY(PH_NEW(&e->hinted, size, err));
    PH_TRY(PH_NEW(&e->texts, size, err));
    PH_TRY(PH_NEW(&e->homes, size, err));
    set_members(e);
    return PH_OK;
}

static void epo_close(struct epo *e)
{
    ph__hunt_close(&e->hunt);
    ph__fluent_close(&e->fluent);
    ph__free(e->breeds);
    ph__free(e->members);
    ph__free(e->next);
    ph__free(e->lists);
    ph__free(e->gradients);
    ph__free(e->x);
    ph__free(e->hinted);
    ph__free(e->texts);
    ph__free(e->homes);
}

static ph_status start(struct epo *e, ph_error *err)
{
    for (int64_t q = 0; q < e->hunt.count; q++)
        for (int64_t i = 0; i < e->size; i++) {
            struct member *m = &e->breeds[q].members[i];
            PH_TRY(ph__hunt_random(&m->at, &e->hunt, &m->rng, err));
            m->at.start = (int32_t)i;
            m->at.score = (double)NAN;
        }
    return PH_OK;
}

/* ---- a step: parents ---- */

static bool same_text(const ph_find *a, const ph_find *b)
{
    return a->n == b->n && memcmp(a->ids, b->ids, (size_t)a->n * sizeof *a->ids) == 0;
}

/* Evaluate and keep every text of the population. */
static ph_status keep_members(struct epo *e, int64_t q, ph_error *err)
{
    struct member *m = e->breeds[q].members;

    e->hunt.n = 0;
    for (int64_t i = 0; i < e->size; i++) {
        const ph_proposal p = {
            .quarry = q, .parent = -1, .keep = i, .source = (int32_t)i, .find = m[i].at};
        m[i].home = 0;
        while (!same_text(&m[m[i].home].at, &m[i].at)) m[i].home++;
        if (m[i].home == i) PH_TRY(ph__hunt_keep(&e->hunt, &p, err));
    }
    PH_TRY(ph__hunt_run(&e->hunt, err));
    for (int64_t i = 0; i < e->size; i++)
        for (size_t j = 0; j < e->hunt.n; j++)
            if (e->hunt.list[j].source == m[i].home) m[i].at = e->hunt.list[j].find;
    return PH_OK;
}

/* The members that need a list and share a home, with or without a weight; from i on, -1: none. */
static int64_t needs_list(const struct epo *e, int64_t home, int64_t i, bool weighted)
{
    const struct member *m = e->breed->members;
    for (; i < e->size; i++)
        if (m[i].home == home && !m[i].sloped && (m[i].lambda != 0 || !weighted)) return i;
    return -1;
}

/* The lists of a text's members that weigh its cross-entropy. */
static ph_status list_weighted(int64_t text, const ph_fluency *f, void *payload, ph_error *err)
{
    struct epo *e = payload;
    const int64_t C = e->task->job->model->arch.C, home = e->homes[text];
    const float *g = e->gradients + home * e->task->longest * C;

    for (int64_t i = 0; (i = needs_list(e, home, i, true)) >= 0;) {
        struct member *m = &e->breed->members[i];
        for (int64_t c = 0; c < m->at.n * C; c++)
            e->x[c] = (float)((double)g[c] - m->lambda * (double)f->gradient[c]);
        PH_TRY(ph__hints_top_more(e->hunt.hints, m->top, e->task->top_k, e->x, f->log_p,
                                  m->lambda / (double)(f->counted ? f->counted : 1), m->at.n, err));
        m->sloped = true;
    }
    return PH_OK;
}

static ph_status list_unweighted(struct epo *e, ph_error *err)
{
    const int64_t size = e->task->longest * e->task->job->model->arch.C;

    for (int64_t i = 0; i < e->size; i++) {
        struct member *m = &e->breed->members[i];
        if (m->sloped) continue;
        PH_TRY(ph__hints_top(e->hunt.hints, m->top, e->task->top_k, e->gradients + m->home * size,
                             m->at.n, err));
        m->sloped = true;
    }
    return PH_OK;
}

/* The gradients of each new text are found once, for all members that stand at it. */
static ph_status find_lists(struct epo *e, int64_t q, ph_error *err)
{
    const int64_t size = e->task->longest * e->task->job->model->arch.C;
    int64_t hinted = 0, weighted = 0;

    for (int64_t home = 0; home < e->size; home++) {
        const ph_find *f = &e->breed->members[home].at;
        if (needs_list(e, home, home, false) < 0) continue;
        e->hinted[hinted++] =
            (ph_hint_text){e->hunt.features[q], f->ids, f->n, e->gradients + home * size};
        if (needs_list(e, home, home, true) < 0) continue;
        e->texts[weighted] = (ph_fluent_text){f->ids, f->n};
        e->homes[weighted++] = home;
    }
    ph__hunt_charge(&e->hunt, q, 3 * e->task->longest * (hinted + weighted));
    PH_TRY(ph__hints_run(e->hunt.hints, e->hinted, hinted, err));
    if (weighted) PH_TRY(ph__fluent_slopes(e->fluent, e->texts, weighted, list_weighted, e, err));
    return list_unweighted(e, err);
}

/* ---- a step: children ---- */

static ph_status propose(struct epo *e, int64_t q, struct member *m, ph_error *err)
{
    const int64_t children = e->task->o->children;
    const uint64_t k = (uint64_t)e->task->top_k;
    int64_t made = 0;

    for (int64_t tries = 0; made < children && tries < 8 * children; tries++) {
        ph_proposal c = {.quarry = q, .owner = q + 1, .parent = m->home, .keep = -1, .find = m->at};
        const uint64_t pos = ph__rng_below(&m->rng, (uint64_t)m->at.n);
        bool taken;
        c.find.ids[pos] = m->top[pos * k + ph__rng_below(&m->rng, k)];
        c.same = ph__hunt_same(&c.find, &m->at);
        PH_TRY(ph__hunt_propose(&taken, &e->hunt, &c, err));
        made += taken;
    }
    return PH_OK;
}

/* A text in the eyes of a place. */
static ph_find seen_by(const struct epo *e, const struct member *m, const ph_find *f)
{
    ph_find own = *f;
    own.score = e->task->job->run.sign * f->activation;
    if (m->lambda != 0) own.score -= m->lambda * f->cross;
    return own;
}

/* The best text for a place; its own among equals. */
static ph_find best_for(const struct epo *e, const struct member *m)
{
    ph_find best = seen_by(e, m, &m->at);

    for (int64_t i = 0; i < e->size; i++) {
        const ph_find f = seen_by(e, m, &e->breed->members[i].at);
        if (ph__find_better(&e->hunt, &f, &best)) best = f;
    }
    for (size_t j = 0; j < e->hunt.n; j++) {
        const ph_find f = seen_by(e, m, &e->hunt.list[j].find);
        if (ph__find_better(&e->hunt, &f, &best)) best = f;
    }
    return best;
}

static void put(struct member *m, const ph_find *f)
{
    m->sloped &= same_text(&m->at, f);
    m->at = *f;
}

static void select_members(struct epo *e)
{
    struct breed *b = e->breed;

    for (int64_t i = 0; i < e->size; i++) e->next[i] = best_for(e, &b->members[i]);
    for (int64_t i = 0; i < e->size; i++) put(&b->members[i], &e->next[i]);
    b->steps++;
    b->over = e->hunt.n == 0 || b->steps == e->task->o->steps;
    if (e->task->o->restart_every == 0 || b->steps % e->task->o->restart_every) return;
    const ph_find one = b->members[ph__rng_below(&b->rng, (uint64_t)e->size)].at;
    for (int64_t i = 0; i < e->size; i++) put(&b->members[i], &one);
}

static ph_status step(struct epo *e, int64_t q, ph_error *err)
{
    e->breed = &e->breeds[q];
    PH_TRY(keep_members(e, q, err));
    PH_TRY(find_lists(e, q, err));
    e->hunt.n = 0;
    for (int64_t i = 0; i < e->size; i++) PH_TRY(propose(e, q, &e->breed->members[i], err));
    PH_TRY(ph__hunt_run(&e->hunt, err));
    select_members(e);
    return PH_OK;
}

/* ---- the whole ---- */

/* A feature's steps of this round. */
static ph_status run_quarry(struct epo *e, int64_t q, bool *go_on, ph_error *err)
{
    while (*go_on && ph__hunt_live(&e->hunt, q) && !e->breeds[q].over) {
        PH_TRY(step(e, q, err));
        PH_TRY(ph__hunt_look(go_on, &e->hunt, "epo", ph__hunt_done(&e->hunt), err));
    }
    return PH_OK;
}

static bool all_over(const struct epo *e)
{
    for (int64_t q = 0; q < e->hunt.count; q++)
        if (!e->breeds[q].over) return false;
    return true;
}

ph_status ph__epo(ph_row *rows, int64_t n, ph_task *task, ph_error *err)
{
    struct epo e = {0};
    ph_status st = PH_OK;
    bool go_on = true;

    PH_GO(epo_open(&e, rows, n, task, err));
    PH_GO(start(&e, err));
    while (go_on && !all_over(&e) && ph__hunt_round(&e.hunt))
        for (int64_t q = 0; q < e.hunt.count; q++) PH_GO(run_quarry(&e, q, &go_on, err));
    if (all_over(&e)) task->reached = task->o->budget;
    PH_GO(ph__hunt_answer(&e.hunt, rows, err));
done:
    epo_close(&e);
    return st;
}
