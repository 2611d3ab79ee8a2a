/* kcheck.c — every operation on every backend, against the reference in double.
 *
 *   kcheck                  all cases; exit status 1 if one fails
 *   kcheck 'LINE' …         these, as printed on failure; without a backend all of them, without
 *                           dist every distribution
 *   kcheck --bench [NAME …] rates of the backends named, at the default model's sizes
 *
 * For each case: outputs filled with NaN, guards around every buffer, inputs unchanged; results
 * within the bound of kops.c; the same call again, elsewhere in memory, gives the same bits; a row
 * alone and on one thread gives the bits it has among others; NaN in one row reaches what it reaches
 * in the reference and no other row. Backends "cpu-avx2" and "cpu-base" are cpu's other instruction
 * sets.
 */
#include "kops.h"

#include "base/clock.h"
#include "base/rng.h"
#include "kernels/host.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 16, GUARD_AGAIN = 19 /* not on a vector's boundary */ };
static const float guard = -1.2345e30f;

/* A backend ready to compute one case. */
struct engine {
    ph_backend *be;
    ph_stream *stream;
    ph_matrix *M;
    struct source { /* of a fed matrix */
        const float *w;
        int64_t columns;
    } source;
};

/* A case's buffers: what stands in them before the call, and what may stand there afterwards. */
struct data {
    int slots;
    struct k_slot slot[K_SLOTS];
    int64_t size[K_SLOTS];
    float *before[K_SLOTS];
    double *exact[K_SLOTS]; /* before, in double */
    double *want[K_SLOTS], *tol[K_SLOTS];
    float *w; /* matmul's matrix as matrix_new takes it */
};

static struct {
    int64_t cases, failed, warned, elements;
    double worst;
} count;

static void *get_memory(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (p) return p;
    fprintf(stderr, "kcheck: no memory\n");
    exit(1);
}

static void fail(const struct k_case *c, const char *what)
{
    char line[256];
    k_print(line, sizeof line, c);
    count.failed++;
    printf("FAIL %s\n     %s\nagain: kcheck '%s'\n", line, what, line);
}

/* ---- engines ----------------------------------------------------------------------------------- */

static bool is_matmul(const struct k_case *c)
{
    return c->K > 0;
}

static ph_status engine_open(struct engine *e, const char *name, int threads, ph_error *err)
{
    ph_status st = PH_OK;
    *e = (struct engine){0};
    st = strncmp(name, "cpu-", 4) ? ph__backend_open(&e->be, name, threads, err)
                                  : ph__cpu_open_set(&e->be, name + 4, threads ? threads : 2, err);
    if (st == PH_OK) st = e->be->stream_new(&e->stream, 0, e->be, err);
    return st;
}

static void read_source(float *dst, int64_t row, int64_t n_rows, int64_t first, int64_t n,
                        const void *source)
{
    const struct source *s = source;
    for (int64_t i = 0; i < n_rows; i++)
        memcpy(dst + i * n, s->w + (row + i) * s->columns + first, (size_t)n * sizeof *dst);
}

static ph_status engine_matrix(struct engine *e, const struct k_case *c, const float *w,
                               ph_error *err)
{
    if (!is_matmul(c)) return PH_OK;
    const int64_t rows = c->transpose ? c->J : c->K, columns = c->transpose ? c->K : c->J;
    e->source = (struct source){w, columns};
    const ph_feed feed = {read_source, &e->source};
    PH_TRY(c->fed ? e->be->matrix_feed(&e->M, &feed, rows, columns, c->transpose != 0, e->be, err)
                  : e->be->matrix_new(&e->M, w, rows, columns, c->transpose != 0, e->be, err));
    return e->be->stream_prepare(e->stream, e->M, c->N, err);
}

static void engine_close(struct engine *e)
{
    if (!e->be) return;
    if (e->M) e->be->matrix_close(&e->M, e->be);
    if (e->stream) e->be->stream_close(&e->stream, e->be);
    ph__backend_close(&e->be);
}

/* ---- one call ---------------------------------------------------------------------------------- */

