/* column.c — what a census keeps of one feature, and how values are added to it.
 *
 * Columns are worked in groups of LANES, ROWS at a time: what is read stays in the first cache.
 */
#include "search/column.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { LANES = PH_LANES, ROWS = 256 };

/* Some rows of a group of columns, as they lie in X: `lanes` columns of n rows, ld apart. */
struct tile {
    const float *X;
    int64_t n, ld;
    int lanes;
    float most[LANES], least[LANES];
};

void ph__columns_clear(ph_columns *c)
{
    for (size_t i = 0; i < c->count * c->top; i++) {
        c->highest[i] = -INFINITY;
        c->lowest[i] = INFINITY;
        c->at_highest[i] = c->at_lowest[i] = -1;
    }
}

/* ---- adding ---- */

/* Add to the sums, find the extremes; false if a value is not finite. */
static bool load(struct tile *t, double *sum, double *squares)
{
    double finite = 0;
    ph__lanes()->load(sum, squares, t->least, t->most, t->X, t->n, t->ld);
    for (int l = 0; l < LANES; l++) finite += squares[l] * 0;
    return finite == 0;
}

/* The same for the last columns, fewer than LANES of them. */
static bool load_few(struct tile *t, double *sum, double *squares)
{
    double finite = 0;
    for (int l = 0; l < t->lanes; l++) {
        t->most[l] = t->least[l] = t->X[l];
        for (int64_t i = 0; i < t->n; i++) {
            const float x = t->X[i * t->ld + l];
            sum[l] += (double)x;
            squares[l] += (double)x * (double)x;
            t->most[l] = x > t->most[l] ? x : t->most[l];
            t->least[l] = x < t->least[l] ? x : t->least[l];
        }
        finite += squares[l] * 0;
    }
    return finite == 0;
}

/* Insert into a list in order of sign × value, falling; of a window only its best stays. */
static void insert(float *values, int32_t *at, int64_t n, float value, int64_t token,
                   int64_t window, float sign)
{
    int64_t slot = n - 1;
    for (int64_t i = 0; window > 1 && i < n && at[i] >= 0; i++) {
        if (at[i] / window != token / window) continue;
        if (!(sign * value > sign * values[i])) return;
        slot = i;
    }
    for (; slot > 0 && sign * value > sign * values[slot - 1]; slot--) {
        values[slot] = values[slot - 1];
        at[slot] = at[slot - 1];
    }
    values[slot] = value;
    at[slot] = (int32_t)token;
}

/* Insert all rows of a lane, of those given, that are better than the list's last entry. */
static void list(float *values, int32_t *at, size_t top, const struct tile *t, int lane,
                 const int32_t *rows, int64_t n_rows, int64_t token, int64_t window, float sign)
{
    const float *worst = &values[top - 1], *x = t->X + lane;
    for (int64_t i = 0; i < n_rows; i++) {
        const float value = x[rows[i] * t->ld];
        if (sign * value > sign * *worst)
            insert(values, at, (int64_t)top, value, token + rows[i], window, sign);
    }
}

/* Which rows of a tile enter a list: none as a rule, once many tokens were seen. */
static int64_t enter(int32_t *rows, const ph_columns *c, size_t column, const struct tile *t)
{
    float low[LANES], high[LANES];
    bool some = false;
    for (int l = 0; l < t->lanes; l++) {
        const size_t worst = (column + (size_t)l + 1) * c->top - 1;
        low[l] = c->lowest[worst];
        high[l] = c->highest[worst];
        some |= t->least[l] < low[l] || t->most[l] > high[l];
    }
    if (!some) return 0;
    if (t->lanes == LANES) return ph__lanes()->beyond(rows, t->X, low, high, t->n, t->ld);
    for (int64_t i = 0; i < t->n; i++) rows[i] = (int32_t)i;
    return t->n;
}

/* Double the range upwards or downwards. */
static void widen(uint32_t *bins, float *low, float *step, bool up)
{
    uint32_t merged[PH_BINS / 2];
    for (int k = 0; k < PH_BINS / 2; k++) merged[k] = bins[2 * k] + bins[2 * k + 1];
    memset(bins, 0, PH_BINS * sizeof *bins);
    memcpy(bins + (up ? 0 : PH_BINS / 2), merged, sizeof merged);
    if (!up) *low -= PH_BINS * *step;
    *step *= 2;
}

/* Make the range hold what is in the tile. */
static void fit(uint32_t *bins, float *low, float *step, float least, float most)
{
    if (*step == 0) {
        const float size = fmaxf(fabsf(least), fabsf(most));
        *low = least;
        *step = fmaxf((most - least) / PH_BINS, fmaxf(size * FLT_EPSILON, FLT_MIN));
    }
    while (isfinite(*step) && most > *low + PH_BINS * *step) widen(bins, low, step, true);
    while (isfinite(*step) && least < *low) widen(bins, low, step, false);
}

