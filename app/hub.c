/* hub.c — finds ORG/NAME in Hugging Face's cache, offline.
 *
 *   CACHE/models--ORG--NAME/refs/main            the name of a snapshot
 *   CACHE/models--ORG--NAME/snapshots/SNAPSHOT/  the folder
 */
#include "hub.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "NAME" or "ORG/NAME", and behind ':' a file; the parts are borrowed, org and file may be empty. */
struct id {
    int org, name;
    const char *text, *file;
};

static bool is_name(const char *s, size_t n)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    return n > 0 && n <= 96 && s[0] != '.' && strspn(s, fine) >= n;
}

static bool read_id(struct id *id, const char *text)
{
    const char *colon = strchr(text, ':'), *end = colon ? colon : text + strlen(text);
    const char *slash = memchr(text, '/', (size_t)(end - text));
    const char *name = slash ? slash + 1 : text;

    *id = (struct id){slash ? (int)(slash - text) : 0, (int)(end - name), text,
                      colon ? colon + 1 : ""};
    if (colon && (!*id->file || *id->file == '/' || strstr(id->file, ".."))) return false;
    return (!slash || is_name(text, (size_t)id->org)) && is_name(name, (size_t)id->name);
}

static const char *variable(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

/* The cache; NULL without memory. To be freed. */
static char *cache_place(void)
{
    const char *hub = variable("HF_HUB_CACHE"), *home = variable("HF_HOME");
    const char *cache = variable("XDG_CACHE_HOME"), *own = variable("HOME");
    char *out = NULL;
    int n;

    if (hub)
        n = asprintf(&out, "%s", hub);
    else if (home)
        n = asprintf(&out, "%s/hub", home);
    else if (cache)
        n = asprintf(&out, "%s/huggingface/hub", cache);
    else
        n = asprintf(&out, "%s/.cache/huggingface/hub", own ? own : "");
    return n < 0 ? NULL : out;
}

/* The first word of a short file; empty where there is none that names a folder. */
static void read_ref(char out[128], const char *path)
{
    FILE *f = fopen(path, "r");
    out[0] = 0;
    if (f && fscanf(f, "%127s", out) != 1) out[0] = 0;
    if (f) fclose(f);
    if (!is_name(out, strlen(out))) out[0] = 0;
}

__attribute__((format(printf, 3, 4))) static ph_status fail(ph_error *err, ph_status code,
                                                            const char *fmt, ...)
{
    va_list list;
    *err = (ph_error){.code = code, .pos = -1};
    va_start(list, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, list);
    va_end(list);
    return code;
}

/* *out = the snapshot of the model whose folder is `model`, or its file. */
static ph_status find_snapshot(char **out, const struct id *id, const char *model, ph_error *err)
{
    char ref[128], *path = NULL;

    if (access(model, F_OK) != 0)
        return fail(err, PH_EIO,
                    "%s: no such file, nor a model in Hugging Face's cache (looked for %s)",
                    id->text, model);
    if (asprintf(&path, "%s/refs/main", model) < 0) return fail(err, PH_ENOMEM, "no memory");
    read_ref(ref, path);
    free(path);
    if (!ref[0]) return fail(err, PH_EIO, "%s: %s/refs/main names no snapshot", id->text, model);
    if (asprintf(&path, "%s/snapshots/%s%s%s", model, ref, *id->file ? "/" : "", id->file) < 0)
        return fail(err, PH_ENOMEM, "no memory");
    if (access(path, F_OK) != 0) {
        const ph_status st = fail(err, PH_EIO, "%s: %s is not there", id->text, path);
        free(path);
        return st;
    }
    *out = path;
    return PH_OK;
}

ph_status hub_resolve(char **path, ph_error *err)
{
    struct id id;
    char *cache = NULL, *model = NULL, *found = NULL;
    ph_status st = PH_OK;

    if (!*path || access(*path, F_OK) == 0 || !read_id(&id, *path)) return PH_OK;
    cache = cache_place();
    const char *name = id.text + id.org + (id.org ? 1 : 0);
    if (!cache || asprintf(&model, "%s/models--%.*s%s%.*s", cache, id.org, id.text,
                           id.org ? "--" : "", id.name, name) < 0)
        st = fail(err, PH_ENOMEM, "no memory");
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