static int64_t slot_size(const struct data *d, int i, int64_t rows)
{
    return d->slot[i].per * (d->slot[i].shared ? 1 : rows);
}

/* A buffer between guards: its beginning is `around` elements after *memory. */
static ph_status place(ph_real **memory, struct engine *e, const float *x, int64_t n, int around,
                       ph_error *err)
{
    const size_t all = (size_t)n + 2 * (size_t)around;
    float *line = get_memory(all, sizeof *line);
    for (size_t i = 0; i < all; i++) line[i] = guard;
    memcpy(line + around, x, (size_t)n * sizeof *x);
    const ph_status st = e->be->alloc(memory, all, e->be, err);
    if (st == PH_OK) e->be->write(*memory, line, all, e->be);
    free(line);
    return st;
}

/* out = what is in the buffer now; false if a guard has changed */
static bool take(double *out, ph_real *memory, struct engine *e, int64_t n, int around)
{
    const size_t all = (size_t)n + 2 * (size_t)around;
    double *line = get_memory(all, sizeof *line);
    bool intact = true;
    e->be->read64(line, memory, all, e->be);
    for (int i = 0; i < around; i++)
        intact = intact && line[i] == (double)guard && line[all - 1 - (size_t)i] == (double)guard;
    memcpy(out, line + around, (size_t)n * sizeof *out);
    free(line);
    return intact;
}

static bool same(const double *a, const double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) /* the sign of a NaN is nobody's business */
        if (isnan(a[i]) ? !isnan(b[i]) : memcmp(&a[i], &b[i], sizeof *a) != 0) return false;
    return true;
}

static const char *check_places(struct engine *e, const struct data *d, ph_real *const memory[],
                                int64_t from, int64_t rows, int around, double *out[])
{
    for (int i = 0; i < d->slots; i++) {
        const int64_t n = slot_size(d, i, rows);
        const double *exact = d->exact[i] + (d->slot[i].shared ? 0 : from * d->slot[i].per);
        if (!take(out[i], memory[i], e, n, around)) return "a guard was overwritten";
        if (d->slot[i].role == K_IN && !same(out[i], exact, n)) return "an input was changed";
    }
    return NULL;
}

/* out[slot] = the buffers after the call on rows from … from+rows-1; NULL or what is wrong. */
static const char *run(struct engine *e, const struct k_case *c, const struct data *d, int64_t from,
                       int64_t rows, int around, double *out[])
{
    static ph_error err;
    ph_real *memory[K_SLOTS] = {0};
    struct k_call call = {.be = e->be, .stream = e->stream, .M = e->M, .rows = rows};
    const char *wrong = NULL;
    for (int i = 0; i < d->slots && !wrong; i++) {
        const float *x = d->before[i] + (d->slot[i].shared ? 0 : from * d->slot[i].per);
        if (place(&memory[i], e, x, slot_size(d, i, rows), around, &err) != PH_OK) wrong = err.msg;
        if (!wrong) call.at[i] = ph__at(e->be, memory[i], around);
    }
    if (!wrong) c->op->call(c, &call);
    if (!wrong && e->be->stream_status(e->stream, &err) != PH_OK) wrong = err.msg;
    if (!wrong) wrong = check_places(e, d, memory, from, rows, around, out);
    for (int i = 0; i < d->slots; i++) e->be->release(e->be, memory[i]);
    return wrong;
}

static void outputs_new(double *out[], const struct data *d)
{
    for (int i = 0; i < d->slots; i++) out[i] = get_memory((size_t)d->size[i], sizeof *out[i]);
}

static void outputs_close(double *out[], const struct data *d)
{
    for (int i = 0; i < d->slots; i++) free(out[i]);
}

/* ---- a case's data ----------------------------------------------------------------------------- */

static void make_exact(struct data *d)
{
    for (int i = 0; i < d->slots; i++)
        for (int64_t k = 0; k < d->size[i]; k++) d->exact[i][k] = (double)d->before[i][k];
}

