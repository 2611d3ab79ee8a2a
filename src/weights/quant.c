/* quant.c — the block formats: one table row each, and what their bits mean.
 *
 * Numbers are the same, bit for bit, as those of the gguf Python package: the order of products and
 * sums matters, and nothing may be contracted. In all comments q is the stored number of a weight.
 */
#include "weights/quant.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blocks of the file are copied as is");

static float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t to_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Masks in place of branches, so that a loop of it is vectorised. A subnormal's 10 bits are put
 * behind an exponent whose last place is 2^-24, and that exponent's 1/2 is taken off again; 0 is
 * taken off the others. Exact, also where the processor flushes subnormals. */
static inline float from_half(uint16_t h)
{
    const uint32_t magnitude = h & 0x7fffu, sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t small = 0u - ((magnitude - 0x400u) >> 31); /* all ones for subnormals and 0 */
    const uint32_t open = 0u - ((0x7bffu - magnitude) >> 31); /* for infinity and NaN */
    const uint32_t shifted = (magnitude << 13) + (112u << 23) + (open & 112u << 23);
    const float whole = from_bits((shifted & ~small) | ((0x3f000000u | magnitude) & small));
    return from_bits(sign | to_bits(whole - from_bits(0x3f000000u & small)));
}

/* ---- plain numbers ---- */

static void dequant_f32(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    memcpy(out, in, (size_t)blocks * sizeof *out);
}

static void dequant_f16(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++) {
        uint16_t h;
        memcpy(&h, in + 2 * i, sizeof h);
        out[i] = from_half(h);
    }
}

static void dequant_bf16(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++) {
        uint16_t h;
        memcpy(&h, in + 2 * i, sizeof h);
        out[i] = from_bits((uint32_t)h << 16);
    }
}

static void dequant_f64(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++) {
        double x;
        memcpy(&x, in + 8 * i, sizeof x);
        out[i] = (float)x;
    }
}

/* ---- blocks of 32: byte j holds weight j in its low half, weight j + 16 in its high half ---- */

struct block_q4_0 { /* d (q - 8) */
    uint16_t d;
    uint8_t qs[16];
};
_Static_assert(sizeof(struct block_q4_0) == 18, "Q4_0");

static void dequant_q4_0(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++, out += 32) {
        struct block_q4_0 b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        const float d = from_half(b.d);
        for (int j = 0; j < 16; j++) out[j] = d * (float)((b.qs[j] & 15) - 8);
        for (int j = 0; j < 16; j++) out[j + 16] = d * (float)((b.qs[j] >> 4) - 8);
    }
}

struct block_q4_1 { /* d q + m */
    uint16_t d, m;
    uint8_t qs[16];
};
_Static_assert(sizeof(struct block_q4_1) == 20, "Q4_1");

static void dequant_q4_1(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++, out += 32) {
        struct block_q4_1 b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        const float d = from_half(b.d), m = from_half(b.m);
        for (int j = 0; j < 16; j++) out[j] = d * (float)(b.qs[j] & 15) + m;
        for (int j = 0; j < 16; j++) out[j + 16] = d * (float)(b.qs[j] >> 4) + m;
    }
}

/* The fifth bit of weight j is bit j of qh. */
static inline uint32_t load_u32(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

struct block_q5_0 { /* d (q - 16) */
    uint16_t d;
    uint8_t qh[4];
    uint8_t qs[16];
};
_Static_assert(sizeof(struct block_q5_0) == 22, "Q5_0");

static void dequant_q5_0(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++, out += 32) {
        struct block_q5_0 b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        const float d = from_half(b.d);
        const uint32_t qh = load_u32(b.qh);
        for (int j = 0; j < 16; j++) {
            const int low = (b.qs[j] & 15) | (int)(qh >> j << 4 & 16);
            const int high = (b.qs[j] >> 4) | (int)(qh >> (j + 16) << 4 & 16);
            out[j] = d * (float)(low - 16);
            out[j + 16] = d * (float)(high - 16);
        }
    }
}

