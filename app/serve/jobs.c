/* jobs.c — searches that were started from the page: one at a time works, the others wait. */
#include "hired.h"
#include "moment.h"

#include <stdlib.h>
#include <string.h>

enum { LAST_WORDS = 2 }; /* seconds for watchers to be told the end */

/* ---- working them off ---- */

/* Lines that are to be kept and are not yet; without the lock while the store writes. */
static ph_status keep_lines(struct jobs *q, struct job *j, ph_error *err)
{
    const size_t from = j->kept, n = j->lines.n - from;
    const char **lines = n ? malloc(n * sizeof *lines) : NULL;
    ph_status st;

    if (n == 0) return PH_OK;
    if (!lines) {
        *err = (ph_error){.code = PH_ENOMEM, .pos = -1, .msg = "out of memory"};
        return PH_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) lines[i] = j->lines.at[from + i];
    pthread_mutex_unlock(&q->lock);
    st = archive_put(q->archive, lines, n, err);
    pthread_mutex_lock(&q->lock);
    if (st == PH_OK && j->kept < from + n) j->kept = from + n;
    free(lines);
    hired_news(q, j, true);
    return st;
}

/* It has ended when what was to be kept is. */
static void end_job(struct jobs *q, struct job *j, ph_status st, const ph_error *err)
{
    ph_error unkept = {0};
    const bool failed = st != PH_OK && st != PH_ECANCELED;

    if (failed) j->error = *err;
    if (j->keep && keep_lines(q, j, &unkept) != PH_OK) {
        j->keep = false;
        if (!failed) j->error = unkept;
    }
    j->ended = moment_now();
    j->state = failed ? JOB_FAILED : st == PH_OK ? JOB_DONE : JOB_CANCELLED;
    hired_news(q, j, true);
}

static struct job *next(struct jobs *q)
{
    struct job *first = NULL;
    for (int i = 0; i < q->n; i++)
        if (q->all[i]->state == JOB_QUEUED && (!first || q->all[i]->number < first->number))
            first = q->all[i];
    return first;
}

