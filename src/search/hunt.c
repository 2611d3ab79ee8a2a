/* hunt.c — what the searches among tokens have in common. */
#include "search/hunt.h"

#include "base/clock.h"
#include "base/mem.h"
#include "search/front.h"
#include "search/rescore.h"

#include <math.h>
#include <string.h>

enum { ROUND = 512 }; /* token-forwards of a quarry between two looks at the clock */

/* ---- open ---- */

/* The tokens of what every text has to contain. */
static ph_status take_wanted(ph_hunt *h, ph_error *err)
{
    const ph_task *t = h->task;
    const ph_constraints *c = t->job->constraints;

    if (!c || !c->contains) return PH_OK;
    PH_TRY(ph_tokenizer_encode(&h->wanted, &h->n_wanted, t->job->tokenizer, c->contains,
                               strlen(c->contains), 0, err));
    if ((int64_t)h->n_wanted <= t->longest) return PH_OK;
    return ph__fail(err, PH_EINVAL, -1, "contains: that text has %zu tokens, the searched one %lld",
                    h->n_wanted, (long long)t->longest);
}

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

/* A feature's own stream of random numbers, whatever stands beside it. */
static uint64_t stream_of(const ph_feature *f)
{
    uint64_t x = (uint64_t)1 << 41;
    for (const char *c = f->text; *c; c++) {
        ph_rng mix = {x ^ (uint64_t)(unsigned char)*c};
        x = ph__rng_next(&mix);
    }
    return x;
}

ph_status ph__hunt_open(ph_hunt *out, ph_row *rows, int64_t n, ph_task *task, int64_t parents,
                        ph_error *err)
{
    ph_hunt h = {.task = task,
                 .count = n / task->answers,
                 .fluent = task->fluent,
                 .share = !task->o->alone,
                 .lambda = task->o->lambda,
                 .began = ph__now()};
    ph_status st = PH_OK;

    h.seconds = task->o->seconds - task->searched;
    if (task->waiting > h.count) h.seconds *= (double)h.count / (double)task->waiting;
    PH_GO(PH_NEW(&h.quarries, (size_t)h.count, err));
    for (int64_t i = 0; i < h.count; i++) {
        h.quarries[i].feature = rows[i * task->answers].feature;
        h.quarries[i].tally = &task->tally[i];
        h.quarries[i].singles = task->singles ? task->singles + i * task->job->model->arch.V : NULL;
        h.quarries[i].rng = ph__rng(task->job->run.seed, stream_of(h.quarries[i].feature));
    }
    PH_GO(take_wanted(&h, err));
    PH_GO(open_trials(&h, rows, parents, err));
    PH_GO(ph__hints_open(&h.hints, task->job, task->lexicon, rows[0].feature,
                         parents < 32 ? parents : 32, task->longest, err));
    *out = h;
    return PH_OK;
done:
    ph__hunt_close(&h);
    return st;
}

void ph__hunt_close(ph_hunt *h)
{
    if (h->task) {
        h->task->searched += ph__now() - h->began;
        h->task->waiting -= h->count;
    }
    ph__trials_close(&h->trials);
    ph__hints_close(&h->hints);
    ph__free(h->features);
    ph__free(h->quarries);
    ph__free(h->list);
    ph__free(h->wanted);
    ph__free(h->seen);
    ph__free(h->results);
    ph__free(h->cross);
    ph__free(h->children);
    *h = (ph_hunt){0};
}

/* ---- texts that were seen: a hash set with open addresses; 0 marks an empty place ---- */

static uint64_t hash_of(int64_t owner, const ph_find *f)
{
    uint64_t x = 0x9e3779b97f4a7c15u ^ (uint64_t)f->n ^ (uint64_t)owner << 32;
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
        if (f->ids[i] < 0 || !job->is_allowed[f->ids[i]]) return false;
    return true;
}

