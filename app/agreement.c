/* agreement.c — two models on the same features: what each finds, and how far they agree. */
#include "agreement.h"

#include "output.h"
#include "stats.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the same shape ---- */

static size_t add_size(char *out, size_t size, size_t at, const char *what, int64_t a, int64_t b)
{
    if (a == b) return at;
    const int n = snprintf(out + at, size - at, "%s%s %lld and %lld", at ? ", " : "", what,
                           (long long)a, (long long)b);
    return n > 0 && (size_t)n < size - at ? at + (size_t)n : at;
}

/* Id of the first token that is not the same in both; -1: none. */
static int32_t first_difference(const ph_tokenizer *a, const ph_tokenizer *b)
{
    const int32_t n = ph_tokenizer_get_info(a)->vocab;
    for (int32_t id = 0; id < n; id++) {
        size_t x = 0, y = 0;
        const char *p = ph_tokenizer_piece(a, id, &x), *q = ph_tokenizer_piece(b, id, &y);
        if (x != y || (x && memcmp(p, q, x) != 0)) return id;
    }
    return -1;
}

static ph_status check_vocabulary(const ph_tokenizer *a, const ph_tokenizer *b, ph_error *err)
{
    const int32_t id = first_difference(a, b);
    if (id < 0) return PH_OK;
    char *x = quoted_token(a, id), *y = quoted_token(b, id);
    *err = (ph_error){.code = PH_EINVAL, .pos = -1};
    snprintf(err->msg, sizeof err->msg,
             "A and B have different vocabularies: token %d is %s in A, %s in B", id, x ? x : "",
             y ? y : "");
    free(x);
    free(y);
    return PH_EINVAL;
}

ph_status agreement_check(const ph_model *a, const ph_model *b, ph_error *err)
{
    const ph_model_info *x = ph_model_get_info(a), *y = ph_model_get_info(b);
    const ph_tokenizer *s = ph_model_tokenizer(a), *t = ph_model_tokenizer(b);
    const struct {
        const char *what;
        int64_t a, b;
    } sizes[] = {{"blocks", x->blocks, y->blocks},
                 {"width", x->width, y->width},
                 {"heads", x->heads, y->heads},
                 {"KV heads", x->kv_heads, y->kv_heads},
                 {"head width", x->head_width, y->head_width},
                 {"MLP", x->ffn, y->ffn},
                 {"rows of the embedding", x->vocab, y->vocab},
                 {"tokens", s ? ph_tokenizer_get_info(s)->vocab : 0,
                  t ? ph_tokenizer_get_info(t)->vocab : 0}};
    char list[160] = "";
    size_t at = 0;

    if (strcmp(x->family, y->family) != 0)
        at = (size_t)snprintf(list, sizeof list, "family %.20s and %.20s", x->family, y->family);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        at = add_size(list, sizeof list, at, sizes[i].what, sizes[i].a, sizes[i].b);
    if (at) {
        *err = (ph_error){.code = PH_EINVAL, .pos = -1};
        snprintf(err->msg, sizeof err->msg, "A and B have different shapes: %s", list);
        return PH_EINVAL;
    }
    return s ? check_vocabulary(s, t, err) : PH_OK;
}

char *agreement_sample(const ph_model_info *info, int64_t n)
{
    enum { QUARTERS = 4 };
    char *out = NULL;
    size_t size = 0;
    int64_t last = 0, left = n;
    FILE *f = open_memstream(&out, &size);

    if (!f) return NULL;
    for (int64_t q = 1; q < QUARTERS; q++) {
        const int64_t block = (info->blocks * q + QUARTERS - 1) / QUARTERS;
        const int64_t per = (left + QUARTERS - 1 - q) / (QUARTERS - q);
        if (block == last) continue;
        for (int64_t i = 0; i < per && i < info->width; i++)
            fprintf(f, "%sblock %lld [:, :, %lld]", last || i ? ", " : "", (long long)block,
                    (long long)((2 * i + 1) * info->width / (2 * per)));
        left -= per;
        last = block;
    }
    fclose(f);
    return out;
}

/* ---- scans ---- */

/* One model's values of all features on all tokens. */
struct scans {
    int64_t V, top;
    int sign;
    float *values; /* (features,V) */
    ph_near *best; /* (features,top) */
    size_t at;
};

