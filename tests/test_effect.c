/* test_effect.c — what a unit does next, by another route: directions as explicit products with the
 * file's rows, and changed texts run block by block on the host.
 *
 * The route has no context and no watcher: the context's tokens are ordinary ones in front, each
 * block runs alone ("only block n"), and the block with the change is put together from its
 * attention's output and plain loops over the weights. All in double on ref64.
 */
#include "search/job.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4, MOST = 8 };

static int compared, failed;

static void must(ph_status st, const ph_error *err)
{
    if (st == PH_OK) return;
    fprintf(stderr, "test_effect: %s\n", err->msg);
    exit(1);
}

static void *room(int64_t n, size_t size)
{
    void *p = calloc((size_t)n, size);
    if (!p) exit(1);
    return p;
}

static void same(const char *what, double a, double b, double tolerance)
{
    compared++;
    if (fabs(a - b) <= tolerance * fmax(1, fabs(b))) return;
    failed++;
    printf("%s: %.15g, expected %.15g\n", what, a, b);
}

static ph_model *open_model(const char *path, const char *backend)
{
    ph_model_options o = PH_MODEL_OPTIONS_INIT;
    ph_model *m = NULL;
    ph_error err = {0};
    o.backend = backend;
    must(ph_model_open(&m, path, &o, &err), &err);
    return m;
}

/* ---- weights, and the operations of a block in plain loops ---- */

/* y (R) = W x of a tensor W (R,K). */
static void product(double *y, const ph_model *m, const ph_tensor *t, const double *x)
{
    const int64_t R = t->shape[0], K = t->shape[1];
    float *row = room(K, sizeof *row);
    for (int64_t r = 0; r < R; r++) {
        ph__model_row(row, m, t, r);
        y[r] = 0;
        for (int64_t k = 0; k < K; k++) y[r] += (double)row[k] * x[k];
    }
    free(row);
}

static void normed(double *y, const ph_model *m, const ph_tensor *t, const double *x)
{
    const int64_t C = m->arch.C;
    float *w = room(C, sizeof *w);
    double squares = 0;
    ph__model_row(w, m, t, 0);
    for (int64_t i = 0; i < C; i++) squares += x[i] * x[i] / (double)C;
    for (int64_t i = 0; i < C; i++)
        y[i] = x[i] / sqrt(squares + (double)m->arch.norm_eps) * (double)w[i];
    free(w);
}

/* ---- a text with a change, on the host ---- */

struct text {
    const ph_model *m;
    int64_t P, T, C; /* tokens of context, tokens in all */
    ph_tap tap;
    ph_region region;
    enum change { NONE, ZERO, MEAN, RAISE } change;
    double amount[MOST], mean[MOST]; /* of the region's components */
    bool fixed;                      /* the amounts are given */
    double *x;                       /* (T,C) the stream */
};

/* The change at a place, whose output there is v (T,W). */
static void touch(struct text *t, ph_place place, int64_t block, double *v, int64_t W)
{
    if (t->tap.place != place || t->tap.block != block) return;
    for (int64_t i = t->region.begin, j = 0; i < t->region.end; i++, j++)
        for (int64_t k = t->region.first; k < t->region.last; k++) {
            double *at = v + (t->P + k) * W + i;
            if (t->change == NONE && !t->fixed) t->amount[j] = fmax(t->amount[j], fabs(*at));
            if (t->change == ZERO) *at = 0;
            if (t->change == MEAN) *at = t->mean[j];
            if (t->change == RAISE) *at += t->amount[j];
        }
}

/* A place of one block alone for the stream as it is. */
static void alone(double *out, struct text *t, ph_place place, int64_t block)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_session *s = NULL;
    ph_error err = {0};
    o.tap = (ph_tap){place, true, block};
    o.tokens = t->T;
    must(ph_session_open(&s, t->m, &o, &err), &err);
    ph__session_write64(s, t->x, 1);
    must(ph__session_run(s, &err), &err);
    ph__session_read64(s, out);
    ph_session_close(&s);
}

