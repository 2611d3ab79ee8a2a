/* hunt.c — what the searches among tokens have in common. */
#include "search/hunt.h"

#include "base/mem.h"
#include "search/rescore.h"

#include <math.h>
#include <string.h>

/* ---- open ---- */

static ph_status open_trials(ph_hunt *h, const ph_row *rows, int64_t parents, ph_error *err)
{
    const ph_task *t = h->task;
    ph_status st = PH_OK;
    const ph_feature **features = NULL;
    ph_trials_options o = {.job = t->job,
                           .count = (size_t)h->count,
                           .longest = t->longest,
                           .parents = parents,
                           .fluent = h->fluent};

    PH_TRY(PH_NEW(&features, o.count, err));
    for (int64_t i = 0; i < h->count; i++) features[i] = rows[i * t->answers].feature;
    o.features = h->features = features;
    PH_GO(ph__trials_open(&h->trials, &o, err));
done:
    return st;
}

ph_status ph__hunt_open(ph_hunt *out, ph_row *rows, int64_t n, ph_task *task, int64_t parents,
                        ph_error *err)
{
    ph_hunt h = {.task = task, .count = n / task->answers, .fluent = task->o->fluent};
    ph_status st = PH_OK;

    PH_GO(PH_NEW(&h.quarries, (size_t)h.count, err));
    for (int64_t i = 0; i < h.count; i++) {
        h.quarries[i].feature = rows[i * task->answers].feature;
        h.quarries[i].tally = &task->tally[i];
        h.quarries[i].singles = task->singles ? task->singles + i * task->job->model->arch.V : NULL;
        h.quarries[i].rng = ph__rng(task->job->run.seed, ((uint64_t)1 << 41) + (uint64_t)i);
    }
    PH_GO(open_trials(&h, rows, parents, err));
    PH_GO(ph__slopes_open(&h.slopes, task->job, task->lexicon, rows[0].feature->tap,
                          h.count < 32 ? h.count : 32, task->longest, err));
    *out = h;
    return PH_OK;
done:
    ph__hunt_close(&h);
    return st;
}

void ph__hunt_close(ph_hunt *h)
{
    ph__trials_close(&h->trials);
    ph__slopes_close(&h->slopes);
    ph__free(h->features);
    ph__free(h->quarries);
    ph__free(h->seen);
    ph__free(h->results);
    ph__free(h->cross);
    ph__free(h->children);
    *h = (ph_hunt){0};
}

/* ---- texts that were seen: a hash set with open addresses; 0 marks an empty place ---- */

static uint64_t hash_of(const ph_hunt *h, int64_t quarry, const ph_find *f)
{
    uint64_t x = 0x9e3779b97f4a7c15u ^ (uint64_t)f->n;
    if (h->task->o->alone) x ^= (uint64_t)(quarry + 1) << 32;
    for (int32_t i = 0; i < f->n; i++) {
        ph_rng mix = {x ^ (uint64_t)(uint32_t)f->ids[i]};
        x = ph__rng_next(&mix);
    }
    return x ? x : 1;
}

static void put(uint64_t *set, size_t cap, uint64_t x)
{
    size_t at = x & (cap - 1);
    while (set[at]) at = (at + 1) & (cap - 1);
    set[at] = x;
}

static bool holds(const ph_hunt *h, uint64_t x)
{
    if (!h->cap_seen) return false;
    for (size_t at = x & (h->cap_seen - 1); h->seen[at]; at = (at + 1) & (h->cap_seen - 1))
        if (h->seen[at] == x) return true;
    return false;
}

static ph_status remember(ph_hunt *h, uint64_t x, ph_error *err)
{
    if (2 * (h->n_seen + 1) > h->cap_seen) {
        const size_t cap = h->cap_seen ? 2 * h->cap_seen : 4096;
        uint64_t *wider = NULL;
        PH_TRY(PH_NEW(&wider, cap, err));
        for (size_t i = 0; i < h->cap_seen; i++)
            if (h->seen[i]) put(wider, cap, h->seen[i]);
        ph__free(h->seen);
        h->seen = wider;
        h->cap_seen = cap;
    }
    put(h->seen, h->cap_seen, x);
    h->n_seen++;
    return PH_OK;
}

/* ---- what may be proposed ---- */

static bool names_allowed(const ph_job *job, const ph_find *f)
{
    for (int32_t i = 0; i < f->n; i++)
        if (f->ids[i] < 0 || !job->is_ordinary[f->ids[i]]) return false;
    return true;
}

ph_status ph__hunt_admits(bool *out, ph_hunt *h, int64_t quarry, ph_find *text, ph_error *err)
{
    const ph_task *t = h->task;
    const uint64_t x = hash_of(h, quarry, text);

    *out = false;
    if (text->n < 1 || text->n > t->longest || holds(h, x)) return PH_OK;
    if (!names_allowed(t->job, text)) return PH_OK;
    text->trips = true;
    if (t->round_trip != PH_ROUND_TRIP_OFF)
        PH_TRY(ph__job_trips(&text->trips, t->job, text->ids, (size_t)text->n, err));
    if (!text->trips && t->round_trip == PH_ROUND_TRIP_REQUIRE) return PH_OK;
    *out = true;
    return remember(h, x, err);
}

