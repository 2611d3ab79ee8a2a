/* crew.h — several processes on one machine that do one sweep. */
#ifndef CREW_H
#define CREW_H

#include <stdbool.h>

struct crew;

/* Start n copies of this program with these arguments and --worker. NULL: it could not be done. */
struct crew *crew_start(int n, char **argv);
/* How many are still at work; one that ended by itself or was killed is told on stderr, once. */
int crew_look(struct crew *c);
/* Ask all to stop, or with now end them. */
void crew_stop(struct crew *c, bool now);
/* Whether one ended with an error of its own, which it has told. */
bool crew_failed(const struct crew *c);
void crew_free(struct crew *c);

/* In a worker: end with whoever started it. */
void crew_follow(void);

#endif
