/* watchdog.c — ends connections whose request does not come to its end in time. */
#include "watchdog.h"

#include "moment.h"

#include <stdlib.h>
#include <sys/socket.h>

struct watched {
    int socket;
    bool answering;
    double since;
    struct watched *next;
};

struct watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t end;
    double seconds;
    struct watched *all;
    bool ends;
};

static void *watch(void *payload)
{
    struct watchdog *w = payload;
    pthread_mutex_lock(&w->lock);
    while (!w->ends) {
        const struct timespec later = moment_in(1);
        const double now = moment_now();
        for (struct watched *c = w->all; c; c = c->next)
            if (!c->answering && now - c->since > w->seconds) shutdown(c->socket, SHUT_RDWR);
        pthread_cond_timedwait(&w->end, &w->lock, &later);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

ph_status watchdog_open(struct watchdog **out, double seconds, ph_error *err)
{
    struct watchdog *w = calloc(1, sizeof *w);
    if (w) {
        w->seconds = seconds;
        pthread_mutex_init(&w->lock, NULL);
        moment_condition(&w->end);
        if (pthread_create(&w->thread, NULL, watch, w) == 0) {
            *out = w;
            return PH_OK;
        }
    }
    free(w);
    *err = (ph_error){.code = PH_ENOMEM, .pos = -1, .msg = "no memory for a thread"};
    return PH_ENOMEM;
}

void watchdog_close(struct watchdog **watchdog)
{
    struct watchdog *w = *watchdog;
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->ends = true;
    pthread_cond_broadcast(&w->end);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->end);
    pthread_mutex_destroy(&w->lock);
    free(w);
    *watchdog = NULL;
}

struct watched *watchdog_begin(struct watchdog *w, int socket)
{
    struct watched *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->socket = socket;
    c->since = moment_now();
    pthread_mutex_lock(&w->lock);
    c->next = w->all;
    w->all = c;
    pthread_mutex_unlock(&w->lock);
    return c;
}

void watchdog_answering(struct watchdog *w, struct watched *c, bool answering)
{
    if (!c) return;
    pthread_mutex_lock(&w->lock);
    c->answering = answering;
    c->since = moment_now();
    pthread_mutex_unlock(&w->lock);
}

void watchdog_end(struct watchdog *w, struct watched *c)
{
    struct watched **at = &w->all;
    if (!c) return;
    pthread_mutex_lock(&w->lock);
    while (*at != c) at = &(*at)->next;
    *at = c->next;
    pthread_mutex_unlock(&w->lock);
    free(c);
}
