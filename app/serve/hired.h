/* hired.h — one search of the page: what was asked, what it has found, and doing it. For jobs.c only,
 * which guards all of it by its lock but where it says so. */
#ifndef HIRED_H
#define HIRED_H

#include "jobs.h"

#include <pthread.h>

/* Texts that only grow in number; each is 0-ended, owned, and never moves. */
struct texts {
    char **at;
    size_t n, cap, bytes;
};

struct job {
    char id[17];
    /* what was asked: constant */
    json_t *wish;     /* owned; the options' texts are borrowed from it */
    char *model;      /* key */
    char *specs;      /* comma-joined */
    json_t *features; /* canonical */
    ph_dream_options o;
    /* what became of it */
    enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_CANCELLED, JOB_FAILED } state;
    struct texts lines, glimpses;
    size_t kept; /* lines that are in the store */
    bool keep;   /* keep those that are still to come */
    bool stop;
    char stage[32];
    double done, began, ended, told; /* told: when progress was last news */
    double *glimpsed;                /* (features) when, for throttling; the search's thread only */
    ph_error error;
    uint64_t version;    /* grows with everything that changes … */
    uint64_t progressed; /* … and with state, stage and share done */
    unsigned long number;
    int users; /* those who watch or work */
};

struct jobs {
    struct models *models;
    struct archive *archive;
    const struct common *common;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct job *all[JOBS_KNOWN];
    int n;
    unsigned long number;
    bool ends;
};

extern const char *const job_states[];

/* *out = a search for this wish, checked as far as it can be without doing it. */
ph_status hired_new(struct job **out, struct jobs *q, const json_t *wish, ph_error *err);
void hired_free(struct job *j);
/* Do it: without the lock, which is taken where something is noted. */
ph_status hired_run(struct jobs *q, struct job *j, ph_error *err);
/* Something changed, and if so its state or progress: with the lock. */
void hired_news(struct jobs *q, struct job *j, bool progress);

#endif
