/* http.c — the web server: one thread for each connection, and what every request has to pass.
 *
 *   target -> Host, Origin -> method, token, size -> body -> answer -> headers
 */
#include "http.h"

#include "guard.h"
#include "watchdog.h"

#include <limits.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_IGNORED = 16 << 20 }; /* bytes of a body that is read only to be refused */

struct http {
    struct MHD_Daemon *daemon;
    struct guard guard;
    struct watchdog *watchdog;
    char url[256];
    http_answer answer;
    void *payload;
};

/* A request while it comes in. */
struct incoming {
    struct exchange x;
    char *raw; /* the target as sent */
    bool begun, refused;
    char *body; /* cap bytes */
    size_t bytes, cap;
};

/* ---- answers ---- */

static const char *const headers[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
     "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Cache-Control", "no-store"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"X-Frame-Options", "DENY"},
};

static void take(struct exchange *x, unsigned status, struct MHD_Response *r, const char *type)
{
    if (x->response) MHD_destroy_response(x->response);
    x->response = r;
    x->status = status;
    if (!r) return;
    MHD_add_response_header(r, "Content-Type", type);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        MHD_add_response_header(r, headers[i][0], headers[i][1]);
}

static void take_json(struct exchange *x, unsigned status, char *json, size_t n)
{
    struct MHD_Response *r =
        json ? MHD_create_response_from_buffer(n, json, MHD_RESPMEM_MUST_FREE) : NULL;
    if (json && !r) free(json);
    take(x, status, r, "application/json");
}

void reply_text(struct exchange *x, char *json, size_t bytes)
{
    take_json(x, MHD_HTTP_OK, json, bytes);
}

void reply_json(struct exchange *x, json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(object);
    if (!text) {
        reply_error(x, MHD_HTTP_SERVICE_UNAVAILABLE, -1, "out of memory");
        return;
    }
    reply_text(x, text, strlen(text));
}

void reply_bytes(struct exchange *x, const void *bytes, size_t n, const char *type)
{
    take(x, MHD_HTTP_OK,
         MHD_create_response_from_buffer(n, (void *)(uintptr_t)bytes, MHD_RESPMEM_PERSISTENT),
         type);
}

void reply_error(struct exchange *x, unsigned status, int64_t pos, const char *format, ...)
{
    char line[512], *clean = NULL;
    va_list ap;

    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < 0x20) *p = ' ';
    if (ph_utf8_clean(&clean, line, strlen(line), NULL) != PH_OK) return;
    json_t *object = json_pack("{s:s}", "error", clean);
    ph_free(clean);
    if (object && pos >= 0) json_object_set_new(object, "pos", json_integer(pos));
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    take_json(x, status, text, text ? strlen(text) : 0);
}

void reply_failure(struct exchange *x, const ph_error *err)
{
    static const unsigned statuses[PH_STATUS_COUNT] = {
        [PH_EINVAL] = 400,   [PH_ENOMEM] = 503,    [PH_EIO] = 503,          [PH_EFORMAT] = 409,
        [PH_ESPEC] = 400,    [PH_ERANGE] = 400,    [PH_EUNSUPPORTED] = 409, [PH_ETEXT] = 400,
        [PH_ENUMERIC] = 409, [PH_ECANCELED] = 503,
    };
    const unsigned status = err->code < PH_STATUS_COUNT ? statuses[err->code] : 0;
    reply_error(x, status ? status : 503, err->pos, "%s", err->msg);
}

/* ---- streams ---- */

struct stream {
    ssize_t (*read)(void *, char *, size_t);
    void (*close)(void *);
    void *payload;
};

static ssize_t stream_read(void *payload, uint64_t pos, char *out, size_t n)
{
    const struct stream *s = payload;
    (void)pos;
    const ssize_t got = s->read(s->payload, out, n);
    return got > 0 ? got : MHD_CONTENT_READER_END_OF_STREAM;
}

static void stream_close(void *payload)
{
    struct stream *s = payload;
    s->close(s->payload);
    free(s);
}

