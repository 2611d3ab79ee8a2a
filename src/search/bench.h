/* bench.h — what the works of a benchmark share: the model, repeats, shares and parts.
 *
 * A work is a row of bench.c's table. It notes how long each repeat took, then reports a figure.
 */
#ifndef PH_BENCH_H
#define PH_BENCH_H

#include "kernels/timed.h"
#include "model/model.h"

enum { PH_BENCH_REPEATS = 256 };

typedef struct ph_bencher {
    const ph_model *model;
    ph_bench_options o;
    ph_bench_fn result;
    void *payload;
    double seconds[PH_BENCH_REPEATS]; /* n of them, noted since the last report */
    int n;
    ph_bench_part parts[PH_TIMED_PARTS];
    size_t n_parts;
    double wall;
} ph_bencher;

/* The works. */
ph_status ph__bench_peak(ph_bencher *b, ph_error *err);
ph_status ph__bench_bandwidth(ph_bencher *b, ph_error *err);
ph_status ph__bench_descent(ph_bencher *b, ph_error *err);
ph_status ph__bench_load(ph_bencher *b, ph_error *err);
ph_status ph__bench_scan(ph_bencher *b, ph_error *err);
ph_status ph__bench_swap(ph_bencher *b, ph_error *err);

/* repeats asked for, or else `usual`; at most PH_BENCH_REPEATS */
int ph__bench_repeats(const ph_bencher *b, int usual);
void ph__bench_note(ph_bencher *b, double seconds);
double ph__bench_median(ph_bencher *b); /* of what was noted */
/* A result whose block, rows and so on are set by the caller, from what was noted. flops and bytes
 * of one repeat; NaN: no such figure. PH_ECANCELED if the caller wants no more. */
ph_status ph__bench_report(ph_bencher *b, ph_bench_result r, double flops, double bytes,
                           ph_error *err);
/* A result without any figure. */
ph_bench_result ph__bench_result(const char *work);

/* The model on a timed backend: the same weights. Closed before the model is. */
typedef struct ph_bench_timed {
    ph_model model;
    ph_backend *backend;
} ph_bench_timed;
ph_status ph__bench_timed_open(ph_bench_timed *t, const ph_model *model, ph_error *err);
void ph__bench_timed_close(ph_bench_timed *t);

/* What the work itself does in the pauses of its backend. */
typedef struct ph_bench_pauses {
    const char *before_pack, *after_read64, *after_read, *between;
} ph_bench_pauses;
/* Keep the parts for the next report: of `repeats` repeats that took `wall` seconds together. */
void ph__bench_parts(ph_bencher *b, const ph_bench_timed *t, const ph_bench_pauses *names,
                     int repeats, double wall);

/* The hidden feature that works look at: two components of a block's output. */
ph_feature ph__bench_feature(const ph_model *model, int64_t block, int64_t i);

#endif
