/* scan_feature.c — every token of the vocabulary, alone: scan_feature MODEL SPEC
 *
 * Complete search, with a progress that says where it is, and token texts that may be any bytes.
 */
#include <phosphene.h>
#include <stdio.h>

static void print_token(const ph_tokenizer *t, const ph_near *token)
{
    size_t n = 0;
    char *clean = NULL;
    const char *piece =
        ph_tokenizer_piece(t, token->id, &n); /* borrowed, not valid UTF-8 perhaps */

    if (piece && ph_utf8_clean(&clean, piece, n, NULL) == PH_OK)
        printf("  %6d  %9.4f  '%s'\n", token->id, token->value, clean);
    ph_free(clean);
}

static int print_lists(const ph_scan_result *r, void *payload)
{
    const ph_model *model = payload;
    printf("%s: mean %.3f, sd %.3f of %lld tokens\n", r->feature->text, r->mean, r->sd,
           (long long)r->n);
    for (size_t i = 0; i < r->n_top; i++) print_token(ph_model_tokenizer(model), &r->top[i]);
    printf("  …\n");
    for (size_t i = r->n_top; i-- > 0;) print_token(ph_model_tokenizer(model), &r->bottom[i]);
    return 0;
}

static int report(const char *stage, double done, void *payload)
{
    (void)payload;
    fprintf(stderr, "\r%s %3.0f %%%s", stage, 100 * done, done >= 1 ? "\n" : "");
    return 0;
}

int main(int argc, char **argv)
{
    ph_scan_options options = PH_SCAN_OPTIONS_INIT;
    ph_model *model = NULL;
    ph_features *features = NULL;
    ph_error err = {0};
    ph_status st;

    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL SPEC\n", argv[0]);
        return 2;
    }
    options.top = 5;
    options.run.progress = report;
    st = ph_model_open(&model, argv[1], NULL, &err);
    if (st == PH_OK) st = ph_features_parse(&features, ph_model_get_info(model), argv[2], &err);
    if (st == PH_OK) st = ph_scan(model, features, &options, print_lists, model, &err);
    if (st != PH_OK) fprintf(stderr, "%s: %s\n", argv[0], err.msg);
    ph_features_close(&features);
    ph_model_close(&model);
    return st == PH_OK ? 0 : 1;
}
