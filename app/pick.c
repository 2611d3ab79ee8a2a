/* pick.c — which files of a repository a name means. Knows names only. */
#include "pick.h"
#include "opt.h"

#include "hub.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool pick_is_safe(const char *name)
{
    const size_t n = strlen(name);
    if (n == 0 || n > 1000) return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f || name[i] == '\\') return false;
    for (const char *part = name;; part++) {
        const size_t size = strcspn(part, "/");
        const bool dots = part[0] == '.' && (size == 1 || (size == 2 && part[1] == '.'));
        if (size == 0 || size > 200 || dots) return false;
        part += size;
        if (!*part) return true;
    }
}

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), k = strlen(end);
    return n >= k && strcasecmp(name + n - k, end) == 0;
}

/* ---- models of one or several files ---- */

/* "…-00002-of-00003.gguf": how many bytes stand before the part's number; 0: no such name. */
static size_t split_stem(const char *name, int *parts)
{
    static const char form[] = "00000-of-00000.gguf";
    const size_t n = strlen(name), k = sizeof form - 1;
    const char *end = name + n - k;

    if (n <= k) return 0;
    for (size_t i = 0; i < k; i++)
        if (form[i] == '0' ? !isdigit((unsigned char)end[i]) : form[i] != end[i]) return 0;
    *parts = (int)strtol(end + sizeof "00000-of-" - 1, NULL, 10);
    return n - k;
}

static bool same_model(const char *a, const char *b)
{
    int parts[2];
    const size_t n = split_stem(a, &parts[0]), m = split_stem(b, &parts[1]);
    if (n == 0 || m == 0) return strcmp(a, b) == 0;
    return n == m && parts[0] == parts[1] && memcmp(a, b, n) == 0;
}

/* Want all parts of the model that file i belongs to. */
static ph_status want_model(struct pick *p, size_t i, ph_error *err)
{
    int parts = 1, found = 0;

    if (split_stem(p->names[i], &parts) == 0) parts = 1;
    for (size_t k = 0; k < p->n; k++) {
        if (!same_model(p->names[k], p->names[i])) continue;
        p->wanted[k] = true;
        found++;
    }
    if (found >= parts) return PH_OK;
    return fail_with(err, PH_EIO, "%s: %d of the %d parts of %.80s are there", p->repository, found,
                     parts, p->names[i]);
}

/* How many models the wanted files are; *first is a file of the first one. */
static size_t count_models(const struct pick *p, const bool *of, size_t *first)
{
    size_t count = 0;
    for (size_t i = 0; i < p->n; i++) {
        bool seen = !of[i];
        for (size_t k = 0; k < i && !seen; k++)
            seen = of[k] && same_model(p->names[k], p->names[i]);
        if (seen) continue;
        if (count++ == 0) *first = i;
    }
    return count;
}

/* "a, b, c, …" of the marked files, as far as there is room; each split model once. */
static void list_names(char *out, size_t size, const struct pick *p, const bool *of)
{
    size_t at = 0;
    *out = 0;
    for (size_t i = 0; i < p->n; i++) {
        bool seen = !of[i];
        for (size_t k = 0; k < i && !seen; k++)
            seen = of[k] && same_model(p->names[k], p->names[i]);
        if (seen) continue;
        const bool fits = at + strlen(p->names[i]) + 8 < size;
        at +=
            (size_t)snprintf(out + at, size - at, "%s%s", at ? ", " : "", fits ? p->names[i] : "…");
        if (!fits) return;
    }
}

/* ---- by a name ---- */

static bool is_model(const char *name)
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    return ends_with(name, ".gguf") && strncasecmp(base, "mmproj", 6) != 0;
}

/* Whether `what` stands in the name, with `whole` not within a longer word: Q4_K is within Q4_K_M. */
static bool stands_in(const char *name, const char *what, bool whole)
{
    const size_t n = strlen(what);
    for (const char *at = name; (at = strcasestr(at, what)); at++) {
        const bool begins = at == name || !(isalnum((unsigned char)at[-1]) || at[-1] == '_');
        const bool ends = !(isalnum((unsigned char)at[n]) || at[n] == '_');
        if (!whole || (begins && ends)) return true;
    }
    return false;
}