/* ---- which text is better ---- */

static bool alike(const ph_find *a, const ph_find *b)
{
    return ph__overlap(a->ids, (size_t)a->n, b->ids, (size_t)b->n) > 0.5;
}

bool ph__find_better(const ph_hunt *h, const ph_find *a, const ph_find *b)
{
    if (isnan(a->score) || isnan(b->score)) return isnan(b->score) && !isnan(a->score);
    if (a->trips != b->trips) return a->trips;
    if (h->task->o->outliers != PH_OUTLIERS_KEEP && a->outlier != b->outlier) return b->outlier;
    return a->score > b->score;
}

/* Remember a text among the best unless a better one is like it; it drops what is like it and worse. */
static void show(ph_hunt *h, ph_quarry *q, const ph_find *f)
{
    int32_t kept = 0, at = 0;

    if (isnan(f->score) || f->n < h->task->shortest) return;
    if (f->outlier && h->task->o->outliers == PH_OUTLIERS_DROP) return;
    if (q->n_best == PH_KEPT_FINDS && !ph__find_better(h, f, &q->best[q->n_best - 1])) return;
    while (at < q->n_best && !ph__find_better(h, f, &q->best[at]))
        if (alike(f, &q->best[at++])) return;
    kept = at;
    for (int32_t i = at; i < q->n_best; i++)
        if (!alike(f, &q->best[i])) q->best[kept++] = q->best[i];
    if (kept == PH_KEPT_FINDS) kept--;
    memmove(&q->best[at + 1], &q->best[at], (size_t)(kept - at) * sizeof *q->best);
    q->best[at] = *f;
    q->n_best = kept + 1;
}

/* ---- evaluate ---- */

static ph_status make_room(ph_hunt *h, size_t n, ph_error *err)
{
    if (n <= h->cap) return PH_OK;
    PH_TRY(PH_GROW(&h->children, h->cap, n, err));
    PH_TRY(PH_GROW(&h->cross, h->cap, n, err));
    PH_TRY(PH_GROW(&h->results, h->cap * (size_t)h->count, n * (size_t)h->count, err));
    h->cap = n;
    return PH_OK;
}

/* What a text that was evaluated is worth to a quarry. */
static void judge(const ph_hunt *h, const ph_quarry *q, ph_find *f, const ph_trial *t, double cross)
{
    f->activation = t->activation;
    f->norm = t->norm;
    f->cross = cross;
    f->outlier = h->task->ordinary_norm > 0 && t->norm > 3 * h->task->ordinary_norm;
    f->score = h->task->job->run.sign * t->activation;
    if (h->lambda != 0) f->score -= h->lambda * cross;
    (void)q;
}

ph_status ph__hunt_try(ph_hunt *h, ph_proposal *p, size_t n, ph_error *err)
{
    PH_TRY(make_room(h, n, err));
    for (size_t i = 0; i < n; i++) {
        ph_quarry *q = &h->quarries[p[i].quarry];
        h->children[i] = (ph_child){p[i].find.ids, p[i].find.n, p[i].parent, p[i].same, p[i].keep};
        q->spent += ph__trials_cost(h->trials, &h->children[i]);
        q->naive += p[i].find.n;
    }
    PH_TRY(ph__trials_run(h->trials, h->children, n, h->results, h->cross, err));
    for (size_t i = 0; i < n; i++)
        for (int64_t k = 0; k < h->count; k++) {
            ph_quarry *q = &h->quarries[k];
            const bool own = k == p[i].quarry;
            ph_find offered = p[i].find;
            if (!own && h->task->o->alone) continue;
            judge(h, q, &offered, &h->results[i * (size_t)h->count + (size_t)k],
                  h->fluent ? h->cross[i] : (double)NAN);
            if (own) p[i].find = offered;
            if (!own) offered.start = -1;
            show(h, q, &offered);
        }
    return PH_OK;
}

void ph__hunt_answer(const ph_hunt *h, ph_row *rows)
{
    const int64_t answers = h->task->answers;
    for (int64_t i = 0; i < h->count * answers; i++) {
        const ph_quarry *q = &h->quarries[i / answers];
        const int64_t rank = i % answers;
        const ph_find *f = &q->best[rank < q->n_best ? rank : q->n_best ? q->n_best - 1 : 0];
        ph_row *r = &rows[i];
        r->n = f->n;
        memcpy(r->ids, f->ids, (size_t)f->n * sizeof *f->ids);
        r->cross = h->fluent ? f->cross : (double)NAN;
        r->restart = f->start;
        r->forwards = rank ? 0 : q->spent; /* of all its rows together */
        r->naive = rank ? 0 : q->naive;
    }
}
