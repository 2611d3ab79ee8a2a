/* hired.c — one search of the page: what was asked, what it has found, and doing it. */
#include "hired.h"

#include "../dreaming.h"
#include "../lines.h"
#include "../ordinary.h"
#include "moment.h"
#include "wish.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A first pass over the corpus that takes more is left to phosphene corpus: about a minute. */
#define MOST_CORPUS_FLOPS 2e13

#define BETWEEN 0.1 /* seconds between two reports of the same kind */

const char *const job_states[] = {"queued", "running", "done", "cancelled", "failed"};

/* ---- what is found ---- */

void hired_news(struct jobs *q, struct job *j, bool progress)
{
    j->version++;
    j->progressed += progress;
    pthread_cond_broadcast(&q->news);
}

/* Takes the object over; false: out of memory. */
static bool add(struct texts *t, json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (text && t->n == t->cap) {
        const size_t cap = t->cap ? 2 * t->cap : 16;
        char **wider = realloc(t->at, cap * sizeof *wider);
        if (wider) {
            t->at = wider;
            t->cap = cap;
        }
    }
    if (!text || t->n == t->cap) {
        free(text);
        return false;
    }
    t->bytes += strlen(text);
    t->at[t->n++] = text;
    return true;
}

static void texts_free(struct texts *t)
{
    for (size_t i = 0; i < t->n; i++) free(t->at[i]);
    free(t->at);
}

/* ---- what is asked ---- */

/* The features of a wish: a spec, or an array of them. */
static ph_status join_specs(char **out, const json_t *features, ph_error *err)
{
    size_t i, bytes = 0;
    json_t *spec;
    char *text = NULL;
    FILE *f = open_memstream(&text, &bytes);

    if (!f) return fail_with(err, PH_ENOMEM, "out of memory");
    if (json_is_string(features)) fputs(json_string_value(features), f);
    json_array_foreach((json_t *)(uintptr_t)features, i, spec)
    {
        const char *s = json_string_value(spec);
        fprintf(f, "%s%s", i ? ", " : "", s ? s : "?");
    }
    if (fclose(f) != 0) return fail_with(err, PH_ENOMEM, "out of memory");
    *out = text;
    return bytes ? PH_OK
                 : fail_with(err, PH_EINVAL, "features: expected a spec, or an array of them");
}

/* Whether every spec may be asked for: see archive_allows. */
static ph_status check_files(struct jobs *q, const struct job *j, const json_t *features,
                             ph_error *err)
{
    size_t i;
    json_t *spec;
    if (json_is_string(features))
        return archive_allows(q->archive, j->model, json_string_value(features), err);
    json_array_foreach((json_t *)(uintptr_t)features, i, spec)
    {
        const char *s = json_string_value(spec);
        const ph_status st = archive_allows(q->archive, j->model, s ? s : "", err);
        if (st != PH_OK) return st;
    }
    return PH_OK;
}

static ph_status name_features(struct job *j, const ph_features *features, ph_error *err)
{
    const ph_feature *f;
    const size_t n = ph_features_count(features);
    if (n > WISH_FEATURES)
        return fail_with(err, PH_EINVAL, "features: these are %zu, at most %d in one search", n,
                         WISH_FEATURES);
    j->features = json_array();
    for (size_t i = 0; (f = ph_features_at(features, i)); i++)
        json_array_append_new(j->features, json_string(f->text));
    j->glimpsed = calloc(n, sizeof *j->glimpsed);
    return j->features && j->glimpsed ? PH_OK : fail_with(err, PH_ENOMEM, "out of memory");
}

