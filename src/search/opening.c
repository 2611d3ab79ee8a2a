/* opening.c — the texts that lines of auto.c begin from: repeated tokens, beams, short descents. */
#include "base/mem.h"
#include "search/climb.h"
#include "search/leads.h"

#include <math.h>
#include <string.h>

static void add_lead(const struct climb *c, int64_t i, const ph_find *f)
{
    struct climber *k = &c->climbers[i];
    if (!isnan(f->score) && f->n >= c->task->shortest && k->n_leads < LEADS)
        k->leads[k->n_leads++] = *f;
}

/* The best of what was just evaluated for a quarry becomes a lead. */
static void add_best(struct climb *c, int64_t i)
{
    const ph_find *best = NULL;
    for (size_t j = 0; j < c->hunt.n; j++) {
        const ph_proposal *p = &c->hunt.list[j];
        if (p->quarry == i && (!best || ph__find_better(&c->hunt, &p->find, best))) best = &p->find;
    }
    if (best) add_lead(c, i, best);
}

ph_status ph__open_repeated(struct climb *c, int64_t i, ph_error *err)
{
    struct climber *k = &c->climbers[i];

    c->hunt.n = 0;
    for (int32_t j = 0; j < REPEATED && j < k->n_known; j++) {
        ph_proposal p = {.quarry = i, .parent = -1, .keep = -1, .find.start = k->starts};
        p.find.n = (int32_t)c->task->shortest;
        for (int32_t t = 0; t < p.find.n; t++) p.find.ids[t] = k->known[j];
        PH_TRY(ph__hunt_propose(NULL, &c->hunt, &p, err));
    }
    k->starts++;
    PH_TRY(ph__hunt_run(&c->hunt, err));
    add_best(c, i);
    return PH_OK;
}

/* The piece of a window that ends, is centred, or begins at a token, as far as it has room. */
static ph_status propose_piece(struct climb *c, int64_t i, const int32_t *window, size_t n,
                               int64_t pos, int64_t shift, ph_error *err)
{
    struct climber *k = &c->climbers[i];
    ph_proposal p = {.quarry = i, .parent = -1, .keep = -1, .find.start = k->starts};
    int64_t from = pos - shift;

    p.find.n = (int32_t)c->task->shortest;
    if (from + p.find.n > (int64_t)n) from = (int64_t)n - p.find.n;
    if (from < 0) from = 0;
    if (from + p.find.n > (int64_t)n) return PH_OK;
    memcpy(p.find.ids, window + from, (size_t)p.find.n * sizeof *window);
    PH_TRY(ph__hunt_mend(&c->hunt, &p.find, &c->hunt.quarries[i].rng, err));
    return ph__hunt_propose(NULL, &c->hunt, &p, err);
}

ph_status ph__open_corpus(struct climb *c, int64_t i, ph_error *err)
{
    const ph_corpus *corpus = c->task->o->corpus;
    const ph_feature *f = c->hunt.features[i];
    const int64_t last = c->task->shortest - 1, shifts[] = {last, last / 2, 0};
    ph_corpus_stat stat;

    if (!corpus || f->n_terms || f->components.end != f->components.begin + 1 ||
        !ph_corpus_get(corpus, f->tap, f->components.begin, &stat))
        return PH_OK;
    c->hunt.n = 0;
    for (size_t j = 0; j < stat.n_top; j++) {
        const ph_sighting *s = c->task->job->run.sign < 0 ? &stat.worst[j] : &stat.best[j];
        size_t n = 0, pos = 0;
        const int32_t *window = ph_corpus_window(corpus, s->token, &n, &pos);
        for (size_t k = 0; k < sizeof shifts / sizeof *shifts; k++)
            PH_TRY(propose_piece(c, i, window, n, (int64_t)pos, shifts[k], err));
    }
    c->climbers[i].starts++;
    PH_TRY(ph__hunt_run(&c->hunt, err));
    add_best(c, i);
    return PH_OK;
}

void ph__open_beams(struct climber *k)
{
    for (k->n_beams = 0; k->n_beams < BEAMS && k->n_beams < k->n_known; k->n_beams++)
        k->beams[k->n_beams] =
            (ph_find){.n = 1, .ids = {k->known[k->n_beams]}, .trips = true, .start = k->starts};
    k->starts++;
}

