/* put.h — lines into the store. */
#ifndef PH_PUT_H
#define PH_PUT_H

#include "store/sql.h"

/* What became of a line. */
typedef enum ph_fate {
    PH_FATE_SAME, /* it was there, or a later one is */
    PH_FATE_ADDED,
    PH_FATE_CHANGED
} ph_fate;

enum { PH__NOW = 0 }; /* as a time: later than what is there */

/* Keep a line that was put at a time (microseconds since 1970); inside a transaction. Of two lines
 * with one key the later stays, of the same time the larger, so that the order of putting does not
 * count. fate and run (it is a run line) may be NULL. */
ph_status ph__put(ph_store *s, const char *line, size_t bytes, int64_t at, ph_fate *fate, bool *run,
                  ph_error *err);

/* Put what a query for (line, at) finds in a store. A transaction was begun; together > 0: it is
 * committed, and another begun, after every so many lines. counts may be NULL. */
ph_status ph__put_all(ph_store *to, ph_store *from, const char *query, int64_t together,
                      ph_store_counts *counts, ph_error *err);

#endif
