/* decode.c — from an embedding to tokens: two products with W give all scores. */
#include "search/decode.h"

#include "base/mem.h"

#include <lapacke.h>
#include <math.h>
#include <string.h>

enum {
    TILE = 64,   /* embeddings decoded at once */
    CHUNK = 4096 /* rows of W in one piece of a product over all of them */
};

struct ph_decoder {
    const ph_job *job;
    ph_lexicon *lexicon;
    const float *W, *norm2; /* (V,C), (V) borrowed */
    int64_t V, C;
    bool wanted[PH_DECODES];
    const int32_t *names; /* (n_names) the tokens that may be named, borrowed */
    size_t n_names;
    bool restricted; /* they are the caller's, and bind `hidden` too */
    ph_stream *stream;
    float *leverage; /* (V) h_t */
    double *inverse; /* (C,C) G^-1; NULL: nobody wants it */
    float *x, *s;    /* (2*TILE,C), (2*TILE,V) */
};

/* ---- the table: the score of token t from dot = e·w_t, pinv = w_t·G^-1 e ---- */

static float score_pinv(float dot, float pinv, float norm2, float h)
{
    (void)dot, (void)norm2, (void)h;
    return pinv;
}

static float score_leverage(float dot, float pinv, float norm2, float h)
{
    (void)dot, (void)norm2;
    return h > 0 ? pinv / sqrtf(h) : -INFINITY;
}

static float score_cosine(float dot, float pinv, float norm2, float h)
{
    (void)pinv, (void)h;
    return norm2 > 0 ? dot / sqrtf(norm2) : -INFINITY;
}

static float score_euclid(float dot, float pinv, float norm2, float h)
{
    (void)pinv, (void)h;
    return 2 * dot - norm2;
}

static float score_dot(float dot, float pinv, float norm2, float h)
{
    (void)pinv, (void)norm2, (void)h;
    return dot;
}

static const struct decode {
    const char *name;
    float (*score)(float dot, float pinv, float norm2, float h); /* NULL: reads e itself */
} decodes[] = {{"pinv", score_pinv},     {"leverage", score_leverage}, {"cosine", score_cosine},
               {"euclid", score_euclid}, {"dot", score_dot},           {"hidden", NULL}};
_Static_assert(sizeof decodes / sizeof *decodes == PH_DECODES, "one row for each decode");
enum { PINV = 0, LEVERAGE = 1, COSINE = 2 };

const char *ph_decode_name(size_t i)
{
    return i < PH_DECODES ? decodes[i].name : NULL;
}

int ph__decode_find(const char *name)
{
    for (int i = 0; i < PH_DECODES; i++)
        if (strcmp(decodes[i].name, name) == 0) return i;
    return -1;
}

/* ---- products over the whole vocabulary ---- */

/* G (C,C) = W^T W, a piece of W at a time, on the backend. */
static ph_status gram(double *G, const ph_decoder *d, ph_error *err)
{
    ph_status st = PH_OK;
    ph_backend *be = d->job->model->backend;
    const int64_t C = d->C;
    ph_real *y = NULL, *xt = NULL;
    float *turned = NULL;
    ph_matrix *piece = NULL;

    PH_GO(PH_NEW(&turned, (size_t)(C * CHUNK), err));
    PH_GO(be->alloc(&y, (size_t)(C * C), be, err));
    PH_GO(be->alloc(&xt, (size_t)(C * CHUNK), be, err));
    for (int64_t at = 0; at < d->V; at += CHUNK) {
        const int64_t n = d->V - at < CHUNK ? d->V - at : CHUNK;
        const float *w = d->W + at * C;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < C; j++) turned[j * n + i] = w[i * C + j];
        be->write(xt, turned, (size_t)(C * n), be);
        PH_GO(be->matrix_new(&piece, w, n, C, false, be, err));
        PH_GO(be->stream_prepare(d->stream, piece, C, err));
        be->ops.matmul(y, at ? 1 : 0, xt, piece, C, d->stream);
        be->matrix_close(&piece, be);
    }
    be->read64(G, y, (size_t)(C * C), be);
    st = be->stream_status(d->stream, err);
