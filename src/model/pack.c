/* pack.c — a model's weights as a backend uses them, made when they are first needed.
 *
 * By one of two plans. packed: float32, packed once forwards and once backwards, kept. streamed: the
 * matrices stay in the file as they are, and every product reads them anew: slower for few rows, in
 * a fraction of the memory. Vectors and the embedding matrix are kept by both.
 */
#include "model/model.h"

#include "base/mem.h"
#include "model/untrained.h"
#include "weights/quant.h"

#include <math.h>
#include <string.h>

enum { KEPT = 32 << 20 }; /* bytes: see get_dense */

/* ---- packing ---- */

void ph__model_row(float *row, const ph_model *m, const ph_tensor *t, int64_t i)
{
    if (m->untrained)
        ph__untrained_row(row, t, i, m->seed, m->arch.branch_init);
    else
        ph__dequant_rows(row, t, i, 1);
}

static bool all_finite(const float *x, int64_t n)
{
    float sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * 0; /* NaN if any is not finite */
    return sum == 0;
}

static ph_status fail_finite(const ph_tensor *t, int64_t row, ph_error *err)
{
    return ph__fail(err, PH_ENUMERIC, -1, "tensor %s: row %lld holds NaN or infinity", t->name,
                    (long long)row);
}

/* All rows of a tensor to dst; values that are not finite are refused. */
static ph_status read_rows(float *dst, const ph_model *m, const ph_tensor *t, ph_error *err)
{
    int64_t rows = t->shape[0], columns = t->shape[1], bad = -1;
    if (t->dims == 1) { /* a vector is one row of the block formats */
        columns = rows;
        rows = 1;
    }
#pragma omp parallel for schedule(static) reduction(max : bad) num_threads(m->backend->threads)
    for (int64_t i = 0; i < rows; i++) {
        float *row = dst + i * columns;
        ph__model_row(row, m, t, i);
        if (!all_finite(row, columns)) bad = i;
    }
    return bad < 0 ? PH_OK : fail_finite(t, bad, err);
}

static int64_t elements_of(const ph_tensor *t)
{
    return t->shape[0] * t->shape[1];
}

/* Up to three tensors one behind the other; *out stays what it is where the first is NULL. */
static ph_status read_vector(ph_real **out, const ph_model *m, const ph_tensor *const *parts, int n,
                             ph_error *err)
{
    ph_status st = PH_OK;
    float *values = NULL;
    ph_backend *be = m->backend;
    size_t elements = 0;

    if (*out || !parts[0]) return PH_OK;
    for (int i = 0; i < n; i++) elements += (size_t)elements_of(parts[i]);
    PH_GO(PH_NEW(&values, elements, err));
    for (int64_t i = 0, at = 0; i < n; at += elements_of(parts[i]), i++)
        PH_GO(read_rows(values + at, m, parts[i], err));
    PH_GO(be->alloc(out, elements, be, err));
    be->write(*out, values, elements, be);
done:
    ph__free(values);
    return st;
}

/* ---- matrices: up to three tensors of as many columns, one above the other ---- */

static void read_source(float *dst, int64_t row, int64_t n_rows, int64_t first, int64_t n,
                        const void *source)
{
    const ph_source *s = source;
    const ph_tensor *const *t = s->parts;
    for (; n_rows > 0; n_rows--, row++, dst += n) {
        for (; row >= (*t)->shape[0]; t++) row -= (*t)->shape[0];
        ph__dequant_part(dst, *t, row, first, n);
    }
}

/* Values that are not finite are refused here as they are when they are packed. */
static ph_status check_source(const ph_model *m, const ph_source *s, ph_error *err)
{
    enum { PIECE = 1024 };
    for (int p = 0; p < s->n; p++) {
        const ph_tensor *t = s->parts[p];
        int64_t bad = -1;
#pragma omp parallel for schedule(static) reduction(max : bad) num_threads(m->backend->threads)
        for (int64_t i = 0; i < t->shape[0]; i++) {
            float piece[PIECE];
            for (int64_t j = 0; j < t->shape[1]; j += PIECE) {
                const int64_t n = t->shape[1] - j < PIECE ? t->shape[1] - j : PIECE;
                ph__dequant_part(piece, t, i, j, n);
                if (!all_finite(piece, n)) bad = i;
            }
        }
        if (bad >= 0) return fail_finite(t, bad, err);
        ph__weights_let_go(m->weights, t);
    }
    return PH_OK;
}

