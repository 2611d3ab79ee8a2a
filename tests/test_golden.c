/* test_golden.c — tiny random models against PyTorch in float64: every place, every objective.
 *
 * Reads tests/data/llama_*.golden (format: tools/golden.py) and those of every family in
 * tests/data/families (tools/golden_families.py). Each record is compared on every backend, relative
 * to the record's largest value. The first are stored as float32 (6e-8): 1e-6 for ref64, 2e-5 for
 * float backends (float32 has 1.2e-7, sums of some hundred terms, a few blocks deep). The families'
 * are float64: 1e-10 and 1e-5.
 *
 *   test_golden [NAME …]    these files alone; an absolute path names a real model, whose golden
 *                           tools/check_family.py made beside it: on the fastest backend, 1e-3
 */
#include "families.h"

#include "feature/objective.h"
#include "model/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record {
    char name[65];
    uint32_t ndims, dims[4];
    double *data;
};

struct golden {
    struct record *records;
    uint32_t count;
    bool exact; /* stored as float64 */
};

static int64_t compared;
static int failed;
static double closest; /* the worst difference, of what is allowed */

static void die(const char *what, const char *why)
{
    fprintf(stderr, "test_golden: %s: %s\n", what, why);
    exit(1);
}

static void must(ph_status st, const ph_error *err, const char *what)
{
    if (st != PH_OK) die(what, err->msg);
}

static void *room(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p) die("memory", "none left");
    return p;
}

static void read_exact(void *to, size_t size, size_t n, FILE *f, const char *path)
{
    if (fread(to, size, n, f) != n) die(path, "ends too early");
}

static size_t elements(const struct record *r)
{
    return (size_t)r->dims[0] * r->dims[1] * r->dims[2] * r->dims[3];
}

static double *read_numbers(size_t n, bool exact, FILE *f, const char *path)
{
    double *data = room(n, sizeof *data);
    float *single = room(n, sizeof *single);
    if (exact) read_exact(data, sizeof *data, n, f, path);
    if (!exact) read_exact(single, sizeof *single, n, f, path);
    for (size_t i = 0; !exact && i < n; i++) data[i] = (double)single[i];
    free(single);
    return data;
}

static struct golden read_golden(const char *path)
{
    char magic[8];
    struct golden g = {0};
    FILE *f = fopen(path, "rb");
    if (!f) die(path, "cannot be opened");
    read_exact(magic, 1, 8, f, path);
    g.exact = memcmp(magic, "PHGOLD2", 8) == 0;
    if (!g.exact && memcmp(magic, "PHGOLD1", 8) != 0) die(path, "is not a golden file");
    read_exact(&g.count, 4, 1, f, path);
    g.records = room(g.count, sizeof *g.records);
    for (uint32_t i = 0; i < g.count; i++) {
        struct record *r = &g.records[i];
        read_exact(r->name, 1, 64, f, path);
        read_exact(&r->ndims, 4, 1, f, path);
        read_exact(r->dims, 4, 4, f, path);
        r->data = read_numbers(elements(r), g.exact, f, path);
    }
    fclose(f);
    return g;
}

static const struct record *find(const struct golden *g, const char *name)
{
    for (uint32_t i = 0; i < g->count; i++)
        if (strcmp(g->records[i].name, name) == 0) return &g->records[i];
    die(name, "record is missing");
    return NULL;
}

static void compare(const double *got, const struct record *want, double tolerance,
                    const char *where)
{
    double largest = 0, worst = 0;
    const size_t n = elements(want);
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(want->data[i]));
    for (size_t i = 0; i < n; i++) {
        const double off = fabs(got[i] - want->data[i]);
        if (!(off <= worst)) worst = off;
    }
    compared += (int64_t)n;
    closest = fmax(closest, worst / (tolerance * largest));
    if (!(worst <= tolerance * largest)) {
        printf("FAIL %s %s: off by %.3g of the largest value %.3g (allowed %.1g)\n", where,
               want->name, worst / largest, largest, tolerance);
        failed++;
    }
}

/* The feature a record's name ends with; the caller closes it. */
static ph_features *parse(const ph_model *m, const char *spec)
{
    ph_features *f = NULL;
    ph_error err = {0};
    must(ph_features_parse(&f, ph_model_get_info(m), spec, &err), &err, spec);
    return f;
}

struct run {
    const struct golden *g;
    const ph_model *model;
    const char *where;
    double tolerance;
    int64_t T, C;
    double *E;
};

static ph_session *open_session(const struct run *r, ph_tap tap, bool context)
{
    ph_session *s = NULL;
    ph_error err = {0};
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    int32_t ids[8];
    const struct record *c = find(r->g, "context");

    for (uint32_t i = 0; i < c->dims[0]; i++) ids[i] = (int32_t)c->data[i];
    o.tap = tap;
    o.rows = 2;
    o.tokens = r->T;
    o.gradient = true;
    o.context = ids;
    o.n_context = context ? c->dims[0] : 0;
    must(ph_session_open(&s, r->model, &o, &err), &err, "session");
    ph__session_write64(s, r->E, 2);
    must(ph__session_run(s, &err), &err, "run");
    return s;
}

static void check_output(const struct run *r, const struct record *want, bool context,
                         const char *place)
{
    char spec[96];
    snprintf(spec, sizeof spec, "%s [:, :, :]", place);
    ph_features *f = parse(r->model, spec);
    ph_session *s = open_session(r, ph_features_at(f, 0)->tap, context);
    double *X = room((size_t)(2 * r->T * ph__session_width(s)), sizeof *X);
    ph__session_read64(s, X);
    compare(X, want, r->tolerance, r->where);
    free(X);
    ph_session_close(&s);
    ph_features_close(&f);
}

