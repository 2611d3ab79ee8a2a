/* work.c — a unit is searched, and its results are lines.
 *
 * What a unit gives depends on the plan alone: not on who works on it, nor on what came before.
 */
#include "work.h"

#include "lines.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void clear_lines(struct work *w)
{
    for (size_t i = 0; i < w->n_lines; i++) free(w->lines[i]);
    w->n_lines = 0;
}

void work_close(struct work *w)
{
    clear_lines(w);
    free(w->lines);
    w->lines = NULL;
    ph_model_close(&w->model);
}

/* text is taken over; nonzero: out of memory. */
static int add_text(struct work *w, char *text)
{
    char **grown = text ? realloc(w->lines, (w->n_lines + 1) * sizeof *grown) : NULL;
    if (!grown) {
        free(text);
        return 1;
    }
    w->lines = grown;
    w->lines[w->n_lines++] = text;
    return 0;
}

static int add_line(struct work *w, json_t *line)
{
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(line);
    return add_text(w, text);
}

/* ---- searching ---- */

struct searching {
    struct work *w;
    struct line_source source;
};

static int on_dream(const ph_dream_result *r, void *payload)
{
    struct searching *s = payload;
    return add_line(s->w, dream_line(&s->source, r, NULL));
}

static int on_scan(const ph_scan_result *r, void *payload)
{
    struct searching *s = payload;
    return add_line(s->w, scan_line(&s->source, r));
}

static void set_run(ph_run_options *run, const struct work *w, uint64_t seed)
{
    *run = w->plan->common.run;
    run->seed = seed;
    run->progress = w->progress;
    run->progress_payload = w->payload;
}

static ph_status scan(struct work *w, const struct job *j, const ph_features *features,
                      ph_error *err)
{
    ph_scan_options o = PH_SCAN_OPTIONS_INIT;
    struct searching s = {w, {j->run, ph_model_tokenizer(w->model), &o.run}};
    set_run(&o.run, w, j->seed);
    o.top = w->plan->list;
    return ph_scan(w->model, features, &o, on_scan, &s, err);
}

/* A search among tokens would keep the value of every token for every feature, to be read never again:
 * hundreds of kilobytes a feature. Others use what a complete search of the tap left. */
static ph_status dream(struct work *w, const struct job *j, const ph_features *features,
                       ph_error *err)
{
    struct dreaming d;
    struct searching s = {w, {j->run, ph_model_tokenizer(w->model), &d.o.run}};
    job_dreams(&d, w->plan, j);
    set_run(&d.o.run, w, j->seed);
    if (ph_method_budget(j->method)) d.o.run.cache = NULL;
    return ph_dream(w->model, features, &d.o, on_dream, &s, NULL, err);
}

static ph_status open_model(struct work *w, int model, ph_error *err)
{
    const struct model_choice *choice = &w->plan->common.models[model];
    if (w->model && w->open == model) return PH_OK;
    ph_model_close(&w->model);
    w->open = model;
    return ph_model_open(&w->model, choice->path, &choice->options, err);
}

/* ---- a unit ---- */

static int add_unit_line(struct work *w, const struct unit *u, const ph_features *features,
                         double seconds)
{
    char host[128] = "";
    const size_t n = ph_features_count(features);
    gethostname(host, sizeof host - 1);
    return add_line(w, json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:f, s:f, s:I, s:s}", "type",
                                 "unit", "run", w->units->jobs[u->job].run, "unit", u->label,
                                 "first", ph_features_at(features, 0)->text, "last",
                                 ph_features_at(features, n - 1)->text, "features", (json_int_t)n,
                                 "cost", u->cost, "seconds", seconds, "ended",
                                 (json_int_t)time(NULL), "host", host));
}

ph_status work_unit(struct work *w, long long unit, ph_error *err)
{
    const struct unit *u = &w->units->at[unit];
    const struct job *j = &w->units->jobs[u->job];
    const double began = now();
    ph_features *features = NULL;
    ph_status st = open_model(w, j->model, err);

    clear_lines(w);
    if (st == PH_OK) st = ph_features_parse(&features, ph_model_get_info(w->model), u->specs, err);
    if (st == PH_OK && add_text(w, strdup(j->run_line))) goto memory;
    if (st == PH_OK) st = j->scans ? scan(w, j, features, err) : dream(w, j, features, err);
    if (st == PH_OK && add_unit_line(w, u, features, now() - began)) goto memory;
    ph_features_close(&features);
    return st;
memory:
    ph_features_close(&features);
    *err = (ph_error){PH_ENOMEM, -1, "out of memory"};
    return PH_ENOMEM;
}
