/* direction.c — a direction at a place, read from a file. */
#include "feature/direction.h"

#include "base/file.h"
#include "model/taps.h"
#include "weights/npy.h"
#include "weights/quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One row of a tensor that must have `width` columns, all of them finite, not all 0. */
static ph_status read_row(float *d, const ph_tensor *t, int64_t row, const char *what,
                          int64_t width, ph_error *err)
{
    double squares = 0;

    if (t->shape[t->dims - 1] != width)
        return ph__fail(err, PH_EFORMAT, -1, "%s: %lld values, the place has %lld", what,
                        (long long)t->shape[t->dims - 1], (long long)width);
    ph__dequant_rows(d, t, row, 1);
    for (int64_t i = 0; i < width; i++) squares += (double)d[i] * (double)d[i];
    if (isfinite(squares) && squares > 0) return PH_OK;
    return ph__fail(err, PH_EFORMAT, -1, "%s: the direction is %s", what,
                    squares == 0 ? "0" : "NaN or infinite");
}

/* ---- .npy ---- */

static ph_status pick_row(int64_t *out, const ph_tensor *t, const char *path, const char *name,
                          ph_error *err)
{
    const int64_t rows = t->dims == 2 ? t->shape[0] : 1;
    char *end = NULL;

    *out = 0;
    if (!name && rows != 1)
        return ph__fail(err, PH_EFORMAT, -1, "%s: %lld rows: say which, as in %s#0", path,
                        (long long)rows, path);
    if (!name) return PH_OK;
    *out = *name >= '0' && *name <= '9' ? strtoll(name, &end, 10) : -1;
    if (*out >= 0 && *out < rows && *end == 0) return PH_OK;
    return ph__fail(err, PH_ERANGE, -1, "%s: no row %s: it has 0 to %lld", path, name,
                    (long long)rows - 1);
}

static ph_status read_npy(float *d, const ph_map *map, const char *path, const char *name,
                          int64_t width, ph_error *err)
{
    ph_error inner = {.pos = -1};
    ph_tensor t = {0};
    int64_t row = 0;

    const ph_status st = ph__npy_parse(&t, map->bytes, map->size, &inner);
    if (st != PH_OK) return ph__fail(err, st, -1, "%s: %s", path, inner.msg);
    PH_TRY(pick_row(&row, &t, path, name, err));
    return read_row(d, &t, row, path, width, err);
}

/* ---- safetensors, GGUF ---- */

static const ph_tensor *find_hook(const ph_weights *w, ph_tap tap)
{
    static const char *const hooks[PH_PLACE_COUNT] = {[PH_PLACE_BLOCK] = "hook_resid_post",
                                                      [PH_PLACE_ATTN] = "hook_attn_out",
                                                      [PH_PLACE_MLP] = "hook_mlp_out",
                                                      [PH_PLACE_NEURON] = "mlp.hook_post"};
    char text[64];
    if (!hooks[tap.place]) return NULL;
    snprintf(text, sizeof text, "blocks.%lld.%s", (long long)tap.block - 1, hooks[tap.place]);
    return ph__weights_find(w, text);
}

/* The tensor of a tap where nobody names one; NULL if none is. */
static const ph_tensor *find_tensor(const ph_weights *w, ph_tap tap)
{
    char text[64];
    const ph_tensor *t = NULL;

    if (ph__weights_count(w) == 1) return ph__weights_at(w, 0);
    if (tap.place == PH_PLACE_BLOCK) {
        snprintf(text, sizeof text, "direction.%lld", (long long)tap.block - 1);
        t = ph__weights_find(w, text);
    }
    return t ? t : find_hook(w, tap);
}

static ph_status read_tensor(float *d, const ph_weights *w, const char *path, const char *name,
                             ph_tap tap, int64_t width, ph_error *err)
{
    const ph_tensor *t = name ? ph__weights_find(w, name) : find_tensor(w, tap);
    char what[160], place[48];

    ph__tap_name(place, tap);
    if (!t && name)
        return ph__fail(err, PH_EFORMAT, -1, "%s: no float tensor %.80s in it", path, name);
    if (!t)
        return ph__fail(err, PH_EFORMAT, -1,
                        "%s: none of its %zu tensors is named after %s: say which, as in %s#NAME",
                        path, ph__weights_count(w), place, path);
    snprintf(what, sizeof what, "%.80s: tensor %.60s", path, t->name);
    if (t->bytes == 0 || t->dims < 1 || t->shape[0] != (t->dims == 1 ? t->shape[0] : 1) ||
        t->dims > 2)
        return ph__fail(err, PH_EFORMAT, -1, "%s: expected one row", what);
    return read_row(d, t, 0, what, width, err);
}

static ph_status read_weights(float *d, const ph_map *map, const char *path, const char *name,
                              ph_tap tap, int64_t width, ph_error *err)
{
    ph_error inner = {.pos = -1};
    ph_weights *w = NULL;
    ph_status st = ph__weights_parse(&w, map->bytes, map->size, &inner);

    if (st == PH_OK)
        st = read_tensor(d, w, path, name, tap, width, err);
    else
        ph__fail(err, st, -1, "%s: %s", path, inner.msg);
    ph__weights_close(&w);
    return st;
}

ph_status ph__direction_read(float *d, const char *path, const char *name, ph_tap tap,
                             int64_t width, ph_error *err)
{
    ph_map map = {0};
    ph_status st = PH_OK;

    PH_GO(ph__map_open(&map, path, err));
    if (map.bytes[0] == 0x93)
        PH_GO(read_npy(d, &map, path, name, width, err));
    else
        PH_GO(read_weights(d, &map, path, name, tap, width, err));
done:
    ph__map_close(&map);
    return st;
}
