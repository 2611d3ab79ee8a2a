/* test_spec.c — the feature language: cases of tests/spec.test and docs/FEATURES.md, fields, limits.
 *
 * A case of those files is a block of lines: an input and its canonical expansion, or after %%FAIL
 * an input, the message, the input again and the caret. In FEATURES.md the blocks stand in fences
 * marked ```spec. Every canonical text must mean the same feature when it is parsed again.
 */
#include "feature/spec.h"
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const ph_model_info model = {
    .blocks = 32, .width = 4096, .heads = 32, .head_width = 128, .ffn = 11008, .vocab = 32000};

static void add(ph_str *s, const char *text)
{
    assert_int_equal(ph__str_add(s, text, strlen(text), NULL), PH_OK);
}

static void assert_same(const ph_feature *f, const ph_feature *want)
{
    assert_non_null(f);
    assert_int_equal(f->tap.place, want->tap.place);
    assert_int_equal(f->tap.only, want->tap.only);
    assert_int_equal(f->tap.block, want->tap.block);
    assert_int_equal(f->tokens.begin, want->tokens.begin);
    assert_int_equal(f->tokens.end, want->tokens.end);
    assert_int_equal(f->components.begin, want->components.begin);
    assert_int_equal(f->components.end, want->components.end);
    if (want->text) assert_string_equal(f->text, want->text);
}

/* names: with a newline between them */
static void assert_names(const char *specs, const char *names)
{
    ph_error err = {0};
    char *out = NULL, *p;
    size_t n = 0;

    if (ph_features_names(&out, &n, specs, &err) != PH_OK)
        fail_msg("'%s' has no names: %s", specs, err.msg);
    for (p = out; --n > 0; p += strlen(p)) p[strlen(p)] = '\n';
    assert_string_equal(out, names);
    ph_free(out);
}

/* ---- case files ---- */

static void assert_reparses(const ph_feature *f)
{
    ph_features *again = NULL;
    ph_error err = {0};

    if (ph_features_parse(&again, &model, f->text, &err) != PH_OK)
        fail_msg("'%s' does not parse again: %s", f->text, err.msg);
    assert_int_equal(ph_features_count(again), 1);
    assert_same(ph_features_at(again, 0), f);
    ph_features_close(&again);
    assert_names(f->text, f->text);
}

/* What the case should have said, from its input; *out grows by it. */
static void answer(ph_str *out, const char *input)
{
    ph_features *features = NULL;
    ph_error err = {0};

    if (ph_features_parse(&features, &model, input, &err) == PH_OK) {
        add(out, input);
        add(out, "\n");
        for (size_t i = 0; i < ph_features_count(features); i++) {
            assert_reparses(ph_features_at(features, i));
            add(out, ph_features_at(features, i)->text);
            add(out, "\n");
        }
        ph_features_close(&features);
        return;
    }
    assert_null(features);
    assert_true(err.code == PH_ESPEC || err.code == PH_ERANGE);
    assert_in_range(err.pos, 0, strlen(input));
    for (int i = 0; i < 2; i++) {
        add(out, i ? "" : "%%FAIL\n");
        add(out, input);
        add(out, "\n");
        add(out, i ? "" : err.msg);
        add(out, i ? "" : "\n");
    }
    for (int64_t i = 0; i < err.pos; i++) add(out, " ");
    add(out, "^\n");
}

/* Compare one case, whose first line is at `line`; returns 1 if it is wrong. */
static int check(const ph_str *wanted, const char *path, int line)
{
    char input[512] = "";
    const char *start = strncmp(wanted->data, "%%FAIL\n", 7) == 0 ? wanted->data + 7 : wanted->data;
    const size_t n = strcspn(start, "\n");
    ph_str got = {0};

    assert_in_range(n, 1, sizeof input - 1);
    memcpy(input, start, n);
    answer(&got, input);
    const int wrong = strcmp(got.data, wanted->data) != 0;
    if (wrong) print_error("%s:%d: wanted\n%sgot\n%s\n", path, line, wanted->data, got.data);
    ph__str_close(&got);
    return wrong;
}

static void run_file(const char *path, bool fenced)
{
    FILE *file = fopen(path, "r");
    char line[512];
    ph_str text = {0};
    bool inside = !fenced;
    int number = 0, cases = 0, wrong = 0;

    assert_non_null(file);
    for (bool more = true; more;) {
        more = fgets(line, sizeof line, file) != NULL;
        number++;
        if (more && fenced && strncmp(line, "```", 3) == 0) {
            inside = !inside && strcmp(line, "```spec\n") == 0;
            memcpy(line, "\n", 2);
        }
        const bool content = more && inside && line[0] != '\n' && line[0] != '#';
        if (content) {
            assert_non_null(strchr(line, '\n'));
            add(&text, line);
        } else if (text.size && (!more || line[0] == '\n')) {
            wrong += check(&text, path, number);
            cases++;
            ph__str_close(&text);
        }
    }
    fclose(file);
    print_message("%s: %d cases, %d wrong\n", path, cases, wrong);
    assert_true(cases >= 5);
    assert_int_equal(wrong, 0);
}

