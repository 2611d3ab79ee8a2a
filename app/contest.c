/* contest.c — what methods reached on the same features, and how they stand. */
#include "contest.h"

#include "stats.h"

#include <math.h>
#include <stdlib.h>

bool contest_open(struct contest *c, size_t methods, size_t features, size_t seeds, size_t budgets)
{
    *c = (struct contest){methods, features, seeds, budgets, 1, NULL, NULL, NULL};
    c->random_mean = calloc(features, sizeof *c->random_mean);
    c->random_sd = calloc(features, sizeof *c->random_sd);
    c->outcomes = calloc(seeds * features * budgets * methods, sizeof *c->outcomes);
    if (!c->random_mean || !c->random_sd || !c->outcomes) return false;
    for (size_t f = 0; f < features; f++) c->random_mean[f] = c->random_sd[f] = (double)NAN;
    return true;
}

void contest_close(struct contest *c)
{
    const size_t n = c->seeds * c->features * c->budgets * c->methods;
    for (size_t i = 0; c->outcomes && i < n; i++) free(c->outcomes[i].text);
    free(c->outcomes);
    free(c->random_mean);
    free(c->random_sd);
    *c = (struct contest){0};
}

struct outcome *contest_at(const struct contest *c, size_t seed, size_t feature, size_t budget,
                           size_t method)
{
    const size_t cell = (seed * c->features + feature) * c->budgets + budget;
    return &c->outcomes[cell * c->methods + method];
}

bool contest_counts(const struct contest *c, size_t seed, size_t feature, size_t budget)
{
    bool all = true;
    for (size_t m = 0; m < c->methods; m++) all &= contest_at(c, seed, feature, budget, m)->done;
    return all;
}

double contest_value(const struct contest *c, size_t feature, const struct outcome *o)
{
    return c->sign * (isnan(o->activation) ? c->random_mean[feature] : o->activation);
}

size_t contest_missing(const struct contest *c)
{
    const size_t n = c->seeds * c->features * c->budgets * c->methods;
    size_t missing = 0;
    for (size_t i = 0; i < n; i++) missing += !c->outcomes[i].done;
    return missing;
}

/* The best that counts of a feature. */
static double best_of(const struct contest *c, size_t feature)
{
    double best = -(double)INFINITY;
    for (size_t s = 0; s < c->seeds; s++)
        for (size_t b = 0; b < c->budgets; b++)
            for (size_t m = 0; contest_counts(c, s, feature, b) && m < c->methods; m++)
                best = fmax(best, contest_value(c, feature, contest_at(c, s, feature, b, m)));
    return best;
}

static double share(const struct contest *c, size_t feature, double value)
{
    const double from = c->sign * c->random_mean[feature], best = best_of(c, feature);
    return best > from ? (value - from) / (best - from) : 0;
}

/* values (methods) of a cell */
static void cell_values(double *values, const struct contest *c, size_t seed, size_t feature,
                        size_t budget)
{
    for (size_t m = 0; m < c->methods; m++)
        values[m] = contest_value(c, feature, contest_at(c, seed, feature, budget, m));
}

/* Room for the sums of one standing. */
struct sums {
    double *values, *ranks, *means;     /* (methods) */
    double *shares;                     /* (features) */
    double *forwards, *scans, *seconds; /* (features × seeds) */
    double rank;
    size_t best;
};

static bool sums_open(struct sums *s, const struct contest *c)
{
    const size_t cells = c->features * c->seeds;
    s->values = calloc(3 * (c->methods + cells) + c->features, sizeof *s->values);
    if (!s->values) return false;
    s->ranks = s->values + c->methods;
    s->means = s->ranks + c->methods;
    s->shares = s->means + c->methods;
    s->forwards = s->shares + c->features;
    s->scans = s->forwards + cells;
    s->seconds = s->scans + cells;
    return true;
}

static void add_cell(struct standing *out, struct sums *s, const struct contest *c,
                     const struct outcome *o, size_t rival)
{
    const double mine = s->values[out->method];

    for (size_t m = 0; m < c->methods; m++) s->means[m] += s->values[m];
    stats_ranks(s->ranks, s->values, c->methods);
    s->rank += s->ranks[out->method];
    if (rival < c->methods) {
        out->won += mine > s->values[rival];
        out->tied += mine == s->values[rival];
        out->lost += mine < s->values[rival];
    }
    s->forwards[out->cells] = (double)o->forwards;
    s->scans[out->cells] = (double)o->scan;
    s->seconds[out->cells] = o->seconds;
    out->cells++;
}

static void add_feature(struct standing *out, struct sums *s, const struct contest *c,
                        size_t feature, size_t budget, size_t rival)
{
    const size_t before = out->cells;

    for (size_t m = 0; m < c->methods; m++) s->means[m] = 0;
    for (size_t seed = 0; seed < c->seeds; seed++) {
        if (!contest_counts(c, seed, feature, budget)) continue;
        cell_values(s->values, c, seed, feature, budget);
        add_cell(out, s, c, contest_at(c, seed, feature, budget, out->method), rival);
    }
    if (out->cells == before) return;
    bool best = true;
    for (size_t m = 0; m < c->methods; m++) best &= s->means[m] <= s->means[out->method];
    s->best += best;
    s->shares[out->features++] =
        share(c, feature, s->means[out->method] / (double)(out->cells - before));
}

bool contest_standing(struct standing *out, const struct contest *c, size_t budget, size_t method,
                      size_t rival)
{
    struct sums s = {0};

    *out = (struct standing){.method = method};
    if (!sums_open(&s, c)) return false;
    for (size_t f = 0; f < c->features; f++) add_feature(out, &s, c, f, budget, rival);
    out->rank = out->cells ? s.rank / (double)out->cells : (double)NAN;
    out->wins = out->features ? (double)s.best / (double)out->features : (double)NAN;
    out->share = stats_mean(s.shares, out->features);
    out->forwards = stats_quantile(s.forwards, out->cells, 0.5);
    out->scan = stats_quantile(s.scans, out->cells, 0.5);
    out->seconds = stats_quantile(s.seconds, out->cells, 0.5);
    const bool ok = stats_interval(&out->low, &out->high, s.shares, out->features);
    free(s.values);
    return ok;
}
