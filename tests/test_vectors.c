/* test_vectors.c — the vocabularies of $PHOSPHENE_VOCAB_DIR (default ../shared/vocab): NAME.gguf,
 * NAME.gguf.inp with cases separated by a line __ggml_vocab_test__, NAME.gguf.out with a line of
 * ids for each. Without the folder the test is skipped.
 */
#include <phosphene.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char *folder;

static char *path_of(const char *name, const char *suffix)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/ggml-vocab-%s.gguf%s", folder, name, suffix);
    return path;
}

/* The whole file and a 0. */
static char *slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    size_t n = 0, cap = 0;

    if (!f) fail_msg("%s: cannot be read", path);
    do {
        text = realloc(text, (cap += 65536) + 1);
        assert_non_null(text);
        n += fread(text + n, 1, cap - n, f);
    } while (n == cap);
    fclose(f);
    text[n] = 0;
    return text;
}

static void check_case(const ph_tokenizer *t, const char *text, size_t bytes, char **want)
{
    ph_error err = {0};
    int32_t *ids = NULL;
    char *back = NULL, *end = NULL;
    size_t n, size;

    if (ph_tokenizer_encode(&ids, &n, t, text, bytes, 0, &err) != PH_OK) fail_msg("%s", err.msg);
    for (size_t i = 0; i < n; i++) {
        const long id = strtol(*want, &end, 10);
        if (end == *want || id != ids[i])
            fail_msg("\"%.*s\": token %zu is %d, expected %ld", (int)bytes, text, i, ids[i], id);
        *want = end;
    }
    *want += strspn(*want, " ");
    if (**want && **want != '\n') fail_msg("\"%.*s\": too few ids", (int)bytes, text);
    if (**want) ++*want;
    assert_int_equal(ph_tokenizer_decode(&back, &size, t, ids, n, &err), PH_OK);
    assert_int_equal(size, bytes);
    assert_memory_equal(back, text, bytes);
    ph_free(back);
    ph_free(ids);
}

static void check_cases(const ph_tokenizer *t, const char *name)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char *texts = slurp(path_of(name, ".inp")), *ids = slurp(path_of(name, ".out"));
    char *want = ids;
    int cases = 0;

    for (char *text = texts; text; cases++) {
        char *end = strstr(text, mark);
        check_case(t, text, end ? (size_t)(end - text) : strlen(text), &want);
        text = end ? end + strlen(mark) : NULL;
    }
    assert_int_equal(*want, 0);
    assert_true(cases > 1);
    printf("%s: %d cases\n", name, cases);
    free(texts);
    free(ids);
}

/* Each piece is what decode gives, but for `blank`, the one that SentencePiece puts before a text;
 * each one that is text comes back from its own ids. */
static void check_pieces(const ph_tokenizer *t, bool blank)
{
    ph_error err = {0};
    const int32_t n = ph_tokenizer_get_info(t)->vocab;

    for (int32_t id = 0; id < n; id++) {
        size_t bytes, size, count;
        char *text = NULL;
        int32_t *ids = NULL;
        const char *piece = ph_tokenizer_piece(t, id, &bytes);
        if (ph_tokenizer_encode(&ids, &count, t, piece, bytes, 0, NULL) == PH_OK) {
            assert_int_equal(ph_tokenizer_decode(&text, &size, t, ids, count, &err), PH_OK);
            assert_int_equal(size, bytes);
            assert_memory_equal(text, piece, bytes);
            ph_free(text);
        }
        ph_free(ids);
        assert_int_equal(ph_tokenizer_decode(&text, &size, t, &id, 1, &err), PH_OK);
        const size_t gone = blank && bytes && *piece == ' ';
        assert_int_equal(size, bytes - gone);
        assert_memory_equal(text, piece + gone, size);
        ph_free(text);
    }
}

static void check(const char *name, const char *eot, bool blank)
{
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t n, bytes;

    if (ph_tokenizer_open(&t, path_of(name, ""), &err) != PH_OK) fail_msg("%s", err.msg);
    check_cases(t, name);
    check_pieces(t, blank);
    const char *piece = ph_tokenizer_piece(t, ph_tokenizer_get_info(t)->eot, &bytes);
    assert_int_equal(bytes, strlen(eot));
    assert_memory_equal(piece, eot, bytes);
    assert_int_equal(ph_tokenizer_encode(&ids, &n, t, eot, bytes, PH_ENCODE_SPECIAL, &err), PH_OK);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], ph_tokenizer_get_info(t)->eot);
    ph_free(ids);
    ph_tokenizer_close(&t);
}

static void test_gpt2(void **state)
{
    (void)state;
    check("gpt-2", "<|endoftext|>", false);
}

static void test_llama_bpe(void **state)
{
    (void)state;
    check("llama-bpe", "<|end_of_text|>", false);
}

static void test_qwen2(void **state)
{
    (void)state;
    check("qwen2", "<|endoftext|>", false);
}

static void test_sentencepiece(void **state)
{
    (void)state;
    static const int32_t ids[] = {0, 1, 2, 2000, 2001, 2002, 2003, 2004, 13};
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    char *text = NULL;
    size_t n = 0;

    check("llama-spm", "</s>", true);
    if (ph_tokenizer_open(&t, path_of("llama-spm", ""), &err) != PH_OK) fail_msg("%s", err.msg);
    assert_true(ph_tokenizer_get_info(t)->encodes);
    assert_true(ph_tokenizer_get_info(t)->add_bos);
    assert_int_equal(ph_tokenizer_get_info(t)->bos, 1);
    assert_int_equal(ph_tokenizer_decode(&text, &n, t, ids, 9, &err), PH_OK);
    assert_string_equal(text, "<unk><s></s> calledItemuraveceme\n");
    ph_free(text);
    ph_tokenizer_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_llama_bpe),
        cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_sentencepiece),
    };
    const char *given = getenv("PHOSPHENE_VOCAB_DIR");
    folder = given && *given ? given : "../shared/vocab";
    if (access(folder, R_OK | X_OK) != 0) {
        printf("skipped: no folder %s ($PHOSPHENE_VOCAB_DIR)\n", folder);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