struct block_q5_1 { /* d q + m */
    uint16_t d, m;
    uint8_t qh[4];
    uint8_t qs[16];
};
_Static_assert(sizeof(struct block_q5_1) == 24, "Q5_1");

static void dequant_q5_1(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++, out += 32) {
        struct block_q5_1 b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        const float d = from_half(b.d), m = from_half(b.m);
        const uint32_t qh = load_u32(b.qh);
        for (int j = 0; j < 16; j++) {
            const int low = (b.qs[j] & 15) | (int)(qh >> j << 4 & 16);
            const int high = (b.qs[j] >> 4) | (int)(qh >> (j + 16) << 4 & 16);
            out[j] = d * (float)low + m;
            out[j + 16] = d * (float)high + m;
        }
    }
}

struct block_q8_0 { /* q d */
    uint16_t d;
    int8_t qs[32];
};
_Static_assert(sizeof(struct block_q8_0) == 34, "Q8_0");

static void dequant_q8_0(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++, out += 32) {
        struct block_q8_0 b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        const float d = from_half(b.d);
        for (int j = 0; j < 32; j++) out[j] = (float)b.qs[j] * d;
    }
}

/* The 16 values that IQ4_NL and IQ4_XS choose from: denser near 0. */
static const int8_t nonlinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};

static void nonlinear_32(float *restrict out, float d, const uint8_t *restrict qs)
{
    for (int j = 0; j < 16; j++) out[j] = d * (float)nonlinear[qs[j] & 15];
    for (int j = 0; j < 16; j++) out[j + 16] = d * (float)nonlinear[qs[j] >> 4];
}

struct block_iq4_nl { /* d nonlinear[q] */
    uint16_t d;
    uint8_t qs[16];
};
_Static_assert(sizeof(struct block_iq4_nl) == 18, "IQ4_NL");

static void dequant_iq4_nl(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++, out += 32) {
        struct block_iq4_nl b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        nonlinear_32(out, from_half(b.d), b.qs);
    }
}

/* ---- blocks of 256 ---- */

struct block_iq4_xs { /* (d (scale - 32)) nonlinear[q], a scale of 6 bits for 32 weights */
    uint16_t d;
    uint16_t scales_h;   /* bits 2g and 2g + 1 are the upper two of group g's scale */
    uint8_t scales_l[4]; /* its low four, of even groups in the low halves */
    uint8_t qs[128];     /* 16 bytes a group, as IQ4_NL has them */
};
_Static_assert(sizeof(struct block_iq4_xs) == 136, "IQ4_XS");

static void dequant_iq4_xs(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++) {
        struct block_iq4_xs b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        const float d = from_half(b.d);
        for (int g = 0; g < 8; g++, out += 32) {
            const int low = b.scales_l[g / 2] >> g % 2 * 4 & 15;
            const int scale = low | (b.scales_h >> 2 * g & 3) << 4;
            nonlinear_32(out, d * (float)(scale - 32), b.qs + g * 16);
        }
    }
}

/* Q2_K and Q3_K: 16 groups of 16, of which 8 share 32 bytes: weight j of group s has the bits 2k and
 * 2k + 1, k = s / 2 % 4, of byte 32 (s / 8) + 16 (s % 2) + j. */
static inline int two_bits(const uint8_t qs[64], int s, int j)
{
    return qs[s / 8 * 32 + s % 2 * 16 + j] >> s / 2 % 4 * 2 & 3;
}

struct block_q2_k {     /* (d scale) q - (dmin min), four bits of each for 16 weights */
    uint8_t scales[16]; /* scale in the low half, min in the high half */
    uint8_t qs[64];
    uint16_t d, dmin;
};
_Static_assert(sizeof(struct block_q2_k) == 84, "Q2_K");

