/* columns.c — a block's down-projection for some columns of its output. */
#include "model/columns.h"

#include "base/mem.h"

#include <string.h>

bool ph__columns_apply(const ph_model *m, const ph_block_weights *w)
{
    return !m->streamed && !w->down_b && !w->post_ffn;
}

static ph_status pack(ph_columns *c, const float *w, int64_t F, const ph_model *m,
                      ph_stream *stream, int64_t rows, bool gradient, ph_error *err)
{
    ph_backend *be = m->backend;
    PH_TRY(be->matrix_new(&c->down, w, c->n, F, true, be, err));
    PH_TRY(be->stream_prepare(stream, c->down, rows, err));
    if (!gradient) return PH_OK;
    PH_TRY(be->matrix_new(&c->down_t, w, c->n, F, false, be, err));
    return be->stream_prepare(stream, c->down_t, rows, err);
}

ph_status ph__columns_open(ph_columns *out, const ph_model *m, int64_t block, const int64_t *at,
                           int64_t n, ph_stream *stream, int64_t rows, bool gradient, ph_error *err)
{
    const int64_t F = m->arch.F;
    float *w = NULL;
    ph_status st = PH_OK;

    *out = (ph_columns){.n = n};
    PH_GO(PH_NEW(&out->at, (size_t)n, err));
    memcpy(out->at, at, (size_t)n * sizeof *at);
    PH_GO(PH_NEW_ALIGNED(&w, (size_t)(n * F), err));
    for (int64_t i = 0; i < n; i++)
        ph__model_row(w + i * F, m, m->slots.block[block - 1].down, at[i]);
    PH_GO(pack(out, w, F, m, stream, rows, gradient, err));
done:
    ph__free(w);
    if (st != PH_OK) ph__columns_close(out, m);
    return st;
}

void ph__columns_close(ph_columns *c, const ph_model *m)
{
    m->backend->matrix_close(&c->down, m->backend);
    m->backend->matrix_close(&c->down_t, m->backend);
    ph__free(c->at);
    *c = (ph_columns){0};
}

double ph__columns_saved(const ph_columns *c, const ph_arch *a)
{
    return c->n ? (double)a->F * (double)(a->C - c->n) : 0;
}
