/* scan.c — the public face of complete search. */
#include "base/mem.h"
#include "search/column.h"
#include "search/complete.h"

/* A single token has position 0 only. */
static ph_status check_tokens(const ph_features *features, const ph_job *job, ph_error *err)
{
    for (size_t i = 0; i < ph_features_count(features); i++) {
        ph_region r;
        PH_TRY(ph__job_region(&r, job, ph_features_at(features, i), 1, err));
    }
    return PH_OK;
}

/* values (count,V), or NULL */
static ph_status report(const ph_complete *c, const float *values,
                        const ph_feature *const *features, ph_scan_fn result, void *payload,
                        ph_error *err)
{
    for (size_t i = 0; i < c->count; i++) {
        const ph_tally *t = &c->tallies[i];
        const ph_scan_result r = {.feature = features[i],
                                  .top = t->top,
                                  .bottom = t->bottom,
                                  .n_top = (size_t)t->n,
                                  .mean = t->sum / (double)c->V,
                                  .sd = ph__deviation(t->sum, t->squares, (double)c->V),
                                  .n = c->V,
                                  .values = values ? values + i * (size_t)c->V : NULL};
        if (result(&r, payload)) return ph__fail(err, PH_ECANCELED, -1, "cancelled by the caller");
    }
    return PH_OK;
}

/* Room for n features in place of what was there. */
static ph_status values_new(float **values, size_t n, int64_t V, ph_error *err)
{
    size_t size;
    ph__free(*values);
    *values = NULL;
    if (!ph__mul(&size, n, (size_t)V)) return ph__fail_memory(err, SIZE_MAX);
    return PH_NEW(values, size, err);
}

ph_status ph_scan(const ph_model *model, const ph_features *features,
                  const ph_scan_options *options, ph_scan_fn result, void *payload, ph_error *err)
{
    const ph_scan_options defaults = PH_SCAN_OPTIONS_INIT;
    ph_job job = {0};
    ph_scorer *scorer = NULL;
    ph_complete found = {0};
    const ph_feature **chunk = NULL;
    float *values = NULL;
    ph_run_options run;
    ph_status st = PH_OK;

    if (!options) options = &defaults;
    if (options->top < 1 || options->top > 1000000)
        return ph__fail(err, PH_EINVAL, -1, "%lld tokens in a list: expected 1 to 1000000",
                        (long long)options->top);
    PH_GO(ph_features_run(&run, features, &options->run, err));
    PH_GO(ph__job_open(&job, model, &run, err));
    PH_GO(check_tokens(features, &job, err));
    PH_GO(ph__scorer_open(&scorer, &job, err));
    PH_GO(PH_NEW(&chunk, ph_features_count(features), err));
    for (size_t i = 0, n; i < ph_features_count(features); i += n) {
        n = ph__same_tap_run(features, i, chunk);
        if (options->values) PH_GO(values_new(&values, n, model->arch.V, err));
        PH_GO(ph__complete(&found, values, scorer, &job, chunk, n, options->top, err));
        PH_GO(report(&found, values, chunk, result, payload, err));
        ph__complete_close(&found);
    }
done:
    ph__free(values);
    ph__complete_close(&found);
    ph__free(chunk);
    ph__scorer_close(&scorer);
    ph__job_close(&job);
    return st;
}
