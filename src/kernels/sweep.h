/* sweep.h — reading a large piece of memory once from end to end, as fast as all threads can.
 *
 * Tells the machine's memory bandwidth, and pushes everything else out of the caches.
 */
#ifndef PH_SWEEP_H
#define PH_SWEEP_H

#include "base/err.h"

#include <stdint.h>

typedef struct ph_sweep {
    uint64_t *data;
    void *memory;
    size_t bytes; /* of data */
    int threads;
} ph_sweep;

/* 0 bytes: four times the last cache, at least 256 MiB, at most a quarter of the machine's memory. */
ph_status ph__sweep_open(ph_sweep *out, size_t bytes, int threads, ph_error *err);
void ph__sweep_close(ph_sweep *sweep);
/* Read all of it; what it returns says nothing. */
uint64_t ph__sweep_run(const ph_sweep *sweep);

#endif
