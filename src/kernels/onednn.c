/* onednn.c — the backend "onednn": cpu's operations, with products by oneDNN.
 *
 * The only file that includes oneDNN. A matrix is packed once, in the layout that oneDNN asks for at
 * CANONICAL rows; every product is made for that explicit layout, so that nothing is repacked in a
 * call. With oneDNN 2.6's brgemm kernels a row's bits then depend neither on the number of rows nor
 * of threads (docs/KERNELS.md, tests/kcheck.c); on a processor where it would use others the backend
 * does not open.
 */
#include "kernels/host.h"

#include <dnnl.h>
#include <omp.h>
#include <string.h>

enum {
    CANONICAL = 160, /* rows for which the layout is asked */
    TILE = 1024      /* rows of one call where there are many; the rest is one call, up to 1.5 × */
};

struct backend {
    ph_backend base;
    dnnl_engine_t engine;
    /* cpu's product, for matrices that are fed */
    void (*fed)(ph_real *y, float beta, const ph_real *x, const ph_matrix *M, int64_t N,
                ph_stream *s);
};

struct matrix {
    ph_matrix base;
    dnnl_memory_desc_t layout;
    dnnl_memory_t memory; /* read by any number of threads */
};

/* A product of `rows` rows with a (K,J) matrix; its operands are set at every call. */
struct product {
    int64_t K, J, rows;
    bool add; /* beta = 1 */
    dnnl_primitive_t primitive;
    dnnl_memory_t y, x, scratch;
};

struct stream {
    ph_stream base;
    dnnl_stream_t queue;
    struct product *products;
    size_t count, cap;
    void *scratch; /* of the product that needs most */
    size_t scratch_bytes;
};

static dnnl_engine_t engine_of(const ph_backend *be)
{
    return ((const struct backend *)be)->engine;
}

static ph_status check(dnnl_status_t status, const char *what, int64_t K, int64_t J, ph_error *err)
{
    if (status == dnnl_success) return PH_OK;
    if (status == dnnl_out_of_memory)
        return ph__fail(err, PH_ENOMEM, -1, "oneDNN %s of %lld x %lld: out of memory", what,
                        (long long)K, (long long)J);
    return ph__fail(err, PH_EUNSUPPORTED, -1, "oneDNN %s of %lld x %lld: status %d", what,
                    (long long)K, (long long)J, (int)status);
}

static dnnl_status_t plain(dnnl_memory_desc_t *out, int64_t rows, int64_t columns, bool transposed)
{
    const dnnl_dims_t dims = {rows, columns};
    return dnnl_memory_desc_init_by_tag(out, 2, dims, dnnl_f32, transposed ? dnnl_ba : dnnl_ab);
}

/* ---- descriptions ------------------------------------------------------------------------------ */

static dnnl_status_t attributes(dnnl_primitive_attr_t *out, bool add)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t st = dnnl_primitive_attr_create(&attr);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (st == dnnl_success && add) st = dnnl_post_ops_create(&ops);
    if (st == dnnl_success && add) st = dnnl_post_ops_append_sum(ops, 1.0f);
    if (st == dnnl_success && add) st = dnnl_primitive_attr_set_post_ops(attr, ops);
    if (ops) dnnl_post_ops_destroy(ops);
    if (st == dnnl_success)
        *out = attr;
    else if (attr)
        dnnl_primitive_attr_destroy(attr);
    return st;
}

/* layout NULL: oneDNN's choice */
static dnnl_status_t describe(dnnl_primitive_desc_t *out, int64_t rows, int64_t K, int64_t J,
                              bool add, const dnnl_memory_desc_t *layout, dnnl_engine_t engine)
{
    const dnnl_dims_t dims = {K, J};
    dnnl_memory_desc_t x, y, m;
    dnnl_matmul_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t st = plain(&x, rows, K, false);
    if (st == dnnl_success) st = plain(&y, rows, J, false);
    if (layout)
        m = *layout;
    else if (st == dnnl_success)
        st = dnnl_memory_desc_init_by_tag(&m, 2, dims, dnnl_f32, dnnl_format_tag_any);
    if (st == dnnl_success) st = dnnl_matmul_desc_init(&desc, &x, &m, NULL, &y);
    if (st == dnnl_success) st = attributes(&attr, add);
    if (st == dnnl_success) st = dnnl_primitive_desc_create(out, &desc, attr, engine, NULL);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return st;
}

/* Whether this is the kernel that the contract of independent rows was checked for. */
static bool is_brgemm(const_dnnl_primitive_desc_t desc)
{
    const char *name = NULL;
    return dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name) == dnnl_success &&
           !strncmp(name, "brg:", 4);
}

