/* status.c — how far sweeps are, read from the store alone.
 *
 * A "sweep" line says how many units a run has, "unit" lines which are done, leases which are under
 * way, and which are done by ranks whose results are not in the store yet.
 */
#include "status.h"

#include "emit.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

static struct status_row *find_row(struct status *s, const char *run, size_t n)
{
    for (size_t i = 0; i < s->n; i++)
        if (strlen(s->rows[i].run) == n && strncmp(s->rows[i].run, run, n) == 0) return &s->rows[i];
    return NULL;
}

static char *copy_of(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    return strdup(text ? text : "");
}

static double figure(const json_t *line, const char *name)
{
    return json_number_value(json_object_get(line, name));
}

static int64_t whole(const json_t *line, const char *name)
{
    return (int64_t)json_integer_value(json_object_get(line, name));
}

static void add_row(struct status *s, const json_t *line)
{
    struct status_row *grown = realloc(s->rows, (s->n + 1) * sizeof *grown);
    if (!grown) return;
    s->rows = grown;
    s->rows[s->n] = (struct status_row){.run = copy_of(line, "run"),
                                        .method = copy_of(line, "method"),
                                        .seed = whole(line, "seed"),
                                        .units = whole(line, "units"),
                                        .features = whole(line, "features"),
                                        .cost = figure(line, "cost")};
    if (s->rows[s->n].run && s->rows[s->n].method) s->n++;
}

static bool add_label(struct status_row *r, char *label)
{
    char **grown = label ? realloc(r->labels, (r->n_labels + 1) * sizeof *grown) : NULL;
    if (!grown) {
        free(label);
        return false;
    }
    r->labels = grown;
    r->labels[r->n_labels++] = label;
    return true;
}

static void add_unit(struct status *s, const json_t *line)
{
    const char *run = json_string_value(json_object_get(line, "run"));
    struct status_row *r = run ? find_row(s, run, strlen(run)) : NULL;
    if (!r || !add_label(r, copy_of(line, "unit"))) return;
    r->done++;
    r->cost_done += figure(line, "cost");
    r->cost_timed += figure(line, "cost");
    r->seconds += figure(line, "seconds");
}

static void add_run(struct status *s, const json_t *line)
{
    const json_t *model = json_object_get(line, "model");
    const char *id = json_string_value(json_object_get(line, "id"));
    struct status_row *r = id ? find_row(s, id, strlen(id)) : NULL;
    if (!r || r->model) return;
    const char *file = json_string_value(json_object_get(model, "file"));
    const char *slash = file ? strrchr(file, '/') : NULL;
    r->model = strdup(slash ? slash + 1 : file ? file : "");
    r->input = copy_of(line, "input");
}

static void row_free(struct status_row *r)
{
    for (size_t k = 0; k < r->n_labels; k++) free(r->labels[k]);
    free(r->labels);
    free(r->run);
    free(r->method);
    free(r->model);
    free(r->input);
}

static bool has_run(const struct units *u, const char *run)
{
    for (int i = 0; i < u->n_jobs; i++)
        if (strcmp(u->jobs[i].run, run) == 0) return true;
    return false;
}

static void keep_only(struct status *s, const struct units *only)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (has_run(only, s->rows[i].run))
            s->rows[n++] = s->rows[i];
        else
            row_free(&s->rows[i]);
    s->n = n;
}

struct reading {
    struct status *s;
    void (*take)(struct status *s, const json_t *line);
};

static int on_row(const char *row, size_t bytes, void *payload)
{
    const struct reading *r = payload;
    json_t *line = json_loadb(row, bytes, JSON_ALLOW_NUL, NULL);
    if (line) r->take(r->s, line);
    json_decref(line);
    return 0;
}

static ph_status read_view(struct status *s, ph_store *store, const char *view, const char *type,
                           void (*take)(struct status *s, const json_t *line), ph_error *err)
{
    ph_store_query q = PH_STORE_QUERY_INIT;
    struct reading r = {s, take};
    q.view = view;
    q.type = type;
    return ph_store_select(store, &q, on_row, &r, err);
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static int on_lease(const char *unit, const char *owner, double left, void *payload)
{
    struct status *s = payload;
    const char *slash = strchr(unit, '/'), *label = slash ? slash + 1 : NULL;
    struct status_row *r = slash ? find_row(s, unit, (size_t)(slash - unit)) : NULL;

    (void)owner;
    if (!r || left <= 0) return 0;
    if (!isinf(left)) {
        r->under_way++;
    } else if (!r->n_labels || !bsearch(&label, r->labels, r->n_labels, sizeof label, by_text)) {
        r->done++; /* by a rank, in its shard */
        r->cost_done += r->units ? r->cost / (double)r->units : 0;
    }
    return 0;
}

/* ---- what follows ---- */

/* Seconds that a unit of cost takes in this run, else in others of the method, else in any. */
static double pace(const struct status *s, const struct status_row *r)
{
    double seconds[2] = {0, 0}, cost[2] = {0, 0};
    if (r->cost_timed > 0) return r->seconds / r->cost_timed;
    for (size_t i = 0; i < s->n; i++) {
        const bool same = strcmp(s->rows[i].method, r->method) == 0;
        seconds[same] += s->rows[i].seconds;
        cost[same] += s->rows[i].cost_timed;
    }
    return cost[1] > 0 ? seconds[1] / cost[1] : cost[0] > 0 ? seconds[0] / cost[0] : (double)NAN;
}

static void sum_up(struct status *s)
{
    double seconds = 0, left = 0;
    int64_t timed = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct status_row *r = &s->rows[i];
        s->units += r->units;
        s->done += r->done;
        s->under_way += r->under_way;
        seconds += r->seconds;
        timed += (int64_t)r->n_labels;
        if (r->done < r->units) left += (r->cost - r->cost_done) * pace(s, r);
    }
    s->per_minute = seconds > 0 ? 60 * (double)(timed * s->under_way) / seconds : 0;
    s->left = left / (double)(s->under_way ? s->under_way : 1);
}