done:
    be->matrix_close(&piece, be);
    be->release(be, xt);
    be->release(be, y);
    ph__free(turned);
    return st;
}

/* inverse = G^-1 by Cholesky, with a trace of ridge where W has not full rank. */
static ph_status invert(ph_decoder *d, ph_error *err)
{
    const int64_t C = d->C;
    double *G = d->inverse, trace = 0;

    PH_TRY(gram(G, d, err));
    for (int64_t i = 0; i < C; i++) trace += G[i * C + i];
    for (int64_t i = 0; i < C; i++) G[i * C + i] += 1e-9 * trace / (double)C;
    if (LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', (int)C, G, (int)C) != 0 ||
        LAPACKE_dpotri(LAPACK_ROW_MAJOR, 'L', (int)C, G, (int)C) != 0)
        return ph__fail(err, PH_ENUMERIC, -1,
                        "the embedding matrix has not full rank: pinv cannot be decoded");
    for (int64_t i = 0; i < C; i++)
        for (int64_t j = i + 1; j < C; j++) G[i * C + j] = G[j * C + i];
    return PH_OK;
}

/* h_t = w_t · G^-1 w_t. */
static ph_status leverages(ph_decoder *d, ph_error *err)
{
    ph_status st = PH_OK;
    ph_backend *be = d->job->model->backend;
    const int64_t C = d->C, rows = 2 * TILE;
    ph_matrix *inverse = NULL;
    ph_real *x = NULL, *y = NULL;
    float *g = NULL, *host = NULL;

    PH_GO(PH_NEW(&g, (size_t)(C * C), err));
    PH_GO(PH_NEW(&host, (size_t)(rows * C), err));
    PH_GO(be->alloc(&x, (size_t)(rows * C), be, err));
    PH_GO(be->alloc(&y, (size_t)(rows * C), be, err));
    for (int64_t i = 0; i < C * C; i++) g[i] = (float)d->inverse[i];
    PH_GO(be->matrix_new(&inverse, g, C, C, false, be, err));
    PH_GO(be->stream_prepare(d->stream, inverse, rows, err));
    for (int64_t at = 0; at < d->V; at += rows) {
        const int64_t n = d->V - at < rows ? d->V - at : rows;
        be->write(x, d->W + at * C, (size_t)(n * C), be);
        be->ops.matmul(y, 0, x, inverse, n, d->stream);
        be->read(host, y, (size_t)(n * C), be);
        for (int64_t i = 0; i < n; i++) {
            const float *w = d->W + (at + i) * C;
            double h = 0;
            for (int64_t j = 0; j < C; j++) h += (double)w[j] * (double)host[i * C + j];
            d->leverage[at + i] = (float)h;
        }
    }
    st = be->stream_status(d->stream, err);
done:
    be->release(be, y);
    be->release(be, x);
    ph__free(host);
    ph__free(g);
    be->matrix_close(&inverse, be);
    return st;
}

/* ---- open and close ---- */

static ph_status factor(ph_decoder *d, ph_error *err)
{
    ph_backend *be = d->job->model->backend;
    PH_TRY(be->stream_new(&d->stream, 0, be, err));
    PH_TRY(PH_NEW(&d->leverage, (size_t)d->V, err));
    PH_TRY(PH_NEW(&d->inverse, (size_t)(d->C * d->C), err));
    PH_TRY(invert(d, err));
    return leverages(d, err);
}

ph_status ph__decoder_open(ph_decoder **out, const ph_job *job, ph_lexicon *lexicon, int only,
                           ph_error *err)
{
    ph_status st = PH_OK;
    ph_decoder *d = NULL;
    const ph_arch *a = &job->model->arch;

    PH_GO(PH_NEW(&d, 1, err));
    *d = (ph_decoder){.job = job, .lexicon = lexicon, .V = a->V, .C = a->C};
    d->names = job->allowed;
    d->n_names = job->n_allowed;
    d->W = ph__lexicon_rows(lexicon);
    d->norm2 = ph__lexicon_norms(lexicon);
    for (int k = 0; k < PH_DECODES; k++) d->wanted[k] = only < 0 || only == k;
    PH_GO(PH_NEW(&d->x, 2 * TILE * (size_t)a->C, err));
    PH_GO(PH_NEW(&d->s, 2 * TILE * (size_t)a->V, err));
    if (d->wanted[PINV] || d->wanted[LEVERAGE]) PH_GO(factor(d, err));
    *out = d;
    d = NULL;
done:
    ph__decoder_close(&d);
    return st;
}