/* neurons h (T,F) of the stream after the attention */
static void neurons(double *h, const struct text *t, const ph_block_slots *b)
{
    const int64_t C = t->C, F = t->m->arch.F;
    double *n = room(C, sizeof *n), *g = room(F, sizeof *g), *u = room(F, sizeof *u);
    for (int64_t k = 0; k < t->T; k++) {
        normed(n, t->m, b->ffn_norm, t->x + k * C);
        product(g, t->m, b->gate, n);
        product(u, t->m, b->up, n);
        for (int64_t i = 0; i < F; i++) h[k * F + i] = g[i] / (1 + exp(-g[i])) * u[i];
    }
    free(n);
    free(g);
    free(u);
}

/* The block with the change in it, piece by piece. */
static void changed_block(struct text *t, int64_t block)
{
    const int64_t C = t->C, F = t->m->arch.F, n = t->T * C;
    const ph_block_slots *b = &t->m->slots.block[block - 1];
    double *branch = room(n, sizeof *branch), *h = room(t->T * F, sizeof *h);

    alone(branch, t, PH_PLACE_ATTN, block);
    touch(t, PH_PLACE_ATTN, block, branch, C);
    for (int64_t i = 0; i < n; i++) t->x[i] += branch[i];
    neurons(h, t, b);
    touch(t, PH_PLACE_NEURON, block, h, F);
    for (int64_t k = 0; k < t->T; k++) product(branch + k * C, t->m, b->down, h + k * F);
    touch(t, PH_PLACE_MLP, block, branch, C);
    for (int64_t i = 0; i < n; i++) t->x[i] += branch[i];
    touch(t, PH_PLACE_BLOCK, block, t->x, C);
    free(branch);
    free(h);
}

/* p (V) = the next token's probabilities behind the last one. */
static void run(double *p, struct text *t, const int32_t *ids)
{
    const int64_t V = t->m->arch.V;
    float *E = room(t->T * t->C, sizeof *E);
    double *last = room(t->C, sizeof *last), most = -(double)INFINITY, sum = 0;
    ph_error err = {0};

    must(ph_model_embed(t->m, E, ids, (size_t)t->T, &err), &err);
    for (int64_t i = 0; i < t->T * t->C; i++) t->x[i] = (double)E[i];
    touch(t, PH_PLACE_EMBED, 0, t->x, t->C);
    for (int64_t n = 1; n <= t->m->arch.blocks; n++) {
        if (n == t->tap.block) {
            changed_block(t, n);
        } else {
            double *out = room(t->T * t->C, sizeof *out);
            alone(out, t, PH_PLACE_BLOCK, n);
            memcpy(t->x, out, (size_t)(t->T * t->C) * sizeof *out);
            free(out);
        }
    }
    normed(last, t->m, t->m->slots.final_norm, t->x + (t->T - 1) * t->C);
    product(p, t->m, t->m->slots.output, last);
    for (int64_t v = 0; v < V; v++) most = fmax(most, p[v]);
    for (int64_t v = 0; v < V; v++) sum += p[v] = exp(p[v] - most);
    for (int64_t v = 0; v < V; v++) p[v] /= sum;
    free(E);
    free(last);
}

/* ---- compared ---- */

struct check {
    struct text text;
    const int32_t *ids; /* context and text */
    const ph_run_options *run;
    const ph_corpus *corpus; /* NULL: none */
    const char *path;
    int results, followed;
};

/* What is known of the feature from the corpus; false where it does not follow it. */
static bool look_up(struct check *c, const ph_feature *f)
{
    struct text *t = &c->text;
    memset(t->amount, 0, sizeof t->amount);
    t->fixed = c->corpus != NULL;
    for (int64_t i = f->components.begin, j = 0; t->fixed && i < f->components.end; i++, j++) {
        ph_corpus_stat s = {0};
        t->fixed = ph_corpus_get(c->corpus, f->tap, i, &s);
        t->mean[j] = s.mean;
        t->amount[j] = fmax(fabs(s.max), fabs(s.min));
    }
    return t->fixed;
}

