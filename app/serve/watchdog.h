/* watchdog.h — ends connections whose request does not come to its end in time.
 *
 * An idle connection ends by itself (libmicrohttpd's timeout); one that sends a byte now and then would
 * hold its place for ever.
 */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <phosphene.h>

struct watchdog;
struct watched; /* a connection */

ph_status watchdog_open(struct watchdog **out, double seconds, ph_error *err);
void watchdog_close(struct watchdog **watchdog);

/* A connection of this socket begins to send a request; NULL (out of memory): it is not watched. */
struct watched *watchdog_begin(struct watchdog *w, int socket);
/* Its request is complete and is being answered; or, false, it may send the next one. NULL allowed, as
 * below. */
void watchdog_answering(struct watchdog *w, struct watched *c, bool answering);
/* Before its socket is closed. */
void watchdog_end(struct watchdog *w, struct watched *c);

#endif
