/* test_contest.c — ranks, intervals and standings against figures worked out by hand. */
#include "contest.h"
#include "stats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

/* The figures are short sums and quotients of small numbers. */
static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * fmax(1, fabs(want)))) fail_msg("%.17g, not %g", got, want);
}

static void test_ranks(void **state)
{
    const double v[] = {5, 3, 5, 9, -1}, want[] = {2.5, 4, 2.5, 1, 5};
    const double same[] = {2, 2, 2};
    double r[5];

    (void)state;
    stats_ranks(r, v, 5);
    for (size_t i = 0; i < 5; i++) near(r[i], want[i]);
    stats_ranks(r, same, 3);
    for (size_t i = 0; i < 3; i++) near(r[i], 2);
}

/* Spearman against its textbook form, 1 - 6 sum d^2 / (n (n^2 - 1)), where nothing is equal; else
 * against Pearson's of the ranks by stats_ranks, which counts instead of sorting. */
static void test_spearman(void **state)
{
    const double a[] = {1, 2, 3, 4, 5, 6}, b[] = {2, 1, 4, 3, 6, 5}, same[] = {7, 7, 7, 7, 7, 7};
    double rho, x[500], y[500], p[500], q[500], pq = 0, pp = 0, qq = 0;
    unsigned state_of = 1;

    (void)state;
    assert_true(stats_spearman(&rho, a, b, 6));
    near(rho, 1 - 6.0 * 6 / (6 * 35));
    assert_true(stats_spearman(&rho, a, same, 6));
    assert_true(isnan(rho));
    assert_true(stats_spearman(&rho, a, b, 1));
    assert_true(isnan(rho));
    assert_true(stats_spearman(&rho, NULL, NULL, 0));
    for (int i = 0; i < 500; i++) {
        state_of = state_of * 1664525u + 1013904223u;
        x[i] = (double)(state_of >> 26); /* many are equal */
        state_of = state_of * 1664525u + 1013904223u;
        y[i] = x[i] + (double)(state_of >> 25);
    }
    assert_true(stats_spearman(&rho, x, y, 500));
    stats_ranks(p, x, 500);
    stats_ranks(q, y, 500);
    for (int i = 0; i < 500; i++) {
        pq += (p[i] - 250.5) * (q[i] - 250.5);
        pp += (p[i] - 250.5) * (p[i] - 250.5);
        qq += (q[i] - 250.5) * (q[i] - 250.5);
    }
    near(rho, pq / sqrt(pp * qq));
    assert_true(rho > 0.2 && rho < 0.8);
}

/* atanh(0.6) = ln 2, the variance (1 + 0.18)/(103 - 3): tanh(ln 2 -+ 1.959964 sqrt(0.0118)). */
static void test_spearman_interval(void **state)
{
    double low, high;

    (void)state;
    stats_spearman_interval(&low, &high, 0.6, 103);
    const double up = exp(2 * (log(2) + 1.959964 * sqrt(0.0118)));
    const double down = exp(2 * (log(2) - 1.959964 * sqrt(0.0118)));
    near(high, (up - 1) / (up + 1));
    near(low, (down - 1) / (down + 1));
    stats_spearman_interval(&low, &high, 0.6, 4);
    assert_true(isnan(low) && isnan(high));
    stats_spearman_interval(&low, &high, (double)NAN, 9);
    assert_true(isnan(low));
    stats_spearman_interval(&low, &high, 1, 9);
    near(low, 1);
}

static void test_quantiles(void **state)
{
    double odd[] = {7, 1, 4}, even[] = {8, 2, 4, 1}, one[] = {3};

    (void)state;
    near(stats_quantile(odd, 3, 0.5), 4);
    near(stats_quantile(even, 4, 0.5), 3);
    near(stats_quantile(even, 4, 0.25), 1.75);
    near(stats_quantile(even, 4, 1), 8);
    near(stats_quantile(even, 4, 0), 1);
    near(stats_quantile(one, 1, 0.975), 3);
    assert_true(isnan(stats_quantile(one, 0, 0.5)));
    near(stats_mean(even, 4), 3.75);
    assert_true(isnan(stats_mean(even, 0)));
}

/* Of zeros and ones a resample's sum is binomial: its quantiles are in tables. */
static void interval_of_ones(size_t ones, size_t n, double low, double high)
{
    double v[20] = {0}, got_low, got_high;

    for (size_t i = 0; i < ones; i++) v[i] = 1;
    assert_true(stats_interval(&got_low, &got_high, v, n));
    near(got_low, low);
    near(got_high, high);
}

static void test_interval(void **state)
{
    const double same[] = {4, 4, 4};
    double low, high;

    (void)state;
    interval_of_ones(1, 2, 0, 1);       /* P(0) = P(1) = 1/4 */
    interval_of_ones(1, 3, 0, 1);       /* P(3) = 1/27 */
    interval_of_ones(1, 4, 0, 0.75);    /* P(4) = 1/256, P(3 or more) = 13/256 */
    interval_of_ones(10, 20, 0.3, 0.7); /* P(5 or fewer) = 0.0207, P(6 or fewer) = 0.0577 */
    interval_of_ones(4, 20, 0.05,
                     0.40); /* P(0) = 0.0115, P(1 or fewer) = 0.0692; 8 or fewer 0.990, 7 0.968 */
    assert_true(stats_interval(&low, &high, same, 3));
    near(low, 4);
    near(high, 4);
    assert_true(stats_interval(&low, &high, same, 1));
    assert_true(isnan(low) && isnan(high));
}

