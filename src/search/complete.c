/* complete.c — complete search: every token of the vocabulary alone after the context. */
#include "search/complete.h"

#include "base/buf.h"
#include "base/file.h"
#include "search/cache.h"
#include "search/ranked.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_CACHED = 16384 }; /* components of a tap; the logits have more and are not kept whole */

/* ---- tallies ---- */

static ph_status tallies_new(ph_complete *c, size_t count, int64_t top, int64_t V, ph_error *err)
{
    const size_t n = (size_t)(top < V ? top : V);
    size_t lists;

    if (!ph__mul(&lists, count, 2 * n)) return ph__fail_memory(err, SIZE_MAX);
    PH_TRY(PH_NEW(&c->tallies, count, err));
    PH_TRY(PH_NEW(&c->lists, lists, err));
    c->count = count;
    c->V = V;
    for (size_t i = 0; i < count; i++) {
        ph_tally *t = &c->tallies[i];
        t->top = c->lists + 2 * n * i;
        t->bottom = t->top + n;
        t->best = t->worst = (ph_near){-1, (double)NAN};
        t->n = (int32_t)n;
        ph__ranked_clear(t->top, n, 1);
        ph__ranked_clear(t->bottom, n, -1);
    }
    return PH_OK;
}

void ph__complete_close(ph_complete *c)
{
    ph__free(c->tallies);
    ph__free(c->lists);
    *c = (ph_complete){0};
}

static void add_value(ph_tally *t, int32_t id, double v, bool ordinary)
{
    t->sum += v;
    t->squares += v * v;
    ph__ranked_add(t->top, (size_t)t->n, 1, id, v);
    ph__ranked_add(t->bottom, (size_t)t->n, -1, id, v);
    if (!ordinary) return;
    if (t->best.id < 0 || v > t->best.value) t->best = (ph_near){id, v};
    if (t->worst.id < 0 || v < t->worst.value) t->worst = (ph_near){id, v};
}

struct visit {
    ph_complete *c;
    const ph_job *job;
    float *values; /* (·,V) of the tallies from `first` on; NULL */
    size_t first;
};

static double value_of(const ph_feature *f, const double *X, int64_t W)
{
    const ph_region r = {
        .last = 1, .reduce = PH_REDUCE_LAST, .sign = 1, .terms = f->terms, .n_terms = f->n_terms};
    return ph__measure(&r, NULL, X, 1, W).activation;
}

static void visit(int64_t row, const double *X, int64_t W, void *payload)
{
    const struct visit *v = payload;
    for (size_t i = 0; i < v->c->count; i++) {
        ph_tally *t = &v->c->tallies[i];
        double sum = 0;
        for (int64_t k = t->begin; k < t->end; k++) sum += X[k];
        const double value = t->of ? value_of(t->of, X, W) : sum / (double)(t->end - t->begin);
        add_value(t, (int32_t)row, value, v->job->is_ordinary[row]);
        if (v->values && i >= v->first)
            v->values[(i - v->first) * (size_t)v->c->V + (size_t)row] = (float)value;
    }
}

/* values (count - first, V), NULL allowed: of the tallies from `first` on */
static ph_status search(ph_complete *c, float *values, size_t first, ph_scorer *s,
                        const ph_job *job, const ph_feature *at, ph_error *err)
{
    ph_status st = PH_OK;
    int32_t *ids = NULL;
    struct visit v = {c, job, values, first};

    PH_GO(PH_NEW(&ids, (size_t)c->V, err));
    for (int64_t i = 0; i < c->V; i++) ids[i] = (int32_t)i;
    PH_GO(ph__scorer_texts(s, at, ids, c->V, 1, "complete search", visit, &v, err));
done:
    ph__free(ids);
    return st;
}

/* ---- the cache: a header, then tallies with their lists; keyed by everything that matters ---- */

struct cache_header {
    char magic[8];
    uint32_t lists, reserved;
    uint64_t count;
};
static const char magic[8] = "phscan2";

struct cache_record {
    int64_t begin, end;
    double sum, squares;
    ph_near best, worst;
};

static ph_status cache_path(char **out, const ph_job *job, ph_tap tap, ph_error *err)
{
    char digest[33], name[48];
    ph__tap_name(name, tap);
    PH_TRY(ph__cache_key(digest, job, name, NULL, 0, err));
    return ph__printf(out, err, "%s/%s.scan", job->run.cache, digest);
}

static const uint8_t *record_at(const ph_map *map, size_t i, int32_t n)
{
    const size_t size = sizeof(struct cache_record) + 2 * (size_t)n * sizeof(ph_near);
    return map->bytes + sizeof(struct cache_header) + i * size;
}

static bool cache_usable(const ph_map *map, int32_t n)
{
    struct cache_header h;
    size_t size = sizeof(struct cache_record) + 2 * (size_t)n * sizeof(ph_near), bytes;
    if (map->size < sizeof h) return false;
    memcpy(&h, map->bytes, sizeof h);
    return memcmp(h.magic, magic, sizeof magic) == 0 && h.lists == (uint32_t)n &&
           ph__mul(&size, size, h.count) && ph__add(&bytes, size, sizeof h) && bytes == map->size;
}

