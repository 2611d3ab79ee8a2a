/* estimate.c — what a descent will take in bytes and seconds.
 *
 * Bytes are counted as the parts allocate them; what libraries take beside that (oneDNN's kernels,
 * LAPACK's buffers for the pseudo-inverse) was measured. Seconds follow from floating-point operations
 * and bytes: products run at a share of the peak, and weights are read once a pass besides.
 */
#include "base/mem.h"
#include "model/session.h"

static const double MIB = 1024 * 1024;

/* The embedding matrix, its packed copy, and scores of VOCABULARY_ROWS embeddings at a time (lexicon.c);
 * the decodes' (decode.c) are touched as far as there are rows. */
enum { VOCABULARY_ROWS = 128 };

static double vocabulary_bytes(const ph_arch *a, int64_t rows)
{
    const double V = (double)a->V, C = (double)a->C;
    const double scored = (double)(rows < VOCABULARY_ROWS ? rows : VOCABULARY_ROWS);
    return 4 * V * (2 * C + VOCABULARY_ROWS + 2 * scored) + 4 * 4 * C * C;
}

/* The file's share of embedding and blocks; of streamed weights one block at a time. */
static double file_bytes(const ph_model *m, int64_t block)
{
    const ph_arch *a = &m->arch;
    const double bits = (double)m->info.file_bytes / (double)m->info.parameters;
    const double blocks = m->streamed ? 1 : (double)block;
    return bits * ((double)(a->V * a->C) + blocks * (double)m->info.block_parameters);
}

ph_status ph_estimate_descent(ph_estimate *out, const ph_model *model, int64_t block, int64_t rows,
                              int64_t tokens, int64_t steps, double peak_gflops, double peak_gbytes,
                              ph_error *err)
{
    const ph_arch *a = &model->arch;
    const double libraries = 190 * MIB, kernels = model->streamed ? 0.76 : 0.88, texts = 520;
    const double weights = (double)(model->info.block_parameters * block);
    const double flops = 2 * weights / (kernels * 1e9 * peak_gflops); /* seconds of a token */
    ph_session_options o = PH_SESSION_OPTIONS_INIT;

    o.tap = (ph_tap){PH_PLACE_BLOCK, false, block};
    o.rows = rows;
    o.tokens = tokens;
    o.gradient = true;
    PH_TRY(ph_session_bytes(&out->session, &out->weights, model, &o, err));
    out->vocabulary = (size_t)vocabulary_bytes(a, rows * tokens);
    out->file = (size_t)file_bytes(model, block);
    out->resident = out->session + out->weights + out->vocabulary + out->file + (size_t)libraries;

    const double read = 4 * weights / (1e9 * peak_gbytes);
    out->step_seconds = 2 * ((double)(rows * tokens) * flops + read);
    out->scan_seconds = (double)a->V * flops;
    out->seconds = (double)steps * out->step_seconds + out->scan_seconds +
                   texts * (double)tokens * flops + 3 * read;
    return PH_OK;
}
