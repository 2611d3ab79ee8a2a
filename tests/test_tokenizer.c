/* test_tokenizer.c — the tokenizer on a vocabulary of our own: contracts, errors, edges. */
#include "tiny_vocab.h"

#include "base/mem.h"
#include "text/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const char *const pres[] = {"smollm", "gpt-2", "llama-bpe", "qwen2"};
enum { N_PRES = sizeof pres / sizeof *pres };

static ph_tokenizer *open_pre(const char *pre)
{
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    tiny v;

    tiny_init(&v, pre);
    if (ph__tokenizer_new(&t, &v.vocab, &err) != PH_OK) fail_msg("%s", err.msg);
    return t;
}

/* Text of n bytes in memory of exactly that size, so that ASan sees a byte too far. */
static char *exact(const char *text, size_t n)
{
    char *p = malloc(n ? n : 1);
    assert_non_null(p);
    if (n) memcpy(p, text, n);
    return p;
}

static void expect_ids(const ph_tokenizer *t, const char *text, size_t n, unsigned flags,
                       const int32_t *want, size_t n_want)
{
    ph_error err = {0};
    int32_t *ids = NULL;
    size_t count = 99;
    char *copy = exact(text, n);

    if (ph_tokenizer_encode(&ids, &count, t, copy, n, flags, &err) != PH_OK)
        fail_msg("%s: %s", text, err.msg);
    assert_int_equal(count, n_want);
    for (size_t i = 0; i < count; i++) assert_int_equal(ids[i], want[i]);
    ph_free(ids);
    free(copy);
}

#define IDS(...)                    (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / 4
#define EXPECT(t, text, flags, ...) expect_ids(t, text, sizeof(text) - 1, flags, IDS(__VA_ARGS__))

static void expect_error(const ph_tokenizer *t, const char *text, size_t n, ph_status code,
                         int64_t pos)
{
    ph_error err = {0};
    int32_t *ids = NULL;
    size_t count;
    char *copy = exact(text, n);

    assert_int_equal(ph_tokenizer_encode(&ids, &count, t, copy, n, 0, &err), code);
    assert_int_equal(err.code, code);
    assert_int_equal(err.pos, pos);
    assert_null(ids);
    assert_int_not_equal(ph_tokenizer_encode(&ids, &count, t, copy, n, 0, NULL), PH_OK);
    free(copy);
}

static void expect_round_trip(const ph_tokenizer *t, const char *text, size_t n, size_t *n_ids)
{
    ph_error err = {0};
    int32_t *ids = NULL;
    char *back = NULL;
    size_t size;

    if (ph_tokenizer_encode(&ids, n_ids, t, text, n, 0, &err) != PH_OK) fail_msg("%s", err.msg);
    assert_int_equal(ph_tokenizer_decode(&back, &size, t, ids, *n_ids, &err), PH_OK);
    assert_int_equal(size, n);
    assert_memory_equal(back, text, n);
    assert_int_equal(back[n], 0);
    ph_free(ids);
    ph_free(back);
}

/* ---- encoding ---- */

static void test_empty(void **state)
{
    (void)state;
    for (int i = 0; i < N_PRES; i++) {
        ph_error err = {0};
        ph_tokenizer *t = open_pre(pres[i]);
        int32_t *ids = NULL;
        char *text = NULL;
        size_t n = 99;
        assert_int_equal(ph_tokenizer_encode(&ids, &n, t, NULL, 0, 0, &err), PH_OK);
        assert_int_equal(n, 0);
        assert_non_null(ids);
        ph_free(ids);
        assert_int_equal(ph_tokenizer_decode(&text, &n, t, NULL, 0, &err), PH_OK);
        assert_int_equal(n, 0);
        assert_string_equal(text, "");
        ph_free(text);
        ph_tokenizer_close(&t);
        assert_null(t);
        ph_tokenizer_close(&t);
    }
}

