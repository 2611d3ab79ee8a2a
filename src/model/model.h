/* model.h — an open model: file, sizes, tokenizer, and packed weights made when first needed. */
#ifndef PH_MODEL_H
#define PH_MODEL_H

#include "model/arch.h"
#include "model/bind.h"

#include <pthread.h>

/* Tensors that stand one above the other, for products that read them from the file. */
typedef struct ph_source {
    const ph_tensor *parts[3];
    int n;
} ph_source;
enum { PH_SOURCE_QKV, PH_SOURCE_O, PH_SOURCE_GU, PH_SOURCE_DOWN, PH_SOURCES };

typedef struct ph_columns ph_columns;

/* One block's weights as a backend uses them; what a family does not have is NULL. Forward products,
 * then the backward ones, which are NULL until a session asks for gradients. */
typedef struct ph_block_weights {
    int64_t window;                         /* tokens that a token sees; 0: all before it */
    bool local;                             /* which of the run's rope angles */
    ph_real *attn_norm, *attn_norm_b;       /* (C) */
    ph_real *qkv_b, *q_norm, *k_norm;       /* ((H+2Hkv)D), as ph_arch's qk_norm says */
    ph_real *o_b, *post_attn;               /* (C) */
    ph_real *ffn_norm, *ffn_norm_b;         /* (C) */
    ph_real *gu_b, *down_b, *post_ffn;      /* (2F) or (F), (C), (C) */
    ph_matrix *qkv, *o, *gu, *down;         /* y = x W^T; qkv and gu are joined */
    ph_matrix *qkv_t, *o_t, *gu_t, *down_t; /* dx = dy W */
    ph_source sources[PH_SOURCES];          /* n is 0 where they are packed */
    const ph_columns *columns;              /* all that is wanted of the output; NULL: all of it */
} ph_block_weights;

typedef struct ph_head_weights {
    ph_real *norm, *norm_b; /* (C) */
    ph_real *out_b;         /* (V) */
    ph_matrix *out, *out_t;
    ph_source source;
} ph_head_weights;

struct ph_model {
    ph_weights *weights;
    ph_slots slots;
    ph_arch arch;
    ph_tokenizer *tokenizer; /* NULL if the file has none */
    ph_backend *backend;
    ph_model_info info;
    char *strings[3]; /* path, name and family that info borrows */
    bool untrained;   /* weights are drawn with `seed`, the slots' tensors have no data */
    uint64_t seed;
    char *shape;   /* NULL: the file's own sizes */
    bool streamed; /* the plan: matrices are read from the file whenever they are used */

    /* Packed on demand, under the lock; what is there stays until the model is closed. Logically the
     * model does not change: that is why these may be reached through a const model. */
    struct ph_packed {
        char sha256[65]; /* of the file, once it was asked for */
        pthread_mutex_t lock;
        ph_block_weights *blocks;
        ph_head_weights head;
        ph_real *positions; /* (context_length,C) learned ones */
        float *embedding;   /* (V,C) scaled, as the blocks receive it */
        double rms;         /* root mean square of it */
        float *dense;       /* a matrix before it is packed, room for … */
        size_t dense_count; /* … so many elements */
    } * packed;
};

/* m->packed and m->streamed, by the plan's name (NULL: auto); the sizes and the backend are known. */
ph_status ph__pack_open(ph_model *m, const char *plan, ph_error *err);
void ph__pack_close(ph_model *m);
/* Borrowed; packed now if this is the first time. n counts from 1; what stands behind `stop` in the
 * block is left alone. */
ph_status ph__model_block(const ph_block_weights **out, const ph_model *m, int64_t n, ph_place stop,
                          bool gradient, ph_error *err);
/* Block n's matrices were used and are not needed for a while: a streamed model lets their part of the
 * file go. */
void ph__model_leave(const ph_model *m, int64_t n);
/* The final norm, and with `output` the output matrix. */
ph_status ph__model_head(const ph_head_weights **out, const ph_model *m, bool output, bool gradient,
                         ph_error *err);
/* Learned positions (context_length,C); *out is NULL where the family has none. */
ph_status ph__model_positions(const ph_real **out, const ph_model *m, ph_error *err);
/* What tells these weights from all others, for keys of what is kept: the file's sha256, and how
 * untrained weights are drawn. To be freed with ph__free. */
ph_status ph__model_identity(char **out, const ph_model *m, ph_error *err);
/* One row of a tensor of the model's slots (of a vector, all of it), as float32. */
void ph__model_row(float *row, const ph_model *m, const ph_tensor *t, int64_t i);
/* The whole embedding matrix (V,C) as float32, borrowed, and its root mean square (rms may be
 * NULL). */
ph_status ph__model_embedding(const float **out, double *rms, const ph_model *m, ph_error *err);

#endif
