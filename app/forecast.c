/* forecast.c — what a descent will take, for phosphene info --job. */
#include "forecast.h"

#include <stdio.h>
#include <string.h>

static int on_limit(const ph_bench_result *r, void *payload)
{
    struct job *j = payload;
    if (strcmp(r->work, "peak") == 0) j->peak = r->gflops;
    if (strcmp(r->work, "bandwidth") == 0) j->bandwidth = r->gbytes;
    return 0;
}

ph_status job_estimate(struct job *j, const ph_model *model, ph_error *err)
{
    ph_bench_options o = PH_BENCH_OPTIONS_INIT;
    if (!j->block) j->block = ph_model_get_info(model)->blocks;
    o.block = j->block;
    ph_status st = ph_bench(model, "peak", &o, on_limit, j, err);
    if (st == PH_OK) st = ph_bench(model, "bandwidth", &o, on_limit, j, err);
    if (st != PH_OK) return st;
    return ph_estimate_descent(&j->estimate, model, j->block, j->rows, j->tokens, j->steps, j->peak,
                               j->bandwidth, err);
}

static void print_seconds(double s)
{
    if (s < 1)
        printf("%.0f ms", 1000 * s);
    else if (s < 120)
        printf("%.1f s", s);
    else if (s < 7200)
        printf("%.0f min", s / 60);
    else
        printf("%.1f h", s / 3600);
}

void job_print(const struct job *j, const ph_model *model)
{
    const ph_estimate *e = &j->estimate;
    const double mib = 1024.0 * 1024.0;
    printf("job         dream --method descent, block %lld, %lld restarts of %lld tokens, %lld "
           "steps\n",
           (long long)j->block, (long long)j->rows, (long long)j->tokens, (long long)j->steps);
    printf("  plan      %s: %s\n", ph_model_get_info(model)->plan,
           e->weights ? "weights as float32, packed both ways, kept"
                      : "weights stay in the file, every product reads them anew");
    printf("  memory    about %.0f MiB resident: weights %.0f, rows %.0f, vocabulary %.0f, file "
           "%.0f\n",
           (double)e->resident / mib, (double)e->weights / mib, (double)e->session / mib,
           (double)e->vocabulary / mib, (double)e->file / mib);
    printf("  time      about ");
    print_seconds(e->seconds);
    printf(": ");
    print_seconds(e->step_seconds);
    printf(" a step; ");
    print_seconds(e->scan_seconds);
    printf(" for the complete search, unless it is kept; without a pass over ordinary text (%.0f "
           "GF/s, %.0f GB/s measured)\n",
           j->peak, j->bandwidth);
}

void job_set(json_t *object, const struct job *j, const ph_model *model)
{
    const ph_estimate *e = &j->estimate;
    json_object_set_new(object, "plan", json_string(ph_model_get_info(model)->plan));
    json_object_set_new(object, "steps", json_integer((json_int_t)j->steps));
    json_object_set_new(object, "vocabulary_bytes", json_integer((json_int_t)e->vocabulary));
    json_object_set_new(object, "read_bytes", json_integer((json_int_t)e->file));
    json_object_set_new(object, "resident_bytes", json_integer((json_int_t)e->resident));
    json_object_set_new(object, "step_seconds", number(e->step_seconds));
    json_object_set_new(object, "scan_seconds", number(e->scan_seconds));
    json_object_set_new(object, "seconds", number(e->seconds));
    json_object_set_new(object, "peak_gflops", number(j->peak));
    json_object_set_new(object, "peak_gbytes", number(j->bandwidth));
}