static void check_change(struct check *c, const char *where, const ph_change *change,
                         const double *before)
{
    const int64_t V = c->text.m->arch.V;
    const int64_t wide = c->text.region.end - c->text.region.begin;
    const double *of = c->text.change == MEAN ? c->text.mean : c->text.amount;
    double *after = room(V, sizeof *after), kl = 0, value = 0, least = (double)INFINITY;
    int64_t above = 0;

    for (int64_t i = 0; i < wide && c->text.change != ZERO; i++) value += of[i] / (double)wide;
    run(after, &c->text, c->ids);
    for (int64_t v = 0; v < V; v++) kl += before[v] * log(before[v] / after[v]);
    /* the route's sums run in another order than ref64's: 1e-16 per operation, a few thousand deep */
    same(where, change->kl, kl, 1e-11);
    same(where, change->value, value, 1e-11);
    for (size_t i = 0; i < change->n_shifts; i++) {
        const ph_shift *s = &change->shifts[i];
        same(where, s->before, before[s->id], 1e-11);
        same(where, s->after, after[s->id], 1e-11);
        least = fmin(least, fabs(s->after - s->before));
    }
    for (int64_t v = 0; v < V; v++) above += fabs(after[v] - before[v]) > least + 1e-11;
    same("no larger shift is left out", above < (int64_t)change->n_shifts, 1, 0);
    same("a change changes something", kl > 1e-9, 1, 0);
    free(after);
}

static int on_effect(const ph_effect_result *r, void *payload)
{
    static const char *const names[] = {"", "zero", "mean", "raise"};
    struct check *c = payload;
    double *before = room(c->text.m->arch.V, sizeof *before);
    char where[200];
    size_t n = 0;
    ph_error err = {0};

    must(ph__region(&c->text.region, r->feature, (int64_t)r->n, c->run->reduce, 1, &err), &err);
    c->text.tap = r->feature->tap;
    const bool known = look_up(c, r->feature);
    c->text.change = NONE;
    run(before, &c->text, c->ids);
    same("changes", (double)r->n_changes, known ? 3 : 2, 0);
    for (int i = ZERO; i <= RAISE; i++) {
        if (i == MEAN && !known) continue;
        const ph_change *change = &r->changes[n++];
        snprintf(where, sizeof where, "%s %s, %s", c->path, r->feature->text, change->what);
        same(where, strcmp(change->what, names[i]), 0, 0);
        c->text.change = (enum change)i;
        check_change(c, where, change, before);
    }
    c->followed += known;
    c->results++;
    free(before);
    return 0;
}

static const char specs[] = "embed [:, :, 3], block 1 [:, :, 3], block 1 [:, -1, 2:5], "
                            "block 1 attn [:, 0:2, 7], block 1 mlp [:, :, 0:3], "
                            "block 1 neuron [:, 1, 4], block 2 attn [:, :, 1:3], "
                            "block 2 neuron [:, :, 6], block 2 neuron [:, -1, 2:4], "
                            "block 2 mlp [:, -1, 5], block 2 [:, -1, 9]";

static ph_corpus *open_corpus(const ph_model *m, const ph_run_options *run)
{
    static const char text[] = "a cab is a bad idea, a bed is a good one; the cab is in the bed";
    ph_corpus_options o = PH_CORPUS_OPTIONS_INIT;
    ph_corpus *c = NULL;
    ph_error err = {0};
    o.run = *run;
    o.text = text;
    o.bytes = sizeof text - 1;
    o.window = 16;
    o.neurons = true;
    must(ph_corpus_open(&c, m, &o, NULL, &err), &err);
    return c;
}