static void dequant_q2_k(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++) {
        struct block_q2_k b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        const float d = from_half(b.d), dmin = from_half(b.dmin);
        for (int s = 0; s < 16; s++, out += 16) {
            const float scale = d * (float)(b.scales[s] & 15);
            const float min = dmin * (float)(b.scales[s] >> 4);
            for (int j = 0; j < 16; j++) out[j] = scale * (float)two_bits(b.qs, s, j) - min;
        }
    }
}

/* The low four bits of scales 0-7 are the low halves of bytes 0-7, those of 8-15 the high halves;
 * the upper two of scale s are bits 2 (s / 4) and up of byte 8 + s % 4. */
static inline int packed_scale(const uint8_t scales[12], int s)
{
    return (scales[s % 8] >> s / 8 * 4 & 15) | (scales[8 + s % 4] >> s / 4 * 2 & 3) << 4;
}

struct block_q3_k { /* (d (scale - 32)) (q - 4), a scale for 16 weights */
    uint8_t qh[32]; /* the third bit of weight j of group s is bit s / 2 of qh[16 (s % 2) + j] */
    uint8_t qs[64];
    uint8_t scales[12];
    uint16_t d;
};
_Static_assert(sizeof(struct block_q3_k) == 110, "Q3_K");

static void dequant_q3_k(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++) {
        struct block_q3_k b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        const float d = from_half(b.d);
        for (int s = 0; s < 16; s++, out += 16) {
            const float scale = d * (float)(packed_scale(b.scales, s) - 32);
            const uint8_t *qh = b.qh + s % 2 * 16;
            for (int j = 0; j < 16; j++) {
                const int q = two_bits(b.qs, s, j) | (qh[j] >> s / 2 & 1) << 2;
                out[j] = scale * (float)(q - 4);
            }
        }
    }
}

/*
 * Q4_K and Q5_K: 8 groups of 32, each with a scale and a minimum of 6 bits. Bytes 0-3 hold the low
 * 6 bits' scales 0-3, bytes 4-7 the minima 0-3; bytes 8-11 the low 4 bits of scale (low half) and
 * minimum (high half) 4-7, whose upper 2 bits are the top of bytes 0-3 and 4-7.
 */
static inline int group_scale(const uint8_t s[12], int g)
{
    return g < 4 ? s[g] & 63 : (s[g + 4] & 15) | (s[g - 4] >> 2 & 48);
}

static inline int group_min(const uint8_t s[12], int g)
{
    return g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | (s[g] >> 2 & 48);
}

struct block_q4_k { /* (d scale) q - (dmin min) */
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qs[128]; /* 32 bytes hold group 2k in their low halves, 2k + 1 in their high halves */
};
_Static_assert(sizeof(struct block_q4_k) == 144, "Q4_K");

static void dequant_q4_k(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++) {
        struct block_q4_k b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        const float d = from_half(b.d), dmin = from_half(b.dmin);
        for (int g = 0; g < 8; g += 2, out += 64) {
            const float scale0 = d * (float)group_scale(b.scales, g);
            const float min0 = dmin * (float)group_min(b.scales, g);
            const float scale1 = d * (float)group_scale(b.scales, g + 1);
            const float min1 = dmin * (float)group_min(b.scales, g + 1);
            const uint8_t *qs = b.qs + g * 16;
            for (int j = 0; j < 32; j++) out[j] = scale0 * (float)(qs[j] & 15) - min0;
            for (int j = 0; j < 32; j++) out[j + 32] = scale1 * (float)(qs[j] >> 4) - min1;
        }
    }
}

struct block_q5_k { /* as Q4_K; the fifth bit of weight j of group g is bit g of qh[j] */
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
};
_Static_assert(sizeof(struct block_q5_k) == 176, "Q5_K");