static void test_cases(void **state)
{
    (void)state;
    run_file("tests/spec.test", false);
}

static void test_docs(void **state)
{
    (void)state;
    run_file("docs/FEATURES.md", true);
}

/* ---- fields ---- */

static void assert_field(const char *spec, size_t i, ph_feature want)
{
    ph_features *features = NULL;
    assert_int_equal(ph_features_parse(&features, &model, spec, NULL), PH_OK);
    assert_same(ph_features_at(features, i), &want);
    ph_features_close(&features);
}

#define FEATURE(...) ((ph_feature){__VA_ARGS__, NULL, 0, NULL, 0})

static void test_fields(void **state)
{
    (void)state;
    const ph_tap b8 = {PH_PLACE_BLOCK, false, 8};
    assert_field("block 8 [:, :, 5]", 0, FEATURE(b8, {0, PH_END}, {5, 6}, NULL));
    assert_field("block 8 [:, -1, :]", 0, FEATURE(b8, {-1, PH_END}, {0, 4096}, NULL));
    assert_field("block 8 [:, -1:, 7:]", 0, FEATURE(b8, {-1, PH_END}, {7, 4096}, NULL));
    assert_field("block 8 [:, -3, 0:4]", 0, FEATURE(b8, {-3, -2}, {0, 4}, NULL));
    assert_field("block 8 [:, -3:-1, 5]", 0, FEATURE(b8, {-3, -1}, {5, 6}, NULL));
    assert_field("block 8 [:, 2:, 5]", 0, FEATURE(b8, {2, PH_END}, {5, 6}, NULL));
    assert_field("block 8 [:, :3, 5]", 0, FEATURE(b8, {0, 3}, {5, 6}, NULL));
    assert_field("block 8 [:, 2:-1, 5]", 0, FEATURE(b8, {2, -1}, {5, 6}, NULL));
    assert_field("block 8 [:, 0-1, 3-5]", 4, FEATURE(b8, {1, 2}, {4, 5}, "block 8 [:, 1, 4]"));
    assert_field("only block 32 neuron [:, :, 11007]", 0,
                 FEATURE({PH_PLACE_NEURON, true, 32}, {0, PH_END}, {11007, 11008}, NULL));
    assert_field("logits [:, 4, 31999]", 0,
                 FEATURE({PH_PLACE_LOGITS, false, 0}, {4, 5}, {31999, 32000}, NULL));
    assert_field("embed [:, :, 1], final [:, :, 2]", 1,
                 FEATURE({PH_PLACE_FINAL, false, 0}, {0, PH_END}, {2, 3}, NULL));
    assert_field("blocks.7.hook_resid_post[:, -1, 2000]", 0,
                 FEATURE(b8, {-1, PH_END}, {2000, 2001}, "block 8 [:, -1, 2000]"));
    assert_field("block 1 [:, 9223372036854775805, 0]", 0,
                 FEATURE({PH_PLACE_BLOCK, false, 1}, {INT64_MAX - 2, INT64_MAX - 1}, {0, 1}, NULL));
}

static void test_width(void **state)
{
    (void)state;
    const int64_t want[PH_PLACE_COUNT] = {4096, 4096, 4096, 11008, 4096, 4096, 32000};
    for (int p = 0; p < PH_PLACE_COUNT; p++)
        assert_int_equal(ph_place_width(&model, (ph_place)p), want[p]);
    assert_int_equal(ph_place_width(&model, PH_PLACE_COUNT), 0);
}

/* On an axis of one component its index and ":" are one feature, so they have one text. */
static void test_narrow(void **state)
{
    (void)state;
    const ph_model_info narrow = {.blocks = 1, .width = 1, .ffn = 2};
    static const char *const specs[] = {"block 1 [:, :, 0]", "block 1 [:, :, 0-0]",
                                        "block 1 [:, :, :]", "embed [:, :, 0]"};
    ph_features *features = NULL;
    ph_error err = {0};

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        assert_int_equal(ph_features_parse(&features, &narrow, specs[i], NULL), PH_OK);
        assert_string_equal(ph_features_at(features, 0)->text,
                            i < 3 ? "block 1 [:, :, :]" : "embed [:, :, :]");
        ph_features_close(&features);
    }
    assert_int_equal(ph_features_parse(&features, &narrow, "logits [:, :, :]", &err), PH_ERANGE);
    assert_string_equal(err.msg, "logits: this model has no features there");
    const ph_model_info none = {.vocab = 10};
    assert_int_equal(ph_features_parse(&features, &none, "block 1 [:, :, :]", &err), PH_ERANGE);
    assert_string_equal(err.msg, "this model has no blocks");
    assert_int_equal(err.pos, 6);
    assert_null(features);
}

