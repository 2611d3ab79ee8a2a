/* term.h — the value of one term of a sum at a token, and its gradient. */
#ifndef PH_TERM_H
#define PH_TERM_H

#include "feature/sae.h"

/* At a token, without the weight; x is the output of the feature's taps side by side. */
double ph__term_value(const ph_term *t, const double *x);
/* dx += by × d value / dx */
void ph__term_gradient(double *dx, const ph_term *t, double by, const double *x);
/* u += by × the term's direction at its place, as it is before any normalisation. */
void ph__term_direction(double *u, const ph_term *t, double by);
/* Where nobody asks: the most of a token for units that are silent elsewhere, else the mean. */
ph_reduce ph__term_reduce(const ph_term *t, ph_reduce reduce);

#endif
