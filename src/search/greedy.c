/* greedy.c — append the token that raises the activation at the last position most. */
#include "base/mem.h"
#include "search/method.h"

#include <math.h>
#include <string.h>

/* Rows with one beginning, while every token is tried behind it. */
struct pass {
    const ph_job *job;
    ph_row **rows;
    int64_t n;
    ph_near *best; /* n */
};

static void visit(int64_t i, const double *X, int64_t W, void *payload)
{
    struct pass *p = payload;
    for (int64_t k = 0; k < p->n; k++) {
        const ph_region here = ph__region_single(&p->rows[k]->region);
        const double v = ph__measure(&here, NULL, X, 1, W).activation;
        if (here.sign * v > here.sign * p->best[k].value)
            p->best[k] = (ph_near){p->job->allowed[i], v};
    }
}

/* Try every token behind the first `length` tokens of the pass's rows, keep each row's best. */
static ph_status append(struct pass *p, const ph_task *t, size_t length, ph_error *err)
{
    for (int64_t k = 0; k < p->n; k++)
        p->best[k] = (ph_near){p->job->allowed[0], -p->rows[k]->region.sign * (double)INFINITY};
    PH_TRY(ph__scorer_next(t->scorer, p->rows[0]->feature, p->rows[0]->ids, length, p->job->allowed,
                           (int64_t)p->job->n_allowed, "greedy", visit, p, err));
    for (int64_t k = 0; k < p->n; k++) {
        p->rows[k]->ids[length] = p->best[k].id;
        p->rows[k]->curve[length] = p->best[k].value;
        p->rows[k]->forwards += (int64_t)p->job->n_allowed;
        p->rows[k]->naive += (int64_t)(p->job->n_allowed * (length + 1));
    }
    return PH_OK;
}

/* Rows from `first` on that begin with the same `length` tokens and have not been extended. */
static void gather(struct pass *p, ph_row *rows, int64_t first, int64_t n, size_t length,
                   bool *done)
{
    p->n = 0;
    for (int64_t i = first; i < n; i++) {
        if (done[i] || memcmp(rows[i].ids, rows[first].ids, length * sizeof *rows[i].ids) != 0)
            continue;
        done[i] = true;
        p->rows[p->n++] = &rows[i];
    }
}

/* The first token is known from the complete search, unless that may name others. */
static ph_status begin(struct pass *p, ph_row *rows, int64_t n, const ph_task *t, ph_error *err)
{
    if (t->job->allowed != t->job->ordinary) {
        for (p->n = 0; p->n < n; p->n++) {
            p->rows[p->n] = &rows[p->n];
            rows[p->n].scan = 0;
        }
        return append(p, t, 0, err);
    }
    for (int64_t i = 0; i < n; i++) {
        const ph_near best = rows[i].region.sign < 0 ? t->tally[i].worst : t->tally[i].best;
        rows[i].ids[0] = best.id;
        rows[i].curve[0] = best.value;
    }
    return PH_OK;
}

ph_status ph__greedy(ph_row *rows, int64_t n, ph_task *task, ph_error *err)
{
    ph_status st = PH_OK;
    struct pass p = {.job = task->job};
    bool *done = NULL;

    PH_GO(PH_NEW(&p.rows, (size_t)n, err));
    PH_GO(PH_NEW(&p.best, (size_t)n, err));
    PH_GO(PH_NEW(&done, (size_t)n, err));
    PH_GO(begin(&p, rows, n, task, err));
    for (size_t length = 1; length < (size_t)task->descent.T; length++) {
        memset(done, 0, (size_t)n * sizeof *done);
        for (int64_t i = 0; i < n; i++) {
            if (done[i]) continue;
            gather(&p, rows, i, n, length, done);
            PH_GO(append(&p, task, length, err));
        }
    }
done:
    ph__free(done);
    ph__free(p.best);
    ph__free(p.rows);
    return st;
}
