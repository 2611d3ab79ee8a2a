/* phosphene.h — find the text that a unit of a language model responds to.
 *
 * This is the only public header; read from top to bottom it is the manual of the library.
 *
 *   1 status      how functions fail
 *   2 model       open a GGUF file, look at it
 *   3 tokenizer   text to ids and back
 *   4 features    the language that names units of a model: "block 8 [:, :, 0-4]"
 *   5 search      dream (find texts), scan, score, attribute
 *   6 low level   a session: forward to a place in the model, backward from it
 *
 * A first program, without its error checks:
 *
 *     ph_model *model = NULL;
 *     ph_features *features = NULL;
 *     ph_model_open(&model, "model.gguf", NULL, &err);
 *     ph_features_parse(&features, ph_model_get_info(model), "block 8 [:, :, 0-4]", &err);
 *     ph_dream(model, features, NULL, print_answer, NULL, NULL, &err);
 *     ph_features_close(&features);
 *     ph_model_close(&model);
 *
 * Ownership. A parameter `T **out` in front: the caller owns *out and ends it with ph_t_close(&x),
 * which accepts NULL and sets it to NULL. A returned pointer is borrowed from the object it was
 * asked of and lives as long. Arguments of callbacks are borrowed for the call. Arrays handed out
 * by `T **out` are freed with ph_free.
 *
 * Threads. A model, tokenizer or features object does not change after it was opened: any number
 * of threads may use one. A session belongs to one thread at a time. The library has no global
 * state, reads no environment variable, prints nothing, never exits.
 *
 * Options structs begin with their size and have an initialiser PH_…_INIT that sets the defaults;
 * NULL in place of options means those defaults.
 *
 * Shapes in comments: B rows, T tokens, C width of the residual stream, F width of the MLP,
 * V vocabulary. All arrays are dense, the last index runs fastest.
 */
#ifndef PHOSPHENE_H
#define PHOSPHENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PH_API __attribute__((visibility("default")))
#else
#define PH_API
#endif

/* ---- 1 status ----------------------------------------------------------------------------------
 *
 * Functions that can fail return a status, PH_OK is 0. Their last parameter, NULL allowed, is an
 * error of the caller's own that is filled on failure: the code, a message of one line that names
 * the thing, and where there is one the byte offset it is about (in a spec, a text or a file;
 * else -1).
 */
typedef enum ph_status {
    PH_OK = 0,
    PH_EINVAL,       /* an option or argument that makes no sense */
    PH_ENOMEM,       /* memory could not be had */
    PH_EIO,          /* the system could not read or write a file */
    PH_EFORMAT,      /* a file's content contradicts its format */
    PH_EUNSUPPORTED, /* correct, but not implemented: the message names what is missing */
    PH_ESPEC,        /* the feature language: pos points at the byte */
    PH_ERANGE,       /* an index outside of this model, text or region; pos as above */
    PH_ETEXT,        /* text that is not UTF-8, or cannot be used as asked */
    PH_ENUMERIC,     /* the model computed NaN or infinity */
    PH_ECANCELED,    /* a callback asked to stop; what was handed out before stays valid */
    PH_STATUS_COUNT
} ph_status;

typedef struct ph_error {
    ph_status code;
    int64_t pos;
    char msg[240];
} ph_error;

/* A status in two words, for programs that have lost the message. */
PH_API const char *ph_status_name(ph_status code);
/* Version of the library, "0.1.0". */
PH_API const char *ph_version(void);
/* Free an array that a function handed out; NULL allowed. */
PH_API void ph_free(void *p);

/* ---- 2 model ----------------------------------------------------------------------------------- */

typedef struct ph_model ph_model;

/* backend  "onednn" (fast, if the library was built with it), "cpu" (plain C), "ref" (float
 *          reference), "ref64" (the same in double); NULL: the first of these that is there
 * threads  0: one for each processor this process may use */
