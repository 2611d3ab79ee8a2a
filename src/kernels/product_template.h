/* product_template.h — matmul, and matrices packed for it. A part of cpu_template.h.
 *
 * M is stored in panels of PANEL columns, each (K,PANEL) dense, the last one padded with zeros. A tile
 * of up to ROWS rows times one panel stays in registers while k passes. Where K is long it passes in
 * parts, and the tile goes on from what it left in y: every element of y is one sum in order of k,
 * after y itself if that is added to, whatever rows are computed beside it and however k is divided.
 */
enum {
    PANEL = VECTORS * W,
    DEPTH = 1024,         /* of k at once: a part of a panel, and the rows that pass it, … */
    ROWS_FLOATS = 1 << 17 /* … 512 KiB of them, stay in the second cache */
};

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* What is fetched into the second cache while a tile is computed: a line of floats for every 256 of
 * k × step. Reading a matrix that is in no cache takes as long as the product of some 60 rows: done
 * beside it, it costs nothing. */
enum { LINE = 16 };
struct ahead {
    const float *from;
    int64_t step;
};

/* The widest set is the one that other tests run on: it stays out of sanitizers, under which a product
 * takes several times as long. kcheck has the two others under them, from this same source. */
#if W == 16
#define PLAIN no_sanitize("address", "undefined")
#else
#define PLAIN
#endif

