/* own_search.c — a search of one's own, by sessions: own_search MODEL BLOCK COMPONENT [ROUNDS]
 *
 * The simplest that there is, random texts, B at once; a method of yours replaces `propose`.
 */
#include <phosphene.h>
#include <stdio.h>
#include <stdlib.h>

enum { B = 32, T = 5 };

static void propose(int32_t *ids, int32_t vocab)
{
    for (int i = 0; i < B * T; i++) ids[i] = (int32_t)(rand() % vocab);
}

static int print_score(const ph_score_result *r, void *payload)
{
    printf("%s of \"%s\": %.4f\n", r->feature->text, (const char *)payload, r->activation);
    return 0;
}

/* best (T) = of rounds × B random texts the one with the highest mean of a component. */
static ph_status search(int32_t *best, const ph_model *model, ph_tap tap, int64_t component,
                        int rounds, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    const ph_model_info *info = ph_model_get_info(model);
    const int64_t C = info->width;
    float *E = calloc((size_t)(2 * B * T * C), sizeof *E), *X = E + B * T * C;
    int32_t ids[B * T], *context = NULL;
    ph_session *session = NULL;
    double record = -1e300;
    ph_status st = E ? ph_context(&context, &o.n_context, model, NULL, err) : PH_ENOMEM;

    o.tap = tap, o.rows = B, o.tokens = T, o.context = context;
    if (st == PH_OK) st = ph_session_open(&session, model, &o, err);
    for (int round = 0; st == PH_OK && round < rounds; round++) {
        propose(ids, (int32_t)info->vocab);
        st = ph_model_embed(model, E, ids, B * T, err);
        if (st == PH_OK) st = ph_session_forward(session, X, E, B, err);
        for (int b = 0; st == PH_OK && b < B; b++) {
            double mean = 0;
            for (int t = 0; t < T; t++) mean += (double)X[(b * T + t) * C + component] / T;
            if (mean <= record) continue;
            record = mean;
            for (int t = 0; t < T; t++) best[t] = ids[b * T + t];
        }
    }
    ph_session_close(&session);
    ph_free(context);
    free(E);
    return st;
}

int main(int argc, char **argv)
{
    int32_t best[T] = {0};
    ph_model *model = NULL;
    ph_features *features = NULL;
    char spec[80], *text = NULL;
    size_t n = 0;
    ph_error err = {0};

    if (argc < 4) return fprintf(stderr, "usage: %s MODEL BLOCK COMPONENT [ROUNDS]\n", argv[0]), 2;
    snprintf(spec, sizeof spec, "block %s [:, :, %s]", argv[2], argv[3]);
    ph_status st = ph_model_open(&model, argv[1], NULL, &err);
    if (st == PH_OK) st = ph_features_parse(&features, ph_model_get_info(model), spec, &err);
    if (st == PH_OK) {
        const ph_feature *f = ph_features_at(features, 0);
        st = search(best, model, f->tap, f->components.begin, argc > 4 ? atoi(argv[4]) : 10, &err);
    }
    if (st == PH_OK) st = ph_tokenizer_decode(&text, &n, ph_model_tokenizer(model), best, T, &err);
    const ph_text given = {.ids = best, .n_ids = T};
    if (st == PH_OK) st = ph_score(model, features, &given, NULL, print_score, text, &err);
    if (st != PH_OK) fprintf(stderr, "%s: %s\n", argv[0], err.msg);
    ph_free(text);
    ph_features_close(&features);
    ph_model_close(&model);
    return st == PH_OK ? 0 : 1;
}
