/* web.h — asking a hub over HTTP: redirects, retries, errors in one line. Only pull uses the network. */
#ifndef WEB_H
#define WEB_H

#include <phosphene.h>
#include <stdbool.h>

/* Where the bytes of an answer go. */
struct sink {
    /* take n bytes that belong at `have`; false, with *err filled, to stop */
    bool (*take)(struct sink *s, const char *bytes, size_t n, ph_error *err);
    /* everything comes again from the beginning: forget what is there; false as above */
    bool (*rewind)(struct sink *s, ph_error *err);
    int64_t have; /* bytes that are there; asked for is what comes behind them */
    int64_t most; /* more than that is a mistake; -1: not known */
};

/* What an answer says of itself; empty or -1 where it does not say. */
struct answer {
    long status;
    int64_t length, from; /* of the body; where it begins in the file */
    int64_t wait;         /* seconds that the server asks for */
    int64_t linked_size;
    char commit[72], etag[136], linked_etag[136];
    char code[64], message[128]; /* why not */
    char location[4096];
};

struct web {
    void *curl;
    const char *endpoint; /* https://HOST, without a slash at its end; borrowed */
    const char *token;    /* NULL: none; borrowed */
    int retries; /* how often a transfer that breaks off may be taken up without a byte more */
    bool (*stop)(void);   /* asked all the time: whether to give up */
    bool reached;         /* the server has answered once */
    bool again;           /* the last error is one that passes */
    struct answer answer; /* the last one */
};

ph_status web_open(struct web *w, ph_error *err);
void web_close(struct web *w);

/* Ask for what the answer says of `path`, which begins with '/': w->answer. A redirect to another host
 * is not followed. What is not a success is an error; `what` is what messages call the thing. */
ph_status web_head(struct web *w, const char *path, const char *what, ph_error *err);
/* Get it into the sink. The token is shown to the endpoint only, whoever redirects to whom. */
ph_status web_get(struct web *w, const char *path, const char *what, struct sink *sink,
                  ph_error *err);

/* "a b/ü" as it stands in an address, slashes kept where `slashes`; to be freed. */
char *web_escape(const char *text, bool slashes);

#endif
