/* auto.c — the default search: several lines of texts, each improved by variants of itself.
 *
 * Repeated tokens, pieces of ordinary text, short descents and a beam (opening.c) lead. In every step
 * each feature takes up one of its lines, proposes variants of its text from several sources, and moves
 * to the best of them if that is better. A line that no longer improves begins anew, mostly from a
 * disturbed copy of one of the best texts (iterated local search: Lourenço, Martin & Stützle 2003). How
 * much a source proposes follows from what its variants were worth, per token sent forward. In one step
 * of four another line walks as in swap.c: to the best of swaps that the gradient proposes, better or
 * not; what it finds that is better than all lines goes on in the worst of them.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "search/climb.h"
#include "search/resume.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is kept beside the hunt's own state. */
#define PARTS(c)                                                                                   \
    {                                                                                              \
        {(c)->climbers, (size_t)(c)->hunt.count * sizeof *(c)->climbers},                          \
        {                                                                                          \
            (c)->lists, (c)->n_lists * sizeof *(c)->lists                                          \
        }                                                                                          \
    }

/* ---- random choices ---- */

static double uniform(ph_rng *r)
{
    return (double)(ph__rng_next(r) >> 11) * 0x1p-53;
}

static int32_t below(ph_rng *r, int32_t n)
{
    return (int32_t)ph__rng_below(r, (uint64_t)n);
}

/* One of n places, the first ones more often. */
static int32_t early(ph_rng *r, int32_t n, double power)
{
    return (int32_t)(pow(uniform(r), power) * n);
}

/* ---- variants ---- */

static int32_t any_token(const struct climb *c, ph_rng *r)
{
    const ph_job *job = c->task->job;
    return job->allowed[ph__rng_below(r, job->n_allowed)];
}

static int32_t known_token(const struct climber *k, ph_rng *r)
{
    return k->known[early(r, k->n_known, 3)];
}

static const ph_find *other_text(const ph_quarry *q, ph_rng *r)
{
    return &q->best[early(r, q->n_best, 1.5)];
}

static int32_t token_from(const struct climb *c, const struct climber *k, ph_quarry *q,
                          enum source source, int32_t pos)
{
    const struct line *l = k->line;
    switch (source) {
    case BY_GRADIENT: return l->top[pos * c->top + early(&q->rng, c->top, 1.5)];
    case BY_KNOWN: return known_token(k, &q->rng);
    case BY_MODEL: {
        const int32_t id = c->fluent ? l->said[pos * SAID + early(&q->rng, SAID, 1.5)] : -1;
        return id < 0 ? any_token(c, &q->rng) : id;
    }
    case BY_NEAR: return l->near[pos * c->near + below(&q->rng, c->near)];
    case BY_BEST: {
        const ph_find *other = other_text(q, &q->rng);
        return other->ids[below(&q->rng, other->n)];
    }
    default: return any_token(c, &q->rng);
    }
}

static enum source simple_source(ph_rng *r)
{
    static const enum source sources[] = {BY_GRADIENT, BY_GRADIENT, BY_KNOWN,
                                          BY_MODEL,    BY_NEAR,     BY_BEST};
    return sources[below(r, 6)];
}

static void insert(ph_find *f, int32_t pos, int32_t id, int32_t longest)
{
    if (f->n < longest) f->n++;
    memmove(f->ids + pos + 1, f->ids + pos, (size_t)(f->n - 1 - pos) * sizeof *f->ids);
    f->ids[pos] = id;
}

/* Take a token out; a text that may not be shorter gets another at its end. */
static void take_out(ph_find *f, int32_t pos, int32_t id, int32_t shortest)
{
    memmove(f->ids + pos, f->ids + pos + 1, (size_t)(f->n - 1 - pos) * sizeof *f->ids);
    if (f->n > shortest)
        f->n--;
    else
        f->ids[f->n - 1] = id;
}

static void cross(ph_find *f, const ph_find *other, ph_rng *r)
{
    const int32_t n = f->n < other->n ? f->n : other->n, from = below(r, n),
                  to = from + 1 + below(r, n - from);
    memcpy(f->ids + from, other->ids + from, (size_t)(to - from) * sizeof *f->ids);
}

/* Any of the tokens that the gradient proposes, anywhere. */
static void swap(ph_find *f, const struct climb *c, const struct line *l, ph_rng *r)
{
    const int32_t pos = below(r, f->n);
    f->ids[pos] = l->top[pos * c->top + below(r, c->top)];
}

