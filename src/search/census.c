/* census.c — one pass over a stream of tokens, and its file in the cache folder.
 *
 * Memory, file and mapping are one blob with one layout:
 *
 *   header | sum squares | low step | highest lowest | at_highest at_lowest | bins | norms
 *
 * each an array over all columns: block 1's components, its neurons, block 2's components, …
 */
#include "search/census.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/buf.h"
#include "model/path.h"
#include "search/cache.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum { SAVE_SECONDS = 20 /* a killed pass loses at most this much */ };

struct header {
    char magic[8];
    uint32_t top, neurons;
    int64_t depth, n, done;
};
static const char magic[8] = "phcens1";

struct ph_census {
    const ph_job *job;
    ph_census_plan plan; /* depth and neurons as in the blob: perhaps more than was asked for */
    int64_t C, F, rows;
    struct header *header; /* begins the blob */
    ph_columns columns;
    float *norms; /* (depth,n) */
    size_t bytes;
    uint8_t *memory; /* owned; or else */
    ph_map map;
    char digest[33];
    char *path; /* of the cache's file, NULL: none */
    double saved;
};

static int64_t block_columns(const ph_census *c)
{
    return c->C + (c->plan.neurons ? c->F : 0);
}

/* ---- the blob ---- */

static bool part(void *slot, uint8_t *base, size_t *used, size_t count, size_t size)
{
    size_t bytes;
    uint8_t *at = base ? base + *used : NULL;
    memcpy(slot, &at, sizeof at);
    return ph__mul(&bytes, count, size) && ph__add(&bytes, bytes, 63) &&
           ph__add(used, *used, bytes & ~(size_t)63);
}

/* Point everything into a blob at base (NULL: only measure it); false if it is too large. */
static bool lay_out(ph_census *c, uint8_t *base)
{
    ph_columns *k = &c->columns;
    const int64_t windows = (c->plan.n + c->plan.window - 1) / c->plan.window;
    size_t lists, bins, norms = 0, used = 0;
    bool ok = ph__mul(&k->count, (size_t)c->plan.depth, (size_t)block_columns(c));

    k->top = (size_t)(c->plan.top < windows ? c->plan.top : windows);
    ok = ok && ph__mul(&lists, k->count, k->top) && ph__mul(&bins, k->count, PH_BINS);
    if (c->plan.norms) ok = ok && ph__mul(&norms, (size_t)c->plan.depth, (size_t)c->plan.n);
    ok = ok && part(&c->header, base, &used, 1, sizeof *c->header);
    ok = ok && part(&k->sum, base, &used, k->count, sizeof *k->sum);
    ok = ok && part(&k->squares, base, &used, k->count, sizeof *k->squares);
    ok = ok && part(&k->low, base, &used, k->count, sizeof *k->low);
    ok = ok && part(&k->step, base, &used, k->count, sizeof *k->step);
    ok = ok && part(&k->highest, base, &used, lists, sizeof *k->highest);
    ok = ok && part(&k->lowest, base, &used, lists, sizeof *k->lowest);
    ok = ok && part(&k->at_highest, base, &used, lists, sizeof *k->at_highest);
    ok = ok && part(&k->at_lowest, base, &used, lists, sizeof *k->at_lowest);
    ok = ok && part(&k->bins, base, &used, bins, sizeof *k->bins);
    ok = ok && part(&c->norms, base, &used, norms, sizeof *c->norms);
    c->bytes = used;
    return ok;
}

static struct header header_of(const ph_census *c)
{
    struct header h = {.top = (uint32_t)c->columns.top,
                       .neurons = c->plan.neurons,
                       .depth = c->plan.depth,
                       .n = c->plan.n};
    memcpy(h.magic, magic, sizeof magic);
    return h;
}

/* ---- the cache's file ---- */

