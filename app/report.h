/* report.h — what the store holds of some features, as one HTML file that needs nothing else. */
#ifndef REPORT_H
#define REPORT_H

#include <phosphene.h>
#include <stdio.h>

struct report {
    ph_store_query query;          /* which features; limit: most of them */
    const char *title, *selection; /* what stands above, and how it was chosen */
    int64_t texts;                 /* most texts of a feature */
};

struct report_counts {
    int64_t features, matching; /* in the report; that there would be without a limit */
};

/* Write it to a stream whose errors the caller looks at. PH_EINVAL where nothing matches. */
ph_status report_write(FILE *out, ph_store *store, const struct report *report,
                       struct report_counts *counts, ph_error *err);

#endif
