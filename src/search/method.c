/* method.c — the table of methods, and those that descend on an embedding. */
#include "search/method.h"

#include "base/clock.h"

#include <string.h>

static ph_status fill_start(float *e, const ph_task *t, int64_t restart, ph_error *err)
{
    if (t->text.n) return ph_model_embed(t->job->model, e, t->text.ids, t->text.n, err);
    return ph__start_fill(e, t->job, t->o->start, t->descent.T, restart, err);
}

/* Every feature starts from the same noise: a start depends on seed and restart only. */
static ph_status start(ph_row *rows, int64_t n, const ph_task *t, ph_error *err)
{
    const size_t size = (size_t)(t->descent.T * t->job->model->arch.C) * sizeof *rows->e;
    for (int64_t i = 0; i < n; i++) {
        int64_t same = 0;
        while (rows[same].restart != rows[i].restart) same++;
        if (same < i)
            memcpy(rows[i].e, rows[same].e, size);
        else
            PH_TRY(fill_start(rows[i].e, t, rows[i].restart, err));
    }
    return PH_OK;
}

void ph__method_charge(ph_task *t, int64_t n, double began)
{
    t->cost.descent_seconds += ph__now() - began;
    t->cost.descent_flops += (double)t->descent.steps * 2 * ph_session_flops(t->session, n);
}

/* From their starts, so many rows at once. */
static ph_status in_parts(ph_row *rows, int64_t n, ph_task *t, int64_t size,
                          ph_status (*run)(ph_row *, int64_t, ph_task *, ph_error *), ph_error *err)
{
    PH_TRY(start(rows, n, t, err));
    for (int64_t at = 0; at < n; at += size)
        PH_TRY(run(rows + at, n - at < size ? n - at : size, t, err));
    return PH_OK;
}

static ph_status descend(ph_row *rows, int64_t n, ph_task *t, ph_error *err)
{
    return ph__descend(rows, n, &t->descent, t->session, t->job, &t->cost.descent_seconds,
                       &t->cost.descent_flops, &t->first, err);
}

static ph_status descent(ph_row *rows, int64_t n, ph_task *t, ph_error *err)
{
    return in_parts(rows, n, t, t->session_rows, descend, err);
}

static ph_status softmax(ph_row *rows, int64_t n, ph_task *t, ph_error *err)
{
    t->descent.softmax = true;
    return descent(rows, n, t, err);
}

static ph_status pez(ph_row *rows, int64_t n, ph_task *t, ph_error *err)
{
    return in_parts(rows, n, t, t->session_rows, ph__pez, err);
}

/* Distributions over the vocabulary are large: so many positions at once. */
enum { GUMBEL_POSITIONS = 64 };

static ph_status gumbel(ph_row *rows, int64_t n, ph_task *t, ph_error *err)
{
    const int64_t few = GUMBEL_POSITIONS / t->descent.T;
    const int64_t size = few < t->session_rows ? few : t->session_rows;
    return in_parts(rows, n, t, size < 1 ? 1 : size, ph__gumbel, err);
}

#define PAGE                                                                                       \
    {                                                                                              \
        .steps = 100, .restarts = 8, .eta_first = 1, .eta_last = 0.1, .optimizer = "gd",           \
        .start = "half"                                                                            \
    }
#define TOKENS                                                                                     \
    {                                                                                              \
        .steps = 100, .restarts = 1, .eta_first = 1, .eta_last = 0.1, .optimizer = "gd",           \
        .start = "half"                                                                            \
    }
#define EPO                                                                                        \
    {                                                                                              \
        .steps = 1000000, .restarts = 1, .eta_first = 1, .eta_last = 0.1, .optimizer = "gd",       \
        .start = "half", .top_k = 512                                                              \
    }
#define BEAST                                                                                      \
    {                                                                                              \
        .steps = 100, .restarts = 1, .eta_first = 1, .eta_last = 0.1, .optimizer = "gd",           \
        .start = "half", .width = 15                                                               \
    }