void ph__decoder_among(ph_decoder *d, const int32_t *ids, size_t n)
{
    d->names = ids;
    d->n_names = n;
    d->restricted = true;
}

void ph__decoder_close(ph_decoder **decoder)
{
    ph_decoder *d = *decoder;
    if (!d) return;
    ph_backend *be = d->job->model->backend;
    be->stream_close(&d->stream, be);
    ph__free(d->leverage);
    ph__free(d->inverse);
    ph__free(d->x);
    ph__free(d->s);
    ph__free(d);
    *decoder = NULL;
}

/* ---- decode ---- */

/* x (2n,C): the embeddings, then G^-1 times each. */
static void load(ph_decoder *d, const float *e, int64_t n)
{
    const int64_t C = d->C;
    memcpy(d->x, e, (size_t)(n * C) * sizeof *e);
    for (int64_t i = 0; d->inverse && i < n; i++) {
        for (int64_t j = 0; j < C; j++) {
            double sum = 0;
            for (int64_t k = 0; k < C; k++) sum += d->inverse[j * C + k] * (double)e[i * C + k];
            d->x[(n + i) * C + j] = (float)sum;
        }
    }
}

static bool may_name(const ph_decoder *d, int64_t id)
{
    for (size_t k = 0; d->restricted && k < d->n_names; k++)
        if (d->names[k] == id) return true;
    return !d->restricted && id < d->V;
}

static int32_t largest_component(const ph_decoder *d, const float *e)
{
    int64_t best = 0;
    for (int64_t i = 1; i < d->C; i++)
        if (e[i] > e[best]) best = i;
    return may_name(d, best) ? (int32_t)best : -1;
}

/* The best token that may be named of one embedding by one decode, and its score. */
static ph_near best_token(const ph_decoder *d, const struct decode *by, const float *dot,
                          const float *pinv)
{
    ph_near best = {d->names[0], -(double)INFINITY};
    for (size_t k = 0; k < d->n_names; k++) {
        const int32_t t = d->names[k];
        const float h = d->leverage ? d->leverage[t] : 0;
        const float s = by->score(dot[t], pinv[t], d->norm2[t], h);
        if ((double)s > best.value) best = (ph_near){t, (double)s};
    }
    return best;
}

static double length(const float *e, int64_t C)
{
    double sum = 0;
    for (int64_t i = 0; i < C; i++) sum += (double)e[i] * (double)e[i];
    return sqrt(sum);
}

static ph_status decode_tile(ph_decoder *d, int32_t *ids, int64_t stride, ph_near *nearest,
                             const float *e, int64_t n, ph_error *err)
{
    const int64_t V = d->V, C = d->C;

    load(d, e, n);
    PH_TRY(ph__lexicon_scores(d->lexicon, d->s, d->x, d->inverse ? 2 * n : n, err));
    for (int64_t i = 0; i < n; i++) {
        const float *dot = d->s + i * V, *pinv = d->inverse ? d->s + (n + i) * V : dot;
        for (int k = 0; k < PH_DECODES; k++) {
            int32_t *id = &ids[k * stride + i];
            *id = -1;
            if (d->wanted[k])
                *id = decodes[k].score ? best_token(d, &decodes[k], dot, pinv).id
                                       : largest_component(d, e + i * C);
        }
        const double size = length(e + i * C, C);
        nearest[i] = best_token(d, &decodes[COSINE], dot, pinv);
        nearest[i].value = size > 0 ? nearest[i].value / size : 0;
    }
    return PH_OK;
}

ph_status ph__decoder_run(ph_decoder *d, int32_t *ids, ph_near *nearest, const float *e, int64_t n,
                          ph_error *err)
{
    for (int64_t at = 0; at < n; at += TILE) {
        const int64_t part = n - at < TILE ? n - at : TILE;
        PH_TRY(decode_tile(d, ids + at, n, nearest + at, e + at * d->C, part, err));
    }
    return PH_OK;
}