static void mark(bool *of, const struct pick *p, const char *what, bool whole)
{
    const bool pattern = strpbrk(what, "*?[") != NULL;
    for (size_t i = 0; i < p->n; i++) {
        const char *slash = strrchr(p->names[i], '/'), *base = slash ? slash + 1 : p->names[i];
        of[i] = pattern ? fnmatch(what, p->names[i], 0) == 0 || fnmatch(what, base, 0) == 0
                        : is_model(p->names[i]) && stands_in(p->names[i], what, whole);
    }
}

/* Nothing, or several models, are meant: say what there is. */
static ph_status refuse(const struct pick *p, const char *what, size_t count, bool *of,
                        ph_error *err)
{
    char list[120];

    if (count == 0)
        for (size_t i = 0; i < p->n; i++) of[i] = is_model(p->names[i]);
    list_names(list, sizeof list, p, of);
    if (count) return fail_with(err, PH_EIO, "%s: \"%s\" may mean %s", p->repository, what, list);
    return fail_with(err, PH_EIO, "%s: no file is meant by \"%s\"%s%s", p->repository, what,
                     *list ? "; there are " : ", and no GGUF file is there", list);
}

ph_status pick_named(struct pick *p, const char *what, ph_error *err)
{
    bool *of = calloc(p->n + 1, sizeof *of);
    size_t first = 0, count = 0;
    ph_status st;

    if (!of) return fail_with(err, PH_ENOMEM, "no memory");
    for (size_t i = 0; i < p->n && !count; i++)
        if (strcmp(p->names[i], what) == 0) {
            first = i;
            count = 1;
        }
    for (int whole = 1; whole >= 0 && !count; whole--) {
        mark(of, p, what, whole);
        count = count_models(p, of, &first);
    }
    st = count == 1 ? want_model(p, first, err) : refuse(p, what, count, of, err);
    free(of);
    return st;
}

/* ---- a folder ---- */

static const char *const beside[] = {"config.json",
                                     "generation_config.json",
                                     "tokenizer.json",
                                     "tokenizer_config.json",
                                     "tokenizer.model",
                                     "vocab.json",
                                     "merges.txt",
                                     "added_tokens.json",
                                     "chat_template.json",
                                     "chat_template.jinja",
                                     "special_tokens_map.json"};

static bool has(const struct pick *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->names[i], name) == 0) return true;
    return false;
}

static bool is_beside(const char *name)
{
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        if (strcmp(beside[i], name) == 0) return true;
    return false;
}

/* The one model of a repository of GGUF files. */
static ph_status pick_only(struct pick *p, ph_error *err)
{
    size_t first = 0;

    for (size_t i = 0; i < p->n; i++) p->wanted[i] = is_model(p->names[i]);
    const size_t count = count_models(p, p->wanted, &first);
    if (count == 1) return want_model(p, first, err);
    if (count > 1)
        return fail_with(err, PH_EINVAL, "%s holds %zu GGUF models: name one, as in %s:%.100s",
                         p->repository, count, p->repository, p->names[first]);
    for (size_t i = 0; i < p->n; i++)
        if (ends_with(p->names[i], ".bin") || ends_with(p->names[i], ".pth"))
            return fail_with(
                err, PH_EUNSUPPORTED,
                "%s holds its weights as %.60s only, not yet supported: safetensors or "
                "GGUF",
                p->repository, p->names[i]);
    return fail_with(err, PH_EIO, "%s holds neither safetensors nor GGUF", p->repository);
}

ph_status pick_folder(struct pick *p, ph_error *err)
{
    const bool one = has(p, "model.safetensors");
    const bool several = !one && has(p, "model.safetensors.index.json");

    if ((!one && !several) || !has(p, "config.json")) return pick_only(p, err);
    for (size_t i = 0; i < p->n; i++) {
        const char *name = p->names[i];
        const bool shard = ends_with(name, ".safetensors") && strstr(name, "-of-");
        p->wanted[i] = !strchr(name, '/') &&
                       (is_beside(name) || (one && strcmp(name, "model.safetensors") == 0) ||
                        (several && (shard || strcmp(name, "model.safetensors.index.json") == 0)));
    }
    return PH_OK;
}

const char *pick_first(const struct pick *p)
{
    const char *best = NULL;
    for (size_t i = 0; i < p->n; i++)
        if (p->wanted[i] && strcmp(p->names[i], "config.json") == 0) return p->names[i];
    for (size_t i = 0; i < p->n; i++)
        if (p->wanted[i] && (!best || strcmp(p->names[i], best) < 0)) best = p->names[i];
    return best;
}