/* sum_k |x| |M|, by the reference itself */
static const char *weight_sum(double *sum, const struct k_case *c, const struct data *d)
{
    static ph_error err;
    struct k_case plain = *c;
    struct data a = *d;
    struct engine e;
    double *out[K_SLOTS];
    const int64_t n = c->K * c->J;
    plain.beta = 0;
    a.before[1] = get_memory((size_t)d->size[1], sizeof *a.before[1]);
    a.exact[1] = get_memory((size_t)d->size[1], sizeof *a.exact[1]);
    a.w = get_memory((size_t)n, sizeof *a.w);
    for (int64_t i = 0; i < d->size[1]; i++) a.before[1][i] = fabsf(d->before[1][i]);
    for (int64_t i = 0; i < n; i++) a.w[i] = fabsf(d->w[i]);
    make_exact(&a);
    outputs_new(out, d);
    const char *wrong = engine_open(&e, "ref64", 0, &err) || engine_matrix(&e, c, a.w, &err)
                            ? err.msg
                            : run(&e, &plain, &a, 0, c->N, GUARD, out);
    memcpy(sum, out[0], (size_t)d->size[0] * sizeof *sum);
    engine_close(&e);
    outputs_close(out, d);
    free(a.before[1]);
    free(a.exact[1]);
    free(a.w);
    return wrong;
}

static const char *reference(double *want[], const struct k_case *c, const struct data *d)
{
    static ph_error err;
    struct engine e;
    const char *wrong = engine_open(&e, "ref64", 0, &err) || engine_matrix(&e, c, d->w, &err)
                            ? err.msg
                            : run(&e, c, d, 0, k_rows(c), GUARD, want);
    engine_close(&e);
    return wrong;
}

static const char *data_new(struct data *d, const struct k_case *c)
{
    ph_rng r = ph__rng((uint64_t)c->seed, 0);
    *d = (struct data){.slots = 0};
    d->slots = c->op->slots(d->slot, c);
    for (int i = 0; i < d->slots; i++) {
        const size_t n = (size_t)(d->size[i] = slot_size(d, i, k_rows(c)));
        d->before[i] = get_memory(n, sizeof *d->before[i]);
        d->exact[i] = get_memory(n, sizeof *d->exact[i]);
        d->want[i] = get_memory(n, sizeof *d->want[i]);
        d->tol[i] = get_memory(n, sizeof *d->tol[i]);
        for (size_t k = 0; k < n; k++) d->tol[i][k] = -1; /* not to be written */
        k_fill(d->before[i], &d->slot[i], c, &r);
    }
    make_exact(d);
    if (is_matmul(c)) {
        d->w = get_memory((size_t)(c->K * c->J), sizeof *d->w);
        k_fill_data(d->w, c->K, c->J, c->dist, &r);
    }
    double *sum = get_memory(is_matmul(c) ? (size_t)d->size[0] : 1, sizeof *sum);
    const char *wrong = reference(d->want, c, d);
    if (!wrong && is_matmul(c)) wrong = weight_sum(sum, c, d);
    if (!wrong) c->op->bound(c, d->tol, d->exact, sum);
    free(sum);
    return wrong;
}

static void data_close(struct data *d)
{
    for (int i = 0; i < d->slots; i++) {
        free(d->before[i]);
        free(d->exact[i]);
        free(d->want[i]);
        free(d->tol[i]);
    }
    free(d->w);
}

/* ---- checks ------------------------------------------------------------------------------------ */

/* Every element of slot i; false if one is out of bounds, which is printed. */
static bool check_slot(const struct k_case *c, const struct data *d, int i, const double *got)
{
    int64_t bad = 0, first = -1;
    double worst = 0;
    for (int64_t k = 0; k < d->size[i]; k++) {
        const double tol = d->tol[i][k];
        const double err = fabs(got[k] - (tol < 0 ? d->exact[i][k] : d->want[i][k]));
        const bool good = tol < 0 ? same(&got[k], &d->exact[i][k], 1) : err <= tol;
        count.elements++;
        if (good && tol > 0 && err / tol > worst) worst = err / tol;
        if (!good && bad++ == 0) first = k;
    }
    if (worst > count.worst) count.worst = worst;
    if (worst > 0.5) {
        char line[256];
        k_print(line, sizeof line, c);
        count.warned++;
        printf("warn %s: %s at %.2f of allowed 1\n", line, d->slot[i].name, worst);
    }
    if (!bad) return true;
    char what[256];
    const double tol = d->tol[i][first], want = d->want[i][first];
    snprintf(what, sizeof what,
             "%s[%lld] = %.9g want %.9g, %.3g of allowed 1 (%lld of %lld elements)",
             d->slot[i].name, (long long)first, got[first], tol < 0 ? d->exact[i][first] : want,
             fabs(got[first] - want) / fabs(tol), (long long)bad, (long long)d->size[i]);
    fail(c, what);
    return false;
}

