/* test_smollm_tokens.c — the default model's tokenizer against tests/data/smollm_tokens.txt, which
 * tools/golden_tokens.py wrote with Hugging Face `tokenizers`: ids, a tab, the text (see lines.h).
 *
 * The model is $PHOSPHENE_MODEL, else the file that script/fetch-model keeps; without it the test
 * is skipped.
 */
#include "lines.h"

#include <phosphene.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static ph_tokenizer *tokenizer;

static void check_line(char *line, size_t n, size_t number)
{
    ph_error err = {0};
    char *tab = memchr(line, '\t', n), *want = line, *end;
    int32_t *ids = NULL;
    size_t count;

    assert_non_null(tab);
    const size_t bytes = lines_unescape(tab + 1, n - (size_t)(tab + 1 - line));
    assert_true(bytes != (size_t)-1);
    if (ph_tokenizer_encode(&ids, &count, tokenizer, tab + 1, bytes, 0, &err) != PH_OK)
        fail_msg("line %zu: %s", number, err.msg);
    for (size_t i = 0; i < count; i++, want = end) {
        const long id = strtol(want, &end, 10);
        if (end == want || end > tab || id != ids[i])
            fail_msg("line %zu: token %zu is %d, expected %ld", number, i, ids[i], id);
    }
    if (want != tab) fail_msg("line %zu: too few ids", number);
    ph_free(ids);
}

static void test_golden(void **state)
{
    (void)state;
    FILE *f = fopen("tests/data/smollm_tokens.txt", "rb");
    char *line = NULL;
    size_t cap = 0, number = 0, checked = 0;

    assert_non_null(f);
    for (ssize_t n; (n = getline(&line, &cap, f)) > 0;) {
        number++;
        if (line[0] == '#') continue;
        assert_int_equal(line[n - 1], '\n');
        check_line(line, (size_t)n - 1, number);
        checked++;
    }
    assert_true(checked >= 1000);
    printf("%zu texts\n", checked);
    free(line);
    fclose(f);
}

static void test_info(void **state)
{
    (void)state;
    const ph_tokenizer_info *info = ph_tokenizer_get_info(tokenizer);
    size_t n;
    assert_string_equal(info->model, "gpt2");
    assert_string_equal(info->pre, "smollm");
    assert_int_equal(info->vocab, 49152);
    assert_int_equal(info->bos, 1);
    assert_int_equal(info->eos, 2);
    assert_int_equal(info->eot, 0); /* neither of the two: found by name */
    assert_false(info->add_bos);
    assert_false(info->add_eos);
    assert_memory_equal(ph_tokenizer_piece(tokenizer, 0, &n), "<|endoftext|>", 13);
    assert_int_equal(ph_tokenizer_kind(tokenizer, 0), PH_TOKEN_CONTROL);
}

static void test_every_piece(void **state)
{
    (void)state;
    ph_error err = {0};
    const int32_t V = ph_tokenizer_get_info(tokenizer)->vocab;
    size_t total = 0, size, n;
    int32_t *all = malloc((size_t)V * sizeof *all);
    char *text = NULL;

    assert_non_null(all);
    for (int32_t id = 0; id < V; id++) all[id] = id;
    assert_int_equal(ph_tokenizer_decode(&text, &size, tokenizer, all, (size_t)V, &err), PH_OK);
    for (int32_t id = 0; id < V; id++) {
        const char *piece = ph_tokenizer_piece(tokenizer, id, &n);
        assert_true(n > 0 && total + n <= size);
        assert_memory_equal(text + total, piece, n);
        total += n;
    }
    assert_int_equal(total, size);
    ph_free(text);
    free(all);
}

static void test_long_word(void **state)
{
    (void)state;
    enum { N = 100000 };
    ph_error err = {0};
    char *text = malloc(N), *back = NULL;
    int32_t *ids = NULL;
    size_t n, size;

    assert_non_null(text);
    for (int i = 0; i < N; i++) text[i] = "aAbe"[i % 4];
    assert_int_equal(ph_tokenizer_encode(&ids, &n, tokenizer, text, N, 0, &err), PH_OK);
    assert_int_equal(ph_tokenizer_decode(&back, &size, tokenizer, ids, n, &err), PH_OK);
    assert_int_equal(size, N);
    assert_memory_equal(back, text, N);
    ph_free(ids);
    ph_free(back);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_every_piece),
        cmocka_unit_test(test_long_word),
    };
    const char *given = getenv("PHOSPHENE_MODEL"), *data = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    char path[4096];
    ph_error err = {0};

    if (given && *given)
        snprintf(path, sizeof path, "%s", given);
    else
        snprintf(path, sizeof path, "%s%s/phosphene/SmolLM2-135M-Instruct.Q4_1.gguf",
                 data   ? data
                 : home ? home
                        : "",
                 data ? "" : "/.local/share");
    if (access(path, R_OK) != 0) {
        printf("skipped: no file %s (script/fetch-model)\n", path);
        return 77;
    }
    if (ph_tokenizer_open(&tokenizer, path, &err) != PH_OK) {
        printf("%s\n", err.msg);
        return 1;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ph_tokenizer_close(&tokenizer);
    return failed;
}
