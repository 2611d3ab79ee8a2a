/* fuzz_older.c — any bytes as an older vocabulary and what stands beside it, and a text through it.
 *
 *   1 byte  tokenizer_config.json 0  special_tokens_map.json 0  added_tokens.json 0  config.json 0  rest
 *
 * An odd byte: the rest is a tokenizer.model; an even one: vocab.json 0 merges.txt. What opens must give
 * ids within the vocabulary, whose begins never fall, and decode them.
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

/* What stands before the next 0, in memory of its exact size; the input goes on behind it. */
static ph_content cut(ph_content *rest, bool all)
{
    const char *zero = rest->size && !all ? memchr(rest->data, 0, rest->size) : NULL;
    const size_t n = zero ? (size_t)(zero - rest->data) : rest->size;
    char *copy = n ? malloc(n) : NULL;

    must(!n || copy);
    if (n) memcpy(copy, rest->data, n);
    rest->data += n + (zero ? 1 : 0);
    rest->size -= n + (zero ? 1 : 0);
    return (ph_content){copy, n};
}

static void check_text(const ph_tokenizer *t, const char *text)
{
    ph_error err = {0};
    const size_t n = strlen(text);
    const ph_stretch parts[] = {{text, n / 2, true}, {text + n / 2, n - n / 2, false}};
    int32_t *ids = NULL;
    size_t *starts = NULL, count, bytes;
    char *back = NULL;

    if (ph__tokenizer_encode_stretches(&ids, &starts, &count, t, parts, 2, &err) != PH_OK) {
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
    if (size == 0) return 0;
    ph_content rest = {(const char *)data + 1, size - 1}, parts[6] = {{0}};
    const bool spm = data[0] & 1;

    for (int i = 0; i < 4; i++) parts[i] = cut(&rest, false);
    parts[4] = cut(&rest, spm);
    parts[5] = cut(&rest, true);
    const ph_beside beside = {parts[0], parts[1], parts[2], parts[3]};
    const ph_status st = spm ? ph__tokenizer_open_spm(&t, parts[4], &beside, &err)
                             : ph__tokenizer_open_pair(&t, parts[4], parts[5], &beside, &err);
    if (st == PH_OK) {
        check_text(t, "Hello world,  it's <b>12345\n\n</s> \xe6\x97\xa5\xe6\x9c\xac "
                      "\xf0\x9f\xa6\x99 e\xcc\x81 ");
        check_text(t, "   ");
    } else {
        must(st != PH_ENOMEM && err.msg[0] && !strchr(err.msg, '\n') && !t);
    }
    ph_tokenizer_close(&t);
    for (int i = 0; i < 6; i++) free((void *)(uintptr_t)parts[i].data);
    return 0;
}
