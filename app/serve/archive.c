/* archive.c — the store behind the pages: handles for the threads that ask, and rows as JSON. */
#include "archive.h"

#include "output.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SPARE = 8 }; /* handles that are kept open while nobody asks */

struct archive {
    char *path;
    pthread_mutex_t lock;
    ph_store *spare[SPARE];
    int n;
};

static ph_status take(struct archive *a, ph_store **out, ph_error *err)
{
    *out = NULL;
    pthread_mutex_lock(&a->lock);
    if (a->n) *out = a->spare[--a->n];
    pthread_mutex_unlock(&a->lock);
    return *out ? PH_OK : ph_store_open(out, a->path, PH_STORE_CREATE, err);
}

static void give(struct archive *a, ph_store *store)
{
    pthread_mutex_lock(&a->lock);
    if (a->n < SPARE) {
        a->spare[a->n++] = store;
        store = NULL;
    }
    pthread_mutex_unlock(&a->lock);
    ph_store_close(&store);
}

ph_status archive_open(struct archive **out, const char *path, ph_error *err)
{
    ph_store *store = NULL;
    struct archive *a = calloc(1, sizeof *a);

    if (a && path) a->path = strdup(path);
    if (!a || (path && !a->path)) {
        free(a);
        *err = (ph_error){.code = PH_ENOMEM, .pos = -1, .msg = "out of memory"};
        return PH_ENOMEM;
    }
    pthread_mutex_init(&a->lock, NULL);
    *out = a;
    if (!path) return PH_OK;
    const ph_status st = take(a, &store, err);
    if (st == PH_OK)
        give(a, store);
    else
        archive_close(out);
    return st;
}

void archive_close(struct archive **archive)
{
    struct archive *a = *archive;
    if (!a) return;
    while (a->n) ph_store_close(&a->spare[--a->n]);
    pthread_mutex_destroy(&a->lock);
    free(a->path);
    free(a);
    *archive = NULL;
}

const char *archive_path(const struct archive *a)
{
    return a->path;
}

/* ---- rows ---- */

struct printing {
    FILE *out;
    size_t n;
};

static int print_row(const char *row, size_t bytes, void *payload)
{
    struct printing *p = payload;
    if (p->n++) fputc(',', p->out);
    fwrite(row, 1, bytes, p->out);
    return ferror(p->out);
}

static int append_row(const char *row, size_t bytes, void *payload)
{
    json_t *object = json_loadb(row, bytes, JSON_ALLOW_NUL, NULL);
    return !object || json_array_append_new(payload, object) != 0;
}

static ph_status select_rows(struct archive *a, const ph_store_query *q, ph_store_row_fn row,
                             void *payload, ph_error *err)
{
    ph_store *store;
    ph_status st;

    if (!a->path) return PH_OK;
    if ((st = take(a, &store, err)) != PH_OK) return st;
    st = ph_store_select(store, q, row, payload, err);
    give(a, store);
    return st;
}

ph_status archive_rows(struct archive *a, FILE *out, const ph_store_query *q, size_t *n,
                       ph_error *err)
{
    struct printing p = {out, 0};
    const ph_status st = select_rows(a, q, print_row, &p, err);
    if (n) *n = p.n;
    return st;
}

ph_status archive_list(struct archive *a, json_t **list, const ph_store_query *q, ph_error *err)
{
    *list = json_array();
    const ph_status st = select_rows(a, q, append_row, *list, err);
    if (st == PH_OK) return st;
    json_decref(*list);
    *list = NULL;
    return st;
}

/* One spec of a list. */
static ph_status allows(struct archive *a, const char *model, const char *spec, ph_error *err)
{
    json_t *list = NULL;
    ph_store_query q = PH_STORE_QUERY_INIT;

    if (!strstr(spec, "dir:") && !strstr(spec, "sae:")) return PH_OK;
    q.model = model;
    q.feature = spec;
    const ph_status st = archive_list(a, &list, &q, err);
    const bool known = st == PH_OK && json_array_size(list);
    const bool spelt = st != PH_ESPEC && st != PH_ERANGE; /* else what it names is not known */
    json_decref(list);
    if ((st != PH_OK && spelt) || known) return st;
    *err = (ph_error){.code = PH_EINVAL,
                      .pos = -1,
                      .msg = "a feature that names a file is asked for by the command line first"};
    return PH_EINVAL;
}

/* Where the first spec of a list ends: a comma in brackets, or in a file's name in quotes, ends none. */
static char *end_of_spec(char *p)
{
    int depth = 0;
    bool quoted = false;

    for (; *p && (*p != ',' || depth > 0 || quoted); p++) {
        if (quoted && *p == '\\' && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted)
            depth += (*p == '[') - (*p == ']');
    }
    return p;
}

/* One that is known lets no other through: each is asked for. */
ph_status archive_allows(struct archive *a, const char *model, const char *spec, ph_error *err)
{
    char *copy = strdup(spec), *from = copy;
    ph_status st = PH_OK;
    bool last = false;

    if (!copy) return no_memory(err);
    while (st == PH_OK && !last) {
        char *end = end_of_spec(from);
        last = !*end;
        *end = 0;
        st = allows(a, model, from, err);
        from = end + 1;
    }
    free(copy);
    return st;
}

/* ---- lines ---- */

ph_status archive_keeps(const struct archive *a, ph_error *err)
{
    if (a->path) return PH_OK;
    *err = (ph_error){.code = PH_EINVAL, .pos = -1, .msg = "there is no store to keep it in"};
    return PH_EINVAL;
}

ph_status archive_put(struct archive *a, const char *const *lines, size_t n, ph_error *err)
{
    ph_store *store = NULL;
    ph_status st = archive_keeps(a, err);

    if (st != PH_OK || (st = take(a, &store, err)) != PH_OK) return st;
    st = ph_store_begin(store, err);
    for (size_t i = 0; st == PH_OK && i < n; i++)
        st = ph_store_put(store, lines[i], strlen(lines[i]), err);
    if (st == PH_OK) st = ph_store_commit(store, err);
    if (st == PH_OK)
        give(a, store);
    else
        ph_store_close(&store); /* which keeps none of them */
    return st;
}