static int on_scan(const ph_scan_result *r, void *payload)
{
    struct scans *s = payload;
    float *values = s->values + s->at * (size_t)s->V;
    ph_near *best = s->best + s->at * (size_t)s->top;
    const ph_near *list = s->sign < 0 ? r->bottom : r->top;

    memcpy(values, r->values, (size_t)s->V * sizeof *values);
    for (int64_t i = 0; i < s->top; i++)
        best[i] = (size_t)i < r->n_top ? list[i] : (ph_near){-1, (double)NAN};
    s->at++;
    return 0;
}

static ph_status scan_one(struct scans *out, const struct subject *s, const struct common *c,
                          int64_t top, ph_error *err)
{
    ph_scan_options o = PH_SCAN_OPTIONS_INIT;
    const size_t n = ph_features_count(s->features);

    out->V = ph_model_get_info(s->model)->vocab;
    out->top = o.top = top;
    o.values = true;
    out->sign = c->run.sign;
    o.run = c->run;
    out->values = calloc(n * (size_t)out->V, sizeof *out->values);
    out->best = calloc(n * (size_t)top, sizeof *out->best);
    if (!out->values || !out->best) return no_memory(err);
    return ph_scan(s->model, s->features, &o, on_scan, out, err);
}

static int64_t count_common(const ph_near *a, const ph_near *b, int64_t top)
{
    int64_t n = 0;
    for (int64_t i = 0; i < top; i++)
        for (int64_t k = 0; k < top; k++) n += a[i].id >= 0 && a[i].id == b[k].id;
    return n;
}

/* pairs (2,V) is room to work in. */
static bool compare_scans(struct scanned *out, const struct scans s[2], size_t feature,
                          double *pairs)
{
    const size_t V = (size_t)s[0].V, top = (size_t)s[0].top;
    const float *a = s[0].values + feature * V, *b = s[1].values + feature * V;
    const ph_near *best[2] = {s[0].best + feature * top, s[1].best + feature * top};
    size_t n = 0;

    for (size_t i = 0; i < V; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i])) continue;
        pairs[n] = (double)a[i];
        pairs[V + n++] = (double)b[i];
    }
    out->common = count_common(best[0], best[1], s[0].top);
    out->best[0] = best[0][0];
    out->best[1] = best[1][0];
    return stats_spearman(&out->ranks, pairs, pairs + V, n);
}

ph_status agreement_scan(struct scanned *out, struct subjects *both, const struct common *c,
                         int64_t top, ph_error *err)
{
    struct scans s[2] = {0};
    const size_t n = ph_features_count(both->at[0].features);
    double *pairs = NULL;
    ph_status st = PH_OK;

    for (int m = 0; st == PH_OK && m < 2; m++) st = scan_one(&s[m], &both->at[m], c, top, err);
    if (st == PH_OK && !(pairs = calloc(2 * (size_t)s[0].V, sizeof *pairs))) st = no_memory(err);
    for (size_t i = 0; st == PH_OK && i < n; i++)
        if (!compare_scans(&out[i], s, i, pairs)) st = no_memory(err);
    free(pairs);
    for (int m = 0; m < 2; m++) {
        free(s[m].values);
        free(s[m].best);
    }
    return st;
}

/* ---- answers ---- */

struct yardstick {
    double mean, sd; /* of random texts */
};

struct dreams {
    struct answered *out;
    struct yardstick *random; /* (features) */
    int model;
    size_t at;
    bool full; /* no memory */
};

static int on_answer(const ph_dream_result *r, void *payload)
{
    struct dreams *d = payload;
    if (r->rank) return 0;
    struct answer *a = &d->out[d->at].of[d->model];
    d->random[d->at++] = (struct yardstick){r->random_mean, r->random_sd};
    a->activation[d->model] = r->answer->activation.text;
    a->activation[1 - d->model] = (double)NAN;
    a->text = strdup(r->answer->text);
    d->full = !a->text;
    return d->full;
}

static int on_score(const ph_score_result *r, void *payload)
{
    *(double *)payload = r->activation;
    return 0;
}

