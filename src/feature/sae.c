/* sae.c — sparse autoencoders in SAELens's files.
 *
 * What the fields of cfg.json mean and which are absent in files of which age follows SAELens's own
 * loader and encode() of each architecture. W = d_in, S = d_sae, T tokens.
 */
#include "feature/sae.h"

#include "base/file.h"
#include "base/json.h"
#include "weights/quant.h"

#include <math.h>
#include <string.h>

enum architecture { STANDARD, TOPK, BATCHTOPK, JUMPRELU, GATED };
enum normalisation { NONE, SCALED, CONSTANT_NORM, LAYER_NORM };

struct ph_sae {
    char *folder;
    ph_map map; /* of the weights; {0} where the caller owns the bytes */
    ph_weights *weights;
    ph_tap tap;
    int64_t W, S;
    enum architecture architecture;
    enum normalisation normalisation;
    double scale; /* SCALED: inputs are multiplied by it */
    int64_t k;
    bool subtract, rescale, bos;
    const ph_tensor *encoder; /* (W,S) */
    double *norms;            /* (S) |W_dec[j]| where pre-activations are multiplied by it */
    float *bias;              /* (W) b_dec where it is subtracted; NULL: 0 */
};

struct ph_latent {
    const ph_sae *sae;
    int64_t index;
    float *direction; /* (W) */
    double offset, threshold;
};

/* ---- cfg.json ---- */

struct cfg {
    const char *path;
    json_t *root, *meta; /* meta: since version 6 the place of some */
    ph_error *err;
};

/* A field by its name, or by the one it had before; of the metadata too. NULL: absent or null. */
static const json_t *field(const struct cfg *c, const char *name, const char *older)
{
    const char *const names[] = {name, older};
    for (int i = 0; i < 2 && names[i]; i++) {
        const json_t *v = json_object_get(c->root, names[i]);
        if (!v || json_is_null(v)) v = json_object_get(c->meta, names[i]);
        if (v && !json_is_null(v)) return v;
    }
    return NULL;
}

static ph_status wrong(const struct cfg *c, const char *name, const char *expected)
{
    return ph__fail(c->err, PH_EFORMAT, -1, "%s: %s: expected %s", c->path, name, expected);
}

/* *out = the text of a field, printable; it keeps what it had where the field is absent. */
static ph_status text(const char **out, const struct cfg *c, const char *name, const char *older)
{
    const json_t *v = field(c, name, older);
    if (!v) return PH_OK;
    if (!json_is_string(v)) return wrong(c, name, "a string");
    for (const char *p = json_string_value(v); *p; p++)
        if (*p < 0x20 || *p > 0x7e) return wrong(c, name, "printable ASCII");
    *out = json_string_value(v);
    return PH_OK;
}

static ph_status truth(bool *out, const struct cfg *c, const char *name)
{
    const json_t *v = field(c, name, NULL);
    if (v && !json_is_boolean(v)) return wrong(c, name, "true or false");
    if (v) *out = json_is_true(v);
    return PH_OK;
}

static ph_status size(int64_t *out, const struct cfg *c, const json_t *v, const char *name)
{
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > INT32_MAX)
        return wrong(c, name, "a number from 1 on");
    *out = json_integer_value(v);
    return PH_OK;
}

static ph_status read_architecture(ph_sae *s, const struct cfg *c)
{
    static const struct {
        const char *name;
        enum architecture is;
    } all[] = {{"standard", STANDARD},   {"topk", TOPK},
               {"batchtopk", BATCHTOPK}, {"matryoshka_batchtopk", BATCHTOPK},
               {"jumprelu", JUMPRELU},   {"gated", GATED}};
    const char *name = "standard", *activation = "relu";
    const json_t *old = json_object_get(field(c, "activation_fn_kwargs", NULL), "k");
    const json_t *k = field(c, "k", NULL);
    size_t i = 0;

    PH_TRY(text(&name, c, "architecture", NULL));
    PH_TRY(text(&activation, c, "activation_fn", "activation_fn_str"));
    if (strcmp(activation, "topk") == 0 && old) {
        name = "topk";
        k = old;
    } else if (strcmp(activation, "relu") != 0 && strcmp(activation, "topk") != 0) {
        return ph__fail(c->err, PH_EUNSUPPORTED, -1, "%s: activation_fn %.40s is not supported",
                        c->path, activation);
    }
    while (i < sizeof all / sizeof *all && strcmp(all[i].name, name) != 0) i++;
    if (i == sizeof all / sizeof *all)
        return ph__fail(c->err, PH_EUNSUPPORTED, -1,
                        "%s: architecture %.40s is not supported (standard, topk, batchtopk, "
                        "jumprelu and gated are)",
                        c->path, name);
    s->architecture = all[i].is;
    return s->architecture == TOPK ? size(&s->k, c, k, "k") : PH_OK;
}

