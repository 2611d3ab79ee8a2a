/* web.c — asking a hub over HTTP, by libcurl.
 *
 * Redirects are followed here and not by libcurl: the first answer of a hub says what the file is,
 * the second, from another host, must not see the token.
 */
#include "web.h"

#include "hub.h"
#include "opt.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HOPS = 10, LONGEST_WAIT = 60 };

/* One request under way. */
struct transfer {
    struct web *web;
    struct sink *sink; /* NULL: the answer's head only */
    ph_error *err;
    bool failed; /* err is filled */
    bool begun;  /* the first bytes came */
    char why[CURL_ERROR_SIZE];
};

/* ---- opening ---- */

static bool is_token(const char *token)
{
    for (const char *p = token; *p; p++)
        if (*p <= 0x20 || *p >= 0x7f) return false;
    return true;
}

ph_status web_open(struct web *w, ph_error *err)
{
    if (w->token && !is_token(w->token))
        return fail_with(err, PH_EINVAL,
                         "the token ($HF_TOKEN or its file) holds what no token has");
    if (strncmp(w->endpoint, "https://", 8) != 0 && strncmp(w->endpoint, "http://", 7) != 0)
        return fail_with(err, PH_EINVAL, "HF_ENDPOINT %.100s: expected https://HOST", w->endpoint);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(w->curl = curl_easy_init()))
        return fail_with(err, PH_ENOMEM, "libcurl does not start");
    return PH_OK;
}

void web_close(struct web *w)
{
    if (w->curl) curl_easy_cleanup(w->curl);
    w->curl = NULL;
}

char *web_escape(const char *text, bool slashes)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
    char *out = malloc(3 * strlen(text) + 1), *at = out;

    for (const char *p = text; out && *p; p++) {
        if (strchr(plain, *p) || (slashes && *p == '/'))
            *at++ = *p;
        else
            at += snprintf(at, 4, "%%%02X", (unsigned char)*p);
    }
    if (out) *at = 0;
    return out;
}

/* ---- addresses ---- */

static bool part(char out[300], CURLU *u, CURLUPart which)
{
    char *text = NULL;
    if (curl_url_get(u, which, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return false;
    snprintf(out, 300, "%s", text);
    curl_free(text);
    return true;
}

/* Scheme, host and port. */
static bool same_place(const char *a, const char *b)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    CURLU *u = curl_url(), *v = curl_url();
    bool same = u && v && curl_url_set(u, CURLUPART_URL, a, 0) == CURLUE_OK &&
                curl_url_set(v, CURLUPART_URL, b, 0) == CURLUE_OK;

    for (size_t i = 0; same && i < sizeof parts / sizeof *parts; i++) {
        char x[300], y[300];
        same = part(x, u, parts[i]) && part(y, v, parts[i]) && strcasecmp(x, y) == 0;
    }
    curl_url_cleanup(u);
    curl_url_cleanup(v);
    return same;
}

/* *url, owned and replaced, = where its answer sends us. */
static ph_status follow(char **url, const struct web *w, const char *what, ph_error *err)
{
    CURLU *u = curl_url();
    char *next = NULL;
    ph_status st = PH_OK;

    if (!u || curl_url_set(u, CURLUPART_URL, *url, 0) != CURLUE_OK ||
        curl_url_set(u, CURLUPART_URL, w->answer.location, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_URL, &next, 0) != CURLUE_OK)
        st = fail_with(err, PH_EIO, "%s: the hub redirects to no address", what);
    else if (strncmp(next, "https://", 8) != 0 &&
             (strncmp(next, "http://", 7) != 0 || strncmp(*url, "https://", 8) == 0))
        st = fail_with(err, PH_EIO, "%s: the hub redirects to %.100s, which is not https", what,
                       next);
    if (st == PH_OK) {
        free(*url);
        *url = strdup(next);
        if (!*url) st = fail_with(err, PH_ENOMEM, "no memory");
    }
    curl_free(next);
    curl_url_cleanup(u);
    return st;
}

/* ---- the head of an answer ---- */

/* Printable ASCII of a header's value, cut to the room there is. */
static void take_text(char *out, size_t size, const char *p, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n && at + 1 < size; i++)
        out[at++] = p[i] >= 0x20 && p[i] < 0x7f ? p[i] : '?';
    out[at] = 0;
}