static void check_gradient(const struct run *r, const struct record *want, bool gradient,
                           bool context, const char *objective, double target, const char *spec)
{
    ph_features *features = parse(r->model, spec);
    const ph_feature *f = ph_features_at(features, 0);
    ph_session *s = open_session(r, f->tap, context);
    ph_region region;
    ph_error err = {0};
    const int64_t W = ph__session_width(s), size = r->T * W;
    double *X = room((size_t)(2 * size), sizeof *X), *dX = room((size_t)(2 * size), sizeof *X);
    double *dE = room((size_t)(2 * r->T * r->C), sizeof *dE), values[2];

    must(ph__region(&region, f, r->T, PH_REDUCE_MEAN, 1, &err), &err, spec);
    ph__session_read64(s, X);
    for (int b = 0; b < 2; b++)
        values[b] = ph__objective(dX + b * size, ph__objective_find(objective), target, &region,
                                  X + b * size, r->T, W);
    must(ph__session_back64(s, dX, &err), &err, spec);
    ph__session_gradient64(s, dE);
    compare(gradient ? dE : values, want, r->tolerance, r->where);
    free(X);
    free(dX);
    free(dE);
    ph_session_close(&s);
    ph_features_close(&features);
}

static void check_record(const struct run *r, const struct record *want)
{
    char kind[8], with[8], objective[8];
    double target;
    int at = 0;
    if (sscanf(want->name, "%7s %7s %n", kind, with, &at) < 2 || at == 0) return;
    const bool context = strcmp(with, "ctx") == 0;
    if (strcmp(kind, "out") == 0) {
        check_output(r, want, context, want->name + at);
        return;
    }
    int more = 0;
    if (sscanf(want->name + at, "%7s %lf %n", objective, &target, &more) < 2)
        die(want->name, "is not a name that this test knows");
    check_gradient(r, want, strcmp(kind, "grad") == 0, context, objective, target,
                   want->name + at + more);
}

static void free_golden(struct golden *g)
{
    for (uint32_t i = 0; i < g->count; i++) free(g->records[i].data);
    free(g->records);
}

static double tolerance_of(const struct golden *g, bool exact, bool real)
{
    if (g->exact) return exact ? 1e-10 : 1e-5;
    return exact ? 1e-6 : real ? 1e-3 : 2e-5;
}

/* model: the file or folder, NULL for the GGUF beside the golden */
static void check_plan(const char *name, const char *model_path, const char *backend,
                       const char *plan)
{
    const char *folder = *name == '/' ? "" : "tests/data/";
    char path[300], where[300];
    ph_model_options options = PH_MODEL_OPTIONS_INIT;
    ph_model *model = NULL;
    ph_error err = {0};

    snprintf(path, sizeof path, "%s%s.golden", folder, name);
    struct golden g = read_golden(path);
    snprintf(path, sizeof path, "%s%s.gguf", folder, name);
    if (model_path) snprintf(path, sizeof path, "%s", model_path);
    snprintf(where, sizeof where, "%s %s %s", model_path ? model_path : name, backend, plan);
    options.backend = backend;
    options.plan = plan;
    const ph_status st = ph_model_open(&model, path, &options, &err);
    if (st == PH_EUNSUPPORTED) { /* a backend that this processor cannot run */
        printf("test_golden: %s not compared: %s\n", where, err.msg);
        free_golden(&g);
        return;
    }
    must(st, &err, path);
    const struct record *E = find(&g, "E");
    struct run r = {.g = &g,
                    .model = model,
                    .where = where,
                    .T = E->dims[1],
                    .C = E->dims[2],
                    .tolerance = tolerance_of(&g, strcmp(backend, "ref64") == 0, *name == '/')};
    r.E = room(elements(E), sizeof *r.E);
    for (size_t i = 0; i < elements(E); i++) r.E[i] = E->data[i];
    for (uint32_t i = 0; i < g.count; i++) check_record(&r, &g.records[i]);
    free_golden(&g);
    free(r.E);
    ph_model_close(&model);
}

/* By both plans of where the weights are. */
static void check_model(const char *name, const char *model_path, const char *backend)
{
    check_plan(name, model_path, backend, "packed");
    check_plan(name, model_path, backend, "streamed");
}

/* The same weights as Hugging Face folders, made by tools/folder_families.py when the tests are built. */
static void check_folder(const char *family, const char *backend)
{
#ifdef PH_FOLDERS
    char path[300];
    snprintf(path, sizeof path, "%s/%s", PH_FOLDERS, strrchr(family, '/') + 1);
    check_model(family, path, backend);
#else
    printf("test_golden: %s not compared as a folder with %s: no Python made it\n", family,
           backend);
#endif
}

int main(int argc, char **argv)
{
    static const char *const llamas[] = {"llama_a", "llama_b", "llama_c"};
    for (size_t b = 0; ph__backend_name(b); b++) {
        for (size_t i = 0; argc < 2 && i < 3; i++)
            check_model(llamas[i], NULL, ph__backend_name(b));
        for (size_t i = 0; argc < 2 && families[i]; i++) {
            check_model(families[i], NULL, ph__backend_name(b));
            check_folder(families[i], ph__backend_name(b));
        }
        for (int i = 1; i < argc; i++)
            if (b == 0 || *argv[i] != '/') check_model(argv[i], NULL, ph__backend_name(b));
    }
    printf("test_golden: %lld numbers compared, %d records failed, worst %.2g of allowed 1\n",
           (long long)compared, failed, closest);
    return failed || !compared;
}