/* Fill a tally from the cache; false if it is not there. */
static bool cache_find(ph_tally *t, const ph_map *map, int32_t n)
{
    struct cache_header h;
    memcpy(&h, map->bytes, sizeof h);
    for (size_t i = 0; i < h.count; i++) {
        struct cache_record r;
        const uint8_t *at = record_at(map, i, n);
        memcpy(&r, at, sizeof r);
        if (r.begin != t->begin || r.end != t->end) continue;
        t->sum = r.sum;
        t->squares = r.squares;
        t->best = r.best;
        t->worst = r.worst;
        memcpy(t->top, at + sizeof r, (size_t)t->n * sizeof *t->top);
        memcpy(t->bottom, at + sizeof r + (size_t)n * sizeof *t->top,
               (size_t)t->n * sizeof *t->bottom);
        return true;
    }
    return false;
}

static bool ids_within(const ph_tally *t, int64_t V)
{
    bool ok = t->best.id >= 0 && t->best.id < V && t->worst.id >= 0 && t->worst.id < V;
    for (int32_t k = 0; k < t->n; k++)
        ok &= t->top[k].id >= 0 && t->top[k].id < V && t->bottom[k].id >= 0 && t->bottom[k].id < V;
    return ok;
}

/* true if every tally was found. A cache that cannot be read is as good as none. */
static bool cache_read(ph_complete *c, const char *path, int32_t n)
{
    ph_map map = {0};
    bool found = false;
    if (ph__map_open(&map, path, NULL) != PH_OK) return false;
    if (cache_usable(&map, n)) {
        found = true;
        for (size_t i = 0; i < c->count && found; i++)
            found = cache_find(&c->tallies[i], &map, n) && ids_within(&c->tallies[i], c->V);
    }
    ph__map_close(&map);
    return found;
}

static ph_status cache_write(const ph_complete *c, const char *path, ph_error *err)
{
    ph_status st = PH_OK;
    ph_str out = {0};
    struct cache_header h = {.lists = (uint32_t)c->tallies[0].n, .count = c->count};

    memcpy(h.magic, magic, sizeof magic);
    PH_GO(ph__str_add(&out, &h, sizeof h, err));
    for (size_t i = 0; i < c->count; i++) {
        const ph_tally *t = &c->tallies[i];
        struct cache_record r = {t->begin, t->end, t->sum, t->squares, t->best, t->worst};
        PH_GO(ph__str_add(&out, &r, sizeof r, err));
        PH_GO(ph__str_add(&out, t->top, (size_t)t->n * sizeof *t->top, err));
        PH_GO(ph__str_add(&out, t->bottom, (size_t)t->n * sizeof *t->bottom, err));
    }
    PH_GO(ph__file_write(path, out.data, out.size, err));
done:
    ph__str_close(&out);
    return st;
}

/* ---- a file for each feature: sums, and the values of every token ---- */

/* Keyed by its text and by what its files say. */

static ph_status feature_path(char **out, const ph_job *job, const ph_feature *f,
                              const char *ending, ph_error *err)
{
    ph_status st = PH_OK;
    ph_str bytes = {0};
    char digest[33];

    PH_GO(ph__cache_feature(&bytes, job, f, err));
    PH_GO(ph__cache_key(digest, job, f->text, bytes.data, bytes.size, err));
    PH_GO(ph__printf(out, err, "%s/%s.%s", job->run.cache, digest, ending));
done:
    ph__str_close(&bytes);
    return st;
}

/* *found: the V values of all features were there. */
static ph_status values_read(bool *found, float *values, const ph_job *job,
                             const ph_feature *const *features, size_t count, ph_error *err)
{
    const size_t V = (size_t)job->model->arch.V;

    *found = true;
    for (size_t i = 0; i < count && *found; i++) {
        ph_map map = {0};
        char *path = NULL;
        PH_TRY(feature_path(&path, job, features[i], "singles", err));
        *found = ph__map_open(&map, path, NULL) == PH_OK && map.size == V * sizeof *values;
        if (*found) memcpy(values + i * V, map.bytes, map.size);
        ph__map_close(&map);
        ph__free(path);
    }
    return PH_OK;
}

static ph_status values_write(const float *values, const ph_job *job,
                              const ph_feature *const *features, size_t count, ph_error *err)
{
    const size_t V = (size_t)job->model->arch.V;

    for (size_t i = 0; i < count; i++) {
        char *path = NULL;
        PH_TRY(feature_path(&path, job, features[i], "singles", err));
        (void)ph__file_write(path, values + i * V, V * sizeof *values, NULL);
        ph__free(path);
    }
    return PH_OK;
}

/* Tallies for these features; true if there are sums among them. */
static bool ask(ph_complete *c, const ph_feature *const *features)
{
    bool sums = false;
    for (size_t i = 0; i < c->count; i++) {
        c->tallies[i].begin = features[i]->components.begin;
        c->tallies[i].end = features[i]->components.end;
        c->tallies[i].of = features[i]->n_terms ? features[i] : NULL;
        sums |= features[i]->n_terms > 0;
    }
    return sums;
}