/* "W/" and quotes are no part of an etag's name. */
static void take_etag(char *out, size_t size, const char *p, size_t n)
{
    if (n > 2 && p[0] == 'W' && p[1] == '/') {
        p += 2;
        n -= 2;
    }
    if (n >= 2 && p[0] == '"' && p[n - 1] == '"') {
        p++;
        n -= 2;
    }
    take_text(out, size, p, n);
}

static int64_t take_number(const char *p, size_t n)
{
    char text[24], *end;
    take_text(text, sizeof text, p, n);
    errno = 0;
    const long long v = strtoll(text, &end, 10);
    return errno || end == text || v < 0 ? -1 : v;
}

static void take_header(struct answer *a, const char *name, size_t size, const char *p, size_t n)
{
#define IS(text) (size == sizeof text - 1 && strncasecmp(name, text, size) == 0)
    if (IS("x-repo-commit")) take_text(a->commit, sizeof a->commit, p, n);
    if (IS("etag")) take_etag(a->etag, sizeof a->etag, p, n);
    if (IS("x-linked-etag")) take_etag(a->linked_etag, sizeof a->linked_etag, p, n);
    if (IS("x-linked-size")) a->linked_size = take_number(p, n);
    if (IS("content-length")) a->length = take_number(p, n);
    if (IS("content-range") && n > 6) a->from = take_number(p + 6, n - 6); /* "bytes 10-19/20" */
    if (IS("retry-after")) a->wait = take_number(p, n);
    if (IS("x-error-code")) take_text(a->code, sizeof a->code, p, n);
    if (IS("x-error-message")) take_text(a->message, sizeof a->message, p, n);
    if (IS("location") && n < sizeof a->location) take_text(a->location, sizeof a->location, p, n);
#undef IS
}

static size_t on_header(char *line, size_t one, size_t n, void *payload)
{
    const struct transfer *t = payload;
    struct answer *a = &t->web->answer;
    const char *colon = memchr(line, ':', n);
    size_t from = colon ? (size_t)(colon - line) + 1 : 0, to = n;

    if (n > 5 && strncmp(line, "HTTP/", 5) == 0) {
        const char *blank = memchr(line, ' ', n);
        *a = (struct answer){.length = -1, .from = -1, .wait = -1, .linked_size = -1};
        a->status = blank ? strtol(blank, NULL, 10) : 0; /* the line ends with a line feed */
        return one * n;
    }
    while (from < to && (line[from] == ' ' || line[from] == '\t')) from++;
    while (to > from && strchr(" \t\r\n", line[to - 1])) to--;
    if (colon) take_header(a, line, (size_t)(colon - line), line + from, to - from);
    return one * n;
}

/* ---- its body ---- */

/* The first bytes: whether they belong where we are. */
static bool begin(struct transfer *t)
{
    const struct answer *a = &t->web->answer;
    struct sink *s = t->sink;

    t->begun = true;
    if (a->status == 206 && a->from == s->have) return true;
    if (a->status == 206) {
        fail_with(t->err, PH_EIO, "the hub sends another part than was asked for");
        return false;
    }
    return s->have == 0 || s->rewind(s, t->err);
}

static size_t on_body(char *bytes, size_t one, size_t n, void *payload)
{
    struct transfer *t = payload;
    struct sink *s = t->sink;
    const long status = t->web->answer.status;

    if (!s || status < 200 || status >= 300) return one * n; /* says why not, to people */
    t->failed = !t->begun && !begin(t);
    if (!t->failed && s->most >= 0 && s->have + (int64_t)n > s->most) {
        fail_with(t->err, PH_EIO, "the hub sends more than the %lld bytes it spoke of",
                  (long long)s->most);
        t->failed = true;
    }
    if (!t->failed) t->failed = !s->take(s, bytes, n, t->err);
    return t->failed ? 0 : one * n;
}

