/* fuzz_tokenizer_json.c — any bytes as a tokenizer.json, and any text through it.
 *
 * Up to a NUL the data is the JSON, behind it the text. What opens must give ids within the
 * vocabulary, whose begins never fall, and decode them.
 */
#include "base/mem.h"
#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good) abort();
}

static void check_pieces(const ph_tokenizer *t)
{
    size_t n;
    const int32_t vocab = ph_tokenizer_get_info(t)->vocab;
    for (int32_t id = 0; id < vocab; id++) {
        must(ph_tokenizer_piece(t, id, &n) != NULL);
        must(ph_tokenizer_kind(t, id) >= PH_TOKEN_NORMAL);
    }
}

static void check_text(const ph_tokenizer *t, const char *text, size_t n)
{
    ph_error err = {0};
    const ph_stretch parts[] = {{text, n / 2, true}, {text + n / 2, n - n / 2, false}};
    int32_t *ids = NULL;
    size_t *starts = NULL, count, bytes;
    char *back = NULL;

    const ph_status st = ph__tokenizer_encode_stretches(&ids, &starts, &count, t, parts, 2, &err);
    if (st != PH_OK) {
        must(err.msg[0] && !strchr(err.msg, '\n') && !ids);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        must(ids[i] >= 0 && ids[i] < ph_tokenizer_get_info(t)->vocab);
        must(starts[i] <= starts[i + 1]);
    }
    must(starts[count] == n);
    must(ph_tokenizer_decode(&back, &bytes, t, ids, count, &err) == PH_OK && back[bytes] == 0);
    ph__free(ids);
    ph__free(starts);
    ph_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ph_error err = {0};
    ph_tokenizer *t = NULL;
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    const size_t n = zero ? (size_t)(zero - data) : size;
    const size_t n_text = zero ? size - n - 1 : 0;
    char *json = malloc(n + 1), *text = malloc(n_text + 1); /* exact but for one byte */

    must(json && text);
    if (n) memcpy(json, data, n);
    if (n_text) memcpy(text, zero + 1, n_text);
    if (ph__tokenizer_open_json(&t, json, n, NULL, 0, &err) == PH_OK) {
        check_pieces(t);
        check_text(t, text, n_text);
    } else {
        must(err.msg[0] && !strchr(err.msg, '\n') && !t);
    }
    ph_tokenizer_close(&t);
    free(json);
    free(text);
    return 0;
}