static ph_status fail_kernel(int64_t K, int64_t J, ph_error *err)
{
    return ph__fail(err, PH_EUNSUPPORTED, -1,
                    "backend onednn: no brgemm kernel for %lld x %lld on this processor (AVX-512 "
                    "wanted); use cpu",
                    (long long)K, (long long)J);
}

/* ---- matrices ---------------------------------------------------------------------------------- */

static ph_status layout_for(dnnl_memory_desc_t *out, int64_t K, int64_t J, dnnl_engine_t engine,
                            ph_error *err)
{
    dnnl_primitive_desc_t desc = NULL;
    PH_TRY(check(describe(&desc, CANONICAL, K, J, false, NULL, engine), "product", K, J, err));
    const bool good = is_brgemm(desc);
    *out = *dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    dnnl_primitive_desc_destroy(desc);
    return good ? PH_OK : fail_kernel(K, J, err);
}

/* from (dense, as `layout` says) into to */
static dnnl_status_t reorder(dnnl_memory_t to, const dnnl_memory_desc_t *to_layout,
                             const float *from, const dnnl_memory_desc_t *layout,
                             dnnl_engine_t engine)
{
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_stream_t queue = NULL;
    dnnl_memory_t source = NULL;
    dnnl_status_t st =
        dnnl_reorder_primitive_desc_create(&desc, layout, engine, to_layout, engine, NULL);
    if (st == dnnl_success) st = dnnl_primitive_create(&primitive, desc);
    if (st == dnnl_success) st = dnnl_stream_create(&queue, engine, dnnl_stream_default_flags);
    if (st == dnnl_success)
        st = dnnl_memory_create(&source, layout, engine, (void *)(uintptr_t)from);
    if (st == dnnl_success) {
        const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, to}};
        st = dnnl_primitive_execute(primitive, queue, 2, args);
    }
    if (st == dnnl_success) st = dnnl_stream_wait(queue);
    if (source) dnnl_memory_destroy(source);
    if (queue) dnnl_stream_destroy(queue);
    if (primitive) dnnl_primitive_destroy(primitive);
    if (desc) dnnl_primitive_desc_destroy(desc);
    return st;
}

static void onednn_matrix_close(ph_matrix **m, ph_backend *be)
{
    (void)be;
    if (!*m) return;
    dnnl_memory_t packed = (*m)->feed.read ? NULL : ((struct matrix *)*m)->memory;
    if (packed) dnnl_memory_destroy(packed);
    ph__free((*m)->memory);
    ph__free(*m);
    *m = NULL;
}

static ph_status matrix_new_onednn(ph_matrix **out, const float *w, int64_t rows, int64_t columns,
                                   bool transpose, ph_backend *be, ph_error *err)
{
    const int64_t K = transpose ? columns : rows, J = transpose ? rows : columns;
    const dnnl_engine_t engine = engine_of(be);
    const int before = omp_get_max_threads();
    dnnl_memory_desc_t dense;
    struct matrix *m = NULL;
    ph_status st = PH_OK;

    omp_set_num_threads(be->threads);
    PH_GO(PH_NEW(&m, 1, err));
    PH_GO(layout_for(&m->layout, K, J, engine, err));
    PH_GO(ph__matrix_init(&m->base, K, J, dnnl_memory_desc_get_size(&m->layout), err));
    PH_GO(check(dnnl_memory_create(&m->memory, &m->layout, engine, m->base.data), "matrix", K, J,
                err));
    PH_GO(check(plain(&dense, K, J, transpose), "matrix", K, J, err));
    PH_GO(check(reorder(m->memory, &m->layout, w, &dense, engine), "reorder", K, J, err));
    *out = &m->base;
    m = NULL;
done:
    omp_set_num_threads(before);
    if (m) onednn_matrix_close((ph_matrix **)&m, be);
    return st;
}

/* ---- products ---------------------------------------------------------------------------------- */

static void product_close(struct product *p)
{
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    if (p->y) dnnl_memory_destroy(p->y);
    if (p->x) dnnl_memory_destroy(p->x);
    if (p->scratch) dnnl_memory_destroy(p->scratch);
    *p = (struct product){0};
}