static ph_status check(struct jobs *q, struct job *j, ph_error *err)
{
    const json_t *asked = json_object_get(j->wish, "features");
    const ph_dream_options defaults = PH_DREAM_OPTIONS_INIT;
    ph_features *features = NULL;
    struct held *held = NULL;
    ph_status st;

    j->o = defaults;
    j->o.run = q->common->run;
    j->o.run.progress = NULL;
    if ((st = wish_dream(&j->o, json_object_get(j->wish, "options"), err)) != PH_OK) return st;
    if ((st = join_specs(&j->specs, asked, err)) != PH_OK) return st;
    if ((st = check_files(q, j, asked, err)) != PH_OK) return st;
    if ((st = models_take(q->models, &held, j->model, err)) != PH_OK) return st;
    st = ph_features_parse(&features, ph_model_get_info(held_model(held)), j->specs, err);
    if (st == PH_OK) st = name_features(j, features, err);
    ph_features_close(&features);
    models_give(q->models, held);
    return st;
}

static bool draw_id(char id[17])
{
    unsigned char random[8];
    if (getrandom(random, sizeof random, 0) != sizeof random) return false;
    for (size_t i = 0; i < sizeof random; i++) snprintf(id + 2 * i, 3, "%02x", random[i]);
    return true;
}

ph_status hired_new(struct job **out, struct jobs *q, const json_t *wish, ph_error *err)
{
    struct job *j = calloc(1, sizeof *j);
    const json_t *model = json_object_get(wish, "model");
    ph_status st = PH_OK;

    if (!j) return fail_with(err, PH_ENOMEM, "out of memory");
    j->wish = json_deep_copy(wish);
    j->model = models_key(q->models, json_string_value(model));
    if (!j->wish || !draw_id(j->id)) st = fail_with(err, PH_ENOMEM, "out of memory");
    if (st == PH_OK && !j->model) st = fail_with(err, PH_EINVAL, "model: which one?");
    if (st == PH_OK) st = check(q, j, err);
    if (st == PH_OK)
        *out = j;
    else
        hired_free(j);
    return st;
}

void hired_free(struct job *j)
{
    texts_free(&j->lines);
    texts_free(&j->glimpses);
    json_decref(j->wish);
    json_decref(j->features);
    free(j->glimpsed);
    free(j->specs);
    free(j->model);
    free(j);
}

/* ---- the search ---- */

struct work {
    struct jobs *q;
    struct job *j;
    struct common common;
    struct subject subject;
    ph_corpus *corpus;
    bool full; /* its lines are more than may be kept in memory */
};

static int on_progress(const char *stage, double done, void *payload)
{
    struct work *w = payload;
    struct job *j = w->j;
    const double now = moment_now();

    pthread_mutex_lock(&w->q->lock);
    const bool other = strcmp(j->stage, stage) != 0;
    snprintf(j->stage, sizeof j->stage, "%s", stage);
    j->done = done;
    if (other || now - j->told >= BETWEEN) {
        j->told = now;
        hired_news(w->q, j, true);
    }
    const bool stop = j->stop || w->q->ends;
    pthread_mutex_unlock(&w->q->lock);
    return stop;
}

static size_t place_of(const struct work *w, const ph_feature *feature)
{
    const ph_feature *f;
    size_t i = 0;
    while ((f = ph_features_at(w->subject.features, i)) && f != feature) i++;
    return f ? i : 0;
}

/* The activation of a text, or of an embedding, which is none: each under its own name. */
static json_t *glimpse_json(const struct work *w, const ph_glimpse *g, double seconds)
{
    const ph_tokenizer *t = subject_tokenizer(&w->subject);
    json_t *o = json_pack("{s:s, s:o, s:{s:o}, s:I, s:f}", "feature", g->feature->text, "ids",
                          g->ids ? integers(g->ids, g->n) : json_null(), "activation",
                          g->ids ? "ids" : "soft", number(g->activation), "token_forwards",
                          (json_int_t)g->token_forwards, "seconds", seconds);
    char *text = NULL;
    size_t bytes = 0;
    if (!o || !g->ids) return o;
    set_tokens(o, t, g->ids, g->n);
    if (ph_tokenizer_decode(&text, &bytes, t, g->ids, g->n, NULL) == PH_OK)
        json_object_set_new(o, "text", utf8(text, bytes));
    ph_free(text);
    return o;
}

