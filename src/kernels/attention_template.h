/* attention_template.h — attention, forward and backward, in vectors. A part of cpu_template.h.
 *
 * One row and one KV head at a time: its keys and values stay in the first cache for all queries.
 */
/* Keys or values of one row and one KV head: the shared context, then the row's own tokens. */
struct keys {
    const float *context, *own;
    int64_t P, context_ld, ld;
};

static struct keys keys_of(const ph_real *context, const ph_real *own, int64_t b, int64_t g,
                           int64_t T, int64_t P, int64_t Hkv, int64_t D, int64_t ld)
{
    return (struct keys){P ? (const float *)context + g * D : NULL,
                         (const float *)own + b * T * ld + g * D, P, Hkv * D, ld};
}

static inline const float *key(const struct keys *k, int64_t u)
{
    return u < k->P ? k->context + u * k->context_ld : k->own + (u - k->P) * k->ld;
}

/* NaN may be left out of the largest, but not of the sum: it spreads over the whole line. */
static void softmax(float *p, int64_t n)
{
    vf top = all(-INFINITY), sum = {0};
    for (int64_t u = 0; u < n; u += W) top = larger(get_or(p + u, n - u, -INFINITY), top);
    const float m = largest(top);
    for (int64_t u = 0; u < n; u += W) {
        put(p + u, vexp(get(p + u, n - u) - m), n - u);
        sum += get(p + u, n - u);
    }
    const float z = total(sum);
    for (int64_t u = 0; u < n; u += W) put(p + u, get(p + u, n - u) / z, n - u);
}

/* The same keys without the first `from` of them. */
static struct keys behind(const struct keys *k, int64_t from)
{
    struct keys rest = *k;
    const int64_t context = from < k->P ? from : k->P;
    rest.P -= context;
    if (rest.P) rest.context += context * k->context_ld;
    rest.own += (from - context) * k->ld;
    return rest;
}

/* The first token that is seen by the one behind n - 1 others. */
static inline int64_t first_seen(int64_t n, int64_t window)
{
    return window && n > window ? n - window : 0;
}

/* softmax of the scores of q, of n ≤ W of them: one vector that never waits for memory. Elements
 * past the n-th repeat it until they are cleared. */
static vf softmax_short(const float *q, const struct keys *K, float scale, float cap, int64_t n,
                        int64_t D)
{
    vf x = all(0);
    for (int64_t u = 0; u < n; u++) x = choose(first(u), x, all(scale * dot(q, key(K, u), D)));
    if (cap != 0) x = cap * vtanh(x / cap);
    const vf e = choose(first(n), vexp(x - largest(x)), all(0));
    return e / total(e);
}

static void attend(float *o, float *p, const float *q, const struct keys *K, const struct keys *V,
                   float scale, float cap, int64_t n, int64_t D)
{
    float line[W];
    const float *weight = p;
    if (n <= W) {
        const vf e = softmax_short(q, K, scale, cap, n, D);
        put(line, e, W);
        put(p, e, n);
        weight = line;
    } else {
        for (int64_t u = 0; u < n; u++) p[u] = scale * dot(q, key(K, u), D);
        for (int64_t u = 0; cap != 0 && u < n; u += W)
            put(p + u, cap * vtanh(get(p + u, n - u) / cap), n - u);
        softmax(p, n);
    }
    for (int64_t i = 0; i < D; i += W) {
        vf sum = {0};
        for (int64_t u = 0; u < n; u++) sum += weight[u] * get(key(V, u) + i, D - i);
        put(o + i, sum, D - i);
    }
}

/* attend for the tokens behind `from`. */
static void attend_behind(float *o, float *p, const float *q, const struct keys *K,
                          const struct keys *V, float scale, float cap, int64_t from, int64_t n,
                          int64_t D)
{
    const struct keys K2 = behind(K, from), V2 = behind(V, from);
    memset(p, 0, (size_t)from * sizeof *p);
    attend(o, p + from, q, &K2, &V2, scale, cap, n - from, D);
}

