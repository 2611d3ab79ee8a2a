/* pull.h — files of a repository, on their way into Hugging Face's cache. */
#ifndef PULL_H
#define PULL_H

#include "hub.h"
#include "web.h"

/* One file of a repository. */
struct pull_file {
    const char *name; /* borrowed */
    int64_t size;     /* -1: not said */
    char etag[136];
    bool there;   /* it was in the cache already */
    bool checked; /* its etag is a hash that the bytes were compared with */
};

/* One repository at one commit, and what its transfer looks like. */
struct pull {
    struct web web;
    const char *repository; /* "ORG/NAME", for messages */
    char *cache, *folder;   /* owned */
    const char *revision;
    char commit[72];
    bool quiet;
    int64_t total, done; /* bytes of all files; -1: not known */
    int64_t before;      /* of them, what was there when we began */
    double began, drawn;
};

/* Draw how far we are, with `file` under way at `at` bytes. */
void pull_draw(struct pull *p, const char *stage, const char *file, int64_t at);

/* Fill size and etag of a file. */
ph_status pull_head(struct pull *p, struct pull_file *f, ph_error *err);
/* How many bytes of it have yet to come. */
int64_t pull_missing(const struct pull *p, const struct pull_file *f);
/* Get it into the cache, if it is not there, and put it into the commit's snapshot. */
ph_status pull_store(struct pull *p, struct pull_file *f, ph_error *err);
/* Let the revision's name stand for the commit. */
ph_status pull_set_ref(const struct pull *p, ph_error *err);

#endif
