/* near.c — the geometry of the embedding matrix: neighbours of embeddings, and pairs of tokens.
 *
 * Every token's figure comes from one float32 product; those that its rounding leaves in doubt are
 * computed again in double, so that what is handed out is exact and in exact order.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "search/lexicon.h"
#include "search/ranked.h"

#include <float.h>
#include <math.h>

enum { TILE = 32, PAIRS = 4096 };

static double dot(const float *a, const float *b, int64_t C)
{
    double sum = 0;
    for (int64_t i = 0; i < C; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* With a zero vector, which has no direction: 0. */
static double cosine(const float *a, const float *b, int64_t C)
{
    const double size = sqrt(dot(a, a, C)) * sqrt(dot(b, b, C));
    return size > 0 ? dot(a, b, C) / size : 0;
}

static double distance(const float *a, const float *b, int64_t C)
{
    double sum = 0;
    for (int64_t i = 0; i < C; i++) {
        const double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return sqrt(sum);
}

/* ---- neighbours ---- */

/* A kind of nearness: the exact figure, which way is nearer, and what the float32 product s = e·w
 * says of it: a value that rises with nearness, and how far off that may be where s is off by `off`.
 * e and w are norms; the stored square of w has a rounding of its own. */
struct measure {
    double (*exact)(const float *a, const float *b, int64_t C);
    int sign;
    double (*guess)(double s, double e, double w);
    double (*doubt)(double off, double e, double w);
};

static double guess_cosine(double s, double e, double w)
{
    return e * w > 0 ? s / (e * w) : 0;
}

static double guess_euclid(double s, double e, double w)
{
    (void)e;
    return 2 * s - w * w;
}

static double doubt_euclid(double off, double e, double w)
{
    (void)e;
    return 2 * off + (double)FLT_EPSILON * w * w;
}

static const struct measure by_cosine = {cosine, 1, guess_cosine, guess_cosine};
static const struct measure by_distance = {distance, -1, guess_euclid, doubt_euclid};

struct near {
    const ph_job *job;
    ph_lexicon *lexicon;
    int64_t C;
    size_t top;
    float *scores;   /* (TILE,V) */
    ph_near *lowest; /* (top) those that are nearest at the least */
};

/* What is surely known of token t: its guess, less or more the doubt. However it is ordered, a
 * float32 sum of C products is off by less than C*eps*|e||w|; 4 more for what is made of it. */
static void bounds(double *least, double *most, const struct near *n, const struct measure *m,
                   double e, double s, int32_t t)
{
    const double w = sqrt((double)ph__lexicon_norms(n->lexicon)[t]);
    const double off = (double)(n->C + 4) * (double)FLT_EPSILON * e * w;
    *least = m->guess(s, e, w) - m->doubt(off, e, w);
    *most = m->guess(s, e, w) + m->doubt(off, e, w);
}

static void nearest(ph_near *list, struct near *n, const struct measure *m, const float *e,
                    const float *scores)
{
    const float *W = ph__lexicon_rows(n->lexicon);
    const double size = sqrt(dot(e, e, n->C));
    double least, most;

    ph__ranked_clear(n->lowest, n->top, 1);
    for (size_t k = 0; k < n->job->n_ordinary; k++) {
        const int32_t t = n->job->ordinary[k];
        bounds(&least, &most, n, m, size, (double)scores[t], t);
        ph__ranked_add(n->lowest, n->top, 1, t, least);
    }
    ph__ranked_clear(list, n->top, m->sign);
    for (size_t k = 0; k < n->job->n_ordinary; k++) {
        const int32_t t = n->job->ordinary[k];
        bounds(&least, &most, n, m, size, (double)scores[t], t);
        if (!(most < n->lowest[n->top - 1].value))
            ph__ranked_add(list, n->top, m->sign, t, m->exact(e, W + t * n->C, n->C));
    }
}

static ph_status find(struct near *n, ph_near *cosines, ph_near *euclid, const float *e,
                      size_t count, ph_error *err)
{
    const int64_t V = ph__lexicon_vocab(n->lexicon);

    for (size_t i = 0; i < count; i++) {
        const float *scores = n->scores + (int64_t)(i % TILE) * V, *at = e + (int64_t)i * n->C;
        const int64_t left = (int64_t)(count - i);
        if (i % TILE == 0)
            PH_TRY(ph__lexicon_scores(n->lexicon, n->scores, at, left < TILE ? left : TILE, err));
        nearest(cosines + i * n->top, n, &by_cosine, at, scores);
        nearest(euclid + i * n->top, n, &by_distance, at, scores);
    }
    return PH_OK;
}

static ph_status check(const ph_job *job, const float *e, size_t n, size_t top, ph_error *err)
{
    if (top < 1) return ph__fail(err, PH_EINVAL, -1, "0 tokens in a list: expected at least 1");
    for (size_t i = 0; i < n * (size_t)job->model->arch.C; i++)
        if (!isfinite(e[i]))
            return ph__fail(err, PH_ENUMERIC, -1, "embedding %zu holds NaN or infinity",
                            i / (size_t)job->model->arch.C);
    return PH_OK;
}

ph_status ph_near_embeddings(const ph_model *model, const float *e, size_t n, size_t top,
                             ph_near *cosines, ph_near *euclid, ph_error *err)
{
    ph_job job = {0};
    struct near s = {.job = &job, .C = model->arch.C, .top = top};
    const size_t rows = n < TILE ? n : TILE;
    ph_status st = PH_OK;

    PH_TRY(ph__job_open(&job, model, NULL, err));
    PH_GO(check(&job, e, n, top, err));
    PH_GO(ph__lexicon_open(&s.lexicon, model, err));
    PH_GO(PH_NEW(&s.scores, rows * (size_t)model->arch.V, err));
    PH_GO(PH_NEW(&s.lowest, top, err));
    PH_GO(find(&s, cosines, euclid, e, n, err));
done:
    ph__free(s.lowest);
    ph__free(s.scores);
    ph__lexicon_close(&s.lexicon);
    ph__job_close(&job);
    return st;
}

/* ---- pairs ---- */

static double mean_of(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += v[i];
    return sum / (double)n;
}

static double deviation_of(const double *v, size_t n, double mean)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (v[i] - mean) * (v[i] - mean);
    return sqrt(sum / (double)(n - 1));
}

