/* ranks.h — the processes of an MPI job: rank 0 has the book and hands out units to the others. */
#ifndef RANKS_H
#define RANKS_H

#include "book.h"

struct ranks;

/* Whether this process was started as one of several, by mpirun or srun. */
bool ranks_started(void);
/* Join the job. *rank of *size; PH_EUNSUPPORTED if built without MPI. */
ph_status ranks_begin(struct ranks **out, int *rank, int *size, ph_error *err);

/* Rank 0: answer the others, in a thread with a book of its own, until all of them have said goodbye. */
ph_status ranks_serve(struct ranks *r, const char *path, const struct units *units, double lease,
                      ph_error *err);
/* Rank 0: wait for that, so many seconds at most; *hung: some have not. */
ph_status ranks_wait(struct ranks *r, double patience, bool *hung, ph_error *err);

/* Another rank: the book's calls, made by rank 0. */
ph_status ranks_hello(struct ranks *r, uint64_t digest, ph_error *err);
ph_status ranks_take(struct ranks *r, long long *unit, ph_error *err);
ph_status ranks_renew(struct ranks *r, long long unit, ph_error *err);
ph_status ranks_release(struct ranks *r, long long unit, ph_error *err);
ph_status ranks_finish(struct ranks *r, long long unit, ph_error *err);

/* Leave the job. An error, or hung ranks: end it for all. */
void ranks_end(struct ranks **r, int status, bool hung);

#endif
