/* models.c — the models that requests ask for: opened when first asked for, a few at a time. */
#include "models.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 64 };

struct held {
    char *key, *path, *shape; /* owned; key NULL: not looked at yet */
    ph_model_options options;
    bool mine;   /* of the command line: listed without the store, too */
    bool looked; /* it was opened once, or could not be */
    json_t *is;  /* what it says of itself, once it was open */
    ph_model *model;
    int users;
    unsigned long used;
};

struct models {
    const struct common *common;
    struct archive *archive;
    pthread_mutex_t lock;
    struct held all[MOST];
    int n;
    unsigned long clock;
};

/* ---- keys ---- */

/* As the store makes it of a run line's model. */
static char *key_of(const ph_model_info *info, const char sha[65])
{
    char *key = NULL;
    if (!info->untrained) return strdup(sha);
    if (asprintf(&key, "untrained:%s:%llu%s%s:%lld", sha, (unsigned long long)info->untrained_seed,
                 info->shape ? ":" : "", info->shape ? info->shape : "",
                 (long long)info->blocks) < 0)
        return NULL;
    return key;
}

static bool is_sha(const char *s, size_t n)
{
    return n == 64 && strspn(s, "0123456789abcdef") >= 64;
}

/* The options that a key stands for: "SHA", "untrained:SHA:SEED[:SHAPE]:BLOCKS". */
static bool read_key(struct held *h, const char *key)
{
    char *end;
    if (strncmp(key, "untrained:", 10) != 0) return is_sha(key, strlen(key));
    const char *seed = key + 10 + 65, *last = strrchr(key, ':');
    if (!is_sha(key + 10, strcspn(key + 10, ":")) || last < seed) return false;
    h->options.untrained = true;
    h->options.untrained_seed = strtoull(seed, &end, 10);
    h->options.blocks = strtoll(last + 1, NULL, 10);
    if (*end != ':' || h->options.blocks < 1 || h->options.blocks > 4096) return false;
    if (end == last) return true;
    h->shape = strndup(end + 1, (size_t)(last - end - 1));
    h->options.shape = h->shape;
    return h->shape != NULL;
}

/* ---- open ---- */

static void forget(struct held *h)
{
    ph_model_close(&h->model);
    json_decref(h->is);
    free(h->key);
    free(h->path);
    free(h->shape);
    *h = (struct held){0};
}

ph_status models_open(struct models **out, const struct common *c, bool named,
                      struct archive *archive, ph_error *err)
{
    struct models *m = calloc(1, sizeof *m);
    if (!m) return fail_with(err, PH_ENOMEM, "out of memory");
    m->common = c;
    m->archive = archive;
    pthread_mutex_init(&m->lock, NULL);
    *out = m;
    for (int i = 0; i < c->n_models; i++) {
        const struct model_choice *choice = &c->models[i];
        if (access(choice->path, R_OK) != 0) {
            if (!named) continue;
            return fail_with(err, PH_EIO, "%.180s: no such model", choice->path);
        }
        m->all[m->n++] =
            (struct held){.path = strdup(choice->path), .options = choice->options, .mine = true};
    }
    return PH_OK;
}

void models_close(struct models **models)
{
    struct models *m = *models;
    if (!m) return;
    for (int i = 0; i < m->n; i++) forget(&m->all[i]);
    pthread_mutex_destroy(&m->lock);
    free(m);
    *models = NULL;
}

/* Close what was used longest ago until another may be opened. */
static ph_status make_room(struct models *m, ph_error *err)
{
    for (;;) {
        struct held *oldest = NULL;
        int open = 0;
        for (int i = 0; i < m->n; i++) {
            struct held *h = &m->all[i];
            open += h->model != NULL;
            if (h->model && !h->users && (!oldest || h->used < oldest->used)) oldest = h;
        }
        if (open < MODELS_OPEN) return PH_OK;
        if (!oldest)
            return fail_with(err, PH_ENOMEM, "%d models are in use; ask again later", open);
        ph_model_close(&oldest->model);
    }
}

static json_t *describe(const ph_model_info *info, const char *sha)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "sha256", sha, "file", info->path,
                     "name", info->name, "quant", info->quant, "family", info->family, "blocks",
                     (json_int_t)info->blocks, "width", (json_int_t)info->width);
}

/* Open what an entry names; its key, where it has one, has to fit. */
static ph_status open_held(struct models *m, struct held *h, ph_error *err)
{
    char sha[65];
    char *key = NULL;
    ph_status st = make_room(m, err);

    if (st == PH_OK && access(h->path, R_OK) != 0)
        st = fail_with(err, PH_EIO, "%.180s: the model's file is not there", h->path);
    if (st == PH_OK) st = ph_model_open(&h->model, h->path, &h->options, err);
    if (st == PH_OK) st = ph_model_sha256(h->model, sha, err);
    if (st == PH_OK && !(key = key_of(ph_model_get_info(h->model), sha)))
        st = fail_with(err, PH_ENOMEM, "out of memory");
    if (st == PH_OK && h->key && strcmp(h->key, key) != 0)
        st = fail_with(err, PH_EFORMAT, "%.150s: is no longer the model that the runs are of",
                       h->path);
    if (st != PH_OK) {
        ph_model_close(&h->model);
        free(key);
        return st;
    }
    free(h->key);
    h->key = key;
    if (!h->is) h->is = describe(ph_model_get_info(h->model), sha);
    return PH_OK;
}

