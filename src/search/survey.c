/* survey.c — complete search for every feature at once. */
#include "search/census.h"

#include "base/mem.h"

static const double levels[PH_QUANTILES] = {0.001, 0.01, 0.25, 0.5, 0.75, 0.99, 0.999};

double ph_quantile_level(size_t i)
{
    return i < PH_QUANTILES ? levels[i] : (double)__builtin_nan("");
}

static ph_status check_options(const ph_survey_options *o, int64_t blocks, ph_error *err)
{
    if (o->top < 1 || o->top > 1000)
        return ph__fail(err, PH_EINVAL, -1, "%lld tokens in a list: expected 1 to 1000",
                        (long long)o->top);
    if (o->depth < 0 || o->depth > blocks)
        return ph__fail(err, PH_EINVAL, -1, "depth %lld: this model has blocks 1 to %lld",
                        (long long)o->depth, (long long)blocks);
    return PH_OK;
}

/* The lists of one feature, as they are handed out. */
struct lists {
    ph_near *top, *bottom;
};

static ph_status report(const ph_census *census, ph_tap tap, int64_t component, struct lists *l,
                        ph_survey_fn result, void *payload, ph_error *err)
{
    ph_column c;
    if (!ph__census_column(&c, census, tap, component))
        return ph__fail(err, PH_EFORMAT, -1,
                        "the cache's file of this survey is damaged: remove it, or --no-cache");
    for (size_t i = 0; i < c.top; i++) {
        l->top[i] = (ph_near){c.at_highest[i], (double)c.highest[i]};
        l->bottom[i] = (ph_near){c.at_lowest[i], (double)c.lowest[i]};
    }
    ph_survey_result r = {.tap = tap,
                          .component = component,
                          .top = l->top,
                          .bottom = l->bottom,
                          .n_top = c.top,
                          .mean = ph__column_mean(&c),
                          .sd = ph__column_deviation(&c),
                          .n = c.n};
    for (size_t i = 0; i < PH_QUANTILES; i++) r.quantiles[i] = ph__column_quantile(&c, levels[i]);
    if (result(&r, payload)) return ph__fail(err, PH_ECANCELED, -1, "cancelled by the caller");
    return PH_OK;
}

static ph_status report_all(const ph_census *census, const ph_model *m, int64_t depth, bool neurons,
                            struct lists *l, ph_survey_fn result, void *payload, ph_error *err)
{
    for (int64_t block = 1; block <= depth; block++) {
        for (int64_t i = 0; i < m->arch.C; i++)
            PH_TRY(
                report(census, (ph_tap){PH_PLACE_BLOCK, false, block}, i, l, result, payload, err));
        for (int64_t i = 0; neurons && i < m->arch.F; i++)
            PH_TRY(report(census, (ph_tap){PH_PLACE_NEURON, false, block}, i, l, result, payload,
                          err));
    }
    return PH_OK;
}

ph_status ph_survey(const ph_model *model, const ph_survey_options *options, ph_survey_fn result,
                    void *payload, ph_pass_cost *cost, ph_error *err)
{
    const ph_survey_options defaults = PH_SURVEY_OPTIONS_INIT;
    const ph_survey_options *o = options ? options : &defaults;
    const int64_t depth = o->depth ? o->depth : model->arch.blocks, V = model->arch.V;
    ph_job job = {0};
    ph_census *census = NULL;
    struct lists l = {0};
    int32_t *ids = NULL;
    ph_status st = PH_OK;

    PH_TRY(check_options(o, model->arch.blocks, err));
    PH_GO(ph__job_open(&job, model, &o->run, err));
    PH_GO(PH_NEW(&ids, (size_t)V, err));
    for (int64_t i = 0; i < V; i++) ids[i] = (int32_t)i;
    const ph_census_plan plan = {.name = "survey",
                                 .ids = ids,
                                 .n = V,
                                 .window = 1,
                                 .depth = depth,
                                 .top = o->top,
                                 .neurons = o->neurons};
    PH_GO(PH_NEW(&l.top, (size_t)o->top, err));
    PH_GO(PH_NEW(&l.bottom, (size_t)o->top, err));
    PH_GO(ph__census_open(&census, &job, &plan, cost, err));
    PH_GO(report_all(census, model, depth, o->neurons, &l, result, payload, err));
done:
    ph__census_close(&census);
    ph__free(l.bottom);
    ph__free(l.top);
    ph__free(ids);
    ph__job_close(&job);
    return st;
}