static void vary(ph_find *f, const struct climb *c, const struct climber *k, ph_quarry *q,
                 enum source source)
{
    ph_rng *r = &q->rng;
    const int32_t pos = below(r, f->n), other = below(r, f->n);
    const int32_t shortest = (int32_t)c->task->shortest, longest = (int32_t)c->task->longest;

    switch (source) {
    case BY_PAIR:
        f->ids[pos] = token_from(c, k, q, simple_source(r), pos);
        f->ids[other] = token_from(c, k, q, simple_source(r), other);
        break;
    case BY_INSERT: insert(f, pos, token_from(c, k, q, simple_source(r), pos), longest); break;
    case BY_DELETE:
        take_out(f, pos, token_from(c, k, q, simple_source(r), f->n - 1), shortest);
        break;
    case BY_EXCHANGE: {
        const int32_t id = f->ids[pos];
        f->ids[pos] = f->ids[other];
        if (below(r, 2)) f->ids[other] = id;
        break;
    }
    case BY_CROSS: cross(f, other_text(q, r), r); break;
    default: f->ids[pos] = token_from(c, k, q, source, pos);
    }
}

/* ---- proposals ---- */

static bool walks(const struct climber *k)
{
    return k->line == &k->lines[WALKER];
}

static enum source choose(const struct climber *k, ph_rng *r)
{
    double weights[SOURCES], sum = 0, at;
    for (int i = 0; i < SOURCES; i++) {
        weights[i] = (k->won[i] + 0.3) / (k->cost[i] + 200);
        sum += weights[i];
    }
    for (int i = 0; i < SOURCES; i++) weights[i] = 0.8 * weights[i] / sum + 0.2 / SOURCES;
    at = uniform(r);
    for (int i = 0; i < SOURCES - 1; i++)
        if ((at -= weights[i]) < 0) return (enum source)i;
    return SOURCES - 1;
}

/* No more variants than the rest of this round pays for. */
static ph_status vary_line(struct climb *c, int64_t i, ph_error *err)
{
    struct climber *k = &c->climbers[i];
    ph_quarry *q = &c->hunt.quarries[i];
    int64_t left = ph__hunt_left(&c->hunt, i);
    int32_t made = 0;

    for (int32_t tries = 0; made < WIDTH && left > 0 && tries < 8 * WIDTH; tries++) {
        ph_proposal p = {.quarry = i, .parent = i * BEAMS, .keep = -1, .find = k->line->at};
        bool taken;
        p.source = walks(k) ? -1 : (int32_t)choose(k, &q->rng);
        if (walks(k))
            swap(&p.find, c, k->line, &q->rng);
        else
            vary(&p.find, c, k, q, (enum source)p.source);
        p.same = ph__hunt_same(&p.find, &k->line->at);
        PH_TRY(ph__hunt_propose(&taken, &c->hunt, &p, err));
        made += taken;
        if (taken) left -= p.find.n - p.same;
    }
    return PH_OK;
}

/* Texts with which a line may begin anew: disturbed copies of good ones, or known tokens. */
static ph_status begin_line(struct climb *c, int64_t i, ph_error *err)
{
    struct climber *k = &c->climbers[i];
    ph_quarry *q = &c->hunt.quarries[i];
    const int32_t start = k->starts++, spare = (int32_t)(c->task->longest - c->task->shortest) + 1;
    int32_t made = 0;

    for (int32_t tries = 0; made < BEGINNINGS && tries < 4 * BEGINNINGS; tries++) {
        ph_proposal p = {.quarry = i, .parent = -1, .keep = -1, .source = -1};
        bool taken;
        if (q->n_best && uniform(&q->rng) < 0.7) {
            p.find = *other_text(q, &q->rng);
            for (int32_t n = 1 + below(&q->rng, 2); n >= 0; n--)
                p.find.ids[below(&q->rng, p.find.n)] = known_token(k, &q->rng);
        } else {
            p.find.n = (int32_t)c->task->shortest + below(&q->rng, spare);
            for (int32_t t = 0; t < p.find.n; t++) p.find.ids[t] = known_token(k, &q->rng);
        }
        p.find.start = start;
        PH_TRY(ph__hunt_mend(&c->hunt, &p.find, &q->rng, err));
        PH_TRY(ph__hunt_propose(&taken, &c->hunt, &p, err));
        made += taken;
    }
    return PH_OK;
}

/* ---- a step of all features ---- */