/* The command line's models have keys once they were open. */
static void look_at_mine(struct models *m)
{
    ph_error nobody;
    for (int i = 0; i < m->n; i++)
        if (m->all[i].mine && !m->all[i].looked)
            m->all[i].looked = open_held(m, &m->all[i], &nobody) != PH_ENOMEM;
}

/* An entry for a model that runs in the store are of. */
static ph_status from_store(struct models *m, struct held **out, const char *key, ph_error *err)
{
    ph_store_query q = PH_STORE_QUERY_INIT;
    struct held h = {.options = m->common->model};
    json_t *list = NULL;
    ph_status st;

    q.view = "models";
    q.model = key;
    if (m->n == MOST) return fail_with(err, PH_ENOMEM, "too many models");
    if (!read_key(&h, key)) return fail_with(err, PH_EIO, "no model has that key");
    st = archive_list(m->archive, &list, &q, err);
    const char *file = json_string_value(json_object_get(json_array_get(list, 0), "file"));
    if (st == PH_EINVAL || (st == PH_OK && !file))
        st = fail_with(err, PH_EIO, "no model has that key");
    if (st == PH_OK) {
        h.key = strdup(key);
        h.path = strdup(file);
        m->all[m->n] = h;
        *out = &m->all[m->n++];
    } else {
        free(h.shape);
    }
    json_decref(list);
    return st;
}

static ph_status find(struct models *m, struct held **out, const char *key, ph_error *err)
{
    look_at_mine(m);
    for (int i = 0; i < m->n; i++) {
        *out = &m->all[i];
        if (m->all[i].key && strcmp(m->all[i].key, key) == 0) return PH_OK;
    }
    return from_store(m, out, key, err);
}

ph_status models_take(struct models *m, struct held **out, const char *key, ph_error *err)
{
    struct held *h = NULL;
    pthread_mutex_lock(&m->lock);
    ph_status st = find(m, &h, key, err);
    if (st == PH_OK && !h->model) st = open_held(m, h, err);
    if (st == PH_OK) {
        h->users++;
        h->used = ++m->clock;
        *out = h;
    }
    pthread_mutex_unlock(&m->lock);
    return st;
}

void models_give(struct models *m, struct held *h)
{
    if (!h) return;
    pthread_mutex_lock(&m->lock);
    h->users--;
    pthread_mutex_unlock(&m->lock);
}

const ph_model *held_model(const struct held *held)
{
    return held->model;
}

/* ---- list ---- */

static struct held *known(struct models *m, const char *key)
{
    for (int i = 0; key && i < m->n; i++)
        if (m->all[i].key && strcmp(m->all[i].key, key) == 0) return &m->all[i];
    return NULL;
}

json_t *models_width(struct models *m, const char *key)
{
    pthread_mutex_lock(&m->lock);
    const struct held *h = known(m, key);
    json_t *width = h ? json_incref(json_object_get(h->is, "width")) : NULL;
    pthread_mutex_unlock(&m->lock);
    return width;
}

bool models_mine(struct models *m, const char *key)
{
    pthread_mutex_lock(&m->lock);
    look_at_mine(m);
    const struct held *h = known(m, key);
    const bool mine = h && h->mine;
    pthread_mutex_unlock(&m->lock);
    return mine;
}

static bool listed(const json_t *list, const char *key)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)(uintptr_t)list, i, row)
    {
        const char *k = json_string_value(json_object_get(row, "model"));
        if (k && strcmp(k, key) == 0) return true;
    }
    return false;
}

static void add_mine(const struct models *m, json_t *list)
{
    for (int i = 0; i < m->n; i++) {
        const struct held *h = &m->all[i];
        if (!h->mine || !h->is || listed(list, h->key)) continue;
        json_t *row = json_copy(h->is);
        json_object_set_new(row, "model", json_string(h->key));
        json_object_update_new(
            row, json_pack("{s:i, s:i, s:i}", "features", 0, "results", 0, "runs", 0));
        json_array_append_new(list, row);
    }
}

ph_status models_list(struct models *m, json_t **list, ph_error *err)
{
    ph_store_query q = PH_STORE_QUERY_INIT;
    size_t i;
    json_t *row;

    q.view = "models";
    const ph_status st = archive_list(m->archive, list, &q, err);
    if (st != PH_OK) return st;
    pthread_mutex_lock(&m->lock);
    look_at_mine(m);
    add_mine(m, *list);
    json_array_foreach(*list, i, row)
    {
        const struct held *h = known(m, json_string_value(json_object_get(row, "model")));
        json_object_set_new(row, "open", json_boolean(h && h->model));
        if (h && h->is) json_object_update_missing(row, h->is);
    }
    pthread_mutex_unlock(&m->lock);
    return PH_OK;
}

char *models_key(struct models *m, const char *asked)
{
    char *key = NULL;
    if (asked) return strdup(asked);
    pthread_mutex_lock(&m->lock);
    look_at_mine(m);
    for (int i = 0; !key && i < m->n; i++)
        if (m->all[i].mine && m->all[i].key) key = strdup(m->all[i].key);
    pthread_mutex_unlock(&m->lock);
    return key;
}
