/* test_attribute.c — occlusion against a score of every edited text, and the combined shares against
 * the sums they are made of. Gradients have their own tests.
 */
#include <math.h>
#include <phosphene.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 9, FEATURES = 5 }; /* 9 tokens: a length that the scorer would pad */

static int compared, failed;

static void must(ph_status st, const ph_error *err)
{
    if (st == PH_OK) return;
    fprintf(stderr, "test_attribute: %s\n", err->msg);
    exit(1);
}

static void same(const char *what, double a, double b, double tolerance)
{
    compared++;
    if (fabs(a - b) <= tolerance) return;
    failed++;
    printf("%s: %.17g, expected %.17g\n", what, a, b);
}

struct kept {
    size_t n, count, width; /* width 0: gradients are not looked at */
    double activation[FEATURES], product[FEATURES][N], occlusion[FEATURES][N], share[FEATURES][N];
};

/* The gradient that is handed out has the norms that are. */
static void check_gradient(const ph_score_result *r, size_t C)
{
    for (size_t t = 0; t < r->n; t++) {
        double squares = 0;
        for (size_t i = 0; i < C; i++)
            squares += (double)r->gradient[t * C + i] * (double)r->gradient[t * C + i];
        same("gradient", sqrt(squares), r->grad_norm[t], 1e-12 * r->grad_norm[t]);
    }
}

static int keep(const ph_score_result *r, void *payload)
{
    struct kept *k = payload;
    const size_t i = k->count++;
    k->n = r->n;
    k->activation[i] = r->activation;
    if (k->width) check_gradient(r, k->width);
    if (!r->occlusion) return 0;
    memcpy(k->product[i], r->grad_x_input, r->n * sizeof(double));
    memcpy(k->occlusion[i], r->occlusion, r->n * sizeof(double));
    memcpy(k->share[i], r->combined, r->n * sizeof(double));
    return 0;
}

/* Every text with one token replaced, scored on its own: the same bits are expected, since a row
 * depends on nothing but itself. */
static void check_occlusion(const char *where, const struct kept *k, const ph_model *m,
                            const ph_features *f, const int32_t *ids, const ph_run_options *run)
{
    const int32_t eot = ph_tokenizer_get_info(ph_model_tokenizer(m))->eot;
    ph_error err = {0};

    for (size_t t = 0; t < k->n; t++) {
        int32_t edited[N];
        struct kept e = {0};
        const ph_text text = {.ids = edited, .n_ids = k->n};
        memcpy(edited, ids, sizeof edited);
        edited[t] = eot;
        must(ph_score(m, f, &text, run, keep, &e, &err), &err);
        for (size_t i = 0; i < k->count; i++)
            same(where, k->occlusion[i][t], k->activation[i] - e.activation[i], 0);
    }
}

static void check_shares(const char *where, const struct kept *k)
{
    for (size_t i = 0; i < k->count; i++) {
        double product = 0, occlusion = 0, total = 0;
        for (size_t t = 0; t < k->n; t++) {
            product += fabs(k->product[i][t]);
            occlusion += fabs(k->occlusion[i][t]);
        }
        for (size_t t = 0; t < k->n; t++) {
            const double a = fabs(k->product[i][t]) / product;
            const double b = fabs(k->occlusion[i][t]) / occlusion;
            same(where, k->share[i][t], occlusion > 0 ? (a + b) / 2 : a, 1e-14);
            total += k->share[i][t];
        }
        same(where, total, 1, 1e-14);
    }
}

static void check(const char *path, const char *prefix, const int32_t *ids, size_t n)
{
    static const char specs[] =
        "block 2 [:, -1, 3], block 2 [:, 0, 0:4], block 1 neuron [:, :, 2], "
        "block 2 attn [:, :, 7], logits [:, -1, 5]";
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    const ph_text text = {.ids = ids, .n_ids = n};
    struct kept k = {0};
    ph_model *m = NULL;
    ph_features *f = NULL;
    ph_error err = {0};

    run.prefix = prefix;
    must(ph_model_open(&m, path, NULL, &err), &err);
    must(ph_features_parse(&f, ph_model_get_info(m), specs, &err), &err);
    k.width = (size_t)ph_model_get_info(m)->width;
    must(ph_attribute(m, f, &text, &run, keep, &k, &err), &err);
    if (k.count != FEATURES || k.n != n) failed++;
    check_occlusion(path, &k, m, f, ids, &run);
    check_shares(path, &k);
    /* what follows a feature's only token does not reach it */
    for (size_t t = 1; t < n; t++) same("not seen", k.share[1][t], 0, 0);
    ph_features_close(&f);
    ph_model_close(&m);
}

int main(void)
{
    static const char *const models[] = {"tests/data/llama_a.gguf", "tests/data/llama_b.gguf",
                                         "tests/data/llama_c.gguf"};
    for (size_t i = 0; i < 3; i++) {
        const int32_t ids[N] = {40, 41, 7, 99, 12, 150, 3, 3, 60};
        check(models[i], NULL, ids, N);
        check(models[i], "ab", ids, 5);
    }
    /* occlusion changes nothing where all is end-of-text: the gradient alone counts */
    ph_model *m = NULL;
    ph_error err = {0};
    must(ph_model_open(&m, models[0], NULL, &err), &err);
    const int32_t blank[N] = {ph_tokenizer_get_info(ph_model_tokenizer(m))->eot};
    ph_model_close(&m);
    check(models[0], NULL, blank, 1);
    printf("test_attribute: %d compared, %d failed\n", compared, failed);
    return failed || !compared;
}
