/* test_tokenizer_json.c — tokenizer.json against Hugging Face `tokenizers` (tests/data/tokenizers,
 * written by tools/golden_tokenizers.py), the older files against their own libraries (tests/data/older,
 * by tools/golden_older.py), what is refused, and what stands around the model.
 */
#include "lines.h"

#include "base/mem.h"
#include "text/pretokenize.h"
#include "text/vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define FOLDER "tests/data/tokenizers/"

static const char *const names[] = {"llama2", "gemma",    "metaspace",  "fused",
                                    "neox",   "prefixed", "falcon",     "deepseek",
                                    "llama3", "split",    "whitespace", "blanks"};

/* ---- goldens ---- */

/* The next line that is none of comments, without its end; false at the end of the file. */
static bool next_line(char **line, size_t *cap, FILE *f)
{
    for (ssize_t n; (n = getline(line, cap, f)) > 0;) {
        if ((*line)[n - 1] == '\n') (*line)[n - 1] = 0;
        if ((*line)[0] != '#' || (*line)[1] != ' ') return true;
    }
    return false;
}

/* What is before the next tab, and *line behind it. */
static char *field(char **line)
{
    char *const start = *line, *const tab = strchr(start, '\t');
    assert_non_null(tab);
    *tab = 0;
    *line = tab + 1;
    return start;
}

static void expect_ids(const char *what, const int32_t *ids, size_t n, char *want)
{
    char *end;
    for (size_t i = 0; i < n; i++, want = end) {
        const long id = strtol(want, &end, 10);
        if (end == want || id != ids[i])
            fail_msg("%s: token %zu is %d, expected %ld", what, i, ids[i], id);
    }
    if (*want) fail_msg("%s: too few ids", what);
}

/* Begins never fall, and lie within the text. */
static void expect_starts(const ph_tokenizer *t, const char *text, size_t bytes, const int32_t *ids,
                          size_t n)
{
    ph_error err = {0};
    const ph_stretch all = {text, bytes, true};
    int32_t *again = NULL;
    size_t *starts = NULL, count;

    if (ph__tokenizer_encode_stretches(&again, &starts, &count, t, &all, 1, &err) != PH_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(count, n);
    if (n) assert_memory_equal(again, ids, n * sizeof *ids);
    for (size_t i = 0; i < n; i++) assert_true(starts[i] <= starts[i + 1]);
    assert_int_equal(starts[n], bytes);
    ph__free(again);
    ph__free(starts);
}

static void check_line(const char *name, const ph_tokenizer *t, char *line, unsigned flags)
{
    ph_error err = {0};
    char *ids_text = field(&line), *back = field(&line), *text = NULL;
    const size_t n_back = lines_unescape(back, strlen(back)),
                 n = lines_unescape(line, strlen(line));
    int32_t *ids = NULL;
    size_t count, bytes;

    assert_true(n != (size_t)-1 && n_back != (size_t)-1);
    if (ph_tokenizer_encode(&ids, &count, t, line, n, flags, &err) != PH_OK)
        fail_msg("%s: %s", name, err.msg);
    expect_ids(name, ids, count, ids_text);
    assert_int_equal(ph_tokenizer_decode(&text, &bytes, t, ids, count, &err), PH_OK);
    if (bytes != n_back || memcmp(text, back, bytes) != 0)
        fail_msg("%s: \"%s\" decodes to \"%s\", expected \"%s\"", name, line, text, back);
    if (flags) expect_starts(t, line, n, ids, count);
    ph_free(ids);
    ph_free(text);
}

static void check_tokenizer(const char *path, const char *golden, unsigned flags)
{
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    char *line = NULL;
    size_t cap = 0, checked = 0;

    if (ph_tokenizer_open(&t, path, &err) != PH_OK) fail_msg("%s: %s", path, err.msg);
    FILE *f = fopen(golden, "rb");
    assert_non_null(f);
    for (; next_line(&line, &cap, f); checked++) check_line(path, t, line, flags);
    assert_true(checked > 100);
    fclose(f);
    free(line);
    ph_tokenizer_close(&t);
}

static void test_goldens(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256], golden[256];
        snprintf(path, sizeof path, FOLDER "%s.json", names[i]);
        snprintf(golden, sizeof golden, FOLDER "%s.txt", names[i]);
        check_tokenizer(path, golden, PH_ENCODE_SPECIAL);
    }
}

