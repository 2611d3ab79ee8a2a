/* serve.h — what the answers of the web server have at hand. */
#ifndef SERVE_H
#define SERVE_H

#include "http.h"
#include "jobs.h"
#include "worker.h"

#include <stdatomic.h>

/* Each part guards itself. */
struct serving {
    const struct common *common;
    struct archive *archive;
    struct models *models;
    struct jobs *jobs;
    struct worker *worker; /* for questions to a model */
    char *page;            /* index.html with its token, owned */
    size_t page_bytes;
    atomic_bool stopping; /* the server ends: be quick */
};

/* routes.c: the one answer of http_open; the exchange's payload is a struct serving. */
void routes_answer(struct exchange *x);

/* shown.c: what the store knows. */
void show_models(struct exchange *x);
void show_blocks(struct exchange *x);
void show_map(struct exchange *x);
void show_feature(struct exchange *x);
void show_results(struct exchange *x);
void show_tokens(struct exchange *x);
void show_compare(struct exchange *x);

/* questions.c: what a model answers. */
void ask_score(struct exchange *x);
void ask_across(struct exchange *x);

/* The body of a POST, an object; NULL: it was refused. */
json_t *body_object(struct exchange *x);
/* A failure, where PH_EIO says that a model is not there. */
void reply_no_model(struct exchange *x, const ph_error *err);

static inline struct serving *serving_of(const struct exchange *x)
{
    return x->payload;
}

#endif
