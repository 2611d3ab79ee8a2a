/* record.c — the runs of a contest in a file. */
#include "record.h"

#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static ph_status fail(ph_error *err, const struct record *r)
{
    return output_error(err, r->path, strerror(errno));
}

/* ---- what is the same ---- */

/* Of a run line: everything that changes what a run finds. NULL: not a run line, or no memory. */
static char *same_of(const json_t *run)
{
    const json_t *sha = json_object_get(json_object_get(run, "model"), "sha256");
    json_t *settings = json_deep_copy(json_object_get(run, "settings")), *all;
    char *text;

    json_object_del(settings, "methods"); /* these are of the runs */
    json_object_del(settings, "budgets");
    json_object_del(settings, "seeds");
    if (!json_object_get(settings, "outliers")) /* of before it was an option */
        json_object_set_new(settings, "outliers", json_string("last"));
    all = json_pack("[O?, O?, o]", sha, json_object_get(run, "context"), settings);
    text = all ? json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(all);
    return text;
}

static char *key_of(const char *same, const struct run_name *n)
{
    char *text;
    return asprintf(&text, "%lld %lld %s %s %s", (long long)n->seed, (long long)n->budget,
                    n->method, n->feature, same) < 0
               ? NULL
               : text;
}

/* ---- a line's members; empty and 0 where there is none ---- */

static const char *string_in(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    return text ? text : "";
}

static int64_t count_in(const json_t *line, const char *name)
{
    return (int64_t)json_integer_value(json_object_get(line, name));
}

/* ---- read ---- */

/* A line of the file; sames: {"id of a run line":"what its runs have in common"}. */
static bool take(struct record *r, json_t *sames, json_t *line)
{
    const char *type = string_in(line, "type");
    const bool begins = strcmp(type, "run") == 0, ran = strcmp(type, "compare") == 0;
    const char *id = string_in(line, begins ? "id" : "run");
    const char *same = json_string_value(json_object_get(sames, id));
    char *text = NULL;
    bool ok = begins || ran || strcmp(type, "compare_summary") == 0;

    if (begins) {
        text = same_of(line);
        ok = text && json_object_set_new(sames, id, json_string(text)) == 0;
    } else if (same && ran) {
        text =
            key_of(same, &(struct run_name){string_in(line, "feature"), string_in(line, "method"),
                                            count_in(line, "seed"), count_in(line, "budget")});
        ok = text && json_object_set(r->runs, text, line) == 0;
    }
    free(text);
    return ok;
}

/* Cut off a last line without end, if it begins as ours do. */
static ph_status cut(const struct record *r, const char *text, size_t n, off_t whole, ph_error *err)
{
    static const char ours[] = "{\"type\":\"";
    if (strncmp(text, ours, n < strlen(ours) ? n : strlen(ours)) != 0)
        return output_error(err, r->path, "its last line is not a run of compare");
    return ftruncate(r->fd, whole) == 0 ? PH_OK : fail(err, r);
}

static ph_status read_lines(struct record *r, FILE *f, json_t *sames, ph_error *err)
{
    off_t whole = 0; /* bytes of lines that are */
    char *text = NULL, why[200];
    size_t room = 0;
    ssize_t n;
    ph_status st = PH_OK;

    for (int at = 1; st == PH_OK && (n = getline(&text, &room, f)) > 0; at++) {
        json_error_t bad;
        if (text[n - 1] != '\n') {
            st = cut(r, text, (size_t)n, whole, err);
            break;
        }
        json_t *line = json_loadb(text, (size_t)n, 0, &bad);
        snprintf(why, sizeof why, "line %d: %.150s", at, line ? "not a run of compare" : bad.text);
        if (!line || !take(r, sames, line)) st = output_error(err, r->path, why);
        json_decref(line);
        whole += n;
    }
    if (st == PH_OK && ferror(f)) st = fail(err, r);
    free(text);
    return st;
}