static ph_status propose_followers(struct climb *c, int64_t i, ph_error *err)
{
    struct climber *k = &c->climbers[i];

    c->hunt.n = 0;
    for (int32_t b = 0; b < k->n_beams; b++) {
        const ph_proposal p = {
            .quarry = i, .parent = -1, .keep = i * BEAMS + b, .find = k->beams[b]};
        PH_TRY(ph__hunt_keep(&c->hunt, &p, err));
    }
    PH_TRY(ph__hunt_run(&c->hunt, err));
    c->hunt.n = 0;
    for (int32_t b = 0; b < k->n_beams; b++)
        for (int32_t j = 0; j < FOLLOWERS && j < k->n_known; j++) {
            ph_proposal p = {.quarry = i,
                             .parent = i * BEAMS + b,
                             .same = k->beams[b].n,
                             .keep = -1,
                             .find = k->beams[b]};
            p.find.ids[p.find.n++] = k->known[j];
            PH_TRY(ph__hunt_propose(NULL, &c->hunt, &p, err));
        }
    return ph__hunt_run(&c->hunt, err);
}

/* Every beam grows by one token; at full length the best is a lead. */
ph_status ph__grow_beams(struct climb *c, int64_t i, ph_error *err)
{
    struct climber *k = &c->climbers[i];
    ph_find next[BEAMS];
    int32_t found = 0;

    PH_TRY(propose_followers(c, i, err));
    for (size_t j = 0; j < c->hunt.n; j++) {
        const ph_find *f = &c->hunt.list[j].find;
        int32_t at = found;
        if (isnan(f->score)) continue;
        while (at > 0 && ph__find_better(&c->hunt, f, &next[at - 1])) at--;
        if (at == BEAMS) continue;
        if (found < BEAMS) found++;
        memmove(&next[at + 1], &next[at], (size_t)(found - 1 - at) * sizeof *next);
        next[at] = *f;
    }
    memcpy(k->beams, next, (size_t)found * sizeof *next);
    k->n_beams = found;
    if (found && next[0].n < c->task->longest) return PH_OK;
    if (found) add_lead(c, i, &next[0]);
    k->n_beams = 0;
    return PH_OK;
}

bool ph__beams_due(struct climb *c, int64_t i)
{
    const struct climber *k = &c->climbers[i];
    const int64_t each = k->beams[0].n + (k->n_known < FOLLOWERS ? k->n_known : FOLLOWERS);
    return k->n_beams && c->hunt.quarries[i].spent >= BEAMS_FROM &&
           ph__hunt_takes_on(&c->hunt, i, k->n_beams * each);
}

/* The features whose descents are due get them, each of which is a lead. */
ph_status ph__open_descents(struct climb *c, const bool *live, ph_error *err)
{
    const int64_t T = c->task->longest;
    ph_status st = PH_OK;
    int64_t *due = NULL, n = 0;
    int32_t *ids = NULL;

    PH_GO(PH_NEW(&due, (size_t)c->hunt.count, err));
    for (int64_t i = 0; i < c->hunt.count; i++) {
        struct climber *k = &c->climbers[i];
        if (!live[i] || k->descended || c->hunt.quarries[i].spent < DESCENTS_FROM) continue;
        if (!ph__hunt_takes_on(&c->hunt, i, DESCENTS * T * (3 * STEPS + 3))) continue;
        k->descended = true;
        due[n++] = i;
    }
    if (n == 0) goto done;
    PH_GO(PH_NEW(&ids, (size_t)(n * DESCENTS * T), err));
    PH_GO(ph__leads(ids, &c->hunt, due, n, DESCENTS, STEPS, err));
    c->hunt.n = 0;
    for (int64_t i = 0; i < n * DESCENTS; i++) {
        ph_proposal p = {.quarry = due[i / DESCENTS], .parent = -1, .keep = -1};
        p.find.start = c->climbers[p.quarry].starts++;
        p.find.n = (int32_t)T;
        memcpy(p.find.ids, ids + i * T, (size_t)T * sizeof *ids);
        PH_GO(ph__hunt_mend(&c->hunt, &p.find, &c->hunt.quarries[p.quarry].rng, err));
        PH_GO(ph__hunt_propose(NULL, &c->hunt, &p, err));
    }
    PH_GO(ph__hunt_run(&c->hunt, err));
    for (size_t j = 0; j < c->hunt.n; j++)
        add_lead(c, c->hunt.list[j].quarry, &c->hunt.list[j].find);
done:
    ph__free(ids);
    ph__free(due);
    return st;
}