/* Files from before version 6 say true for the average norm. Without its factor the weights have it
 * folded in, as SAELens takes it too. */
static ph_status read_normalisation(ph_sae *s, const struct cfg *c)
{
    const json_t *v = field(c, "normalize_activations", NULL);
    const json_t *factor = field(c, "norm_scaling_factor", NULL);
    const char *name = "none";

    if (json_is_boolean(v))
        name = json_is_true(v) ? "expected_average_only_in" : "none";
    else
        PH_TRY(text(&name, c, "normalize_activations", NULL));
    if (strcmp(name, "layer_norm") == 0) {
        s->normalisation = LAYER_NORM;
    } else if (strcmp(name, "constant_norm_rescale") == 0) {
        s->normalisation = CONSTANT_NORM;
    } else if (strcmp(name, "expected_average_only_in") == 0) {
        if (!factor) return PH_OK;
        s->normalisation = SCALED;
        s->scale = json_number_value(factor);
        if (!json_is_number(factor) || !isfinite(s->scale) || s->scale <= 0)
            return wrong(c, "norm_scaling_factor", "a number above 0");
    } else if (strcmp(name, "none") != 0) {
        return ph__fail(c->err, PH_EUNSUPPORTED, -1,
                        "%s: normalize_activations %.40s is not supported", c->path, name);
    }
    return PH_OK;
}

static ph_status read_hook(ph_sae *s, const struct cfg *c, const ph_model_info *model)
{
    const char *name = NULL, *reshape = "none";
    ph_error inner = {.pos = -1};

    PH_TRY(text(&name, c, "hook_name", "hook_point"));
    PH_TRY(text(&reshape, c, "reshape_activations", NULL));
    if (!name) return wrong(c, "hook_name", "the name of a hook");
    if (strstr(name, "hook_z") || strcmp(reshape, "none") != 0)
        return ph__fail(c->err, PH_EUNSUPPORTED, -1,
                        "%s: hook_name %.60s: single heads are not among the places", c->path,
                        name);
    if (field(c, "hook_head_index", "hook_point_head_index"))
        return ph__fail(c->err, PH_EUNSUPPORTED, -1, "%s: hook_head_index is not supported",
                        c->path);
    const ph_status st = ph__hook_read(&s->tap, model, name, &inner);
    if (st == PH_OK) return PH_OK;
    return ph__fail(c->err, st == PH_ESPEC ? PH_EUNSUPPORTED : st, -1, "%s: hook_name %.60s: %s",
                    c->path, name, inner.msg);
}

static ph_status read_cfg(ph_sae *s, const struct cfg *c, const ph_model_info *model)
{
    s->subtract = s->bos = true;
    PH_TRY(read_architecture(s, c));
    PH_TRY(read_normalisation(s, c));
    PH_TRY(read_hook(s, c, model));
    PH_TRY(truth(&s->subtract, c, "apply_b_dec_to_input"));
    PH_TRY(truth(&s->rescale, c, "rescale_acts_by_decoder_norm"));
    PH_TRY(truth(&s->bos, c, "prepend_bos"));
    PH_TRY(size(&s->W, c, field(c, "d_in", NULL), "d_in"));
    PH_TRY(size(&s->S, c, field(c, "d_sae", NULL), "d_sae"));
    if (s->architecture != TOPK && s->architecture != BATCHTOPK) s->rescale = false;
    const int64_t width = ph_place_width(model, s->tap.place);
    if (s->W == width) return PH_OK;
    return ph__fail(c->err, PH_EFORMAT, -1, "%s: d_in %lld, its place in this model has %lld",
                    c->path, (long long)s->W, (long long)width);
}

static ph_status parse_cfg(ph_sae *s, ph_bytes cfg, const ph_model_info *model, ph_error *err)
{
    ph_status st = PH_OK;
    char *path = NULL;
    struct cfg c = {.err = err};

    PH_GO(ph__printf(&path, err, "%s/" PH_SAE_CFG, s->folder));
    c.path = path;
    PH_GO(ph__json_parse(&c.root, cfg.data, cfg.size, path, err));
    c.meta = json_object_get(c.root, "metadata");
    PH_GO(read_cfg(s, &c, model));
done:
    json_decref(c.root);
    ph__free(path);
    return st;
}

/* ---- weights ---- */

