/* kcase.c — cases of kcheck: their numbers, the line that names one, the table of those that are run. */
#include "kops.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t k_rows(const struct k_case *c)
{
    return c->B ? c->B : c->N;
}

/* ---- numbers ----------------------------------------------------------------------------------- */

static double draw(ph_rng *r, enum k_dist dist)
{
    const double x = ph__rng_normal(r);
    switch (dist) {
    case K_WIDE: return ldexp(x, (int)ph__rng_below(r, 21) - 10);
    case K_TINY: return 1e-18 * x;
    case K_LARGE: return 1e4 * x;
    default: return x;
    }
}

void k_fill_data(float *x, int64_t rows, int64_t per, enum k_dist dist, ph_rng *r)
{
    for (int64_t i = 0; i < rows * per; i++)
        x[i] = dist == K_ZEROS || dist == K_ONEHOT ? 0 : (float)draw(r, dist);
    for (int64_t n = 0; n < rows && dist == K_ONEHOT && per; n++)
        x[n * per + (int64_t)ph__rng_below(r, (uint64_t)per)] = 1;
}

/* lines of P+T probabilities; those of tokens that are not seen are 0 */
static void fill_probabilities(float *p, const struct k_case *c, ph_rng *r)
{
    const int64_t all = c->P + c->T;
    for (int64_t i = 0; i < c->B * c->H * c->T; i++) {
        const int64_t n = c->P + i % c->T + 1;
        const int64_t from = c->window && n > c->window ? n - c->window : 0;
        double sum = 0;
        for (int64_t v = from; v < n; v++)
            sum += (double)(p[i * all + v] = (float)exp(ph__rng_normal(r)));
        for (int64_t v = 0; v < all; v++)
            p[i * all + v] = v >= from && v < n ? (float)((double)p[i * all + v] / sum) : 0;
    }
}

static void fill_angles(float *x, int64_t n, bool sine, const struct k_case *c)
{
    const int64_t half = c->rot / 2;
    for (int64_t i = 0; i < n; i++) {
        const double angle = (double)(i / half) * pow(1e4, -(double)(i % half) / (double)half);
        x[i] = (float)(sine ? sin(angle) : cos(angle));
    }
}

void k_fill(float *x, const struct k_slot *s, const struct k_case *c, ph_rng *r)
{
    const int64_t rows = s->shared ? 1 : k_rows(c), n = rows * s->per;
    if (s->role == K_OUT || (s->role == K_GRAD && !c->beta)) {
        for (int64_t k = 0; k < n; k++) x[k] = NAN;
        return;
    }
    switch (s->fill) {
    case K_DATA: k_fill_data(x, rows, s->per, c->dist, r); break;
    case K_WEIGHT:
        for (int64_t k = 0; k < n; k++) x[k] = (float)(1 + 0.3 * ph__rng_normal(r));
        break;
    case K_RMS:
        for (int64_t k = 0; k < n; k++) x[k] = (float)exp(ph__rng_normal(r));
        break;
    case K_PROBABILITY: fill_probabilities(x, c, r); break;
    case K_ANGLE: fill_angles(x, n, s->name[0] == 's', c); break;
    }
}

/* ---- lines ----------------------------------------------------------------------------------- */

const char *const k_dist_names[K_DISTS] = {"normal", "wide", "tiny", "large", "zeros", "onehot"};

#define FIELD(name)                                                                                \
    {                                                                                              \
#name, offsetof(struct k_case, name)                                                       \
    }
static const struct {
    const char *name;
    size_t at;
} fields[] = {FIELD(B),   FIELD(T),      FIELD(P),     FIELD(H),      FIELD(Hkv),  FIELD(D),
              FIELD(N),   FIELD(C),      FIELD(K),     FIELD(J),      FIELD(F),    FIELD(transpose),
              FIELD(fed), FIELD(rot),    FIELD(first), FIELD(halves), FIELD(beta), FIELD(seed),
              FIELD(cap), FIELD(window), FIELD(act),   FIELD(layer),  FIELD(each), FIELD(bias)};
enum { FIELDS = sizeof fields / sizeof fields[0] };

static int64_t *field(struct k_case *c, size_t i)
{
    return (int64_t *)(void *)((char *)c + fields[i].at);
}