typedef struct ph_model_options {
    size_t size;
    const char *backend;
    int threads;
} ph_model_options;
#define PH_MODEL_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(ph_model_options), NULL, 0                                                          \
    }

/* What a model file says of itself. Strings are borrowed from the model, never NULL. */
typedef struct ph_model_info {
    const char *path;    /* as given to open */
    const char *name;    /* general.name, or the file's name */
    const char *family;  /* general.architecture: "llama", … */
    const char *quant;   /* the type most matrix weights have: "Q4_1", … */
    const char *backend; /* what computes */
    int64_t blocks, width, heads, kv_heads, head_width, ffn, vocab, context_length;
    bool tied;                /* the output matrix is the embedding matrix */
    int64_t parameters;       /* number of weights in the file */
    int64_t block_parameters; /* weights of one block's matrices */
    size_t file_bytes;
    int threads;
} ph_model_info;

typedef struct ph_tensor_info {
    const char *name;
    const char *type; /* "F32", "Q4_K", … */
    int64_t shape[4]; /* slowest index first: a matrix is (outputs, inputs) */
    int dims;
    size_t bytes;
} ph_tensor_info;

/* Map a GGUF file and check all of it that is not weights. Nothing is dequantised yet: blocks are
 * made ready when a session first needs them, and then shared by all sessions of the model. */
PH_API ph_status ph_model_open(ph_model **out, const char *path, const ph_model_options *options,
                               ph_error *err);
PH_API void ph_model_close(ph_model **model);
PH_API const ph_model_info *ph_model_get_info(const ph_model *model);
/* sha256 of the whole file, 64 hexadecimal digits and a 0; reads the file once. */
PH_API ph_status ph_model_sha256(const ph_model *model, char out[65], ph_error *err);
/* i-th tensor of the file, in the file's order; false past the last. */
PH_API bool ph_model_tensor(const ph_model *model, size_t i, ph_tensor_info *out);

/* ---- 3 tokenizer ------------------------------------------------------------------------------- */

typedef struct ph_tokenizer ph_tokenizer;

typedef enum ph_token_kind { /* numbers as in GGUF */
                             PH_TOKEN_NORMAL = 1,
                             PH_TOKEN_UNKNOWN = 2,
                             PH_TOKEN_CONTROL = 3,
                             PH_TOKEN_USER_DEFINED = 4,
                             PH_TOKEN_UNUSED = 5,
                             PH_TOKEN_BYTE = 6
} ph_token_kind;

enum {
    PH_ENCODE_SPECIAL = 1, /* parse special tokens such as <|endoftext|> in the text */
    PH_ENCODE_ADD = 2      /* add the BOS and EOS that the tokenizer's own flags ask for */
};

typedef struct ph_tokenizer_info {
    const char *model, *pre; /* "gpt2" (byte-level BPE), "smollm": tokenizer.ggml.model and .pre */
    int32_t vocab;
    int32_t bos, eos, eot; /* -1 where there is none; eot is the end-of-text token, by name */
    bool add_bos, add_eos;
} ph_tokenizer_info;

/* Open the tokenizer of a GGUF file, which may hold a vocabulary only, of any architecture. */
PH_API ph_status ph_tokenizer_open(ph_tokenizer **out, const char *path, ph_error *err);
PH_API void ph_tokenizer_close(ph_tokenizer **tokenizer);
/* The model's own, borrowed; NULL for a model without a vocabulary. */
PH_API const ph_tokenizer *ph_model_tokenizer(const ph_model *model);
PH_API const ph_tokenizer_info *ph_tokenizer_get_info(const ph_tokenizer *t);

/* *ids = the n ids of a text of `bytes` bytes, to be freed with ph_free; an empty text gives n = 0.
 * flags: PH_ENCODE_… or 0. Errors: PH_ETEXT at the first byte that is not UTF-8. */
PH_API ph_status ph_tokenizer_encode(int32_t **ids, size_t *n, const ph_tokenizer *t,
                                     const char *text, size_t bytes, unsigned flags, ph_error *err);