/* [seed][feature][method], NaN: no answer; random means 1 and 0. */
static const double reached[2][2][3] = {{{5, 3, 5}, {2, 4, (double)NAN}}, {{9, 3, 3}, {2, 8, 4}}};

static void fill(struct contest *c, double sign)
{
    assert_true(contest_open(c, 3, 2, 2, 1));
    c->sign = sign;
    c->random_mean[0] = sign;
    c->random_mean[1] = 0;
    for (size_t s = 0; s < 2; s++)
        for (size_t f = 0; f < 2; f++)
            for (size_t m = 0; m < 3; m++)
                *contest_at(c, s, f, 0, m) =
                    (struct outcome){.done = true,
                                     .activation = sign * reached[s][f][m],
                                     .forwards = (int64_t)(100 * m + 10 * s + f),
                                     .scan = 7,
                                     .seconds = 0.5};
}

static struct standing stand(const struct contest *c, size_t method, size_t rival)
{
    struct standing s;
    assert_true(contest_standing(&s, c, 0, method, rival));
    assert_int_equal(s.method, method);
    return s;
}

static void expect(const struct standing *s, double rank, double wins, double share, double low,
                   double high)
{
    near(s->rank, rank);
    near(s->wins, wins);
    near(s->share, share);
    near(s->low, low);
    near(s->high, high);
}

static void check_standings(double sign)
{
    struct contest c;

    fill(&c, sign);
    const struct standing a = stand(&c, 0, 1), b = stand(&c, 1, 1), n = stand(&c, 2, 1);
    expect(&a, 1.875, 0.5, 0.5, 0.25, 0.75);
    expect(&b, 1.875, 0.5, 0.5, 0.25, 0.75);
    expect(&n, 2.25, 0, 0.3125, 0.25, 0.375);
    assert_true(a.won == 2 && a.tied == 0 && a.lost == 2);
    assert_true(b.won == 0 && b.tied == 4 && b.lost == 0);
    assert_true(n.won == 1 && n.tied == 1 && n.lost == 2);
    assert_true(a.cells == 4 && a.features == 2);
    near(n.forwards, 205.5); /* of 200, 201, 210, 211 */
    near(n.scan, 7);
    near(n.seconds, 0.5);
    assert_int_equal(contest_missing(&c), 0);
    const struct standing alone = stand(&c, 0, 3);
    assert_true(alone.won + alone.tied + alone.lost == 0);
    contest_close(&c);
}

static void test_standings(void **state)
{
    (void)state;
    check_standings(1);
    check_standings(-1);
}

/* A cell that one method has not run counts for nobody, not even as the best of its feature. */
static void test_missing(void **state)
{
    struct contest c;

    (void)state;
    fill(&c, 1);
    contest_at(&c, 1, 1, 0, 2)->done = false;
    assert_int_equal(contest_missing(&c), 1);
    assert_false(contest_counts(&c, 1, 1, 0));
    const struct standing b = stand(&c, 1, 0);
    expect(&b, (3 + 1 + 2.5) / 3, 0.5, 0.625, 0.25, 1);
    assert_true(b.cells == 3 && b.features == 2 && b.won == 1 && b.lost == 2);
    for (size_t m = 0; m < 3; m++)
        for (size_t f = 0; f < 2; f++) contest_at(&c, f, f, 0, m)->done = false;
    for (size_t f = 0; f < 2; f++) contest_at(&c, 0, f, 0, 0)->done = false;
    contest_at(&c, 1, 0, 0, 1)->done = false;
    const struct standing none = stand(&c, 0, 1);
    assert_true(none.cells == 0 && none.features == 0 && isnan(none.rank) && isnan(none.wins) &&
                isnan(none.share) && isnan(none.low) && isnan(none.forwards));
    contest_close(&c);
}

/* Methods that are equal share the win; where nobody gets above random texts there is no share. */
static void test_ties(void **state)
{
    struct contest c;

    (void)state;
    fill(&c, 1);
    for (size_t s = 0; s < 2; s++)
        for (size_t f = 0; f < 2; f++)
            for (size_t m = 0; m < 3; m++)
                contest_at(&c, s, f, 0, m)->activation = f ? (m == 2 ? -2 : -1) : 3;
    const struct standing a = stand(&c, 0, 2), n = stand(&c, 2, 0);
    expect(&a, (2 + 1.5) / 2, 1, 0.5, 0, 1);
    expect(&n, (2 + 3) / 2.0, 0.5, 0.5, 0, 1);
    assert_true(a.won == 2 && a.tied == 2 && n.lost == 2);
    contest_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_spearman),
        cmocka_unit_test(test_spearman_interval),
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_standings),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_ties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