/* What the figures depend on, but for depth and neurons, which stand in the file's name. */
static ph_status set_digest(ph_census *c, ph_error *err)
{
    const ph_census_plan *p = &c->plan;
    const int64_t asked[] = {p->n, p->window, p->top, p->norms};
    ph_str key = {0};
    ph_status st = PH_OK;

    PH_GO(ph__str_add(&key, asked, sizeof asked, err));
    PH_GO(ph__str_add(&key, p->ids, (size_t)p->n * sizeof *p->ids, err));
    PH_GO(ph__cache_key(c->digest, c->job, p->name, key.data, key.size, err));
done:
    ph__str_close(&key);
    return st;
}

static ph_status name_file(char **out, const ph_census *c, int64_t depth, bool neurons,
                           ph_error *err)
{
    return ph__printf(out, err, "%s/%s-%lld%s.%s", c->job->run.cache, c->digest, (long long)depth,
                      neurons ? "n" : "", c->plan.name);
}

/* Map a file if it is one of this layout; what is in it is not trusted any further than that. */
static bool map_file(ph_map *map, const ph_census *c, const char *path)
{
    struct header h, want = header_of(c);
    if (ph__map_open(map, path, NULL) != PH_OK) return false;
    if (map->size == c->bytes) {
        memcpy(&h, map->bytes, sizeof h);
        want.done = h.done;
        if (memcmp(&h, &want, sizeof h) == 0 && h.done >= 0 && h.done <= h.n) return true;
    }
    ph__map_close(map);
    return false;
}

/* A pass that is done and holds at least what is asked for. */
static ph_status find_done(bool *found, ph_census *c, ph_error *err)
{
    const ph_census_plan asked = c->plan;
    *found = false;
    for (int64_t depth = asked.depth; depth <= c->job->model->arch.blocks; depth++) {
        for (int neurons = asked.neurons; neurons <= 1; neurons++) {
            char *path = NULL;
            c->plan.depth = depth;
            c->plan.neurons = neurons;
            PH_TRY(name_file(&path, c, depth, neurons, err));
            if (lay_out(c, NULL) && map_file(&c->map, c, path)) {
                (void)lay_out(c, (uint8_t *)(uintptr_t)c->map.bytes);
                *found = c->header->done == c->plan.n;
                if (!*found) ph__map_close(&c->map);
            }
            ph__free(path);
            if (*found) return PH_OK;
        }
    }
    c->plan = asked;
    return PH_OK;
}

/* Go on from where an earlier pass was saved. */
static void resume(ph_census *c)
{
    ph_map map = {0};
    if (!c->path || !map_file(&map, c, c->path)) return;
    memcpy(c->memory, map.bytes, c->bytes);
    ph__map_close(&map);
}

/* A cache that cannot be written costs time next time, not the answer. */
static void save(ph_census *c)
{
    if (c->path) (void)ph__file_write(c->path, c->memory, c->bytes, NULL);
    c->saved = ph__now();
}

/* ---- the pass ----
 *
 * Workers take batches in order and bring each through all blocks alone, on one thread: no thread
 * waits for another inside a product. A block's columns are added to batch by batch, in order, so
 * that the figures do not depend on the workers; one that comes too early waits for its turn.
 */

enum { NONE = INT32_MAX }; /* no token has this number */

struct pass {
    ph_census *c;
    pthread_mutex_t lock;
    pthread_cond_t moved; /* an entry of `added`, or `failed` */
    int64_t *added;       /* (depth) tokens that are in a block's columns */
    int64_t taken;        /* tokens whose batches a worker has taken */
    int64_t failed;       /* first token of the first batch that failed */
    ph_status status;     /* … and why */
    ph_error error;
};

struct worker {
    struct pass *p;
    ph_session *session;
    int64_t token, n; /* of the batch: number of its first token, and how many */
    int32_t *ids;     /* (rows,window) */
    float *E, *X;     /* (rows,window,C), (rows,window,max(C,F)) */
};