/* *text = the ids' bytes and a 0, to be freed with ph_free. The bytes need not be valid UTF-8. */
PH_API ph_status ph_tokenizer_decode(char **text, size_t *bytes, const ph_tokenizer *t,
                                     const int32_t *ids, size_t n, ph_error *err);
/* The bytes of one token, borrowed; NULL for an id out of range. */
PH_API const char *ph_tokenizer_piece(const ph_tokenizer *t, int32_t id, size_t *bytes);
PH_API ph_token_kind ph_tokenizer_kind(const ph_tokenizer *t, int32_t id);
/* *out = the bytes as valid UTF-8 and a 0, U+FFFD for what was not; to be freed with ph_free. */
PH_API ph_status ph_utf8_clean(char **out, const char *bytes, size_t n, ph_error *err);

/* ---- 4 features --------------------------------------------------------------------------------
 *
 * A feature is a place in the model and a region of its output: which tokens, which components.
 *
 *     block 8 [:, :, 2000]        component 2000 of block 8's output, at every token
 *     block 8 [:, :, 0-4]         five features, one after another (4 included)
 *     block 8 [:, :, 0:4]         one feature, components 0 to 3 together (4 excluded)
 *     block 8 [:, -1, 5]          at the last token
 *     only block 32 [:, :, 5]     block 32 alone, fed with the embedding
 *     block 8 attn|mlp|neuron [], embed [], final [], logits []
 *     blocks.7.hook_resid_post[:, -1, 2000]     TransformerLens's names, counting from 0
 *
 * Blocks count from 1, tokens and components from 0. Specs are joined by commas. The grammar is in
 * docs/FEATURES.md.
 */
typedef enum ph_place {
    PH_PLACE_BLOCK = 0, /* the residual stream after a block: C components */
    PH_PLACE_ATTN,      /* a block's attention, before it is added to the stream: C */
    PH_PLACE_MLP,       /* a block's MLP, before it is added to the stream: C */
    PH_PLACE_NEURON,    /* the MLP's hidden neurons, after nonlinearity and gate: F */
    PH_PLACE_EMBED,     /* the embedding as the blocks receive it: C */
    PH_PLACE_FINAL,     /* the last stream after the final norm: C */
    PH_PLACE_LOGITS,    /* the output scores: V */
    PH_PLACE_COUNT
} ph_place;

#define PH_END INT64_MAX /* as the end of a range: up to the last */

/* Half-open range. On the token axis begin and end may be negative: counted from the end. */
typedef struct ph_range {
    int64_t begin, end;
} ph_range;

typedef struct ph_tap {
    ph_place place;
    bool only;     /* this block alone, fed with the embedding */
    int64_t block; /* 1 … blocks, 0 for embed, final and logits */
} ph_tap;

typedef struct ph_feature {
    ph_tap tap;
    ph_range tokens;     /* {0, PH_END} is ":"; {-1, PH_END} is "-1" */
    ph_range components; /* resolved: 0 ≤ begin < end ≤ width of the place */
    const char *text;    /* canonical form, borrowed from the ph_features */
} ph_feature;

typedef struct ph_features ph_features;

/* Parse and expand specs for a model. Errors: PH_ESPEC (does not parse) and PH_ERANGE (this model
 * has no such place or component), both with pos = byte offset in `specs`. */
PH_API ph_status ph_features_parse(ph_features **out, const ph_model_info *model, const char *specs,
                                   ph_error *err);
PH_API void ph_features_close(ph_features **features);
PH_API size_t ph_features_count(const ph_features *features);
/* i-th expanded feature, in the order written; NULL past the last. */
PH_API const ph_feature *ph_features_at(const ph_features *features, size_t i);
/* Number of components of a place: C, F or V. */
PH_API int64_t ph_place_width(const ph_model_info *model, ph_place place);