/* Memory objects without memory: their addresses come with the call. */
static dnnl_status_t product_operands(struct product *p, const dnnl_memory_desc_t *scratch,
                                      dnnl_engine_t engine)
{
    dnnl_memory_desc_t x, y;
    dnnl_status_t st = plain(&x, p->rows, p->K, false);
    if (st == dnnl_success) st = plain(&y, p->rows, p->J, false);
    if (st == dnnl_success) st = dnnl_memory_create(&p->x, &x, engine, DNNL_MEMORY_NONE);
    if (st == dnnl_success) st = dnnl_memory_create(&p->y, &y, engine, DNNL_MEMORY_NONE);
    if (st == dnnl_success) st = dnnl_memory_create(&p->scratch, scratch, engine, DNNL_MEMORY_NONE);
    return st;
}

static ph_status scratch_grow(struct stream *s, size_t bytes, ph_error *err)
{
    void *larger = NULL;
    if (bytes <= s->scratch_bytes) return PH_OK;
    PH_TRY(ph__alloc_aligned(&larger, bytes, 1, err));
    ph__free(s->scratch);
    s->scratch = larger;
    s->scratch_bytes = bytes;
    return PH_OK;
}

/* *p holds the key (K, J, rows, add) and gets the rest. */
static ph_status product_make(struct product *p, struct stream *s, const struct matrix *M,
                              ph_error *err)
{
    const dnnl_engine_t engine = engine_of(s->base.be);
    dnnl_primitive_desc_t desc = NULL;
    ph_status st = PH_OK;

    PH_GO(check(describe(&desc, p->rows, p->K, p->J, p->add, &M->layout, engine), "product", p->K,
                p->J, err));
    if (!is_brgemm(desc)) {
        st = fail_kernel(p->K, p->J, err);
        goto done;
    }
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    PH_GO(scratch_grow(s, dnnl_memory_desc_get_size(scratch), err));
    PH_GO(check(product_operands(p, scratch, engine), "operands", p->K, p->J, err));
    PH_GO(check(dnnl_primitive_create(&p->primitive, desc), "product", p->K, p->J, err));
done:
    if (desc) dnnl_primitive_desc_destroy(desc);
    return st;
}

static ph_status product_add(struct stream *s, const struct product *key, const struct matrix *M,
                             ph_error *err)
{
    struct product p = *key;
    if (s->count == s->cap) {
        const size_t cap = s->cap ? 2 * s->cap : 32;
        PH_TRY(PH_GROW(&s->products, s->cap, cap, err));
        s->cap = cap;
    }
    const ph_status st = product_make(&p, s, M, err);
    if (st != PH_OK) {
        product_close(&p);
        return st;
    }
    s->products[s->count++] = p;
    return PH_OK;
}

/* The product for this key, made if it is not there; borrowed until the next is made. */
static ph_status product_find(const struct product **out, struct stream *s, const struct matrix *M,
                              int64_t rows, bool add, ph_error *err)
{
    const struct product key = {.K = M->base.K, .J = M->base.J, .rows = rows, .add = add};
    for (size_t i = 0; i < s->count; i++) {
        const struct product *p = &s->products[i];
        *out = p;
        if (p->rows == rows && p->K == key.K && p->J == key.J && p->add == add) return PH_OK;
    }
    PH_TRY(product_add(s, &key, M, err));
    *out = &s->products[s->count - 1];
    return PH_OK;
}

/* Rows of the next call. oneDNN divides 43 to 63 rows badly among threads where there are few
 * columns (30 % slower than 40 rows and the rest; measured, docs/KERNELS.md). */
static int64_t next_rows(int64_t left, int64_t J)
{
    if (left > TILE + TILE / 2) return TILE;
    return left >= 43 && left < 64 && J < 1024 ? 40 : left;
}

static dnnl_status_t product_run(const struct product *p, struct stream *s, const struct matrix *M,
                                 float *y, const float *x)
{
    dnnl_status_t st = dnnl_memory_set_data_handle(p->y, y);
    if (st == dnnl_success) st = dnnl_memory_set_data_handle(p->x, (void *)(uintptr_t)x);
    if (st == dnnl_success) st = dnnl_memory_set_data_handle(p->scratch, s->scratch);
    if (st != dnnl_success) return st;
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, p->x},
                                    {DNNL_ARG_WEIGHTS, M->memory},
                                    {DNNL_ARG_DST, p->y},
                                    {DNNL_ARG_SCRATCHPAD, p->scratch}};
    st = dnnl_primitive_execute(p->primitive, s->queue, sizeof args / sizeof args[0], args);
    return st == dnnl_success ? dnnl_stream_wait(s->queue) : st;
}

