/* stats.h — small statistics of methods and models side by side: places, means, intervals. */
#ifndef STATS_H
#define STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Places among n values, 1 for the highest; equal values share the mean of their places. */
void stats_ranks(double *ranks, const double *v, size_t n);
/* NaN of nothing. */
double stats_mean(const double *v, size_t n);
/* The q-quantile, 0 ≤ q ≤ 1, linear between neighbours; sorts v. NaN of nothing. */
double stats_quantile(double *v, size_t n, double q);

/* 95 % interval of the mean of v: the percentile bootstrap, STATS_RESAMPLES times n values drawn with
 * replacement, always with the same random numbers. NaN for fewer than two values. false: no memory. */
enum { STATS_RESAMPLES = 10000 };
bool stats_interval(double *low, double *high, const double *v, size_t n);

/* Spearman's rank correlation of n pairs, equal values sharing their places; NaN for fewer than two
 * pairs or where all of a or all of b are equal. false: no memory. */
bool stats_spearman(double *rho, const double *a, const double *b, size_t n);
/* 95 % interval of such a correlation of n pairs, by Fisher's z with the variance of Bonett and Wright
 * (2000); NaN for fewer than five. */
void stats_spearman_interval(double *low, double *high, double rho, size_t n);

#endif
