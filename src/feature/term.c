/* term.c — the value of one term of a sum at a token, and its gradient. */
#include "feature/term.h"

static int64_t count_of(const ph_term *t)
{
    return t->components.end - t->components.begin;
}

static double product(const ph_term *t, const double *x)
{
    double sum = 0;
    for (int64_t i = 0, n = count_of(t); i < n; i++) sum += (double)t->direction[i] * x[i];
    return sum;
}

double ph__term_value(const ph_term *t, const double *x)
{
    const int64_t n = count_of(t);
    double sum = 0;

    x += t->at + t->components.begin;
    if (t->latent && ph__latent_normalises(t->latent))
        return ph__latent_product(t->latent, x) + t->offset;
    if (t->direction) return product(t, x) + t->offset;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

void ph__term_gradient(double *dx, const ph_term *t, double by, const double *x)
{
    if (t->latent && ph__latent_normalises(t->latent))
        ph__latent_gradient(dx + t->at, t->latent, by, x + t->at);
    else
        ph__term_direction(dx, t, by);
}

void ph__term_direction(double *u, const ph_term *t, double by)
{
    const int64_t n = count_of(t);
    u += t->at + t->components.begin;
    for (int64_t i = 0; i < n; i++)
        u[i] += t->direction ? by * (double)t->direction[i] : by / (double)n;
}

ph_reduce ph__term_reduce(const ph_term *t, ph_reduce reduce)
{
    const bool unit = t->tap.place == PH_PLACE_NEURON || t->tap.place == PH_PLACE_LOGITS;
    if (reduce != PH_REDUCE_DEFAULT) return reduce;
    return t->latent || (unit && !t->direction) ? PH_REDUCE_MAX : PH_REDUCE_MEAN;
}
