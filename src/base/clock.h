/* clock.h — time that only goes forward. */
#ifndef PH_CLOCK_H
#define PH_CLOCK_H

/* seconds since some fixed moment */
double ph__now(void);

#endif