static void fail(struct pass *p, int64_t token, ph_status status, const ph_error *error)
{
    pthread_mutex_lock(&p->lock);
    if (token < p->failed) {
        p->failed = token;
        p->status = status;
        p->error = *error;
    }
    pthread_cond_broadcast(&p->moved);
    pthread_mutex_unlock(&p->lock);
}

/* Wait until all batches before this one are in the block's columns; false: one of them failed. */
static bool my_turn(const struct worker *w, int64_t block)
{
    struct pass *p = w->p;
    pthread_mutex_lock(&p->lock);
    while (p->added[block - 1] < w->token && p->failed > w->token)
        pthread_cond_wait(&p->moved, &p->lock);
    const bool mine = p->failed > w->token;
    pthread_mutex_unlock(&p->lock);
    return mine;
}

static void end_turn(const struct worker *w, int64_t block)
{
    struct pass *p = w->p;
    pthread_mutex_lock(&p->lock);
    p->added[block - 1] = w->token + w->n;
    pthread_cond_broadcast(&p->moved);
    pthread_mutex_unlock(&p->lock);
}

static void keep_norms(ph_census *c, const struct worker *w, int64_t block)
{
    float *out = c->norms + (block - 1) * c->plan.n + w->token;
#pragma omp parallel for schedule(static) num_threads(c->job->model->backend->threads)
    for (int64_t t = 0; t < w->n; t++) {
        double sum = 0;
        for (int64_t i = 0; i < c->C; i++)
            sum += (double)w->X[t * c->C + i] * (double)w->X[t * c->C + i];
        out[t] = (float)sqrt(sum);
    }
}

static ph_status add(const struct worker *w, int64_t block, ph_place place, ph_error *err)
{
    ph_census *c = w->p->c;
    const bool neuron = place == PH_PLACE_NEURON;
    const int64_t first = (block - 1) * block_columns(c) + (neuron ? c->C : 0);
    char name[48];

    if (ph__columns_add(&c->columns, (size_t)first, w->X, w->n, neuron ? c->F : c->C, w->token,
                        c->plan.window, c->job->model->backend->threads))
        return PH_OK;
    ph__tap_name(name, (ph_tap){place, false, block});
    return ph__fail(err, PH_ENUMERIC, -1, "the output of %s is NaN or infinite on a text", name);
}

static ph_status watch(ph_session *s, int64_t block, void *payload, ph_error *err)
{
    const struct worker *w = payload;
    ph_census *c = w->p->c;

    ph__session_read_block(s, block, PH_PLACE_BLOCK, w->X);
    if (!my_turn(w, block)) return PH_ECANCELED; /* for `fail`, which ignores it */
    PH_TRY(add(w, block, PH_PLACE_BLOCK, err));
    if (c->plan.norms) keep_norms(c, w, block);
    if (c->plan.neurons) {
        ph__session_read_block(s, block, PH_PLACE_NEURON, w->X);
        PH_TRY(add(w, block, PH_PLACE_NEURON, err));
    }
    end_turn(w, block);
    return PH_OK;
}

static ph_status batch(struct worker *w, ph_error *err)
{
    const ph_census *c = w->p->c;
    const int64_t T = c->plan.window, B = (w->n + T - 1) / T;

    for (int64_t i = 0; i < B * T; i++) w->ids[i] = c->plan.ids[w->token + (i < w->n ? i : 0)];
    PH_TRY(ph_model_embed(c->job->model, w->E, w->ids, (size_t)(B * T), err));
    ph__session_write(w->session, w->E, B);
    return ph__session_run(w->session, err);
}

/* The next batch; false where there is none, or the workers should meet. */
static bool take(struct worker *w)
{
    struct pass *p = w->p;
    const ph_census *c = p->c;
    const int64_t most = c->rows * c->plan.window;

    pthread_mutex_lock(&p->lock);
    const int64_t left = c->plan.n - p->taken;
    const bool more = left > 0 && p->failed == NONE && ph__now() - c->saved < SAVE_SECONDS;
    w->token = p->taken;
    w->n = left < most ? left : most;
    if (more) p->taken += w->n;
    pthread_mutex_unlock(&p->lock);
    return more;
}