static void dequant_q5_k(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++) {
        struct block_q5_k b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        const float d = from_half(b.d), dmin = from_half(b.dmin);
        for (int g = 0; g < 8; g++, out += 32) {
            const float scale = d * (float)group_scale(b.scales, g);
            const float min = dmin * (float)group_min(b.scales, g);
            const uint8_t *qs = b.qs + g / 2 * 32;
            const int shift = g % 2 * 4;
            for (int j = 0; j < 32; j++) {
                const int q = (qs[j] >> shift & 15) | (b.qh[j] >> g & 1) << 4;
                out[j] = scale * (float)q - min;
            }
        }
    }
}

/* Two halves of 128 weights; each has 4 groups of 32. Groups 0 and 1 are the low halves of the 64
 * bytes of ql, groups 2 and 3 the high halves; their upper two bits are bits 2g of qh. */
struct block_q6_k { /* (d scale) (q - 32), a scale for 16 weights */
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    uint16_t d;
};
_Static_assert(sizeof(struct block_q6_k) == 210, "Q6_K");

static void dequant_q6_k(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++) {
        struct block_q6_k b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        const float d = from_half(b.d);
        for (int s = 0; s < 16; s++, out += 16) { /* s counts sixteens, g the groups of a half */
            const int half = s / 8, g = s / 2 % 4, within = s % 2 * 16;
            const uint8_t *ql = b.ql + half * 64 + g % 2 * 32 + within;
            const uint8_t *qh = b.qh + half * 32 + within;
            const float scale = d * (float)b.scales[s];
            for (int j = 0; j < 16; j++) {
                const int q = (ql[j] >> (g / 2 * 4) & 15) | (qh[j] >> (g * 2) & 3) << 4;
                out[j] = scale * (float)(q - 32);
            }
        }
    }
}

struct block_q8_k { /* d q, the one format whose d is a float */
    float d;
    int8_t qs[256];
    int16_t sums[16]; /* of 16 weights each, for products with other formats */
};
_Static_assert(sizeof(struct block_q8_k) == 292, "Q8_K");

static void dequant_q8_k(float *restrict out, const uint8_t *restrict in, int64_t blocks)
{
    for (int64_t i = 0; i < blocks; i++, out += 256) {
        struct block_q8_k b;
        memcpy(&b, in + i * (int64_t)sizeof b, sizeof b);
        for (int j = 0; j < 256; j++) out[j] = b.d * (float)b.qs[j];
    }
}

/* ---- table ---- */

enum { LARGEST_BLOCK = 256 };
static const ph_quant quants[PH_DTYPE_COUNT] = {
    [PH_F32] = {"F32", 0, 1, 4, dequant_f32},
    [PH_F16] = {"F16", 1, 1, 2, dequant_f16},
    [PH_BF16] = {"BF16", 30, 1, 2, dequant_bf16},
    [PH_Q4_0] = {"Q4_0", 2, 32, sizeof(struct block_q4_0), dequant_q4_0},
    [PH_Q4_1] = {"Q4_1", 3, 32, sizeof(struct block_q4_1), dequant_q4_1},
    [PH_Q5_0] = {"Q5_0", 6, 32, sizeof(struct block_q5_0), dequant_q5_0},
    [PH_Q5_1] = {"Q5_1", 7, 32, sizeof(struct block_q5_1), dequant_q5_1},
    [PH_Q8_0] = {"Q8_0", 8, 32, sizeof(struct block_q8_0), dequant_q8_0},
    [PH_Q4_K] = {"Q4_K", 12, 256, sizeof(struct block_q4_k), dequant_q4_k},
    [PH_Q5_K] = {"Q5_K", 13, 256, sizeof(struct block_q5_k), dequant_q5_k},
    [PH_Q6_K] = {"Q6_K", 14, 256, sizeof(struct block_q6_k), dequant_q6_k},
    [PH_Q2_K] = {"Q2_K", 10, 256, sizeof(struct block_q2_k), dequant_q2_k},
    [PH_Q3_K] = {"Q3_K", 11, 256, sizeof(struct block_q3_k), dequant_q3_k},
    [PH_Q8_K] = {"Q8_K", 15, 256, sizeof(struct block_q8_k), dequant_q8_k},
    [PH_IQ4_NL] = {"IQ4_NL", 20, 32, sizeof(struct block_iq4_nl), dequant_iq4_nl},
    [PH_IQ4_XS] = {"IQ4_XS", 23, 256, sizeof(struct block_iq4_xs), dequant_iq4_xs},
    [PH_F64] = {"F64", -1, 1, 8, dequant_f64},
};