/* ---- 5 search ----------------------------------------------------------------------------------
 *
 * The activation of a feature on a text is its region reduced: first the mean over the region's
 * components gives a value per token, then ph_reduce makes one number of the region's tokens.
 * Context (BOS, prefix, suffix) is never inside a region: token 0 is the first searched or given
 * one.
 */
typedef enum ph_reduce {
    PH_REDUCE_DEFAULT = 0, /* mean; max for neuron and logits */
    PH_REDUCE_MEAN,
    PH_REDUCE_MAX,
    PH_REDUCE_LAST,
    PH_REDUCE_COUNT
} ph_reduce;

typedef enum ph_bos {
    PH_BOS_AUTO = 0, /* the tokenizer's BOS if it adds one, else its end-of-text token, else none */
    PH_BOS_ON,       /* the same, but having none is an error */
    PH_BOS_OFF
} ph_bos;

/* Called often while a search works: what it does, how far it is (0 … 1), and for a stage that has
 * just ended done == 1. Nonzero return cancels: the search returns PH_ECANCELED. */
typedef int (*ph_progress)(const char *stage, double done, void *payload);

/* What all searches have in common. */
typedef struct ph_run_options {
    ph_bos bos;
    const char *prefix, *suffix; /* fixed text around the searched one; special tokens are parsed */
    ph_reduce reduce;
    int sign; /* 1; -1 searches the most negative activation */
    uint64_t seed;
    const char *cache; /* an existing folder for complete searches that were done; NULL: none */
    ph_progress progress;
    void *progress_payload;
} ph_run_options;
#define PH_RUN_OPTIONS_INIT                                                                        \
    {                                                                                              \
        PH_BOS_AUTO, NULL, NULL, PH_REDUCE_DEFAULT, 1, 0, NULL, NULL, NULL                         \
    }

/* *ids = the context that stands before every text: BOS and prefix; ph_free. */
PH_API ph_status ph_context(int32_t **ids, size_t *n, const ph_model *model,
                            const ph_run_options *options, ph_error *err);
/* How a feature is reduced under these options: "mean", "max" or "last". */
PH_API const char *ph_reduce_name(const ph_feature *feature, ph_reduce reduce);

/* dream: gradient descent on the input embedding, decoded to tokens, re-scored as text.
 *
 * e <- e - eta_n * d/de objective(e), n = 0 … steps-1, eta falling linearly (Badger, Language Model
 * Features). Every row, one feature from one random start, is then decoded in several ways; every
 * decode is printed as text, tokenised again and scored by a plain forward pass. What is handed
 * out is ranked by that last figure.
 */
typedef struct ph_dream_options {
    size_t size;
    ph_run_options run;
    int64_t tokens;   /* length of the searched text, 5 */
    int64_t steps;    /* 100 */
    int64_t restarts; /* random starts per feature, 8; 0: that default, 1 for text starts */
    double eta_first, eta_last;       /* 1, 0.1 */
    bool eta_first_rms, eta_last_rms; /* that end is in units of the embedding's rms */
    double target;                    /* c of the objectives, 100 */
    const char *objective; /* "l1" sum |c-O|, "l2" sum (c-O)^2, "linear" -sum O, over the region */
    const char *optimizer; /* "gd", "adam" */
    const char *start;     /* "half" N(1/2,1/20), "normal" N(0,1), "rms" N(0,rms), "tokens",
                               "text:…" (its own number of tokens counts then) */
    const char *decode;    /* a name of ph_decode_name, or "all" */
    int64_t top;           /* answers per feature, different ones, 1 */
} ph_dream_options;
#define PH_DREAM_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(ph_dream_options), PH_RUN_OPTIONS_INIT, 5, 100, 0, 1.0, 0.1, false, false, 100.0,   \
            "l1", "gd", "half", "all", 1                                                           \
    }

