/* stores.h — stores of a few lines, for the tests that ask and those that break them. */
#ifndef STORES_H
#define STORES_H

#include <phosphene.h>

#include <stdio.h>

#define SHA_A "aa00000000000000000000000000000000000000000000000000000000000000"
#define SHA_B "ab00000000000000000000000000000000000000000000000000000000000000"
#define MODEL(sha, more)                                                                           \
    "\"model\":{\"file\":\"dir/m-" more ".gguf\",\"sha256\":\"" sha "\",\"name\":\"M " more        \
    "\",\"quant\":\"F16\",\"blocks\":2,\"width\":4}"
#define RUN(id, sha, name, settings)                                                               \
    "{\"type\":\"run\",\"id\":\"" id                                                               \
    "\"," MODEL(sha, name) ",\"command\":\"dream\",\"settings\":" settings "}"
#define PLAIN "{\"bos\":\"auto\",\"prefix\":null,\"suffix\":null}"
#define DREAM(run, feature, rank, text, activation, more)                                          \
    "{\"type\":\"dream\",\"run\":\"" run "\",\"feature\":\"" feature                               \
    "\",\"method\":\"auto\",\"sign\":\"+\",\"rank\":" rank ",\"text\":\"" text                     \
    "\",\"activation\":{\"text\":" activation ",\"ids\":1,\"soft\":null},\"z\":2.5,"               \
    "\"best_token\":{\"id\":3,\"token\":\"x\",\"activation\":4}" more "}"
#define TRIP ",\"round_trip\":true,\"norm_ratio\":1.0"
#define SCAN(run, feature, tops)                                                                   \
    "{\"type\":\"scan\",\"run\":\"" run "\",\"feature\":\"" feature "\",\"top\":[" tops            \
    "],\"bottom\":[{\"id\":9,\"token\":\" Paris\",\"activation\":-3}],\"mean\":1,\"sd\":2,"        \
    "\"n\":300}"
#define TOP_ONE "{\"id\":7,\"token\":\"Paris\",\"activation\":5}"
#define TOP_TWO TOP_ONE ",{\"id\":8,\"token\":\"a\\\"%_\",\"activation\":4}"

enum { ALL = 19 };
extern const char *const all[ALL]; /* what a filled store holds */
extern ph_error err;

/* Set-up and tear-down of a group: a folder of its own. */
int make_folder(void **state);
int remove_folder(void **state);
/* Valid until the eighth call after. */
const char *in_folder(const char *name);

ph_store *must_open(const char *path, unsigned flags);
ph_store *fresh(const char *name);
ph_store *filled(const char *name);
void put(ph_store *s, const char *line);
void expect_failure(ph_store *s, const char *line, size_t n, ph_status code, const char *msg);

/* What take_row, a ph_store_row_fn, collects in an open memory stream: a row a line. */
struct rows {
    char *text;
    size_t size;
    FILE *f;
    int n;
};
int take_row(const char *row, size_t bytes, void *payload);

/* All rows of a question or a view, to be freed; n may be NULL. */
char *ask(ph_store *s, const ph_store_query *q, int *n);
char *view(ph_store *s, const char *name);
int rows_of(ph_store *s, const ph_store_query *q);

/* For ph_store_check: adds one to *payload; without payload the test fails. */
int count_fault(const char *fault, void *payload);
void expect_sound(ph_store *s);
/* Every view of the two gives the same. */
void expect_same(ph_store *a, ph_store *b);

#endif
