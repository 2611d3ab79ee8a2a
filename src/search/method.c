/* method.c — the table of methods, and those that descend on an embedding. */
#include "search/method.h"

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

static ph_status descent(ph_row *rows, int64_t n, ph_task *t, ph_error *err)
{
    PH_TRY(start(rows, n, t, err));
    for (int64_t i = 0; i < n; i++) rows[i].forwards = t->descent.T * (3 * t->descent.steps + 1);
    for (int64_t at = 0; at < n; at += t->session_rows) {
        const int64_t part = n - at < t->session_rows ? n - at : t->session_rows;
        PH_TRY(ph__descend(rows + at, part, &t->descent, t->session, t->job,
                           &t->cost.descent_seconds, &t->cost.descent_flops, &t->first, err));
    }
    return PH_OK;
}

static ph_status softmax(ph_row *rows, int64_t n, ph_task *t, ph_error *err)
{
    t->descent.softmax = true;
    return descent(rows, n, t, err);
}

static const ph_method methods[] = {
    {.name = "descent", .descends = true, .restarts = 8, .run = descent},
    {.name = "softmax", .descends = true, .names = true, .restarts = 8, .run = softmax},
    {.name = "auto", .names = true, .complete = true, .hunts = true, .run = ph__auto},
    {.name = "swap",
     .names = true,
     .complete = true,
     .hunts = true,
     .restarts = 1,
     .run = ph__swap},
    {.name = "greedy", .names = true, .complete = true, .restarts = 1, .run = ph__greedy}};
enum { METHODS = sizeof methods / sizeof *methods };

const char *ph_method_name(size_t i)
{
    return i < METHODS ? methods[i].name : NULL;
}

const ph_method *ph__method_find(const char *name)
{
    for (size_t i = 0; i < METHODS; i++)
        if (strcmp(methods[i].name, name) == 0) return &methods[i];
    return NULL;
}

size_t ph__method_points(const ph_method *m, const ph_descent *d)
{
    return m->descends ? (size_t)d->steps + 1 : (size_t)d->T;
}