/* The caller's own thread also reports; a cancelled pass ends before the batch. */
static void work(struct worker *w, bool reports)
{
    const ph_census *c = w->p->c;
    while (take(w)) {
        ph_error err = {0};
        ph_status st = PH_OK;
        if (reports)
            st = ph__job_progress(c->job, c->plan.name, (double)w->token / (double)c->plan.n, &err);
        if (st == PH_OK) st = batch(w, &err);
        if (st != PH_OK) fail(w->p, w->token, st, &err);
    }
}

/* All batches that are left, in stretches of SAVE_SECONDS. */
static ph_status run_from(ph_census *c, struct pass *p, struct worker *w, int workers,
                          ph_error *err)
{
    while (p->status == PH_OK && c->header->done < c->plan.n) {
#pragma omp parallel for schedule(static, 1) num_threads(workers)
        for (int i = 0; i < workers; i++) work(&w[i], i == 0);
        if (p->status != PH_OK && p->status != PH_ECANCELED) break;
        c->header->done = p->added[c->plan.depth - 1];
        save(c);
    }
    if (p->status == PH_OK) return ph__job_progress(c->job, c->plan.name, 1, err);
    if (err) *err = p->error;
    return p->status;
}

/* One for each of the model's threads where there are batches enough; or one that has them all. */
static int workers_of(const ph_census *c)
{
    const int threads = c->job->model->backend->threads;
    const int64_t batches = (c->plan.n - c->header->done) / (c->rows * c->plan.window);
    return batches >= 2 * threads ? threads : 1;
}

static ph_session_options session_options(const ph_census *c)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    o.tap = (ph_tap){PH_PLACE_BLOCK, false, c->plan.depth};
    o.rows = c->rows;
    o.tokens = c->plan.window;
    o.context = c->job->context;
    o.n_context = c->job->n_context;
    o.threads = workers_of(c) > 1;
    return o;
}

/* What the rest of the pass will take, before anything is packed. */
static ph_status estimate(ph_pass_cost *cost, const ph_census *c, ph_error *err)
{
    const ph_session_options o = session_options(c);
    const ph_model *m = c->job->model;
    const ph_path path = ph__path(o.tap, &m->arch);
    size_t own, weights;
    PH_TRY(ph_session_bytes(&own, &weights, m, &o, err));
    cost->bytes = c->bytes + own * (size_t)workers_of(c);
    cost->resumed = c->header->done;
    cost->flops =
        2.0 * ph__path_parameters(&path, &m->arch) * (double)(c->plan.n - c->header->done);
    return PH_OK;
}

static ph_status worker_open(struct worker *w, struct pass *p, ph_error *err)
{
    const ph_census *c = p->c;
    const size_t tokens = (size_t)(c->rows * c->plan.window);
    const ph_session_options o = session_options(c);

    w->p = p;
    PH_TRY(ph_session_open(&w->session, c->job->model, &o, err));
    PH_TRY(PH_NEW(&w->ids, tokens, err));
    PH_TRY(PH_NEW(&w->E, tokens * (size_t)c->C, err));
    PH_TRY(PH_NEW(&w->X, tokens * (size_t)(c->F > c->C ? c->F : c->C), err));
    ph__session_watch(w->session, watch, w);
    return PH_OK;
}

static void worker_close(struct worker *w)
{
    ph__free(w->X);
    ph__free(w->E);
    ph__free(w->ids);
    ph_session_close(&w->session);
}

