/* session.h — a batch of rows forward to a tap, and a gradient at the tap back to the embeddings.
 *
 * The public functions of phosphene.h, and beneath them the same in pieces: write embeddings, run,
 * read the tap. The double versions are exact on the ref64 backend.
 */
#ifndef PH_SESSION_H
#define PH_SESSION_H

#include "model/taps.h"

/* The same session, its rows divided among the model's threads where there are enough of them: for
 * write, run, read64, back64 and gradient only. */
ph_status ph__session_open_team(ph_session **out, const ph_model *model,
                                const ph_session_options *options, ph_error *err);

void ph__session_write(ph_session *s, const float *E, int64_t B);
void ph__session_write64(ph_session *s, const double *E, int64_t B);
/* Forward to the tap, for the rows last written. */
ph_status ph__session_run(ph_session *s, ph_error *err);
/* X (B,T,W) of the last run; values may be NaN or infinite. */
void ph__session_read64(const ph_session *s, double *X);
/* Backward from dX (B,T,W), then read dE (B,T,C). */
ph_status ph__session_back64(ph_session *s, const double *dX, ph_error *err);
void ph__session_gradient(const ph_session *s, float *dE);
void ph__session_gradient64(const ph_session *s, double *dE);

/* A watcher is called after every block of every run with the number of the block; it may read what
 * the block computed, and change the stream that the next one gets. NULL: none. Not for a session of
 * several taps. */
typedef ph_status (*ph_watch_fn)(ph_session *s, int64_t block, void *payload, ph_error *err);
void ph__session_watch(ph_session *s, ph_watch_fn watch, void *payload);
/* The same, but called once a run: when `at` (a place in a block) has just been computed, before the
 * rest of the block and the blocks behind it see it. */
void ph__session_watch_at(ph_session *s, ph_tap at, ph_watch_fn watch, void *payload);
/* For a watcher: X (B,T,W) of the block just run at BLOCK (its output), NEURON, or ATTN and MLP where
 * the block ends there or is being watched there. */
void ph__session_read_block(const ph_session *s, int64_t block, ph_place place, float *X);
void ph__session_read_block64(const ph_session *s, int64_t block, ph_place place, double *X);
/* Change it, for what follows: BLOCK for every watcher, the others where the watcher stands. */
void ph__session_write_block64(ph_session *s, int64_t block, ph_place place, const double *X);

/* Until the next call, only these columns (ascending) of the stream are looked at behind the tap, and
 * have a gradient: the others may then hold anything finite. n 0: all. Where that cannot spare work,
 * nothing changes. Not while a watcher is set. */
ph_status ph__session_columns(ph_session *s, const int64_t *columns, int64_t n, ph_error *err);

int64_t ph__session_width(const ph_session *s); /* W */

#endif
