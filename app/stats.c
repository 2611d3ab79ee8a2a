/* stats.c — small statistics of methods and models side by side. */
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

/* ---- rank correlation ---- */

struct placed {
    double value;
    size_t at;
};

static int by_value(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* Places from 1 for the lowest; sorted (n) is room to work in. */
static void place(double *ranks, struct placed *sorted, const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++) sorted[i] = (struct placed){v[i], i};
    qsort(sorted, n, sizeof *sorted, by_value);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && sorted[end].value == sorted[i].value;) end++;
        for (size_t k = i; k < end; k++) ranks[sorted[k].at] = ((double)i + (double)end + 1) / 2;
    }
}

static double correlation(const double *a, const double *b, size_t n)
{
    const double mean_a = stats_mean(a, n), mean_b = stats_mean(b, n);
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = a[i] - mean_a, y = b[i] - mean_b;
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : (double)NAN;
}

bool stats_spearman(double *rho, const double *a, const double *b, size_t n)
{
    double *ranks = n ? calloc(2 * n, sizeof *ranks) : NULL;
    struct placed *sorted = n ? calloc(n, sizeof *sorted) : NULL;
    const bool ok = n == 0 || (ranks && sorted);

    *rho = (double)NAN;
    if (ok && n > 1) {
        place(ranks, sorted, a, n);
        place(ranks + n, sorted, b, n);
        *rho = correlation(ranks, ranks + n, n);
    }
    free(sorted);
    free(ranks);
    return ok;
}

void stats_spearman_interval(double *low, double *high, double rho, size_t n)
{
    *low = *high = (double)NAN;
    if (n < 5 || !isfinite(rho)) return;
    const double z = atanh(rho), reach = 1.959964 * sqrt((1 + rho * rho / 2) / ((double)n - 3));
    *low = tanh(z - reach);
    *high = tanh(z + reach);
}