static void test_merges(void **state)
{
    (void)state;
    ph_tokenizer *t = open_pre("gpt-2");
    EXPECT(t, "the", 0, 't', TINY_HE);
    EXPECT(t, " the", 0, TINY_THE);
    EXPECT(t, "aaa", 0, TINY_AA, 'a');
    EXPECT(t, "aaaaaaaaaaaaaaa", 0, TINY_AAAAAAAA, TINY_AAAA, TINY_AA, 'a');
    EXPECT(t, "\xc3\xa9", 0, TINY_E_ACUTE);
    EXPECT(t, "\xe6\x97\xa5", 0, 0xe6, 0x97, 0xa5);
    EXPECT(t, "xyz", 0, TINY_XYZ); /* through "xy", which is no token */
    EXPECT(t, "xyxyz", 0, 'x', 'y', TINY_XYZ);
    EXPECT(t, "it's in", 0, 'i', 't', TINY_S, ' ', TINY_IN);
    EXPECT(t, "whole", 0, 'w', 'h', 'o', 'l', 'e');
    EXPECT(t, "12", 0, TINY_12);
    ph_tokenizer_close(&t);
}

static void test_pretokenizers(void **state)
{
    (void)state;
    ph_tokenizer *smollm = open_pre("smollm"), *gpt2 = open_pre("gpt2");
    ph_tokenizer *llama = open_pre("llama-bpe"), *qwen2 = open_pre("qwen2");
    EXPECT(smollm, "12", 0, '1', '2');
    EXPECT(qwen2, "12", 0, '1', '2');
    EXPECT(llama, "12", 0, TINY_12);
    EXPECT(llama, "11112", 0, '1', '1', '1', TINY_12);
    EXPECT(gpt2, "a   b", 0, 'a', TINY_BLANKS, ' ', 'b');
    EXPECT(gpt2, "a  1", 0, 'a', ' ', ' ', '1');
    EXPECT(smollm, "a  1", 0, 'a', TINY_BLANKS, '1'); /* digits are cut off first */
    EXPECT(llama, "whole", 0, TINY_WHOLE);            /* no merge leads there */
    EXPECT(gpt2, "whole", 0, 'w', 'h', 'o', 'l', 'e');
    EXPECT(llama, "it'S", 0, 'i', 't', '\'', 'S');
    EXPECT(gpt2, "\n\na", 0, '\n', '\n', 'a');
    EXPECT(llama, "\n\na", 0, TINY_LINES, 'a');
    ph_tokenizer_close(&smollm);
    ph_tokenizer_close(&gpt2);
    ph_tokenizer_close(&llama);
    ph_tokenizer_close(&qwen2);
}

static void test_nul_bytes(void **state)
{
    (void)state;
    ph_tokenizer *t = open_pre("smollm");
    EXPECT(t, "\0aa\0\0", 0, 0, TINY_AA, 0, 0);
    ph_tokenizer_close(&t);
}

static void test_bad_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        int64_t pos;
    } cases[] = {
        {"\x80", 1, 0},
        {"abc\xff", 4, 3},
        {"a\xc3", 2, 1},
        {"a\xe2\x82x", 4, 1},
        {"\xc3\xa9\xc0\x80", 4, 2},
        {"\xed\xa0\x80", 3, 0},
        {"x\xf0\x80\x80\x80", 5, 1},
        {"x\xf4\x90\x80\x80", 5, 1},
        {"\0\0\xfe", 3, 2},
        {"\xf0\x9f\x92", 3, 0},
        {"ok \xf5\x80\x80\x80", 7, 3},
    };
    for (int k = 0; k < N_PRES; k++) {
        ph_tokenizer *t = open_pre(pres[k]);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            expect_error(t, cases[i].text, cases[i].n, PH_ETEXT, cases[i].pos);
        ph_tokenizer_close(&t);
    }
}

