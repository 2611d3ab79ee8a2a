/* cache.h — names of files in the job's cache folder, for what is worth keeping between runs. */
#ifndef PH_CACHE_H
#define PH_CACHE_H

#include "base/buf.h"
#include "search/job.h"

/* *digest = 32 hexadecimal digits and a 0 for everything that figures depend on: version, weights,
 * backend, threads, context, and what the caller adds (a name and n bytes). */
ph_status ph__cache_key(char digest[33], const ph_job *job, const char *name, const void *bytes,
                        size_t n, ph_error *err);
/* Add to what a caller names: what the files of a feature say, which its text does not. */
ph_status ph__cache_feature(ph_str *key, const ph_job *job, const ph_feature *f, ph_error *err);
#endif
