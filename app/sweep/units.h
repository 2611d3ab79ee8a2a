/* units.h — a plan as units of work: features of one tap, searched one way. */
#ifndef UNITS_H
#define UNITS_H

#include "plan.h"

/* A model × a line of features × a method × a seed: one run of the store. */
struct job {
    int model; /* of the plan's */
    const struct plan_features *features;
    const char *method;
    bool scans; /* the method is scan */
    uint64_t seed;
    char run[17];
    char *run_line, *sweep_line; /* owned */
    int64_t n_features;
    size_t first_unit, n_units;
    double cost;
};

struct unit {
    int job;
    char label[48]; /* "0-63", the job's features */
    char *specs;    /* owned */
    size_t first;   /* of the job's features */
    int64_t n;      /* features */
    double cost; /* blocks × features, of a scan blocks: what units of one job are told apart by */
    bool done;
};

struct units {
    struct job *jobs;
    int n_jobs;
    struct unit *at;
    size_t n;
    uint64_t digest; /* of all runs and labels: who has the same works on the same plan */
};

/* On failure units_free all the same; *source (borrowed, or NULL) is what err->pos points into. */
ph_status units_make(struct units *out, const struct plan *p, const char **source, ph_error *err);
void units_free(struct units *u);

/* The unit of a job that has this label; -1: none. */
long long unit_find(const struct units *u, int job, const char *label);
/* The name that a unit is leased by; to be freed. */
char *unit_name(const struct units *u, size_t i);
/* The options of a job's dreams. */
void job_dreams(struct dreaming *out, const struct plan *p, const struct job *j);

#endif
