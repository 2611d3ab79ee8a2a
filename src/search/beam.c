/* beam.c — left to right: the model proposes what comes next, the activation decides.
 *
 * A sweep begins with `width` different first tokens, drawn from what the model expects behind the
 * context, and then makes texts longer by one token at a time: behind each beam `width` different
 * tokens are drawn from the model's own next-token distribution, and of all these texts the best
 * `width` are the next beams. Sweeps follow each other until the budget is spent; the last one is
 * finished. A text of two tokens or more is evaluated once only.
 * Source: Sadasivan et al. 2024 (BEAST, 2402.15570), k1 = k2 = 15, and its program.
 */
#include "base/mem.h"
#include "search/fluent.h"
#include "search/hunt.h"

#include <math.h>
#include <string.h>

struct sweeps {
    ph_hunt hunt;
    ph_task *task;
    int64_t width;
    ph_find *beams, *next; /* (width) */
    int64_t n, n_next;
    float *scores; /* (width,V) of the token behind each beam */
    ph_rng *rng;   /* one for each quarry */
    int64_t *done; /* the same: sweeps; -1: nothing is left to propose */
};

static void take_scores(int64_t keep, const float *scores, void *payload)
{
    struct sweeps *s = payload;
    const int64_t V = s->task->job->model->arch.V;
    memcpy(s->scores + keep * V, scores, (size_t)V * sizeof *scores);
}

static ph_status sweeps_open(struct sweeps *s, ph_row *rows, int64_t n, ph_task *t, ph_error *err)
{
    const size_t width = (size_t)t->o->width;

    s->task = t;
    s->width = t->o->width;
    PH_TRY(ph__hunt_open(&s->hunt, rows, n, t, s->width, err));
    s->hunt.share = false; /* as in the paper: a feature sees only what was proposed for it */
    ph__trials_watch(s->hunt.trials, take_scores, s);
    PH_TRY(PH_NEW(&s->beams, width, err));
    PH_TRY(PH_NEW(&s->next, width, err));
    PH_TRY(PH_NEW(&s->scores, width * (size_t)t->job->model->arch.V, err));
    PH_TRY(PH_NEW(&s->rng, (size_t)s->hunt.count, err));
    PH_TRY(PH_NEW(&s->done, (size_t)s->hunt.count, err));
    for (int64_t q = 0; q < s->hunt.count; q++)
        s->rng[q] = ph__rng(t->job->run.seed, (uint64_t)1 << 44);
    return PH_OK;
}

static void sweeps_close(struct sweeps *s)
{
    ph__hunt_close(&s->hunt);
    ph__free(s->beams);
    ph__free(s->next);
    ph__free(s->scores);
    ph__free(s->rng);
    ph__free(s->done);
}

/* ---- a sweep ---- */

/* Propose a text made longer by `width` different tokens, drawn by these scores. The text is the
 * proposal's, a first token is kept in the place of its number. */
static ph_status extend(struct sweeps *s, const ph_proposal *text, const float *scores,
                        ph_error *err)
{
    ph_draws draws = {0};
    ph_status st = PH_OK;
    int64_t made = 0;

    PH_GO(ph__draws_open(&draws, s->task->job, scores, err));
    for (int64_t tries = 0; made < s->width && tries < 8 * s->width; tries++) {
        ph_proposal p = *text;
        const int32_t id = ph__draw(&draws, &s->rng[p.quarry]);
        bool taken;
        if (id < 0) break;
        p.keep = p.find.n ? -1 : made;
        p.find.ids[p.find.n++] = id;
        PH_GO(ph__hunt_propose(&taken, &s->hunt, &p, err));
        made += taken;
    }
done:
    ph__draws_close(&draws);
    return st;
}