static ph_status read_norms(ph_sae *s, ph_error *err)
{
    const ph_tensor *decoder = NULL;
    float *row = NULL;

    PH_TRY(ph__weights_need(&decoder, s->weights, "W_dec", s->S, s->W, err));
    PH_TRY(PH_NEW(&s->norms, (size_t)s->S, err));
    PH_TRY(PH_NEW(&row, (size_t)s->W, err));
    for (int64_t j = 0; j < s->S; j++) {
        double squares = 0;
        ph__dequant_rows(row, decoder, j, 1);
        for (int64_t i = 0; i < s->W; i++) squares += (double)row[i] * (double)row[i];
        s->norms[j] = sqrt(squares);
    }
    ph__free(row);
    return PH_OK;
}

static ph_status check_weights(ph_sae *s, ph_error *err)
{
    const ph_weights *w = s->weights;
    const ph_tensor *b = NULL;

    PH_TRY(ph__weights_need(&s->encoder, w, "W_enc", s->W, s->S, err));
    if (s->architecture == TOPK) PH_TRY(ph__weights_need(&b, w, "b_enc", s->S, 1, err));
    if (s->rescale) PH_TRY(read_norms(s, err));
    if (!s->subtract) return PH_OK;
    PH_TRY(ph__weights_need(&b, w, "b_dec", s->W, 1, err));
    PH_TRY(PH_NEW(&s->bias, (size_t)s->W, err));
    ph__dequant_all(s->bias, b);
    return PH_OK;
}

/* Errors of the weights name no file yet. */
static ph_status parse_weights(ph_sae *s, ph_bytes weights, ph_error *err)
{
    ph_error inner = {.pos = -1};
    ph_status st =
        ph__weights_parse(&s->weights, (const uint8_t *)weights.data, weights.size, &inner);

    if (st == PH_OK) st = check_weights(s, &inner);
    if (st == PH_OK) return PH_OK;
    return ph__fail(err, st, -1, "%s/" PH_SAE_WEIGHTS ": %s", s->folder, inner.msg);
}

ph_status ph__sae_parse(ph_sae **out, const char *folder, ph_bytes cfg, ph_bytes weights,
                        const ph_model_info *model, ph_error *err)
{
    ph_status st = PH_OK;
    ph_sae *s = NULL;

    PH_GO(PH_NEW(&s, 1, err));
    PH_GO(ph__strndup(&s->folder, folder, strlen(folder), err));
    PH_GO(parse_cfg(s, cfg, model, err));
    PH_GO(parse_weights(s, weights, err));
    *out = s;
    s = NULL;
done:
    ph__sae_close(&s);
    return st;
}

static ph_status map_file(ph_map *out, ph_bytes *bytes, const char *folder, const char *name,
                          ph_error *err)
{
    char *path = NULL;
    PH_TRY(ph__printf(&path, err, "%s/%s", folder, name));
    const ph_status st = ph__map_open(out, path, err);
    ph__free(path);
    *bytes = (ph_bytes){(const char *)out->bytes, out->size};
    return st;
}

ph_status ph__sae_open(ph_sae **out, const char *folder, const ph_model_info *model, ph_error *err)
{
    ph_status st = PH_OK;
    ph_map cfg = {0}, weights = {0};
    ph_bytes a, b;

    PH_GO(map_file(&cfg, &a, folder, PH_SAE_CFG, err));
    PH_GO(map_file(&weights, &b, folder, PH_SAE_WEIGHTS, err));
    PH_GO(ph__sae_parse(out, folder, a, b, model, err));
    (*out)->map = weights;
    weights = (ph_map){0};
done:
    ph__map_close(&weights);
    ph__map_close(&cfg);
    return st;
}

void ph__sae_close(ph_sae **sae)
{
    if (!*sae) return;
    ph__weights_close(&(*sae)->weights);
    ph__map_close(&(*sae)->map);
    ph__free((*sae)->bias);
    ph__free((*sae)->norms);
    ph__free((*sae)->folder);
    ph__free(*sae);
    *sae = NULL;
}

const char *ph__sae_folder(const ph_sae *sae)
{
    return sae->folder;
}

ph_tap ph__sae_tap(const ph_sae *sae)
{
    return sae->tap;
}

int64_t ph__sae_latents(const ph_sae *sae)
{
    return sae->S;
}

/* ---- one latent ---- */

/* Element `at` of a tensor whose rows have `columns`. */
static float element(const ph_tensor *t, int64_t at)
{
    const ph_quant *q = ph__quant(t->type);
    float x = 0;
    q->dequant(&x, t->data + (size_t)at * q->block_bytes, 1);
    return x;
}

