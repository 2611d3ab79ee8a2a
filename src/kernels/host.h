/* host.h — what the backends on the host's processor share; for files of this room only.
 *
 * Memory is the process's own, elements are float or double. A backend's open function takes a
 * backend from ph__host_open, fills the slots that are left and overrides what it does better.
 */
#ifndef PH_HOST_H
#define PH_HOST_H

#include "base/mem.h"
#include "kernels/kernels.h"
#include "kernels/lanes.h"

struct ph_matrix {
    int64_t K, J;
    void *data;     /* on a 64-byte boundary; large ones begin a huge page */
    size_t bytes;   /* of data */
    void *memory;   /* what to free */
    ph_feed feed;   /* read is not NULL: there is no data … */
    bool transpose; /* … and M is W^T, else W */
};

/* A product with a matrix that is fed goes through it in pieces of DEPTH of k and COLUMNS of j, a
 * multiple of every panel's width: one thread's piece stays in the second cache while all rows pass. */
enum {
    PH_FEED_DEPTH = 512,
    PH_FEED_COLUMNS = 240,
    PH_FEED_PIECE = PH_FEED_DEPTH * PH_FEED_COLUMNS
};

struct ph_stream {
    ph_backend *be;
    int threads;
    ph_error error; /* the first thing that went wrong; code PH_OK if none did */
    float *pieces; /* (threads,2,PH_FEED_PIECE), once a fed matrix was prepared: read, and packed */
};

/* A backend with every slot filled but the operations and matrix_new. */
ph_status ph__host_open(ph_backend **out, const char *name, size_t element, int threads,
                        ph_error *err);
/* Give a matrix memory for `bytes` bytes, zeroed, to be filled by the caller; freed by matrix_close,
 * which frees the matrix too. A backend with more to remember begins its own struct with this one. */
ph_status ph__matrix_init(ph_matrix *m, int64_t K, int64_t J, size_t bytes, ph_error *err);

/* A matrix that is fed, for any backend; its stream_prepare. */
ph_status ph__matrix_feed(ph_matrix **out, const ph_feed *feed, int64_t rows, int64_t columns,
                          bool transpose, ph_backend *be, ph_error *err);
ph_status ph__stream_pieces(ph_stream *s, ph_error *err);
/* dst = the piece of a fed M from (k,j) on, as W has it: (depth,columns), or where M is W^T
 * (columns,depth). */
void ph__feed_piece(float *dst, const ph_matrix *M, int64_t k, int64_t depth, int64_t j,
                    int64_t columns);

/* matmul_add and matmul_gated in two steps, for any backend. */
void ph__matmul_add(ph_real *y, const ph_real *z, const ph_real *x, const ph_matrix *M, int64_t N,
                    ph_stream *s);
void ph__matmul_gated(ph_real *h, ph_real *room, const ph_real *x, const ph_matrix *M,
                      ph_act_kind kind, int64_t N, ph_stream *s);
/* The operations of these names, for elements of any size. */
void ph__columns_take(ph_real *x, const ph_real *y, const int64_t *columns, int64_t N, int64_t C,
                      int64_t J, ph_stream *s);
void ph__columns_put(ph_real *y, const ph_real *z, const ph_real *x, const int64_t *columns,
                     int64_t N, int64_t C, int64_t J, ph_stream *s);

ph_status ph__ref_open(ph_backend **out, int threads, ph_error *err);
ph_status ph__ref64_open(ph_backend **out, int threads, ph_error *err);
/* The operations of cpu_template.h, compiled for one instruction set. */
struct ph__cpu_kernels {
    const char *name; /* "avx512", "avx2", "base" */
    struct ph_ops ops;
    ph_status (*matrix_new)(ph_matrix **out, const float *w, int64_t rows, int64_t columns,
                            bool transpose, ph_backend *be, ph_error *err);
    struct ph_lanes_ops lanes;
};
extern const struct ph__cpu_kernels ph__cpu_avx512, ph__cpu_avx2, ph__cpu_base;

/* The best instruction set that this processor has; ph__cpu_open_set: the one named, if it has it
 * (PH_EUNSUPPORTED otherwise), for tests. */
ph_status ph__cpu_open(ph_backend **out, int threads, ph_error *err);
ph_status ph__cpu_open_set(ph_backend **out, const char *set, int threads, ph_error *err);

/* PH_EUNSUPPORTED on a processor for which oneDNN has no product that keeps rows independent. */
ph_status ph__onednn_open(ph_backend **out, int threads, ph_error *err);

#endif