/* Also the numbers that GGUF has given up. */
static const char *const gguf_types[] = {
    [0] = "F32",     [1] = "F16",         [2] = "Q4_0",        [3] = "Q4_1",        [4] = "Q4_2",
    [5] = "Q4_3",    [6] = "Q5_0",        [7] = "Q5_1",        [8] = "Q8_0",        [9] = "Q8_1",
    [10] = "Q2_K",   [11] = "Q3_K",       [12] = "Q4_K",       [13] = "Q5_K",       [14] = "Q6_K",
    [15] = "Q8_K",   [16] = "IQ2_XXS",    [17] = "IQ2_XS",     [18] = "IQ3_XXS",    [19] = "IQ1_S",
    [20] = "IQ4_NL", [21] = "IQ3_S",      [22] = "IQ2_S",      [23] = "IQ4_XS",     [24] = "I8",
    [25] = "I16",    [26] = "I32",        [27] = "I64",        [28] = "F64",        [29] = "IQ1_M",
    [30] = "BF16",   [31] = "Q4_0_4_4",   [32] = "Q4_0_4_8",   [33] = "Q4_0_8_8",   [34] = "TQ1_0",
    [35] = "TQ2_0",  [36] = "IQ4_NL_4_4", [37] = "IQ4_NL_4_8", [38] = "IQ4_NL_8_8", [39] = "MXFP4",
    [40] = "NVFP4",  [41] = "Q1_0",
};

const ph_quant *ph__quant(ph_dtype type)
{
    return &quants[type];
}

int ph__quant_from_gguf(int64_t number)
{
    for (int i = 0; i < PH_DTYPE_COUNT; i++)
        if (number >= 0 && quants[i].gguf == number) return i;
    return -1;
}

const char *ph__gguf_type_name(int64_t number)
{
    const int64_t n = sizeof gguf_types / sizeof *gguf_types;
    return number >= 0 && number < n ? gguf_types[number] : NULL;
}

void ph__dequant_rows(float *out, const ph_tensor *t, int64_t first, int64_t rows)
{
    const ph_quant *q = ph__quant(t->type);
    const int64_t blocks = t->shape[t->dims - 1] / q->block; /* of a row */
    const int64_t row_bytes = blocks * (int64_t)q->block_bytes;
    q->dequant(out, t->data + first * row_bytes, rows * blocks);
}

void ph__dequant_all(float *out, const ph_tensor *t)
{
    ph__dequant_rows(out, t, 0, t->dims == 1 ? 1 : t->shape[0]);
}

void ph__dequant_part(float *out, const ph_tensor *t, int64_t row, int64_t first, int64_t n)
{
    const ph_quant *q = ph__quant(t->type);
    const int64_t in_row = t->shape[t->dims - 1] / q->block, skip = first % q->block;
    const uint8_t *in = t->data + (row * in_row + first / q->block) * (int64_t)q->block_bytes;
    float block[LARGEST_BLOCK];

    if (skip) { /* the end of a block */
        const int64_t rest = q->block - skip < n ? q->block - skip : n;
        q->dequant(block, in, 1);
        memcpy(out, block + skip, (size_t)rest * sizeof *out);
        in += q->block_bytes;
        out += rest;
        n -= rest;
    }
    q->dequant(out, in, n / q->block);
    if (n % q->block == 0) return;
    q->dequant(block, in + n / q->block * (int64_t)q->block_bytes, 1);
    memcpy(out + n / q->block * q->block, block, (size_t)(n % q->block) * sizeof *out);
}