void reply_stream(struct exchange *x, const char *type, ssize_t (*read)(void *, char *, size_t),
                  void (*close)(void *), void *payload)
{
    struct stream *s = malloc(sizeof *s);
    struct MHD_Response *r = NULL;

    if (s) {
        *s = (struct stream){read, close, payload};
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 8192, stream_read, s, stream_close);
    }
    if (!r) {
        free(s);
        close(payload);
    }
    take(x, MHD_HTTP_OK, r, type);
}

/* ---- a request comes in ---- */

static struct watched *watched(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void on_connection(void *payload, struct MHD_Connection *connection, void **own,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http *http = payload;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *own = info ? watchdog_begin(http->watchdog, info->connect_fd) : NULL;
    } else {
        watchdog_end(http->watchdog, *own);
    }
}

static void *begin(void *payload, const char *uri, struct MHD_Connection *connection)
{
    struct incoming *in = calloc(1, sizeof *in);
    struct http *http = payload;

    if (!in) return NULL;
    in->raw = strdup(uri);
    in->x.payload = http->payload;
    in->x.connection = connection;
    return in;
}

static void end(void *payload, struct MHD_Connection *connection, void **own,
                enum MHD_RequestTerminationCode how)
{
    struct http *http = payload;
    struct incoming *in = *own;
    (void)how;
    watchdog_answering(http->watchdog, watched(connection), false);
    if (!in) return;
    *own = NULL;
    if (in->x.response) MHD_destroy_response(in->x.response);
    target_free(&in->x.target);
    free(in->raw);
    free(in->body);
    free(in);
}

static enum MHD_Result send_answer(struct incoming *in)
{
    struct exchange *x = &in->x;
    if (!x->response) return MHD_NO;
    return MHD_queue_response(x->connection, x->status, x->response);
}

