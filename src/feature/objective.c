/* objective.c — the number a feature gives for a text, and the objectives that descend on it. */
#include "feature/objective.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

/* ---- region and measure ---- */

static bool same_tokens(ph_range a, ph_range b)
{
    return a.begin == b.begin && a.end == b.end;
}

/* DEFAULT where the terms of a sum do not agree on their tokens or on how to reduce them. */
static ph_reduce resolve(const ph_feature *f, ph_reduce reduce)
{
    const ph_term plain = {.tap = f->tap};
    if (!f->n_terms) return ph__term_reduce(&plain, reduce);
    const ph_reduce first = ph__term_reduce(&f->terms[0], reduce);
    for (size_t i = 1; i < f->n_terms; i++)
        if (ph__term_reduce(&f->terms[i], reduce) != first ||
            !same_tokens(f->terms[i].tokens, f->terms[0].tokens))
            return PH_REDUCE_DEFAULT;
    return first;
}

bool ph__apart(const ph_feature *f, ph_reduce reduce)
{
    return resolve(f, reduce) == PH_REDUCE_DEFAULT;
}

const char *ph_reduce_name(const ph_feature *feature, ph_reduce reduce)
{
    static const char *const names[PH_REDUCE_COUNT] = {[PH_REDUCE_DEFAULT] = "each",
                                                       [PH_REDUCE_MEAN] = "mean",
                                                       [PH_REDUCE_MAX] = "max",
                                                       [PH_REDUCE_LAST] = "last"};
    return names[resolve(feature, reduce)];
}

/* The tokens first … last-1 of T; false if the text has not all of them. */
static bool resolve_tokens(ph_range *out, ph_range tokens, int64_t T)
{
    int64_t first = tokens.begin, last = tokens.end;

    if (first < 0) first += T;
    if (last == PH_END) last = T;
    if (last < 0) last += T;
    *out = (ph_range){first, last};
    return first >= 0 && last <= T && first < last;
}

ph_status ph__region(ph_region *out, const ph_feature *f, int64_t T, ph_reduce reduce, int sign,
                     ph_error *err)
{
    const ph_reduce resolved = resolve(f, reduce);
    ph_range all = {0, 0}, one;
    bool ok = f->n_terms || resolve_tokens(&all, f->tokens, T);

    for (size_t i = 0; i < f->n_terms; i++) {
        ok &= resolve_tokens(&one, f->terms[i].tokens, T);
        if (i == 0 || one.begin < all.begin) all.begin = one.begin;
        if (i == 0 || one.end > all.end) all.end = one.end;
    }
    if (!ok)
        return ph__fail(err, PH_ERANGE, -1, "%s: its tokens are not in a text of %lld token%s",
                        f->text, (long long)T, T == 1 ? "" : "s");
    *out = (ph_region){.first = all.begin,
                       .last = all.end,
                       .begin = f->components.begin,
                       .end = f->components.end,
                       .reduce = resolved == PH_REDUCE_DEFAULT ? reduce : resolved,
                       .sign = sign < 0 ? -1 : 1,
                       .terms = f->terms,
                       .n_terms = f->n_terms,
                       .apart = resolved == PH_REDUCE_DEFAULT};
    return PH_OK;
}

ph_region ph__region_single(const ph_region *r)
{
    ph_region out = *r;
    out.first = 0;
    out.last = 1;
    out.apart = false;
    return out;
}

/* Where the weight is negative, the extreme of the value is the opposite one of weight × value. */
ph_region ph__region_term(const ph_region *r, size_t i, int64_t T)
{
    const ph_term *t = &r->terms[i];
    ph_range tokens;
    resolve_tokens(&tokens, t->tokens, T);
    return (ph_region){.first = tokens.begin,
                       .last = tokens.end,
                       .reduce = ph__term_reduce(t, r->reduce),
                       .sign = t->weight < 0 ? -r->sign : r->sign,
                       .terms = t,
                       .n_terms = 1};
}

