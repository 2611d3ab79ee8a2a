/* cache.h — names of files in the job's cache folder, for what is worth keeping between runs. */
#ifndef PH_CACHE_H
#define PH_CACHE_H

#include "search/job.h"

/* *digest = 32 hexadecimal digits and a 0 for everything that figures depend on: version, weights,
 * backend, threads, context, and what the caller adds (a name and n bytes). */
ph_status ph__cache_key(char digest[33], const ph_job *job, const char *name, const void *bytes,
                        size_t n, ph_error *err);
#endif
