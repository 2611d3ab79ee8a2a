/* atlas.c — phosphene scan without SPEC: every feature, as a table or a file.
 *
 * A sink is a row of a table: how a result is begun, taken and ended.
 */
#include "atlas.h"

#include "keep.h"
#include "lines.h"
#include "npz.h"
#include "output.h"
#include "progress.h"
#include "safetensors_out.h"
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 3 }; /* tokens of a list in the table */

/* One place's arrays for NumPy: (depth,W) and (depth,W,k). */
struct arrays {
    int64_t W;
    int32_t *top_id, *bottom_id;
    float *top, *bottom, *quantiles;
    double *mean, *sd;
};

struct atlas {
    struct subject *s;
    struct common *c;
    const ph_survey_options *o;
    int64_t depth, k;
    struct arrays block, neuron;
    char *problem; /* what went wrong in a sink; owned */
};

struct sink {
    const char *ending;
    ph_status (*begin)(struct atlas *, ph_error *err);
    void (*row)(struct atlas *, const ph_survey_result *r);
    void (*end)(struct atlas *);
};

/* ---- the table ---- */

static ph_status table_begin(struct atlas *v, ph_error *err)
{
    (void)err;
    subject_title(v->s);
    subject_context(v->s);
    printf("\n%-28s %9s %8s   %-60s   %s\n", "feature", "mean", "sd", "highest", "lowest");
    return PH_OK;
}

static void print_list(const struct atlas *v, const ph_near *list, size_t n, int width)
{
    char line[512] = "";
    size_t at = 0;
    for (size_t i = 0; i < n && i < SHOWN && at + 1 < sizeof line; i++) {
        char *token = quoted_token(subject_tokenizer(v->s), list[i].id);
        at += (size_t)snprintf(line + at, sizeof line - at, "%s%.48s %.2f", i ? "  " : "",
                               token ? token : "", list[i].value);
        free(token);
    }
    cell(line, width);
}

static void table_row(struct atlas *v, const ph_survey_result *r)
{
    char name[64];
    feature_name(name, r->tap, r->component);
    printf("%-28s %9.3f %8.3f   ", name, r->mean, r->sd);
    print_list(v, r->top, r->n_top, 60);
    printf("   ");
    print_list(v, r->bottom, r->n_top, 60);
    printf("\n");
}

static void nothing(struct atlas *v)
{
    (void)v;
}

/* ---- lines: delivered whatever the sink ---- */

static ph_status deliver_run(struct atlas *v, ph_error *err)
{
    json_t *settings = common_settings(v->c);
    json_object_set_new(settings, "top", json_integer((json_int_t)v->o->top));
    json_object_set_new(settings, "neurons", json_boolean(v->o->neurons));
    return subject_run_line(v->s, v->c, settings, err);
}

static int deliver_row(struct atlas *v, const ph_survey_result *r)
{
    const struct line_source source = {v->s->run, subject_tokenizer(v->s), &v->o->run};
    return delivering(v->c) ? deliver(v->c, survey_line(&source, r)) : 0;
}

static ph_status no_begin(struct atlas *v, ph_error *err)
{
    (void)v;
    (void)err;
    return PH_OK;
}

static void no_row(struct atlas *v, const ph_survey_result *r)
{
    (void)v;
    (void)r;
}

/* ---- CSV: RFC 4180, one line a feature; it has no 0 byte, U+FFFD stands for it ---- */

static ph_status csv_begin(struct atlas *v, ph_error *err)
{
    char level[16];
    (void)err;
    printf("feature,place,block,component,n,mean,sd");
    for (size_t i = 0; i < PH_QUANTILES; i++) printf(",q%s", level_name(level, i));
    for (int64_t i = 1; i <= v->k; i++)
        printf(",top%lld_id,top%lld_token,top%lld", (long long)i, (long long)i, (long long)i);
    for (int64_t i = 1; i <= v->k; i++)
        printf(",bottom%lld_id,bottom%lld_token,bottom%lld", (long long)i, (long long)i,
               (long long)i);
    printf("\r\n");
    return PH_OK;
}

static void csv_list(const ph_tokenizer *t, const ph_near *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_t *token = token_text(t, list[i].id);
        const char *text = json_string_value(token);
        const size_t bytes = json_string_length(token);
        printf(",%d,", list[i].id);
        csv_text(text, text ? bytes : 0);
        printf(",%.9g", list[i].value);
        json_decref(token);
    }
}

