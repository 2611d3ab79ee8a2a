/* archive.h — the store behind the pages: handles for the threads that ask, and rows as JSON. */
#ifndef ARCHIVE_H
#define ARCHIVE_H

#include <jansson.h>
#include <phosphene.h>
#include <stdio.h>

struct archive;

/* The store is made if it is not there. path NULL: there is none, everything is empty. */
ph_status archive_open(struct archive **out, const char *path, ph_error *err);
void archive_close(struct archive **archive);
/* NULL: none. */
const char *archive_path(const struct archive *a);

/* The rows of a query, with commas between them, to a stream. *n, NULL allowed: how many. */
ph_status archive_rows(struct archive *a, FILE *out, const ph_store_query *q, size_t *n,
                       ph_error *err);
/* *list = the same as an array, to be given back. */
ph_status archive_list(struct archive *a, json_t **list, const ph_store_query *q, ph_error *err);
/* A spec that names a file (a direction, an SAE) may be asked for over HTTP only as a feature of that
 * model which the store knows: nobody makes this program read a file by a request. Else PH_EINVAL. */
ph_status archive_allows(struct archive *a, const char *model, const char *spec, ph_error *err);
/* Whether there is a store to keep anything in; PH_EINVAL: none. */
ph_status archive_keeps(const struct archive *a, ph_error *err);
/* Keep n lines, all or none. */
ph_status archive_put(struct archive *a, const char *const *lines, size_t n, ph_error *err);

#endif
