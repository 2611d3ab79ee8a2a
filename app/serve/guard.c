/* guard.c — whom the server listens to: its address, the names it is known by, its token. */
#include "guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- open ---- */

__attribute__((format(printf, 2, 3))) static ph_status refuse(ph_error *err, const char *format,
                                                              ...)
{
    va_list ap;
    *err = (ph_error){.code = PH_EIO, .pos = -1};
    va_start(ap, format);
    vsnprintf(err->msg, sizeof err->msg, format, ap);
    va_end(ap);
    return PH_EIO;
}

/* -1, with errno, if it cannot be had. */
static int listen_at(const struct sockaddr *address, socklen_t size)
{
    const int on = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address, size) == 0 && listen(fd, 128) == 0) return fd;
    const int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

static int port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t size = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &size) != 0) return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

static ph_status bind_to(int *fd, const char *host, int port, ph_error *err)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    char service[16];

    snprintf(service, sizeof service, "%d", port);
    const int wrong = getaddrinfo(host, service, &hints, &list);
    if (wrong) return refuse(err, "host %.100s: %s", host, gai_strerror(wrong));
    *fd = -1;
    for (struct addrinfo *a = list; a && *fd < 0; a = a->ai_next)
        *fd = listen_at(a->ai_addr, a->ai_addrlen);
    const int cause = errno;
    freeaddrinfo(list);
    errno = cause;
    return PH_OK;
}

ph_status guard_draw(char token[33], ph_error *err)
{
    unsigned char random[16];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return refuse(err, "no random numbers for a token: %s", strerror(errno));
    for (size_t i = 0; i < sizeof random; i++) snprintf(token + 2 * i, 3, "%02x", random[i]);
    return PH_OK;
}

ph_status guard_open(struct guard *g, int *fd, const char *host, int port, bool or_any,
                     ph_error *err)
{
    ph_status st = bind_to(fd, host ? host : "127.0.0.1", port, err);
    if (st == PH_OK && *fd < 0 && errno == EADDRINUSE && or_any)
        st = bind_to(fd, host ? host : "127.0.0.1", 0, err);
    if (st != PH_OK) return st;
    if (*fd < 0 && errno == EADDRINUSE)
        return refuse(err, "port %d: another program has it; --port 0 takes one that is free",
                      port);
    if (*fd < 0)
        return refuse(err, "%.100s, port %d: %s", host ? host : "loopback", port, strerror(errno));
    snprintf(g->host, sizeof g->host, "%s", host ? host : "");
    if (host) gethostname(g->own, sizeof g->own - 1);
    g->port = port_of(*fd);
    return PH_OK;
}

/* An IPv6 address stands in brackets. */
static bool is_six(const char *host)
{
    return strchr(host, ':') != NULL;
}

void guard_url(const struct guard *g, char *out, size_t n)
{
    const char *host = *g->host ? g->host : "127.0.0.1";
    snprintf(out, n, is_six(host) ? "http://[%s]:%d/" : "http://%s:%d/", host, g->port);
}

/* ---- headers ---- */

/* An address rather than a name: no other page can make one point here. */
static bool is_address(const char *host)
{
    unsigned char a[16];
    return inet_pton(AF_INET, host, a) == 1 || inet_pton(AF_INET6, host, a) == 1;
}

static bool is_ours(const struct guard *g, const char *host)
{
    static const char *const loopback[] = {"localhost", "127.0.0.1", "::1"};
    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++)
        if (strcasecmp(host, loopback[i]) == 0) return true;
    if (!*g->host) return false;
    return strcasecmp(host, g->host) == 0 || strcasecmp(host, g->own) == 0 || is_address(host);
}

bool guard_host(const struct guard *g, const char *host)
{
    char name[128];
    if (!host) return false;
    const bool brackets = *host == '[';
    const size_t n = brackets ? strcspn(host, "]") - 1 : strcspn(host, ":");
    const char *rest = host + (brackets ? 1 + n : n);
    if (n >= sizeof name || (brackets && *rest++ != ']')) return false;
    memcpy(name, host + brackets, n);
    name[n] = 0;
    if ((*rest && *rest != ':') || brackets != is_six(name)) return false;
    char *end;
    const long port = *rest ? strtol(rest + 1, &end, 10) : 80;
    if (*rest && (rest[1] < '0' || rest[1] > '9' || *end)) return false;
    return port == g->port && is_ours(g, name);
}

bool guard_origin(const struct guard *g, const char *origin, const char *site, bool api)
{
    if (origin && (strncmp(origin, "http://", 7) != 0 || !guard_host(g, origin + 7))) return false;
    return !api || !site || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0;
}

bool guard_token(const struct guard *g, const char *token)
{
    const size_t n = sizeof g->token - 1;
    unsigned differs = 0;
    if (!token || strlen(token) != n) return false;
    for (size_t i = 0; i < n; i++) differs |= (unsigned)(token[i] ^ g->token[i]);
    return differs == 0;
}

bool guard_json(const char *type)
{
    const size_t n = strlen("application/json");
    return type && strncasecmp(type, "application/json", n) == 0 &&
           (type[n] == 0 || type[n] == ';' || type[n] == ' ');
}
