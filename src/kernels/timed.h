/* timed.h — a backend that does what another one does, and notes where the time goes.
 *
 * Between start and stop every moment of a calling thread belongs to one part: to a call of the
 * backend, or to a pause between two calls, in which the program above works itself. Results are the
 * other backend's, bit for bit, and matrices are its own. For measuring only: without it nothing is
 * noted and nothing is paid.
 */
#ifndef PH_TIMED_H
#define PH_TIMED_H

#include "kernels/kernels.h"

typedef enum ph_timed_kind {
    PH_TIMED_MATMUL,
    PH_TIMED_ATTENTION,
    PH_TIMED_ATTENTION_BACK,
    PH_TIMED_RMSNORM,
    PH_TIMED_RMSNORM_BACK,
    PH_TIMED_LAYERNORM,
    PH_TIMED_LAYERNORM_BACK,
    PH_TIMED_HEADNORM,
    PH_TIMED_HEADNORM_BACK,
    PH_TIMED_ROPE,
    PH_TIMED_ROPE_BACK,
    PH_TIMED_GATED,
    PH_TIMED_GATED_BACK,
    PH_TIMED_ACT,
    PH_TIMED_ACT_BACK,
    PH_TIMED_SOFTCAP,
    PH_TIMED_SOFTCAP_BACK,
    PH_TIMED_ADD_BIAS,
    PH_TIMED_ADD,
    PH_TIMED_COLUMNS,
    PH_TIMED_COPY,    /* into and out of the backend's memory */
    PH_TIMED_PACK,    /* matrix_new */
    PH_TIMED_PREPARE, /* stream_prepare */
    /* pauses */
    PH_TIMED_BEFORE_PACK,
    PH_TIMED_AFTER_READ64,
    PH_TIMED_AFTER_READ,
    PH_TIMED_BETWEEN, /* any other */
    PH_TIMED_KINDS
} ph_timed_kind;

typedef struct ph_timed_part {
    ph_timed_kind kind;
    int64_t N, K, J; /* of products: each shape is a part of its own; else 0 */
    int64_t calls;
    double seconds; /* mean over the threads that called */
} ph_timed_part;
enum { PH_TIMED_SHAPES = 48, PH_TIMED_PARTS = PH_TIMED_SHAPES + PH_TIMED_KINDS };

/* `of` is borrowed until this one is closed. Threads are told apart by their OpenMP numbers. */
ph_status ph__timed_open(ph_backend **out, ph_backend *of, ph_error *err);
/* Go on and pause, while no thread is inside the backend; what was noted before is added to. */
void ph__timed_start(ph_backend *timed);
void ph__timed_stop(ph_backend *timed);
/* Parts that took any time, most first; returns how many. Their seconds sum to those between start
 * and stop. Shapes beyond PH_TIMED_SHAPES share one part whose sizes are 0. */
size_t ph__timed_parts(ph_timed_part parts[PH_TIMED_PARTS], const ph_backend *timed);

#endif