static ph_status admit(bool *out, ph_hunt *h, int64_t owner, ph_find *text, ph_error *err)
{
    const ph_task *t = h->task;
    const uint64_t x = hash_of(owner, text);
    bool fits = true;

    *out = false;
    if (text->n < 1 || text->n > t->longest || holds(h, x)) return PH_OK;
    if (!names_allowed(t->job, text)) return PH_OK;
    text->trips = true;
    if (t->round_trip != PH_ROUND_TRIP_OFF)
        PH_TRY(ph__job_trips(&text->trips, t->job, text->ids, (size_t)text->n, err));
    if (!text->trips && t->round_trip == PH_ROUND_TRIP_REQUIRE) return PH_OK;
    if (text->n >= t->shortest)
        PH_TRY(ph__job_fits(&fits, t->job, text->ids, (size_t)text->n, err));
    if (!fits) return PH_OK;
    *out = true;
    return remember(h, x, err);
}

ph_status ph__hunt_keep(ph_hunt *h, const ph_proposal *p, ph_error *err)
{
    if (h->n == h->cap) {
        const size_t cap = h->cap ? 2 * h->cap : 1024;
        PH_TRY(PH_GROW(&h->list, h->cap, cap, err));
        h->cap = cap;
    }
    h->list[h->n++] = *p;
    return PH_OK;
}

ph_status ph__hunt_propose(bool *taken, ph_hunt *h, const ph_proposal *p, ph_error *err)
{
    ph_proposal own = *p;
    bool admitted;

    if (!own.owner && !h->share) own.owner = own.quarry + 1;
    PH_TRY(admit(&admitted, h, own.owner, &own.find, err));
    if (taken) *taken = admitted;
    return admitted ? ph__hunt_keep(h, &own, err) : PH_OK;
}

int64_t ph__hunt_same(const ph_find *text, const ph_find *parent)
{
    int32_t n = 0;
    while (n < text->n && n < parent->n && text->ids[n] == parent->ids[n]) n++;
    return n < text->n ? n : text->n - 1;
}

ph_status ph__hunt_mend(const ph_hunt *h, ph_find *text, ph_rng *rng, ph_error *err)
{
    const int64_t room = text->n - (int64_t)h->n_wanted;
    bool fits = true;

    if (h->n_wanted == 0 || room < 0) return PH_OK;
    PH_TRY(ph__job_fits(&fits, h->task->job, text->ids, (size_t)text->n, err));
    if (fits) return PH_OK;
    memcpy(text->ids + ph__rng_below(rng, (uint64_t)room + 1), h->wanted,
           h->n_wanted * sizeof *h->wanted);
    return PH_OK;
}

ph_status ph__hunt_random(ph_find *out, ph_hunt *h, ph_rng *rng, ph_error *err)
{
    const ph_task *t = h->task;
    const uint64_t lengths = (uint64_t)(t->longest - t->shortest) + 1;

    out->trips = true;
    for (int tries = 0; tries < 1000; tries++) {
        out->n = (int32_t)(t->shortest + (int64_t)ph__rng_below(rng, lengths));
        for (int32_t i = 0; i < out->n; i++)
            out->ids[i] = t->job->allowed[ph__rng_below(rng, t->job->n_allowed)];
        PH_TRY(ph__hunt_mend(h, out, rng, err));
        if (t->round_trip != PH_ROUND_TRIP_REQUIRE) break;
        PH_TRY(ph__job_trips(&out->trips, t->job, out->ids, (size_t)out->n, err));
        if (out->trips) break;
    }
    return PH_OK;
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
    q->fresh |= at == 0;
}

/* ---- evaluate ---- */

/* Remember the best that a start led to. */
static void note_start(const ph_hunt *h, ph_quarry *q, const ph_find *f)
{
    ph_find *best;
    if (f->start < 0 || f->start >= PH_STARTS || isnan(f->score) || f->n < h->task->shortest)
        return;
    best = &q->reached[f->start];
    if (best->n == 0 || ph__find_better(h, f, best)) *best = *f;
}

