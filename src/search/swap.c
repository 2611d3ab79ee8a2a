/* swap.c — greedy coordinate gradient: swaps of single tokens that the gradient proposes.
 *
 * In every step, for each position the top_k tokens by the gradient; `width` variants of one swap
 * each, position and token drawn uniformly; the best of them is the next text, better or not (with
 * `stay` only if it is better). The best text of all is the answer. A text is evaluated once only.
 * Source: Zou et al. 2023 (GCG, 2307.15043), algorithm 1.
 */
#include "base/mem.h"
#include "search/hunt.h"

#include <math.h>

/* One row: a text on its way. */
struct path {
    ph_find at, best;
    ph_rng rng;
    int32_t *top; /* (longest,top_k) */
    int64_t made; /* variants of this step */
    bool moving;  /* there were variants left */
    bool sloped;  /* top is of the text that it stands at */
    bool live;    /* takes part in this step */
};

struct swaps {
    ph_hunt hunt;
    ph_task *task;
    struct path *paths; /* n */
    int64_t n;
    int32_t *lists;
    float *gradients; /* (n,longest,C) */
};

static ph_status swaps_open(struct swaps *s, ph_row *rows, int64_t n, ph_task *t, ph_error *err)
{
    const size_t longest = (size_t)t->longest, k = (size_t)t->top_k;

    s->task = t;
    s->n = n;
    PH_TRY(ph__hunt_open(&s->hunt, rows, n, t, n, err));
    s->hunt.share = false; /* as in the paper: a path sees only itself */
    PH_TRY(PH_NEW(&s->paths, (size_t)n, err));
    PH_TRY(PH_NEW(&s->lists, (size_t)n * longest * k, err));
    PH_TRY(PH_NEW(&s->gradients, (size_t)(n * t->longest * t->job->model->arch.C), err));
    for (int64_t i = 0; i < n; i++) {
        s->paths[i].top = s->lists + (size_t)i * longest * k;
        s->paths[i].rng =
            ph__rng(t->job->run.seed, ((uint64_t)1 << 42) + (uint64_t)rows[i].restart);
    }
    return PH_OK;
}

static void swaps_close(struct swaps *s)
{
    ph__hunt_close(&s->hunt);
    ph__free(s->paths);
    ph__free(s->lists);
    ph__free(s->gradients);
}

static int64_t quarry_of(const struct swaps *s, int64_t path)
{
    return path / s->task->answers;
}

/* Evaluate and keep the text of every path that moves. */
static ph_status keep_paths(struct swaps *s, ph_error *err)
{
    s->hunt.n = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const ph_proposal p = {
            .quarry = quarry_of(s, i), .parent = -1, .keep = i, .find = s->paths[i].at};
        if (s->paths[i].live) PH_TRY(ph__hunt_keep(&s->hunt, &p, err));
    }
    PH_TRY(ph__hunt_run(&s->hunt, err));
    for (size_t j = 0; j < s->hunt.n; j++) {
        struct path *p = &s->paths[s->hunt.list[j].keep];
        p->at = s->hunt.list[j].find;
        if (ph__find_better(&s->hunt, &p->at, &p->best)) p->best = p->at;
    }
    return PH_OK;
}

static ph_status start(struct swaps *s, ph_error *err)
{
    for (int64_t i = 0; i < s->n; i++) {
        struct path *p = &s->paths[i];
        PH_TRY(ph__hunt_random(&p->at, &s->hunt, &p->rng, err));
        p->at.start = (int32_t)(i % s->task->answers);
        p->at.score = (double)NAN;
        p->best = p->at;
        p->moving = true;
    }
    return PH_OK;
}