static bool parse_pair(struct k_case *c, const char *word)
{
    const char *equals = strchr(word, '=');
    const size_t n = (size_t)(equals - word);
    for (size_t i = 0; i < FIELDS; i++)
        if (strlen(fields[i].name) == n && !strncmp(word, fields[i].name, n)) {
            char *end = NULL;
            *field(c, i) = strtoll(equals + 1, &end, 10);
            return *end == 0;
        }
    for (int d = 0; d < K_DISTS && n == 4 && !strncmp(word, "dist", 4); d++)
        if (!strcmp(equals + 1, k_dist_names[d])) {
            c->dist = (enum k_dist)d;
            return true;
        }
    return false;
}

static bool has_key(const struct k_op *op, const char *name)
{
    const size_t n = strlen(name);
    for (const char *k = op->keys; k; k = strchr(k, ' ') ? strchr(k, ' ') + 1 : NULL)
        if (!strncmp(k, name, n) && (k[n] == ' ' || k[n] == 0)) return true;
    return false;
}

/* Sizes that are 0 where they may not be; the head counts must divide. */
static bool complete(struct k_case *c)
{
    const char *may_be_zero =
        "P first halves transpose fed beta seed cap window act layer each bias";
    const struct k_op named = {.keys = may_be_zero};
    if (has_key(c->op, "rot") && !c->rot) c->rot = c->D;
    for (size_t i = 0; i < FIELDS; i++)
        if (has_key(c->op, fields[i].name) && *field(c, i) <= 0 &&
            (*field(c, i) < 0 || !has_key(&named, fields[i].name)))
            return false;
    return !c->Hkv || c->H % c->Hkv == 0;
}

bool k_parse(struct k_case *c, const char *line)
{
    char copy[256], *rest = NULL;
    *c = (struct k_case){.seed = 1};
    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok_r(copy, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
        if (!c->op) {
            for (const struct k_op *op = k_ops; op->name && !c->op; op++)
                if (!strcmp(w, op->name)) c->op = op;
            if (!c->op) return false;
        } else if (!strchr(w, '=')) {
            snprintf(c->backend, sizeof c->backend, "%s", w);
        } else if (!parse_pair(c, w)) {
            return false;
        }
    }
    return c->op && complete(c);
}

void k_print(char *line, size_t size, const struct k_case *c)
{
    struct k_case copy = *c;
    size_t at = (size_t)snprintf(line, size, "%s %s", c->op->name, c->backend);
    for (size_t i = 0; i < FIELDS && at < size; i++)
        if (has_key(c->op, fields[i].name) || !strcmp(fields[i].name, "seed"))
            at += (size_t)snprintf(line + at, size - at, " %s=%lld", fields[i].name,
                                   (long long)*field(&copy, i));
    if (at < size) snprintf(line + at, size - at, " dist=%s", k_dist_names[c->dist]);
}

/* ---- cases: awkward shapes, then those of the default model (C 576, H 9, Hkv 3, D 64, F 1536) ---- */