static void test_long_words(void **state)
{
    (void)state;
    enum { N = 100000 };
    static char text[N];
    static const char *const units[] = {"a", " ", "\n", "\xe6\x97\xa5", "!", "xyz", " a", "9"};
    for (int k = 0; k < N_PRES; k++) {
        ph_tokenizer *t = open_pre(pres[k]);
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            const size_t m = strlen(units[u]), n = N - N % m;
            size_t count;
            for (size_t i = 0; i < n; i++) text[i] = units[u][i % m];
            expect_round_trip(t, text, n, &count);
            if (u == 0) assert_int_equal(count, N / 8);
            if (u == 5) assert_int_equal(count, N / 3);
        }
        ph_tokenizer_close(&t);
    }
}

/* ---- special tokens ---- */

static void test_special(void **state)
{
    (void)state;
    ph_tokenizer *t = open_pre("gpt-2");
    EXPECT(t, "<|im|>a", PH_ENCODE_SPECIAL, TINY_IM, 'a');
    EXPECT(t, "<|im|>a", 0, '<', '|', 'i', 'm', '|', '>', 'a');
    EXPECT(t, "<|im|>\na", PH_ENCODE_SPECIAL, TINY_IM_LINE, 'a'); /* the longest */
    EXPECT(t, "<|im|<|im|>", PH_ENCODE_SPECIAL, '<', '|', 'i', 'm', '|', TINY_IM);
    EXPECT(t, "<unk>", PH_ENCODE_SPECIAL, TINY_UNK);
    EXPECT(t, "<unk>", 0, '<', 'u', 'n', 'k', '>');
    EXPECT(t, "[PAD]", 0, TINY_PAD);
    EXPECT(t, "[PAD]12", 0, TINY_PAD1, '2'); /* the leftmost before "PAD]1" */
    EXPECT(t, "aPAD]1a", 0, 'a', TINY_AD1, 'a');
    EXPECT(t, "[PAD][PAD", 0, TINY_PAD, '[', 'P', 'A', 'D');
    EXPECT(t, "a  [PAD]", 0, 'a', TINY_BLANKS, TINY_PAD); /* looks ahead to the token only */
    EXPECT(t, "unused", PH_ENCODE_SPECIAL, 'u', 'n', 'u', 's', 'e', 'd');
    expect_error(t, "\xff\xfe", 2, PH_ETEXT, 0);
    ph_tokenizer_close(&t);
}

static void test_add(void **state)
{
    (void)state;
    ph_error err = {0};
    ph_tokenizer *t = open_pre("llama-bpe"); /* adds BOS where the file does not say */
    tiny v;
    int32_t *ids = NULL;
    size_t n;

    EXPECT(t, "a", PH_ENCODE_ADD, TINY_IM, 'a');
    EXPECT(t, "", PH_ENCODE_ADD, TINY_IM);
    EXPECT(t, "a", 0, 'a');
    assert_int_equal(ph_tokenizer_encode(&ids, &n, t, "a", 1, 4, &err), PH_EINVAL);
    ph_tokenizer_close(&t);

    tiny_init(&v, "llama-bpe");
    v.vocab.add_bos = 0;
    v.vocab.add_eos = 1;
    assert_int_equal(ph__tokenizer_new(&t, &v.vocab, &err), PH_OK);
    EXPECT(t, "a", PH_ENCODE_ADD, 'a', TINY_EOT);
    ph_tokenizer_close(&t);

    v.vocab.add_bos = 1;
    v.vocab.bos = 0xffffffff; /* named, but not there */
    assert_int_equal(ph__tokenizer_new(&t, &v.vocab, &err), PH_OK);
    assert_int_equal(ph_tokenizer_get_info(t)->bos, -1);
    EXPECT(t, "a", PH_ENCODE_ADD, 'a', TINY_EOT);
    ph_tokenizer_close(&t);
}