static ph_status stream(ph_matrix **out, ph_matrix **out_t, const ph_model *m,
                        const ph_source *source, int64_t rows, int64_t columns, ph_error *err)
{
    const ph_feed feed = {read_source, source};
    ph_backend *be = m->backend;
    if (!*out) PH_TRY(check_source(m, source, err));
    if (!*out) PH_TRY(be->matrix_feed(out, &feed, rows, columns, true, be, err));
    return out_t ? be->matrix_feed(out_t, &feed, rows, columns, false, be, err) : PH_OK;
}

static void let_dense_go(struct ph_packed *p)
{
    ph__free(p->dense);
    p->dense = NULL;
    p->dense_count = 0;
}

/* Room for a matrix before it is packed, kept for the next ones: to get it anew costs as much as the
 * packing. What is larger than KEPT bytes does not stay. */
static ph_status get_dense(float **out, struct ph_packed *p, size_t elements, ph_error *err)
{
    if (p->dense_count < elements) {
        let_dense_go(p);
        PH_TRY(PH_NEW_ALIGNED(&p->dense, elements, err));
        p->dense_count = elements;
    }
    *out = p->dense;
    return PH_OK;
}

/* Forwards into *out and, where out_t is not NULL, backwards into *out_t; what is there already
 * stays. */
static ph_status pack(ph_matrix **out, ph_matrix **out_t, ph_source *source, const ph_model *m,
                      const ph_tensor *const *parts, int n, ph_error *err)
{
    ph_status st = PH_OK;
    float *w = NULL;
    size_t elements = 0;
    int64_t rows = 0, columns = parts[0]->shape[1];
    ph_backend *be = m->backend;

    if (*out && (!out_t || *out_t)) return PH_OK;
    for (int i = 0; i < n; i++) rows += parts[i]->shape[0];
    if (m->streamed) {
        if (!*out) { /* else another thread may be reading it */
            *source = (ph_source){.n = n};
            memcpy(source->parts, parts, (size_t)n * sizeof *parts);
        }
        return stream(out, out_t, m, source, rows, columns, err);
    }
    if (!ph__mul(&elements, (size_t)rows, (size_t)columns)) return ph__fail_memory(err, SIZE_MAX);
    PH_GO(get_dense(&w, m->packed, elements, err));
    for (int64_t i = 0, at = 0; i < n; at += parts[i]->shape[0] * columns, i++)
        PH_GO(read_rows(w + at, m, parts[i], err));
    if (!*out) PH_GO(be->matrix_new(out, w, rows, columns, true, be, err));
    if (out_t && !*out_t) PH_GO(be->matrix_new(out_t, w, rows, columns, false, be, err));
done:
    if (elements > KEPT / sizeof *w) let_dense_go(m->packed);
    return st;
}

static ph_status pack_attention(ph_block_weights *b, const ph_model *m, const ph_block_slots *s,
                                bool gradient, ph_error *err)
{
    const int fused = s->qkv ? 1 : 3;
    const ph_tensor *qkv[] = {s->qkv ? s->qkv : s->q, s->k, s->v};
    const ph_tensor *bias[] = {s->qkv ? s->qkv_bias : s->q_bias, s->k_bias, s->v_bias};

    PH_TRY(read_vector(&b->attn_norm, m, &s->attn_norm, 1, err));
    PH_TRY(read_vector(&b->attn_norm_b, m, &s->attn_norm_bias, 1, err));
    PH_TRY(
        pack(&b->qkv, gradient ? &b->qkv_t : NULL, &b->sources[PH_SOURCE_QKV], m, qkv, fused, err));
    PH_TRY(read_vector(&b->qkv_b, m, bias, fused, err));
    PH_TRY(read_vector(&b->q_norm, m, &s->q_norm, 1, err));
    PH_TRY(read_vector(&b->k_norm, m, &s->k_norm, 1, err));
    PH_TRY(pack(&b->o, gradient ? &b->o_t : NULL, &b->sources[PH_SOURCE_O], m, &s->o, 1, err));
    PH_TRY(read_vector(&b->o_b, m, &s->o_bias, 1, err));
    return read_vector(&b->post_attn, m, &s->post_attn, 1, err);
}

