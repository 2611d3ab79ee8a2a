/* units.c — a plan as units of work: features of one tap, searched one way.
 *
 * Every process makes the same list of the same plan, so that a unit is known by its number.
 */
#include "units.h"

#include "emit.h"
#include "output.h"

#include <stdlib.h>
#include <string.h>

/* An open model of the plan, and a line of features of it. */
struct making {
    struct units *u;
    const struct plan *p;
    ph_model *model;
    ph_features *features;
    int32_t *context;
    size_t n_context;
};

void job_dreams(struct dreaming *out, const struct plan *p, const struct job *j)
{
    *out = p->dreaming;
    out->o.method = j->method;
    out->o.run = p->common.run;
    out->o.run.seed = j->seed;
    ph_dream_defaults(&out->o);
}

/* ---- lines ---- */

/* The size of units belongs to the settings: features of one unit may see each other's answers. */
static json_t *settings(const struct plan *p, const struct job *j)
{
    struct dreaming d;
    json_t *s;

    if (j->scans) {
        s = common_settings(&p->common);
        json_object_set_new(s, "method", json_string("scan"));
        json_object_set_new(s, "top", json_integer((json_int_t)p->list));
        return s;
    }
    job_dreams(&d, p, j);
    s = dream_settings(&d.o, &p->common, &d.allow);
    json_object_set_new(s, "unit", json_integer((json_int_t)p->unit));
    return s;
}

static ph_status make_lines(struct job *j, const struct making *m, ph_error *err)
{
    json_t *run = NULL, *sweep;
    struct common c = m->p->common;
    ph_status st;

    c.run.seed = j->seed;
    c.command = "sweep";
    const struct run_of of = {m->model, m->features, m->context, m->n_context, j->features->specs};
    st = run_line(&run, j->run, &c, &of, settings(m->p, j), err);
    if (st != PH_OK) return st;
    sweep = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:f}", "type", "sweep", "run", j->run,
                      "method", j->method, "seed", (json_int_t)j->seed, "features",
                      (json_int_t)j->n_features, "units", (json_int_t)j->n_units, "cost", j->cost);
    j->run_line = json_dumps(run, JSON_COMPACT | JSON_REAL_PRECISION(9));
    j->sweep_line = json_dumps(sweep, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(run);
    json_decref(sweep);
    return j->run_line && j->sweep_line ? PH_OK : no_memory(err);
}

/* ---- units ---- */

static bool same_tap(ph_tap a, ph_tap b)
{
    return a.place == b.place && a.only == b.only && a.block == b.block;
}

static bool same_taps(const ph_feature *a, const ph_feature *b)
{
    if (!same_tap(a->tap, b->tap) || a->n_taps != b->n_taps) return false;
    for (size_t i = 0; i < a->n_taps; i++)
        if (!same_tap(a->taps[i], b->taps[i])) return false;
    return true;
}

/* Blocks that a token goes through. */
static int64_t depth_of(const ph_feature *f, const ph_model *model)
{
    if (f->tap.only || f->tap.place == PH_PLACE_EMBED) return 1;
    return f->tap.block ? f->tap.block : ph_model_get_info(model)->blocks;
}

static char *join_texts(const ph_features *features, size_t first, size_t n)
{
    char *out = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&out, &size);
    if (!f) return NULL;
    for (size_t i = 0; i < n; i++)
        fprintf(f, "%s%s", i ? ", " : "", ph_features_at(features, first + i)->text);
    if (fclose(f) == 0) return out;
    free(out);
    return NULL;
}

/* How many features from `first` on make a unit: those of one tap, of a scan all of them. */
static size_t extent(const struct making *m, const struct job *j, size_t first)
{
    const size_t most = j->scans ? SIZE_MAX : (size_t)m->p->unit;
    const ph_feature *f = ph_features_at(m->features, first), *next;
    size_t n = 1;
    while (n < most && (next = ph_features_at(m->features, first + n)) && same_taps(f, next)) n++;
    return n;
}

static ph_status add_unit(struct making *m, struct job *j, size_t first, size_t n, ph_error *err)
{
    struct units *u = m->u;
    struct unit *grown = realloc(u->at, (u->n + 1) * sizeof *grown);
    if (!grown) return no_memory(err);
    u->at = grown;
    struct unit *unit = &u->at[u->n];
    *unit = (struct unit){.job = (int)(j - u->jobs), .first = first, .n = (int64_t)n};
    snprintf(unit->label, sizeof unit->label, "%zu-%zu", first, first + n - 1);
    unit->cost =
        (double)depth_of(ph_features_at(m->features, first), m->model) * (j->scans ? 1 : (double)n);
    if (!(unit->specs = join_texts(m->features, first, n))) return no_memory(err);
    u->n++;
    j->n_units++;
    j->cost += unit->cost;
    return PH_OK;
}

