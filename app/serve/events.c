/* events.c — a search as server-sent events.
 *
 * The connection's own thread waits for news and sends them. A comment every few seconds shows in time
 * that nobody listens any more.
 */
#include "events.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE 10 /* seconds */

struct listener {
    struct jobs *jobs;
    struct job *job;
    struct seen seen;
    char *text; /* what is being sent */
    size_t n, at;
};

/* Fetch what is next to send; false: there is nothing more. */
static bool fetch(struct listener *l)
{
    FILE *out;
    free(l->text);
    l->text = NULL;
    l->n = l->at = 0;
    if (!(out = open_memstream(&l->text, &l->n))) return false;
    const bool more = jobs_follow(l->jobs, l->job, &l->seen, PATIENCE, out);
    return fclose(out) == 0 && more;
}

static ssize_t send_some(void *payload, char *out, size_t room)
{
    struct listener *l = payload;
    while (l->at == l->n)
        if (!fetch(l)) return -1;
    const size_t n = l->n - l->at < room ? l->n - l->at : room;
    memcpy(out, l->text + l->at, n);
    l->at += n;
    return (ssize_t)n;
}

static void leave(void *payload)
{
    struct listener *l = payload;
    jobs_leave(l->jobs, l->job);
    free(l->text);
    free(l);
}

void events_answer(struct exchange *x, struct jobs *jobs, const char *id, const char *last)
{
    struct job *job = jobs_watch(jobs, id);
    struct listener *l = job ? calloc(1, sizeof *l) : NULL;

    if (!job) {
        reply_error(x, 404, -1, "no search has that id");
        return;
    }
    if (!l) {
        jobs_leave(jobs, job);
        reply_error(x, 503, -1, "out of memory");
        return;
    }
    *l = (struct listener){.jobs = jobs, .job = job};
    if (last && sscanf(last, "%zu.%zu", &l->seen.lines, &l->seen.glimpses) != 2)
        l->seen.lines = l->seen.glimpses = 0;
    reply_stream(x, "text/event-stream", send_some, leave, l);
}