static void csv_row(struct atlas *v, const ph_survey_result *r)
{
    const ph_tokenizer *t = subject_tokenizer(v->s);
    char name[64];
    feature_name(name, r->tap, r->component);
    printf("\"%s\",%s,%lld,%lld,%lld,%.9g,%.9g", name,
           r->tap.place == PH_PLACE_NEURON ? "neuron" : "block", (long long)r->tap.block,
           (long long)r->component, (long long)r->n, r->mean, r->sd);
    for (size_t i = 0; i < PH_QUANTILES; i++) printf(",%.9g", r->quantiles[i]);
    csv_list(t, r->top, r->n_top);
    csv_list(t, r->bottom, r->n_top);
    printf("\r\n");
}

/* ---- arrays: NumPy and safetensors ---- */

/* A file of named arrays that is being made: one of two kinds, with the same calls. */
struct archive {
    struct npz *npz;
    struct safetensors_out *safetensors;
};

static bool archive_add(struct archive *z, const char *name, const char *type, size_t size,
                        const int64_t *shape, int dims, const void *data)
{
    if (z->npz) return npz_add(z->npz, name, type, size, shape, dims, data);
    return safetensors_out_add(z->safetensors, name, type, size, shape, dims, data);
}

static bool arrays_new(struct arrays *a, int64_t depth, int64_t W, int64_t k)
{
    const size_t n = (size_t)(depth * W), lists = n * (size_t)k;
    a->W = W;
    a->top_id = calloc(lists, sizeof *a->top_id);
    a->bottom_id = calloc(lists, sizeof *a->bottom_id);
    a->top = calloc(lists, sizeof *a->top);
    a->bottom = calloc(lists, sizeof *a->bottom);
    a->quantiles = calloc(n * PH_QUANTILES, sizeof *a->quantiles);
    a->mean = calloc(n, sizeof *a->mean);
    a->sd = calloc(n, sizeof *a->sd);
    return a->top_id && a->bottom_id && a->top && a->bottom && a->quantiles && a->mean && a->sd;
}

static void arrays_free(struct arrays *a)
{
    free(a->top_id);
    free(a->bottom_id);
    free(a->top);
    free(a->bottom);
    free(a->quantiles);
    free(a->mean);
    free(a->sd);
}

static ph_status arrays_begin(struct atlas *v, ph_error *err)
{
    const ph_model_info *info = ph_model_get_info(v->s->model);
    if (arrays_new(&v->block, v->depth, info->width, v->k) &&
        (!v->o->neurons || arrays_new(&v->neuron, v->depth, info->ffn, v->k)))
        return PH_OK;
    *err = (ph_error){PH_ENOMEM, -1, "out of memory"};
    return PH_ENOMEM;
}

static void arrays_row(struct atlas *v, const ph_survey_result *r)
{
    struct arrays *a = r->tap.place == PH_PLACE_NEURON ? &v->neuron : &v->block;
    const int64_t at = (r->tap.block - 1) * a->W + r->component;
    for (size_t i = 0; i < r->n_top; i++) {
        const size_t slot = (size_t)(at * v->k) + i;
        a->top_id[slot] = r->top[i].id;
        a->top[slot] = (float)r->top[i].value;
        a->bottom_id[slot] = r->bottom[i].id;
        a->bottom[slot] = (float)r->bottom[i].value;
    }
    for (int64_t i = 0; i < PH_QUANTILES; i++)
        a->quantiles[at * PH_QUANTILES + i] = (float)r->quantiles[i];
    a->mean[at] = r->mean;
    a->sd[at] = r->sd;
}

static bool add_arrays(struct archive *z, const struct atlas *v, const struct arrays *a,
                       const char *place)
{
    const int64_t lists[] = {v->depth, a->W, v->k}, levels[] = {v->depth, a->W, PH_QUANTILES};
    const struct {
        const char *name, *type;
        size_t size;
        const int64_t *shape;
        int dims;
        const void *data;
    } all[] = {
        {"top_id", "<i4", 4, lists, 3, a->top_id},       {"top", "<f4", 4, lists, 3, a->top},
        {"bottom_id", "<i4", 4, lists, 3, a->bottom_id}, {"bottom", "<f4", 4, lists, 3, a->bottom},
        {"mean", "<f8", 8, lists, 2, a->mean},           {"sd", "<f8", 8, lists, 2, a->sd},
        {"quantiles", "<f4", 4, levels, 3, a->quantiles}};
    bool ok = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char name[40];
        snprintf(name, sizeof name, "%s_%s", place, all[i].name);
        ok = ok &&
             archive_add(z, name, all[i].type, all[i].size, all[i].shape, all[i].dims, all[i].data);
    }
    return ok;
}

