/* guard.h — whom the server listens to: its address, the names it is known by, its token.
 *
 * A page of another origin can make a browser send requests here, and by a name of its own that points
 * to this machine even read the answers. So Host must be a name of ours, Origin, where there is one, our
 * own, and what changes something brings the token, which only our own page can read.
 */
#ifndef GUARD_H
#define GUARD_H

#include <phosphene.h>

struct guard {
    char host[128]; /* as told; empty: loopback */
    char own[128];  /* this machine's name, where a host was told */
    int port;
    char token[33];
};

ph_status guard_draw(char token[33], ph_error *err);
/* A listening socket on the loopback address or on `host`. PH_EIO: "port 4242: …". */
ph_status guard_open(struct guard *g, int *socket, const char *host, int port, bool or_any,
                     ph_error *err);
void guard_url(const struct guard *g, char *out, size_t n);

/* Whether these header values (NULL: absent) are all right. */
bool guard_host(const struct guard *g, const char *host);
bool guard_origin(const struct guard *g, const char *origin, const char *site, bool api);
bool guard_token(const struct guard *g, const char *token);
bool guard_json(const char *type);

#endif