static void expect_stretches(const ph_tokenizer *t, const ph_stretch *s, size_t count,
                             const int32_t *want, size_t n_want, const size_t *want_starts)
{
    ph_error err = {0};
    int32_t *ids = NULL;
    size_t *starts = NULL, n;

    if (ph__tokenizer_encode_stretches(&ids, &starts, &n, t, s, count, &err) != PH_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(n, n_want);
    for (size_t i = 0; i < n; i++) assert_int_equal(ids[i], want[i]);
    for (size_t i = 0; i <= n; i++) assert_int_equal(starts[i], want_starts[i]);
    ph__free(ids);
    ph__free(starts);
}

static void test_stretches(void **state)
{
    (void)state;
    ph_tokenizer *t = open_pre("gpt-2");
    const ph_stretch across[] = {{" t", 2, true}, {"h", 1, false}, {"e", 1, true}};
    expect_stretches(t, across, 3, IDS(TINY_THE), (const size_t[]){0, 4});

    const ph_stretch only[] = {{"<|im|>", 6, true}, {"<|im|>", 6, false}, {"<|im|>\n", 7, true}};
    expect_stretches(t, only, 3, IDS(TINY_IM, '<', '|', 'i', 'm', '|', '>', TINY_IM_LINE),
                     (const size_t[]){0, 6, 7, 8, 9, 10, 11, 12, 19});

    /* a control token that leaves its stretch is none, a shorter one that stays is */
    const ph_stretch leaves[] = {{"<|im|>", 6, true}, {"\n", 1, false}};
    expect_stretches(t, leaves, 2, IDS(TINY_IM, '\n'), (const size_t[]){0, 6, 7});
    const ph_stretch cut[] = {{"<|i", 3, true}, {"", 0, false}, {"m|>", 3, true}};
    expect_stretches(t, cut, 3, IDS('<', '|', 'i', 'm', '|', '>'),
                     (const size_t[]){0, 1, 2, 3, 4, 5, 6});

    /* user-defined ones and characters may lie across */
    const ph_stretch user[] = {{"a[P", 3, false}, {"AD]\xc3", 4, false}, {"\xa9", 1, true}};
    expect_stretches(t, user, 3, IDS('a', TINY_PAD, TINY_E_ACUTE), (const size_t[]){0, 1, 6, 8});

    expect_stretches(t, NULL, 0, NULL, 0, (const size_t[]){0});
    const ph_stretch empty[] = {{NULL, 0, true}, {"", 0, false}};
    expect_stretches(t, empty, 2, NULL, 0, (const size_t[]){0});

    const ph_stretch bad[] = {{"ab", 2, true}, {"\xc3", 1, false}, {"x", 1, true}};
    ph_error err = {0};
    int32_t *ids;
    size_t *starts, n;
    assert_int_equal(ph__tokenizer_encode_stretches(&ids, &starts, &n, t, bad, 3, &err), PH_ETEXT);
    assert_int_equal(err.pos, 2);
    ph_tokenizer_close(&t);
}

/* ---- pieces ---- */

static void test_pieces(void **state)
{
    (void)state;
    ph_error err = {0};
    ph_tokenizer *t = open_pre("smollm");
    size_t n;

    for (int32_t id = 0; id < TINY_COUNT; id++) {
        char *text = NULL;
        size_t size;
        const char *piece = ph_tokenizer_piece(t, id, &n);
        assert_non_null(piece);
        assert_int_equal(ph_tokenizer_decode(&text, &size, t, &id, 1, &err), PH_OK);
        assert_int_equal(size, n);
        assert_memory_equal(text, piece, n);
        if (id < 256) assert_int_equal((uint8_t)piece[0], id);
        ph_free(text);
    }
    assert_memory_equal(ph_tokenizer_piece(t, TINY_THE, &n), " the", 4);
    assert_memory_equal(ph_tokenizer_piece(t, TINY_EOT, &n), "<|endoftext|>", 13);
    assert_memory_equal(ph_tokenizer_piece(t, TINY_NOT_ALPHABET, &n), "\xe6\x97\xa5", 3);
    assert_int_equal(ph_tokenizer_kind(t, TINY_EOT), PH_TOKEN_CONTROL);
    assert_int_equal(ph_tokenizer_kind(t, TINY_PAD), PH_TOKEN_USER_DEFINED);
    assert_int_equal(ph_tokenizer_kind(t, TINY_UNUSED), PH_TOKEN_UNUSED);
    assert_int_equal(ph_tokenizer_kind(t, 'a'), PH_TOKEN_NORMAL);
    ph_tokenizer_close(&t);
}

static void test_out_of_range(void **state)
{
    (void)state;
    static const int32_t bad[] = {-1, TINY_COUNT, INT32_MAX, INT32_MIN};
    ph_tokenizer *t = open_pre("smollm");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ph_error err = {0};
        char *text = NULL, number[32];
        size_t n = 99;
        const int32_t ids[] = {'a', bad[i]};
        assert_int_equal(ph_tokenizer_decode(&text, &n, t, ids, 2, &err), PH_ERANGE);
        assert_null(text);
        snprintf(number, sizeof number, "id %d:", bad[i]);
        assert_non_null(strstr(err.msg, number));
        snprintf(number, sizeof number, "0 to %d", TINY_COUNT - 1);
        assert_non_null(strstr(err.msg, number));
        assert_null(ph_tokenizer_piece(t, bad[i], &n));
        assert_int_equal(n, 0);
    }
    ph_tokenizer_close(&t);
}

