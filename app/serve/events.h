/* events.h — a search as server-sent events: run, current, result, progress, and done at the end. */
#ifndef EVENTS_H
#define EVENTS_H

#include "http.h"
#include "jobs.h"

/* Answer with the events of a search; `last` (Last-Event-ID, NULL: none) says what was seen before. */
void events_answer(struct exchange *x, struct jobs *jobs, const char *id, const char *last);

#endif
