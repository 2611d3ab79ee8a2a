/* moment.h — waiting with an end: conditions on a clock that nobody sets. */
#ifndef MOMENT_H
#define MOMENT_H

#include <pthread.h>
#include <time.h>

/* Seconds since some moment. */
static inline double moment_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The time so many seconds from now, for pthread_cond_timedwait on … */
static inline struct timespec moment_in(double seconds)
{
    const double at = moment_now() + seconds;
    struct timespec t = {.tv_sec = (time_t)at};
    t.tv_nsec = (long)((at - (double)t.tv_sec) * 1e9);
    return t;
}

/* … a condition made by this. */
static inline void moment_condition(pthread_cond_t *condition)
{
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &a);
    pthread_condattr_destroy(&a);
}

#endif