static ph_status draw_pairs(double *cosines, double *distances, const ph_job *job, uint64_t seed,
                            ph_error *err)
{
    const int64_t C = job->model->arch.C;
    ph_rng rng = ph__rng(seed, (uint64_t)1 << 41); /* far from every other stream */
    float *pair = NULL;
    ph_status st = PH_OK;

    PH_TRY(PH_NEW(&pair, (size_t)(2 * C), err));
    for (size_t i = 0; i < PAIRS; i++) {
        const uint64_t a = ph__rng_below(&rng, job->n_ordinary);
        uint64_t b = ph__rng_below(&rng, job->n_ordinary - 1);
        b += b >= a;
        const int32_t ids[2] = {job->ordinary[a], job->ordinary[b]};
        PH_GO(ph_model_embed(job->model, pair, ids, 2, err));
        cosines[i] = cosine(pair, pair + C, C);
        distances[i] = distance(pair, pair + C, C);
    }
done:
    ph__free(pair);
    return st;
}

ph_status ph_random_pairs(ph_pair_stats *out, const ph_model *model, uint64_t seed, ph_error *err)
{
    ph_job job = {0};
    double *v = NULL;
    ph_status st = PH_OK;

    PH_TRY(ph__job_open(&job, model, NULL, err));
    if (job.n_ordinary < 2) {
        st = ph__fail(err, PH_EFORMAT, -1,
                      "the vocabulary has one ordinary token, which is no pair");
        goto done;
    }
    PH_GO(PH_NEW(&v, 2 * PAIRS, err));
    PH_GO(draw_pairs(v, v + PAIRS, &job, seed, err));
    out->n = PAIRS;
    out->cosine_mean = mean_of(v, PAIRS);
    out->cosine_sd = deviation_of(v, PAIRS, out->cosine_mean);
    out->distance_mean = mean_of(v + PAIRS, PAIRS);
    out->distance_sd = deviation_of(v + PAIRS, PAIRS, out->distance_mean);
done:
    ph__free(v);
    ph__job_close(&job);
    return st;
}