/* Names of the tables' rows, in order; NULL past the last. */
PH_API const char *ph_objective_name(size_t i);
PH_API const char *ph_optimizer_name(size_t i);
PH_API const char *ph_start_name(size_t i);
PH_API const char *ph_decode_name(size_t i);

/* Activations: NaN where there is none (a text that no longer has the region's token). */
typedef struct ph_activation {
    double text; /* of the printed text, tokenised again: the figure that counts */
    double ids;  /* of the decoded tokens */
    double soft; /* of the optimised embedding */
} ph_activation;

/* One decode of one row. */
typedef struct ph_decoded {
    const char *decode;
    const int32_t *ids;      /* n of them */
    const int32_t *text_ids; /* n_text: what the printed text tokenises to */
    size_t n, n_text;
    const char *text; /* valid UTF-8, as printed; text_bytes long, then a 0 */
    size_t text_bytes;
    ph_activation activation;
    const double *values; /* n: the feature at each of ids */
    double max;           /* largest value (smallest for sign -1) in the region … */
    int64_t max_pos;      /* … and its token */
    bool round_trip;      /* text_ids equal ids */
    bool special;         /* names special or unused tokens: never wins */
    double norm_ratio;    /* largest norm at the tap over the region / median of random texts */
} ph_decoded;

typedef struct ph_near {
    int32_t id;
    double value;
} ph_near;

typedef struct ph_dream_result {
    const ph_feature *feature;
    const char *method;
    int64_t restart;
    size_t rank;              /* 0 for the feature's best answer */
    const ph_decoded *answer; /* the best of: */
    const ph_decoded *decodes;
    size_t n_decodes;
    double z; /* (activation.text - mean)/sd of random texts */
    double random_mean, random_sd, random_min, random_max;
    int64_t random_n;
    ph_near best_token;  /* exact, over all ordinary tokens; id -1: not computed */
    double repeated;     /* activation of `tokens` copies of it */
    const double *curve; /* soft activation before every step, and after the last */
    size_t n_curve;
    const ph_near *nearest; /* for each position the nearest token of e and its cosine */
    size_t n_nearest;
    int64_t token_forwards; /* spent on this feature; a backward counts two */
    double seconds;         /* of the batch this feature was in, divided by its features */
} ph_dream_result;

/* Borrowed for the call; nonzero return cancels. */
typedef int (*ph_dream_fn)(const ph_dream_result *result, void *payload);

typedef struct ph_cost {
    int64_t rows, token_forwards;
    double descent_seconds, descent_flops; /* the steps alone, without decode and yardsticks */
    double first_step;                     /* seconds from the call to the end of the first step */
} ph_cost;

/* Search all features; results come in their order, `top` for each. cost may be NULL. */
PH_API ph_status ph_dream(const ph_model *model, const ph_features *features,
                          const ph_dream_options *options, ph_dream_fn result, void *payload,
                          ph_cost *cost, ph_error *err);

/* scan: complete search. Every token of the vocabulary, alone after the context, exact. */
typedef struct ph_scan_options {
    size_t size;
    ph_run_options run;
    int64_t top; /* tokens in the top and bottom lists, 10 */
} ph_scan_options;
#define PH_SCAN_OPTIONS_INIT                                                                       \
    {                                                                                              \
        sizeof(ph_scan_options), PH_RUN_OPTIONS_INIT, 10                                           \
    }

typedef struct ph_scan_result {
    const ph_feature *feature;
    const ph_near *top, *bottom; /* n_top each: highest first, lowest first */
    size_t n_top;
    double mean, sd;
    int64_t n;
} ph_scan_result;
typedef int (*ph_scan_fn)(const ph_scan_result *result, void *payload);
PH_API ph_status ph_scan(const ph_model *model, const ph_features *features,
                         const ph_scan_options *options, ph_scan_fn result, void *payload,
                         ph_error *err);

/* A text as it is given: bytes, or ids where ids is not NULL. */
typedef struct ph_text {
    const char *text;
    size_t bytes;
    const int32_t *ids;
    size_t n_ids;
} ph_text;