/* First tokens are proposed again in every sweep, unless they are whole texts. */
static ph_status first_tokens(struct sweeps *s, int64_t q, ph_error *err)
{
    const int64_t sweep = s->task->longest > 1 ? 1 + s->done[q] : 0;
    const ph_proposal p = {.quarry = q,
                           .owner = 1 + q + sweep * s->hunt.count,
                           .parent = -1,
                           .find.start = (int32_t)s->done[q]};

    s->hunt.n = 0;
    PH_TRY(extend(s, &p, ph__trials_first(s->hunt.trials), err));
    PH_TRY(ph__hunt_run(&s->hunt, err));
    s->n = (int64_t)s->hunt.n;
    for (int64_t i = 0; i < s->n; i++) s->beams[i] = s->hunt.list[i].find;
    return PH_OK;
}

static ph_status keep_beams(struct sweeps *s, int64_t q, ph_error *err)
{
    s->hunt.n = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const ph_proposal p = {.quarry = q, .parent = -1, .keep = i, .find = s->beams[i]};
        PH_TRY(ph__hunt_keep(&s->hunt, &p, err));
    }
    return ph__hunt_run(&s->hunt, err);
}

/* The best of what was just evaluated, the earlier among equals. */
static void choose_beams(struct sweeps *s)
{
    s->n_next = 0;
    for (size_t j = 0; j < s->hunt.n; j++) {
        const ph_find *f = &s->hunt.list[j].find;
        int64_t at = s->n_next;
        while (at > 0 && ph__find_better(&s->hunt, f, &s->next[at - 1])) at--;
        if (at == s->width) continue;
        if (s->n_next < s->width) s->n_next++;
        memmove(&s->next[at + 1], &s->next[at], (size_t)(s->n_next - 1 - at) * sizeof *f);
        s->next[at] = *f;
    }
    memcpy(s->beams, s->next, (size_t)s->n_next * sizeof *s->next);
    s->n = s->n_next;
}

static ph_status grow(struct sweeps *s, int64_t q, ph_error *err)
{
    const int64_t V = s->task->job->model->arch.V;

    s->hunt.n = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const ph_proposal p = {
            .quarry = q, .owner = 1 + q, .parent = i, .same = s->beams[i].n, .find = s->beams[i]};
        PH_TRY(extend(s, &p, s->scores + i * V, err));
    }
    PH_TRY(ph__hunt_run(&s->hunt, err));
    choose_beams(s);
    return PH_OK;
}

static ph_status sweep(struct sweeps *s, int64_t q, bool *go_on, ph_error *err)
{
    PH_TRY(first_tokens(s, q, err));
    for (int64_t length = 2; length <= s->task->longest && s->n && *go_on; length++) {
        if (length > 2) PH_TRY(keep_beams(s, q, err));
        PH_TRY(grow(s, q, err));
        PH_TRY(ph__hunt_look(go_on, &s->hunt, "beam", ph__hunt_done(&s->hunt), err));
    }
    s->done[q] = s->n ? s->done[q] + 1 : -1;
    return PH_OK;
}

/* ---- the whole ---- */

static ph_status run_quarry(struct sweeps *s, int64_t q, bool *go_on, ph_error *err)
{
    while (*go_on && s->done[q] >= 0 && ph__hunt_live(&s->hunt, q)) {
        PH_TRY(sweep(s, q, go_on, err));
        PH_TRY(ph__hunt_look(go_on, &s->hunt, "beam", ph__hunt_done(&s->hunt), err));
    }
    return PH_OK;
}

static bool all_over(const struct sweeps *s)
{
    for (int64_t q = 0; q < s->hunt.count; q++)
        if (s->done[q] >= 0) return false;
    return true;
}

ph_status ph__beam(ph_row *rows, int64_t n, ph_task *task, ph_error *err)
{
    struct sweeps s = {0};
    ph_status st = PH_OK;
    bool go_on = true;

    PH_GO(sweeps_open(&s, rows, n, task, err));
    while (go_on && !all_over(&s) && ph__hunt_round(&s.hunt))
        for (int64_t q = 0; q < s.hunt.count; q++) PH_GO(run_quarry(&s, q, &go_on, err));
    if (all_over(&s)) task->reached = task->o->budget;
    PH_GO(ph__hunt_answer(&s.hunt, rows, err));
done:
    sweeps_close(&s);
    return st;
}
