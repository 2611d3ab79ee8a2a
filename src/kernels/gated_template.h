/* gated_template.h — a product that goes through the gate at once. A part of cpu_template.h.
 *
 * A tile of the gate's columns and the tile of the same columns of what it gates stand in the first
 * cache; out of them comes a tile of h. Each element is what matmul and gated_fwd make of it.
 */
static void gate_tile(float *h, int64_t ldh, const float *gu, ph_act_kind kind, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++)
        gated(h + r * ldh, gu + r * 2 * PANEL, gu + r * 2 * PANEL + PANEL, kind, PANEL);
}

/* Rows from n on past the gate's panels from p to `end`, and past those of the F columns behind. */
static void past_gates(const struct work *w, int64_t n, int64_t rows, int64_t p, int64_t end)
{
    const int64_t K = w->M->K, F = w->M->J / 2, tiles = (rows + ROWS - 1) / ROWS;
    const float *x = w->x + n * K;
    float gu[ROWS * 2 * PANEL];
    const struct place gate = {gu, NULL, 2 * PANEL, false}, up = at_column(gate, PANEL);
    for (; p < end; p++) {
        const float *g = (const float *)w->M->data + p * K * PANEL, *u = g + F * K;
        const bool more = p + 1 < end;
        const int64_t step = more ? K * PANEL / LINE / tiles * LINE : 0;
        struct ahead a = {more ? g + K * PANEL : g, more ? PANEL / LINE * 256 / tiles : 0}, b = a;
        b.from += u - g;
        for (int64_t r = 0; r < rows; r += ROWS, a.from += step, b.from += step) {
            const int64_t at_once = rows - r < ROWS ? rows - r : ROWS;
            some_rows(gate, x + r * K, K, g, K, a, at_once);
            some_rows(up, x + r * K, K, u, K, b, at_once);
            gate_tile(w->to.y + (n + r) * F + p * PANEL, F, gu, w->kind, at_once);
        }
    }
}

static void matmul_gated(ph_real *h, ph_real *room, const ph_real *x, const ph_matrix *M,
                         ph_act_kind kind, int64_t N, ph_stream *s)
{
    const int64_t F = M->J / 2;
    const struct work w = {.to = {(float *)h, NULL, F, false},
                           .x = (const float *)x,
                           .M = M,
                           .panels = F / PANEL,
                           .kind = kind,
                           .past = past_gates};
    if (M->feed.read || F % PANEL || depth_of(M->K) < M->K) /* whole panels, sums in one part */
        ph__matmul_gated(h, room, x, M, kind, N, s);
    else
        run_work(&w, N, s);
}
