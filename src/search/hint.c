/* hint.c — which tokens a text's gradient suggests in place of its own. */
#include "search/hint.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { TILE = 64 }; /* vectors ranked at once */

struct ph_hints {
    const ph_job *job;
    ph_lexicon *lexicon;
    ph_session *session;
    int64_t rows, longest, W, C;
    int32_t *ids;   /* (longest) */
    float *E, *dE;  /* (rows,longest,C) */
    double *X, *dX; /* (rows,longest,W) */
    float *scores;  /* (TILE,V) */
    ph_near *best;  /* (n_allowed) */
};

ph_status ph__hints_open(ph_hints **out, const ph_job *job, ph_lexicon *lexicon,
                         const ph_feature *at, int64_t rows, int64_t longest, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_hints *s = NULL;
    ph_status st = PH_OK;

    PH_GO(PH_NEW(&s, 1, err));
    *s = (ph_hints){
        .job = job, .lexicon = lexicon, .rows = rows, .longest = longest, .C = job->model->arch.C};
    ph__session_at(&o, at);
    o.rows = rows;
    o.tokens = longest;
    o.context = job->context;
    o.n_context = job->n_context;
    o.gradient = true;
    PH_GO(ph__session_open_team(&s->session, job->model, &o, err));
    s->W = ph__session_width(s->session);
    const size_t n = (size_t)(rows * longest);
    PH_GO(PH_NEW(&s->ids, (size_t)longest, err));
    PH_GO(PH_NEW(&s->E, n * (size_t)s->C, err));
    PH_GO(PH_NEW(&s->dE, n * (size_t)s->C, err));
    PH_GO(PH_NEW(&s->X, n * (size_t)s->W, err));
    PH_GO(PH_NEW(&s->dX, n * (size_t)s->W, err));
    PH_GO(PH_NEW(&s->scores, (size_t)(TILE * ph__lexicon_vocab(lexicon)), err));
    PH_GO(PH_NEW(&s->best, job->n_allowed, err));
    *out = s;
    s = NULL;
done:
    ph__hints_close(&s);
    return st;
}

void ph__hints_close(ph_hints **hints)
{
    ph_hints *s = *hints;
    if (!s) return;
    ph_session_close(&s->session);
    ph__free(s->ids);
    ph__free(s->E);
    ph__free(s->dE);
    ph__free(s->X);
    ph__free(s->dX);
    ph__free(s->scores);
    ph__free(s->best);
    ph__free(s);
    *hints = NULL;
}

/* A causal model does not see what follows: shorter texts are padded with their own first token. */
static ph_status embed(ph_hints *s, const ph_hint_text *text, int64_t row, ph_error *err)
{
    for (int64_t t = 0; t < s->longest; t++) s->ids[t] = text->ids[t < text->n ? t : 0];
    return ph_model_embed(s->job->model, s->E + row * s->longest * s->C, s->ids, (size_t)s->longest,
                          err);
}

static void seed(ph_hints *s, const ph_hint_text *text, int64_t row)
{
    const int64_t at = row * s->longest * s->W;
    ph_region r;

    memset(s->dX + at, 0, (size_t)(s->longest * s->W) * sizeof *s->dX);
    if (ph__job_region(&r, s->job, text->feature, text->n, NULL) != PH_OK) return;
    ph__objective(s->dX + at, -1, 0, &r, s->X + at, text->n, s->W);
    for (int64_t i = at; r.sign < 0 && i < at + text->n * s->W; i++) s->dX[i] = -s->dX[i];
}

ph_status ph__hints_run(ph_hints *s, const ph_hint_text *texts, int64_t n, ph_error *err)
{
    const int64_t size = s->longest * s->C;
    for (int64_t at = 0; at < n; at += s->rows) {
        const int64_t B = n - at < s->rows ? n - at : s->rows;
        for (int64_t i = 0; i < B; i++) PH_TRY(embed(s, &texts[at + i], i, err));
        ph__session_write(s->session, s->E, B);
        PH_TRY(ph__session_run(s->session, err));
        ph__session_read64(s->session, s->X);
        for (int64_t i = 0; i < B; i++) seed(s, &texts[at + i], i);
        PH_TRY(ph__session_back64(s->session, s->dX, err));
        ph__session_gradient(s->session, s->dE);
        for (int64_t i = 0; i < B; i++)
            memcpy(texts[at + i].gradient, s->dE + i * size,
                   (size_t)(texts[at + i].n * s->C) * sizeof *s->dE);
    }
    return PH_OK;
}

/* ---- ranking ---- */

static bool before(const ph_near *a, const ph_near *b)
{
    return a->value != b->value ? a->value > b->value : a->id < b->id;
}

static int compare(const void *a, const void *b)
{
    return before(b, a) - before(a, b);
}

/* Reorder so that the k first of n stand in front, in no order (Hoare's selection). */
static void select_first(ph_near *x, int64_t n, int64_t k)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        const ph_near pivot = x[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (before(&x[i], &pivot)) i++;
            while (before(&pivot, &x[j])) j--;
            if (i > j) break;
            const ph_near swap = x[i];
            x[i++] = x[j];
            x[j--] = swap;
        }
        if (k - 1 <= j)
            high = j;
        else if (k - 1 >= i)
            low = i;
        else
            return;
    }
}

/* The k best of a position's scores (V). */
static void best_of(ph_hints *s, int32_t *top, int64_t k, const float *scores, const float *more,
                    double weight)
{
    const ph_job *job = s->job;
    const int64_t count = (int64_t)job->n_allowed;

    for (int64_t c = 0; c < count; c++) {
        const int32_t id = job->allowed[c];
        s->best[c] = (ph_near){id, (double)scores[id] + (more ? weight * (double)more[id] : 0)};
    }
    select_first(s->best, count, k);
    qsort(s->best, (size_t)k, sizeof *s->best, compare);
    for (int64_t c = 0; c < k; c++) top[c] = s->best[c].id;
}

ph_status ph__hints_top_more(ph_hints *s, int32_t *top, int64_t k, const float *x,
                             const float *more, double weight, int64_t n, ph_error *err)
{
    const int64_t V = ph__lexicon_vocab(s->lexicon);

    for (int64_t i = 0; i < n; i++) {
        const int64_t left = n - i;
        if (i % TILE == 0)
            PH_TRY(ph__lexicon_scores(s->lexicon, s->scores, x + i * s->C,
                                      left < TILE ? left : TILE, err));
        best_of(s, top + i * k, k, s->scores + i % TILE * V, more ? more + i * V : NULL, weight);
    }
    return PH_OK;
}

ph_status ph__hints_top(ph_hints *s, int32_t *top, int64_t k, const float *x, int64_t n,
                        ph_error *err)
{
    return ph__hints_top_more(s, top, k, x, NULL, 0, n, err);
}