static int on_progress(void *payload, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct transfer *t = payload;
    (void)a, (void)b, (void)c, (void)d;
    return t->web->stop();
}

/* ---- one request ---- */

static ph_status explain_curl(struct transfer *t, CURLcode code, const char *url)
{
    struct web *w = t->web;
    const int host = (int)strcspn(url + 8, "/?") + 8;
    const bool away = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
                      code == CURLE_OPERATION_TIMEDOUT || code == CURLE_COULDNT_RESOLVE_PROXY;

    if (t->failed) return t->err->code;
    if (code == CURLE_ABORTED_BY_CALLBACK) return fail_with(t->err, PH_ECANCELED, "interrupted");
    if (code == CURLE_OUT_OF_MEMORY) return fail_with(t->err, PH_ENOMEM, "no memory");
    w->again = code != CURLE_PEER_FAILED_VERIFICATION && code != CURLE_UNSUPPORTED_PROTOCOL &&
               code != CURLE_URL_MALFORMAT && code != CURLE_SSL_CACERT_BADFILE && w->reached;
    return fail_with(t->err, PH_EIO, "%.*s: %s%s", host < 100 ? host : 100, url,
                     *t->why ? t->why : curl_easy_strerror(code),
                     !w->reached && away ? " (is there a network?)" : "");
}

static struct curl_slist *headers(const struct web *w, const char *url)
{
    struct curl_slist *list = curl_slist_append(NULL, "Accept-Encoding: identity"), *more;
    char *line = NULL;

    if (!list || !w->token || !same_place(url, w->endpoint)) return list;
    if (asprintf(&line, "Authorization: Bearer %s", w->token) < 0) line = NULL;
    more = line ? curl_slist_append(list, line) : NULL;
    free(line);
    if (!more) curl_slist_free_all(list);
    return more;
}

static void set_all(struct transfer *t, const char *url, struct curl_slist *list, const char *range)
{
    CURL *c = t->web->curl;
    const char *ca = hub_variable("CURL_CA_BUNDLE");

    if (!ca) ca = hub_variable("SSL_CERT_FILE");
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "phosphene/" PH_VERSION);
    curl_easy_setopt(c, CURLOPT_NOBODY, t->sink ? 0L : 1L);
    curl_easy_setopt(c, CURLOPT_RANGE, range);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 20L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L); /* silence is as good as a broken line */
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->why);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    if (ca) curl_easy_setopt(c, CURLOPT_CAINFO, ca);
}

static ph_status request(struct web *w, const char *url, struct sink *sink, ph_error *err)
{
    struct transfer t = {.web = w, .sink = sink, .err = err};
    struct curl_slist *list = headers(w, url);
    char range[32];

    w->answer = (struct answer){.length = -1, .from = -1, .wait = -1, .linked_size = -1};
    if (!list) return fail_with(err, PH_ENOMEM, "no memory");
    snprintf(range, sizeof range, "%lld-", sink ? (long long)sink->have : 0);
    set_all(&t, url, list, sink && sink->have ? range : NULL);
    const CURLcode code = curl_easy_perform(w->curl);
    curl_slist_free_all(list);
    w->reached |= w->answer.status > 0;
    return code == CURLE_OK ? PH_OK : explain_curl(&t, code, url);
}

/* ---- what is no success ---- */

