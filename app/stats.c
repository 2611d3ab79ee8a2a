/* stats.c — small statistics of methods side by side. */
#include "stats.h"

#include <math.h>
#include <stdlib.h>

void stats_ranks(double *ranks, const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t above = 0, equal = 0;
        for (size_t k = 0; k < n; k++) {
            above += v[k] > v[i];
            equal += v[k] == v[i];
        }
        ranks[i] = (double)above + ((double)equal + 1) / 2;
    }
}

double stats_mean(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += v[i];
    return n ? sum / (double)n : (double)NAN;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double stats_quantile(double *v, size_t n, double q)
{
    if (n == 0) return (double)NAN;
    qsort(v, n, sizeof *v, ascending);
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    const double rest = at - (double)i;
    return rest > 0 ? v[i] + rest * (v[i + 1] - v[i]) : v[i];
}

/* splitmix64: *state is any number. */
static uint64_t next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

bool stats_interval(double *low, double *high, const double *v, size_t n)
{
    uint64_t state = 1;

    *low = *high = (double)NAN;
    if (n < 2) return true;
    double *means = calloc(STATS_RESAMPLES, sizeof *means);
    if (!means) return false;
    for (size_t r = 0; r < STATS_RESAMPLES; r++) {
        for (size_t i = 0; i < n; i++) means[r] += v[next(&state) % n];
        means[r] /= (double)n;
    }
    *low = stats_quantile(means, STATS_RESAMPLES, 0.025);
    *high = stats_quantile(means, STATS_RESAMPLES, 0.975);
    free(means);
    return true;
}