static ph_status pack_block(ph_block_weights *b, const ph_model *m, const ph_block_slots *s,
                            ph_place stop, bool gradient, ph_error *err)
{
    const int apart = s->gate ? 2 : 1;
    const ph_tensor *gu[] = {s->gate ? s->gate : s->up, s->up};
    const ph_tensor *bias[] = {s->gate ? s->gate_bias : s->up_bias, s->up_bias};

    PH_TRY(pack_attention(b, m, s, gradient, err));
    if (stop == PH_PLACE_ATTN) return PH_OK;
    PH_TRY(read_vector(&b->ffn_norm, m, &s->ffn_norm, 1, err));
    PH_TRY(read_vector(&b->ffn_norm_b, m, &s->ffn_norm_bias, 1, err));
    PH_TRY(pack(&b->gu, gradient ? &b->gu_t : NULL, &b->sources[PH_SOURCE_GU], m, gu, apart, err));
    PH_TRY(read_vector(&b->gu_b, m, bias, apart, err));
    if (stop == PH_PLACE_NEURON) return PH_OK;
    PH_TRY(pack(&b->down, gradient ? &b->down_t : NULL, &b->sources[PH_SOURCE_DOWN], m, &s->down, 1,
                err));
    PH_TRY(read_vector(&b->down_b, m, &s->down_bias, 1, err));
    return read_vector(&b->post_ffn, m, &s->post_ffn, 1, err);
}

ph_status ph__model_block(const ph_block_weights **out, const ph_model *m, int64_t n, ph_place stop,
                          bool gradient, ph_error *err)
{
    struct ph_packed *p = m->packed;
    pthread_mutex_lock(&p->lock);
    ph_status st = pack_block(&p->blocks[n - 1], m, &m->slots.block[n - 1], stop, gradient, err);
    pthread_mutex_unlock(&p->lock);
    *out = &p->blocks[n - 1];
    return st;
}

void ph__model_leave(const ph_model *m, int64_t n)
{
    for (int i = 0; m->streamed && i < PH_SOURCES; i++) {
        const ph_source *s = &m->packed->blocks[n - 1].sources[i];
        for (int p = 0; p < s->n; p++) ph__weights_let_go(m->weights, s->parts[p]);
    }
}

ph_status ph__model_head(const ph_head_weights **out, const ph_model *m, bool output, bool gradient,
                         ph_error *err)
{
    struct ph_packed *p = m->packed;
    pthread_mutex_lock(&p->lock);
    ph_status st = read_vector(&p->head.norm, m, &m->slots.final_norm, 1, err);
    if (st == PH_OK) st = read_vector(&p->head.norm_b, m, &m->slots.final_norm_bias, 1, err);
    if (st == PH_OK && output)
        st = pack(&p->head.out, gradient ? &p->head.out_t : NULL, &p->head.source, m,
                  &m->slots.output, 1, err);
    if (st == PH_OK && output) st = read_vector(&p->head.out_b, m, &m->slots.output_bias, 1, err);
    pthread_mutex_unlock(&p->lock);
    *out = &p->head;
    return st;
}

ph_status ph__model_positions(const ph_real **out, const ph_model *m, ph_error *err)
{
    struct ph_packed *p = m->packed;
    pthread_mutex_lock(&p->lock);
    ph_status st = read_vector(&p->positions, m, &m->slots.positions, 1, err);
    pthread_mutex_unlock(&p->lock);
    *out = p->positions;
    return st;
}

