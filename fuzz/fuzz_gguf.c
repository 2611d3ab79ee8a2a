/* fuzz_gguf.c — the GGUF reader on arbitrary bytes.
 *
 * What is accepted must be readable to the last byte: a row of every tensor, every element of every
 * key. What is refused must say why in one printable line and point inside the file.
 */
#include "weights/gguf.h"
#include "weights/quant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what, const char *text)
{
    if (ok) return;
    fprintf(stderr, "%s: %s\n", what, text);
    abort();
}

static void check_tensor(const ph_weights *w, size_t i, const uint8_t *data, size_t size)
{
    const ph_tensor *t = ph__weights_at(w, i), *needed = NULL;
    const int64_t columns = t->shape[t->dims - 1], rows = t->shape[0];
    const size_t at = (size_t)(t->data - data);
    int64_t elements = 1;

    for (int d = 0; d < 4; d++) elements *= t->shape[d];
    require(at <= size && t->bytes <= size - at, "data out of the file", t->name);
    require(elements / ph__quant(t->type)->block * (int64_t)ph__quant(t->type)->block_bytes ==
                (int64_t)t->bytes,
            "bytes do not fit the shape", t->name);
    require(ph__weights_find(w, t->name) == t, "is not found by its name", t->name);
    require(t->dims > 2 || ph__weights_need(&needed, w, t->name, rows, t->shape[1], NULL) == PH_OK,
            "does not have its own shape", t->name);

    float *row = malloc((size_t)columns * sizeof *row);
    if (!row) abort();
    ph__dequant_rows(row, t, 0, 1);
    ph__dequant_rows(row, t, elements / columns - 1, 1);
    free(row);
}

/* Sum of all bytes, so that a sanitizer sees them read. */
static unsigned read_text(ph_bytes s)
{
    unsigned sum = 0;
    for (size_t i = 0; i < s.size; i++) sum += (unsigned char)s.data[i];
    return sum;
}

static void check_value(const ph_weights *w, const ph_value *v)
{
    char *key = NULL;
    int64_t x = 0;
    double real = 0;
    bool flag = false;
    ph_bytes text = {"", 0};
    size_t n = 0;
    volatile unsigned sum = 0;

    require(ph__bytes_dup(&key, v->key, NULL) == PH_OK && ph__meta_has(w, key), "key", key);
    int taken = (ph__meta_int(&x, w, key, NULL) == PH_OK) +
                (ph__meta_real(&real, w, key, NULL) == PH_OK) +
                (ph__meta_bool(&flag, w, key, NULL) == PH_OK) +
                (ph__meta_string(&text, w, key, NULL) == PH_OK);
    require(v->array ? taken == 0 : taken <= 1 + (v->type == PH_GGUF_BOOL), "two types", key);
    sum += read_text(text);
    if (ph__meta_strings(&n, w, key, NULL) == PH_OK)
        for (size_t i = 0; i < n; i++) sum += read_text(ph__meta_string_at(w, key, i));
    else if (ph__meta_numbers(&n, w, key, NULL) == PH_OK)
        for (size_t i = 0; i < n; i++) sum += ph__meta_number_at(w, key, i) > 0;
    (void)sum;
    ph__free(key);
}

/* safetensors' header is JSON, whose contents have no place in the file. */
static void check_error(const ph_error *err, ph_status st, const uint8_t *data, size_t size)
{
    const int64_t least = size >= 4 && memcmp(data, "GGUF", 4) == 0 ? 0 : -1;
    require(st == err->code && (st == PH_EFORMAT || st == PH_EUNSUPPORTED), "code", err->msg);
    require(err->pos >= least && err->pos <= (int64_t)size, "position", err->msg);
    require(err->msg[0] != 0, "no message", "");
    for (const char *p = err->msg; *p; p++)
        require(*p >= 0x20 && *p < 0x7f, "not printable", err->msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ph_weights *w = NULL;
    ph_error err = {0};

    const ph_status st = ph__weights_parse(&w, data, size, &err);
    if (st == PH_OK) {
        for (size_t i = 0; i < ph__weights_count(w); i++) check_tensor(w, i, data, size);
        for (size_t i = 0; i < w->n_values; i++) check_value(w, &w->values[i]);
    } else {
        require(w == NULL, "an object beside an error", err.msg);
        check_error(&err, st, data, size);
    }
    ph__weights_close(&w);
    return 0;
}
