/* book.h — which units are done, and who has which: the store's leases, for one sweep. */
#ifndef BOOK_H
#define BOOK_H

#include "units.h"

enum { BOOK_WAIT = -1, BOOK_DONE = -2 }; /* in place of a unit: nothing is free now; all are done */

struct book {
    ph_store *store;
    const struct units *units;
    bool *done; /* owned */
    double lease;
    size_t first; /* all before are done */
};

/* The store is made if need be, and what is done is read. More than one book may be open, in other
 * processes or threads. */
ph_status book_open(struct book *b, const char *path, const struct units *units, double lease,
                    ph_error *err);
void book_close(struct book *b);
/* Write down what the sweep is, take in what ranks of an earlier one left beside the store, and look
 * again. mpi: this is the one MPI job that works on the store. */
ph_status book_begin(struct book *b, const char *path, bool mpi, ph_error *err);
/* Put what lies in shards beside the store into it. left: no rank is at work on them any more, and
 * their files are removed then. */
ph_status book_merge_shards(struct book *b, const char *path, bool left, ph_error *err);

/* *unit = one that is leased to the owner now, or BOOK_WAIT or BOOK_DONE. */
ph_status book_take(struct book *b, const char *owner, long long *unit, ph_error *err);
ph_status book_renew(struct book *b, const char *owner, long long unit, ph_error *err);
ph_status book_release(struct book *b, const char *owner, long long unit, ph_error *err);
/* A unit is done: its lines, n of them, are put into the book's store; n 0: they are elsewhere. */
ph_status book_finish(struct book *b, const char *owner, long long unit, char *const *lines,
                      size_t n, ph_error *err);
/* Bring done[] up to date with what others did. */
ph_status book_look(struct book *b, ph_error *err);

/* "HOST:PID" of this process, behind "mpi/" for a rank. */
void book_owner(char out[160], bool mpi);

#endif