/* score: the activation of a text. attribute: which of its tokens cause it, by the gradient of the
 * activation with respect to the embedding: its Euclidean norm, and gradient × input. */
typedef struct ph_score_result {
    const ph_feature *feature;
    const int32_t *ids; /* n */
    size_t n;
    const double *values; /* n: the feature at each token */
    double activation;
    const double *grad_norm;    /* n, attribute only */
    const double *grad_x_input; /* n, attribute only */
} ph_score_result;
typedef int (*ph_score_fn)(const ph_score_result *result, void *payload);
PH_API ph_status ph_score(const ph_model *model, const ph_features *features, const ph_text *text,
                          const ph_run_options *options, ph_score_fn result, void *payload,
                          ph_error *err);
PH_API ph_status ph_attribute(const ph_model *model, const ph_features *features,
                              const ph_text *text, const ph_run_options *options,
                              ph_score_fn result, void *payload, ph_error *err);

/* bench: how fast this machine is, and how near to that a search comes. */
typedef struct ph_bench_result {
    const char *work;            /* "peak" or "descent" */
    int64_t block, rows, tokens; /* 0 for peak */
    double seconds;              /* peak: of one product; descent: of one step; warm median */
    double spread;               /* (third quartile - first quartile) / median */
    double gflops, peak_gflops, share;
} ph_bench_result;
typedef int (*ph_bench_fn)(const ph_bench_result *result, void *payload);
/* The machine's best dense float32 product, by the model's backend. */
PH_API ph_status ph_bench_peak(const ph_model *model, ph_bench_result *out, ph_error *err);
/* Descent steps to a block with that many rows and tokens, against a peak measured before. */
PH_API ph_status ph_bench_descent(const ph_model *model, int64_t block, int64_t rows,
                                  int64_t tokens, double peak_gflops, ph_bench_result *out,
                                  ph_error *err);

/* ---- 6 low level --------------------------------------------------------------------------------
 *
 * A session runs a batch of rows of embeddings forward to a tap and a gradient at the tap back to
 * the embeddings. Nothing after the tap is loaded or computed.
 */
typedef struct ph_session ph_session;

typedef struct ph_session_options {
    size_t size;
    ph_tap tap;
    int64_t rows, tokens;   /* largest batch: B rows of T tokens each */
    const int32_t *context; /* ids that stand before every row; run once */
    size_t n_context;
    bool gradient; /* backward will be called */
} ph_session_options;
#define PH_SESSION_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(ph_session_options), {PH_PLACE_BLOCK, false, 1}, 1, 5, NULL, 0, false               \
    }

PH_API ph_status ph_session_open(ph_session **out, const ph_model *model,
                                 const ph_session_options *options, ph_error *err);
PH_API void ph_session_close(ph_session **session);
/* X (B,T,W) = the tap's output for E (B,T,C); W = ph_place_width. B ≤ rows. */
PH_API ph_status ph_session_forward(ph_session *session, float *X, const float *E, int64_t B,
                                    ph_error *err);
/* dE (B,T,C) = gradient for dX (B,T,W), of the B rows that the last forward call ran. */
PH_API ph_status ph_session_backward(ph_session *session, float *dE, const float *dX,
                                     ph_error *err);
/* Floating-point operations of a forward and of a backward of B rows. */
PH_API double ph_session_flops(const ph_session *session, int64_t B, bool backward);
/* Bytes that such a session needs: its own, and those of the packed weights it shares. */
PH_API ph_status ph_session_bytes(size_t *own, size_t *weights, const ph_model *model,
                                  const ph_session_options *options, ph_error *err);
/* E (n,C) = the embeddings of ids, as the blocks receive them. */
PH_API ph_status ph_model_embed(const ph_model *model, float *E, const int32_t *ids, size_t n,
                                ph_error *err);

#ifdef __cplusplus
}
#endif

#endif