static ph_status make_room(ph_hunt *h, ph_error *err)
{
    const size_t n = h->n, count = (size_t)h->count;
    if (n <= h->cap_results) return PH_OK;
    PH_TRY(PH_GROW(&h->children, h->cap_results, n, err));
    PH_TRY(PH_GROW(&h->cross, h->cap_results, n, err));
    PH_TRY(PH_GROW(&h->results, h->cap_results * count, n * count, err));
    h->cap_results = n;
    return PH_OK;
}

/* What a text that was evaluated is worth. */
static void judge(const ph_hunt *h, ph_find *f, const ph_trial *t, double cross)
{
    f->activation = t->activation;
    f->norm = t->norm;
    f->cross = h->fluent ? cross : (double)NAN;
    f->outlier = h->task->ordinary_norm > 0 && t->norm > 3 * h->task->ordinary_norm;
    f->score = h->task->job->run.sign * t->activation;
    if (h->lambda != 0) f->score -= h->lambda * cross;
}

ph_status ph__hunt_run(ph_hunt *h, ph_error *err)
{
    PH_TRY(make_room(h, err));
    for (size_t i = 0; i < h->n; i++) {
        const ph_proposal *p = &h->list[i];
        ph_quarry *q = &h->quarries[p->quarry];
        h->children[i] = (ph_child){p->find.ids, p->find.n, p->parent, p->same, p->keep};
        q->spent += ph__trials_cost(h->trials, &h->children[i]);
        q->naive += p->find.n;
    }
    PH_TRY(ph__trials_run(h->trials, h->children, h->n, h->results, h->cross, err));
    for (size_t i = 0; i < h->n; i++)
        for (int64_t k = 0; k < h->count; k++) {
            const bool own = k == h->list[i].quarry;
            const ph_trial *t = &h->results[i * (size_t)h->count + (size_t)k];
            ph_find offered = h->list[i].find;
            if (!own && !h->share) continue;
            judge(h, &offered, t, h->cross[i]);
            if (own) h->list[i].find = offered;
            if (own) note_start(h, &h->quarries[k], &offered);
            if (!own) offered.start = -1;
            show(h, &h->quarries[k], &offered);
            if (h->fluent) ph__front_show(h, &h->quarries[k], &offered);
        }
    return PH_OK;
}

void ph__hunt_charge(ph_hunt *h, int64_t quarry, int64_t tokens)
{
    h->quarries[quarry].spent += tokens;
    h->quarries[quarry].naive += tokens;
}

/* ---- rounds ---- */

static void offer_glimpses(ph_hunt *h)
{
    const ph_job *job = h->task->job;
    for (int64_t i = 0; job->glimpse && i < h->count; i++) {
        ph_quarry *q = &h->quarries[i];
        const ph_find *f = &q->best[0];
        if (q->fresh)
            job->glimpse(&(ph_glimpse){q->feature, f->ids, (size_t)f->n, f->activation, q->spent},
                         job->glimpse_payload);
        q->fresh = false;
    }
}

ph_status ph__hunt_look(bool *go_on, ph_hunt *h, const char *stage, double done, ph_error *err)
{
    const ph_status st = ph__job_progress(h->task->job, stage, done, err);
    offer_glimpses(h);
    if (st == PH_ECANCELED) h->task->stopped = true;
    *go_on = st == PH_OK;
    return st == PH_ECANCELED ? PH_OK : st;
}

double ph__hunt_done(const ph_hunt *h)
{
    double spent = 0;
    for (int64_t i = 0; i < h->count; i++) spent += (double)h->quarries[i].spent;
    spent /= (double)h->count * (double)h->task->o->budget;
    return spent < 1 ? spent : 1;
}

bool ph__hunt_takes_on(ph_hunt *h, int64_t quarry, int64_t cost)
{
    ph_quarry *q = &h->quarries[quarry];
    if (q->spent + cost > h->task->o->budget) return false;
    q->owed = q->spent + cost;
    return true;
}