ph_status record_open(struct record *r, const char *path, ph_error *err)
{
    *r = (struct record){.path = path, .fd = -1};
    if (!path) return PH_OK;
    struct stat is;
    if (stat(path, &is) == 0 && !S_ISREG(is.st_mode))
        return output_error(err, path, "not a regular file, which runs could be read from again");
    r->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (r->fd < 0) return fail(err, r);
    if (flock(r->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return output_error(err, path, "another process is at work with it");
    json_t *sames = json_object();
    r->runs = json_object();
    FILE *f = fopen(path, "r");
    ph_status st = PH_OK;
    if (!sames || !r->runs)
        st = no_memory(err);
    else
        st = f ? read_lines(r, f, sames, err) : fail(err, r);
    if (f) fclose(f);
    json_decref(sames);
    return st;
}

void record_close(struct record *r)
{
    if (r->path && r->fd >= 0) close(r->fd);
    json_decref(r->runs);
    free(r->same);
    *r = (struct record){.fd = -1};
}

/* ---- add ---- */

static ph_status add_line(struct record *r, const json_t *line, ph_error *err)
{
    char *text =
        json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(17)); /* the same number again */
    size_t n = text ? strlen(text) : 0, done = 0;
    ph_status st = text ? PH_OK : no_memory(err);

    if (text) text[n++] = '\n'; /* in the place of its end */
    while (st == PH_OK && done < n) {
        const ssize_t wrote = write(r->fd, text + done, n - done);
        if (wrote < 0 && errno != EINTR) st = fail(err, r);
        if (wrote > 0) done += (size_t)wrote;
    }
    free(text);
    return st;
}

ph_status record_begin(struct record *r, json_t *run, ph_error *err)
{
    ph_status st = PH_OK;

    if (r->path) {
        free(r->same);
        r->same = same_of(run);
        st = r->same ? add_line(r, run, err) : no_memory(err);
    }
    json_decref(run);
    return st;
}

ph_status record_add(struct record *r, json_t *line, ph_error *err)
{
    const ph_status st = !r->path ? PH_OK : line ? add_line(r, line, err) : no_memory(err);
    json_decref(line);
    return st;
}

/* ---- find ---- */

/* Spread of the random texts beside a run, from its z. */
static double spread_in(const json_t *line)
{
    const json_t *activation = json_object_get(line, "activation"), *z = json_object_get(line, "z");
    if (!json_is_number(activation) || !json_is_number(z) || json_number_value(z) == 0)
        return (double)NAN;
    return (json_number_value(activation) -
            json_number_value(json_object_get(line, "random_mean"))) /
           json_number_value(z);
}

ph_status record_find(struct outcome *out, const struct record *r, const struct run_name *name,
                      ph_error *err)
{
    *out = (struct outcome){0};
    if (!r->path) return PH_OK;
    char *key = key_of(r->same, name);
    if (!key) return no_memory(err);
    const json_t *found = json_object_get(r->runs, key);
    const json_t *activation = json_object_get(found, "activation");

    free(key);
    if (!found) return PH_OK;
    *out = (struct outcome){.done = true,
                            .activation = json_is_number(activation) ? json_number_value(activation)
                                                                     : (double)NAN,
                            .text = strdup(string_in(found, "text")),
                            .round_trip = json_is_true(json_object_get(found, "round_trip")),
                            .outlier = json_is_true(json_object_get(found, "outlier")),
                            .forwards = count_in(found, "token_forwards"),
                            .scan = count_in(found, "scan_forwards"),
                            .steps = count_in(found, "steps"),
                            .restarts = count_in(found, "restarts"),
                            .seconds = json_number_value(json_object_get(found, "seconds")),
                            .random_mean = json_number_value(json_object_get(found, "random_mean")),
                            .random_sd = spread_in(found)};
    return out->text ? PH_OK : no_memory(err);
}