/* y (rows,PANEL) = sum over k of x (rows,K) and panel (K,PANEL), on top of y if `add` */
static inline __attribute__((always_inline, PLAIN)) void tile(float *y, int64_t ldy, bool add,
                                                              const float *x, int64_t ldx,
                                                              const float *panel, int64_t K,
                                                              struct ahead a, const int rows)
{
    vf sum[ROWS][VECTORS] = {{{0}}};
    UNROLL for (int r = 0; r < rows; r++)
    {
        UNROLL for (int v = 0; v < VECTORS; v++) if (add) sum[r][v] = get(y + r * ldy + v * W, W);
    }
    for (int64_t k = 0; k < K; k++) {
        vf m[VECTORS];
        __builtin_prefetch(a.from + (k * a.step >> 8) * LINE, 0, 2);
        UNROLL for (int v = 0; v < VECTORS; v++) m[v] = get(panel + k * PANEL + v * W, W);
        UNROLL for (int r = 0; r < rows; r++)
        {
            UNROLL for (int v = 0; v < VECTORS; v++) sum[r][v] += x[r * ldx + k] * m[v];
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
    {
        UNROLL for (int v = 0; v < VECTORS; v++) put(y + r * ldy + v * W, sum[r][v], W);
    }
}

/* A tile of 1 to ROWS rows. */
static __attribute__((PLAIN)) void some_rows(float *y, int64_t ldy, bool add, const float *x,
                                             int64_t ldx, const float *panel, int64_t K,
                                             struct ahead a, int64_t rows)
{
    switch (rows) {
    case 1: tile(y, ldy, add, x, ldx, panel, K, a, 1); break;
    case 2: tile(y, ldy, add, x, ldx, panel, K, a, 2); break;
    case 3: tile(y, ldy, add, x, ldx, panel, K, a, 3); break;
#if ROWS > 4
    case 4: tile(y, ldy, add, x, ldx, panel, K, a, 4); break;
    case 5: tile(y, ldy, add, x, ldx, panel, K, a, 5); break;
#endif
#if ROWS > 6
    case 6: tile(y, ldy, add, x, ldx, panel, K, a, 6); break;
    case 7: tile(y, ldy, add, x, ldx, panel, K, a, 7); break;
#endif
    default: tile(y, ldy, add, x, ldx, panel, K, a, ROWS);
    }
}

static void copy_rows(float *to, int64_t ldt, const float *from, int64_t ldf, int64_t rows,
                      int64_t n)
{
    for (int64_t r = 0; r < rows; r++) memcpy(to + r * ldt, from + r * ldf, (size_t)n * sizeof *to);
}

/* The same of the last panel, which has fewer columns: beside y. */
static void edge_rows(float *y, int64_t ldy, bool add, const float *x, int64_t ldx,
                      const float *panel, int64_t K, struct ahead a, int64_t rows, int64_t wide)
{
    float edge[ROWS * PANEL] = {0};
    if (add) copy_rows(edge, PANEL, y, ldy, rows, wide);
    some_rows(edge, PANEL, add, x, ldx, panel, K, a, rows);
    copy_rows(y, ldy, edge, PANEL, rows, wide);
}

/* Any number of rows past one part of a panel. K: of k in this part; wide: columns from the panel's
 * first to the last of all; next: what is used after it, to be fetched beside it, or NULL. */
static void tiles(float *y, int64_t ldy, bool add, const float *x, int64_t ldx, const float *panel,
                  int64_t K, int64_t wide, int64_t rows, const float *next)
{
    const int64_t n = (rows + ROWS - 1) / ROWS, lines = K * PANEL / LINE;
    struct ahead a = {next ? next : panel, next ? PANEL / LINE * 256 / n : 0};
    for (; rows > 0; rows -= ROWS, y += ROWS * ldy, x += ROWS * ldx) {
        const int64_t at_once = rows < ROWS ? rows : ROWS;
        if (wide < PANEL)
            edge_rows(y, ldy, add, x, ldx, panel, K, a, at_once, wide);
        else
            some_rows(y, ldy, add, x, ldx, panel, K, a, at_once);
        if (next) a.from += lines / n * LINE;
    }
}

#include "kernels/fed_template.h"

/* k in equal parts of DEPTH at most */
static int64_t depth_of(int64_t K)
{
    const int64_t parts = (K + DEPTH - 1) / DEPTH;
    return parts ? (K + parts - 1) / parts : 1;
}

/* Whole tiles, as many rows in every call as in the others. */
static int64_t rows_at_once(int64_t N, int64_t depth)
{
    const int64_t most = ROWS_FLOATS / depth / ROWS * ROWS; /* 128 or more */
    const int64_t calls = (N + most - 1) / most;
    return calls ? ((N + calls - 1) / calls + ROWS - 1) / ROWS * ROWS : ROWS;
}

/* Some rows past the panels from p to `end`. */
static void past_panels(float *y, bool add, const float *x, const ph_matrix *M, int64_t rows,
                        int64_t p, int64_t end)
{
    const int64_t K = M->K, J = M->J, depth = depth_of(K), begin = p;
    const float *m = M->data;
    for (int64_t k = 0; k < K; k += depth)
        for (p = begin; p < end; p++) {
            const float *panel = m + (p * K + k) * PANEL, *next = NULL;
            if (p + 1 < end)
                next = panel + K * PANEL;
            else if (k + depth < K)
                next = m + (begin * K + k + depth) * PANEL;
            tiles(y + p * PANEL, J, add || k, x + k, K, panel, K - k < depth ? K - k : depth,
                  J - p * PANEL, rows, next);
        }
}

static void matmul(ph_real *y_, float beta, const ph_real *x_, const ph_matrix *M, int64_t N,
                   ph_stream *s)
{
    const int64_t K = M->K, J = M->J, panels = (J + PANEL - 1) / PANEL;
    const int64_t most = rows_at_once(N, depth_of(K)), tasks = (N + most - 1) / most * panels;
    float *y = (float *)y_;
    const float *x = (const float *)x_;
    if (M->feed.read) {
        matmul_fed(y, beta != 0, x, M, N, s);
        return;
    }
#pragma omp parallel num_threads(s->threads)
    {
        const int64_t threads = omp_get_num_threads(), me = omp_get_thread_num();
        const int64_t end = tasks * (me + 1) / threads;
        for (int64_t task = tasks * me / threads, more; task < end; task += more) {
            const int64_t n = task / panels * most, p = task % panels;
            more = end - task < panels - p ? end - task : panels - p;
            past_panels(y + n * J, beta != 0, x + n * K, M, N - n < most ? N - n : most, p,
                        p + more);
        }
    }
}

static ph_status matrix_new(ph_matrix **out, const float *w, int64_t rows, int64_t columns,
                            bool transpose, ph_backend *be, ph_error *err)
{
    const int64_t K = transpose ? columns : rows, J = transpose ? rows : columns;
    const int64_t panels = (J + PANEL - 1) / PANEL;
    ph_matrix *m = NULL;
    ph_status st = PH_OK;

    PH_GO(PH_NEW(&m, 1, err));
    PH_GO(ph__matrix_init(m, K, J, (size_t)(panels * PANEL) * (size_t)K * sizeof(float), err));
    float *to = m->data;
#pragma omp parallel for num_threads(be->threads) schedule(static)
    for (int64_t p = 0; p < panels; p++)
        for (int64_t k = 0; k < K; k++)
            for (int64_t j = p * PANEL; j < J && j < (p + 1) * PANEL; j++)
                to[(p * K + k) * PANEL + j - p * PANEL] =
                    transpose ? w[j * columns + k] : w[k * columns + j];
    *out = m;
    m = NULL;
done:
    ph__free(m);
    return st;
}