static ph_status add_job(struct making *m, struct job job, ph_error *err)
{
    struct units *u = m->u;
    struct job *grown = realloc(u->jobs, (size_t)(u->n_jobs + 1) * sizeof *grown);
    ph_status st = PH_OK;
    size_t n;

    if (!grown) return no_memory(err);
    u->jobs = grown;
    struct job *j = &u->jobs[u->n_jobs++];
    *j = job;
    j->n_features = (int64_t)ph_features_count(m->features);
    j->first_unit = u->n;
    for (size_t at = 0; at < (size_t)j->n_features && st == PH_OK; at += n) {
        n = extent(m, j, at);
        st = add_unit(m, j, at, n, err);
    }
    return st == PH_OK ? make_lines(j, m, err) : st;
}

/* What a search refuses is said before the first unit, not by it. */
static ph_status check(const struct making *m, const struct job *j, ph_error *err)
{
    struct dreaming d;
    job_dreams(&d, m->p, j);
    return ph_dream_check(m->model, m->features, &d.o, err);
}

static ph_status add_methods(struct making *m, struct job job, ph_error *err)
{
    ph_status st = PH_OK;
    for (int k = 0; k < m->p->n_methods && st == PH_OK; k++) {
        job.method = m->p->methods[k];
        job.scans = strcmp(job.method, "scan") == 0;
        if (!job.scans) st = check(m, &job, err);
        const int seeds = job.scans ? 1 : m->p->n_seeds; /* a scan draws nothing */
        for (int s = 0; s < seeds && st == PH_OK; s++) {
            job.seed = job.scans ? 0 : m->p->seeds[s];
            st = add_job(m, job, err);
        }
    }
    return st;
}

static ph_status open_features(struct making *m, const struct plan_features *f, const char **source,
                               ph_error *err)
{
    ph_run_options run;
    ph_status st = ph_features_parse(&m->features, ph_model_get_info(m->model), f->specs, err);

    if (st != PH_OK) *source = f->specs;
    if (st != PH_OK && f->line) {
        const ph_error why = *err;
        const char *slash = strrchr(m->p->path, '/');
        snprintf(err->msg, sizeof err->msg, "%.60s:%d: %.150s", slash ? slash + 1 : m->p->path,
                 f->line, why.msg);
    }
    if (st == PH_OK) st = ph_features_run(&run, m->features, &m->p->common.run, err);
    return st == PH_OK ? ph_context(&m->context, &m->n_context, m->model, &run, err) : st;
}

static void close_features(struct making *m)
{
    ph_features_close(&m->features);
    ph_free(m->context);
    m->context = NULL;
}

/* ---- the list ---- */

/* FNV-1a */
static uint64_t add_digest(uint64_t digest, const char *text)
{
    for (; *text; text++) digest = (digest ^ (unsigned char)*text) * 0x100000001b3;
    return digest;
}

static uint64_t digest_of(const struct units *u)
{
    uint64_t digest = 0xcbf29ce484222325;
    for (size_t i = 0; i < u->n; i++) {
        digest = add_digest(digest, u->jobs[u->at[i].job].run);
        digest = add_digest(digest, u->at[i].label);
    }
    return digest;
}

ph_status units_make(struct units *out, const struct plan *p, const char **source, ph_error *err)
{
    struct making m = {.u = out, .p = p};
    ph_status st = PH_OK;

    *source = NULL;
    for (int i = 0; i < p->common.n_models && st == PH_OK; i++) {
        const struct model_choice *choice = &p->common.models[i];
        st = ph_model_open(&m.model, choice->path, &choice->options, err);
        for (int k = 0; k < p->n_features && st == PH_OK; k++) {
            st = open_features(&m, &p->features[k], source, err);
            if (st == PH_OK)
                st = add_methods(&m, (struct job){.model = i, .features = &p->features[k]}, err);
            close_features(&m);
        }
        ph_model_close(&m.model);
    }
    out->digest = digest_of(out);
    return st;
}

void units_free(struct units *u)
{
    for (int i = 0; i < u->n_jobs; i++) {
        free(u->jobs[i].run_line);
        free(u->jobs[i].sweep_line);
    }
    for (size_t i = 0; i < u->n; i++) free(u->at[i].specs);
    free(u->jobs);
    free(u->at);
    *u = (struct units){0};
}

long long unit_find(const struct units *u, int job, const char *label)
{
    const struct job *j = &u->jobs[job];
    const size_t first = (size_t)strtoull(label, NULL, 10);
    size_t low = j->first_unit, high = low + j->n_units;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (u->at[middle].first < first)
            low = middle + 1;
        else
            high = middle;
    }
    const bool there = low < j->first_unit + j->n_units && strcmp(u->at[low].label, label) == 0;
    return there ? (long long)low : -1;
}

char *unit_name(const struct units *u, size_t i)
{
    char *name = NULL;
    return asprintf(&name, "%s/%s", u->jobs[u->at[i].job].run, u->at[i].label) < 0 ? NULL : name;
}