/* A text of one model in the other. That it lacks the region's token there is no mistake. */
static ph_status cross(struct answer *a, int model, const struct subject *other, size_t feature,
                       const struct common *c, ph_error *err)
{
    const ph_text text = {.text = a->text, .bytes = strlen(a->text)};
    const char *spec = ph_features_at(other->features, feature)->text;
    ph_features *one = NULL;

    ph_status st = ph_features_parse(&one, ph_model_get_info(other->model), spec, err);
    if (st == PH_OK)
        st = ph_score(other->model, one, &text, &c->run, on_score, &a->activation[1 - model], err);
    ph_features_close(&one);
    return st == PH_ERANGE || st == PH_ETEXT ? PH_OK : st;
}

static void judge(struct answered *of, const struct yardstick random[2])
{
    for (int m = 0; m < 2; m++) {
        struct answer *a = &of->of[m];
        const int o = 1 - m;
        for (int k = 0; k < 2; k++) a->z[k] = (a->activation[k] - random[k].mean) / random[k].sd;
        a->share = (a->activation[o] - random[o].mean) / (of->of[o].activation[o] - random[o].mean);
    }
    of->same = of->of[0].text && of->of[1].text && strcmp(of->of[0].text, of->of[1].text) == 0;
}

ph_status agreement_answers(struct answered *out, struct subjects *both, const struct common *c,
                            const ph_dream_options *options, ph_error *err)
{
    const size_t n = ph_features_count(both->at[0].features);
    struct yardstick *random = calloc(2 * n, sizeof *random);
    ph_dream_options o = *options;
    ph_status st = random ? PH_OK : no_memory(err);

    o.run = c->run;
    for (int m = 0; st == PH_OK && m < 2; m++) {
        struct dreams d = {out, random + (size_t)m * n, m, 0, false};
        st = ph_dream(both->at[m].model, both->at[m].features, &o, on_answer, &d, NULL, err);
        if (d.full) st = no_memory(err);
    }
    for (size_t i = 0; st == PH_OK && i < n; i++) {
        for (int m = 0; st == PH_OK && m < 2; m++)
            st = cross(&out[i].of[m], m, &both->at[1 - m], i, c, err);
        judge(&out[i], (struct yardstick[2]){random[i], random[n + i]});
    }
    free(random);
    return st;
}

void agreement_answers_close(struct answered *out, size_t n)
{
    for (size_t i = 0; out && i < n; i++)
        for (int m = 0; m < 2; m++) free(out[i].of[m].text);
}

bool agreement_texts(double *rho, size_t *n, const struct answered *of, size_t features, int model)
{
    double *z = calloc(2 * features + 1, sizeof *z);
    *n = 0;
    for (size_t i = 0; z && i < features; i++) {
        const struct answer *a = &of[i].of[model];
        if (!isfinite(a->z[0]) || !isfinite(a->z[1])) continue;
        z[*n] = a->z[0];
        z[features + (*n)++] = a->z[1];
    }
    const bool ok = z && stats_spearman(rho, z, z + features, *n);
    free(z);
    return ok;
}

/* ---- ordinary text ---- */

static int64_t window_of(const ph_corpus *corpus, int64_t token)
{
    size_t n, pos;
    ph_corpus_window(corpus, token, &n, &pos);
    return token - (int64_t)pos;
}

bool agreement_corpus(struct followed *out, ph_corpus *const corpus[2], const ph_model_info *info,
                      ph_tap tap, int sign)
{
    const size_t W = (size_t)ph_place_width(info, tap.place);
    double *extremes = calloc(2 * W, sizeof *extremes);
    bool ok = extremes;

    *out = (struct followed){0};
    for (size_t i = 0; ok && i < W; i++) {
        ph_corpus_stat a, b;
        ok = ph_corpus_get(corpus[0], tap, (int64_t)i, &a) &&
             ph_corpus_get(corpus[1], tap, (int64_t)i, &b);
        if (!ok) break;
        const ph_sighting x = sign < 0 ? a.worst[0] : a.best[0],
                          y = sign < 0 ? b.worst[0] : b.best[0];
        extremes[i] = x.value;
        extremes[W + i] = y.value;
        out->same_token += x.token == y.token;
        out->same_window += window_of(corpus[0], x.token) == window_of(corpus[1], y.token);
        out->n++;
    }
    ok = ok && stats_spearman(&out->ranks, extremes, extremes + W, W);
    free(extremes);
    return ok;
}
