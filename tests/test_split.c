/* test_split.c — models in several files: a whole one against its parts (tools/golden_split.py), and
 * parts that do not fit.
 */
#include "weights/split.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "compose.h"

#define PART(i) "tests/data/split/llama_c-0000" #i "-of-00004.gguf"

static const char *const files[] = {PART(1), PART(2), PART(3), PART(4)};

static ph_weights *must_open(const char *path)
{
    ph_weights *w = NULL;
    ph_error err = {0};
    if (ph__weights_open(&w, path, &err) != PH_OK) fail_msg("%s: %s", path, err.msg);
    return w;
}

/* Any part opens the model, whose tensors, keys and tokenizer are those of the whole file. */
static void test_same_model(void **state)
{
    ph_weights *whole = must_open("tests/data/llama_c.gguf");
    (void)state;

    for (size_t i = 0; i < 4; i++) {
        ph_weights *w = must_open(files[i]);
        size_t bytes = 0, n = 0, n_whole = 0;
        assert_int_equal(ph__weights_count(w), ph__weights_count(whole));
        for (size_t k = 0; k < ph__weights_count(whole); k++) {
            const ph_tensor *a = ph__weights_at(whole, k), *b = ph__weights_find(w, a->name);
            assert_non_null(b);
            assert_ptr_equal(b, ph__weights_at(w, k));
            assert_int_equal(a->type, b->type);
            assert_int_equal(a->bytes, b->bytes);
            assert_memory_equal(a->shape, b->shape, sizeof a->shape);
            assert_memory_equal(a->data, b->data, a->bytes);
            bytes += b->bytes;
        }
        assert_true(bytes > 50000);
        assert_int_equal(ph__meta_strings(&n, w, "tokenizer.ggml.tokens", NULL), PH_OK);
        assert_int_equal(ph__meta_strings(&n_whole, whole, "tokenizer.ggml.tokens", NULL), PH_OK);
        assert_true(n == n_whole && n > 100);
        ph__weights_close(&w);
    }
    ph__weights_close(&whole);
}

/* As `cat PART… | sha256sum` says, whichever part was named. */
static void test_sha256(void **state)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char md[EVP_MAX_MD_SIZE], part[4096];
    char want[65], have[65];
    size_t total = 0;
    (void)state;

    assert_true(EVP_DigestInit_ex(ctx, EVP_sha256(), NULL));
    for (size_t i = 0; i < 4; i++) {
        FILE *f = fopen(files[i], "rb");
        assert_non_null(f);
        for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0; total += n)
            EVP_DigestUpdate(ctx, part, n);
        fclose(f);
    }
    assert_true(EVP_DigestFinal_ex(ctx, md, NULL));
    EVP_MD_CTX_free(ctx);
    for (size_t i = 0; i < 32; i++) snprintf(want + 2 * i, 3, "%02x", md[i]);
    for (size_t i = 0; i < 4; i++) {
        ph_model *m = NULL;
        assert_int_equal(ph_model_open(&m, files[i], NULL, NULL), PH_OK);
        assert_int_equal(ph_model_sha256(m, have, NULL), PH_OK);
        assert_string_equal(have, want);
        assert_int_equal(ph_model_get_info(m)->file_bytes, total);
        ph_model_close(&m);
    }
}

/* ---- parts that do not fit ---- */

#define KEYS(no, count, tensors)                                                                   \
    "s:split.no U16 u16:" #no " s:split.count U16 u16:" #count                                     \
    " s:split.tensors.count I32 u32:" #tensors " "
#define TENSORS(n, k, names)             "GGUF u32:3 u64:" #n " u64:" #k " " names
#define ONE(name)                        "s:" name " u32:1 u64:1 u32:0 u64:0 pad:32 f32:1"
#define A_PART(no, count, tensors, name) TENSORS(1, 3, KEYS(no, count, tensors) ONE(name))

