/* test_mix.c — the shipped corpus: the library holds the bytes of data/corpus.txt, which are plain
 * UTF-8, and about 50,000 tokens of the default model. The count needs that model's vocabulary,
 * $PHOSPHENE_MODEL or the file that script/fetch-model keeps, and is skipped without it.
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

static void test_bytes(void **state)
{
    (void)state;
    FILE *f = fopen("data/corpus.txt", "rb");
    size_t bytes = 0, at = 0;
    const char *mix = ph_corpus_mix(&bytes);
    int c;

    assert_non_null(f);
    for (; (c = fgetc(f)) != EOF; at++)
        if (at >= bytes || (unsigned char)mix[at] != c) fail_msg("byte %zu differs", at);
    assert_int_equal(at, bytes);
    assert_true(bytes > 100000);
    assert_int_equal(mix[bytes], 0);
    assert_ptr_equal(ph_corpus_mix(NULL), mix);
    fclose(f);
}

/* Bytes of the UTF-8 sequence that a lead byte begins; 0: it begins none. */
static size_t sequence(unsigned char c)
{
    return c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c == 0xf0 ? 4 : 0;
}

static void test_text(void **state)
{
    (void)state;
    size_t bytes = 0, others = 0;
    const char *mix = ph_corpus_mix(&bytes);

    for (size_t at = 0, n; at < bytes; at += n) {
        const unsigned char lead = (unsigned char)mix[at];
        n = sequence(lead);
        if (n == 0 || at + n > bytes) fail_msg("byte %zu is not UTF-8", at);
        for (size_t k = 1; k < n; k++)
            if (((unsigned char)mix[at + k] & 0xc0) != 0x80) fail_msg("byte %zu", at + k);
        if (lead < 0x20 && lead != '\n') fail_msg("byte %zu is a control character", at);
        others += n > 1;
    }
    assert_true(others > bytes / 50); /* other languages are there */
    assert_int_equal(mix[bytes - 1], '\n');
}

static void test_tokens(void **state)
{
    (void)state;
    const char *path = getenv("PHOSPHENE_MODEL"), *home = getenv("HOME");
    char usual[4096] = "";
    ph_tokenizer *tokenizer = NULL;
    ph_error err = {0};
    int32_t *ids = NULL;
    size_t bytes, n = 0;
    const char *mix = ph_corpus_mix(&bytes);

    snprintf(usual, sizeof usual, "%s/.local/share/phosphene/SmolLM2-135M-Instruct.Q4_1.gguf",
             home ? home : "");
    path = path ? path : usual;
    if (access(path, R_OK) != 0) skip();
    if (ph_tokenizer_open(&tokenizer, path, &err) != PH_OK) fail_msg("%s", err.msg);
    if (ph_tokenizer_encode(&ids, &n, tokenizer, mix, bytes, 0, &err) != PH_OK)
        fail_msg("%s", err.msg);
    printf("%zu bytes, %zu tokens\n", bytes, n);
    assert_in_range(n, 48000, 52000);
    ph_free(ids);
    ph_tokenizer_close(&tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