/* Rows from … from+rows-1, computed by `e` without the others, against `got`. */
static bool check_rows(struct engine *e, const struct k_case *c, const struct data *d,
                       double *const got[], int64_t from, int64_t rows)
{
    double *out[K_SLOTS];
    char what[128];
    outputs_new(out, d);
    const char *wrong = run(e, c, d, from, rows, GUARD, out);
    for (int i = 0; i < d->slots && !wrong; i++)
        if (!same(out[i], got[i] + (d->slot[i].shared ? 0 : from * d->slot[i].per),
                  slot_size(d, i, rows))) {
            snprintf(what, sizeof what,
                     "%s: rows %lld to %lld alone have other bits than among %lld", d->slot[i].name,
                     (long long)from, (long long)(from + rows - 1), (long long)k_rows(c));
            wrong = what;
        }
    if (wrong) fail(c, wrong);
    outputs_close(out, d);
    return !wrong;
}

/* NaN in element `at` of slot i: where the reference has NaN now, and nowhere else; other rows keep
 * their bits. */
static const char *check_nan(struct engine *e, const struct k_case *c, struct data *d,
                             double *const got[], int i, int64_t at)
{
    double *out[K_SLOTS], *want[K_SLOTS];
    const float kept = d->before[i][at];
    const int64_t row = at / d->slot[i].per;
    outputs_new(out, d);
    outputs_new(want, d);
    d->before[i][at] = NAN;
    d->exact[i][at] = (double)NAN;
    const char *wrong = run(e, c, d, 0, k_rows(c), GUARD, out);
    if (!wrong) wrong = reference(want, c, d);
    for (int s = 0; s < d->slots && !wrong; s++)
        for (int64_t k = 0; k < d->size[s] && !wrong; k++) {
            if (isnan(out[s][k]) != isnan(want[s][k])) wrong = "NaN was hidden, or spread";
            if (d->slot[s].role != K_IN && k / d->slot[s].per != row &&
                !same(&out[s][k], &got[s][k], 1))
                wrong = "NaN in one row changed another";
        }
    d->before[i][at] = kept;
    d->exact[i][at] = (double)kept;
    outputs_close(out, d);
    outputs_close(want, d);
    return wrong;
}

static void check_nans(struct engine *e, const struct k_case *c, struct data *d,
                       double *const got[])
{
    ph_rng r = ph__rng((uint64_t)c->seed, 1);
    for (int i = 0; i < d->slots; i++) {
        const struct k_slot *s = &d->slot[i];
        if (s->shared || s->role == K_OUT || (s->role == K_GRAD && !c->beta)) continue;
        const int64_t row = k_rows(c) / 2;
        const int64_t at = row * s->per + (int64_t)ph__rng_below(&r, (uint64_t)s->per);
        const char *wrong = check_nan(e, c, d, got, i, at);
        if (wrong) fail(c, wrong);
    }
}

static void check_engines(struct engine *e, struct engine *one, const struct k_case *c,
                          struct data *d, bool nans)
{
    const int64_t rows = k_rows(c), some[] = {0, rows / 2, rows - 1};
    double *got[K_SLOTS], *again[K_SLOTS];
    outputs_new(got, d);
    outputs_new(again, d);
    const char *wrong = run(e, c, d, 0, rows, GUARD, got);
    if (!wrong) wrong = run(e, c, d, 0, rows, GUARD_AGAIN, again);
    if (wrong) fail(c, wrong);
    for (int i = 0; i < d->slots && !wrong; i++) {
        if (d->slot[i].role == K_IN) continue;
        if (!check_slot(c, d, i, got[i])) wrong = "reported";
        if (!same(got[i], again[i], d->size[i])) fail(c, wrong = "the same call gave other bits");
    }
    for (size_t i = 0; i < sizeof some / sizeof some[0] && !wrong; i++)
        if (!check_rows(one, c, d, got, some[i], 1)) wrong = "reported";
    if (!wrong) check_rows(one, c, d, got, 0, (rows + 1) / 2);
    if (!wrong && nans) check_nans(e, c, d, got);
    outputs_close(got, d);
    outputs_close(again, d);
}

