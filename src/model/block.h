/* block.h — one transformer block, forward and backward. */
#ifndef PH_BLOCK_H
#define PH_BLOCK_H

#include "model/model.h"

/* Rows of one length behind the same keys, among the tokens of a run. */
typedef struct ph_group {
    int64_t first;   /* their first token */
    int64_t B, T, P; /* rows, tokens of each, keys that stand before them … */
    int64_t keys;    /* … from this element of kc and vc on */
} ph_group;

/* Sizes of a run and what stands before its rows. */
typedef struct ph_run {
    const ph_arch *arch;
    const ph_backend *backend;
    ph_stream *stream;
    bool gradient;                  /* a backward pass may follow */
    int64_t B, T, P;                /* rows, tokens, context tokens */
    const ph_real *cos[2], *sin[2]; /* (P+T, rope_dims/2): of most blocks, of local ones */
    const ph_group *groups; /* forward only: how the B*T tokens divide; NULL: they are one group */
    int64_t n_groups;
} ph_run;

/* What a norm leaves behind for its gradient. */
typedef struct ph_norm_saved {
    ph_real *m, *r; /* (N); m of a layernorm only */
} ph_norm_saved;

/* What a block leaves behind for its backward pass, N = B*T. What a family does not have is NULL,
 * but qk, which then is qkv. */
typedef struct ph_block_state {
    const ph_real *x; /* (N,C) input, borrowed */
    ph_norm_saved attn_norm;
    ph_real *qkv;  /* (N,(H+2Hkv)D) as the product left it … */
    ph_real *qk;   /* … and q and k after their norms and rope, as far apart */
    ph_real *p;    /* (B,H,T,P+T) */
    ph_real *attn; /* (N,C) attention's output before the norm behind it */
    ph_norm_saved post_attn;
    ph_real *mid; /* (N,C) stream after attention */
    ph_norm_saved ffn_norm;
    ph_real *gu;  /* (N,2F), or (N,F) without a gate, before act; room in a run without gradient */
    ph_real *mlp; /* (N,C) the MLP's output before the norm behind it */
    ph_norm_saved post_ffn;
    ph_real *out;           /* (N,C) */
    const ph_real *kc, *vc; /* (P,Hkv,D) context */
} ph_block_state;

/* Room that every block uses anew. */
typedef struct ph_block_scratch {
    ph_real *normed; /* (N,C) */
    ph_real *o;      /* (N,HD) attention's output; its gradient in the backward pass */
    ph_real *h;      /* (N,F) neurons; their gradient */
    ph_real *branch; /* (N,C) what a branch adds to the stream; the gradient before its last norm */
    ph_real *dqkv;   /* (N,(H+2Hkv)D) */
    ph_real *dgu;    /* as gu */
} ph_block_scratch;

/* Gradients that enter inside a block, at its places: NULL where there is none. */
typedef struct ph_block_seeds {
    const ph_real *attn, *neuron, *mlp; /* (N,C), (N,F), (N,C) */
} ph_block_seeds;

/* Run a block up to a place (BLOCK: all of it), from its input (`from` EMBED) or going on behind the
 * place `from` where an earlier call stopped. The place's output: BLOCK s->out, ATTN and MLP
 * scratch->branch, NEURON scratch->h. */
void ph__block_forward(ph_block_state *s, ph_block_scratch *scratch, const ph_block_weights *w,
                       ph_place from, ph_place stop, const ph_run *run);
/* dx (N,C) in and out: holds the gradient at the block's output for BLOCK, and the one at its input
 * afterwards. For the other places `seed` is the gradient there and dx is only written. `inside`:
 * gradients at places before `start`, added. */
void ph__block_backward(ph_real *dx, const ph_real *seed, const ph_block_seeds *inside,
                        const ph_block_state *s, ph_block_scratch *scratch,
                        const ph_block_weights *w, ph_place start, const ph_run *run);
/* Keys and values that a run of a row of tokens left, (tokens,(H+2Hkv)D), become another one's context
 * kc, vc. line: room for Hkv*D. */
void ph__block_keys(ph_block_state *to, const ph_block_state *from, double *line, int64_t tokens,
                    const ph_arch *arch, ph_backend *be);
/* The end of a model: final = norm(x), logits (N,V) = cap(final W^T + b). */
void ph__final_forward(ph_real *final, ph_norm_saved *saved, const ph_real *x,
                       const ph_head_weights *w, int64_t N, const ph_run *run);
void ph__logits_forward(ph_real *logits, const ph_real *final, const ph_head_weights *w, int64_t N,
                        const ph_run *run);
/* dfinal (N,C) = the gradient from dlogits, which is overwritten; logits as the forward pass left
 * them. dx (N,C) = the gradient at the norm's input. */
void ph__logits_backward(ph_real *dfinal, ph_real *dlogits, const ph_real *logits,
                         const ph_head_weights *w, int64_t N, const ph_run *run);
void ph__final_backward(ph_real *dx, const ph_real *dfinal, const ph_real *x,
                        const ph_norm_saved *saved, const ph_head_weights *w, int64_t N,
                        const ph_run *run);
/* x (N,C) = E + the learned positions of B rows of T tokens behind P others. */
void ph__add_positions(ph_real *x, const ph_real *E, const ph_real *positions, int64_t B, int64_t T,
                       int64_t P, const ph_run *run);
/* Make every product of a block that is packed ready for N rows. */
ph_status ph__block_prepare(ph_stream *stream, const ph_backend *be, const ph_block_weights *w,
                            int64_t N, bool gradient, ph_error *err);

#endif
