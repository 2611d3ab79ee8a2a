/* bench.c — how fast this machine is, and how near to that the work of a search comes: the table of
 * works, and what they share. */
#include "search/bench.h"

#include "search/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct work {
    const char *name;
    ph_status (*run)(ph_bencher *b, ph_error *err);
} works[] = {{"peak", ph__bench_peak},       {"bandwidth", ph__bench_bandwidth},
             {"descent", ph__bench_descent}, {"scan", ph__bench_scan},
             {"swap", ph__bench_swap},       {"load", ph__bench_load}};
enum { WORKS = sizeof works / sizeof *works };

const char *ph_bench_name(size_t i)
{
    return i < WORKS ? works[i].name : NULL;
}

static ph_status check_options(const ph_bencher *b, ph_error *err)
{
    PH_TRY(ph__within("block", b->o.block, b->model->arch.blocks, err));
    PH_TRY(ph__within("rows", b->o.rows, 1 << 20, err));
    return ph__within("tokens", b->o.tokens ? b->o.tokens : 1, 1 << 20, err);
}

ph_status ph_bench(const ph_model *model, const char *work, const ph_bench_options *options,
                   ph_bench_fn result, void *payload, ph_error *err)
{
    const ph_bench_options defaults = PH_BENCH_OPTIONS_INIT;
    ph_bencher b = {
        .model = model, .o = options ? *options : defaults, .result = result, .payload = payload};

    PH_TRY(check_options(&b, err));
    for (size_t i = 0; i < WORKS; i++)
        if (strcmp(work, works[i].name) == 0) return works[i].run(&b, err);
    return ph__unknown("benchmark", work, ph_bench_name, err);
}

/* ---- repeats and the report ---- */

int ph__bench_repeats(const ph_bencher *b, int usual)
{
    const int n = b->o.repeats > 0 ? b->o.repeats : usual;
    return n < PH_BENCH_REPEATS ? n : PH_BENCH_REPEATS;
}

void ph__bench_note(ph_bencher *b, double seconds)
{
    if (b->n < PH_BENCH_REPEATS) b->seconds[b->n++] = seconds;
}

ph_bench_result ph__bench_result(const char *work)
{
    const double none = (double)NAN;
    return (ph_bench_result){.work = work,
                             .seconds = none,
                             .spread = none,
                             .gflops = none,
                             .gbytes = none,
                             .share = none,
                             .gbytes_share = none,
                             .limit_share = none,
                             .spared = none,
                             .whole_seconds = none,
                             .token_forwards = none,
                             .naive_forwards = none,
                             .wall = none};
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double ph__bench_median(ph_bencher *b)
{
    qsort(b->seconds, (size_t)b->n, sizeof *b->seconds, compare);
    return b->seconds[b->n / 2];
}

ph_status ph__bench_report(ph_bencher *b, ph_bench_result r, double flops, double bytes,
                           ph_error *err)
{
    const double none = (double)NAN;
    const double peak = b->o.peak_gflops > 0 ? b->o.peak_gflops : none;
    const double peak_bytes = b->o.peak_gbytes > 0 ? b->o.peak_gbytes : none;

    r.seconds = ph__bench_median(b);
    r.spread = (b->seconds[3 * b->n / 4] - b->seconds[b->n / 4]) / r.seconds;
    r.gflops = flops / r.seconds * 1e-9;
    r.gbytes = bytes / r.seconds * 1e-9;
    r.share = r.gflops / peak;
    r.gbytes_share = r.gbytes / peak_bytes;
    if (isfinite(r.share) && isfinite(r.gbytes_share))
        r.limit_share = fmax(r.share, r.gbytes_share);
    r.parts = b->parts;
    r.n_parts = b->n_parts;
    if (b->n_parts) r.wall = b->wall;
    b->n = 0;
    b->n_parts = 0;
    if (b->result(&r, b->payload))
        return ph__fail(err, PH_ECANCELED, -1, "cancelled by the caller");
    return PH_OK;
}

/* ---- parts ---- */

ph_status ph__bench_timed_open(ph_bench_timed *t, const ph_model *model, ph_error *err)
{
    t->model = *model;
    PH_TRY(ph__timed_open(&t->backend, model->backend, err));
    t->model.backend = t->backend;
    return PH_OK;
}

void ph__bench_timed_close(ph_bench_timed *t)
{
    ph__backend_close(&t->backend);
}

static const char *const names[PH_TIMED_BEFORE_PACK] = {
    [PH_TIMED_MATMUL] = "matmul",
    [PH_TIMED_ATTENTION] = "attention",
    [PH_TIMED_ATTENTION_BACK] = "attention backward",
    [PH_TIMED_RMSNORM] = "rmsnorm",
    [PH_TIMED_RMSNORM_BACK] = "rmsnorm backward",
    [PH_TIMED_LAYERNORM] = "layernorm",
    [PH_TIMED_LAYERNORM_BACK] = "layernorm backward",
    [PH_TIMED_HEADNORM] = "headnorm",
    [PH_TIMED_HEADNORM_BACK] = "headnorm backward",
    [PH_TIMED_ROPE] = "rope",
    [PH_TIMED_ROPE_BACK] = "rope backward",
    [PH_TIMED_GATED] = "gated",
    [PH_TIMED_GATED_BACK] = "gated backward",
    [PH_TIMED_ACT] = "act",
    [PH_TIMED_ACT_BACK] = "act backward",
    [PH_TIMED_SOFTCAP] = "softcap",
    [PH_TIMED_SOFTCAP_BACK] = "softcap backward",
    [PH_TIMED_ADD_BIAS] = "add bias",
    [PH_TIMED_ADD] = "add",
    [PH_TIMED_COLUMNS] = "columns",
    [PH_TIMED_COPY] = "copies",
    [PH_TIMED_PACK] = "packing",
    [PH_TIMED_PREPARE] = "preparing products",
};

static const char *name_of(ph_timed_kind kind, const ph_bench_pauses *p)
{
    switch (kind) {
    case PH_TIMED_BEFORE_PACK: return p->before_pack;
    case PH_TIMED_AFTER_READ64: return p->after_read64;
    case PH_TIMED_AFTER_READ: return p->after_read;
    case PH_TIMED_BETWEEN: return p->between;
    default: return names[kind];
    }
}

void ph__bench_parts(ph_bencher *b, const ph_bench_timed *t, const ph_bench_pauses *pauses,
                     int repeats, double wall)
{
    ph_timed_part parts[PH_TIMED_PARTS];
    b->n_parts = ph__timed_parts(parts, t->backend);
    b->wall = wall / repeats;
    for (size_t i = 0; i < b->n_parts; i++) {
        const ph_timed_part *p = &parts[i];
        b->parts[i] =
            (ph_bench_part){name_of(p->kind, pauses), p->N, p->K, p->J, (double)p->calls / repeats,
                            p->seconds / repeats};
    }
}

ph_feature ph__bench_feature(const ph_model *model, int64_t block, int64_t i)
{
    const int64_t C = model->arch.C;
    return (ph_feature){.tap = {PH_PLACE_BLOCK, false, block},
                        .tokens = {0, PH_END},
                        .components = {i % C, i % C + 1},
                        .text = "bench"};
}