static const struct {
    const char *parts[3]; /* of DIR/m-00001-of-0000N.gguf … */
    int opened;           /* from 0 */
    ph_status code;
    const char *msg; /* %s: the folder */
} misfits[] = {
    {{A_PART(0, 2, 2, "a"), NULL}, 0, PH_EIO, "%s/m-00002-of-00002.gguf: part 2 of 2 is missing"},
    {{A_PART(0, 2, 2, "a"), "x:50"},
     0,
     PH_EFORMAT,
     "%s/m-00002-of-00002.gguf is not a GGUF file (first bytes 50)"},
    {{A_PART(1, 2, 2, "a"), A_PART(1, 2, 2, "b")},
     0,
     PH_EFORMAT,
     "%s/m-00001-of-00002.gguf: its keys say part 2 of 2, so its name must end in "
     "-00002-of-00002.gguf"},
    {{A_PART(0, 3, 2, "a"), A_PART(1, 2, 2, "b")},
     0,
     PH_EFORMAT,
     "%s/m-00001-of-00002.gguf: its keys say part 1 of 3, so its name must end in "
     "-00001-of-00003.gguf"},
    {{A_PART(0, 2, 2, "a"), A_PART(0, 2, 2, "b")},
     0,
     PH_EFORMAT,
     "part 2 of 2: its keys say part 1 of 2"},
    {{A_PART(1, 2, 2, "a"), A_PART(1, 2, 2, "b")},
     1,
     PH_EFORMAT,
     "part 1 of 2: its keys say part 2 of 2"},
    {{A_PART(0, 2, 2, "a"), A_PART(1, 3, 2, "b")},
     0,
     PH_EFORMAT,
     "part 2 of 2: its keys say part 2 of 3"},
    {{A_PART(0, 2, 2, "a"), TENSORS(1, 0, ONE("b"))},
     0,
     PH_EFORMAT,
     "part 2 of 2: its keys say that it is whole"},
    {{A_PART(0, 2, 2, "a"), A_PART(1, 2, 3, "b")},
     0,
     PH_EFORMAT,
     "part 2 of 2: key split.tensors.count is 3, in part 1 it is 2"},
    {{A_PART(0, 2, 3, "a"), A_PART(1, 2, 3, "b")},
     0,
     PH_EFORMAT,
     "the 2 parts have 2 tensors, key split.tensors.count says 3"},
    {{A_PART(0, 2, 2, "a"), A_PART(1, 2, 2, "a")},
     1,
     PH_EFORMAT,
     "tensor a: is there in two parts"},
    {{A_PART(2, 2, 2, "a"), A_PART(1, 2, 2, "b")},
     0,
     PH_EFORMAT,
     "key split.no is 2 and split.count 2, expected a part of at most 99999"},
    {{A_PART(0, 2, 2, "a"), A_PART(1, 2, 2, "b")}, 0, PH_OK, ""},
    {{A_PART(0, 3, 3, "a"), A_PART(1, 3, 3, "b"), A_PART(2, 3, 3, "c")}, 2, PH_OK, ""},
    {{A_PART(0, 1, 1, "a")}, 0, PH_OK, ""},
};

static void part_path(char out[64], const char *folder, int i, int n)
{
    snprintf(out, 64, "%s/m-%05d-of-%05d.gguf", folder, i + 1, n);
}

static void test_misfits(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof misfits / sizeof *misfits; c++) {
        char folder[] = "/tmp/test_split.XXXXXX", path[64], want[256] = "";
        const char *msg = misfits[c].msg, *place = strstr(msg, "%s");
        const int n = misfits[c].parts[2] ? 3 : 2;
        ph_weights *w = NULL;
        ph_error err = {0};

        assert_non_null(mkdtemp(folder));
        for (int i = 0; i < n; i++) {
            ph_str s = {0};
            if (!misfits[c].parts[i]) continue;
            part_path(path, folder, i, n);
            FILE *f = fopen(path, "wb");
            assert_non_null(f);
            compose(&s, misfits[c].parts[i]);
            assert_int_equal(fwrite(s.data, 1, s.size, f), s.size);
            fclose(f);
            ph__str_close(&s);
        }
        snprintf(want, sizeof want, "%s%s", place ? folder : "", place ? place + 2 : msg);
        part_path(path, folder, misfits[c].opened, n);
        assert_int_equal(ph__weights_open(&w, path, &err), misfits[c].code);
        assert_string_equal(err.msg, want);
        if (w) assert_int_equal(ph__weights_count(w), misfits[c].parts[1] ? n : 1);
        ph__weights_close(&w);
        for (int i = 0; i < n; i++) {
            part_path(path, folder, i, n);
            unlink(path);
        }
        rmdir(folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_model),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_misfits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