/* All cores and one: the bits may not depend on it, nor those of cpu on whether a matrix is fed. */
static void check(const struct k_case *c, struct data *d, bool nans)
{
    struct engine e = {0}, one = {0};
    struct k_case kept = *c;
    ph_error err;
    count.cases++;
    if (strncmp(c->backend, "cpu", 3) == 0) kept.fed = 0;
    if (engine_open(&e, c->backend, 0, &err) || engine_matrix(&e, c, d->w, &err) ||
        engine_open(&one, c->backend, 1, &err) || engine_matrix(&one, &kept, d->w, &err))
        fail(c, err.msg);
    else
        check_engines(&e, &one, c, d, nans);
    engine_close(&e);
    engine_close(&one);
}

/* ---- runs -------------------------------------------------------------------------------------- */

static const char *const backends[] = {"cpu", "onednn", "cpu-avx2", "cpu-base", "ref"};
enum { BACKENDS = sizeof backends / sizeof backends[0] };

static bool present(const char *backend)
{
    struct engine e;
    ph_error err;
    const bool there = engine_open(&e, backend, 1, &err) == PH_OK;
    engine_close(&e);
    return there;
}

static void check_line(const char *line, const bool there[])
{
    struct k_case c;
    if (!k_parse(&c, line)) {
        fprintf(stderr, "kcheck: not a case: %s\n", line);
        exit(2);
    }
    const struct k_case named = c;
    for (int dist = 0; dist < K_DISTS; dist++) {
        if (strstr(line, "dist=") && (enum k_dist)dist != named.dist) continue;
        struct data d;
        c.dist = (enum k_dist)dist;
        const char *wrong = data_new(&d, &c);
        if (wrong) fail(&c, wrong);
        for (int b = 0; b < BACKENDS && !wrong; b++) {
            if (!there[b] || (named.backend[0] && strcmp(named.backend, backends[b]) != 0))
                continue;
            snprintf(c.backend, sizeof c.backend, "%s", backends[b]);
            check(&c, &d, c.dist == named.dist);
        }
        data_close(&d);
    }
}

/* Under a sanitizer a few numbers of rows are enough: it looks for other mistakes. */
#ifdef __SANITIZE_ADDRESS__
enum { LEAP = 29 };
#else
enum { LEAP = 1 };
#endif

/* A product's row must have the same bits whatever the number of rows: every N up to 400. */
static void check_every_size(const char *shape, const char *backend, int64_t step)
{
    struct engine e = {0};
    struct data d;
    struct k_case c;
    ph_error err;
    double *got[K_SLOTS];
    if (!k_parse(&c, shape)) exit(2);
    snprintf(c.backend, sizeof c.backend, "%s", backend);
    d = (struct data){.slots = 0};
    const char *wrong = data_new(&d, &c);
    outputs_new(got, &d);
    if (!wrong && (engine_open(&e, backend, 0, &err) || engine_matrix(&e, &c, d.w, &err)))
        wrong = err.msg;
    if (!wrong) wrong = run(&e, &c, &d, 0, c.N, GUARD, got);
    if (wrong) fail(&c, wrong);
    count.cases++;
    for (int64_t n = 1; n < c.N && !wrong; n += step * LEAP) {
        const int64_t from = n % 3 ? c.N - n : 0; /* other places of the same row, too */
        if (!check_rows(&e, &c, &d, got, from, n)) wrong = "reported";
        count.elements += n * c.J;
    }
    outputs_close(got, &d);
    data_close(&d);
    engine_close(&e);
}

