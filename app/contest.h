/* contest.h — what methods reached on the same features, seeds and budgets, and how they stand.
 *
 * A cell is a seed, a feature and a budget; it counts when every method has run it. A run counts as
 * sign × the activation of its answer's printed text, one without an answer as the mean of random
 * texts. Share: how far that is from this mean (0) to the best that any method found for the feature
 * in any counted cell (1); all are 0 where no method gets above the mean. Knows no model.
 */
#ifndef CONTEST_H
#define CONTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One run of a method. */
struct outcome {
    bool done;
    double activation; /* of the printed text; NaN: there is no answer */
    char *text;        /* owned */
    bool round_trip, outlier;
    int64_t forwards, scan;  /* tokens sent forward: its own, and of the complete search */
    int64_t steps, restarts; /* 0 of a method that does not go by them */
    double seconds;
    double random_mean, random_sd; /* of the random texts beside it; sd NaN: not known */
};

struct contest {
    size_t methods, features, seeds, budgets;
    double sign;
    double *random_mean, *random_sd; /* (features) NaN: not known yet */
    struct outcome *outcomes;        /* (seeds,features,budgets,methods) */
};

/* How a method stands at a budget; NaN where nothing counts. */
struct standing {
    size_t method, cells, features;
    double rank; /* mean over the cells */
    double wins; /* share of the features where its mean over seeds is the best, or ties */
    double share, low, high;        /* mean over the features, and its 95 % interval (stats.h) */
    double forwards, scan, seconds; /* medians over the cells */
    size_t won, tied, lost;         /* cells, against the rival */
};

/* false: no memory. */
bool contest_open(struct contest *c, size_t methods, size_t features, size_t seeds, size_t budgets);
void contest_close(struct contest *c);
struct outcome *contest_at(const struct contest *c, size_t seed, size_t feature, size_t budget,
                           size_t method);
bool contest_counts(const struct contest *c, size_t seed, size_t feature, size_t budget);
/* What a run that is done counts as. */
double contest_value(const struct contest *c, size_t feature, const struct outcome *o);
/* Runs that are not done. */
size_t contest_missing(const struct contest *c);
/* rival: a method, or c->methods for none. false: no memory. */
bool contest_standing(struct standing *out, const struct contest *c, size_t budget, size_t method,
                      size_t rival);

#endif