static ph_status read_embedding(struct ph_packed *p, const ph_model *m, ph_error *err)
{
    float *w = NULL;
    double sum = 0;
    size_t n = 0;

    if (!ph__mul(&n, (size_t)m->arch.V, (size_t)m->arch.C)) return ph__fail_memory(err, SIZE_MAX);
    PH_TRY(PH_NEW_ALIGNED(&w, n, err));
    ph_status st = read_rows(w, m, m->slots.embedding, err);
    if (st != PH_OK) {
        ph__free(w);
        return st;
    }
    for (size_t i = 0; i < n; i++) {
        w[i] *= m->arch.embed_scale;
        sum += (double)w[i] * (double)w[i];
    }
    p->rms = sqrt(sum / (double)n);
    p->embedding = w;
    return PH_OK;
}

ph_status ph__model_embedding(const float **out, double *rms, const ph_model *m, ph_error *err)
{
    struct ph_packed *p = m->packed;
    pthread_mutex_lock(&p->lock);
    ph_status st = p->embedding ? PH_OK : read_embedding(p, m, err);
    pthread_mutex_unlock(&p->lock);
    *out = p->embedding;
    if (rms) *rms = p->rms;
    return st;
}

/* ---- open and close ---- */

/* Everything packed both ways, in bytes. */
static double packed_bytes(const ph_model *m)
{
    const ph_arch *a = &m->arch;
    const double weights = (double)(ph__arch_block_parameters(a) * a->blocks + a->V * a->C);
    return 2 * weights * (double)m->backend->element;
}

/* Which plan: by what the machine has, not by what is free now, so that the same command computes the
 * same everywhere and every time. */
static ph_status choose_plan(ph_model *m, const char *plan, ph_error *err)
{
    const double share = 0.6; /* of memory, for weights: the rest is for rows and for others */
    if (!plan || strcmp(plan, "auto") == 0)
        m->streamed = !m->untrained && packed_bytes(m) > share * (double)ph__memory_most();
    else if (strcmp(plan, "streamed") == 0)
        m->streamed = true;
    else if (strcmp(plan, "packed") != 0)
        return ph__fail(err, PH_EINVAL, -1, "plan \"%s\": expected auto, packed or streamed", plan);
    if (m->streamed && m->untrained)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "untrained weights are drawn once and packed: they cannot be streamed");
    return PH_OK;
}

ph_status ph__pack_open(ph_model *m, const char *plan, ph_error *err)
{
    const ph_arch *a = &m->arch;
    struct ph_packed *p = NULL;
    PH_TRY(choose_plan(m, plan, err));
    PH_TRY(PH_NEW(&p, 1, err));
    ph_status st = PH_NEW(&p->blocks, (size_t)a->blocks, err);
    if (st != PH_OK) {
        ph__free(p);
        return st;
    }
    for (int64_t n = 1; n <= a->blocks; n++) {
        p->blocks[n - 1].window = ph__arch_window(a, n);
        p->blocks[n - 1].local = p->blocks[n - 1].window != 0;
    }
    pthread_mutex_init(&p->lock, NULL);
    m->packed = p;
    return PH_OK;
}

void ph__pack_close(ph_model *m)
{
    struct ph_packed *p = m->packed;
    ph_backend *be = m->backend;
    if (!p) return;
    for (int64_t n = 0; n < m->arch.blocks; n++) {
        ph_block_weights *b = &p->blocks[n];
        ph_matrix **matrices[] = {&b->qkv,   &b->o,   &b->gu,   &b->down,
                                  &b->qkv_t, &b->o_t, &b->gu_t, &b->down_t};
        for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++)
            be->matrix_close(matrices[i], be);
        ph_real *vectors[] = {b->attn_norm,  b->attn_norm_b, b->qkv_b,     b->q_norm,
                              b->k_norm,     b->o_b,         b->post_attn, b->ffn_norm,
                              b->ffn_norm_b, b->gu_b,        b->down_b,    b->post_ffn};
        for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) be->release(be, vectors[i]);
    }
    be->matrix_close(&p->head.out, be);
    be->matrix_close(&p->head.out_t, be);
    be->release(be, p->head.norm);
    be->release(be, p->head.norm_b);
    be->release(be, p->head.out_b);
    be->release(be, p->positions);
    ph__free(p->embedding);
    let_dense_go(p);
    ph__free(p->blocks);
    pthread_mutex_destroy(&p->lock);
    ph__free(p);
}
