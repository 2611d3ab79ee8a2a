/* fuzz_folder.c — any bytes as a Hugging Face folder.
 *
 *   config.json 0  model.safetensors.index.json, or nothing 0  u32 n  n bytes of safetensors  the rest
 *
 * The first n bytes are the first file, the rest every other one that the index names. What opens
 * must be readable to the last row, and what fits a family is bound; what is refused must say why in
 * one line.
 */
#include "model/arch.h"
#include "model/bind.h"
#include "weights/folder.h"
#include "weights/quant.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good) abort();
}

struct part {
    const char *data;
    size_t size;
};

/* What stands before the next 0; the input goes on behind it. */
static struct part cut(struct part *rest)
{
    const char *zero = rest->size ? memchr(rest->data, 0, rest->size) : NULL;
    const struct part out = {rest->data, zero ? (size_t)(zero - rest->data) : rest->size};
    rest->data += out.size + (zero ? 1 : 0);
    rest->size -= out.size + (zero ? 1 : 0);
    return out;
}

static void read_tensor(const ph_weights *w, const ph_tensor *t)
{
    const int64_t columns = t->shape[t->dims - 1];
    const int64_t rows = t->dims == 2 ? t->shape[0] : 1;
    float *row = calloc((size_t)columns + 1, sizeof *row);

    must(row && t->dims >= 1 && t->dims <= 2 && ph__weights_find(w, t->name) == t);
    if (columns && rows) {
        ph__dequant_rows(row, t, 0, 1);
        ph__dequant_rows(row, t, rows - 1, 1);
    }
    free(row);
}

static void check_open(const ph_weights *w, ph_error *err)
{
    ph_arch a = {0};
    ph_slots slots = {0};

    for (size_t i = 0; i < ph__weights_count(w); i++) read_tensor(w, ph__weights_at(w, i));
    if (ph__arch_read(&a, w, err) != PH_OK) return;
    if (ph__bind(&slots, w, &a, err) == PH_OK) ph__slots_close(&slots);
    ph__arch_close(&a);
}

static ph_status open_shards(ph_weights *w, size_t n, struct part rest, ph_error *err)
{
    uint32_t first = 0;

    if (rest.size >= 4) memcpy(&first, rest.data, 4);
    rest.data += rest.size < 4 ? rest.size : 4;
    rest.size -= rest.size < 4 ? rest.size : 4;
    if (first > rest.size) first = (uint32_t)rest.size;
    PH_TRY(PH_NEW(&w->shards, n, err));
    for (; w->n_shards < n; w->n_shards++) {
        const size_t at = w->n_shards ? first : 0, bytes = w->n_shards ? rest.size - first : first;
        PH_TRY(ph__weights_parse(&w->shards[w->n_shards], (const uint8_t *)rest.data + at, bytes,
                                 err));
    }
    return PH_OK;
}

static ph_status open_all(ph_weights *w, struct part rest, ph_error *err)
{
    const struct part texts[] = {cut(&rest), cut(&rest)};
    json_t *config = NULL, *index = NULL;
    char **files = NULL;
    size_t n = 1;
    ph_status st = PH_OK;

    PH_GO(ph__json_parse(&config, texts[0].data, texts[0].size, "config.json", err));
    if (texts[1].size) {
        PH_GO(ph__json_parse(&index, texts[1].data, texts[1].size, "the index", err));
        PH_GO(ph__hf_index_files(&files, &n, index, err));
    }
    PH_GO(open_shards(w, n, rest, err));
    PH_GO(ph__hf_assemble(w, config, index, files, "a name", err));
done:
    ph__hf_files_free(files, files ? n : 0);
    json_decref(index);
    json_decref(config);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ph_weights *w = NULL;
    ph_error err = {0};

    must(PH_NEW(&w, 1, &err) == PH_OK);
    if (open_all(w, (struct part){(const char *)data, size}, &err) == PH_OK) check_open(w, &err);
    must(!err.code || (err.msg[0] && !strchr(err.msg, '\n')));
    must(err.code != PH_ENOMEM);
    ph__weights_close(&w);
    return 0;
}
