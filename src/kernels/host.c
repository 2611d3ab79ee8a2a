/* host.c — memory, streams and matrices in the process's own memory.
 *
 * Computes nothing. Used by the open functions of ref, cpu and onednn.
 */
#include "kernels/host.h"

#include <string.h>
#include <sys/mman.h>

static ph_status host_alloc(ph_real **out, size_t n, ph_backend *be, ph_error *err)
{
    return ph__alloc_aligned((void **)out, n, be->element, err);
}

enum { PIECE = 1 << 15 }; /* elements that one thread copies at a time */

static void host_release(ph_backend *be, ph_real *p)
{
    (void)be;
    ph__free(p);
}

static void host_write(ph_real *dst, const float *src, size_t n, ph_backend *be)
{
    if (be->element == sizeof(float)) {
        memcpy(dst, src, n * sizeof *src);
        return;
    }
    double *d = (double *)dst;
    for (size_t i = 0; i < n; i++) d[i] = (double)src[i];
}

static void host_read(float *dst, const ph_real *src, size_t n, ph_backend *be)
{
    if (be->element == sizeof(float)) {
        const float *f = (const float *)src;
#pragma omp parallel for schedule(static) num_threads(be->threads) if (n > PIECE)
        for (size_t i = 0; i < n; i += PIECE)
            memcpy(dst + i, f + i, (n - i < PIECE ? n - i : PIECE) * sizeof *dst);
        return;
    }
    const double *d = (const double *)src;
    for (size_t i = 0; i < n; i++) dst[i] = (float)d[i];
}

static void host_write64(ph_real *dst, const double *src, size_t n, ph_backend *be)
{
    if (be->element == sizeof(double)) {
        memcpy(dst, src, n * sizeof *src);
        return;
    }
    float *f = (float *)dst;
    for (size_t i = 0; i < n; i++) f[i] = (float)src[i];
}

static void host_read64(double *dst, const ph_real *src, size_t n, ph_backend *be)
{
    if (be->element == sizeof(double)) {
        memcpy(dst, src, n * sizeof *dst);
        return;
    }
    const float *f = (const float *)src;
    for (size_t i = 0; i < n; i++) dst[i] = (double)f[i];
}

/* `bytes` zeroed bytes at *data, on whole huge pages if they fill half of one; *memory is to be freed.
 * Large memory from calloc is not touched yet: the threads that pack will do that. */
static ph_status huge_alloc(void **data, void **memory, size_t bytes, ph_error *err)
{
    size_t padded;
    if (bytes < PH_HUGE_PAGE / 2) {
        PH_TRY(ph__alloc_aligned(memory, bytes, 1, err));
        *data = *memory;
        return PH_OK;
    }
    if (!ph__add(&padded, bytes, 2 * PH_HUGE_PAGE)) return ph__fail_memory(err, SIZE_MAX);
    PH_TRY(ph__alloc(memory, padded, 1, err));
    uintptr_t at = ((uintptr_t)*memory + PH_HUGE_PAGE - 1) & ~(uintptr_t)(PH_HUGE_PAGE - 1);
    *data = (void *)at;
    const size_t whole = (bytes + PH_HUGE_PAGE - 1) & ~(PH_HUGE_PAGE - 1);
    (void)madvise(*data, whole, MADV_HUGEPAGE); /* advice: may be refused */
    return PH_OK;
}

ph_status ph__matrix_init(ph_matrix *m, int64_t K, int64_t J, size_t bytes, ph_error *err)
{
    PH_TRY(huge_alloc(&m->data, &m->memory, bytes, err));
    m->K = K;
    m->J = J;
    m->bytes = bytes;
    return PH_OK;
}

ph_status ph__matrix_feed(ph_matrix **out, const ph_feed *feed, int64_t rows, int64_t columns,
                          bool transpose, ph_backend *be, ph_error *err)
{
    ph_matrix *m = NULL;
    (void)be;
    PH_TRY(PH_NEW(&m, 1, err));
    *m = (ph_matrix){.K = transpose ? columns : rows,
                     .J = transpose ? rows : columns,
                     .feed = *feed,
                     .transpose = transpose};
    *out = m;
    return PH_OK;
}

