/* work.h — a unit is searched, and its results are lines. */
#ifndef WORK_H
#define WORK_H

#include "units.h"

/* What one process needs to work; all zero but plan and units to begin with. */
struct work {
    const struct plan *plan;
    const struct units *units;
    ph_progress progress; /* called while a unit is under way */
    void *payload;
    /* ---- owned */
    ph_model *model;
    int open; /* which of the plan's models that is */
    char **lines;
    size_t n_lines;
};

/* Search a unit: lines (n_lines) are those that belong into the store, the run's own first, that of
 * the unit last. */
ph_status work_unit(struct work *w, long long unit, ph_error *err);
void work_close(struct work *w);

#endif
