/* fuzz_sae.c — .npy files, safetensors and SAEs on arbitrary bytes.
 *
 * An input is tried as each: as a .npy file; as safetensors; and, cut at its first 0 byte, as the
 * cfg.json and the sae_weights.safetensors of an SAE. What is accepted must lie within the input and
 * be usable; what is not must say why in one printable line.
 */
#include "feature/sae.h"
#include "weights/npy.h"
#include "weights/quant.h"
#include "weights/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ph_model_info model = {.blocks = 2, .width = 4, .ffn = 6, .vocab = 30};

static void require(bool ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void check_error(const ph_error *err, ph_status st)
{
    require(st == err->code && st != PH_OK && err->msg[0], "an error without a message");
    for (const char *p = err->msg; *p; p++)
        require(*p >= 0x20 && *p < 0x7f, "a message that is not printable");
}

/* The first and the last row; the rest is more of the same. */
static void read_tensor(const ph_tensor *t, const uint8_t *data, size_t size)
{
    const int64_t columns = t->dims ? t->shape[t->dims - 1] : 1;
    require(t->dims <= 4 && t->bytes <= size, "a tensor larger than the file");
    require(t->data >= data && t->data + t->bytes <= data + size, "data outside of the file");
    if (t->bytes == 0 || t->dims == 0) return;
    const int64_t rows = (int64_t)(t->bytes / ph__quant(t->type)->block_bytes) / columns;
    float *row = malloc((size_t)columns * sizeof *row);
    if (!row) abort();
    ph__dequant_rows(row, t, 0, 1);
    ph__dequant_rows(row, t, rows - 1, 1);
    free(row);
}

static void try_npy(const uint8_t *data, size_t size)
{
    ph_tensor t = {0};
    ph_error err = {0};
    const ph_status st = ph__npy_parse(&t, data, size, &err);
    if (st != PH_OK)
        check_error(&err, st);
    else
        read_tensor(&t, data, size);
}

static void try_safetensors(const uint8_t *data, size_t size)
{
    ph_weights *w = NULL;
    ph_error err = {0};
    if (!ph__is_safetensors(data, size)) return;
    const ph_status st = ph__weights_parse(&w, data, size, &err);
    if (st != PH_OK) check_error(&err, st);
    for (size_t i = 0; st == PH_OK && i < ph__weights_count(w); i++) {
        const ph_tensor *t = ph__weights_at(w, i);
        read_tensor(t, data, size);
        require(ph__weights_find(w, t->name) == t, "a tensor is not found by its name");
    }
    ph__weights_close(&w);
}

static void use_latent(const ph_sae *sae, int64_t index)
{
    static const double x[2 * 6] = {1, -2, 3, 0.5, 7, 1};
    double pre[2], post[2], dx[6] = {0}, offset;
    ph_latent *l = NULL;
    ph_error err = {0};
    const ph_status st = ph__latent_open(&l, sae, index, &err);

    if (st != PH_OK) {
        check_error(&err, st);
        return;
    }
    ph__latent_direction(l, &offset);
    for (int t = 0; t < 2; t++) pre[t] = ph__latent_product(l, x + 6 * t) + offset;
    ph__latent_gradient(dx, l, 1, x);
    require(ph__latent_post(post, l, pre, x, 2, 6, &err) == PH_OK, "no post-activation");
    require(post[0] == 0 || post[0] == pre[0], "post is neither 0 nor pre");
    ph__latent_close(&l);
}

static void try_sae(const uint8_t *data, size_t size)
{
    const uint8_t *cut = memchr(data, 0, size);
    ph_sae *sae = NULL;
    ph_error err = {0};
    if (!cut) return;
    const ph_bytes cfg = {(const char *)data, (size_t)(cut - data)};
    const ph_bytes weights = {(const char *)cut + 1, size - cfg.size - 1};
    const ph_status st = ph__sae_parse(&sae, "folder", cfg, weights, &model, &err);
    if (st != PH_OK) {
        check_error(&err, st);
        return;
    }
    use_latent(sae, 0);
    use_latent(sae, ph__sae_latents(sae) - 1);
    ph__sae_close(&sae);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_npy(data, size);
    try_safetensors(data, size);
    try_sae(data, size);
    return 0;
}