/* ---- errors that a line of spec.test cannot hold, and codes ---- */

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        ph_status code;
        int64_t pos;
        const char *msg;
    } cases[] = {
        {"", PH_ESPEC, 0, "expected block N, embed, final, logits or a hook name, found the end"},
        {" \t\n", PH_ESPEC, 3,
         "expected block N, embed, final, logits or a hook name, found the end"},
        {"block 8 [:, :, 1], ", PH_ESPEC, 19,
         "expected block N, embed, final, logits or a hook name, found the end"},
        {"block 8 [:, \x01, 1]", PH_ESPEC, 12,
         "expected tokens: a number, -k, a-b, a:b or ':', found control byte 0x01"},
        {"block 8 [:, 0\x7f, 1]", PH_ESPEC, 13,
         "expected ',' after the tokens, found control byte 0x7f"},
        {"block 8 [:, 0\xe2\x80\x93"
         "4, 1]",
         PH_ESPEC, 13, "expected ',' after the tokens, found byte 0xe2, which is not ASCII"},
        {"\xff\xfe", PH_ESPEC, 0,
         "expected block N, embed, final, logits or a hook name, found byte 0xff, which is not "
         "ASCII"},
        {"block 33 [:, :, 0]", PH_ERANGE, 6, "block 33: this model has blocks 1 to 32"},
        {"block 8 [:, :, 4096]", PH_ERANGE, 15,
         "feature 4096: block 8 of this model has 0 to 4095"},
        {"only embed [:, :, 0]", PH_ESPEC, 5, "'only' is for a block: embed is not in one"},
        {"block 8 [:, 3:3, 0]", PH_ESPEC, 12, "the slice 3:3 is empty: 3 is excluded"},
        {"block 8 [:, :, 99999999999999999999]", PH_ERANGE, 15,
         "a number of 20 digits is too large"},
        {"block 8 [:, 9223372036854775806, 0]", PH_ERANGE, 12,
         "a number of 19 digits is too large"},
        {"block 8 [:, 0-9223372036854775805, 0-4095]", PH_ERANGE, 0,
         "more than 2^64 features asked for, at most 1000000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ph_features *features = NULL;
        ph_error err = {0};
        assert_int_equal(ph_features_parse(&features, &model, cases[i].spec, &err), cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_string_equal(err.msg, cases[i].msg);
        assert_int_equal(err.pos, cases[i].pos);
        assert_null(features);
        assert_int_equal(ph_features_parse(&features, &model, cases[i].spec, NULL), cases[i].code);
    }
}

static void test_arguments(void **state)
{
    (void)state;
    ph_features *features = NULL;
    ph_error err = {0};
    assert_int_equal(ph_features_parse(NULL, &model, "embed [:, :, 0]", &err), PH_EINVAL);
    assert_int_equal(ph_features_parse(&features, NULL, "embed [:, :, 0]", &err), PH_EINVAL);
    assert_int_equal(ph_features_parse(&features, &model, NULL, &err), PH_EINVAL);
    assert_int_equal(ph_features_count(NULL), 0);
    assert_null(ph_features_at(NULL, 0));
    ph_features_close(NULL);
    ph_features_close(&features);
    assert_int_equal(ph_features_parse(&features, &model, "embed [:, :, 0]", &err), PH_OK);
    assert_null(ph_features_at(features, 1));
    assert_null(ph_features_at(features, SIZE_MAX));
    ph_features_close(&features);
    assert_null(features);
}

/* ---- many ---- */

static void test_limit(void **state)
{
    (void)state;
    ph_features *features = NULL;
    ph_error err = {0};

    assert_int_equal(ph_features_parse(&features, &model,
                                       "block 8 [:, 0-99, 0-3999], block 9 [:, 0-599999, 1:3]",
                                       &err),
                     PH_OK);
    assert_int_equal(ph_features_count(features), 1000000);
    assert_string_equal(ph_features_at(features, 3999)->text, "block 8 [:, 0, 3999]");
    assert_string_equal(ph_features_at(features, 4000)->text, "block 8 [:, 1, 0]");
    assert_string_equal(ph_features_at(features, 399999)->text, "block 8 [:, 99, 3999]");
    assert_string_equal(ph_features_at(features, 999999)->text, "block 9 [:, 599999, 1:3]");
    ph_features_close(&features);
    assert_int_equal(ph_features_parse(&features, &model,
                                       "embed [:, :, 0], block 8 [:, 0-999999, 0], embed [:, :, 1]",
                                       &err),
                     PH_ERANGE);
    assert_string_equal(err.msg, "1000002 features asked for, at most 1000000 can be");
    assert_int_equal(err.pos, 17);
    assert_null(features);
}

/* A long list is linear work: 200,000 specs in one string. */
static void test_long(void **state)
{
    (void)state;
    ph_str text = {0};
    ph_features *features = NULL;

    for (int i = 0; i < 200000; i++) add(&text, i ? ",embed[:,:,0]" : "embed[:,:,0]");
    assert_int_equal(ph_features_parse(&features, &model, text.data, NULL), PH_OK);
    assert_int_equal(ph_features_count(features), 200000);
    assert_string_equal(ph_features_at(features, 199999)->text, "embed [:, :, 0]");
    ph_features_close(&features);
    ph__str_close(&text);
}

/* The longest text there is fits its buffer. */
static void test_print(void **state)
{
    (void)state;
    char text[PH_FEATURE_TEXT];
    const ph_feature f = {{PH_PLACE_NEURON, true, INT64_MAX},
                          {INT64_MIN, -1000000000000000000},
                          {INT64_MIN, -1000000000000000000},
                          NULL,
                          NULL,
                          0,
                          NULL,
                          0};
    const size_t n = ph__feature_print(text, &f, 5);
    assert_string_equal(text, "only block 9223372036854775807 neuron "
                              "[:, -9223372036854775808:-1000000000000000000, "
                              "-9223372036854775808:-1000000000000000000]");
    assert_int_equal(n, strlen(text));
    assert_true(n < PH_FEATURE_TEXT);
}

static void test_names(void **state)
{
    static const char *const cases[][2] = {
        {"block 8 [:,:,0-2]", "block 8 [:, :, 0]\nblock 8 [:, :, 1]\nblock 8 [:, :, 2]"},
        {" block  8[:, 0-1 , 3] ", "block 8 [:, 0, 3]\nblock 8 [:, 1, 3]"},
        {"block 999[:, : , 1:4],embed [ :,-1,2]", "block 999 [:, :, 1:4]\nembed [:, -1, 2]"},
        {"blocks.7.hook_resid_post[:, 02, 4:5]", "block 8 [:, 2, 4]"},
        {"0.50*block 2 [:,:,0] - embed [:, -1, 3]", "0.5*block 2 [:, :, 0] - embed [:, -1, 3]"},
        {"block 8 [:, :, 0-1]-block 9 [:, :, 4-5]", /* in step */
         "block 8 [:, :, 0] - block 9 [:, :, 4]\nblock 8 [:, :, 1] - block 9 [:, :, 5]"},
        {"only block 3 neuron [:, 1:, 7:]", "only block 3 neuron [:, 1:, 7:]"},
        {"dir:\"x\\y\" @ block 1", "dir:x\\y @ block 1 [:, :]"},
        {"dir:\"a, b\"#1 @block 1[:,:, 0:64]", "dir:\"a, b\"#1 @ block 1 [:, :]"},
        {"sae:a/b [:, :, 3-4], -sae:a/b[:,-1,12]",
         "sae:a/b [:, :, 3]\nsae:a/b [:, :, 4]\n-sae:a/b [:, -1, 12]"}};
    static const struct {
        const char *specs, *message;
        ph_status code;
        int64_t pos;
    } wrong[] = {{"unclosed [:, 3-", "expected block N, embed, final, logits", PH_ESPEC, 0},
                 {"block 8 [:, :, 5-3]", "the range 5-3 is empty", PH_ESPEC, 15},
                 {"block 8 [:, :, 1], ", "found the end", PH_ESPEC, 19},
                 {"block 0 [:, :, 1]", "block 0: blocks count from 1", PH_ERANGE, 6},
                 {"logits [:, :, \"a\"]", "without a model a token is written", PH_ESPEC, 14},
                 {"dir:x @ block 1 [:, :, 3]", "a direction takes all features", PH_ESPEC, 23},
                 {"sae:x [:, :, :]", "one by one", PH_ESPEC, 13},
                 {"block 1 [:, :, 9223372036854775806]", "too large", PH_ERANGE, 15}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_names(cases[i][0], cases[i][1]);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *names = NULL;
        size_t n;
        ph_error err = {0};
        assert_int_equal(ph_features_names(&names, &n, wrong[i].specs, &err), wrong[i].code);
        if (!strstr(err.msg, wrong[i].message)) fail_msg("%s: %s", wrong[i].specs, err.msg);
        assert_int_equal(err.pos, wrong[i].pos);
        assert_null(names);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),     cmocka_unit_test(test_docs),
        cmocka_unit_test(test_fields),    cmocka_unit_test(test_width),
        cmocka_unit_test(test_narrow),    cmocka_unit_test(test_errors),
        cmocka_unit_test(test_arguments), cmocka_unit_test(test_limit),
        cmocka_unit_test(test_long),      cmocka_unit_test(test_print),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