/* Entry j of a vector of S, or a single number for all. */
static ph_status entry(double *out, const ph_sae *s, const char *name, int64_t j, ph_error *err)
{
    ph_error inner = {.pos = -1};
    const ph_tensor *t = ph__weights_find(s->weights, name);
    const bool one = t && t->bytes == ph__quant(t->type)->block_bytes;
    const ph_status st = one ? PH_OK : ph__weights_need(&t, s->weights, name, s->S, 1, &inner);

    if (st != PH_OK) return ph__fail(err, st, -1, "%s: %s", s->folder, inner.msg);
    *out = (double)element(t, one ? 0 : j);
    return PH_OK;
}

static ph_status read_threshold(ph_latent *l, ph_error *err)
{
    const ph_sae *s = l->sae;
    const bool batch =
        s->architecture == BATCHTOPK && ph__weights_find(s->weights, "topk_threshold");
    return entry(&l->threshold, s, batch ? "topk_threshold" : "threshold", l->index, err);
}

/* Both paths share the product with W_enc: gate = (pre - b_mag) / exp(r_mag) + b_gate, which is above
 * 0 where pre is above b_mag - exp(r_mag) b_gate. */
static ph_status read_gate(ph_latent *l, double *factor, double *bias, ph_error *err)
{
    double gate = 0, r = 0;
    PH_TRY(entry(&gate, l->sae, "b_gate", l->index, err));
    PH_TRY(entry(bias, l->sae, "b_mag", l->index, err));
    PH_TRY(entry(&r, l->sae, "r_mag", l->index, err));
    *factor = exp(r);
    l->threshold = *bias - *factor * gate;
    return PH_OK;
}

/* Column j of W_enc times factor, and what stands beside it. */
static void read_column(ph_latent *l, double factor, double bias)
{
    const ph_sae *s = l->sae;
    l->offset = bias;
    for (int64_t i = 0; i < s->W; i++) {
        const double w = factor * (double)element(s->encoder, i * s->S + l->index);
        if (s->bias) l->offset -= (double)s->bias[i] * w;
        l->direction[i] = (float)w;
    }
}

static ph_status check_finite(const ph_latent *l, ph_error *err)
{
    double sum = l->offset * 0 + l->threshold * 0;
    for (int64_t i = 0; i < l->sae->W; i++) sum += (double)l->direction[i] * 0;
    if (sum == 0) return PH_OK;
    return ph__fail(err, PH_EFORMAT, -1, "%s: weights of latent %lld are NaN or infinite",
                    l->sae->folder, (long long)l->index);
}

ph_status ph__latent_open(ph_latent **out, const ph_sae *sae, int64_t index, ph_error *err)
{
    ph_status st = PH_OK;
    ph_latent *l = NULL;
    double factor = 1, bias = 0;

    PH_GO(PH_NEW(&l, 1, err));
    *l = (ph_latent){.sae = sae, .index = index};
    PH_GO(PH_NEW(&l->direction, (size_t)sae->W, err));
    if (sae->architecture == GATED)
        PH_GO(read_gate(l, &factor, &bias, err));
    else
        PH_GO(entry(&bias, sae, "b_enc", index, err));
    if (sae->architecture == JUMPRELU || sae->architecture == BATCHTOPK)
        PH_GO(read_threshold(l, err));
    if (sae->rescale) {
        factor = sae->norms[index];
        bias *= factor;
    }
    read_column(l, factor, bias);
    PH_GO(check_finite(l, err));
    *out = l;
    l = NULL;
done:
    ph__latent_close(&l);
    return st;
}

void ph__latent_close(ph_latent **latent)
{
    if (!*latent) return;
    ph__free((*latent)->direction);
    ph__free(*latent);
    *latent = NULL;
}

const float *ph__latent_direction(const ph_latent *l, double *offset)
{
    *offset = l->offset;
    return l->direction;
}

bool ph__latent_bos(const ph_latent *l)
{
    return l->sae->bos;
}

/* ---- normalisation of the input: y = (x - mean) * factor ---- */

bool ph__latent_normalises(const ph_latent *l)
{
    return l->sae->normalisation != NONE;
}

void ph__latent_normalisation(double out[2], const ph_latent *l)
{
    out[0] = (double)l->sae->normalisation;
    out[1] = l->sae->scale;
}

struct norm {
    double mean, factor; /* y = (x - mean) * factor */
    double spread;       /* layer norm: the deviation; else |x| */
};