static ph_status find_slopes(struct swaps *s, ph_error *err)
{
    const int64_t size = s->task->longest * s->task->job->model->arch.C;
    ph_hint_text *texts = NULL;
    ph_status st = PH_OK;
    int64_t n = 0;

    PH_TRY(PH_NEW(&texts, (size_t)s->n, err));
    for (int64_t i = 0; i < s->n; i++) {
        const struct path *p = &s->paths[i];
        if (!p->live || p->sloped) continue;
        texts[n++] = (ph_hint_text){s->hunt.features[quarry_of(s, i)], p->at.ids, p->at.n,
                                    s->gradients + i * size};
        ph__hunt_charge(&s->hunt, quarry_of(s, i), 3 * s->task->longest);
    }
    PH_GO(ph__hints_run(s->hunt.hints, texts, n, err));
    for (int64_t i = 0; i < s->n; i++) {
        struct path *p = &s->paths[i];
        if (!p->live || p->sloped) continue;
        PH_GO(ph__hints_top(s->hunt.hints, p->top, s->task->top_k, s->gradients + i * size, p->at.n,
                            err));
        p->sloped = true;
    }
done:
    ph__free(texts);
    return st;
}

static ph_status propose(struct swaps *s, int64_t i, ph_error *err)
{
    struct path *p = &s->paths[i];
    const int64_t k = s->task->top_k, width = s->task->o->width;

    p->made = 0;
    for (int64_t tries = 0; p->made < width && tries < 8 * width; tries++) {
        ph_proposal c = {.quarry = quarry_of(s, i),
                         .owner = i + 1,
                         .parent = i,
                         .keep = -1,
                         .source = (int32_t)i,
                         .find = p->at};
        const uint64_t pos = ph__rng_below(&p->rng, (uint64_t)p->at.n);
        bool taken;
        c.find.ids[pos] = p->top[pos * (uint64_t)k + ph__rng_below(&p->rng, (uint64_t)k)];
        c.same = ph__hunt_same(&c.find, &p->at);
        PH_TRY(ph__hunt_propose(&taken, &s->hunt, &c, err));
        p->made += taken;
    }
    return PH_OK;
}

/* Every path goes to the best of its variants. */
static void move(struct swaps *s)
{
    const bool stay = s->task->o->stay;

    for (int64_t i = 0; i < s->n; i++)
        if (s->paths[i].live && !stay) s->paths[i].at.score = (double)NAN;
    for (size_t j = 0; j < s->hunt.n; j++) {
        const ph_find *f = &s->hunt.list[j].find;
        struct path *p = &s->paths[s->hunt.list[j].source];
        if (!ph__find_better(&s->hunt, f, &p->at)) continue;
        p->at = *f;
        p->sloped = false;
        if (ph__find_better(&s->hunt, f, &p->best)) p->best = *f;
    }
    for (int64_t i = 0; i < s->n; i++) {
        struct path *p = &s->paths[i];
        if (p->live) p->moving = p->made > 0 && !isnan(p->at.score);
    }
}

static ph_status step(struct swaps *s, ph_error *err)
{
    PH_TRY(keep_paths(s, err));
    PH_TRY(find_slopes(s, err));
    s->hunt.n = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->paths[i].live) PH_TRY(propose(s, i, err));
    PH_TRY(ph__hunt_run(&s->hunt, err));
    move(s);
    return PH_OK;
}

/* Which paths take part in the next step; false if none does. */
static bool choose_live(struct swaps *s)
{
    bool any = false;
    for (int64_t i = 0; i < s->n; i++) {
        struct path *p = &s->paths[i];
        any |= p->live = p->moving && ph__hunt_live(&s->hunt, quarry_of(s, i));
    }
    return any;
}

ph_status ph__swap(ph_row *rows, int64_t n, ph_task *task, ph_error *err)
{
    struct swaps s = {0};
    ph_status st = PH_OK;
    bool go_on = true;

    PH_GO(swaps_open(&s, rows, n, task, err));
    PH_GO(start(&s, err));
    while (go_on && ph__hunt_round(&s.hunt))
        while (go_on && choose_live(&s)) {
            PH_GO(step(&s, err));
            PH_GO(ph__hunt_look(&go_on, &s.hunt, "swap", ph__hunt_done(&s.hunt), err));
        }
    for (int64_t i = 0; i < n; i++)
        PH_GO(ph__hunt_row(&s.hunt, &rows[i], i, &s.paths[i].best, err));
done:
    swaps_close(&s);
    return st;
}