const char *const k_cases[] = {
    "rmsnorm_fwd N=1 C=1",
    "rmsnorm_fwd N=3 C=7",
    "rmsnorm_fwd N=5 C=64",
    "rmsnorm_fwd N=37 C=129",
    "rmsnorm_fwd N=160 C=576",
    "rmsnorm_bwd N=1 C=1",
    "rmsnorm_bwd N=3 C=7 beta=1",
    "rmsnorm_bwd N=37 C=129",
    "rmsnorm_bwd N=160 C=576",
    "rmsnorm_bwd N=160 C=576 beta=1",
    "layernorm_fwd N=1 C=1",
    "layernorm_fwd N=3 C=7 bias=1",
    "layernorm_fwd N=37 C=129",
    "layernorm_fwd N=160 C=768 bias=1",
    "layernorm_bwd N=1 C=2",
    "layernorm_bwd N=3 C=7 beta=1",
    "layernorm_bwd N=37 C=129",
    "layernorm_bwd N=160 C=768 beta=1",
    "headnorm_fwd N=1 H=1 D=1",
    "headnorm_fwd N=3 H=2 D=9",
    "headnorm_fwd N=3 H=2 D=9 layer=1",
    "headnorm_fwd N=5 H=3 D=20 each=1",
    "headnorm_fwd N=5 H=3 D=20 layer=1 each=1",
    "headnorm_fwd N=160 H=4 D=256",
    "headnorm_bwd N=1 H=1 D=2",
    "headnorm_bwd N=3 H=2 D=9",
    "headnorm_bwd N=3 H=2 D=9 layer=1",
    "headnorm_bwd N=5 H=3 D=20 each=1",
    "headnorm_bwd N=5 H=3 D=20 layer=1 each=1",
    "headnorm_bwd N=160 H=4 D=256",
    "matmul N=1 K=1 J=1",
    "matmul N=1 K=64 J=1 beta=1",
    "matmul N=3 K=1 J=5 transpose=1",
    "matmul N=7 K=17 J=33 beta=1",
    "matmul N=1 K=100 J=77 transpose=1",
    "matmul N=13 K=65 J=130 transpose=1 beta=1",
    "matmul N=48 K=96 J=200",
    "matmul N=481 K=40 J=24 beta=1",
    "matmul N=1000 K=33 J=50 transpose=1",
    "matmul N=1 K=1 J=1 fed=1",
    "matmul N=7 K=17 J=33 fed=1 beta=1",
    "matmul N=13 K=65 J=130 transpose=1 fed=1 beta=1",
    "matmul N=3 K=512 J=240 fed=1",
    "matmul N=9 K=1100 J=500 transpose=1 fed=1",
    "matmul N=50 K=1100 J=500 fed=1 beta=1",
    "matmul N=5 K=576 J=576 transpose=1",
    "matmul N=40 K=576 J=960 transpose=1 dist=normal",
    "matmul N=50 K=576 J=576 transpose=1 beta=1 dist=normal",
    "matmul N=16 K=576 J=3072 transpose=1 dist=normal",
    "matmul N=16 K=1536 J=576 transpose=1 beta=1 dist=wide",
    "matmul N=16 K=3072 J=576 dist=normal",
    "matmul N=16 K=576 J=1536 dist=normal",
    "matmul N=160 K=960 J=576 dist=wide",
    "rope_fwd B=1 T=1 H=1 D=2",
    "rope_fwd B=2 T=3 H=5 D=10 rot=6 first=2",
    "rope_fwd B=2 T=3 H=5 D=10 rot=6 halves=1",
    "rope_fwd B=32 T=5 H=9 D=64 first=1",
    "rope_fwd B=3 T=17 H=3 D=64 first=4 halves=1",
    "rope_bwd B=2 T=1 H=3 D=6",
    "rope_bwd B=2 T=3 H=5 D=12 rot=12 first=1 halves=1",
    "rope_bwd B=32 T=5 H=3 D=64 first=1",
    "attention_fwd B=1 T=1 P=0 H=1 Hkv=1 D=1",
    "attention_fwd B=2 T=1 P=1 H=9 Hkv=3 D=64",
    "attention_fwd B=3 T=4 P=0 H=3 Hkv=3 D=5",
    "attention_fwd B=2 T=7 P=3 H=6 Hkv=2 D=20",
    "attention_fwd B=4 T=19 P=15 H=5 Hkv=1 D=8",
    "attention_fwd B=16 T=5 P=1 H=9 Hkv=3 D=64",
    "attention_fwd B=2 T=64 P=64 H=9 Hkv=3 D=64 dist=normal",
    "attention_fwd B=2 T=7 P=3 H=6 Hkv=2 D=20 window=1",
    "attention_fwd B=2 T=7 P=3 H=6 Hkv=2 D=20 window=4 cap=50",
    "attention_fwd B=4 T=19 P=15 H=5 Hkv=1 D=8 window=17",
    "attention_fwd B=4 T=19 P=15 H=5 Hkv=1 D=8 cap=2",
    "attention_bwd B=1 T=1 P=0 H=1 Hkv=1 D=1",
    "attention_bwd B=2 T=1 P=1 H=9 Hkv=3 D=64 beta=1",
    "attention_bwd B=3 T=4 P=0 H=3 Hkv=3 D=5",
    "attention_bwd B=2 T=7 P=3 H=6 Hkv=2 D=20 beta=1",
    "attention_bwd B=4 T=19 P=15 H=5 Hkv=1 D=8",
    "attention_bwd B=16 T=5 P=1 H=9 Hkv=3 D=64",
    "attention_bwd B=16 T=5 P=1 H=9 Hkv=3 D=64 beta=1 dist=normal",
    "attention_bwd B=2 T=64 P=64 H=9 Hkv=3 D=64 dist=normal",
    "attention_bwd B=1 T=2 P=600 H=2 Hkv=1 D=16 dist=normal",
    "attention_bwd B=2 T=7 P=3 H=6 Hkv=2 D=20 window=1 beta=1",
    "attention_bwd B=2 T=7 P=3 H=6 Hkv=2 D=20 window=4 cap=50",
    "attention_bwd B=4 T=19 P=15 H=5 Hkv=1 D=8 window=17 beta=1",
    "attention_bwd B=4 T=19 P=15 H=5 Hkv=1 D=8 cap=2",
    "attention_bwd B=1 T=2 P=600 H=2 Hkv=1 D=16 window=560 cap=50 dist=normal",
    "gated_fwd N=1 F=1",
    "gated_fwd N=3 F=17",
    "gated_fwd N=40 F=1536",
    "gated_bwd N=1 F=1",
    "gated_bwd N=3 F=17",
    "gated_bwd N=40 F=1536",
    "gated_fwd N=3 F=17 act=1",
    "gated_fwd N=3 F=17 act=2",
    "gated_fwd N=40 F=2048 act=1",
    "gated_bwd N=3 F=17 act=1",
    "gated_bwd N=3 F=17 act=2",
    "gated_bwd N=40 F=2048 act=1",
    "act_fwd N=1 F=1",
    "act_fwd N=3 F=17",
    "act_fwd N=3 F=17 act=2",
    "act_fwd N=40 F=3072 act=1",
    "act_bwd N=3 F=17",
    "act_bwd N=3 F=17 act=2",
    "act_bwd N=40 F=3072 act=1",
    "softcap_fwd N=1 C=1 cap=30",
    "softcap_fwd N=7 C=19 cap=2",
    "softcap_fwd N=16 C=4096 cap=30",
    "softcap_bwd N=7 C=19 cap=2",
    "softcap_bwd N=16 C=4096 cap=30",
    "add_bias N=1 J=1",
    "add_bias N=7 J=19",
    "add_bias N=160 J=2304",
    "add_fwd N=1 C=1",
    "add_fwd N=7 C=19",
    "add_fwd N=160 C=576",
    "add_onto N=7 C=19",
    "add_onto N=160 C=576",
    "columns_take N=1 C=1 J=1",
    "columns_take N=7 C=19 J=5",
    "columns_take N=160 C=576 J=288",
    "columns_put N=1 C=1 J=1",
    "columns_put N=7 C=19 J=5",
    "columns_put N=160 C=576 J=32",
    NULL,
};

