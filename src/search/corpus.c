/* corpus.c — what features do on ordinary text: a census of it, and its words. */
#include "search/census.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 64 };

struct ph_corpus {
    ph_job job;
    int32_t *ids;
    size_t n;
    int64_t window, depth;
    ph_census *census;
    double *norms; /* (depth) medians */
};

static ph_status settle(ph_corpus *c, const ph_corpus_options *o, ph_error *err)
{
    const ph_job *job = &c->job;
    const int64_t blocks = job->model->arch.blocks;
    const int64_t longest = job->model->arch.context_length - (int64_t)job->n_context;

    if (longest < 1 || o->window < 0 || o->window > longest)
        return ph__fail(err, PH_EINVAL, -1, "window %lld: expected 1 to %lld tokens",
                        (long long)o->window, (long long)longest);
    if (o->depth < 0 || o->depth > blocks)
        return ph__fail(err, PH_EINVAL, -1, "depth %lld: this model has blocks 1 to %lld",
                        (long long)o->depth, (long long)blocks);
    c->window = o->window ? o->window : longest < WINDOW ? longest : WINDOW;
    c->depth = o->depth ? o->depth : blocks;
    return PH_OK;
}

static ph_status read_text(ph_corpus *c, const ph_corpus_options *o, ph_error *err)
{
    size_t bytes = o->bytes;
    const char *text = o->text ? o->text : ph_corpus_mix(&bytes);

    PH_TRY(ph_tokenizer_encode(&c->ids, &c->n, c->job.tokenizer, text, bytes, 0, err));
    if (c->n == 0) return ph__fail(err, PH_ETEXT, -1, "the corpus has no tokens");
    if (c->n > INT32_MAX)
        return ph__fail(err, PH_ERANGE, -1, "the corpus has %zu tokens: expected at most %d", c->n,
                        INT32_MAX);
    return PH_OK;
}

static int compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static ph_status find_medians(ph_corpus *c, ph_error *err)
{
    ph_status st = PH_OK;
    float *sorted = NULL;

    PH_GO(PH_NEW(&c->norms, (size_t)c->depth, err));
    PH_GO(PH_NEW(&sorted, c->n, err));
    for (int64_t b = 1; b <= c->depth; b++) {
        memcpy(sorted, ph__census_norms(c->census, b), c->n * sizeof *sorted);
        qsort(sorted, c->n, sizeof *sorted, compare);
        c->norms[b - 1] = (double)sorted[c->n / 2];
    }
done:
    ph__free(sorted);
    return st;
}

ph_status ph_corpus_open(ph_corpus **out, const ph_model *model, const ph_corpus_options *options,
                         ph_pass_cost *cost, ph_error *err)
{
    const ph_corpus_options defaults = PH_CORPUS_OPTIONS_INIT;
    const ph_corpus_options *o = options ? options : &defaults;
    ph_corpus *c = NULL;
    ph_status st = PH_OK;

    *out = NULL;
    PH_GO(PH_NEW(&c, 1, err));
    PH_GO(ph__job_open(&c->job, model, &o->run, err));
    PH_GO(settle(c, o, err));
    PH_GO(read_text(c, o, err));
    const ph_census_plan plan = {.name = "corpus",
                                 .ids = c->ids,
                                 .n = (int64_t)c->n,
                                 .window = c->window,
                                 .depth = c->depth,
                                 .top = PH_CORPUS_TOP,
                                 .neurons = o->neurons,
                                 .norms = true,
                                 .most_flops = o->most_flops};
    PH_GO(ph__census_open(&c->census, &c->job, &plan, cost, err));
    if (!c->census) goto done;
    PH_GO(find_medians(c, err));
    *out = c;
    c = NULL;
done:
    ph_corpus_close(&c);
    return st;
}

void ph_corpus_close(ph_corpus **corpus)
{
    ph_corpus *c = *corpus;
    if (!c) return;
    ph__census_close(&c->census);
    ph__free(c->norms);
    ph__free(c->ids);
    ph__job_close(&c->job);
    ph__free(c);
    *corpus = NULL;
}

bool ph_corpus_get(const ph_corpus *c, ph_tap tap, int64_t component, ph_corpus_stat *out)
{
    ph_column k;
    if (!ph__census_column(&k, c->census, tap, component)) return false;
    *out = (ph_corpus_stat){.max = (double)k.highest[0],
                            .min = (double)k.lowest[0],
                            .mean = ph__column_mean(&k),
                            .sd = ph__column_deviation(&k),
                            .density = 1 - ph__column_below(&k, (double)k.highest[0] / 2),
                            .n = k.n,
                            .n_top = k.top};
    for (size_t i = 0; i < PH_QUANTILES; i++)
        out->quantiles[i] = ph__column_quantile(&k, ph_quantile_level(i));
    for (size_t i = 0; i < k.top; i++) {
        out->best[i] = (ph_sighting){k.at_highest[i], (double)k.highest[i]};
        out->worst[i] = (ph_sighting){k.at_lowest[i], (double)k.lowest[i]};
    }
    return true;
}

double ph_corpus_percentile(const ph_corpus *c, ph_tap tap, int64_t component, double value)
{
    ph_column k;
    return ph__census_column(&k, c->census, tap, component) ? ph__column_below(&k, value)
                                                            : (double)NAN;
}

const int32_t *ph_corpus_window(const ph_corpus *c, int64_t token, size_t *n, size_t *pos)
{
    const size_t first = (size_t)(token / c->window * c->window), left = c->n - first;
    *n = left < (size_t)c->window ? left : (size_t)c->window;
    *pos = (size_t)token - first;
    return c->ids + first;
}

double ph_corpus_norm(const ph_corpus *c, ph_tap tap)
{
    const bool followed = tap.place == PH_PLACE_BLOCK && !tap.only && tap.block <= c->depth;
    return followed ? c->norms[tap.block - 1] : (double)NAN;
}