static bool paid(const ph_hunt *h)
{
    bool all = true;
    for (int64_t i = 0; i < h->count; i++) all &= h->quarries[i].owed <= h->allowed;
    return all;
}

bool ph__hunt_round(ph_hunt *h)
{
    const ph_dream_options *o = h->task->o;
    const int64_t reached = h->allowed < o->budget ? h->allowed : o->budget;
    const bool late = o->seconds > 0 && reached > 0 && ph__now() - h->began > h->seconds && paid(h);

    if (h->task->stopped) return false;
    h->task->reached = reached;
    if (reached == o->budget) return false;
    h->task->late |= late;
    if (late) return false;
    h->allowed += ROUND;
    return true;
}

int64_t ph__hunt_left(const ph_hunt *h, int64_t quarry)
{
    const int64_t budget = h->task->o->budget;
    return (h->allowed < budget ? h->allowed : budget) - h->quarries[quarry].spent;
}

bool ph__hunt_live(const ph_hunt *h, int64_t quarry)
{
    return ph__hunt_left(h, quarry) > 0;
}

/* Sums of values and squares become mean and standard deviation. */
static void spread(ph_starts *s)
{
    if (s->n == 0) return;
    s->mean /= (double)s->n;
    s->sd = s->sd - (double)s->n * s->mean * s->mean;
    s->sd = s->n > 1 && s->sd > 0 ? sqrt(s->sd / (double)(s->n - 1)) : 0;
}

/* A feature's front goes with its first row. */
static ph_status take_front(ph_row *row, const ph_quarry *q, ph_error *err)
{
    const size_t n = (size_t)q->n_front;
    PH_TRY(PH_NEW(&row->front, n, err));
    memcpy(row->front, q->front, n * sizeof *q->front);
    row->n_front = q->n_front;
    return PH_OK;
}

ph_status ph__hunt_row(const ph_hunt *h, ph_row *row, int64_t i, const ph_find *f, ph_error *err)
{
    const int64_t answers = h->task->answers;
    const ph_quarry *q = &h->quarries[i / answers];

    row->n = f->n;
    memcpy(row->ids, f->ids, (size_t)f->n * sizeof *f->ids);
    row->forwards = i % answers ? 0 : q->spent;
    row->naive = i % answers ? 0 : q->naive;
    row->starts = (ph_starts){0};
    for (int s = 0; s < PH_STARTS; s++) {
        const ph_find *r = &q->reached[s];
        if (r->n == 0) continue;
        row->starts.n++;
        row->starts.reached += alike(r, f);
        row->starts.mean += r->activation;
        row->starts.sd += r->activation * r->activation;
    }
    spread(&row->starts);
    return i % answers == 0 && h->fluent ? take_front(row, q, err) : PH_OK;
}

/* Where nothing that was asked for was found: the best single token, repeated. */
static ph_find nothing(const ph_hunt *h, const ph_quarry *q)
{
    ph_find f = {.n = (int32_t)h->task->shortest, .cross = (double)NAN, .start = -1};
    const int32_t id = h->task->job->run.sign < 0 ? q->tally->worst.id : q->tally->best.id;
    for (int32_t i = 0; i < f.n; i++) f.ids[i] = id;
    return f;
}

ph_status ph__hunt_answer(const ph_hunt *h, ph_row *rows, ph_error *err)
{
    const int64_t answers = h->task->answers;
    for (int64_t i = 0; i < h->count * answers; i++) {
        const ph_quarry *q = &h->quarries[i / answers];
        const int64_t rank = i % answers < q->n_best ? i % answers : q->n_best - 1;
        const ph_find f = rank < 0 ? nothing(h, q) : q->best[rank];
        PH_TRY(ph__hunt_row(h, &rows[i], i, &f, err));
        rows[i].restart = f.start;
    }
    return PH_OK;
}