/* 32 rows of 5 tokens after 1 of context, then a single row, then one long row */
const char *const k_benches[] = {
    "matmul N=160 K=576 J=960 transpose=1",
    "matmul N=160 K=576 J=576 transpose=1",
    "matmul N=160 K=576 J=3072 transpose=1",
    "matmul N=160 K=1536 J=576 transpose=1",
    "matmul N=160 K=960 J=576",
    "matmul N=160 K=3072 J=576",
    "matmul N=160 K=576 J=1536",
    "matmul N=160 K=576 J=576 transpose=1 beta=1",
    "matmul N=1 K=576 J=3072 transpose=1",
    "matmul N=5 K=576 J=3072 transpose=1",
    "matmul N=8 K=576 J=3072 transpose=1",
    "matmul N=40 K=576 J=3072 transpose=1",
    "matmul N=50 K=576 J=576 transpose=1",
    "matmul N=320 K=576 J=3072 transpose=1",
    "rmsnorm_fwd N=160 C=576",
    "rmsnorm_bwd N=160 C=576 beta=1",
    "rope_fwd B=32 T=5 H=9 D=64 first=1",
    "rope_bwd B=32 T=5 H=9 D=64 first=1",
    "attention_fwd B=32 T=5 P=1 H=9 Hkv=3 D=64",
    "attention_bwd B=32 T=5 P=1 H=9 Hkv=3 D=64",
    "attention_fwd B=2 T=64 P=1 H=9 Hkv=3 D=64",
    "attention_bwd B=2 T=64 P=1 H=9 Hkv=3 D=64",
    "gated_fwd N=160 F=1536",
    "gated_bwd N=160 F=1536",
    "add_fwd N=160 C=576",
    "layernorm_fwd N=160 C=768 bias=1",
    "layernorm_bwd N=160 C=768 beta=1",
    "headnorm_fwd N=160 H=4 D=256",
    "headnorm_bwd N=160 H=4 D=256",
    "gated_fwd N=160 F=2048 act=1",
    "gated_bwd N=160 F=2048 act=1",
    "act_fwd N=160 F=3072 act=1",
    "act_bwd N=160 F=3072 act=1",
    "add_bias N=160 J=2304",
    NULL,
};