/* As people look for them: by model, features, method and seed. */
static int by_name(const void *a, const void *b)
{
    const struct status_row *x = a, *y = b;
    int order = strcmp(x->model ? x->model : "", y->model ? y->model : "");
    if (!order) order = strverscmp(x->input ? x->input : "", y->input ? y->input : "");
    if (!order) order = strcmp(x->method, y->method);
    return order ? order : (x->seed > y->seed) - (x->seed < y->seed);
}

ph_status status_read(struct status *s, ph_store *store, const struct units *only, ph_error *err)
{
    *s = (struct status){0};
    ph_status st = read_view(s, store, "lines", "sweep", add_row, err);
    if (only) keep_only(s, only);
    if (st == PH_OK) st = read_view(s, store, "runs", NULL, add_run, err);
    if (st == PH_OK) st = read_view(s, store, "lines", "unit", add_unit, err);
    for (size_t i = 0; i < s->n; i++)
        if (s->rows[i].n_labels)
            qsort(s->rows[i].labels, s->rows[i].n_labels, sizeof(char *), by_text);
    if (st == PH_OK) st = ph_store_leases(store, on_lease, s, err);
    if (s->n) qsort(s->rows, s->n, sizeof *s->rows, by_name);
    sum_up(s);
    return st;
}

void status_free(struct status *s)
{
    for (size_t i = 0; i < s->n; i++) row_free(&s->rows[i]);
    free(s->rows);
    *s = (struct status){0};
}

/* ---- printing ---- */

static void print_time(double seconds, FILE *out)
{
    if (seconds < 120)
        fprintf(out, "%.0f s", seconds);
    else if (seconds < 7200)
        fprintf(out, "%.0f min", seconds / 60);
    else
        fprintf(out, "%.1f h", seconds / 3600);
}

void status_line(const struct status *s, FILE *out)
{
    fprintf(out, "%lld of %lld units", (long long)s->done, (long long)s->units);
    if (s->under_way) fprintf(out, ", %lld under way", (long long)s->under_way);
    if (s->per_minute > 0)
        fprintf(out, s->per_minute < 100 ? ", %.3g a minute" : ", %.0f a minute", s->per_minute);
    if (s->done >= s->units) return;
    fputs(", ", out);
    if (isnan(s->left)) {
        fputs("time left not known yet", out);
        return;
    }
    print_time(s->left, out);
    fputs(s->under_way ? " left" : " left for one worker; nobody is at work", out);
}

static void print_json(const struct status *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct status_row *r = &s->rows[i];
        emit(json_pack("{s:s, s:s, s:s?, s:s?, s:s, s:I, s:I, s:I, s:I, s:I, s:f}", "type",
                       "status", "run", r->run, "model", r->model, "input", r->input, "method",
                       r->method, "seed", (json_int_t)r->seed, "features", (json_int_t)r->features,
                       "units", (json_int_t)r->units, "done", (json_int_t)r->done, "under_way",
                       (json_int_t)r->under_way, "seconds", r->seconds));
    }
    emit(json_pack("{s:s, s:I, s:I, s:I, s:f, s:o}", "type", "status", "units",
                   (json_int_t)s->units, "done", (json_int_t)s->done, "under_way",
                   (json_int_t)s->under_way, "units_per_minute", s->per_minute, "seconds_left",
                   number(s->left)));
}

void status_print(const struct status *s, bool json)
{
    if (json) {
        print_json(s);
        return;
    }
    if (s->n == 0) {
        printf("no sweep was begun in this store\n");
        return;
    }
    printf("%-28s %-32s %-8s %6s %8s %8s %9s\n", "model", "features", "method", "seed", "units",
           "done", "under way");
    for (size_t i = 0; i < s->n; i++) {
        const struct status_row *r = &s->rows[i];
        cell(r->model ? r->model : "", 28);
        printf(" ");
        cell(r->input ? r->input : "", 32);
        printf(" %-8s %6lld %8lld %8lld %9lld\n", r->method, (long long)r->seed,
               (long long)r->units, (long long)r->done, (long long)r->under_way);
    }
    status_line(s, stdout);
    printf("\n");
}