#define OLDER "tests/data/older/"

/* The sentencepiece package finds no control tokens in a text. */
static void test_older(void **state)
{
    (void)state;
    static const char *const models[] = {"llama", "squeezed", "unknown", "symbols", "prefixed"};
    static const char *const pairs[] = {"gpt2", "qwen2", "codegen"};
    char path[256], golden[256];

    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof path, OLDER "%s%s", models[i], i % 2 ? "/tokenizer.model" : "");
        snprintf(golden, sizeof golden, OLDER "%s/golden.txt", models[i]);
        check_tokenizer(path, golden, 0);
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, OLDER "%s", pairs[i]);
        snprintf(golden, sizeof golden, OLDER "%s/golden.txt", pairs[i]);
        check_tokenizer(path, golden, PH_ENCODE_SPECIAL);
    }
}

/* The words that GGUF's pre-tokenizers cut, by the letters of the byte-level alphabet. */
static void check_words(const char *name, const char *want, const char *text, size_t n)
{
    ph_error err = {0};
    ph_steps steps = {0};
    ph_pre_traits traits;
    ph_walk walk = {0};

    if (ph__pretokenizer_read(&steps, &traits, name, &err) != PH_OK) fail_msg("%s", err.msg);
    assert_int_equal(ph__flow_begin(&walk.now, text, 0, n, &err), PH_OK);
    assert_int_equal(ph__steps_run(&steps, &walk, &err), PH_OK);
    for (size_t i = 0; i < walk.now.n_pieces; i++) {
        const ph_piece p = walk.now.pieces[i];
        const size_t size = p.to - p.from;
        if (strcspn(want, " ") != size || memcmp(want, walk.now.bytes + p.from, size) != 0)
            fail_msg("%s: word %zu is \"%.*s\", expected \"%s\"", name, i, (int)size,
                     walk.now.bytes + p.from, want);
        want += size;
        want += *want == ' ';
    }
    assert_int_equal(*want, 0);
    ph__steps_close(&steps);
    ph__walk_close(&walk);
}

static void test_words(void **state)
{
    (void)state;
    FILE *f = fopen(FOLDER "words.txt", "rb");
    char *line = NULL;
    size_t cap = 0, checked = 0;

    assert_non_null(f);
    for (; next_line(&line, &cap, f); checked++) {
        char *rest = line;
        const char *name = field(&rest), *want = field(&rest);
        check_words(name, want, rest, lines_unescape(rest, strlen(rest)));
    }
    assert_true(checked > 900);
    fclose(f);
    free(line);
}

/* ---- small files of our own ---- */

/* The bytes a, b and a blank, "ab", and what the test adds behind the model and in it. */
#define MODEL(more)                                                                                \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"\u0120\":2,\"ab\":3},"               \
    "\"merges\":[\"a b\"]" more "}"
#define BYTES "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"

static ph_status open_text(ph_tokenizer **t, const char *json, const char *config, ph_error *err)
{
    return ph__tokenizer_open_json(t, json, strlen(json), config, config ? strlen(config) : 0, err);
}

static void expect_refused(const char *json, ph_status code, const char *what)
{
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    const ph_status st = open_text(&t, json, NULL, &err);
    if (st != code) fail_msg("%s: status %d (%s), expected %d", json, st, err.msg, code);
    assert_null(t);
    if (!strstr(err.msg, what)) fail_msg("\"%s\" does not say \"%s\"", err.msg, what);
}

