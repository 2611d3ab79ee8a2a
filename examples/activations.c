/* activations.c — a place's output at each token of a text, as CSV: activations MODEL PLACE TEXT
 *
 * PLACE is "block 8", "block 8 mlp", "blocks.7.hook_resid_post", …  The low level: a session.
 */
#include <phosphene.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ph_status run(float *X, const ph_model *model, ph_tap tap, const int32_t *ids, size_t n,
                     ph_error *err)
{
    ph_session_options options = PH_SESSION_OPTIONS_INIT;
    ph_session *session = NULL;
    int32_t *context = NULL;
    float *E = calloc(n * (size_t)ph_model_get_info(model)->width, sizeof *E);
    ph_status st = E ? ph_context(&context, &options.n_context, model, NULL, err) : PH_ENOMEM;

    options.tap = tap;
    options.tokens = (int64_t)n;
    options.context = context; /* BOS or end-of-text, as all searches have it */
    if (st == PH_OK) st = ph_model_embed(model, E, ids, n, err);
    if (st == PH_OK) st = ph_session_open(&session, model, &options, err);
    if (st == PH_OK) st = ph_session_forward(session, X, E, 1, err);
    ph_session_close(&session);
    ph_free(context);
    free(E);
    return st;
}

static void print_rows(const float *X, size_t n, int64_t W, const int32_t *ids)
{
    for (size_t t = 0; t < n; t++) {
        printf("%d", ids[t]);
        for (int64_t i = 0; i < W; i++) printf(",%.9g", (double)X[(int64_t)t * W + i]);
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    ph_model *model = NULL;
    ph_features *features = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    char spec[256];
    ph_error err = {0};

    if (argc != 4) return fprintf(stderr, "usage: %s MODEL PLACE TEXT\n", argv[0]), 2;
    snprintf(spec, sizeof spec, "%s [:, :, :]", argv[2]);
    ph_status st = ph_model_open(&model, argv[1], NULL, &err);
    if (st == PH_OK) st = ph_features_parse(&features, ph_model_get_info(model), spec, &err);
    if (st == PH_OK)
        st = ph_tokenizer_encode(&ids, &n, ph_model_tokenizer(model), argv[3], strlen(argv[3]), 0,
                                 &err);
    if (st == PH_OK && n > 0) {
        const ph_tap tap = ph_features_at(features, 0)->tap;
        const int64_t W = ph_place_width(ph_model_get_info(model), tap.place);
        float *X = calloc(n * (size_t)W, sizeof *X);
        st = X ? run(X, model, tap, ids, n, &err) : PH_ENOMEM;
        if (st == PH_OK) print_rows(X, n, W, ids);
        free(X);
    }
    if (st != PH_OK) fprintf(stderr, "%s: %s\n", argv[0], *err.msg ? err.msg : ph_status_name(st));
    ph_free(ids);
    ph_features_close(&features);
    ph_model_close(&model);
    return st == PH_OK ? 0 : 1;
}