const char *exchange_header(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result count_host(void *payload, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    (void)kind;
    (void)value;
    *(int *)payload += strcasecmp(name, "Host") == 0;
    return MHD_YES;
}

/* The length that a body says to have, as far as that can be believed; 0: it does not say. */
static long length_of(const struct exchange *x)
{
    const char *length = exchange_header(x, "Content-Length");
    if (!length) return 0;
    return strlen(length) > 9 ? LONG_MAX : strtol(length, NULL, 10);
}

static void refuse_length(struct exchange *x)
{
    reply_error(x, 413, -1, "the body is longer than %d bytes", HTTP_BODY_BYTES);
}

/* What can be said before the body is there; true: nothing against it. */
static bool admit(struct http *http, struct incoming *in, const char *method)
{
    struct exchange *x = &in->x;
    const char *why = "out of memory";
    int hosts = 0;
    const unsigned wrong = in->raw ? target_parse(&x->target, &why, in->raw) : 503;
    const bool post = strcmp(method, "POST") == 0;

    x->method = strcmp(method, "HEAD") == 0 ? "GET" : method;
    MHD_get_connection_values(x->connection, MHD_HEADER_KIND, count_host, &hosts);
    if (hosts != 1 || !guard_host(&http->guard, exchange_header(x, "Host")))
        reply_error(x, 403, -1, "this server is not known by that Host");
    else if (!guard_origin(&http->guard, exchange_header(x, "Origin"),
                           exchange_header(x, "Sec-Fetch-Site"),
                           x->target.path && strncmp(x->target.path, "/api/", 5) == 0))
        reply_error(x, 403, -1, "a page of another origin may not ask here");
    else if (wrong)
        reply_error(x, wrong, -1, "%s", why);
    else if (!post && strcmp(x->method, "GET") != 0)
        reply_error(x, 405, -1, "method %.16s: expected GET, HEAD or POST", method);
    else if (post && !guard_token(&http->guard, exchange_header(x, "X-Phosphene-Token")))
        reply_error(x, 403, -1, "X-Phosphene-Token is missing or not this server's");
    else if (post && !guard_json(exchange_header(x, "Content-Type")))
        reply_error(x, 415, -1, "expected Content-Type: application/json");
    else if (length_of(x) > HTTP_BODY_BYTES)
        refuse_length(x);
    else
        return true;
    return false;
}

/* A client that still sends would not see the answer to what was refused: let it come to its end, if that
 * is near. */
static enum MHD_Result refuse(struct incoming *in)
{
    const long length = length_of(&in->x);
    in->refused = length > 0 && length <= MOST_IGNORED;
    return in->refused ? MHD_YES : send_answer(in);
}

/* Keep a piece of the body. One that is too long, and came without its length, is let come to its end as
 * above. */
static enum MHD_Result take_body(struct incoming *in, const char *piece, size_t n)
{
    if (in->refused || in->bytes + n > HTTP_BODY_BYTES) {
        if (!in->refused) refuse_length(&in->x);
        in->refused = true;
        in->bytes += n;
        return in->bytes <= MOST_IGNORED ? MHD_YES : MHD_NO;
    }
    if (in->bytes + n + 1 > in->cap) {
        const size_t cap = 2 * in->cap > in->bytes + n + 1 ? 2 * in->cap : in->bytes + n + 1;
        char *wider = realloc(in->body, cap);
        if (!wider) return MHD_NO;
        in->body = wider;
        in->cap = cap;
    }
    memcpy(in->body + in->bytes, piece, n);
    in->bytes += n;
    in->body[in->bytes] = 0;
    return MHD_YES;
}

static enum MHD_Result serve(void *payload, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *piece, size_t *n,
                             void **own)
{
    struct http *http = payload;
    struct incoming *in = *own;
    (void)url;
    (void)version;

    if (!in) return MHD_NO;
    if (!in->begun) {
        in->begun = true;
        return admit(http, in, method) ? MHD_YES : refuse(in);
    }
    if (*n) {
        const enum MHD_Result taken = take_body(in, piece, *n);
        *n = 0;
        return taken;
    }
    if (in->refused) return send_answer(in);
    watchdog_answering(http->watchdog, watched(connection), true);
    in->x.body = in->body ? in->body : "";
    in->x.bytes = in->bytes;
    http->answer(&in->x);
    return send_answer(in);
}

/* ---- open ---- */

ph_status http_open(struct http **out, const struct http_options *o, ph_error *err)
{
    struct http *http = calloc(1, sizeof *http);
    int socket = -1;
    ph_status st = http ? PH_OK : PH_ENOMEM;

    if (st == PH_OK) st = guard_open(&http->guard, &socket, o->host, o->port, o->or_any, err);
    if (st == PH_OK) st = watchdog_open(&http->watchdog, HTTP_REQUEST_SECONDS, err);
    if (st != PH_OK) goto done;
    snprintf(http->guard.token, sizeof http->guard.token, "%s", o->token);
    http->answer = o->answer;
    http->payload = o->payload;
    guard_url(&http->guard, http->url, sizeof http->url);
    http->daemon = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL,
        NULL, serve, http, MHD_OPTION_LISTEN_SOCKET, socket, MHD_OPTION_URI_LOG_CALLBACK, begin,
        http, MHD_OPTION_NOTIFY_COMPLETED, end, http, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(64 << 10), MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)(1 << 20), MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!http->daemon) {
        *err = (ph_error){.code = st = PH_EIO, .pos = -1, .msg = "the web server does not start"};
        goto done;
    }
    *out = http;
    return PH_OK;
done:
    if (socket >= 0) close(socket);
    if (http) watchdog_close(&http->watchdog);
    free(http);
    return st;
}

void http_close(struct http **http)
{
    if (!*http) return;
    MHD_stop_daemon((*http)->daemon);
    watchdog_close(&(*http)->watchdog);
    free(*http);
    *http = NULL;
}

const char *http_url(const struct http *http)
{
    return http->url;
}

ph_status http_draw_token(char token[33], ph_error *err)
{
    return guard_draw(token, err);
}