static double value_at(const ph_region *r, const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < r->n_terms; i++)
        sum += r->terms[i].weight * ph__term_value(&r->terms[i], x);
    if (r->n_terms) return sum;
    for (int64_t i = r->begin; i < r->end; i++) sum += x[i];
    return sum / (double)(r->end - r->begin);
}

/* The values of a row of tokens: computed here, or given. */
struct row {
    const double *X; /* (T,W) */
    const double *given;
    int64_t T, W;
};

static ph_measured measure_row(const ph_region *r, double *values, const struct row *row)
{
    ph_measured m = {0, (double)NAN, r->first};
    double sum = 0, last = 0;

    for (int64_t t = 0; t < row->T; t++) {
        const bool inside = t >= r->first && t < r->last;
        if (!inside && !values) continue;
        const double v = row->given ? row->given[t] : value_at(r, row->X + t * row->W);
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

ph_measured ph__measure(const ph_region *r, double *values, const double *X, int64_t T, int64_t W)
{
    const struct row row = {X, NULL, T, W};
    ph_measured m = measure_row(r, values, &row);

    if (!r->apart) return m;
    m.activation = 0;
    for (size_t i = 0; i < r->n_terms; i++) {
        const ph_region one = ph__region_term(r, i, T);
        m.activation += measure_row(&one, NULL, &row).activation;
    }
    return m;
}

/* ---- behind the nonlinearity of SAEs ---- */

/* values (T) of one term with its weight. */
static ph_status post_values(double *values, const ph_term *t, const struct row *row, ph_error *err)
{
    for (int64_t i = 0; i < row->T; i++) values[i] = ph__term_value(t, row->X + i * row->W);
    if (t->latent)
        PH_TRY(ph__latent_post(values, t->latent, values, row->X + t->at, row->T, row->W, err));
    for (int64_t i = 0; i < row->T; i++) values[i] *= t->weight;
    return PH_OK;
}

ph_status ph__measure_post(ph_measured *out, const ph_region *r, double *values, const double *X,
                           int64_t T, int64_t W, ph_error *err)
{
    ph_status st = PH_OK;
    double *term = NULL, *all = NULL, apart = 0;
    const struct row row = {X, NULL, T, W};
    bool latent = false;

    *out = (ph_measured){(double)NAN, (double)NAN, 0};
    for (size_t i = 0; i < r->n_terms; i++) latent |= r->terms[i].latent != NULL;
    if (!latent) return PH_OK;
    PH_GO(PH_NEW(&term, (size_t)T, err));
    PH_GO(PH_NEW(&all, (size_t)T, err));
    for (size_t i = 0; i < r->n_terms; i++) {
        const ph_region one = ph__region_term(r, i, T);
        PH_GO(post_values(term, &r->terms[i], &row, err));
        for (int64_t t = 0; t < T; t++) all[t] += term[t];
        apart += measure_row(&one, NULL, &(struct row){X, term, T, W}).activation;
    }
    *out = measure_row(r, values, &(struct row){X, all, T, W});
    if (r->apart) out->activation = apart;
done:
    ph__free(all);
    ph__free(term);
    return st;
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

/* 1 - cos(x, u), u in d (W) at first: d = -(u/|u||x| - x (u·x)/|u||x|^3). At x or u = 0 there is no
 * angle: 1, and no gradient. */
static double angle(double *d, const double *x, int64_t W)
{
    double xx = 0, uu = 0, along = 0;

    for (int64_t i = 0; i < W; i++) xx += x[i] * x[i];
    for (int64_t i = 0; i < W; i++) uu += d[i] * d[i];
    const double norms = sqrt(xx) * sqrt(uu);
    if (norms == 0) {
        memset(d, 0, (size_t)W * sizeof *d);
        return 1;
    }
    for (int64_t i = 0; i < W; i++) along += d[i] * x[i];
    for (int64_t i = 0; i < W; i++) d[i] = x[i] * (along / (xx * norms)) - d[i] / norms;
    return 1 - along / norms;
}

/* The same with u = sign/sqrt|S| on the region's components S. */
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

bool ph__objective_local(int objective, const ph_region *r)
{
    return !r->n_terms && (objective < 0 || objectives[objective].element);
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

/* ---- of sums ---- */

/* dX of a token += by × the gradient of the sum there. */
static void add_gradient(double *d, const ph_region *r, double by, const double *x)
{
    for (size_t i = 0; i < r->n_terms; i++)
        ph__term_gradient(d, &r->terms[i], by * r->terms[i].weight, x);
}

/* One element a token; without an objective the mean of the values. */
static double sum_objective(double *dX, const struct objective *by, double target,
                            const ph_region *r, const double *X, int64_t T, int64_t W)
{
    const ph_range tokens = counted(r, X, T, W);
    double sum = 0;

    for (int64_t t = tokens.begin; t < tokens.end; t++) {
        const double v = value_at(r, X + t * W), n = (double)(tokens.end - tokens.begin);
        double d = 1 / n;
        if (by) {
            sum += by->element(&d, target, r->sign * v);
            d *= r->sign;
        } else {
            sum += v / n;
        }
        add_gradient(dX + t * W, r, d, X + t * W);
    }
    return sum;
}

/* One element in all: the activation, whose terms were reduced by themselves. */
static double apart_objective(double *dX, const struct objective *by, double target,
                              const ph_region *r, const double *X, int64_t T, int64_t W)
{
    const double activation = ph__measure(r, NULL, X, T, W).activation;
    double value = activation, d = 1;

    if (by) {
        value = by->element(&d, target, r->sign * activation);
        d *= r->sign;
    }
    for (size_t i = 0; i < r->n_terms; i++) {
        const ph_region one = ph__region_term(r, i, T);
        const ph_range tokens = counted(&one, X, T, W);
        for (int64_t t = tokens.begin; t < tokens.end; t++)
            add_gradient(dX + t * W, &one, d / (double)(tokens.end - tokens.begin), X + t * W);
    }
    return value;
}

/* At every token that counts for some term, the angle with the directions of those terms. */
static double sum_cosine(double *dX, const ph_region *r, const double *X, int64_t T, int64_t W)
{
    double sum = 0;

    for (int64_t t = r->first; t < r->last; t++) {
        bool any = false;
        for (size_t i = 0; i < r->n_terms; i++) {
            const ph_region one = r->apart ? ph__region_term(r, i, T) : *r;
            const ph_range tokens = counted(&one, X, T, W);
            if (t < tokens.begin || t >= tokens.end) continue;
            ph__term_direction(dX + t * W, &r->terms[i], r->sign * r->terms[i].weight);
            any = true;
        }
        if (any) sum += angle(dX + t * W, X + t * W, W);
    }
    return sum;
}

/* ---- */

/* The objective of a feature that is components of one place. */
static double plain_objective(double *dX, const struct objective *by, double target,
                              const ph_region *r, const double *X, int64_t T, int64_t W)
{
    const ph_range tokens = counted(r, X, T, W);
    const double n = (double)((tokens.end - tokens.begin) * (r->end - r->begin));
    double sum = 0;

    for (int64_t t = tokens.begin; t < tokens.end; t++) {
        const double *x = X + t * W;
        double *d = dX + t * W;
        sum += !by         ? mean_elements(d, n, r, x)
               : by->token ? by->token(d, r, x, W)
                           : sum_elements(d, by, target, r, x);
    }
    return sum;
}

double ph__objective(double *dX, int objective, double target, const ph_region *r, const double *X,
                     int64_t T, int64_t W)
{
    const struct objective *by = objective < 0 ? NULL : &objectives[objective];

    memset(dX, 0, (size_t)(T * W) * sizeof *dX);
    if (!r->n_terms) return plain_objective(dX, by, target, r, X, T, W);
    if (by && by->token) return sum_cosine(dX, r, X, T, W);
    return r->apart ? apart_objective(dX, by, target, r, X, T, W)
                    : sum_objective(dX, by, target, r, X, T, W);
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