static ph_status pass(ph_census *c, ph_pass_cost *cost, ph_error *err)
{
    const int workers = workers_of(c);
    struct pass p = {.c = c, .taken = c->header->done, .failed = NONE};
    struct worker *w = NULL;
    ph_status st = PH_OK;

    pthread_mutex_init(&p.lock, NULL);
    pthread_cond_init(&p.moved, NULL);
    PH_GO(PH_NEW(&p.added, (size_t)c->plan.depth, err));
    PH_GO(PH_NEW(&w, (size_t)workers, err));
    for (int64_t i = 0; i < c->plan.depth; i++) p.added[i] = c->header->done;
    for (int i = 0; i < workers; i++) PH_GO(worker_open(&w[i], &p, err));
    const double began = c->saved = ph__now();
    PH_GO(run_from(c, &p, w, workers, err));
    cost->seconds = ph__now() - began;
done:
    for (int i = 0; w && i < workers; i++) worker_close(&w[i]);
    ph__free(w);
    ph__free(p.added);
    pthread_cond_destroy(&p.moved);
    pthread_mutex_destroy(&p.lock);
    return st;
}

/* ---- open and close ---- */

static ph_status blob_new(ph_census *c, ph_error *err)
{
    if (!lay_out(c, NULL)) return ph__fail_memory(err, SIZE_MAX);
    PH_TRY(PH_NEW_ALIGNED(&c->memory, c->bytes, err));
    (void)lay_out(c, c->memory);
    *c->header = header_of(c);
    ph__columns_clear(&c->columns);
    return PH_OK;
}

ph_status ph__census_open(ph_census **out, const ph_job *job, const ph_census_plan *plan,
                          ph_pass_cost *cost, ph_error *err)
{
    ph_status st = PH_OK;
    ph_census *c = NULL;
    ph_pass_cost nobody;
    bool found = false;

    *out = NULL;
    if (!cost) cost = &nobody;
    *cost = (ph_pass_cost){.tokens = plan->n, .resumed = plan->n};
    PH_GO(PH_NEW(&c, 1, err));
    *c = (ph_census){.job = job, .plan = *plan, .C = job->model->arch.C, .F = job->model->arch.F};
    c->rows = plan->window < PH_CENSUS_BATCH ? PH_CENSUS_BATCH / plan->window : 1;
    if (job->run.cache) {
        PH_GO(set_digest(c, err));
        PH_GO(find_done(&found, c, err));
    }
    if (!found) {
        PH_GO(blob_new(c, err));
        if (job->run.cache) PH_GO(name_file(&c->path, c, plan->depth, plan->neurons, err));
        resume(c);
        PH_GO(estimate(cost, c, err));
        if (plan->most_flops > 0 && cost->flops > plan->most_flops) goto done;
        PH_GO(pass(c, cost, err));
    }
    *out = c;
    c = NULL;
done:
    ph__census_close(&c);
    return st;
}

void ph__census_close(ph_census **census)
{
    if (!*census) return;
    ph__free((*census)->path);
    ph__free((*census)->memory);
    ph__map_close(&(*census)->map);
    ph__free(*census);
    *census = NULL;
}

/* ---- reading ---- */

/* A file could be damaged: entries must name tokens. */
static bool entries_within(const ph_column *c)
{
    for (size_t i = 0; i < c->top; i++)
        if (c->at_highest[i] < 0 || c->at_highest[i] >= c->n || c->at_lowest[i] < 0 ||
            c->at_lowest[i] >= c->n)
            return false;
    return true;
}

bool ph__census_column(ph_column *out, const ph_census *c, ph_tap tap, int64_t component)
{
    const bool neuron = tap.place == PH_PLACE_NEURON;
    if (tap.only || (tap.place != PH_PLACE_BLOCK && !(neuron && c->plan.neurons))) return false;
    if (tap.block < 1 || tap.block > c->plan.depth || component < 0) return false;
    if (component >= (neuron ? c->F : c->C)) return false;
    *out = ph__column_at(
        &c->columns, (size_t)((tap.block - 1) * block_columns(c) + (neuron ? c->C : 0) + component),
        c->plan.n);
    return entries_within(out);
}

const float *ph__census_norms(const ph_census *c, int64_t block)
{
    return c->plan.norms && block >= 1 && block <= c->plan.depth
               ? c->norms + (block - 1) * c->plan.n
               : NULL;
}