static void test_unsupported(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\"normalizer\":{\"type\":\"Foo\"}", "normalizer \"Foo\" is not supported"},
        {"\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},"
         "{\"type\":\"Precompiled\"}]}",
         "normalizer \"Precompiled\" is not supported"},
        {"\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}",
         "pre_tokenizer \"BertPreTokenizer\" is not supported"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[\\\\p{L}&&[a-z]]\"},"
         "\"behavior\":\"Isolated\"}",
         "the regular expression \"[\\p{L}&&[a-z]]\" is not supported: an intersection"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a\"},"
         "\"behavior\":\"Isolated\"}",
         "the regular expression \"(a\" is not supported: missing closing parenthesis"},
        {"\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},"
         "\"behavior\":\"Odd\"}",
         "behavior \"Odd\" is not supported"},
        {"\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\"}",
         "replacement \"_\" is not supported"},
        {"\"decoder\":{\"type\":\"WordPiece\"}", "decoder \"WordPiece\" is not supported"},
        {"\"decoder\":{\"type\":\"Strip\",\"content\":\"x\",\"start\":1,\"stop\":0}",
         "decoder \"Strip\""},
        {"\"post_processor\":{\"type\":\"Odd\"}", "post_processor \"Odd\" is not supported"},
        {"\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
         "{\"SpecialToken\":{\"id\":\"a\"}},{\"SpecialToken\":{\"id\":\"a\"}}],"
         "\"special_tokens\":{\"a\":{\"ids\":[0]}}}",
         "more than one token before the text"},
    };
    char json[1024];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(json, sizeof json, "{" MODEL("") ",%s}", cases[i][0]);
        expect_refused(json, PH_EUNSUPPORTED, cases[i][1]);
    }
    expect_refused("{\"model\":{\"type\":\"Unigram\"}}", PH_EUNSUPPORTED,
                   "model \"Unigram\" is not supported");
    expect_refused("{" MODEL(",\"end_of_word_suffix\":\"</w>\"") "}", PH_EUNSUPPORTED,
                   "end_of_word_suffix \"</w>\" is not supported");
    expect_refused("{" MODEL(",\"dropout\":0.1") "}", PH_EUNSUPPORTED, "dropout");
}

static void test_malformed(void **state)
{
    (void)state;
    expect_refused("{", PH_EFORMAT, "tokenizer.json: not JSON, line 1");
    expect_refused("[]", PH_EFORMAT, "expected a JSON object");
    expect_refused("{}", PH_EFORMAT, "\"model\" is no object");
    expect_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":[]}}", PH_EFORMAT,
                   "\"vocab\" is no object");
    expect_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}", PH_EFORMAT,
                   "\"merges\" is no array");
    expect_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", PH_EFORMAT,
                   "0 tokens");
    expect_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":2000000000},\"merges\":[]}}",
                   PH_EFORMAT, "token \"a\" has id 2000000000, expected 0 to 1025");
    expect_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1,\"b\":1},\"merges\":[]}}",
                   PH_EFORMAT, "tokens \"a\" and \"b\" have the same id 1");
    expect_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", PH_EFORMAT,
                   "has id -1");
    expect_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1},\"merges\":[[\"a\"]]}}",
                   PH_EFORMAT, "merge 0 is no pair of texts");
    expect_refused("{" MODEL("") ",\"added_tokens\":[{\"id\":4}]}", PH_EFORMAT,
                   "added token 0: \"content\" is no string");
    expect_refused("{" MODEL("") ",\"normalizer\":{\"type\":7}}", PH_EFORMAT,
                   "normalizer: \"type\" is no string");
    expect_refused("{" MODEL("") ",\"pre_tokenizer\":{\"type\":\"Digits\","
                                 "\"individual_digits\":1}}",
                   PH_EFORMAT, "\"individual_digits\" is neither true nor false");
}

