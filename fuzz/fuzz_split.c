/* fuzz_split.c — parts of a split GGUF that anybody may have written: each behind its length (u32),
 * the last one without. What is accepted must hold every part's tensors, found by name and readable.
 */
#include "weights/quant.h"
#include "weights/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 4 };

static void require(bool ok, const char *what, const char *text)
{
    if (ok) return;
    fprintf(stderr, "%s: %s\n", what, text);
    abort();
}

static size_t part_size(const uint8_t *data, size_t size, bool last)
{
    uint32_t n;
    if (last || size < sizeof n) return size;
    memcpy(&n, data, sizeof n);
    return n < size - sizeof n ? n : size - sizeof n;
}

/* How many parts there are; all of them parse, or 0. */
static size_t take_parts(ph_weights **parts, const uint8_t *data, size_t size)
{
    const size_t wanted = size ? 2 + data[0] % (MOST - 1) : 0;
    size_t n = 0;
    for (size_t at = 1; n < wanted; n++) {
        const bool last = n + 1 == wanted;
        const size_t bytes = part_size(data + at, size - at, last);
        if (!last && size - at >= 4) at += 4;
        if (ph__weights_parse(&parts[n], data + at, bytes, NULL) != PH_OK) return 0;
        at += bytes;
    }
    return n;
}

static void check_tensors(const ph_weights *w)
{
    for (size_t i = 0; i < ph__weights_count(w); i++) {
        const ph_tensor *t = ph__weights_at(w, i);
        float *row = malloc((size_t)t->shape[t->dims - 1] * sizeof *row);
        require(row && ph__weights_find(w, t->name) == t, "is not found by its name", t->name);
        ph__dequant_rows(row, t, 0, 1);
        free(row);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ph_weights *parts[MOST] = {NULL};
    ph_error err = {0};
    char sha[65];
    size_t sum = 0;

    const size_t n = take_parts(parts, data, size);
    for (size_t i = 0; i < n; i++) sum += ph__weights_count(parts[i]);
    if (n && ph__split_join(parts, n, &err) == PH_OK) {
        for (size_t i = 1; i < n; i++) require(!parts[i], "still there", "a part");
        require(ph__weights_count(parts[0]) == sum, "lost", "tensors");
        require(ph__weights_sha256(sha, parts[0], NULL) == PH_OK, "no sum", "sha256");
        check_tensors(parts[0]);
    } else if (n) {
        require(err.code == PH_EFORMAT || err.code == PH_EUNSUPPORTED, "code", err.msg);
        require(err.msg[0] && !strchr(err.msg, '\n'), "message", err.msg);
        for (size_t i = 0; i < n; i++) require(parts[i], "gone", "a part");
    }
    for (size_t i = 0; i < MOST; i++) ph__weights_close(&parts[i]);
    return 0;
}