static void count(uint32_t *bins, const struct tile *t, const float *low, const float *step)
{
    if (t->lanes == LANES) {
        ph__lanes()->count(bins, t->X, low, step, t->n, t->ld);
        return;
    }
    for (int l = 0; l < t->lanes; l++) {
        const float scale = 1 / step[l];
        for (int64_t i = 0; i < t->n; i++) {
            const int32_t at = (int32_t)((t->X[i * t->ld + l] - low[l]) * scale);
            bins[l * PH_BINS + (at < 0 ? 0 : at < PH_BINS ? at : PH_BINS - 1)]++;
        }
    }
}

static bool add_group(ph_columns *c, size_t column, struct tile *t, int64_t token, int64_t window)
{
    double *sum = c->sum + column, *squares = c->squares + column;
    int32_t rows[ROWS];
    if (!(t->lanes == LANES ? load(t, sum, squares) : load_few(t, sum, squares))) return false;
    const int64_t entering = enter(rows, c, column, t);
    for (int l = 0; l < t->lanes; l++) {
        const size_t i = column + (size_t)l, at = i * c->top;
        if (t->most[l] > c->highest[at + c->top - 1])
            list(c->highest + at, c->at_highest + at, c->top, t, l, rows, entering, token, window,
                 1);
        if (t->least[l] < c->lowest[at + c->top - 1])
            list(c->lowest + at, c->at_lowest + at, c->top, t, l, rows, entering, token, window,
                 -1);
        fit(c->bins + i * PH_BINS, &c->low[i], &c->step[i], t->least[l], t->most[l]);
    }
    count(c->bins + column * PH_BINS, t, c->low + column, c->step + column);
    return true;
}

bool ph__columns_add(ph_columns *c, size_t first, const float *X, int64_t N, int64_t W,
                     int64_t token, int64_t window, int threads)
{
    int bad = 0;
#pragma omp parallel for schedule(static) reduction(max : bad) num_threads(threads)
    for (int64_t column = 0; column < W; column += LANES) {
        for (int64_t i = 0; i < N; i += ROWS) {
            struct tile t = {.X = X + i * W + column,
                             .n = N - i < ROWS ? N - i : ROWS,
                             .ld = W,
                             .lanes = W - column < LANES ? (int)(W - column) : LANES};
            if (!add_group(c, first + (size_t)column, &t, token + i, window)) bad = 1;
        }
    }
    return !bad;
}

/* ---- reading ---- */

ph_column ph__column_at(const ph_columns *c, size_t i, int64_t n)
{
    return (ph_column){.n = n,
                       .sum = c->sum[i],
                       .squares = c->squares[i],
                       .low = c->low[i],
                       .step = c->step[i],
                       .bins = c->bins + i * PH_BINS,
                       .top = c->top,
                       .highest = c->highest + i * c->top,
                       .lowest = c->lowest + i * c->top,
                       .at_highest = c->at_highest + i * c->top,
                       .at_lowest = c->at_lowest + i * c->top};
}

double ph__column_mean(const ph_column *c)
{
    return c->sum / (double)c->n;
}

double ph__deviation(double sum, double squares, double n)
{
    const double mean = sum / n, variance = squares / n - mean * mean;
    return variance > 0 ? sqrt(variance * n / (n > 1 ? n - 1 : 1)) : 0;
}

double ph__column_deviation(const ph_column *c)
{
    return ph__deviation(c->sum, c->squares, (double)c->n);
}

static double within(const ph_column *c, double value)
{
    return fmin(fmax(value, (double)c->lowest[0]), (double)c->highest[0]);
}

double ph__column_quantile(const ph_column *c, double level)
{
    const double want = level * (double)c->n;
    double before = 0;
    int k = 0;
    for (; k < PH_BINS - 1 && before + c->bins[k] < want; k++) before += c->bins[k];
    const double part = c->bins[k] ? (want - before) / c->bins[k] : 0;
    return within(c, (double)c->low + ((double)k + part) * (double)c->step);
}

double ph__column_below(const ph_column *c, double value)
{
    double before = 0;
    if (!(value > (double)c->lowest[0])) return 0;
    if (value > (double)c->highest[0]) return 1;
    const double at = (value - (double)c->low) / (double)c->step;
    const int k = at < 0 ? 0 : at < PH_BINS ? (int)at : PH_BINS - 1;
    for (int i = 0; i < k; i++) before += c->bins[i];
    before += fmin(fmax(at - k, 0), 1) * c->bins[k];
    return before / (double)c->n;
}
