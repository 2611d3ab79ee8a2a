/* fuzz_tokenizer.c — any text through all pre-tokenizers of a small vocabulary and back.
 *
 * The first byte picks the pre-tokenizer, the second whether special tokens are parsed, and how the
 * rest is cut into stretches. What is UTF-8 must come back from its ids; what is not must be refused at
 * the right byte; ph_utf8_clean must give UTF-8 of either.
 */
#include "../tests/tiny_vocab.h"

#include "base/mem.h"
#include "text/pretokenize.h"
#include "text/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 64 };
static ph_tokenizer *tokenizers[MOST];
static size_t n_tokenizers;

static void must(bool good)
{
    if (!good) abort();
}

static void open_all(void)
{
    static tiny v;
    for (const char *name; (name = ph__pretokenizer_name(n_tokenizers)); n_tokenizers++) {
        must(n_tokenizers < MOST);
        tiny_init(&v, name);
        must(ph__tokenizer_new(&tokenizers[n_tokenizers], &v.vocab, NULL) == PH_OK);
    }
}

static void check_clean(const char *text, size_t n, bool valid)
{
    char *out = NULL;
    must(ph_utf8_clean(&out, text, n, NULL) == PH_OK);
    /* The bytes may hold zeros: the length is that of the text where it was valid. */
    if (valid)
        must(memcmp(out, text, n) == 0 && out[n] == 0);
    else
        must(ph__utf8_check(out, strlen(out)) == strlen(out));
    ph_free(out);
}

static void check_encode(const ph_tokenizer *t, const char *text, size_t n, unsigned flags,
                         size_t bad)
{
    ph_error err;
    int32_t *ids = NULL;
    char *back = NULL;
    size_t count, bytes;

    const ph_status st = ph_tokenizer_encode(&ids, &count, t, text, n, flags, &err);
    if (bad < n) {
        must(st == PH_ETEXT && err.pos == (int64_t)bad && !ids);
        return;
    }
    must(st == PH_OK && count <= n);
    must(ph_tokenizer_decode(&back, &bytes, t, ids, count, NULL) == PH_OK);
    must(bytes == n && memcmp(back, text, n) == 0 && back[n] == 0);
    ph_free(ids);
    ph_free(back);
}

/* Three stretches: each token's bytes are those of the text at its start. */
static void check_stretches(const ph_tokenizer *t, const char *text, size_t n, unsigned cut)
{
    const size_t a = n * cut / 8, b = a + (n - a) / 2;
    const ph_stretch parts[] = {{text, a, true}, {text + a, b - a, false}, {text + b, n - b, true}};
    int32_t *ids = NULL;
    size_t *starts = NULL, count, at = 0, bytes;

    must(ph__tokenizer_encode_stretches(&ids, &starts, &count, t, parts, 3, NULL) == PH_OK);
    for (size_t i = 0; i < count; i++) {
        const char *piece = ph_tokenizer_piece(t, ids[i], &bytes);
        must(starts[i] == at && at + bytes <= n && memcmp(piece, text + at, bytes) == 0);
        const bool inside = at + bytes <= a || at >= b;
        must(ph_tokenizer_kind(t, ids[i]) != PH_TOKEN_CONTROL || inside);
        at += bytes;
    }
    must(starts[count] == n && at == n);
    ph__free(ids);
    ph__free(starts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!tokenizers[0]) open_all();
    if (size < 2) return 0;
    const ph_tokenizer *t = tokenizers[data[0] % n_tokenizers];
    const unsigned flags = data[1] & 4 ? PH_ENCODE_SPECIAL : 0;
    const size_t n = size - 2;
    char *text = malloc(n ? n : 1); /* exact size: ASan sees a byte too far */
    must(text != NULL);
    if (n) memcpy(text, data + 2, n);
    const size_t bad = ph__utf8_check(text, n);

    check_clean(text, n, bad == n);
    check_encode(t, text, n, flags, bad);
    if (bad == n) check_stretches(t, text, n, data[1] >> 5);
    free(text);
    return 0;
}
