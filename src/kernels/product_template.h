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

/* The wide sets are what other tests run on, the one or the other: they stay out of sanitizers, under
 * which a product takes several times as long. kcheck has the narrow one under them, from this source. */
#if W >= 8
#define PLAIN no_sanitize("address", "undefined")
#else
#define PLAIN
#endif

/* Where a product goes: rows ld apart, on top of what is there if `add`. Behind the sum comes z, with
 * rows ld apart too, where that is not NULL. */
struct place {
    float *y;
    const float *z;
    int64_t ld;
    bool add;
};

static inline struct place at_row(struct place t, int64_t n)
{
    t.y += n * t.ld;
    if (t.z) t.z += n * t.ld;
    return t;
}

static inline struct place at_column(struct place t, int64_t j)
{
    t.y += j;
    if (t.z) t.z += j;
    return t;
}

/* y (rows,PANEL) = sum over k of x (rows,K) and panel (K,PANEL) */
static inline __attribute__((always_inline, PLAIN)) void tile(struct place t, const float *x,
                                                              int64_t ldx, const float *panel,
                                                              int64_t K, struct ahead a,
                                                              const int rows)
{
    vf sum[ROWS][VECTORS] = {{{0}}};
    UNROLL for (int r = 0; r < rows; r++)
    {
        UNROLL for (int v = 0; v < VECTORS; v++) if (t.add) sum[r][v] =
            get(t.y + r * t.ld + v * W, W);
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
        UNROLL for (int v = 0; v < VECTORS; v++)
        {
            if (t.z) sum[r][v] += get(t.z + r * t.ld + v * W, W);
            put(t.y + r * t.ld + v * W, sum[r][v], W);
        }
    }
}

/* A tile of 1 to ROWS rows. */
static __attribute__((PLAIN)) void some_rows(struct place t, const float *x, int64_t ldx,
                                             const float *panel, int64_t K, struct ahead a,
                                             int64_t rows)
{
    switch (rows) {
    case 1: tile(t, x, ldx, panel, K, a, 1); break;
    case 2: tile(t, x, ldx, panel, K, a, 2); break;
    case 3: tile(t, x, ldx, panel, K, a, 3); break;
#if ROWS > 4
    case 4: tile(t, x, ldx, panel, K, a, 4); break;
    case 5: tile(t, x, ldx, panel, K, a, 5); break;
#endif
#if ROWS > 6
    case 6: tile(t, x, ldx, panel, K, a, 6); break;
    case 7: tile(t, x, ldx, panel, K, a, 7); break;
#endif
    default: tile(t, x, ldx, panel, K, a, ROWS);
    }
}

static void copy_rows(float *to, int64_t ldt, const float *from, int64_t ldf, int64_t rows,
                      int64_t n)
{
    for (int64_t r = 0; r < rows; r++) memcpy(to + r * ldt, from + r * ldf, (size_t)n * sizeof *to);
}

/* The same of the last panel, which has fewer columns: beside y. */
static void edge_rows(struct place t, const float *x, int64_t ldx, const float *panel, int64_t K,
                      struct ahead a, int64_t rows, int64_t wide)
{
    float edge[ROWS * PANEL] = {0}, behind[ROWS * PANEL] = {0};
    if (t.add) copy_rows(edge, PANEL, t.y, t.ld, rows, wide);
    if (t.z) copy_rows(behind, PANEL, t.z, t.ld, rows, wide);
    some_rows((struct place){edge, t.z ? behind : NULL, PANEL, t.add}, x, ldx, panel, K, a, rows);
    copy_rows(t.y, t.ld, edge, PANEL, rows, wide);
}

/* Any number of rows past one part of a panel. K: of k in this part; wide: columns from the panel's
 * first to the last of all; next: what is used after it, to be fetched beside it, or NULL. */
static void tiles(struct place t, const float *x, int64_t ldx, const float *panel, int64_t K,
                  int64_t wide, int64_t rows, const float *next)
{
    const int64_t n = (rows + ROWS - 1) / ROWS, lines = K * PANEL / LINE;
    struct ahead a = {next ? next : panel, next ? PANEL / LINE * 256 / n : 0};
    for (; rows > 0; rows -= ROWS, t = at_row(t, ROWS), x += ROWS * ldx) {
        const int64_t at_once = rows < ROWS ? rows : ROWS;
        if (wide < PANEL)
            edge_rows(t, x, ldx, panel, K, a, at_once, wide);
        else
            some_rows(t, x, ldx, panel, K, a, at_once);
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

/* A product: x (N,K) past `panels` panels of M, some rows past some panels at a time. */
struct work {
    struct place to;
    const float *x;
    const ph_matrix *M;
    int64_t panels;
    ph_act_kind kind; /* of past_gates */
    void (*past)(const struct work *w, int64_t n, int64_t rows, int64_t p, int64_t end);
};

/* Rows from n on past the panels from p to `end`. */
static void past_panels(const struct work *w, int64_t n, int64_t rows, int64_t p, int64_t end)
{
    const ph_matrix *M = w->M;
    const int64_t K = M->K, depth = depth_of(K), begin = p;
    const float *m = M->data;
    for (int64_t k = 0; k < K; k += depth)
        for (p = begin; p < end; p++) {
            const float *panel = m + (p * K + k) * PANEL, *next = NULL;
            struct place to = at_column(at_row(w->to, n), p * PANEL);
            to.add |= k > 0;
            if (k + depth < K) to.z = NULL; /* it follows the last part of the sum */
            if (p + 1 < end)
                next = panel + K * PANEL;
            else if (k + depth < K)
                next = m + (begin * K + k + depth) * PANEL;
            tiles(to, w->x + n * K + k, K, panel, K - k < depth ? K - k : depth, M->J - p * PANEL,
                  rows, next);
        }
}

/* Divided among the threads. */
static void run_work(const struct work *w, int64_t N, ph_stream *s)
{
    const int64_t most = rows_at_once(N, depth_of(w->M->K));
    const int64_t tasks = (N + most - 1) / most * w->panels;
#pragma omp parallel num_threads(s->threads)
    {
        const int64_t threads = omp_get_num_threads(), me = omp_get_thread_num();
        const int64_t end = tasks * (me + 1) / threads;
        for (int64_t task = tasks * me / threads, more; task < end; task += more) {
            const int64_t n = task / w->panels * most, p = task % w->panels;
            more = end - task < w->panels - p ? end - task : w->panels - p;
            w->past(w, n, N - n < most ? N - n : most, p, p + more);
        }
    }
}

static void product(struct place to, const ph_real *x, const ph_matrix *M, int64_t N, ph_stream *s)
{
    const struct work w = {.to = to,
                           .x = (const float *)x,
                           .M = M,
                           .panels = (M->J + PANEL - 1) / PANEL,
                           .past = past_panels};
    run_work(&w, N, s);
}

static void matmul(ph_real *y, float beta, const ph_real *x, const ph_matrix *M, int64_t N,
                   ph_stream *s)
{
    const struct place to = {(float *)y, NULL, M->J, beta != 0};
    if (M->feed.read)
        matmul_fed(to, (const float *)x, M, N, s);
    else
        product(to, x, M, N, s);
}

static void matmul_add(ph_real *y, const ph_real *z, const ph_real *x, const ph_matrix *M,
                       int64_t N, ph_stream *s)
{
    if (M->feed.read)
        ph__matmul_add(y, z, x, M, N, s);
    else
        product((struct place){(float *)y, (const float *)z, M->J, false}, x, M, N, s);
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
