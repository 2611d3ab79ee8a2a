/* test_recover_real.c — exact recovery from the default model: two texts, blocks 1, 8 and 30.
 *
 * Skipped (77) where the model is not there. tools/check_recover.py measures more.
 */
#include <phosphene.h>

#include <stdio.h>
#include <stdlib.h>

static int compared, failed;

static int on_result(const ph_recover_result *r, void *payload)
{
    const int64_t tenth = *(const int64_t *)payload / 10;
    compared++;
    printf("%s: %lld of %zu, tried %.0f a token, %.2f s\n", r->feature->text,
           (long long)r->answer->matched, r->n, (double)r->tried / (double)r->n, r->seconds);
    const bool whole = r->answer->matched == (int64_t)r->n && r->answer->distance == 0;
    if (whole && r->worst_found <= r->tolerance && r->tried <= tenth * (int64_t)r->n) return 0;
    failed++;
    printf("FAIL: distance %g, worst found %g\n", r->answer->distance, r->worst_found);
    return 0;
}

static ph_status run(const char *path, ph_error *err)
{
    static const ph_text texts[] = {{.text = "The sky is blue.", .bytes = 16},
                                    {.text = "x = 3;\n", .bytes = 7}};
    ph_recover_options o = PH_RECOVER_OPTIONS_INIT;
    ph_model *model = NULL;
    ph_features *features = NULL;
    ph_status st = ph_model_open(&model, path, NULL, err);

    o.method = "exact";
    if (st == PH_OK)
        st = ph_features_parse(&features, ph_model_get_info(model),
                               "block 1 [:, :, :], block 8 [:, :, :], block 30 [:, :, :]", err);
    for (size_t i = 0; st == PH_OK && i < 2; i++) {
        int64_t vocab = ph_model_get_info(model)->vocab;
        st = ph_recover(model, features, &texts[i], &o, on_result, &vocab, err);
    }
    ph_features_close(&features);
    ph_model_close(&model);
    return st;
}

int main(void)
{
    const char *path = getenv("PHOSPHENE_MODEL");
    ph_error err = {0};

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!path || !*path) {
        printf("skipped: PHOSPHENE_MODEL names no model\n");
        return 77;
    }
    if (run(path, &err) != PH_OK) {
        printf("FAIL: %s\n", err.msg);
        return 1;
    }
    printf("test_recover_real: %d compared, %d failed\n", compared, failed);
    return failed || compared != 6;
}