/* What the model would say at each place of a line's text; all of its blocks run. */
static ph_status ask_model(struct climb *c, int64_t i, ph_error *err)
{
    struct line *l = c->climbers[i].line;
    ph_near top[SAID * PH_FIND_TOKENS];

    if (!c->fluent) return PH_OK;
    PH_TRY(ph__fluent_top(c->fluent, top, SAID, l->at.ids, l->at.n, err));
    ph__hunt_charge(&c->hunt, i, l->at.n);
    for (int32_t j = 0; j < l->at.n * SAID; j++) l->said[j] = top[j].id;
    return PH_OK;
}

static ph_status find_slopes(struct climb *c, const bool *live, ph_error *err)
{
    const int64_t C = c->task->job->model->arch.C, size = c->task->longest * C;
    ph_hint_text *texts = NULL;
    int64_t n = 0;
    ph_status st = PH_OK;
    float *rows = NULL;

    PH_GO(PH_NEW(&texts, (size_t)c->hunt.count, err));
    PH_GO(PH_NEW(&rows, (size_t)size, err));
    for (int64_t i = 0; i < c->hunt.count; i++) {
        const struct line *l = c->climbers[i].line;
        if (!live[i] || !l->begun || l->sloped) continue;
        texts[n++] = (ph_hint_text){c->hunt.quarries[i].feature, l->at.ids, l->at.n,
                                    c->gradients + i * size};
        ph__hunt_charge(&c->hunt, i, 3 * c->task->longest);
    }
    PH_GO(ph__hints_run(c->hunt.hints, texts, n, err));
    for (int64_t i = 0; i < c->hunt.count; i++) {
        struct line *l = c->climbers[i].line;
        if (!live[i] || !l->begun || l->sloped) continue;
        PH_GO(ph__hints_top(c->hunt.hints, l->top, c->top, c->gradients + i * size, l->at.n, err));
        PH_GO(ph_model_embed(c->task->job->model, rows, l->at.ids, (size_t)l->at.n, err));
        PH_GO(ph__hints_top(c->hunt.hints, l->near, c->near, rows, l->at.n, err));
        if (!walks(&c->climbers[i])) PH_GO(ask_model(c, i, err));
        l->sloped = true;
    }
done:
    ph__free(rows);
    ph__free(texts);
    return st;
}

static ph_status keep_parents(struct climb *c, const bool *live, ph_error *err)
{
    c->hunt.n = 0;
    for (int64_t i = 0; i < c->hunt.count; i++) {
        const struct line *l = c->climbers[i].line;
        if (!live[i] || !l->begun) continue;
        const ph_proposal p = {.quarry = i, .parent = -1, .keep = i * BEAMS, .find = l->at};
        PH_TRY(ph__hunt_keep(&c->hunt, &p, err));
    }
    return ph__hunt_run(&c->hunt, err);
}

/* The line that a feature takes up: of those that climb the best one half of the time. */
static struct line *choose_line(struct climb *c, int64_t i)
{
    struct climber *k = &c->climbers[i];
    ph_rng *r = &c->hunt.quarries[i].rng;
    struct line *best = NULL;
    if (k->taken == k->n_leads && below(r, 4) == 0) return &k->lines[WALKER];
    for (int j = 0; j < WALKER; j++) {
        struct line *l = &k->lines[j];
        if (!l->begun && k->taken < k->n_leads)
            *l = (struct line){.at = k->leads[k->taken++],
                               .begun = true,
                               .top = l->top,
                               .near = l->near,
                               .said = l->said};
        if (!l->begun) return l;
        if (!best || ph__find_better(&c->hunt, &l->at, &best->at)) best = l;
    }
    return below(r, 2) ? best : &k->lines[below(r, WALKER)];
}

/* Before the variants are looked at: what sources won fades, and a line that walks forgets its value, so
 * that the best of its variants is better. */
static void expect(struct climber *k)
{
    for (int s = 0; s < SOURCES; s++) {
        k->won[s] *= 0.97;
        k->cost[s] *= 0.97;
    }
    k->line->stale++;
    if (walks(k)) k->line->at.score = (double)NAN;
}

/* The worst of the lines that climb goes on from a text that is better than all of theirs. */
static void hand_over(const struct climb *c, struct climber *k, const ph_find *f)
{
    struct line *worst = &k->lines[0];
    for (int j = 0; j < WALKER; j++) {
        struct line *l = &k->lines[j];
        if (!l->begun || !ph__find_better(&c->hunt, f, &l->at)) return;
        if (ph__find_better(&c->hunt, &worst->at, &l->at)) worst = l;
    }
    worst->at = *f;
    worst->stale = 0;
    worst->sloped = false;
}

