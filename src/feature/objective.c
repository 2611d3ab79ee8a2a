/* objective.c — the number a feature gives for a text, and the objectives that descend on it. */
#include "feature/objective.h"

#include <math.h>
#include <string.h>

/* ---- region and measure ---- */

static ph_reduce resolve(const ph_feature *f, ph_reduce reduce)
{
    if (reduce != PH_REDUCE_DEFAULT) return reduce;
    const bool sparse = f->tap.place == PH_PLACE_NEURON || f->tap.place == PH_PLACE_LOGITS;
    return sparse ? PH_REDUCE_MAX : PH_REDUCE_MEAN;
}

const char *ph_reduce_name(const ph_feature *feature, ph_reduce reduce)
{
    static const char *const names[PH_REDUCE_COUNT] = {
        [PH_REDUCE_MEAN] = "mean", [PH_REDUCE_MAX] = "max", [PH_REDUCE_LAST] = "last"};
    return names[resolve(feature, reduce)];
}

ph_status ph__region(ph_region *out, const ph_feature *f, int64_t T, ph_reduce reduce, int sign,
                     ph_error *err)
{
    int64_t first = f->tokens.begin, last = f->tokens.end;

    if (first < 0) first += T;
    if (last == PH_END) last = T;
    if (last < 0) last += T;
    if (first < 0 || last > T || first >= last)
        return ph__fail(err, PH_ERANGE, -1, "%s: its tokens are not in a text of %lld token%s",
                        f->text, (long long)T, T == 1 ? "" : "s");
    *out = (ph_region){
        first, last, f->components.begin, f->components.end, resolve(f, reduce), sign < 0 ? -1 : 1};
    return PH_OK;
}

static double value_at(const ph_region *r, const double *x)
{
    double sum = 0;
    for (int64_t i = r->begin; i < r->end; i++) sum += x[i];
    return sum / (double)(r->end - r->begin);
}

ph_measured ph__measure(const ph_region *r, double *values, const double *X, int64_t T, int64_t W)
{
    ph_measured m = {0, (double)NAN, r->first};
    double sum = 0, last = 0;

    for (int64_t t = 0; t < T; t++) {
        const bool inside = t >= r->first && t < r->last;
        if (!inside && !values) continue;
        const double v = value_at(r, X + t * W);
        if (values) values[t] = v;
        if (!inside) continue;
        sum += v;
        last = v;
        if (!(r->sign * v <= r->sign * m.extreme)) { /* also where the extreme is still NaN */
            m.extreme = v;
            m.pos = t;
        }
    }
    m.activation = r->reduce == PH_REDUCE_MAX    ? m.extreme
                   : r->reduce == PH_REDUCE_LAST ? last
                                                 : sum / (double)(r->last - r->first);
    return m;
}

/* ---- objectives: a row each. An objective is a sum over the region's elements o with target c, *d
 * the derivative; or over its tokens, x (W) the whole output there, d (W) the derivative ---- */

static double l1(double *d, double c, double o)
{
    *d = o < c ? -1 : o > c ? 1 : 0;
    return fabs(c - o);
}

static double l2(double *d, double c, double o)
{
    *d = -2 * (c - o);
    return (c - o) * (c - o);
}

static double linear(double *d, double c, double o)
{
    (void)c;
    *d = -1;
    return -o;
}

/* 1 - cos(x, u), u = sign/sqrt|S| on the region's components S:
 * d = -(u/|x| - x (u·x)/|x|^3); at x = 0 there is no angle: 1, and no gradient. */
static double cosine(double *d, const ph_region *r, const double *x, int64_t W)
{
    const double u = r->sign / sqrt((double)(r->end - r->begin));
    double squares = 0, along = 0;

    for (int64_t i = 0; i < W; i++) squares += x[i] * x[i];
    const double norm = sqrt(squares);
    if (norm == 0) return 1;
    for (int64_t i = r->begin; i < r->end; i++) along += u * x[i];
    for (int64_t i = 0; i < W; i++) d[i] = x[i] * along / (squares * norm);
    for (int64_t i = r->begin; i < r->end; i++) d[i] -= u / norm;
    return 1 - along / norm;
}

static const struct objective {
    const char *name;
    double (*element)(double *d, double c, double o);
    double (*token)(double *d, const ph_region *r, const double *x, int64_t W);
} objectives[] = {
    {"l1", l1, NULL}, {"l2", l2, NULL}, {"linear", linear, NULL}, {"cosine", NULL, cosine}};
enum { OBJECTIVES = sizeof objectives / sizeof *objectives };

const char *ph_objective_name(size_t i)
{
    return i < OBJECTIVES ? objectives[i].name : NULL;
}

int ph__objective_find(const char *name)
{
    for (int i = 0; i < OBJECTIVES; i++)
        if (strcmp(objectives[i].name, name) == 0) return i;
    return -1;
}

/* The tokens whose elements count. */
static ph_range counted(const ph_region *r, const double *X, int64_t T, int64_t W)
{
    if (r->reduce == PH_REDUCE_LAST) return (ph_range){r->last - 1, r->last};
    if (r->reduce == PH_REDUCE_MEAN) return (ph_range){r->first, r->last};
    const int64_t pos = ph__measure(r, NULL, X, T, W).pos;
    return (ph_range){pos, pos + 1};
}

/* One token of an objective that is a sum over elements. */
static double sum_elements(double *d, const struct objective *by, double target, const ph_region *r,
                           const double *x)
{
    double sum = 0;
    for (int64_t i = r->begin; i < r->end; i++) {
        sum += by->element(&d[i], target, r->sign * x[i]);
        d[i] *= r->sign;
    }
    return sum;
}

static double mean_elements(double *d, double n, const ph_region *r, const double *x)
{
    double sum = 0;
    for (int64_t i = r->begin; i < r->end; i++) {
        sum += x[i] / n;
        d[i] = 1 / n;
    }
    return sum;
}

double ph__objective(double *dX, int objective, double target, const ph_region *r, const double *X,
                     int64_t T, int64_t W)
{
    const ph_range tokens = counted(r, X, T, W);
    const double n = (double)((tokens.end - tokens.begin) * (r->end - r->begin));
    const struct objective *by = objective < 0 ? NULL : &objectives[objective];
    double sum = 0;

    memset(dX, 0, (size_t)(T * W) * sizeof *dX);
    for (int64_t t = tokens.begin; t < tokens.end; t++) {
        const double *x = X + t * W;
        double *d = dX + t * W;
        sum += !by         ? mean_elements(d, n, r, x)
               : by->token ? by->token(d, r, x, W)
                           : sum_elements(d, by, target, r, x);
    }
    return sum;
}

/* ---- against a given output ---- */

double ph__mismatch(double *dX, int objective, const double *target, const ph_region *r,
                    const double *X, int64_t T, int64_t W)
{
    double sum = 0;
    memset(dX, 0, (size_t)(T * W) * sizeof *dX);
    for (int64_t t = r->first; t < r->last; t++)
        for (int64_t i = t * W + r->begin; i < t * W + r->end; i++)
            sum += objectives[objective].element(&dX[i], target[i], X[i]);
    return sum;
}

double ph__distance(const ph_region *r, const double *X, const double *Y, int64_t W)
{
    double sum = 0;
    for (int64_t t = r->first; t < r->last; t++)
        for (int64_t i = t * W + r->begin; i < t * W + r->end; i++) {
            const double d = X[i] - (Y ? Y[i] : 0);
            sum += d * d;
        }
    return sqrt(sum);
}
