/* dream_one.c — the texts that one feature responds to: dream_one MODEL SPEC [BUDGET]
 *
 * The shortest useful program: open, parse, search, print. A result lives for the call of print_answer.
 */
#include <phosphene.h>
#include <stdio.h>
#include <stdlib.h>

static int print_answer(const ph_dream_result *r, void *payload)
{
    const ph_decoded *a = r->answer;
    (void)payload;
    printf("%s  \"%s\"  %.2f  (z %+.1f, best single token %.2f)\n", r->feature->text, a->text,
           a->activation.text, r->z, r->best_token.value);
    return 0; /* anything else stops the search */
}

int main(int argc, char **argv)
{
    ph_dream_options options = PH_DREAM_OPTIONS_INIT;
    ph_model *model = NULL;
    ph_features *features = NULL;
    ph_error err = {0};
    ph_status st;

    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL SPEC [BUDGET]\n", argv[0]);
        return 2;
    }
    if (argc > 3) options.budget = atoll(argv[3]);
    st = ph_model_open(&model, argv[1], NULL, &err);
    if (st == PH_OK) st = ph_features_parse(&features, ph_model_get_info(model), argv[2], &err);
    if (st == PH_OK) st = ph_dream(model, features, &options, print_answer, NULL, NULL, &err);
    if (st != PH_OK) fprintf(stderr, "%s: %s\n", argv[0], err.msg);
    if (st == PH_ESPEC || st == PH_ERANGE)
        fprintf(stderr, "  %s\n  %*s^\n", argv[2], err.pos < 0 ? 0 : (int)err.pos, "");
    ph_features_close(&features);
    ph_model_close(&model);
    return st == PH_OK ? 0 : 1;
}
