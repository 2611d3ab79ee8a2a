/* test_near.c — neighbours against every token's figures computed in double and sorted, random pairs
 * against all pairs there are.
 */
#include "base/rng.h"
#include "search/job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 40, TOP = 7 }; /* more embeddings than one product takes */

static int compared, failed;

static void must(ph_status st, const ph_error *err)
{
    if (st == PH_OK) return;
    fprintf(stderr, "test_near: %s\n", err->msg);
    exit(1);
}

static void *room(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p) exit(1);
    return p;
}

static void same(const char *what, double a, double b, double tolerance)
{
    compared++;
    if (fabs(a - b) <= tolerance) return;
    failed++;
    printf("%s: %.17g, expected %.17g\n", what, a, b);
}

struct setup {
    ph_model *model;
    ph_job job;
    int64_t C;
    float *W; /* (n_ordinary,C) */
};

static struct setup setup_open(const char *path)
{
    struct setup s = {0};
    ph_error err = {0};
    must(ph_model_open(&s.model, path, NULL, &err), &err);
    must(ph__job_open(&s.job, s.model, NULL, &err), &err);
    s.C = ph_model_get_info(s.model)->width;
    s.W = room(s.job.n_ordinary * (size_t)s.C, sizeof *s.W);
    must(ph_model_embed(s.model, s.W, s.job.ordinary, s.job.n_ordinary, &err), &err);
    return s;
}

static void setup_close(struct setup *s)
{
    free(s->W);
    ph__job_close(&s->job);
    ph_model_close(&s->model);
}

static double cosine(const float *a, const float *b, int64_t C)
{
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < C; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 0;
}

static double distance(const float *a, const float *b, int64_t C)
{
    double sum = 0;
    for (int64_t i = 0; i < C; i++) sum += pow((double)a[i] - (double)b[i], 2);
    return sqrt(sum);
}

/* Nearest first (smallest key), ties to the lower id. */
static int by_key(const void *a, const void *b)
{
    const ph_near *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void check_list(const char *what, const struct setup *s, const float *e, const ph_near *list,
                       double (*figure)(const float *, const float *, int64_t), int sign)
{
    const size_t n = s->job.n_ordinary;
    ph_near *all = room(n, sizeof *all);

    for (size_t k = 0; k < n; k++)
        all[k] = (ph_near){s->job.ordinary[k], sign * figure(e, s->W + (int64_t)k * s->C, s->C)};
    qsort(all, n, sizeof *all, by_key);
    for (size_t k = 0; k < TOP; k++) {
        same(what, list[k].id, all[k].id, 0);
        same(what, list[k].value, sign * all[k].value, 1e-14 * (1 + fabs(all[k].value)));
    }
    free(all);
}

/* Random embeddings, two tokens' own, the zero vector, and one between two tokens. */
static float *embeddings(const struct setup *s)
{
    float *E = room(N * (size_t)s->C, sizeof *E);
    ph_rng rng = ph__rng(5, 0);
    for (int64_t i = 0; i < N * s->C; i++) E[i] = (float)ph__rng_normal(&rng);
    memcpy(E, s->W + 17 * s->C, (size_t)s->C * sizeof *E);
    memcpy(E + s->C, s->W, (size_t)s->C * sizeof *E);
    memset(E + 2 * s->C, 0, (size_t)s->C * sizeof *E);
    for (int64_t i = 0; i < s->C; i++)
        E[3 * s->C + i] = (s->W[20 * s->C + i] + s->W[21 * s->C + i]) / 2;
    return E;
}

static void check_neighbours(const char *path)
{
    struct setup s = setup_open(path);
    ph_near cosines[N * TOP], euclid[N * TOP], many[2 * 600];
    ph_error err = {0};
    float *E = embeddings(&s);
    const size_t all = s.job.n_ordinary;

    must(ph_near_embeddings(s.model, E, N, TOP, cosines, euclid, &err), &err);
    for (int64_t i = 0; i < N; i++) {
        check_list(path, &s, E + i * s.C, cosines + i * TOP, cosine, -1);
        check_list(path, &s, E + i * s.C, euclid + i * TOP, distance, 1);
    }
    same("a token is its own nearest", cosines[0].id, s.job.ordinary[17], 0);
    same("at distance 0", euclid[0].value, 0, 0);
    /* all of them tie with the zero vector: the lowest ids */
    for (size_t k = 0; k < TOP; k++) same("tie", cosines[2 * TOP + k].id, s.job.ordinary[k], 0);

    must(ph_near_embeddings(s.model, E, 1, 600, many, many + 600, &err), &err);
    same("the last ordinary one is listed", many[all - 1].id >= 0, 1, 0);
    same("and no more", many[all].id, -1, 0);

    E[1] = NAN;
    same("NaN", ph_near_embeddings(s.model, E, 1, TOP, cosines, euclid, &err), PH_ENUMERIC, 0);
    same("top 0", ph_near_embeddings(s.model, E, 1, 0, cosines, euclid, &err), PH_EINVAL, 0);
    free(E);
    setup_close(&s);
}

static void check_pairs(const char *path)
{
    struct setup s = setup_open(path);
    const size_t n = s.job.n_ordinary;
    double sum[2] = {0}, squares[2] = {0}, count = 0;
    ph_pair_stats a, b, c;
    ph_error err = {0};

    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++, count++) {
            const float *x = s.W + (int64_t)i * s.C, *y = s.W + (int64_t)k * s.C;
            const double v[2] = {cosine(x, y, s.C), distance(x, y, s.C)};
            for (int j = 0; j < 2; j++) {
                sum[j] += v[j];
                squares[j] += v[j] * v[j];
            }
        }
    must(ph_random_pairs(&a, s.model, 0, &err), &err);
    must(ph_random_pairs(&b, s.model, 0, &err), &err);
    must(ph_random_pairs(&c, s.model, 1, &err), &err);
    const double mean[2] = {a.cosine_mean, a.distance_mean}, sd[2] = {a.cosine_sd, a.distance_sd};
    for (int j = 0; j < 2; j++) {
        const double m = sum[j] / count, deviation = sqrt(squares[j] / count - m * m);
        /* five standard errors of a mean and, of nearly normal values, of a deviation */
        same("mean of pairs", mean[j], m, 5 * deviation / sqrt((double)a.n));
        same("deviation of pairs", sd[j], deviation, 5 * deviation / sqrt(2.0 * (double)a.n));
    }
    same("the same seed", memcmp(&a, &b, sizeof a), 0, 0);
    same("another seed", a.cosine_mean != c.cosine_mean, 1, 0);
    setup_close(&s);
}

int main(void)
{
    static const char *const models[] = {"tests/data/llama_a.gguf", "tests/data/llama_b.gguf",
                                         "tests/data/llama_c.gguf"};
    for (size_t i = 0; i < 3; i++) {
        check_neighbours(models[i]);
        check_pairs(models[i]);
    }
    printf("test_near: %d compared, %d failed\n", compared, failed);
    return failed || !compared;
}
