/* http.h — the web server: one thread for each connection, and what every request has to pass before
 * anybody answers it: a Host that is ours, an Origin that is ours, limits, and for what changes
 * something the token that only our own page knows.
 *
 * Knows libmicrohttpd, and alone does; knows no route. Who answers is given to http_open.
 */
#ifndef HTTP_H
#define HTTP_H

#include "target.h"

#include <jansson.h>
#include <phosphene.h>
#include <stdio.h>
#include <sys/types.h>

enum {
    HTTP_BODY_BYTES = 1 << 20,
    HTTP_CONNECTIONS = 200,
    HTTP_IDLE_SECONDS = 60,   /* a connection that neither sends nor takes anything ends */
    HTTP_REQUEST_SECONDS = 60 /* … and so does one whose request is not complete by then */
};

struct http;

/* One request and its answer. */
struct exchange {
    const char *method; /* "GET", also for HEAD, or "POST" */
    struct target target;
    char part[128];   /* what "*" in the route stands for */
    const char *body; /* of a POST, with a 0 behind it */
    size_t bytes;
    void *payload; /* of http_open */
    struct MHD_Connection *connection;
    struct MHD_Response *response; /* NULL: not answered yet */
    unsigned status;
};

typedef void (*http_answer)(struct exchange *x);

struct http_options {
    const char *host;  /* NULL: loopback only */
    int port;          /* 0: any that is free */
    bool or_any;       /* if that one is taken, any that is free */
    const char *token; /* what a request that changes something brings as X-Phosphene-Token */
    http_answer answer;
    void *payload;
};

/* Begin to serve. PH_EIO if the address cannot be had: the message says why. */
ph_status http_open(struct http **out, const struct http_options *options, ph_error *err);
/* Ends all connections; returns when every answer under way is done. */
void http_close(struct http **http);
/* "http://127.0.0.1:4242/" */
const char *http_url(const struct http *http);
/* A new token, 32 random digits. */
ph_status http_draw_token(char token[33], ph_error *err);

/* A header of the request, NULL: it has none of that name. */
const char *exchange_header(const struct exchange *x, const char *name);

/* ---- answers; the last one given counts ---- */

/* An object is taken over; NULL (out of memory) is an error of its own. */
void reply_json(struct exchange *x, json_t *object);
/* Text that free() frees. */
void reply_text(struct exchange *x, char *json, size_t bytes);
/* Constant bytes. */
void reply_bytes(struct exchange *x, const void *bytes, size_t n, const char *type);
/* {"error":…}, one line; pos: the byte of the request's spec or text it is about, else -1. */
void reply_error(struct exchange *x, unsigned status, int64_t pos, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* … of the library: the status of the reply follows from its code. */
void reply_failure(struct exchange *x, const ph_error *err);
/* Text that comes by and by: read fills at most n bytes and waits while there is none, -1 at the end;
 * close is called once, whatever happens. */
void reply_stream(struct exchange *x, const char *type, ssize_t (*read)(void *, char *, size_t),
                  void (*close)(void *), void *payload);

#endif