/* Move lines to the best of their variants. */
static void settle(struct climb *c, const bool *live)
{
    for (int64_t i = 0; i < c->hunt.count; i++)
        if (live[i]) expect(&c->climbers[i]);
    for (size_t j = 0; j < c->hunt.n; j++) {
        const ph_proposal *p = &c->hunt.list[j];
        struct climber *k = &c->climbers[p->quarry];
        struct line *l = k->line;
        const bool better = !l->begun || ph__find_better(&c->hunt, &p->find, &l->at);
        if (p->source >= 0) k->cost[p->source] += (double)(p->find.n - p->same);
        if (!better || isnan(p->find.score)) continue;
        if (p->source >= 0) k->won[p->source] += 1;
        l->at = p->find;
        l->stale = 0;
        l->begun = true;
        l->sloped = false;
    }
    for (int64_t i = 0; i < c->hunt.count; i++) {
        struct climber *k = &c->climbers[i];
        if (!live[i]) continue;
        if (k->line->stale >= STALE || (walks(k) && isnan(k->line->at.score)))
            k->line->begun = false;
        else if (walks(k))
            hand_over(c, k, &k->line->at);
    }
}

static ph_status step(struct climb *c, bool *live, ph_error *err)
{
    PH_TRY(ph__open_descents(c, live, err));
    for (int64_t i = 0; i < c->hunt.count; i++) {
        if (!live[i]) continue;
        c->climbers[i].line = choose_line(c, i);
        if (!ph__beams_due(c, i)) continue;
        PH_TRY(ph__grow_beams(c, i, err));
        live[i] = false; /* that was its step */
    }
    PH_TRY(find_slopes(c, live, err));
    PH_TRY(keep_parents(c, live, err));
    c->hunt.n = 0;
    for (int64_t i = 0; i < c->hunt.count; i++) {
        if (!live[i]) continue;
        if (c->climbers[i].line->begun)
            PH_TRY(vary_line(c, i, err));
        else
            PH_TRY(begin_line(c, i, err));
    }
    PH_TRY(ph__hunt_run(&c->hunt, err));
    settle(c, live);
    return PH_OK;
}

/* ---- the whole ---- */

static int by_value(const void *a, const void *b)
{
    const ph_near *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value) - (x->value > y->value)
                                : (x->id > y->id) - (x->id < y->id);
}

static ph_status rank_known(struct climb *c, ph_error *err)
{
    const ph_job *job = c->task->job;
    ph_near *all = NULL;

    PH_TRY(PH_NEW(&all, job->n_allowed, err));
    for (int64_t i = 0; i < c->hunt.count; i++) {
        struct climber *k = &c->climbers[i];
        for (size_t j = 0; j < job->n_allowed; j++)
            all[j] =
                (ph_near){job->allowed[j],
                          job->run.sign * (double)c->hunt.quarries[i].singles[job->allowed[j]]};
        qsort(all, job->n_allowed, sizeof *all, by_value);
        k->n_known = job->n_allowed < KNOWN ? (int32_t)job->n_allowed : KNOWN;
        for (int32_t j = 0; j < k->n_known; j++) k->known[j] = all[j].id;
    }
    ph__free(all);
    return PH_OK;
}

/* Whether most of the model is run anyway, so that it may also be asked what it would say. */
static bool deep(const ph_task *t, const ph_feature *f)
{
    const bool head = f->tap.place == PH_PLACE_FINAL || f->tap.place == PH_PLACE_LOGITS;
    return t->o->fluent || head || (!f->tap.only && 2 * f->tap.block >= t->job->model->arch.blocks);
}

static ph_status climb_open(struct climb *c, ph_row *rows, int64_t n, ph_task *task, ph_error *err)
{
    const size_t longest = (size_t)task->longest, most = task->job->n_allowed;

    c->task = task;
    c->top = most < TOP ? (int32_t)most : TOP;
    c->near = most < NEAR ? (int32_t)most : NEAR;
    PH_TRY(ph__hunt_open(&c->hunt, rows, n, task, n / task->answers * BEAMS, err));
    const size_t count = (size_t)c->hunt.count, each = longest * (TOP + NEAR + SAID);
    PH_TRY(PH_NEW(&c->climbers, count, err));
    PH_TRY(PH_NEW(&c->lists, count * LINES * each, err));
    PH_TRY(PH_NEW(&c->gradients, count * longest * (size_t)task->job->model->arch.C, err));
    c->n_lists = count * LINES * each;
    if (deep(task, c->hunt.features[0]))
        PH_TRY(ph__fluent_open(&c->fluent, task->job, task->longest, err));
    return rank_known(c, err);
}

