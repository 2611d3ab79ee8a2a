/* team.c — a session whose rows are divided among threads, each with a session of its own. */
#include "model/team.h"

#include "base/mem.h"
#include "model/session.h"

/* Each thread reads all weights: with fewer tokens than that they had better share the products. */
enum { LEAST_TOKENS = 64 };

/* The arrays of all rows, of which each member takes its own. */
struct call {
    const float *E;
    double *X;
    const double *dX;
    float *dE;
};

typedef void (*member_fn)(const ph_team *t, ph_member *m, const struct call *c);

static int64_t members_for(int64_t tokens, int threads)
{
    const int64_t most = tokens / LEAST_TOKENS;
    return most < threads ? most : threads;
}

ph_status ph__team_open(ph_team *out, const ph_model *model, const ph_session_options *options,
                        ph_error *err)
{
    const int threads = options->threads ? options->threads : model->backend->threads;
    const int64_t n = members_for(options->rows * options->tokens, threads);
    ph_session_options o = *options;

    /* and where weights are read from the file, once for all had better be enough */
    if (n < 2 || options->rows < n || model->streamed) return PH_OK;
    o.threads = 1;
    o.rows = (options->rows + n - 1) / n;
    PH_TRY(PH_NEW(&out->members, (size_t)n, err));
    for (out->n = 0; out->n < n; out->n++)
        PH_TRY(ph_session_open(&out->members[out->n].session, model, &o, err));
    out->rows = o.rows;
    out->T = o.tokens;
    out->C = model->arch.C;
    out->W = ph__session_width(out->members[0].session);
    return PH_OK;
}

void ph__team_close(ph_team *t)
{
    for (int i = 0; i < t->n; i++) ph_session_close(&t->members[i].session);
    ph__free(t->members);
    *t = (ph_team){0};
}

/* Few rows go to few members. */
static void divide(ph_team *t, int64_t B)
{
    const int64_t least = (B + t->rows - 1) / t->rows, wanted = members_for(B * t->T, t->n);
    const int64_t n = wanted < least ? least : wanted;
    int64_t first = 0;
    for (int i = 0; i < t->n; i++) {
        t->members[i].first = first;
        t->members[i].B = i < n ? B / n + (i < B % n) : 0;
        first += t->members[i].B;
    }
}

/* The first member's error, if any has one. */
static ph_status outcome(const ph_team *t, ph_error *err)
{
    for (int i = 0; i < t->n; i++) {
        const ph_member *m = &t->members[i];
        if (!m->B || m->status == PH_OK) continue;
        if (err) *err = m->err;
        return m->status;
    }
    return PH_OK;
}

/* For every member that has rows, on a thread of its own. */
static void each(const ph_team *t, member_fn work, const struct call *c)
{
#pragma omp parallel for num_threads(t->n) schedule(static)
    for (int i = 0; i < t->n; i++)
        if (t->members[i].B) work(t, &t->members[i], c);
}

static void write(const ph_team *t, ph_member *m, const struct call *c)
{
    ph__session_write(m->session, c->E + m->first * t->T * t->C, m->B);
}

static void run(const ph_team *t, ph_member *m, const struct call *c)
{
    (void)t, (void)c;
    m->status = ph__session_run(m->session, &m->err);
}

static void read(const ph_team *t, ph_member *m, const struct call *c)
{
    ph__session_read64(m->session, c->X + m->first * t->T * t->W);
}

static void back(const ph_team *t, ph_member *m, const struct call *c)
{
    m->status = ph__session_back64(m->session, c->dX + m->first * t->T * t->W, &m->err);
}

static void gradient(const ph_team *t, ph_member *m, const struct call *c)
{
    ph__session_gradient(m->session, c->dE + m->first * t->T * t->C);
}

ph_status ph__team_columns(const ph_team *t, const int64_t *columns, int64_t n, ph_error *err)
{
    for (int i = 0; i < t->n; i++)
        PH_TRY(ph__session_columns(t->members[i].session, columns, n, err));
    return PH_OK;
}

void ph__team_write(ph_team *t, const float *E, int64_t B)
{
    divide(t, B);
    each(t, write, &(struct call){.E = E});
}

ph_status ph__team_run(const ph_team *t, ph_error *err)
{
    each(t, run, &(struct call){0});
    return outcome(t, err);
}

void ph__team_read64(const ph_team *t, double *X)
{
    each(t, read, &(struct call){.X = X});
}

ph_status ph__team_back64(const ph_team *t, const double *dX, ph_error *err)
{
    each(t, back, &(struct call){.dX = dX});
    return outcome(t, err);
}

void ph__team_gradient(const ph_team *t, float *dE)
{
    each(t, gradient, &(struct call){.dE = dE});
}