/* ---- opening ---- */

static void expect_refused(tiny *v, ph_status code, const char *what)
{
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    assert_int_equal(ph__tokenizer_new(&t, &v->vocab, &err), code);
    assert_null(t);
    if (!strstr(err.msg, what)) fail_msg("\"%s\" does not say \"%s\"", err.msg, what);
}

static int kind_nine(const void *source, size_t i)
{
    (void)source;
    return i == 5 ? 9 : 1;
}

static void test_refused(void **state)
{
    (void)state;
    tiny v;
    tiny_init(&v, "smollm");
    v.vocab.model = "bert";
    expect_refused(&v, PH_EUNSUPPORTED,
                   "tokenizer model \"bert\" (WordPiece) is not supported yet");
    v.vocab.model = "rwkv";
    expect_refused(&v, PH_EUNSUPPORTED, "\"rwkv\"");
    tiny_init(&v, "default");
    expect_refused(&v, PH_EUNSUPPORTED, "pre-tokenizer \"default\"");
    tiny_init(&v, "");
    expect_refused(&v, PH_EUNSUPPORTED, "tokenizer.ggml.pre");
    tiny_init(&v, "smollm");
    v.vocab.n_merges = 0;
    expect_refused(&v, PH_EFORMAT, "tokenizer.ggml.merges");
    tiny_init(&v, "smollm");
    v.vocab.n_tokens = 0;
    expect_refused(&v, PH_EFORMAT, "0 tokens");
    tiny_init(&v, "smollm");
    v.vocab.kind = kind_nine;
    expect_refused(&v, PH_EFORMAT, "token 5 has type 9");
}

static void test_missing_byte(void **state)
{
    (void)state;
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    tiny v;

    tiny_init(&v, "smollm");
    v.missing = 'z';
    assert_int_equal(ph__tokenizer_new(&t, &v.vocab, &err), PH_OK);
    expect_error(t, "ab z", 4, PH_ETEXT, 3);
    EXPECT(t, "xyz", 0, TINY_XYZ); /* within a token it does no harm */
    ph_tokenizer_close(&t);
    v.vocab.unk = TINY_UNK;
    assert_int_equal(ph__tokenizer_new(&t, &v.vocab, &err), PH_OK);
    EXPECT(t, "ab z", 0, 'a', 'b', ' ', TINY_UNK);
    ph_tokenizer_close(&t);
}