/* Where the lists of every line are. */
static void set_lists(struct climb *c)
{
    const size_t longest = (size_t)c->task->longest, each = longest * (TOP + NEAR + SAID);
    for (size_t i = 0; i < (size_t)c->hunt.count; i++)
        for (size_t j = 0; j < LINES; j++) {
            struct line *l = &c->climbers[i].lines[j];
            l->top = c->lists + (i * LINES + j) * each;
            l->near = l->top + longest * TOP;
            l->said = l->near + longest * NEAR;
        }
}

static void climb_close(struct climb *c)
{
    ph__fluent_close(&c->fluent);
    ph__hunt_close(&c->hunt);
    ph__free(c->climbers);
    ph__free(c->lists);
    ph__free(c->gradients);
}

/* Which features take part in the next step; false if none does. Those that have tried every text they
 * can think of, as of one token or of few that are allowed, are over. */
static bool choose_live(struct climb *c, bool *live)
{
    bool any = false;
    for (int64_t i = 0; i < c->hunt.count; i++) {
        struct climber *k = &c->climbers[i];
        const int64_t spent = c->hunt.quarries[i].spent;
        live[i] = ph__hunt_live(&c->hunt, i) && k->idle < IDLE;
        if (!live[i]) continue;
        k->idle = spent == k->spent ? k->idle + 1 : 0;
        k->spent = spent;
        any = true;
    }
    return any;
}

static bool all_over(const struct climb *c)
{
    for (int64_t i = 0; i < c->hunt.count; i++)
        if (c->climbers[i].idle < IDLE) return false;
    return true;
}

static ph_status save(struct climb *c, const char *path, ph_error *err)
{
    const ph_part parts[] = PARTS(c);
    return ph__resume_save(path, &c->hunt, parts, sizeof parts / sizeof *parts, err);
}

/* Take up a search that was interrupted, or begin. */
static ph_status begin(struct climb *c, const char *path, ph_error *err)
{
    const ph_part parts[] = PARTS(c);
    bool found;

    PH_TRY(ph__resume_load(&found, path, &c->hunt, parts, sizeof parts / sizeof *parts, err));
    set_lists(c);
    for (int64_t i = 0; i < c->hunt.count && !found; i++) {
        PH_TRY(ph__open_repeated(c, i, err));
        PH_TRY(ph__open_corpus(c, i, err));
        if (c->task->longest > 1 && !c->hunt.n_wanted) /* most prefixes lack what is wanted */
            ph__open_beams(&c->climbers[i]);
    }
    return PH_OK;
}

static ph_status climb(struct climb *c, ph_error *err)
{
    ph_status st = PH_OK;
    bool *live = NULL, go_on = true;
    const char *path = NULL;
    double saved = ph__now();

    PH_GO(PH_NEW(&live, (size_t)c->hunt.count, err));
    PH_GO(ph__resume_path(&path, &c->hunt, "auto", err));
    PH_GO(begin(c, path, err));
    do
        while (go_on && choose_live(c, live)) {
            PH_GO(step(c, live, err));
            PH_GO(ph__hunt_look(&go_on, &c->hunt, "search", ph__hunt_done(&c->hunt), err));
            if (go_on && ph__now() - saved < SAVE_SECONDS) continue;
            PH_GO(save(c, path, err));
            saved = ph__now();
        }
    while (go_on && !all_over(c) && ph__hunt_round(&c->hunt));
    if (go_on && all_over(c)) c->task->reached = c->task->o->budget;
    if (go_on) PH_GO(save(c, path, err));
done:
    ph__free(live);
    return st;
}

ph_status ph__auto(ph_row *rows, int64_t n, ph_task *task, ph_error *err)
{
    struct climb c = {0};
    ph_status st = PH_OK;

    PH_GO(climb_open(&c, rows, n, task, err));
    PH_GO(climb(&c, err));
    PH_GO(ph__hunt_answer(&c.hunt, rows, err));
done:
    climb_close(&c);
    return st;
}