static void check_text(const char *path, const char *prefix, bool with_corpus)
{
    static const int32_t ids[N] = {40, 7, 99, 12};
    const ph_text text = {.ids = ids, .n_ids = N};
    ph_effect_options o = PH_EFFECT_OPTIONS_INIT;
    ph_model *m = open_model(path, "ref64");
    ph_features *f = NULL;
    int32_t *context = NULL, all[32];
    size_t P = 0;
    ph_error err = {0};

    o.run.prefix = prefix;
    if (!prefix) o.run.bos = PH_BOS_OFF;
    must(ph_features_parse(&f, ph_model_get_info(m), specs, &err), &err);
    must(ph_context(&context, &P, m, &o.run, &err), &err);
    if (P) memcpy(all, context, P * sizeof *all);
    memcpy(all + P, ids, sizeof ids);
    ph_corpus *corpus = with_corpus ? open_corpus(m, &o.run) : NULL;
    o.corpus = corpus;
    struct check c = {.ids = all, .run = &o.run, .corpus = corpus, .path = path};
    c.text = (struct text){
        .m = m, .P = (int64_t)P, .T = (int64_t)P + N, .C = ph_model_get_info(m)->width};
    c.text.x = room(c.text.T * c.text.C, sizeof *c.text.x);
    must(ph_effect(m, f, &text, &o, on_effect, &c, &err), &err);
    same("every feature", c.results, (double)ph_features_count(f), 0);
    /* a corpus follows blocks and neurons: six of the specs */
    same("of these from the corpus", c.followed, with_corpus ? 6 : 0, 0);
    ph_corpus_close(&corpus);
    free(c.text.x);
    ph_free(context);
    ph_features_close(&f);
    ph_model_close(&m);
}

/* ---- directions ---- */

/* scores (V) of a feature's direction, against their mean */
static void explicit_scores(double *scores, const ph_model *m, const ph_feature *f)
{
    const int64_t C = m->arch.C, V = m->arch.V;
    const int64_t wide = f->tap.place == PH_PLACE_NEURON ? m->arch.F : C;
    double *unit = room(wide, sizeof *unit), *d = unit, mean = 0;
    float *norm = room(C, sizeof *norm);

    for (int64_t i = f->components.begin; i < f->components.end; i++)
        unit[i] = 1 / (double)(f->components.end - f->components.begin);
    if (f->tap.place == PH_PLACE_NEURON) {
        d = room(C, sizeof *d);
        product(d, m, m->slots.block[f->tap.block - 1].down, unit);
        free(unit);
    }
    ph__model_row(norm, m, m->slots.final_norm, 0);
    for (int64_t i = 0; i < C; i++) d[i] *= (double)norm[i];
    product(scores, m, m->slots.output, d);
    for (int64_t v = 0; v < V; v++) mean += scores[v] / (double)V;
    for (int64_t v = 0; v < V; v++) scores[v] -= mean;
    free(norm);
    free(d);
}

static int on_direction(const ph_effect_result *r, void *payload)
{
    const ph_model *m = payload;
    const int64_t V = m->arch.V;
    double *scores = room(V, sizeof *scores);

    explicit_scores(scores, m, r->feature);
    same("the whole vocabulary", (double)r->n_top, (double)V, 0);
    same("no text", r->ids == NULL && r->n_changes == 0, 1, 0);
    for (size_t i = 0; i < r->n_top; i++) {
        same(r->feature->text, r->promoted[i].value, scores[r->promoted[i].id], 1e-12);
        same(r->feature->text, r->suppressed[i].value, scores[r->suppressed[i].id], 1e-12);
        if (i == 0) continue;
        same("order", r->promoted[i].value <= r->promoted[i - 1].value, 1, 0);
        same("order", r->suppressed[i].value >= r->suppressed[i - 1].value, 1, 0);
    }
    free(scores);
    return 0;
}