static void test_info(void **state)
{
    (void)state;
    for (int i = 0; i < N_PRES; i++) {
        ph_tokenizer *t = open_pre(pres[i]);
        const ph_tokenizer_info *info = ph_tokenizer_get_info(t);
        assert_string_equal(info->model, "gpt2");
        assert_string_equal(info->pre, pres[i]);
        assert_int_equal(info->vocab, TINY_COUNT);
        assert_int_equal(info->bos, TINY_IM);
        assert_int_equal(info->eos, TINY_EOT);
        assert_int_equal(info->eot, TINY_EOT); /* by name */
        assert_int_equal(info->add_bos, strcmp(pres[i], "llama-bpe") == 0);
        assert_false(info->add_eos);
        ph_tokenizer_close(&t);
    }
}

/* ---- UTF-8 ---- */

#define R "\xef\xbf\xbd"

static void test_clean(void **state)
{
    (void)state;
    static const struct { /* what Python's bytes.decode("utf-8", "replace") gives */
        const char *in, *out;
    } cases[] = {
        {"", ""},
        {"plain \xc3\xa9 \xf0\x9f\xa6\x99", "plain \xc3\xa9 \xf0\x9f\xa6\x99"},
        {"\x80", R},
        {"\xff\xfe", R R},
        {"\xc3", R},
        {"\xc3x", R "x"},
        {"\xc0\x80", R R},
        {"\xe2\x82", R},
        {"\xe2\x82x", R "x"},
        {"\xe2\x28\xa1", R "(" R},
        {"\xe0\x80\x80", R R R},
        {"\xed\xa0\x80", R R R},
        {"\xed\x9f\xbf", "\xed\x9f\xbf"},
        {"\xf0\x80\x80\x80", R R R R},
        {"\xf0\x9f\xa6", R},
        {"\xf0\x9f\xa6\xf0\x9f\xa6\x99", R "\xf0\x9f\xa6\x99"},
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
        {"\xf4\x90\x80\x80", R R R R},
        {"\xf5\x80", R R},
        {"a\xf1\x80\x80\xe1\x80\xc2"
         "b\x80"
         "c\x80\xbf"
         "d",
         "a" R R R "b" R "c" R R "d"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ph_error err = {0};
        const size_t n = strlen(cases[i].in);
        char *in = exact(cases[i].in, n), *out = NULL;
        assert_int_equal(ph_utf8_clean(&out, in, n, &err), PH_OK);
        assert_string_equal(out, cases[i].out);
        assert_int_equal(ph__utf8_check(out, strlen(out)), strlen(out));
        ph_free(out);
        free(in);
    }
}

static void test_characters(void **state)
{
    (void)state;
    uint32_t code = 0;
    assert_int_equal(ph__utf8_char(&code, "\xf4\x8f\xbf\xbf", 4), 4);
    assert_int_equal(code, 0x10ffff);
    assert_int_equal(ph__utf8_char(&code, "\xe2\x82\xac", 3), 3);
    assert_int_equal(code, 0x20ac);
    assert_int_equal(ph__utf8_char(&code, "\xc3\xa9", 2), 2);
    assert_int_equal(code, 0xe9);
    assert_int_equal(ph__utf8_char(&code, "\x7f", 1), 1);
    assert_int_equal(code, 0x7f);
    assert_int_equal(ph__utf8_char(&code, "\xe2\x82\xac", 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),         cmocka_unit_test(test_merges),
        cmocka_unit_test(test_pretokenizers), cmocka_unit_test(test_nul_bytes),
        cmocka_unit_test(test_bad_utf8),      cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_special),       cmocka_unit_test(test_add),
        cmocka_unit_test(test_stretches),     cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_out_of_range),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_missing_byte),  cmocka_unit_test(test_info),
        cmocka_unit_test(test_clean),         cmocka_unit_test(test_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
