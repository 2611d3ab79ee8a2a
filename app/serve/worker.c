/* worker.c — one thread that does short works one after another, for requests that wait for them. */
#include "worker.h"

#include "moment.h"

#include <pthread.h>
#include <stdlib.h>

enum { MOST_WAITING = 64 };

struct turn {
    void (*work)(void *);
    void *payload;
    enum { WAITS, RUNS, DONE } state;
    struct turn *next;
};

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news; /* a turn came, began or ended, or the end */
    struct turn *first;
    int waiting;
    bool ends;
};

static void *work(void *payload)
{
    struct worker *w = payload;
    pthread_mutex_lock(&w->lock);
    while (!w->ends) {
        struct turn *t = w->first;
        if (!t) {
            pthread_cond_wait(&w->news, &w->lock);
            continue;
        }
        w->first = t->next;
        w->waiting--;
        t->state = RUNS;
        pthread_mutex_unlock(&w->lock);
        t->work(t->payload);
        pthread_mutex_lock(&w->lock);
        t->state = DONE;
        pthread_cond_broadcast(&w->news);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

ph_status worker_open(struct worker **out, ph_error *err)
{
    struct worker *w = calloc(1, sizeof *w);
    if (w) {
        pthread_mutex_init(&w->lock, NULL);
        moment_condition(&w->news);
        if (pthread_create(&w->thread, NULL, work, w) == 0) {
            *out = w;
            return PH_OK;
        }
    }
    free(w);
    *err = (ph_error){.code = PH_ENOMEM, .pos = -1, .msg = "no memory for a thread"};
    return PH_ENOMEM;
}

void worker_close(struct worker **worker)
{
    struct worker *w = *worker;
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->ends = true;
    pthread_cond_broadcast(&w->news);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->news);
    pthread_mutex_destroy(&w->lock);
    free(w);
    *worker = NULL;
}

static void leave(struct worker *w, struct turn *t)
{
    struct turn **at = &w->first;
    while (*at != t) at = &(*at)->next;
    *at = t->next;
    w->waiting--;
}

bool worker_run(struct worker *w, double patience, void (*do_it)(void *), void *payload)
{
    struct turn t = {do_it, payload, WAITS, NULL};
    struct turn **last = &w->first;
    const struct timespec limit = moment_in(patience);

    pthread_mutex_lock(&w->lock);
    bool ok = w->waiting < MOST_WAITING;
    if (ok) {
        while (*last) last = &(*last)->next;
        *last = &t;
        w->waiting++;
        pthread_cond_broadcast(&w->news);
    }
    while (ok && t.state != DONE) {
        if (t.state == RUNS) {
            pthread_cond_wait(&w->news, &w->lock);
        } else if (pthread_cond_timedwait(&w->news, &w->lock, &limit) && t.state == WAITS) {
            leave(w, &t);
            ok = false;
        }
    }
    pthread_mutex_unlock(&w->lock);
    return ok;
}