static ph_status product_rows(struct stream *s, const struct matrix *M, float *y, const float *x,
                              int64_t rows, bool add, ph_error *err)
{
    const struct product *p = NULL;
    PH_TRY(product_find(&p, s, M, rows, add, err));
    return check(product_run(p, s, M, y, x), "product", p->K, p->J, err);
}

static void matmul_onednn(ph_real *y_, float beta, const ph_real *x_, const ph_matrix *M, int64_t N,
                          ph_stream *stream)
{
    struct stream *s = (struct stream *)stream;
    const int before = omp_get_max_threads();
    float *y = (float *)y_;
    const float *x = (const float *)x_;
    ph_error err = {.code = PH_OK};

    if (M->feed.read) {
        ((const struct backend *)stream->be)->fed(y_, beta, x_, M, N, stream);
        return;
    }
    omp_set_num_threads(stream->threads);
    for (int64_t rows; N > 0 && err.code == PH_OK; N -= rows, y += rows * M->J, x += rows * M->K) {
        rows = next_rows(N, M->J);
        product_rows(s, (const struct matrix *)M, y, x, rows, beta != 0, &err);
    }
    omp_set_num_threads(before);
    if (err.code != PH_OK && stream->error.code == PH_OK) stream->error = err;
}

/* ---- streams and the backend ------------------------------------------------------------------- */

static void onednn_stream_close(ph_stream **stream, ph_backend *be)
{
    (void)be;
    if (!*stream) return;
    struct stream *s = (struct stream *)*stream;
    for (size_t i = 0; i < s->count; i++) product_close(&s->products[i]);
    ph__free(s->products);
    ph__free(s->scratch);
    ph__free(s->base.pieces);
    if (s->queue) dnnl_stream_destroy(s->queue);
    ph__free(s);
    *stream = NULL;
}

static ph_status onednn_stream_new(ph_stream **out, int threads, ph_backend *be, ph_error *err)
{
    struct stream *s = NULL;
    PH_TRY(PH_NEW(&s, 1, err));
    s->base.be = be;
    s->base.threads = threads ? threads : be->threads;
    const dnnl_status_t made =
        dnnl_stream_create(&s->queue, engine_of(be), dnnl_stream_default_flags);
    if (made != dnnl_success) {
        ph__free(s);
        return ph__fail(err, PH_ENOMEM, -1, "oneDNN stream: status %d", (int)made);
    }
    *out = &s->base;
    return PH_OK;
}

static ph_status onednn_stream_prepare(ph_stream *stream, const ph_matrix *M, int64_t N,
                                       ph_error *err)
{
    struct stream *s = (struct stream *)stream;
    const struct product *p = NULL;
    const int before = omp_get_max_threads();
    ph_status st = PH_OK;

    if (M->feed.read) return ph__stream_pieces(stream, err);
    omp_set_num_threads(stream->threads);
    for (int64_t rows; N > 0; N -= rows) {
        rows = next_rows(N, M->J);
        PH_GO(product_find(&p, s, (const struct matrix *)M, rows, false, err));
        PH_GO(product_find(&p, s, (const struct matrix *)M, rows, true, err));
    }
done:
    omp_set_num_threads(before);
    return st;
}

static void onednn_close(ph_backend *be)
{
    struct backend *own = (struct backend *)be;
    if (own->engine) dnnl_engine_destroy(own->engine);
    ph__free(own);
}

ph_status ph__onednn_open(ph_backend **out, int threads, ph_error *err)
{
    ph_backend *cpu = NULL;
    struct backend *be = NULL;
    dnnl_memory_desc_t probe;
    ph_status st = PH_OK;

    PH_GO(ph__cpu_open(&cpu, threads, err));
    PH_GO(PH_NEW(&be, 1, err));
    be->base = *cpu;
    be->base.name = "onednn";
    be->fed = cpu->ops.matmul;
    be->base.ops.matmul = matmul_onednn;
    be->base.ops.matmul_add = ph__matmul_add;
    be->base.ops.matmul_gated = ph__matmul_gated;
    be->base.matrix_new = matrix_new_onednn;
    be->base.matrix_close = onednn_matrix_close;
    be->base.stream_new = onednn_stream_new;
    be->base.stream_close = onednn_stream_close;
    be->base.stream_prepare = onednn_stream_prepare;
    be->base.close = onednn_close;
    PH_GO(check(dnnl_engine_create(&be->engine, dnnl_cpu, 0), "engine", 0, 0, err));
    PH_GO(layout_for(&probe, 256, 256, be->engine, err));
    *out = &be->base;
    be = NULL;
done:
    ph__backend_close(&cpu);
    if (be) onednn_close(&be->base);
    return st;
}