void ph__feed_piece(float *dst, const ph_matrix *M, int64_t k, int64_t depth, int64_t j,
                    int64_t columns)
{
    if (M->transpose)
        M->feed.read(dst, j, columns, k, depth, M->feed.source);
    else
        M->feed.read(dst, k, depth, j, columns, M->feed.source);
}

static void host_matrix_close(ph_matrix **m, ph_backend *be)
{
    (void)be;
    if (!*m) return;
    ph__free((*m)->memory);
    ph__free(*m);
    *m = NULL;
}

static size_t host_matrix_bytes(const ph_matrix *m)
{
    return m->bytes;
}

static ph_status host_stream_new(ph_stream **out, int threads, ph_backend *be, ph_error *err)
{
    ph_stream *s = NULL;
    PH_TRY(PH_NEW(&s, 1, err));
    s->be = be;
    s->threads = threads ? threads : be->threads;
    *out = s;
    return PH_OK;
}

static void host_stream_close(ph_stream **s, ph_backend *be)
{
    (void)be;
    if (*s) ph__free((*s)->pieces);
    ph__free(*s);
    *s = NULL;
}

ph_status ph__stream_pieces(ph_stream *s, ph_error *err)
{
    if (s->pieces) return PH_OK;
    return PH_NEW_ALIGNED(&s->pieces, (size_t)s->threads * 2 * PH_FEED_PIECE, err);
}

static ph_status host_stream_prepare(ph_stream *s, const ph_matrix *M, int64_t N, ph_error *err)
{
    (void)N;
    return M->feed.read ? ph__stream_pieces(s, err) : PH_OK;
}

static ph_status host_stream_status(const ph_stream *s, ph_error *err)
{
    if (s->error.code != PH_OK && err) *err = s->error;
    return s->error.code;
}

static void host_close(ph_backend *be)
{
    ph__free(be);
}

ph_status ph__host_open(ph_backend **out, const char *name, size_t element, int threads,
                        ph_error *err)
{
    ph_backend *be = NULL;
    PH_TRY(PH_NEW(&be, 1, err));
    *be = (ph_backend){.name = name,
                       .element = element,
                       .threads = threads,
                       .alloc = host_alloc,
                       .release = host_release,
                       .write = host_write,
                       .read = host_read,
                       .write64 = host_write64,
                       .read64 = host_read64,
                       .matrix_feed = ph__matrix_feed,
                       .matrix_close = host_matrix_close,
                       .matrix_bytes = host_matrix_bytes,
                       .stream_new = host_stream_new,
                       .stream_close = host_stream_close,
                       .stream_prepare = host_stream_prepare,
                       .stream_status = host_stream_status,
                       .close = host_close};
    *out = be;
    return PH_OK;
}

/* ---- operations in two steps ---- */

void ph__matmul_add(ph_real *y, const ph_real *z, const ph_real *x, const ph_matrix *M, int64_t N,
                    ph_stream *s)
{
    s->be->ops.matmul(y, 0, x, M, N, s);
    s->be->ops.add_fwd(y, z, y, N * M->J, s);
}

void ph__matmul_gated(ph_real *h, ph_real *room, const ph_real *x, const ph_matrix *M,
                      ph_act_kind kind, int64_t N, ph_stream *s)
{
    s->be->ops.matmul(room, 0, x, M, N, s);
    s->be->ops.gated_fwd(h, room, kind, N, M->J / 2, s);
}

/* ---- copies ---- */

void ph__columns_take(ph_real *x, const ph_real *y, const int64_t *columns, int64_t N, int64_t C,
                      int64_t J, ph_stream *s)
{
    const ph_backend *be = s->be;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (N * J > PIECE)
    for (int64_t n = 0; n < N; n++)
        for (int64_t j = 0; j < J; j++)
            memcpy(ph__at(be, x, n * J + j), ph__at(be, y, n * C + columns[j]), be->element);
}

void ph__columns_put(ph_real *y, const ph_real *z, const ph_real *x, const int64_t *columns,
                     int64_t N, int64_t C, int64_t J, ph_stream *s)
{
    const ph_backend *be = s->be;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (N * C > PIECE)
    for (int64_t n = 0; n < N; n++) {
        memcpy(ph__at(be, y, n * C), ph__at(be, z, n * C), (size_t)C * be->element);
        for (int64_t j = 0; j < J; j++)
            memcpy(ph__at(be, y, n * C + columns[j]), ph__at(be, x, n * J + j), be->element);
    }
}