static int check_all(int n, char **lines)
{
    static const char *const sizes[] = {"matmul N=400 K=576 J=960 transpose=1",
                                        "matmul N=400 K=1536 J=576 transpose=1 beta=1",
                                        "matmul N=400 K=100 J=77"};
    bool there[BACKENDS];
    for (int b = 0; b < BACKENDS; b++)
        if (!(there[b] = present(backends[b]))) printf("skipped %s: not here\n", backends[b]);
    for (int i = 0; i < n; i++) check_line(lines[i], there);
    for (size_t i = 0; n == 0 && k_cases[i]; i++) check_line(k_cases[i], there);
    for (int b = 0; n == 0 && b < BACKENDS; b++)
        for (size_t i = 0; i < 3 && there[b]; i++)
            check_every_size(sizes[i], backends[b],
                             i == 2 || strcmp(backends[b], "onednn") == 0 ? 1 : 37);
    printf(
        "%lld cases, %lld elements compared, %lld failed, %lld warned, worst %.2f of allowed 1\n",
        (long long)count.cases, (long long)count.elements, (long long)count.failed,
        (long long)count.warned, count.worst);
    return count.failed || !count.elements;
}

/* ---- bench ------------------------------------------------------------------------------------- */

enum { FLUSH = 4 << 20 };
static float
    flushed[FLUSH]; /* more than the second caches hold: the model's weights are not there */

static void flush(void)
{
#pragma omp parallel for schedule(static)
    for (int i = 0; i < FLUSH; i += 16) flushed[i] += 1;
}

/* Best seconds of a call within the budget. */
static double seconds(struct engine *e, const struct k_case *c, const struct data *d, bool cold)
{
    ph_error err;
    struct k_call call = {.be = e->be, .stream = e->stream, .M = e->M, .rows = k_rows(c)};
    double best = HUGE_VAL;
    for (int i = 0; i < d->slots; i++) {
        if (place(&call.at[i], e, d->before[i], d->size[i], 0, &err)) exit(1);
    }
    for (double end = ph__now() + 0.4; ph__now() < end;) {
        if (cold) flush();
        const double t = ph__now();
        c->op->call(c, &call);
        best = fmin(best, ph__now() - t);
    }
    for (int i = 0; i < d->slots; i++) e->be->release(e->be, call.at[i]);
    return best;
}

static double bench_line(const char *line, const char *backend, double peak)
{
    struct k_case c;
    struct data d;
    struct engine e = {0};
    ph_error err;
    double bytes = 0;
    char name[256];
    if (!k_parse(&c, line)) exit(2);
    snprintf(c.backend, sizeof c.backend, "%s", backend);
    if (data_new(&d, &c) || engine_open(&e, backend, 0, &err) || engine_matrix(&e, &c, d.w, &err))
        exit(1);
    const double s = seconds(&e, &c, &d, peak > 0), flops = c.op->work(&c, &bytes);
    k_print(name, sizeof name, &c);
    if (peak > 0)
        printf("%-68.*s %9.1f us %7.1f GF/s %5.0f %% %6.1f GB/s\n",
               (int)(strstr(name, " seed=") - name), name, 1e6 * s, 1e-9 * flops / s,
               100 * flops / s / peak, 1e-9 * bytes / s);
    engine_close(&e);
    data_close(&d);
    return flops / s;
}

/* The ceiling is the best rate of a large product whose matrix stays in the second cache. */
static int bench(int n, char **names)
{
    static char *both[] = {"cpu", "onednn"};
    double peak = 0;
    if (n == 0) {
        names = both;
        n = 2;
    }
    for (int b = 0; b < n; b++)
        if (present(names[b]))
            peak = fmax(peak, bench_line("matmul N=640 K=576 J=576 transpose=1", names[b], 0));
    printf("best product: %.1f GF/s\n", 1e-9 * peak);
    for (size_t i = 0; k_benches[i]; i++)
        for (int b = 0; b < n; b++)
            if (present(names[b])) bench_line(k_benches[i], names[b], peak);
    return peak > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--bench")) return bench(argc - 2, argv + 2);
    return check_all(argc - 1, argv + 1);
}