#define PEZ                                                                                        \
    {                                                                                              \
        .steps = 100, .restarts = 8, .eta_first = 0.1, .eta_last = 0.1, .optimizer = "adamw",      \
        .start = "tokens"                                                                          \
    }
#define GBDA                                                                                       \
    {                                                                                              \
        .steps = 100, .restarts = 8, .eta_first = 0.3, .eta_last = 0.3, .optimizer = "adam",       \
        .start = "tokens"                                                                          \
    }
static const ph_method methods[] = {
    {.name = "descent", .descends = true, .usual = PAGE, .run = descent},
    {.name = "softmax", .descends = true, .names = true, .usual = PAGE, .run = softmax},
    {.name = "pez", .descends = true, .names = true, .usual = PEZ, .run = pez},
    {.name = "gumbel", .descends = true, .names = true, .usual = GBDA, .run = gumbel},
    {.name = "greedy", .names = true, .complete = true, .usual = TOKENS, .run = ph__greedy},
    {.name = "swap",
     .names = true,
     .complete = true,
     .hunts = true,
     .usual = TOKENS,
     .run = ph__swap},
    {.name = "epo",
     .names = true,
     .complete = true,
     .hunts = true,
     .answers = true,
     .fluent = true,
     .usual = EPO,
     .run = ph__epo},
    {.name = "beam",
     .names = true,
     .complete = true,
     .hunts = true,
     .answers = true,
     .fluent = true,
     .usual = BEAST,
     .run = ph__beam},
    {.name = "auto",
     .names = true,
     .complete = true,
     .hunts = true,
     .answers = true,
     .usual = TOKENS,
     .run = ph__auto}};
#undef GBDA
#undef PEZ
#undef BEAST
#undef EPO
#undef TOKENS
#undef PAGE
enum { METHODS = sizeof methods / sizeof *methods };

const char *ph_method_name(size_t i)
{
    return i < METHODS ? methods[i].name : NULL;
}

bool ph_method_budget(const char *name)
{
    const ph_method *m = ph__method_find(name);
    return m && m->hunts;
}

bool ph_method_fluent(const char *name)
{
    const ph_method *m = ph__method_find(name);
    return m && m->fluent;
}

const ph_method *ph__method_find(const char *name)
{
    for (size_t i = 0; i < METHODS; i++)
        if (strcmp(methods[i].name, name) == 0) return &methods[i];
    return NULL;
}

bool ph_method_steps(const char *name)
{
    const ph_method *m = ph__method_find(name);
    return m && m->descends;
}

void ph_dream_defaults(ph_dream_options *o)
{
    const ph_method *m = ph__method_find(o->method);
    if (!m) m = &methods[0];
    if (o->steps == 0) o->steps = m->usual.steps;
    if (o->eta_first == 0 && o->eta_last == 0) {
        o->eta_first = m->usual.eta_first;
        o->eta_last = m->usual.eta_last;
        o->eta_first_rms = o->eta_last_rms = m->usual.rms;
    }
    if (!o->optimizer) o->optimizer = m->usual.optimizer;
    if (!o->start) o->start = m->usual.start;
    if (o->top == 0) o->top = m->hunts ? 3 : 1;
    if (o->top_k == 0) o->top_k = m->usual.top_k ? m->usual.top_k : 256;
    if (o->width == 0) o->width = m->usual.width ? m->usual.width : 512;
    if (o->restarts && (m->descends || m->hunts)) return;
    o->restarts = m->descends && ph__text_start(o->start) ? 1 : m->usual.restarts;
}

bool ph__text_start(const char *start)
{
    return strncmp(start, "text:", 5) == 0;
}

size_t ph__method_points(const ph_method *m, const ph_descent *d)
{
    if (m->hunts) return 0;
    return m->descends ? (size_t)d->steps + 1 : (size_t)d->T;
}
