/* leads.c — short descents whose tokens a search among tokens begins from. */
#include "search/leads.h"

#include "base/mem.h"

enum { BATCH_TOKENS = 320 }; /* rows × tokens at once, as in dream.c */

static ph_status open_session(ph_task *t, const ph_feature *f, int64_t n, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    const int64_t most = BATCH_TOKENS / t->longest;

    t->session = NULL;
    t->session_rows = n < most ? n : most < 1 ? 1 : most;
    ph__session_at(&o, f);
    o.rows = t->session_rows;
    o.tokens = t->longest;
    o.context = t->job->context;
    o.n_context = t->job->n_context;
    o.gradient = true;
    return ph__session_open_team(&t->session, t->job->model, &o, err);
}

static ph_status set_rows(ph_row *rows, int32_t *ids, float *e, double *curves, const ph_task *t,
                          const ph_hunt *h, const int64_t *quarries, int64_t n, int64_t each,
                          ph_error *err)
{
    const int64_t T = t->longest, size = T * t->job->model->arch.C;
    for (int64_t i = 0; i < n * each; i++) {
        ph_row *r = &rows[i];
        *r = (ph_row){.feature = h->features[quarries[i / each]], .restart = i % each};
        r->ids = ids + i * T;
        r->e = e + i * size;
        r->curve = curves + i * (t->descent.steps + 1);
        PH_TRY(ph__job_region(&r->region, t->job, r->feature, T, err));
        PH_TRY(ph__start_fill(r->e, t->job, "tokens", T, r->restart, err));
    }
    return PH_OK;
}

ph_status ph__leads(int32_t *ids, ph_hunt *h, const int64_t *quarries, int64_t count, int64_t each,
                    int64_t steps, ph_error *err)
{
    ph_task t = *h->task;
    ph_job quiet = *t.job;
    const int64_t n = count * each;
    ph_row *rows = NULL;
    float *e = NULL;
    double *curves = NULL;
    ph_status st = PH_OK;

    quiet.run.progress = NULL; /* the hunt reports … */
    quiet.glimpse = NULL;      /* … and shows texts */
    t.job = &quiet;
    t.descent = (ph_descent){.T = t.longest,
                             .steps = steps,
                             .eta_first = 0.1,
                             .eta_last = 0.1,
                             .objective = ph__objective_find("linear"),
                             .optimizer = ph__optimizer_find("adamw"),
                             .lexicon = t.lexicon};
    PH_GO(PH_NEW(&rows, (size_t)n, err));
    PH_GO(PH_NEW(&e, (size_t)(n * t.longest * t.job->model->arch.C), err));
    PH_GO(PH_NEW(&curves, (size_t)(n * (steps + 1)), err));
    PH_GO(open_session(&t, h->features[0], n, err));
    PH_GO(set_rows(rows, ids, e, curves, &t, h, quarries, count, each, err));
    for (int64_t at = 0; at < n; at += t.session_rows)
        PH_GO(ph__pez(rows + at, n - at < t.session_rows ? n - at : t.session_rows, &t, err));
    for (int64_t i = 0; i < n; i++) ph__hunt_charge(h, quarries[i / each], rows[i].forwards);
done:
    ph_session_close(&t.session);
    ph__free(curves);
    ph__free(e);
    ph__free(rows);
    return st;
}
