/* fed_template.h — the product with a matrix that is read in pieces. A part of cpu_template.h.
 *
 * A thread takes PH_FEED_COLUMNS columns of y. For each PH_FEED_DEPTH of k it has the piece of W read,
 * packs it into panels, which then lie in its second cache, and sends all rows past them. The sums are
 * those of a packed matrix, bit for bit.
 */
_Static_assert(PH_FEED_COLUMNS % PANEL == 0, "whole panels in a piece");

/* Panels (columns/PANEL,depth,PANEL) from a piece; columns that do not exist are 0. */
static void pack_piece(float *to, const float *piece, const ph_matrix *M, int64_t depth,
                       int64_t columns)
{
    const int64_t by_k = M->transpose ? 1 : columns, by_j = M->transpose ? depth : 1;
    for (int64_t p = 0; p < columns; p += PANEL, to += depth * PANEL) {
        const int64_t wide = columns - p < PANEL ? columns - p : PANEL;
        if (wide < PANEL) memset(to, 0, (size_t)(depth * PANEL) * sizeof *to);
        for (int64_t k = 0; k < depth; k++)
            for (int64_t j = 0; j < wide; j++) to[k * PANEL + j] = piece[k * by_k + (p + j) * by_j];
    }
}

static void matmul_fed(struct place t, const float *x, const ph_matrix *M, int64_t N, ph_stream *s)
{
    const int64_t K = M->K, J = M->J;
#pragma omp parallel for num_threads(s->threads) schedule(dynamic)
    for (int64_t j = 0; j < J; j += PH_FEED_COLUMNS) {
        const int64_t columns = J - j < PH_FEED_COLUMNS ? J - j : PH_FEED_COLUMNS;
        float *piece = s->pieces + omp_get_thread_num() * 2 * PH_FEED_PIECE;
        float *packed = piece + PH_FEED_PIECE;
        for (int64_t k = 0; k < K; k += PH_FEED_DEPTH) {
            const int64_t depth = K - k < PH_FEED_DEPTH ? K - k : PH_FEED_DEPTH;
            ph__feed_piece(piece, M, k, depth, j, columns);
            pack_piece(packed, piece, M, depth, columns);
            for (int64_t n = 0; n < N; n += ROWS)
                for (int64_t p = 0; p < columns; p += PANEL) {
                    struct place part = at_column(at_row(t, n), j + p);
                    part.add = t.add || k;
                    tiles(part, x + n * K + k, K, packed + p * depth, depth, columns - p,
                          N - n < ROWS ? N - n : ROWS, NULL);
                }
        }
    }
}