static void test_no_token(void **state)
{
    (void)state;
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t n;

    assert_int_equal(open_text(&t, "{" MODEL("") "," BYTES "}", NULL, &err), PH_OK);
    assert_int_equal(ph_tokenizer_encode(&ids, &n, t, "ab c", 4, 0, &err), PH_ETEXT);
    assert_int_equal(err.pos, 3);
    assert_non_null(strstr(err.msg, "byte 0x63"));
    ph_tokenizer_close(&t);
    assert_int_equal(open_text(&t, "{" MODEL("") "}", NULL, &err), PH_OK);
    assert_int_equal(ph_tokenizer_encode(&ids, &n, t, "ab\u00e9", 4, 0, &err), PH_ETEXT);
    assert_int_equal(err.pos, 2);
    assert_non_null(strstr(err.msg, "character U+00E9"));
    ph_tokenizer_close(&t);
}

/* Who says which tokens begin and end a text. */
static void test_ends(void **state)
{
    (void)state;
#define TEMPLATE                                                                                   \
    "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},"          \
    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"b\"}},"              \
    "{\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"a\"}}],"                            \
    "\"special_tokens\":{\"a\":{\"ids\":[0]},\"b\":{\"ids\":[1]}}}]}"
    static const struct {
        const char *json, *config;
        int32_t bos, eos;
        bool add_bos, add_eos;
    } cases[] = {
        {"{" MODEL("") "}", NULL, -1, -1, false, false},
        {"{" MODEL("") "," TEMPLATE "}", NULL, 1, 0, true, true},
        {"{" MODEL("") "," TEMPLATE "}", "{\"add_eos_token\":false}", 1, 0, true, false},
        {"{" MODEL("") "," TEMPLATE "}",
         "{\"add_bos_token\":false,\"tokenizer_class\":\"PreTrainedTokenizerFast\"}", 1, 0, true,
         true},
        {"{" MODEL("") "}",
         "{\"bos_token\":\"ab\",\"eos_token\":{\"content\":\"b\"},\"add_bos_token\":true}", 3, 1,
         true, false},
        {"{" MODEL("") "}", "{\"bos_token\":null,\"eos_token\":\"missing\"}", -1, -1, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ph_error err = {0};
        ph_tokenizer *t = NULL;
        if (open_text(&t, cases[i].json, cases[i].config, &err) != PH_OK) fail_msg("%s", err.msg);
        const ph_tokenizer_info *info = ph_tokenizer_get_info(t);
        assert_int_equal(info->bos, cases[i].bos);
        assert_int_equal(info->eos, cases[i].eos);
        assert_int_equal(info->add_bos, cases[i].add_bos);
        assert_int_equal(info->add_eos, cases[i].add_eos);
        ph_tokenizer_close(&t);
    }
}

/* Control tokens are parsed only in stretches that say so, in the normalised text, too. */
static void test_late_control(void **state)
{
    (void)state;
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t *starts = NULL, n;
    static const char json[] =
        "{" MODEL("") ",\"normalizer\":{\"type\":\"Lowercase\"}," BYTES ",\"added_tokens\":["
                      "{\"id\":6,\"content\":\"BA\",\"special\":true,\"normalized\":true}]}";
    const ph_stretch parts[] = {{"Ba", 2, true}, {" BAb", 4, false}, {"a", 1, true}};
    static const int32_t want[] = {6, 2, 1, 3, 0};

    if (open_text(&t, json, NULL, &err) != PH_OK) fail_msg("%s", err.msg);
    assert_int_equal(ph_tokenizer_get_info(t)->vocab, 7);
    assert_int_equal(ph_tokenizer_kind(t, 5), PH_TOKEN_UNUSED);
    if (ph__tokenizer_encode_stretches(&ids, &starts, &n, t, parts, 3, &err) != PH_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(n, 5);
    assert_memory_equal(ids, want, sizeof want);
    assert_int_equal(starts[1], 2);
    assert_int_equal(starts[4], 6);
    ph__free(ids);
    ph__free(starts);
    ph_tokenizer_close(&t);
}

/* A decoded text loses the blank that the tokenizer put before it, and no other. */
static void test_decode_behind(void **state)
{
    (void)state;
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    int32_t *ids = NULL;
    char *text = NULL;
    size_t n, bytes;

    assert_int_equal(ph_tokenizer_open(&t, FOLDER "llama2.json", &err), PH_OK);
    assert_int_equal(ph_tokenizer_encode(&ids, &n, t, "the the", 7, 0, &err), PH_OK);
    assert_int_equal(ph_tokenizer_decode(&text, &bytes, t, ids, n, &err), PH_OK);
    assert_string_equal(text, "the the");
    ph_free(text);
    assert_int_equal(ph__tokenizer_decode_behind(&text, &bytes, t, 1, ids, n, &err), PH_OK);
    assert_string_equal(text, "the the"); /* behind <s> */
    ph_free(text);
    assert_int_equal(ph__tokenizer_decode_behind(&text, &bytes, t, ids[0], ids, n, &err), PH_OK);
    assert_string_equal(text, " the the");
    ph_free(text);
    ph_free(ids);
    ph_tokenizer_close(&t);
}

/* ---- older vocabularies ---- */

#define PART(text)                                                                                 \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }
#define WORDS PART("{\"a\":0,\"b\":1,\"\u0120\":2,\"ab\":3,\"<|endoftext|>\":4}")
#define GPT2  PART("{\"model_type\":\"gpt2\"}")
/* a piece of SentencePiece's: its text, of which the score is 0; and its type */
#define PIECE(size, text) "\x0a" size "\x0a" text
#define PIECE_TYPE        "\x18"
#define SPM_BPE           "\x12\x02\x18\x02" /* trainer: BPE */
#define SPM_PLAIN         "\x1a\x02\x20\x00" /* normalizer: blanks stay */
#define SPM_PIECES                                                                                 \
    PIECE("\x08", "\x04"                                                                           \
                  "<unk" PIECE_TYPE "\x02")                                                        \
    PIECE("\x03", "\x01"                                                                           \
                  "a")

static void test_older_beside(void **state)
{
    (void)state;
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    const ph_beside beside = {
        .config = PART("{\"tokenizer_class\":\"GPT2Tokenizer\",\"add_prefix_space\":true,"
                       "\"add_bos_token\":true}"),
        .special = PART("{\"eos_token\":{\"content\":\"<x>\"},"
                        "\"additional_special_tokens\":[\"<y>\",\"<none>\"]}"),
        .added = PART("{\"<x>\":5,\"<y>\":6,\"<z>\":7}")};

    if (ph__tokenizer_open_pair(&t, (ph_content)WORDS, (ph_content)PART("#version: 0.2\r\na b\r\n"),
                                &beside, &err) != PH_OK)
        fail_msg("%s", err.msg);
    const ph_tokenizer_info *info = ph_tokenizer_get_info(t);
    assert_int_equal(info->vocab, 8);
    assert_int_equal(info->bos, 4); /* the class has it */
    assert_int_equal(info->eos, 5);
    assert_true(info->add_bos && !info->add_eos);
    assert_int_equal(ph_tokenizer_kind(t, 6), PH_TOKEN_CONTROL);
    assert_int_equal(ph_tokenizer_kind(t, 7), PH_TOKEN_USER_DEFINED);
    int32_t *ids = NULL;
    size_t n;
    static const int32_t want[] = {4, 2, 3, 6, 2, 0, 7};
    assert_int_equal(
        ph_tokenizer_encode(&ids, &n, t, "ab<y>a<z>", 9, PH_ENCODE_SPECIAL | PH_ENCODE_ADD, &err),
        PH_OK);
    assert_int_equal(n, sizeof want / sizeof *want);
    assert_memory_equal(ids, want, sizeof want);
    ph_free(ids);
    ph_tokenizer_close(&t);
}

static void test_older_refused(void **state)
{
    (void)state;
    static const struct {
        ph_status code;
        const char *what;
        ph_content vocab, merges, config, added, model;
    } cases[] = {
        {PH_EUNSUPPORTED, "how \"Foo\" cuts a text is not known here", .vocab = WORDS,
         .merges = PART(""), .config = PART("{\"tokenizer_class\":\"Foo\"}")},
        {PH_EUNSUPPORTED, "nothing says how they cut a text", .vocab = WORDS, .merges = PART("")},
        {PH_EFORMAT, "merge 0 is no pair", .vocab = WORDS, .merges = PART("ab\n"), .model = GPT2},
        {PH_EFORMAT, "merges.txt: line 2 is no UTF-8", .vocab = WORDS,
         .merges = PART("a b\n\xff b\n"), .model = GPT2},
        {PH_EFORMAT, "vocab.json: not JSON", .vocab = PART("{"), .merges = PART(""), .model = GPT2},
        {PH_EFORMAT, "\"<x>\" has id 99999999", .vocab = WORDS, .merges = PART("a b"),
         .added = PART("{\"<x>\":99999999}"), .model = GPT2},
        {PH_EUNSUPPORTED, "SentencePiece model of Unigram is not supported yet",
         .vocab = PART(SPM_PIECES)},
        {PH_EUNSUPPORTED, "its normaliser (nfkc) is not supported yet",
         .vocab = PART(SPM_PIECES SPM_BPE "\x1a\x09\x0a\x04nfkc\x12\x01x")},
        {PH_EUNSUPPORTED, "blanks as suffixes",
         .vocab = PART(SPM_PIECES "\x12\x05\x18\x02\xc0\x01\x01")},
        {PH_EFORMAT, "byte 2: a field is longer than what is left", .vocab = PART("\x0a\x7f")},
        {PH_EFORMAT, "piece 0 has no text", .vocab = PART("\x0a\x00" SPM_BPE)},
        {PH_EFORMAT, "of no type",
         .vocab = PART(PIECE("\x05", "\x01"
                                     "a" PIECE_TYPE "\x07"))},
        {PH_EFORMAT, "a number of more than 64 bits",
         .vocab = PART("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")},
        {PH_EFORMAT, "a number is cut off", .vocab = PART("\x08\xff")},
        {PH_EFORMAT, "a field of no kind", .vocab = PART("\x0b")},
        {PH_EFORMAT, "a field of no number", .vocab = PART("\x00\x00")},
        {PH_EFORMAT, "added token \"<x>\" has id 9999", .vocab = PART(SPM_PIECES SPM_BPE SPM_PLAIN),
         .added = PART("{\"<x>\":9999}")},
        {PH_EUNSUPPORTED, "takes blanks along", .vocab = PART(SPM_PIECES SPM_BPE SPM_PLAIN),
         .config = PART("{\"added_tokens_decoder\":{\"2\":{\"content\":\"<x>\",\"rstrip\":"
                        "true}}}")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ph_error err = {0};
        ph_tokenizer *t = NULL;
        const ph_beside beside = {
            .config = cases[i].config, .added = cases[i].added, .model = cases[i].model};
        const ph_status st =
            cases[i].merges.data
                ? ph__tokenizer_open_pair(&t, cases[i].vocab, cases[i].merges, &beside, &err)
                : ph__tokenizer_open_spm(&t, cases[i].vocab, &beside, &err);
        assert_null(t);
        if (st != cases[i].code || !strstr(err.msg, cases[i].what))
            fail_msg("%zu: status %d, \"%s\" does not say \"%s\"", i, st, err.msg, cases[i].what);
    }
}

static void test_paths(void **state)
{
    (void)state;
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    assert_int_equal(ph_tokenizer_open(&t, "tests/data", &err), PH_EIO);
    assert_non_null(strstr(err.msg, "tests/data: no tokenizer.json is there"));
    assert_null(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),      cmocka_unit_test(test_words),
        cmocka_unit_test(test_unsupported),  cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_no_token),     cmocka_unit_test(test_ends),
        cmocka_unit_test(test_late_control), cmocka_unit_test(test_decode_behind),
        cmocka_unit_test(test_paths),        cmocka_unit_test(test_older),
        cmocka_unit_test(test_older_beside), cmocka_unit_test(test_older_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