static void on_glimpse(const ph_glimpse *g, void *payload)
{
    struct work *w = payload;
    struct job *j = w->j;
    double *last = &j->glimpsed[place_of(w, g->feature)];
    const double now = moment_now();

    if (!g->ids && now - *last < BETWEEN) return;
    *last = now;
    if (j->glimpses.n >= JOBS_GLIMPSES) return; /* written by this thread only */
    json_t *o = glimpse_json(w, g, now - j->began);
    pthread_mutex_lock(&w->q->lock);
    if (add(&j->glimpses, o)) hired_news(w->q, j, false);
    pthread_mutex_unlock(&w->q->lock);
}

static bool add_line(struct work *w, json_t *line)
{
    pthread_mutex_lock(&w->q->lock);
    const bool ok = add(&w->j->lines, line);
    w->full = w->j->lines.bytes > JOBS_LINE_BYTES;
    if (ok) hired_news(w->q, w->j, false);
    pthread_mutex_unlock(&w->q->lock);
    return ok && !w->full;
}

static int on_result(const ph_dream_result *r, void *payload)
{
    struct work *w = payload;
    const struct line_source from = {w->subject.run, subject_tokenizer(&w->subject), &w->j->o.run};
    return !add_line(w, dream_line(&from, r, w->corpus));
}

/* As the command line opens it, but that the model is here already. */
static ph_status open_subject(struct work *w, const ph_model *model, ph_error *err)
{
    struct subject *s = &w->subject;
    ph_run_options run;
    s->model = (ph_model *)(uintptr_t)model; /* borrowed: close_subject leaves it alone */
    s->specs = w->j->specs;
    ph_status st = ph_features_parse(&s->features, ph_model_get_info(model), s->specs, err);
    if (st == PH_OK) st = ph_features_run(&run, s->features, &w->common.run, err);
    if (st == PH_OK) st = ph_context(&s->context, &s->n_context, model, &run, err);
    return st;
}

static void close_subject(struct subject *s)
{
    ph_features_close(&s->features);
    ph_free(s->context);
}

static ph_status say_run(struct work *w, ph_error *err)
{
    const struct allow allow = {.c = w->j->o.constraints};
    json_t *line = NULL;
    struct subject *s = &w->subject;
    const struct run_of of = subject_run_of(s);
    const ph_status st =
        run_line(&line, s->run, &w->common, &of, dream_settings(&w->j->o, &w->common, &allow), err);
    if (st == PH_OK && !add_line(w, line)) return fail_with(err, PH_ENOMEM, "out of memory");
    return st;
}

static ph_status search(struct work *w, ph_error *err)
{
    const struct ordinary ordinary = {.most_flops = MOST_CORPUS_FLOPS};
    ph_dream_options o = w->j->o;
    ph_status st = say_run(w, err);

    o.run = w->common.run;
    o.glimpse = on_glimpse;
    o.glimpse_payload = w;
    if (st == PH_OK)
        st = ordinary_open(&w->corpus, &ordinary, &w->subject, &w->common, 0, false, NULL, err);
    o.corpus = w->corpus;
    if (st == PH_OK)
        st = ph_dream(w->subject.model, w->subject.features, &o, on_result, w, NULL, err);
    ph_corpus_close(&w->corpus);
    if (st != PH_OK && w->full)
        st = fail_with(err, PH_EINVAL, "the results are more than %d bytes", JOBS_LINE_BYTES);
    return st;
}

ph_status hired_run(struct jobs *q, struct job *j, ph_error *err)
{
    struct work w = {.q = q, .j = j, .common = *q->common};
    struct held *held = NULL;
    ph_status st = models_take(q->models, &held, j->model, err);

    w.common.command = "dream";
    w.common.quiet = true;
    w.common.run = j->o.run;
    w.common.run.progress = on_progress;
    w.common.run.progress_payload = &w;
    if (st == PH_OK) st = open_subject(&w, held_model(held), err);
    if (st == PH_OK) st = search(&w, err);
    close_subject(&w.subject);
    models_give(q->models, held);
    return st;
}
