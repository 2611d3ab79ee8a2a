/* worker.h — one thread that does short works one after another, for requests that wait for them.
 *
 * Whatever the number of connections, one question is computed at a time, and the threads and the
 * memory that computing takes exist once.
 */
#ifndef WORKER_H
#define WORKER_H

#include <phosphene.h>

struct worker;

ph_status worker_open(struct worker **out, ph_error *err);
/* When nobody waits any more. */
void worker_close(struct worker **worker);
/* work(payload) on the worker's thread; returns when it is done. false: its turn did not come within
 * `patience` seconds, or too many wait already; it is not done then. */
bool worker_run(struct worker *w, double patience, void (*work)(void *payload), void *payload);

#endif