/* The asked features, and beside them every single component of the tap. */
static ph_status wide_search(ph_complete *all, float *values, const ph_complete *asked,
                             ph_scorer *s, const ph_job *job, const ph_feature *at, int64_t W,
                             ph_error *err)
{
    PH_TRY(tallies_new(all, (size_t)W + asked->count, PH_TALLY_KEPT, asked->V, err));
    for (int64_t i = 0; i < W; i++) {
        all->tallies[i].begin = i;
        all->tallies[i].end = i + 1;
    }
    for (size_t i = 0; i < asked->count; i++) {
        all->tallies[(size_t)W + i].begin = asked->tallies[i].begin;
        all->tallies[(size_t)W + i].end = asked->tallies[i].end;
    }
    return search(all, values, (size_t)W, s, job, at, err);
}

static void copy_tally(ph_tally *to, const ph_tally *from)
{
    ph_near *top = to->top, *bottom = to->bottom;
    const int32_t n = to->n;
    memcpy(top, from->top, (size_t)n * sizeof *top);
    memcpy(bottom, from->bottom, (size_t)n * sizeof *bottom);
    *to = *from;
    to->top = top;
    to->bottom = bottom;
    to->n = n;
}

/* Through the cache: look there, else search for the whole tap and keep that. */
static ph_status cached(ph_complete *c, float *values, ph_scorer *s, const ph_job *job,
                        const ph_feature *const *features, int64_t W, ph_error *err)
{
    ph_status st = PH_OK;
    ph_complete all = {0};
    char *path = NULL;
    bool found = true;
    const int32_t kept = (int32_t)(PH_TALLY_KEPT < c->V ? PH_TALLY_KEPT : c->V);

    PH_GO(cache_path(&path, job, features[0]->tap, err));
    if (values) PH_GO(values_read(&found, values, job, features, c->count, err));
    if (found && cache_read(c, path, kept)) goto done; /* else all is written anew below */
    PH_GO(wide_search(&all, values, c, s, job, features[0], W, err));
    for (size_t i = 0; i < c->count; i++) copy_tally(&c->tallies[i], &all.tallies[(size_t)W + i]);
    (void)cache_write(&all, path, NULL); /* a full disk costs time next time, not the answer */
    if (values) PH_GO(values_write(values, job, features, c->count, err));
done:
    ph__complete_close(&all);
    ph__free(path);
    return st;
}

/* One tally of a search as a search of its own. */
static ph_complete single(ph_complete *c, size_t i)
{
    return (ph_complete){.tallies = c->tallies + i, .count = 1, .V = c->V};
}

/* Look for every feature; if one is missing, search for all and keep each. */
static ph_status cached_sums(ph_complete *c, float *values, ph_scorer *s, const ph_job *job,
                             const ph_feature *const *features, ph_error *err)
{
    ph_status st = PH_OK;
    ph_complete all = {0};
    char **paths = NULL;
    bool found = true;
    const int32_t kept = (int32_t)(PH_TALLY_KEPT < c->V ? PH_TALLY_KEPT : c->V);

    PH_GO(PH_NEW(&paths, c->count, err));
    if (values) PH_GO(values_read(&found, values, job, features, c->count, err));
    for (size_t i = 0; i < c->count; i++) {
        ph_complete one = single(c, i);
        PH_GO(feature_path(&paths[i], job, features[i], "scan", err));
        found = found && cache_read(&one, paths[i], kept);
    }
    if (found) goto done;
    PH_GO(tallies_new(&all, c->count, PH_TALLY_KEPT, c->V, err));
    ask(&all, features);
    PH_GO(search(&all, values, 0, s, job, features[0], err));
    for (size_t i = 0; i < c->count; i++) {
        const ph_complete one = single(&all, i);
        copy_tally(&c->tallies[i], &all.tallies[i]);
        (void)cache_write(&one, paths[i], NULL);
    }
    if (values) PH_GO(values_write(values, job, features, c->count, err));
done:
    ph__complete_close(&all);
    for (size_t i = 0; paths && i < c->count; i++) ph__free(paths[i]);
    ph__free(paths);
    return st;
}

ph_status ph__complete(ph_complete *out, float *values, ph_scorer *s, const ph_job *job,
                       const ph_feature *const *features, size_t count, int64_t top, ph_error *err)
{
    const ph_feature *at = features[0];
    const int64_t W = ph_place_width(ph_model_get_info(job->model), at->tap.place);
    const bool keeps = job->run.cache && top <= PH_TALLY_KEPT;
    ph_complete c = {0};
    ph_status st = PH_OK;

    PH_GO(tallies_new(&c, count, top, job->model->arch.V, err));
    const bool sums = ask(&c, features);
    if (keeps && sums)
        PH_GO(cached_sums(&c, values, s, job, features, err));
    else if (keeps && W <= MAX_CACHED)
        PH_GO(cached(&c, values, s, job, features, W, err));
    else
        PH_GO(search(&c, values, 0, s, job, at, err));
    *out = c;
    return PH_OK;
done:
    ph__complete_close(&c);
    return st;
}