static void attention_fwd(ph_real *o_, ph_real *p_, const ph_real *q_, const ph_real *k,
                          const ph_real *v, const ph_real *kc, const ph_real *vc, double scale,
                          double cap, int64_t window, int64_t B, int64_t T, int64_t P, int64_t H,
                          int64_t Hkv, int64_t D, int64_t ld, ph_stream *s)
{
    const int64_t group = H / Hkv, U = P + T;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (B * T * H * D > SMALL)
    for (int64_t bg = 0; bg < B * Hkv; bg++) {
        const int64_t b = bg / Hkv, g = bg % Hkv;
        const struct keys K = keys_of(kc, k, b, g, T, P, Hkv, D, ld);
        const struct keys V = keys_of(vc, v, b, g, T, P, Hkv, D, ld);
        for (int64_t h = g * group; h < (g + 1) * group; h++)
            for (int64_t t = 0; t < T; t++) {
                const int64_t n = P + t + 1, from = first_seen(n, window);
                float *p = (float *)p_ + ((b * H + h) * T + t) * U;
                float *o = (float *)o_ + ((b * T + t) * H + h) * D;
                const float *q = (const float *)q_ + (b * T + t) * ld + h * D;
                if (from)
                    attend_behind(o, p, q, &K, &V, (float)scale, (float)cap, from, n, D);
                else
                    attend(o, p, q, &K, &V, (float)scale, (float)cap, n, D);
                for (int64_t u = n; u < U; u++) p[u] = 0;
            }
    }
}

static void zero_rows(float *x, int64_t n, int64_t D, int64_t ld)
{
    for (int64_t t = 0; t < n; t++) memset(x + t * ld, 0, (size_t)D * sizeof *x);
}

/* attend's passes in reverse, for one token; dk and dv are those of the row's first token. */
static void attend_bwd(float *dq, float *dk, float *dv, const float *d_o, const float *p,
                       const float *q, const struct keys *K, const struct keys *V, float scale,
                       float cap, int64_t n, int64_t D)
{
    enum { KEPT = 512 }; /* dp of the first entries; the others are computed twice */
    float dp[KEPT], sum = 0;
    for (int64_t u = 0; u < n; u++) {
        const float d = dot(d_o, key(V, u), D);
        if (u < KEPT) dp[u] = d;
        sum += p[u] * d;
    }
    for (int64_t u = 0; u < n; u++) {
        const float d = u < KEPT ? dp[u] : dot(d_o, key(V, u), D);
        float ds = scale * p[u] * (d - sum);
        const float *ku = key(K, u);
        if (cap != 0) {
            const float t = tanhf(scale * dot(q, ku, D) / cap);
            ds *= 1 - t * t;
        }
        for (int64_t i = 0; i < D; i += W)
            put(dq + i, get(dq + i, D - i) + ds * get(ku + i, D - i), D - i);
        if (u < K->P) continue;
        float *dku = dk + (u - K->P) * K->ld, *dvu = dv + (u - K->P) * K->ld;
        for (int64_t i = 0; i < D; i += W) {
            put(dku + i, get(dku + i, D - i) + ds * get(q + i, D - i), D - i);
            put(dvu + i, get(dvu + i, D - i) + p[u] * get(d_o + i, D - i), D - i);
        }
    }
}

static void attention_bwd(ph_real *dq_, ph_real *dk_, ph_real *dv_, float beta, const ph_real *do_,
                          const ph_real *p_, const ph_real *q_, const ph_real *k, const ph_real *v,
                          const ph_real *kc, const ph_real *vc, double scale, double cap,
                          int64_t window, int64_t B, int64_t T, int64_t P, int64_t H, int64_t Hkv,
                          int64_t D, int64_t ld, ph_stream *s)
{
    const int64_t group = H / Hkv, U = P + T;
#pragma omp parallel for num_threads(s->threads) schedule(static) if (B * T * H * D > SMALL)
    for (int64_t bg = 0; bg < B * Hkv; bg++) {
        const int64_t b = bg / Hkv, g = bg % Hkv;
        const struct keys K = keys_of(kc, k, b, g, T, P, Hkv, D, ld);
        const struct keys V = keys_of(vc, v, b, g, T, P, Hkv, D, ld);
        float *dk = (float *)dk_ + b * T * ld + g * D, *dv = (float *)dv_ + b * T * ld + g * D;
        float *dq = (float *)dq_ + b * T * ld + g * group * D;
        if (beta == 0) {
            zero_rows(dk, T, D, ld);
            zero_rows(dv, T, D, ld);
            zero_rows(dq, T, group * D, ld);
        }
        for (int64_t h = 0; h < group; h++)
            for (int64_t t = 0; t < T; t++) {
                const int64_t bth = (b * T + t) * H + g * group + h;
                const int64_t n = P + t + 1, from = first_seen(n, window);
                const int64_t own = from > P ? (from - P) * ld : 0;
                const struct keys K2 = behind(&K, from), V2 = behind(&V, from);
                attend_bwd(dq + t * ld + h * D, dk + own, dv + own, (const float *)do_ + bth * D,
                           (const float *)p_ + ((b * H + g * group + h) * T + t) * U + from,
                           (const float *)q_ + (b * T + t) * ld + (g * group + h) * D, &K2, &V2,
                           (float)scale, (float)cap, n - from, D);
            }
    }
}
