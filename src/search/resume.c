/* resume.c — the state of a search among tokens in the job's cache folder.
 *
 * The file: a sha256 in 64 digits of what follows; sizes; the quarries; the texts that were seen; the
 * method's parts. It holds pointers of the process that wrote it, which are put right on loading.
 */
#include "search/resume.h"

#include "base/file.h"
#include "search/cache.h"

#include <stdio.h>
#include <string.h>

enum { FORMAT = 6 };

/* What a state has to agree with. */
struct sizes {
    uint64_t format, quarries, quarry_bytes, parts_bytes, n_seen, cap_seen;
    int64_t allowed;
};

static ph_status add_text(ph_str *key, const char *text, ph_error *err)
{
    return ph__str_add(key, text, strlen(text) + 1, err);
}

/* Those that a text may break though all of its tokens are allowed. */
static ph_status add_constraints(ph_str *key, const ph_constraints *c, ph_error *err)
{
    if (!c) return PH_OK;
    PH_TRY(add_text(key, c->contains ? c->contains : "", err));
    for (size_t i = 0; i < c->n_ban; i++) PH_TRY(add_text(key, c->ban[i], err));
    return PH_OK;
}

ph_status ph__resume_path(const char **path, ph_hunt *h, const char *method, ph_error *err)
{
    ph_task *t = h->task;
    const ph_dream_options *o = t->o;
    ph_status st = PH_OK;
    ph_str key = {0};
    char *line = NULL, digest[33];

    *path = NULL;
    if (!t->job->run.cache) return PH_OK;
    PH_GO(ph__printf(
        &line, err, "%s|%d|%lld|%lld|%lld|%lld|%lld|%lld|%d|%d|%d|%d|%.17g|%d|%d|%llu|", method,
        FORMAT, (long long)t->shortest, (long long)t->longest, (long long)o->budget,
        (long long)t->top_k, (long long)o->width, (long long)t->answers, (int)t->round_trip,
        (int)o->outliers, o->alone, h->fluent, h->lambda, (int)t->job->run.reduce, t->job->run.sign,
        (unsigned long long)t->job->run.seed));
    PH_GO(ph__str_add(&key, line, strlen(line), err));
    PH_GO(ph__str_add(&key, o->corpus ? "c" : "-", 1, err));
    PH_GO(ph__str_add(&key, &t->ordinary_norm, sizeof t->ordinary_norm, err));
    PH_GO(add_text(&key, t->job->turn.after, err));
    PH_GO(ph__str_add(&key, &t->job->turn.blank, sizeof t->job->turn.blank, err));
    PH_GO(ph__str_add(&key, t->job->allowed, t->job->n_allowed * sizeof *t->job->allowed, err));
    PH_GO(add_constraints(&key, t->job->constraints, err));
    for (int64_t i = 0; i < h->count; i++) {
        PH_GO(add_text(&key, h->features[i]->text, err));
        PH_GO(ph__cache_feature(&key, t->job, h->features[i], err));
    }
    PH_GO(ph__cache_key(digest, t->job, "hunt", key.data, key.size, err));
    PH_GO(PH_GROW(&t->states, t->n_states, t->n_states + 1, err));
    PH_GO(ph__printf(&t->states[t->n_states], err, "%s/%s.hunt", t->job->run.cache, digest));
    *path = t->states[t->n_states++];
done:
    ph__free(line);
    ph__str_close(&key);
    return st;
}

static struct sizes sizes_of(const ph_hunt *h, const ph_part *parts, size_t n)
{
    struct sizes s = {.format = FORMAT,
                      .quarries = (uint64_t)h->count,
                      .quarry_bytes = sizeof *h->quarries,
                      .n_seen = h->n_seen,
                      .cap_seen = h->cap_seen,
                      .allowed = h->allowed};
    for (size_t i = 0; i < n; i++) s.parts_bytes += parts[i].bytes;
    return s;
}

ph_status ph__resume_save(const char *path, const ph_hunt *h, const ph_part *parts, size_t n,
                          ph_error *err)
{
    const struct sizes s = sizes_of(h, parts, n);
    ph_status st = PH_OK;
    ph_str out = {0};
    char sum[65] = "";

    if (!path) return PH_OK;
    PH_GO(ph__str_add(&out, sum, 64, err));
    PH_GO(ph__str_add(&out, &s, sizeof s, err));
    PH_GO(ph__str_add(&out, h->quarries, (size_t)h->count * sizeof *h->quarries, err));
    PH_GO(ph__str_add(&out, h->seen, h->cap_seen * sizeof *h->seen, err));
    for (size_t i = 0; i < n; i++) PH_GO(ph__str_add(&out, parts[i].at, parts[i].bytes, err));
    PH_GO(ph__sha256(sum, out.data + 64, out.size - 64, err));
    memcpy(out.data, sum, 64);
    (void)ph__file_write(path, out.data, out.size, NULL);
done:
    ph__str_close(&out);
    return st;
}

/* What a quarry borrows is this process's own. */
static void take_quarries(ph_hunt *h, const uint8_t *from)
{
    for (int64_t i = 0; i < h->count; i++) {
        const ph_quarry own = h->quarries[i];
        ph_quarry *q = &h->quarries[i];
        memcpy(q, from + (size_t)i * sizeof *q, sizeof *q);
        q->feature = own.feature;
        q->tally = own.tally;
        q->singles = own.singles;
    }
}

static ph_status take(bool *found, ph_hunt *h, const ph_map *map, const ph_part *parts, size_t n,
                      ph_error *err)
{
    const struct sizes own = sizes_of(h, parts, n);
    const size_t quarries = (size_t)h->count * sizeof *h->quarries;
    const uint8_t *at = map->bytes + 64 + sizeof own;
    struct sizes s;
    uint64_t *seen = NULL;
    char sum[65];

    if (map->size < 64 + sizeof s) return PH_OK;
    memcpy(&s, map->bytes + 64, sizeof s);
    PH_TRY(ph__sha256(sum, map->bytes + 64, map->size - 64, err));
    if (memcmp(sum, map->bytes, 64) != 0 || s.format != own.format || s.quarries != own.quarries ||
        s.quarry_bytes != own.quarry_bytes || s.parts_bytes != own.parts_bytes ||
        map->size != 64 + sizeof s + quarries + s.cap_seen * sizeof *seen + s.parts_bytes)
        return PH_OK;
    PH_TRY(PH_NEW(&seen, s.cap_seen, err));
    take_quarries(h, at);
    at += quarries;
    memcpy(seen, at, s.cap_seen * sizeof *seen);
    at += s.cap_seen * sizeof *seen;
    for (size_t i = 0; i < n; at += parts[i++].bytes) memcpy(parts[i].at, at, parts[i].bytes);
    ph__free(h->seen);
    h->seen = seen;
    h->n_seen = s.n_seen;
    h->cap_seen = s.cap_seen;
    h->allowed = s.allowed;
    *found = true;
    return PH_OK;
}

ph_status ph__resume_load(bool *found, const char *path, ph_hunt *h, const ph_part *parts, size_t n,
                          ph_error *err)
{
    ph_map map = {0};
    ph_status st = PH_OK;

    *found = false;
    if (!path || ph__map_open(&map, path, NULL) != PH_OK) return PH_OK;
    st = take(found, h, &map, parts, n, err);
    ph__map_close(&map);
    return st;
}

void ph__resume_close(ph_task *task, bool done)
{
    for (size_t i = 0; i < task->n_states; i++) {
        if (done) (void)remove(task->states[i]);
        ph__free(task->states[i]);
    }
    ph__free(task->states);
    task->states = NULL;
    task->n_states = 0;
}