/* Layer norm's deviation is of a sample, W - 1, and 1e-5 is added to it, not to the variance. */
static struct norm measure(const ph_latent *l, const double *x)
{
    const enum normalisation kind = l->sae->normalisation;
    const int64_t W = l->sae->W;
    struct norm n = {0, kind == SCALED ? l->sae->scale : 1, 1};
    double squares = 0;

    if (kind == NONE || kind == SCALED) return n;
    for (int64_t i = 0; kind == LAYER_NORM && i < W; i++) n.mean += x[i] / (double)W;
    for (int64_t i = 0; i < W; i++) squares += (x[i] - n.mean) * (x[i] - n.mean);
    if (kind == LAYER_NORM) {
        n.spread = sqrt(squares / (double)(W > 1 ? W - 1 : 1));
        n.factor = 1 / (n.spread + 1e-5);
    } else {
        n.spread = sqrt(squares);
        n.factor = squares > 0 ? sqrt((double)W) / n.spread : 0;
    }
    return n;
}

double ph__latent_product(const ph_latent *l, const double *x)
{
    const struct norm n = measure(l, x);
    double sum = 0;
    for (int64_t i = 0; i < l->sae->W; i++) sum += (double)l->direction[i] * (x[i] - n.mean);
    return sum * n.factor;
}

/* With c = x - mean, s its deviation and f = 1/(s + eps):
 *   layer norm     dx = f (g - mean(g)) - c f^2 (g·c) / ((W-1) s)
 *   constant norm  dx = f (g - x (g·x)/|x|^2) */
void ph__latent_gradient(double *dx, const ph_latent *l, double by, const double *x)
{
    const struct norm n = measure(l, x);
    const enum normalisation kind = l->sae->normalisation;
    const int64_t W = l->sae->W;
    const float *g = l->direction;
    double along = 0, mean = 0, pull = 0;

    for (int64_t i = 0; i < W; i++) along += (double)g[i] * (x[i] - n.mean);
    for (int64_t i = 0; kind == LAYER_NORM && i < W; i++) mean += (double)g[i] / (double)W;
    if (kind == LAYER_NORM && n.spread > 0 && W > 1)
        pull = n.factor * n.factor * along / ((double)(W - 1) * n.spread);
    if (kind == CONSTANT_NORM && n.factor > 0) pull = n.factor * along / (n.spread * n.spread);
    for (int64_t i = 0; i < W; i++)
        dx[i] += by * (n.factor * ((double)g[i] - mean) - (x[i] - n.mean) * pull);
}

/* ---- the nonlinearity ---- */

/* Is this latent among the k largest at an input? all (S) and row (S) are room. Ties go to the lower
 * index. */
static bool among_largest(const ph_latent *l, const double *x, double *all, float *row)
{
    const ph_sae *s = l->sae;
    const struct norm n = measure(l, x);
    int64_t before = 0;

    memset(all, 0, (size_t)s->S * sizeof *all);
    for (int64_t i = 0; i < s->W; i++) {
        const double in = (x[i] - n.mean) * n.factor - (s->bias ? (double)s->bias[i] : 0);
        ph__dequant_rows(row, s->encoder, i, 1);
        for (int64_t j = 0; j < s->S; j++) all[j] += in * (double)row[j];
    }
    ph__dequant_all(row, ph__weights_find(s->weights, "b_enc"));
    for (int64_t j = 0; j < s->S; j++) {
        all[j] += (double)row[j];
        if (s->rescale) all[j] *= s->norms[j];
    }
    for (int64_t j = 0; j < s->S; j++)
        before += all[j] > all[l->index] || (all[j] == all[l->index] && j < l->index);
    return before < s->k;
}

static ph_status post_topk(double *post, const ph_latent *l, const double *pre, const double *X,
                           int64_t T, int64_t ld, ph_error *err)
{
    ph_status st = PH_OK;
    double *all = NULL;
    float *row = NULL;

    PH_GO(PH_NEW(&all, (size_t)l->sae->S, err));
    PH_GO(PH_NEW(&row, (size_t)l->sae->S, err));
    for (int64_t t = 0; t < T; t++)
        post[t] = pre[t] > 0 && among_largest(l, X + t * ld, all, row) ? pre[t] : 0;
done:
    ph__free(row);
    ph__free(all);
    return st;
}

ph_status ph__latent_post(double *post, const ph_latent *l, const double *pre, const double *X,
                          int64_t T, int64_t ld, ph_error *err)
{
    if (l->sae->architecture == TOPK) return post_topk(post, l, pre, X, T, ld, err);
    for (int64_t t = 0; t < T; t++)
        post[t] =
            pre[t] > 0 && (l->sae->architecture == STANDARD || pre[t] > l->threshold) ? pre[t] : 0;
    return PH_OK;
}