static void check_directions(const char *path)
{
    ph_effect_options o = PH_EFFECT_OPTIONS_INIT;
    ph_model *m = open_model(path, "ref64");
    ph_features *f = NULL;
    ph_error err = {0};
    o.top = 1000000;
    must(ph_features_parse(&f, ph_model_get_info(m), specs, &err), &err);
    must(ph_effect(m, f, NULL, &o, on_direction, m, &err), &err);
    ph_features_close(&f);
    ph_model_close(&m);
}

/* ---- alone and together, and what is refused ---- */

struct figures {
    double kl[2];
    int n;
};

static int keep_figures(const ph_effect_result *r, void *payload)
{
    struct figures *k = payload;
    for (int i = 0; i < 2; i++) k->kl[i] = r->changes[i].kl;
    k->n++;
    return 0;
}

static void effect_of(struct figures *out, const ph_model *m, const char *spec)
{
    const ph_text text = {.text = "abc", .bytes = 3};
    ph_features *f = NULL;
    ph_error err = {0};
    must(ph_features_parse(&f, ph_model_get_info(m), spec, &err), &err);
    must(ph_effect(m, f, &text, NULL, keep_figures, out, &err), &err);
    ph_features_close(&f);
}

static void check_independence(const char *path)
{
    ph_model *m = open_model(path, NULL), *exact = open_model(path, "ref64");
    struct figures alone = {0}, together = {0}, reference = {0};
    effect_of(&alone, m, "block 1 neuron [:, :, 3]");
    effect_of(&together, m, "block 1 neuron [:, :, 0-3]");
    effect_of(&reference, exact, "block 1 neuron [:, :, 3]");
    same("four results", together.n, 4, 0);
    for (int i = 0; i < 2; i++) {
        same("alone and together", alone.kl[i], together.kl[i], 0);
        /* a divergence is a difference of logarithms that float32 knows to 1e-6 */
        same("float", alone.kl[i], reference.kl[i], 1e-6);
    }
    ph_model_close(&m);
    ph_model_close(&exact);
}

static void refused(const ph_model *m, const char *spec, int64_t top, ph_status expected,
                    const char *says)
{
    ph_effect_options o = PH_EFFECT_OPTIONS_INIT;
    ph_features *f = NULL;
    ph_error err = {0};
    struct figures none = {0};
    const ph_text text = {.text = "abc", .bytes = 3};
    o.top = top;
    must(ph_features_parse(&f, ph_model_get_info(m), spec, &err), &err);
    same(spec, ph_effect(m, f, &text, &o, keep_figures, &none, &err), expected, 0);
    same(err.msg, strstr(err.msg, says) != NULL, 1, 0);
    same("no result", none.n, 0, 0);
    ph_features_close(&f);
}

int main(void)
{
    static const char *const models[] = {"tests/data/llama_a.gguf", "tests/data/llama_b.gguf",
                                         "tests/data/llama_c.gguf"};
    for (size_t i = 0; i < 3; i++) {
        check_text(models[i], NULL, false);
        check_text(models[i], "ab", false);
        check_text(models[i], NULL, true);
        check_directions(models[i]);
        check_independence(models[i]);
    }
    ph_model *m = open_model(models[0], NULL);
    refused(m, "block 1 [:, :, 1], final [:, :, 1]", 10, PH_EUNSUPPORTED, "final [:, :, 1]: ");
    refused(m, "logits [:, :, 1]", 10, PH_EUNSUPPORTED, "logits [:, :, 1]: ");
    refused(m, "only block 2 [:, :, 1]", 10, PH_EUNSUPPORTED, "only block 2 [:, :, 1]: ");
    refused(m, "block 1 [:, 7, 1]", 10, PH_ERANGE, "not in a text of");
    refused(m, "block 1 [:, :, 1]", 0, PH_EINVAL, "0 tokens in a list");
    ph_model_close(&m);
    printf("test_effect: %d compared, %d failed\n", compared, failed);
    return failed || !compared;
}
