/* cmd_pull.c — phosphene pull: a model from a hub into Hugging Face's cache.
 *
 * The only command that uses the network.
 */
#include "emit.h"
#include "pick.h"
#include "progress.h"
#include "pull.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define HUB "https://huggingface.co"

enum { KEY_REVISION = 2000, KEY_RETRIES, KEY_JSON };
enum { LISTING_MOST = 8 << 20, FILES_MOST = 20000 };

struct pull_command {
    struct common common;
    struct hub_id id;
    const char *what; /* ORG/NAME[:FILE] */
    char repository[256];
    struct pull pull;
    json_t *listing; /* owned; names are borrowed from it */
    struct pick pick;
    struct pull_file *files;
};

static const struct argp_option options[] = {
    {"revision", KEY_REVISION, "NAME", 0, "A branch, tag or commit (main)", 0},
    {"retries", KEY_RETRIES, "N", 0,
     "How often to try again where the line breaks and nothing more comes (5)", 0},
    {"json", KEY_JSON, NULL, 0, "JSON Lines on stdout", 0},
    {"quiet", 'q', NULL, 0, "No progress; print the path only", 0},
    {"verbose", 'v', NULL, 0, "The hashes of the files, too", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct pull_command *c = state->input;
    switch (key) {
    case KEY_REVISION: c->pull.revision = arg; break;
    case KEY_RETRIES:
        c->pull.web.retries = (int)parse_integer(state, "retries", arg, 0, 1000);
        break;
    case KEY_JSON: c->common.json = true; break;
    case 'q': c->common.quiet = true; break;
    case 'v': c->common.verbose = true; break;
    case ARGP_KEY_ARG:
        if (c->what) usage_error(state, "%s: one model at a time", arg);
        c->what = arg;
        break;
    case ARGP_KEY_END:
        if (!c->what) usage_error(state, "which model? for example org/name or org/name:Q4_K_M");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    parse,
    "ORG/NAME[:FILE]",
    "Download a model into Hugging Face's cache, where -m ORG/NAME finds it; this is the only "
    "command that uses the network. Without FILE: what a folder needs to open (config.json, "
    "safetensors, tokenizer), or the one GGUF model. FILE is a file's name, a part of the one that "
    "is meant, as Q4_K_M, or a pattern, as '*q4_k_m*'; a model in several files is loaded whole. A "
    "download that was cut off goes on where it stopped, and every file is checked against its "
    "hash. The last line is the path."
    "\v"
    "Examples:\n"
    "  phosphene pull HuggingFaceTB/SmolLM2-135M\n"
    "  phosphene pull Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M\n"
    "  phosphene pull --revision v1.0 org/name:model.gguf\n\n"
    "HF_TOKEN        opens private and gated models (or the file $HF_HOME/token)\n"
    "HF_ENDPOINT     another hub than " HUB "\n"
    "HF_HUB_CACHE    the cache; else hub in $HF_HOME, else ~/.cache/huggingface/hub\n"
    "HF_HUB_OFFLINE  1: no network\n",
    NULL,
    NULL,
    NULL};

/* ---- progress ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* "12.3 MB" */
static const char *bytes_text(char out[24], double n)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    int k = 0;
    while (n >= 1000 && k < 4) {
        n /= 1000;
        k++;
    }
    snprintf(out, 24, k ? "%.1f %s" : "%.0f %s", n, units[k]);
    return out;
}

static void time_left(char out[32], const struct pull *p, int64_t done, double t)
{
    const double come = (double)(done - p->before), speed = come / (t - p->began);
    *out = 0;
    if (come <= 0 || p->total <= 0 || speed <= 0) return;
    const long left = (long)((double)(p->total - done) / speed);
    snprintf(out, 32, left < 100 ? "%ld s left" : "%ld min left", left < 100 ? left : left / 60);
}

void pull_draw(struct pull *p, const char *stage, const char *file, int64_t at)
{
    enum { WIDTH = 20 };
    const double t = now();
    const int64_t done = p->done + at;
    char blocks[WIDTH + 1], line[256], have[24], all[24], rate[24], left[32];

    if (p->quiet || t - p->began < 0.4 || t - p->drawn < 0.1) return;
    p->drawn = t;
    const double share = p->total > 0 && done < p->total ? (double)done / (double)p->total : 1;
    for (int i = 0; i < WIDTH; i++) blocks[i] = i < (int)(share * WIDTH) ? '#' : '.';
    blocks[WIDTH] = 0;
    time_left(left, p, done, t);
    const double speed = (double)(done - p->before) / (t - p->began);
    snprintf(line, sizeof line, "%-5s %.24s [%s] %s of %s  %s/s  %s", stage, file, blocks,
             bytes_text(have, (double)done), p->total < 0 ? "?" : bytes_text(all, (double)p->total),
             bytes_text(rate, speed > 0 ? speed : 0), left);
    progress_line(line);
}

/* ---- the list of files ---- */

struct text {
    struct sink sink; /* first */
    char *bytes;
};

static bool text_take(struct sink *s, const char *bytes, size_t n, ph_error *err)
{
    struct text *t = (struct text *)s;
    char *more = realloc(t->bytes, (size_t)s->have + n);
    if (!more) {
        fail_with(err, PH_ENOMEM, "no memory");
        return false;
    }
    t->bytes = more;
    memcpy(more + s->have, bytes, n);
    s->have += (int64_t)n;
    return true;
}

static bool text_rewind(struct sink *s, ph_error *err)
{
    (void)err;
    s->have = 0;
    return true;
}

static ph_status get_listing(struct pull_command *c, ph_error *err)
{
    struct text t = {.sink = {text_take, text_rewind, 0, LISTING_MOST}};
    char *revision = web_escape(c->pull.revision, false), *path = NULL;
    json_error_t bad;
    ph_status st = PH_OK;

    if (!revision || asprintf(&path, "/api/models/%s/revision/%s", c->repository, revision) < 0)
        st = fail_with(err, PH_ENOMEM, "no memory");
    if (st == PH_OK) st = web_get(&c->pull.web, path, c->repository, &t.sink, err);
    if (st == PH_OK) {
        c->listing = json_loadb(t.bytes ? t.bytes : "", (size_t)t.sink.have, 0, &bad);
        if (!json_is_object(c->listing))
            st = fail_with(err, PH_EFORMAT, "%s: what the hub says of it is no JSON object",
                           c->repository);
    }
    free(t.bytes);
    free(path);
    free(revision);
    return st;
}

static ph_status read_commit(struct pull_command *c, ph_error *err)
{
    const char *sha = json_string_value(json_object_get(c->listing, "sha"));
    const size_t n = sha ? strlen(sha) : 0;

    if ((n != 40 && n != 64) || strspn(sha, "0123456789abcdef") != n)
        return fail_with(err, PH_EFORMAT, "%s: the hub names no commit", c->repository);
    memcpy(c->pull.commit, sha, n + 1);
    return PH_OK;
}

static ph_status read_listing(struct pull_command *c, ph_error *err)
{
    const json_t *list = json_object_get(c->listing, "siblings");
    const size_t n = json_array_size(list);

    if (!json_is_array(list) || n > FILES_MOST)
        return fail_with(err, PH_EFORMAT, "%s: the hub lists %s", c->repository,
                         json_is_array(list) ? "too many files" : "no files");
    c->pick = (struct pick){.repository = c->repository};
    c->pick.names = calloc(n + 1, sizeof *c->pick.names);
    c->pick.wanted = calloc(n + 1, sizeof *c->pick.wanted);
    if (!c->pick.names || !c->pick.wanted) return fail_with(err, PH_ENOMEM, "no memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *name = json_object_get(json_array_get(list, i), "rfilename");
        const char *text = json_string_value(name);
        if (!text || strlen(text) != json_string_length(name) || !pick_is_safe(text))
            return fail_with(
                err, PH_EFORMAT,
                "%s: the hub lists a file whose name would leave the folder, or is none",
                c->repository);
        c->pick.names[c->pick.n++] = text;
    }
    return read_commit(c, err);
}

/* Which model to name, where there are several. */
static void print_models(const struct pull_command *c)
{
    for (size_t i = 0; i < c->pick.n; i++) {
        if (!c->pick.wanted[i]) continue;
        if (c->common.json)
            emit(json_pack("{s:s, s:s, s:o}", "type", "choice", "repository", c->repository, "file",
                           json_string(c->pick.names[i])));
        else
            printf("%s:%s\n", c->repository, c->pick.names[i]);
    }
}

/* ---- files ---- */

static bool next_wanted(const struct pick *p, size_t *i, bool first)
{
    for (*i = first ? 0 : *i + 1; *i < p->n; ++*i)
        if (p->wanted[*i]) return true;
    return false;
}

/* Sizes of all, and whether there is room for what is missing. */
static ph_status weigh(struct pull_command *c, ph_error *err)
{
    struct pull *p = &c->pull;
    struct statvfs about;
    int64_t missing = 0;
    char need[24], there[24], *place = strdup(p->cache);

    c->files = calloc(c->pick.n + 1, sizeof *c->files);
    if (!c->files || !place) {
        free(place);
        return fail_with(err, PH_ENOMEM, "no memory");
    }
    for (size_t i = 0, more = next_wanted(&c->pick, &i, true); more;
         more = next_wanted(&c->pick, &i, false)) {
        struct pull_file *f = &c->files[i];
        f->name = c->pick.names[i];
        const ph_status st = pull_head(p, f, err);
        if (st != PH_OK) {
            free(place);
            return st;
        }
        const int64_t rest = pull_missing(p, f);
        const bool fits = f->size <= INT64_MAX / 2 - p->total;
        p->total = p->total < 0 || f->size < 0 || !fits ? -1 : p->total + f->size;
        p->before += f->size < 0 ? 0 : f->size - rest;
        missing = rest > INT64_MAX / 2 - missing ? INT64_MAX / 2 : missing + rest;
    }
    /* the cache may have yet to be made */
    for (char *slash; statvfs(place, &about) != 0 && (slash = strrchr(place, '/'));) *slash = 0;
    const bool known = *place && statvfs(place, &about) == 0;
    const double room = known ? (double)about.f_bavail * (double)about.f_frsize : 0;
    ph_status st = PH_OK;
    if (known && (double)missing > room)
        st = fail_with(err, PH_EIO, "%s needs %s more, but at %.100s %s are free", c->what,
                       bytes_text(need, (double)missing), place, bytes_text(there, room));
    free(place);
    return st;
}

static void print_file(const struct pull_command *c, const struct pull_file *f)
{
    char size[24];
    const char *how = f->there ? "was there" : !f->checked ? "size only" : "checked";

    progress_clear();
    if (c->common.json) {
        emit(json_pack("{s:s, s:s, s:s, s:I, s:s, s:b, s:b}", "type", "file", "run", c->pull.commit,
                       "name", f->name, "bytes", (json_int_t)f->size, "etag", f->etag, "there",
                       f->there, "checked", f->checked && !f->there));
    } else if (!c->common.quiet) {
        printf("%10s  %-9s  %s%s%s\n", bytes_text(size, (double)f->size), how, f->name,
               c->common.verbose ? "  " : "", c->common.verbose ? f->etag : "");
        fflush(stdout);
    }
}

static ph_status store_all(struct pull_command *c, ph_error *err)
{
    struct pull *p = &c->pull;
    ph_status st = PH_OK;

    p->began = now();
    for (size_t i = 0, more = next_wanted(&c->pick, &i, true); more && st == PH_OK;
         more = next_wanted(&c->pick, &i, false)) {
        if (progress_interrupted()) return fail_with(err, PH_ECANCELED, "interrupted");
        st = pull_store(p, &c->files[i], err);
        if (st != PH_OK) break;
        p->done += c->files[i].size;
        print_file(c, &c->files[i]);
    }
    return st == PH_OK ? pull_set_ref(p, err) : st;
}

/* ---- the end ---- */

/* The path, and how -m names it. */
static ph_status print_end(const struct pull_command *c, ph_error *err)
{
    const char *first = pick_first(&c->pick);
    const bool folder = !*c->id.file && strcmp(first, "config.json") == 0;
    const bool usual = strcmp(c->pull.revision, "main") == 0;
    char *path = NULL, *model = NULL, *whole = realpath(c->pull.folder, NULL);
    ph_status st = PH_OK;

    if (asprintf(&path, "%s/snapshots/%s%s%s", whole ? whole : c->pull.folder, c->pull.commit,
                 folder ? "" : "/", folder ? "" : first) < 0)
        path = NULL;
    if (asprintf(&model, "%s%s%s", c->repository, folder ? "" : ":", folder ? "" : first) < 0)
        model = NULL;
    if (!path || !model)
        st = fail_with(err, PH_ENOMEM, "no memory");
    else if (c->common.json)
        emit(json_pack("{s:s, s:s, s:s, s:s}", "type", "pull", "run", c->pull.commit, "model",
                       usual ? model : path, "path", path));
    else if (c->common.quiet)
        printf("%s\n", path);
    else
        printf("use it as  phosphene info -m %s\n%s\n", usual ? model : path, path);
    free(whole);
    free(model);
    free(path);
    return st;
}

static bool is_true(const char *text)
{
    static const char *const yes[] = {"1", "on", "yes", "true"};
    for (size_t i = 0; text && i < sizeof yes / sizeof *yes; i++)
        if (strcasecmp(text, yes[i]) == 0) return true;
    return false;
}

static ph_status prepare(struct pull_command *c, ph_error *err)
{
    struct pull *p = &c->pull;

    snprintf(c->repository, sizeof c->repository, "%.*s", (int)strcspn(c->what, ":"), c->what);
    if (!hub_read_id(&c->id, c->what) || strstr(c->repository, "--") || !c->id.org)
        return fail_with(err, PH_EINVAL, "%.100s: expected ORG/NAME or ORG/NAME:FILE", c->what);
    if (!pick_is_safe(p->revision))
        return fail_with(err, PH_EINVAL, "--revision %.100s: no revision has such a name",
                         p->revision);
    if (is_true(getenv("HF_HUB_OFFLINE")))
        return fail_with(err, PH_EIO, "HF_HUB_OFFLINE is set, and pull is all about the network");
    p->repository = c->repository;
    p->quiet = c->common.quiet;
    p->cache = hub_cache();
    p->folder = p->cache ? hub_folder(p->cache, &c->id) : NULL;
    if (!p->folder) return fail_with(err, PH_ENOMEM, "no memory");
    return web_open(&p->web, err);
}

static ph_status run(struct pull_command *c, ph_error *err)
{
    ph_status st = prepare(c, err);

    if (st == PH_OK) st = get_listing(c, err);
    if (st == PH_OK) st = read_listing(c, err);
    if (st == PH_OK) {
        st = *c->id.file ? pick_named(&c->pick, c->id.file, err) : pick_folder(&c->pick, err);
        if (st == PH_EINVAL) print_models(c);
    }
    if (st == PH_OK && c->common.json)
        emit(json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "type", "run", "id", c->pull.commit,
                       "version", ph_version(), "command", "pull", "input", c->what, "revision",
                       c->pull.revision, "endpoint", c->pull.web.endpoint));
    if (st == PH_OK) st = weigh(c, err);
    if (st == PH_OK) st = store_all(c, err);
    if (st == PH_OK) st = print_end(c, err);
    return st;
}

static bool stop(void)
{
    return progress_interrupted();
}

int cmd_pull(int argc, char **argv)
{
    struct pull_command c = {.common.no_model = true, .pull.revision = "main"};
    ph_error err = {0};
    const char *endpoint = hub_variable("HF_ENDPOINT");
    char *hub = strdup(endpoint ? endpoint : HUB), *token = hub_token();
    int status;

    for (size_t n = hub ? strlen(hub) : 0; n && hub[n - 1] == '/';) hub[--n] = 0;
    c.pull.web =
        (struct web){.endpoint = hub ? hub : "", .token = token, .retries = 5, .stop = stop};
    parse_options(&c.common, &argp, argc, argv);
    const ph_status st = run(&c, &err);
    if (st == PH_ECANCELED) {
        progress_clear();
        fprintf(stderr, "phosphene pull: interrupted; the same command goes on from here\n");
        status = EXIT_INTERRUPTED;
    } else {
        status = finish(&c.common, st, &err, NULL);
    }
    web_close(&c.pull.web);
    json_decref(c.listing);
    free(c.pick.names);
    free(c.pick.wanted);
    free(c.files);
    free(c.pull.cache);
    free(c.pull.folder);
    free(token);
    free(hub);
    common_free(&c.common);
    return status;
}
