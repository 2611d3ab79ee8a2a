/* hub.c — finds ORG/NAME in Hugging Face's cache, offline.
 *
 *   CACHE/models--ORG--NAME/refs/main            the name of a snapshot
 *   CACHE/models--ORG--NAME/snapshots/SNAPSHOT/  the folder
 */
#include "hub.h"
#include "opt.h"

#include "pick.h"

#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_name(const char *s, size_t n)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    return n > 0 && n <= 96 && s[0] != '.' && strspn(s, fine) >= n;
}

bool hub_read_id(struct hub_id *id, const char *text)
{
    const char *colon = strchr(text, ':'), *end = colon ? colon : text + strlen(text);
    const char *slash = memchr(text, '/', (size_t)(end - text));
    const char *name = slash ? slash + 1 : text;

    *id = (struct hub_id){slash ? (int)(slash - text) : 0, (int)(end - name), text,
                          colon ? colon + 1 : ""};
    if (colon && (!*id->file || *id->file == '/' || strstr(id->file, ".."))) return false;
    return (!slash || is_name(text, (size_t)id->org)) && is_name(name, (size_t)id->name);
}

const char *hub_variable(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

/* Hugging Face's own folder with `below` in it; to be freed. */
static char *home_place(const char *below)
{
    const char *home = hub_variable("HF_HOME"), *cache = hub_variable("XDG_CACHE_HOME");
    const char *own = hub_variable("HOME");
    char *out = NULL;
    int n;

    if (home)
        n = asprintf(&out, "%s/%s", home, below);
    else if (cache)
        n = asprintf(&out, "%s/huggingface/%s", cache, below);
    else
        n = asprintf(&out, "%s/.cache/huggingface/%s", own ? own : "", below);
    return n < 0 ? NULL : out;
}

char *hub_cache(void)
{
    const char *hub = hub_variable("HF_HUB_CACHE");
    return hub ? strdup(hub) : home_place("hub");
}

char *hub_folder(const char *cache, const struct hub_id *id)
{
    char *out = NULL;
    const char *name = id->text + id->org + (id->org ? 1 : 0);
    return asprintf(&out, "%s/models--%.*s%s%.*s", cache, id->org, id->text, id->org ? "--" : "",
                    id->name, name) < 0
               ? NULL
               : out;
}

/* The first word of a short file, at most `size` - 1 bytes; empty where there is none. */
static void read_word(char *out, size_t size, const char *path)
{
    FILE *f = path ? fopen(path, "r") : NULL;
    const size_t n = f ? fread(out, 1, size - 1, f) : 0;

    out[n] = 0;
    const size_t from = strspn(out, " \t\r\n");
    const size_t bytes = strcspn(out + from, " \t\r\n");
    memmove(out, out + from, bytes);
    out[bytes] = 0;
    if (f) fclose(f);
}

char *hub_token(void)
{
    const char *given = hub_variable("HF_TOKEN"), *file = hub_variable("HF_TOKEN_PATH");
    char *path = file ? strdup(file) : home_place("token"), word[1000];

    if (!given) given = hub_variable("HUGGING_FACE_HUB_TOKEN");
    read_word(word, sizeof word, given ? NULL : path);
    free(path);
    return given ? strdup(given) : *word ? strdup(word) : NULL;
}

/* ---- what a snapshot holds ---- */

enum { FILES_MAX = 4096 };

/* The files below a folder, their names relative to it; false without memory. */
static bool list_files(char ***names, size_t *n, const char *folder)
{
    char copy[4096], *roots[] = {copy, NULL};
    char **list = calloc(FILES_MAX, sizeof *list);
    FTS *walk = NULL;

    snprintf(copy, sizeof copy, "%s", folder);
    if (list) walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    *n = 0;
    for (FTSENT *e; walk && *n < FILES_MAX && (e = fts_read(walk));) {
        if (e->fts_info == FTS_D && e->fts_level > 3) fts_set(walk, e, FTS_SKIP);
        if (e->fts_info != FTS_F && e->fts_info != FTS_SL) continue;
        list[*n] = strdup(e->fts_path + strlen(copy) + 1);
        if (list[*n]) (*n)++;
    }
    if (walk) fts_close(walk);
    *names = list;
    return list != NULL;
}

/* *file = the one in the snapshot that is meant, to be freed; NULL: the folder itself. */
static ph_status find_file(char **file, const struct hub_id *id, const char *snapshot,
                           ph_error *err)
{
    char **names = NULL, repository[256];
    size_t n = 0;
    ph_status st = PH_OK;

    snprintf(repository, sizeof repository, "%.*s", (int)strcspn(id->text, ":"), id->text);
    bool *wanted = calloc(FILES_MAX, sizeof *wanted);
    struct pick p = {.repository = repository, .wanted = wanted};
    if (!wanted || !list_files(&names, &n, snapshot)) st = fail_with(err, PH_ENOMEM, "no memory");
    p.names = (const char **)names;
    p.n = n;
    if (st == PH_OK) st = *id->file ? pick_named(&p, id->file, err) : pick_folder(&p, err);
    const char *first = st == PH_OK ? pick_first(&p) : NULL;
    if (first) *file = strdup(first);
    for (size_t i = 0; i < n; i++) free(names[i]);
    free(names);
    free(wanted);
    return st;
}

static bool has_file(const char *folder, const char *file)
{
    char *path = NULL;
    const bool found = asprintf(&path, "%s/%s", folder, file) >= 0 && access(path, F_OK) == 0;
    free(path);
    return found;
}

/* *out = what is meant in the snapshot: a file, or the folder, which may hold a tokenizer only. */
static ph_status find_inside(char **out, const struct hub_id *id, const char *snapshot,
                             ph_error *err)
{
    char *file = NULL;
    ph_status st = PH_OK;

    if (*id->file && has_file(snapshot, id->file))
        file = strdup(id->file);
    else if (*id->file || !has_file(snapshot, "config.json"))
        st = find_file(&file, id, snapshot, err);
    if (!*id->file && st != PH_EINVAL) st = PH_OK;
    if (st == PH_OK && asprintf(out, "%s%s%s", snapshot, file ? "/" : "", file ? file : "") < 0)
        st = fail_with(err, PH_ENOMEM, "no memory");
    free(file);
    return st;
}

/* *out = the snapshot of the model whose folder is `model`, or its file. */
static ph_status find_snapshot(char **out, const struct hub_id *id, const char *model,
                               ph_error *err)
{
    char ref[128], *path = NULL;

    if (access(model, F_OK) != 0)
        return fail_with(err, PH_EIO,
                         "%s: no such file, nor a model in Hugging Face's cache (looked for %s); "
                         "phosphene pull fetches it",
                         id->text, model);
    if (asprintf(&path, "%s/refs/main", model) < 0) return fail_with(err, PH_ENOMEM, "no memory");
    read_word(ref, sizeof ref, path);
    free(path);
    if (!is_name(ref, strlen(ref)))
        return fail_with(err, PH_EIO, "%s: %s/refs/main names no snapshot", id->text, model);
    if (asprintf(&path, "%s/snapshots/%s", model, ref) < 0)
        return fail_with(err, PH_ENOMEM, "no memory");
    ph_status st = PH_OK;
    if (access(path, F_OK) != 0)
        st = fail_with(err, PH_EIO, "%s: %s is not there", id->text, path);
    else
        st = find_inside(out, id, path, err);
    free(path);
    return st;
}

ph_status hub_resolve(char **path, ph_error *err)
{
    struct hub_id id;
    char *cache = NULL, *model = NULL, *found = NULL;
    ph_status st = PH_OK;

    if (!*path || access(*path, F_OK) == 0 || !hub_read_id(&id, *path)) return PH_OK;
    cache = hub_cache();
    model = cache ? hub_folder(cache, &id) : NULL;
    if (!model)
        st = fail_with(err, PH_ENOMEM, "no memory");
    else if (id.org || access(model, F_OK) == 0)
        st = find_snapshot(&found, &id, model, err);
    if (found) {
        free(*path);
        *path = found;
    }
    free(model);
    free(cache);
    return st;
}