static ph_status explain(struct web *w, const char *what, ph_error *err)
{
    const struct answer *a = &w->answer;
    const bool gated = strcmp(a->code, "GatedRepo") == 0;
    const char *own = w->token ? "the token may not see it" : "set HF_TOKEN";

    w->again = a->status == 408 || a->status == 429 || a->status >= 500;
    if (gated)
        return fail_with(err, PH_EIO, "%s is gated: accept its terms on its page of %s first%s",
                         what, w->endpoint, w->token ? "" : ", and set HF_TOKEN");
    if (strcmp(a->code, "RevisionNotFound") == 0)
        return fail_with(err, PH_EIO, "%s: the hub has no such revision", what);
    if (strcmp(a->code, "EntryNotFound") == 0)
        return fail_with(err, PH_EIO, "%s: the hub has no such file", what);
    if (a->status == 401 && w->token && !*a->code)
        return fail_with(err, PH_EIO,
                         "%s: the hub does not accept the token ($HF_TOKEN, or its file)", what);
    if (a->status == 401)
        return fail_with(err, PH_EIO, "%s: not on the hub, or private: %s", what, own);
    if (a->status == 403)
        return fail_with(err, PH_EIO, "%s: the hub forbids it%s%s; %s", what,
                         *a->message ? ": " : "", a->message, own);
    if (a->status == 404)
        return fail_with(err, PH_EIO, "%s: the hub has nothing of that name", what);
    if (a->status == 429)
        return fail_with(err, PH_EIO, "%s: the hub asks to come more slowly", what);
    return fail_with(err, PH_EIO, "%s: the hub answers %ld%s%s", what, a->status,
                     *a->message ? ": " : "", a->message);
}

/* ---- several requests ---- */

/* One request with the redirects it leads to. */
static ph_status attempt(struct web *w, const char *path, const char *what, struct sink *sink,
                         ph_error *err)
{
    char *url = NULL;
    ph_status st = PH_OK;
    int hops = 0;

    w->again = false;
    if (asprintf(&url, "%s%s", w->endpoint, path) < 0)
        return fail_with(err, PH_ENOMEM, "no memory");
    for (; (st = request(w, url, sink, err)) == PH_OK; hops++) {
        if (w->answer.status < 300 || w->answer.status >= 400 || !*w->answer.location) break;
        if (hops == HOPS) {
            st = fail_with(err, PH_EIO, "%s: the hub redirects in circles", what);
            break;
        }
        if ((st = follow(&url, w, what, err)) != PH_OK) break;
        if (!sink && !same_place(url, w->endpoint)) break;
    }
    const long status = w->answer.status;
    const bool moved = !sink && status >= 300 && status < 400;
    if (st == PH_OK && !moved && (status < 200 || status >= 300)) st = explain(w, what, err);
    free(url);
    return st;
}

/* false: interrupted */
static bool rest(const struct web *w, double seconds)
{
    const struct timespec little = {0, 50000000};
    for (double t = 0; t < seconds && !w->stop(); t += 0.05) nanosleep(&little, NULL);
    return !w->stop();
}

static ph_status ask(struct web *w, const char *path, const char *what, struct sink *sink,
                     ph_error *err)
{
    for (int tries = 0;; tries++) {
        const int64_t before = sink ? sink->have : 0;
        const ph_status st = attempt(w, path, what, sink, err);
        if (st == PH_OK) return st;
        if (w->answer.status == 416 && sink && sink->have) { /* what we have is not of this file */
            if (!sink->rewind(sink, err)) return err->code;
        } else if (!w->again || st == PH_ECANCELED) {
            return st;
        }
        if (sink && sink->have > before) tries = 0;
        if (tries >= w->retries) return st;
        double pause = 0.5 * (1 << (tries < 6 ? tries : 6));
        if (w->answer.wait > 0)
            pause = w->answer.wait < LONGEST_WAIT ? (double)w->answer.wait : LONGEST_WAIT;
        if (!rest(w, pause)) return fail_with(err, PH_ECANCELED, "interrupted");
    }
}

ph_status web_head(struct web *w, const char *path, const char *what, ph_error *err)
{
    return ask(w, path, what, NULL, err);
}

ph_status web_get(struct web *w, const char *path, const char *what, struct sink *sink,
                  ph_error *err)
{
    return ask(w, path, what, sink, err);
}