/* The vocabulary as bytes, so that an id can be read: token[id]. */
static bool add_tokens(struct archive *z, const ph_tokenizer *t)
{
    const int64_t V = ph_tokenizer_get_info(t)->vocab;
    size_t longest = 1, n;
    char type[32];

    for (int32_t id = 0; id < V; id++)
        if (ph_tokenizer_piece(t, id, &n) && n > longest) longest = n;
    char *all = calloc((size_t)V, longest);
    for (int32_t id = 0; all && id < V; id++) {
        const char *piece = ph_tokenizer_piece(t, id, &n);
        if (piece) memcpy(all + (size_t)id * longest, piece, n);
    }
    snprintf(type, sizeof type, "|S%zu", longest);
    const bool ok = all && archive_add(z, "token", type, longest, &V, 1, all);
    free(all);
    return ok;
}

/* Fill the archive and write it; what went wrong goes into v->problem. */
static void archive_end(struct atlas *v, struct archive *z)
{
    double levels[PH_QUANTILES];
    const int64_t n_levels = PH_QUANTILES, n_context = (int64_t)v->s->n_context;

    for (size_t i = 0; i < PH_QUANTILES; i++) levels[i] = ph_quantile_level(i);
    bool ok = (z->npz || z->safetensors) && add_arrays(z, v, &v->block, "block");
    if (v->o->neurons) ok = ok && add_arrays(z, v, &v->neuron, "neuron");
    ok = ok && add_tokens(z, subject_tokenizer(v->s));
    ok = ok && archive_add(z, "quantile_level", "<f8", 8, &n_levels, 1, levels);
    ok = ok && archive_add(z, "context", "<i4", 4, &n_context, 1, v->s->context);
    if (!ok)
        v->problem = strdup("out of memory");
    else
        v->problem = z->npz ? npz_write(z->npz) : safetensors_out_write(z->safetensors);
    npz_free(z->npz);
    safetensors_out_free(z->safetensors);
}

static void npz_end(struct atlas *v)
{
    archive_end(v, &(struct archive){.npz = npz_new()});
}

static void safetensors_end(struct atlas *v)
{
    archive_end(v, &(struct archive){.safetensors = safetensors_out_new()});
}

/* ---- */

static const struct sink sinks[] = {{".jsonl", no_begin, no_row, nothing},
                                    {".csv", csv_begin, csv_row, nothing},
                                    {".npz", arrays_begin, arrays_row, npz_end},
                                    {".safetensors", arrays_begin, arrays_row, safetensors_end},
                                    {"", table_begin, table_row, nothing}};
enum { JSONL = 0, TABLE = 4 };

static const struct sink *sink_of(const char *path)
{
    const size_t length = strlen(path);
    for (size_t i = 0; i < TABLE; i++) {
        const size_t n = strlen(sinks[i].ending);
        if (length > n && strcasecmp(path + length - n, sinks[i].ending) == 0) return &sinks[i];
    }
    return NULL;
}

bool atlas_writes(const char *path)
{
    return sink_of(path) != NULL;
}

bool atlas_writes_lines(const char *path)
{
    return sink_of(path) == &sinks[JSONL];
}

struct taking {
    struct atlas *v;
    const struct sink *sink;
    ph_error err; /* of begin */
    bool begun;
};

/* The first row comes when the pass is done: only then is anything printed. */
static int on_result(const ph_survey_result *r, void *payload)
{
    struct taking *t = payload;
    if (!t->begun) {
        progress_clear();
        if (t->sink->begin(t->v, &t->err) != PH_OK || deliver_run(t->v, &t->err) != PH_OK) return 1;
        t->begun = true;
    }
    t->sink->row(t->v, r);
    return deliver_row(t->v, r) || ferror(stdout);
}

ph_status atlas_run(struct subject *s, struct common *c, const ph_survey_options *o,
                    const char *path, ph_error *err)
{
    const ph_model_info *info = ph_model_get_info(s->model);
    struct atlas v = {.s = s, .c = c, .o = o};
    struct taking t = {&v, path ? sink_of(path) : &sinks[c->json ? JSONL : TABLE], {0}, false};
    ph_pass_cost cost = {0};
    const bool json = c->json;
    c->json = t.sink == &sinks[JSONL];
    keep_together(c);
    v.depth = o->depth ? o->depth : info->blocks;
    v.k = o->top < info->vocab ? o->top : info->vocab;
    if (path && !output_begin(path)) return output_error(err, path, strerror(errno));
    ph_status st = ph_survey(s->model, o, on_result, &t, &cost, err);
    if (t.err.code != PH_OK) *err = t.err, st = t.err.code;
    if (st == PH_OK) t.sink->end(&v);
    c->json = json;
    if (v.problem) st = output_error(err, path, v.problem);
    if (path && !output_end(st == PH_OK)) st = output_error(err, path, strerror(errno));
    if (st == PH_OK) print_pass(c, &cost);
    arrays_free(&v.block);
    arrays_free(&v.neuron);
    free(v.problem);
    return st;
}