static void *work(void *payload)
{
    struct jobs *q = payload;
    pthread_mutex_lock(&q->lock);
    while (!q->ends) {
        struct job *j = next(q);
        ph_error err = {0};
        if (!j) {
            pthread_cond_wait(&q->news, &q->lock);
            continue;
        }
        j->users++;
        j->state = JOB_RUNNING;
        j->began = moment_now();
        hired_news(q, j, true);
        pthread_mutex_unlock(&q->lock);
        const ph_status st = hired_run(q, j, &err);
        pthread_mutex_lock(&q->lock);
        end_job(q, j, st, &err);
        j->users--;
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

ph_status jobs_open(struct jobs **out, struct models *models, struct archive *archive,
                    const struct common *c, ph_error *err)
{
    struct jobs *q = calloc(1, sizeof *q);
    if (q) {
        q->models = models;
        q->archive = archive;
        q->common = c;
        pthread_mutex_init(&q->lock, NULL);
        moment_condition(&q->news);
        if (pthread_create(&q->thread, NULL, work, q) == 0) {
            *out = q;
            return PH_OK;
        }
    }
    free(q);
    *err = (ph_error){.code = PH_ENOMEM, .pos = -1, .msg = "no memory for a thread"};
    return PH_ENOMEM;
}

static bool watched(const struct jobs *q)
{
    for (int i = 0; i < q->n; i++)
        if (q->all[i]->users) return true;
    return false;
}

void jobs_stop(struct jobs *q)
{
    struct timespec limit;
    if (!q) return;
    pthread_mutex_lock(&q->lock);
    q->ends = true;
    pthread_cond_broadcast(&q->news);
    pthread_mutex_unlock(&q->lock);
    pthread_join(q->thread, NULL);
    pthread_mutex_lock(&q->lock);
    for (int i = 0; i < q->n; i++)
        if (q->all[i]->state == JOB_QUEUED) end_job(q, q->all[i], PH_ECANCELED, NULL);
    limit = moment_in(LAST_WORDS);
    while (watched(q) && pthread_cond_timedwait(&q->news, &q->lock, &limit) == 0) continue;
    pthread_mutex_unlock(&q->lock);
}

void jobs_close(struct jobs **jobs)
{
    struct jobs *q = *jobs;
    if (!q) return;
    for (int i = 0; i < q->n; i++) hired_free(q->all[i]);
    pthread_cond_destroy(&q->news);
    pthread_mutex_destroy(&q->lock);
    free(q);
    *jobs = NULL;
}

/* ---- asking for them ---- */

static struct job *find(const struct jobs *q, const char *id)
{
    for (int i = 0; i < q->n; i++)
        if (strcmp(q->all[i]->id, id) == 0) return q->all[i];
    return NULL;
}

static bool has_ended(const struct job *j)
{
    return j->state != JOB_QUEUED && j->state != JOB_RUNNING;
}

/* A place for another one: the oldest that has ended and that nobody watches makes it. */
static bool make_room(struct jobs *q)
{
    int oldest = -1, waiting = 0;
    for (int i = 0; i < q->n; i++) {
        const struct job *j = q->all[i];
        waiting += j->state == JOB_QUEUED;
        if (has_ended(j) && !j->users && (oldest < 0 || j->number < q->all[oldest]->number))
            oldest = i;
    }
    if (waiting >= JOBS_WAITING || q->ends) return false;
    if (q->n < JOBS_KNOWN) return true;
    if (oldest < 0) return false;
    hired_free(q->all[oldest]);
    q->all[oldest] = q->all[--q->n];
    return true;
}

ph_status jobs_add(struct jobs *q, char id[17], const json_t *wish, ph_error *err)
{
    struct job *j = NULL;
    ph_status st = hired_new(&j, q, wish, err);
    if (st != PH_OK) return st;
    pthread_mutex_lock(&q->lock);
    if (make_room(q)) {
        memcpy(id, j->id, sizeof j->id);
        j->number = ++q->number;
        q->all[q->n++] = j;
        hired_news(q, j, true);
        j = NULL;
    }
    pthread_mutex_unlock(&q->lock);
    if (!j) return PH_OK;
    hired_free(j);
    *err = (ph_error){.code = PH_ENOMEM, .pos = -1, .msg = "too many searches wait; cancel some"};
    return PH_ENOMEM;
}

/* ---- what they say ---- */

static int before(const struct jobs *q, const struct job *j)
{
    int n = 0;
    for (int i = 0; j->state == JOB_QUEUED && i < q->n; i++)
        n += q->all[i]->number < j->number && !has_ended(q->all[i]);
    return n;
}

static json_t *brief(const struct jobs *q, const struct job *j)
{
    const double until = has_ended(j) ? j->ended : moment_now();
    const size_t results = j->lines.n ? j->lines.n - 1 : 0;
    json_t *o = json_pack("{s:s, s:s, s:s, s:O, s:s, s:s, s:s, s:f, s:i, s:f, s:I, s:b, s:b}", "id",
                          j->id, "state", job_states[j->state], "model", j->model, "features",
                          j->features, "method", j->o.method, "sign", j->o.run.sign < 0 ? "-" : "+",
                          "stage", j->stage, "done", j->done, "before", before(q, j), "seconds",
                          j->began > 0 ? until - j->began : 0.0, "results", (json_int_t)results,
                          "keep", j->keep, "kept", j->lines.n > 0 && j->kept == j->lines.n);
    if (o && j->error.code) json_object_set_new(o, "error", json_string(j->error.msg));
    return o;
}

static void print_all(FILE *out, const char *name, const struct texts *t)
{
    fprintf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < t->n; i++) fprintf(out, "%s%s", i ? "," : "", t->at[i]);
    fputc(']', out);
}

bool jobs_state(struct jobs *q, const char *id, FILE *out)
{
    pthread_mutex_lock(&q->lock);
    const struct job *j = find(q, id);
    json_t *o = j ? brief(q, j) : NULL, *options = j ? json_object_get(j->wish, "options") : NULL;
    if (o) json_object_set(o, "options", options ? options : json_null());
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (text) {
        fprintf(out, "%.*s", (int)strlen(text) - 1, text); /* without its last brace */
        print_all(out, "lines", &j->lines);
        print_all(out, "glimpses", &j->glimpses);
        fputc('}', out);
    }
    pthread_mutex_unlock(&q->lock);
    free(text);
    json_decref(o);
    return j != NULL;
}

json_t *jobs_list(struct jobs *q)
{
    json_t *list = json_array();
    unsigned long after = 0;
    pthread_mutex_lock(&q->lock);
    for (;;) {
        const struct job *best = NULL;
        for (int i = 0; i < q->n; i++)
            if (q->all[i]->number > after && (!best || q->all[i]->number < best->number))
                best = q->all[i];
        if (!best) break;
        after = best->number;
        json_array_insert_new(list, 0, brief(q, best)); /* newest first */
    }
    pthread_mutex_unlock(&q->lock);
    return json_pack("{s:o}", "searches", list);
}

bool jobs_cancel(struct jobs *q, const char *id)
{
    pthread_mutex_lock(&q->lock);
    struct job *j = find(q, id);
    if (j && !has_ended(j)) {
        j->stop = true;
        if (j->state == JOB_QUEUED) end_job(q, j, PH_ECANCELED, NULL);
    }
    pthread_mutex_unlock(&q->lock);
    return j != NULL;
}

ph_status jobs_keep(struct jobs *q, const char *id, bool *found, ph_error *err)
{
    ph_status st = PH_OK;
    pthread_mutex_lock(&q->lock);
    struct job *j = find(q, id);
    *found = j != NULL;
    if (j) {
        j->users++;
        st = archive_keeps(q->archive, err); /* also before there is a line */
        if (st == PH_OK) st = keep_lines(q, j, err);
        j->keep = st == PH_OK;
        if (st == PH_OK && has_ended(j)) st = keep_lines(q, j, err); /* it ended meanwhile */
        if (st == PH_OK && j->state != JOB_FAILED) j->error = (ph_error){0}; /* it was not kept */
        j->users--;
    }
    pthread_mutex_unlock(&q->lock);
    return st;
}

/* ---- watching ---- */

struct job *jobs_watch(struct jobs *q, const char *id)
{
    pthread_mutex_lock(&q->lock);
    struct job *j = find(q, id);
    if (j) j->users++;
    pthread_mutex_unlock(&q->lock);
    return j;
}

void jobs_leave(struct jobs *q, struct job *j)
{
    pthread_mutex_lock(&q->lock);
    j->users--;
    pthread_cond_broadcast(&q->news);
    pthread_mutex_unlock(&q->lock);
}

static void tell(FILE *out, const struct seen *s, const char *event, const char *json)
{
    fprintf(out, "id: %zu.%zu\nevent: %s\ndata: %s\n\n", s->lines, s->glimpses, event, json);
}

static void tell_state(const struct jobs *q, const struct job *j, const struct seen *s,
                       const char *event, FILE *out)
{
    json_t *o = brief(q, j);
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (text) tell(out, s, event, text);
    free(text);
    json_decref(o);
}

/* The run line is the first. */
static void tell_lines(const struct job *j, struct seen *s, size_t most, FILE *out)
{
    while (s->lines < j->lines.n && s->lines < most) {
        const char *text = j->lines.at[s->lines++];
        tell(out, s, s->lines == 1 ? "run" : "result", text);
    }
}

bool jobs_follow(struct jobs *q, struct job *j, struct seen *s, double patience, FILE *out)
{
    const struct timespec limit = moment_in(patience);
    int late = 0;

    if (s->ended) return false;
    pthread_mutex_lock(&q->lock);
    while (j->version == s->version && !late)
        late = pthread_cond_timedwait(&q->news, &q->lock, &limit);
    tell_lines(j, s, 1, out);
    while (s->glimpses < j->glimpses.n) {
        const char *text = j->glimpses.at[s->glimpses++];
        tell(out, s, "current", text);
    }
    tell_lines(j, s, j->lines.n, out);
    if (j->version == s->version) fputs(": still there\n\n", out);
    if (j->progressed != s->progressed)
        tell_state(q, j, s, has_ended(j) ? "done" : "progress", out);
    s->version = j->version;
    s->progressed = j->progressed;
    s->ended = has_ended(j);
    pthread_mutex_unlock(&q->lock);
    return true;
}
