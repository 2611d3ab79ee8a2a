/* lexicon.c — products with the whole embedding matrix W (V,C): every token at once. */
#include "search/lexicon.h"

#include "base/mem.h"

#include <math.h>

enum { TILE = 128 }; /* embeddings of one product */

struct ph_lexicon {
    const ph_model *model;
    const float *W; /* (V,C), borrowed */
    int64_t V, C;
    float *norm2;   /* (V) */
    float *inverse; /* 1 / |w_t| (V), 0 for no length; made when first needed, like */
    float *tile;    /* (TILE,V) */
    ph_stream *stream;
    ph_matrix *scores, *mix; /* x -> x W^T, x -> x W: packed when first needed */
    ph_real *narrow, *wide;  /* (TILE,C), (TILE,V) of the backend */
};

ph_status ph__lexicon_open(ph_lexicon **out, const ph_model *model, ph_error *err)
{
    ph_status st = PH_OK;
    ph_lexicon *l = NULL;
    ph_backend *be = model->backend;
    const size_t V = (size_t)model->arch.V, C = (size_t)model->arch.C;

    PH_GO(PH_NEW(&l, 1, err));
    *l = (ph_lexicon){.model = model, .V = (int64_t)V, .C = (int64_t)C};
    PH_GO(ph__model_embedding(&l->W, NULL, model, err));
    PH_GO(PH_NEW(&l->norm2, V, err));
    for (size_t t = 0; t < V; t++) {
        double sum = 0;
        for (size_t i = 0; i < C; i++) sum += (double)l->W[t * C + i] * (double)l->W[t * C + i];
        l->norm2[t] = (float)sum;
    }
    PH_GO(be->stream_new(&l->stream, 0, be, err));
    PH_GO(be->alloc(&l->narrow, TILE * C, be, err));
    PH_GO(be->alloc(&l->wide, TILE * V, be, err));
    *out = l;
    l = NULL;
done:
    ph__lexicon_close(&l);
    return st;
}

void ph__lexicon_close(ph_lexicon **lexicon)
{
    ph_lexicon *l = *lexicon;
    if (!l) return;
    ph_backend *be = l->model->backend;
    be->release(be, l->narrow);
    be->release(be, l->wide);
    be->matrix_close(&l->scores, be);
    be->matrix_close(&l->mix, be);
    be->stream_close(&l->stream, be);
    ph__free(l->norm2);
    ph__free(l->inverse);
    ph__free(l->tile);
    ph__free(l);
    *lexicon = NULL;
}

/* W as the right operand of a product, once. */
static ph_status pack(ph_matrix **M, ph_lexicon *l, bool transpose, ph_error *err)
{
    ph_backend *be = l->model->backend;
    if (*M) return PH_OK;
    PH_TRY(be->matrix_new(M, l->W, l->V, l->C, transpose, be, err));
    return be->stream_prepare(l->stream, *M, TILE, err);
}

ph_status ph__lexicon_scores(ph_lexicon *l, float *s, const float *e, int64_t n, ph_error *err)
{
    ph_backend *be = l->model->backend;
    PH_TRY(pack(&l->scores, l, true, err));
    for (int64_t at = 0; at < n; at += TILE) {
        const int64_t part = n - at < TILE ? n - at : TILE;
        be->write(l->narrow, e + at * l->C, (size_t)(part * l->C), be);
        be->ops.matmul(l->wide, 0, l->narrow, l->scores, part, l->stream);
        be->read(s + at * l->V, l->wide, (size_t)(part * l->V), be);
    }
    return be->stream_status(l->stream, err);
}

ph_status ph__lexicon_mix(ph_lexicon *l, float *e, const float *x, int64_t n, ph_error *err)
{
    ph_backend *be = l->model->backend;
    PH_TRY(pack(&l->mix, l, false, err));
    for (int64_t at = 0; at < n; at += TILE) {
        const int64_t part = n - at < TILE ? n - at : TILE;
        be->write(l->wide, x + at * l->V, (size_t)(part * l->V), be);
        be->ops.matmul(l->narrow, 0, l->wide, l->mix, part, l->stream);
        be->read(e + at * l->C, l->narrow, (size_t)(part * l->C), be);
    }
    return be->stream_status(l->stream, err);
}

/* The distance itself is computed from the two vectors: 2 e·w - |w|^2 cancels. */
static double distance2(const float *a, const float *b, int64_t C)
{
    double sum = 0;
    for (int64_t i = 0; i < C; i++) {
        const double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return sum;
}

static double cosine(const float *a, const float *b, int64_t C)
{
    double dot = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < C; i++) {
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? dot / sqrt(aa * bb) : 0;
}

/* out[i].id = the allowed token t of largest factor[t] * e·w_t, or without factors of largest
 * 2 e·w_t - offset[t]; ties to the lower id. */
static ph_status largest(ph_lexicon *l, ph_near *out, const float *e, int64_t n, const ph_job *job,
                         const float *factor, const float *offset, ph_error *err)
{
    if (!l->tile) PH_TRY(PH_NEW(&l->tile, (size_t)(TILE * l->V), err));
    for (int64_t i = 0; i < n; i++) {
        const float *s = l->tile + i % TILE * l->V;
        const int64_t left = n - i;
        float best = -INFINITY;
        if (i % TILE == 0)
            PH_TRY(ph__lexicon_scores(l, l->tile, e + i * l->C, left < TILE ? left : TILE, err));
        out[i].id = job->allowed[0];
        for (size_t k = 0; k < job->n_allowed; k++) {
            const int32_t t = job->allowed[k];
            const float value = factor ? factor[t] * s[t] : 2 * s[t] - offset[t];
            if (!(value > best)) continue;
            best = value;
            out[i].id = t;
        }
    }
    return PH_OK;
}

ph_status ph__lexicon_nearest(ph_lexicon *l, ph_near *nearest, const float *e, int64_t n,
                              const ph_job *job, ph_error *err)
{
    PH_TRY(largest(l, nearest, e, n, job, NULL, l->norm2, err));
    for (int64_t i = 0; i < n; i++)
        nearest[i].value = distance2(e + i * l->C, l->W + nearest[i].id * l->C, l->C);
    return PH_OK;
}

ph_status ph__lexicon_alike(ph_lexicon *l, ph_near *nearest, const float *e, int64_t n,
                            const ph_job *job, ph_error *err)
{
    if (!l->inverse) {
        PH_TRY(PH_NEW(&l->inverse, (size_t)l->V, err));
        for (int64_t t = 0; t < l->V; t++)
            l->inverse[t] = l->norm2[t] > 0 ? 1 / sqrtf(l->norm2[t]) : 0;
    }
    PH_TRY(largest(l, nearest, e, n, job, l->inverse, NULL, err));
    for (int64_t i = 0; i < n; i++)
        nearest[i].value = cosine(e + i * l->C, l->W + nearest[i].id * l->C, l->C);
    return PH_OK;
}

int64_t ph__lexicon_vocab(const ph_lexicon *l)
{
    return l->V;
}

const float *ph__lexicon_rows(const ph_lexicon *l)
{
    return l->W;
}

const float *ph__lexicon_norms(const ph_lexicon *l)
{
    return l->norm2;
}
