/* phosphene.h — find the text that a unit of a language model responds to.
 *
 * This is the only public header; read from top to bottom it is the manual of the library.
 *
 *   1 status      how functions fail
 *   2 model       open a GGUF file or a folder, look at it
 *   3 tokenizer   text to ids and back
 *   4 features    the language that names units of a model: "block 8 [:, :, 0-4]"
 *   5 search      dream (find texts), scan and survey (complete search), score, attribute
 *   6 experiments recover, near, corpus, effect, bench
 *   7 low level   a session: forward to a place in the model, backward from it
 *   8 store       one file that keeps results: put, select, merge, check, lease
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

/* backend  "cpu" (vectors of what the processor has), "onednn" (the same with oneDNN's products, if
 *          the library was built with it), "ref" (float reference), "ref64" (the same in double);
 *          NULL: cpu
 * threads  0: one for each processor this process may use
 * untrained  the weights are drawn at random as the family initialises them before training, with
 *          this seed; the file gives the sizes and the vocabulary
 * shape    a name of ph_shape_name, "llama-7b": the sizes are that model's and the file gives the
 *          vocabulary only; always untrained
 * blocks   with untrained or shape: so many blocks instead of the model's own; 0: its own
 * plan     "packed": weights as float32, packed for products, kept; "streamed": matrices stay in the
 *          file and every product reads them anew, which products of some hundred tokens hardly
 *          notice; NULL or "auto": packed if all of them take at most 60 % of the machine's memory */
typedef struct ph_model_options {
    size_t size;
    const char *backend;
    int threads;
    bool untrained;
    uint64_t untrained_seed;
    const char *shape;
    int64_t blocks;
    const char *plan;
} ph_model_options;
#define PH_MODEL_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(ph_model_options), NULL, 0, false, 0, NULL, 0, NULL                                 \
    }
/* Names of the shapes, in order; NULL past the last. */
PH_API const char *ph_shape_name(size_t i);

/* What a model file says of itself. Strings are borrowed from the model, never NULL. */
typedef struct ph_model_info {
    const char *path;    /* as given to open */
    const char *name;    /* general.name, or the file's name */
    const char *family;  /* general.architecture: "llama", … */
    const char *quant;   /* the type most matrix weights have: "Q4_1", … */
    const char *backend; /* what computes */
    const char *plan;    /* "packed" or "streamed" */
    int64_t blocks, width, heads, kv_heads, head_width, ffn, vocab, context_length;
    bool tied;         /* the output matrix is the embedding matrix */
    const char *shape; /* the preset that the sizes are of; NULL: the file's own */
    bool untrained;    /* drawn at random with untrained_seed: nothing was learned */
    uint64_t untrained_seed;
    int64_t parameters;       /* number of weights in the file */
    int64_t block_parameters; /* weights of one block's matrices */
    size_t file_bytes;
    int threads;
    const struct ph_tokenizer *tokenizer; /* NULL for a model without a vocabulary */
} ph_model_info;

/* How a model's blocks are built. Strings are constant, never NULL. */
typedef struct ph_model_design {
    const char *norm; /* "rms", "layer" */
    double norm_eps;
    bool norm_before, norm_after; /* of what attention and the MLP get; of what they give */
    const char *query_norm;       /* of queries and keys: "none"; "head"; "each head", by weights of
                                     its own; "width", all heads together */
    const char *activation;       /* "silu", "gelu", "gelu tanh" */
    bool gated;                   /* the activation is a gate beside another product */
    bool parallel;                /* the MLP gets what attention got */
    double embed_scale, score_scale; /* of embeddings; of a query times a key */
    double score_cap, logit_cap;     /* soft; 0: none */
    int64_t window, windowed;        /* so many blocks see so many tokens only; both 0: none */
    const char *positions; /* "halves", "neighbours": the pairs that rope turns; "learned" */
    int64_t rope_dims;     /* of a head's width; 0: no rope */
    double rope_base, rope_base_local; /* local: of windowed blocks; 0: they have the same */
    const char
        *rope_scaling;  /* "none", "linear", "yarn", "longrope", "llama3" (factors in a tensor) */
    double rope_factor; /* of linear and yarn; else 1 */
    bool qkv_bias, output_bias; /* of queries, keys and values; of the output scores */
} ph_model_design;

typedef struct ph_tensor_info {
    const char *name;
    const char *type; /* "F32", "Q4_K", … */
    int64_t shape[4]; /* slowest index first: a matrix is (outputs, inputs) */
    int dims;
    size_t bytes;
} ph_tensor_info;

/* Map a GGUF file, or a Hugging Face folder (config.json, safetensors, tokenizer.json), and check all
 * of it that is not weights. Nothing is dequantised yet: blocks are made ready when a session first
 * needs them, and then shared by all sessions of the model. */
PH_API ph_status ph_model_open(ph_model **out, const char *path, const ph_model_options *options,
                               ph_error *err);
PH_API void ph_model_close(ph_model **model);
PH_API const ph_model_info *ph_model_get_info(const ph_model *model);
PH_API void ph_model_get_design(ph_model_design *out, const ph_model *model);
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
    const char *model, *pre; /* "gpt2" (byte-level BPE), "smollm": tokenizer.ggml.model and .pre; or
                                "BPE", "tokenizer.json" */
    int32_t vocab;
    int32_t bos, eos, eot; /* -1 where there is none; eot is the end-of-text token, by name */
    bool add_bos, add_eos;
    bool
        encodes; /* false: only the pieces are known, text cannot be tokenised; none is like that */
    const char *chat_template; /* as the file has it, "" where it has none */
    const char *chat_format;   /* what it is: "ChatML", …; NULL: nothing that is known */
} ph_tokenizer_info;

/* Open the tokenizer of a GGUF file, which may hold a vocabulary only, of any architecture, or a
 * tokenizer.json, with the tokenizer_config.json beside it, or SentencePiece's tokenizer.model; or the
 * folder that holds one of them, or a vocab.json with its merges.txt. */
PH_API ph_status ph_tokenizer_open(ph_tokenizer **out, const char *path, ph_error *err);
PH_API void ph_tokenizer_close(ph_tokenizer **tokenizer);
/* The model's own, borrowed; NULL for a model without a vocabulary. */
PH_API const ph_tokenizer *ph_model_tokenizer(const ph_model *model);
PH_API const ph_tokenizer_info *ph_tokenizer_get_info(const ph_tokenizer *t);

/* *ids = the n ids of a text of `bytes` bytes, to be freed with ph_free; an empty text gives n = 0.
 * flags: PH_ENCODE_… or 0. Errors: PH_ETEXT at the first byte that is not UTF-8. */
PH_API ph_status ph_tokenizer_encode(int32_t **ids, size_t *n, const ph_tokenizer *t,
                                     const char *text, size_t bytes, unsigned flags, ph_error *err);
/* *text = the ids' bytes and a 0, to be freed with ph_free. The bytes need not be valid UTF-8. A blank
 * that the tokenizer puts before every text is left out. */
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

/* One term of a sum: at each token the mean of some components of a place, or the product of its
 * output with a direction, plus offset. */
typedef struct ph_term {
    double weight;
    ph_tap tap;
    ph_range tokens, components; /* as below; with a direction all components */
    const float *direction;      /* (width of the place), borrowed from the ph_features; or NULL */
    double offset;               /* with a direction */
    const struct ph_latent *latent; /* of an SAE, whose pre-activation this is; NULL: of none */
    int64_t at; /* its place's first column among the outputs of the feature's taps side by side */
} ph_term;

typedef struct ph_feature {
    ph_tap tap;      /* of a sum the deepest of its taps */
    ph_range tokens; /* {0, PH_END} is ":"; {-1, PH_END} is "-1"; of a sum, its terms have theirs */
    ph_range components;  /* resolved: 0 ≤ begin < end ≤ width of the place; of a sum {0, 0} */
    const char *text;     /* canonical form, borrowed from the ph_features */
    const ph_term *terms; /* n_terms; none where the feature is just components of one place */
    size_t n_terms;
    const ph_tap
        *taps; /* n_taps different ones in the order that the model computes them; of a sum */
    size_t n_taps;
} ph_feature;

typedef struct ph_features ph_features;

/* Parse and expand specs for a model. Errors: PH_ESPEC (does not parse) and PH_ERANGE (this model
 * has no such place or component), both with pos = byte offset in `specs`. */
PH_API ph_status ph_features_parse(ph_features **out, const ph_model_info *model, const char *specs,
                                   ph_error *err);
/* The same without a model: *out = the n canonical forms, each with its 0 behind it, to be freed with
 * ph_free. Any block and component goes, no file is read, and what only a model knows stays as it is
 * written: a token in quotes is PH_ESPEC, and 0:576 is not ":" where it is the whole axis. */
PH_API ph_status ph_features_names(char **out, size_t *n, const char *specs, ph_error *err);
PH_API void ph_features_close(ph_features **features);
PH_API size_t ph_features_count(const ph_features *features);
/* i-th expanded feature, in the order written; NULL past the last. */
PH_API const ph_feature *ph_features_at(const ph_features *features, size_t i);
/* Path of the i-th file that directions and SAEs were read from, borrowed; NULL past the last. */
PH_API const char *ph_features_file(const ph_features *features, size_t i);
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

/* What all searches have in common.
 *
 * chat   the text stands in a user's turn of the model's own chat format, prefix and suffix inside of
 *        it: PH_EUNSUPPORTED if the file's template is of none that is known. With PH_BOS_AUTO there
 *        is a BOS if the template prints one. */
typedef struct ph_run_options {
    ph_bos bos;
    const char *prefix, *suffix; /* fixed text around the searched one; special tokens are parsed */
    bool chat;
    ph_reduce reduce;
    int sign; /* 1; -1 searches the most negative activation */
    uint64_t seed;
    const char *cache; /* an existing folder for complete searches that were done; NULL: none */
    ph_progress progress;
    void *progress_payload;
} ph_run_options;
#define PH_RUN_OPTIONS_INIT                                                                        \
    {                                                                                              \
        PH_BOS_AUTO, NULL, NULL, false, PH_REDUCE_DEFAULT, 1, 0, NULL, NULL, NULL                  \
    }

/* The options under which features are measured: an SAE says whether it was trained on texts behind a
 * BOS, and where nobody asks for one or for none, that counts. PH_EINVAL if two features disagree. */
PH_API ph_status ph_features_run(ph_run_options *out, const ph_features *features,
                                 const ph_run_options *options, ph_error *err);
/* *ids = the context that stands before every text: BOS, the chat's beginning, prefix; ph_free. */
PH_API ph_status ph_context(int32_t **ids, size_t *n, const ph_model *model,
                            const ph_run_options *options, ph_error *err);
/* How a feature is reduced under these options: "mean", "max" or "last". */
PH_API const char *ph_reduce_name(const ph_feature *feature, ph_reduce reduce);

typedef enum ph_round_trip { /* texts that do not tokenise back to their own tokens … */
                             PH_ROUND_TRIP_DEFAULT =
                                 0, /* the method's own: require for searches among tokens, else prefer */
                             PH_ROUND_TRIP_REQUIRE, /* … are not looked at by a search among tokens */
                             PH_ROUND_TRIP_PREFER, /* … rank behind those that do */
                             PH_ROUND_TRIP_OFF     /* … rank by the activation of their tokens */
} ph_round_trip;

typedef enum ph_outliers {                       /* texts whose norm_ratio is above 3 … */
                           PH_OUTLIERS_LAST = 0, /* … rank behind the others */
                           PH_OUTLIERS_KEEP,     /* … are like any other */
                           PH_OUTLIERS_DROP      /* … are no answer */
} ph_outliers;
/* Which tokens a search may name, and which texts may win. A token is what its bytes say; all that
 * is asked for must hold. By default every ordinary token may be named. An answer that names another
 * token all the same, or prints a banned text, or lacks the wanted one, never wins.
 *
 * ascii     printable ASCII only, blanks but no line feeds
 * letters   letters (of any script, with their combining marks) and blanks only
 * special   control and user-defined tokens too, such as <|endoftext|>
 * allow     UTF-8, one text a line: only tokens that a line tokenises to, as it stands or behind a
 *           blank; line ends are none of it
 * ban       n_ban texts, none of them in any token or across the answer's tokens
 * contains  the answer's text has this in it; it is searched for by methods that say so */
typedef struct ph_constraints {
    size_t size;
    bool ascii, letters, special;
    const char *allow; /* NULL: every token */
    size_t allow_bytes;
    const char *const *ban;
    size_t n_ban;
    const char *contains; /* NULL: nothing */
} ph_constraints;
#define PH_CONSTRAINTS_INIT                                                                        \
    {                                                                                              \
        sizeof(ph_constraints), false, false, false, NULL, 0, NULL, 0, NULL                        \
    }

/* What a search has so far of a feature, while it works: a new best text among tokens, by the search's
 * own forward passes, which what is handed out in the end is measured anew; or, of a method that
 * descends, the best of its embeddings at this step. It cannot cancel: progress does. */
typedef struct ph_glimpse {
    const ph_feature *feature;
    const int32_t *ids; /* n; NULL: an embedding, no text */
    size_t n;
    double activation;
    int64_t token_forwards; /* of a search among tokens, spent so far on this feature */
} ph_glimpse;
typedef void (*ph_glimpse_fn)(const ph_glimpse *glimpse, void *payload);

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
    int64_t tokens;             /* length of the searched text, 5 */
    int64_t steps;              /* 0: the method's own, as ph_dream_defaults says it; so too: */
    int64_t restarts;           /* random starts per feature, 0 */
    double eta_first, eta_last; /* both 0 */
    bool eta_first_rms, eta_last_rms; /* that end is in units of the embedding's rms */
    double target;                    /* c of the objectives, 100 */
    const char *method;    /* "descent"; "softmax": e = x W, x <- softmax(x - eta * gradient);
                               "pez": e moves by the gradient at the tokens nearest to it; "gumbel":
                               e = softmax((x + Gumbel noise) / tau) W, tau 2 to 0.1, x descends;
                               "greedy": append the token that raises the last position most; "swap",
                               "epo", "beam", "auto": searches among tokens */
    const char *objective; /* "l1" sum |c-O|, "l2" sum (c-O)^2, "linear" -sum O, over the region;
                               "cosine" sum over its tokens of 1 - cos(O, the region's direction) */
    double near_weight;    /* of a penalty: mean squared distance of e to the nearest tokens; 0;
                               descent and softmax */
    const char *optimizer; /* "gd", "adam", "adamw"; NULL: the method's own */
    const char *start;  /* "half" N(1/2,1/20), "normal" N(0,1), "rms" N(0,rms), "tokens", "text:…"
                               (its own number of tokens counts then); NULL: the method's own */
    const char *decode; /* a name of ph_decode_name, or "all" */
    int64_t top; /* answers per feature, no two of which share more than half their tokens; 0: 3,
                           1 of a method that descends */
    const struct ph_corpus
        *corpus; /* norms of ordinary text for norm_ratio, and specificity; NULL: of random texts */
    ph_constraints constraints;
    /* searches among tokens: */
    int64_t tokens_to; /* the text's length may vary from `tokens` to this; 0: it does not */
    int64_t budget;    /* tokens sent forward for each feature, a backward counts two; 100,000 */
    double seconds;    /* of search for all features together, each its share; 0: no limit */
    bool alone;        /* features do not share what is found for others */
    ph_round_trip round_trip;
    ph_outliers outliers;
    int64_t top_k; /* swap, epo: tokens proposed per position; 0: 256, epo 512 */
    int64_t width; /* swap: variants per step; beam: beams, and tokens drawn for each; 0: 512, 15 */
    bool fluent;   /* the front, and cross-entropy of the texts under the model: mean over their
                           tokens, the first counting only behind a context, of -ln p */
    double lambda; /* its weight in how answers rank and what all but epo search for; 0 */
    bool stay;     /* swap: a step that finds nothing better stays where it is */
    /* epo: members, children of each in a step, weights of the cross-entropy (those between evenly
     * spaced by their logarithm), steps after which all begin anew from one member, 0: never */
    int64_t population, children;     /* 8, 32 */
    double lambda_first, lambda_last; /* 0.1, 10; both 0: without */
    int64_t restart_every;            /* 30 */
    ph_glimpse_fn glimpse;            /* NULL: nobody looks */
    void *glimpse_payload;
} ph_dream_options;
#define PH_DREAM_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(ph_dream_options), PH_RUN_OPTIONS_INIT, 5, 0, 0, 0, 0, false, false, 100.0, "auto", \
            "l1", 0.0, NULL, NULL, "all", 0, NULL, PH_CONSTRAINTS_INIT, 0, 100000, 0.0, false,     \
            PH_ROUND_TRIP_DEFAULT, PH_OUTLIERS_LAST, 0, 0, false, 0.0, false, 8, 32, 0.1, 10.0,    \
            30, NULL, NULL                                                                         \
    }

/* Fill in what the options leave to their method; ph_dream does it itself. Of descent: 100 steps of
 * "gd" from "half", eta 1 to 0.1, 8 restarts (1 of a text). An unknown method is taken for
 * descent, until ph_dream refuses it. */
PH_API void ph_dream_defaults(ph_dream_options *options);

/* Names of the tables' rows, in order; NULL past the last. */
PH_API const char *ph_method_name(size_t i);
/* Whether a method is a search among tokens, which goes by its budget. */
PH_API bool ph_method_budget(const char *name);
/* Whether it looks at the texts' cross-entropy, asked for or not. */
PH_API bool ph_method_fluent(const char *name);
/* Whether a method descends: by steps, from random starts. One that does neither draws nothing at
 * random and costs what it costs. */
PH_API bool ph_method_steps(const char *name);
PH_API const char *ph_objective_name(size_t i);
PH_API const char *ph_optimizer_name(size_t i);
PH_API const char *ph_start_name(size_t i);
PH_API const char *ph_decode_name(size_t i);

/* Activations: NaN where there is none (a text that no longer has the region's token). */
typedef struct ph_activation {
    double text; /* of the printed text, tokenised again: the figure that counts */
    double ids;  /* of the decoded tokens */
    double soft; /* of the optimised embedding */
    double post; /* of the text, SAE latents taken behind their nonlinearity; NaN without one */
} ph_activation;

/* One decode of one row. */
typedef struct ph_decoded {
    const char *decode;      /* NULL for a method that finds tokens */
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
    bool special;         /* names special or unused tokens */
    bool violates;        /* breaks a constraint: never wins */
    double norm_ratio;    /* largest norm at the tap over the region / median of random texts */
    double cross_entropy; /* of the printed text, or of ids where their activation counts; NaN: not
                             looked at */
} ph_decoded;

typedef struct ph_near {
    int32_t id;
    double value;
} ph_near;

/* The starts of a search among tokens: how many led to a text more than half like this one, and what
 * their best texts reached. n = 0: not known. */
typedef struct ph_starts {
    int64_t n, reached;
    double mean, sd;
} ph_starts;

/* A feature's place among all of its tap on a text, by their values in standard deviations from their
 * corpus means: rank 1 is the text's own. of = 0: not known. */
typedef struct ph_specificity {
    int64_t rank, of;
    double z; /* the feature's own */
} ph_specificity;

/* One row of a feature: what became of a random start. */
typedef struct ph_dream_row {
    int64_t restart;
    double objective;         /* in the end; NaN for a method that descends on nothing */
    bool diverged;            /* stopped early at a step that gave NaN or infinity */
    const ph_decoded *answer; /* its best */
} ph_dream_row;

typedef struct ph_dream_result {
    const ph_feature *feature;
    const char *method;
    int64_t restart;
    size_t rank;              /* 0 for the feature's best answer */
    const ph_decoded *answer; /* the best of: */
    const ph_decoded *decodes;
    size_t n_decodes;
    const ph_dream_row *rows; /* all of the feature's, in order of restart */
    size_t n_rows;
    double z; /* (activation.text - mean)/sd of random texts */
    double random_mean, random_sd, random_min, random_max;
    int64_t random_n;
    ph_near best_token;  /* exact, over all ordinary tokens; id -1: not computed */
    double repeated;     /* activation of `tokens` copies of it */
    const double *curve; /* soft activation before every step, and after the last; greedy: of every
                            prefix; other searches among tokens have none */
    size_t n_curve;
    const double *objective; /* n_curve: what was descended on, the penalty included */
    const ph_near *nearest;  /* for each position the nearest token of e and its cosine */
    size_t n_nearest;
    const float *embedding; /* (n_nearest,C) what was found */
    int64_t token_forwards; /* spent on this feature; a backward counts two */
    int64_t naive_forwards; /* the same if every text had been run whole */
    int64_t scan_forwards;  /* of the complete search that the method builds on; in neither */
    int64_t budget;         /* of a search among tokens: the one that repeats it; else 0 */
    ph_starts starts;
    ph_specificity specificity; /* of the answer's ids */
    double cross_entropy;       /* the answer's */
    const ph_decoded
        *front; /* rank 0: of all the texts that were evaluated those that no other beats
                                in both activation and cross-entropy, as printed; n_front, the most
                                active first */
    size_t n_front;
    double seconds; /* of the batch this feature was in, divided by its features */
} ph_dream_result;

/* Borrowed for the call; nonzero return cancels. */
typedef int (*ph_dream_fn)(const ph_dream_result *result, void *payload);

typedef struct ph_cost {
    int64_t rows, token_forwards, naive_forwards;
    double descent_seconds, descent_flops; /* the steps alone, without decode and yardsticks */
    double first_step;                     /* seconds from the call to the end of the first step */
} ph_cost;

/* Search all features; results come in their order, `top` for each. cost may be NULL. */
PH_API ph_status ph_dream(const ph_model *model, const ph_features *features,
                          const ph_dream_options *options, ph_dream_fn result, void *payload,
                          ph_cost *cost, ph_error *err);

/* What ph_dream would refuse of these features and options, found at once: nothing is run. */
PH_API ph_status ph_dream_check(const ph_model *model, const ph_features *features,
                                const ph_dream_options *options, ph_error *err);

/* scan: complete search. Every token of the vocabulary, alone after the context, exact. */
typedef struct ph_scan_options {
    size_t size;
    ph_run_options run;
    int64_t top; /* tokens in the top and bottom lists, 10 */
    bool values; /* hand out the value of every token too */
} ph_scan_options;
#define PH_SCAN_OPTIONS_INIT                                                                       \
    {                                                                                              \
        sizeof(ph_scan_options), PH_RUN_OPTIONS_INIT, 10, false                                    \
    }

typedef struct ph_scan_result {
    const ph_feature *feature;
    const ph_near *top, *bottom; /* n_top each: highest first, lowest first */
    size_t n_top;
    double mean, sd;
    int64_t n;
    const float *values; /* n, by token; NULL: not asked for */
} ph_scan_result;
typedef int (*ph_scan_fn)(const ph_scan_result *result, void *payload);
PH_API ph_status ph_scan(const ph_model *model, const ph_features *features,
                         const ph_scan_options *options, ph_scan_fn result, void *payload,
                         ph_error *err);

/* survey: complete search for every feature of every block, and with `neurons` every neuron of
 * every MLP, in one pass over the vocabulary. What is kept is bounded: lists, sums and a histogram
 * per feature. run.cache keeps the pass: one that was interrupted goes on where it was, one that is
 * done answers at once. */
typedef struct ph_survey_options {
    size_t size;
    ph_run_options run;
    int64_t top;   /* tokens in the top and bottom lists, 10 */
    int64_t depth; /* blocks that are looked at; 0: all */
    bool neurons;
} ph_survey_options;
#define PH_SURVEY_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(ph_survey_options), PH_RUN_OPTIONS_INIT, 10, 0, false                               \
    }

enum { PH_QUANTILES = 7 }; /* at 0.001, 0.01, 0.25, 0.5, 0.75, 0.99, 0.999 */
PH_API double ph_quantile_level(size_t i);

typedef struct ph_survey_result {
    ph_tap tap;
    int64_t component;
    const ph_near *top, *bottom; /* n_top each: highest first, lowest first; nothing excluded */
    size_t n_top;
    double mean, sd, quantiles[PH_QUANTILES]; /* quantiles to 1/128 of the feature's range */
    int64_t n;
} ph_survey_result;
typedef int (*ph_survey_fn)(const ph_survey_result *result, void *payload);

typedef struct ph_pass_cost {
    double seconds, flops;   /* of the forward pass and what is kept of it */
    int64_t tokens, resumed; /* resumed: of these, tokens that an earlier run had done */
    size_t bytes;            /* memory for what is kept and for one batch */
} ph_pass_cost;
/* Results come block by block: its features, then its neurons. cost may be NULL. */
PH_API ph_status ph_survey(const ph_model *model, const ph_survey_options *options,
                           ph_survey_fn result, void *payload, ph_pass_cost *cost, ph_error *err);

/* A text as it is given: bytes, or ids where ids is not NULL. */
typedef struct ph_text {
    const char *text;
    size_t bytes;
    const int32_t *ids;
    size_t n_ids;
} ph_text;

/* score: the activation of a text. attribute: which of its tokens cause it, by the gradient of the
 * activation with respect to the embedding (its Euclidean norm, and gradient × input), by occlusion
 * (the activation minus that with the token replaced by end-of-text, or by BOS where the vocabulary
 * has no end-of-text), and combined: the mean of |gradient × input| and |occlusion|, each divided by
 * its sum over the tokens; one whose sum is 0 does not count. */
typedef struct ph_score_result {
    const ph_feature *feature;
    const int32_t *ids; /* n */
    size_t n;
    const double *values; /* n: the feature at each token */
    double activation;
    const double
        *post_values;        /* n: the same, SAE latents taken behind their nonlinearity; or NULL */
    double post;             /* … and the activation so; NaN without an SAE latent */
    const double *grad_norm; /* n, attribute only */
    const double *grad_x_input; /* n, attribute only */
    const double *occlusion;    /* n, attribute only; NULL: there is no token to replace one by */
    const double *combined;     /* the same: shares that add up to 1, or all are 0 */
    const float *gradient;      /* (n,C), attribute only: by the embedding of each token */
} ph_score_result;
typedef int (*ph_score_fn)(const ph_score_result *result, void *payload);
PH_API ph_status ph_score(const ph_model *model, const ph_features *features, const ph_text *text,
                          const ph_run_options *options, ph_score_fn result, void *payload,
                          ph_error *err);
PH_API ph_status ph_attribute(const ph_model *model, const ph_features *features,
                              const ph_text *text, const ph_run_options *options,
                              ph_score_fn result, void *payload, ph_error *err);

/* ---- 6 experiments ------------------------------------------------------------------------------ */

/* recover: find a text again from the hidden layer it produced.
 *
 * descent    e <- e - eta_n * d/de sum over the region of |O(x) - O(e)|, decoded like a dream
 * exact      position by position, the token whose state at that position is nearest the text's:
 *            the text itself, at any depth (Nikolaou et al. 2025, SipIt). Candidates are tried in
 *            the order a gradient suggests, until one is found within rounding of the target.
 */
typedef struct ph_recover_options {
    size_t size;
    ph_run_options run;
    const char *method;         /* "descent", "exact" */
    int64_t steps, restarts;    /* 500, 4; of the restarts the nearest is the answer */
    double eta_first, eta_last; /* 0.1, 0.01 */
    bool eta_first_rms, eta_last_rms;
    const char *objective, *optimizer, *start,
        *decode;          /* "l1" or "l2"; "adam"; as in dream, without text, "tokens"; "all" */
    const int32_t *among; /* find these tokens only; NULL: all */
    size_t n_among;
    bool sequential; /* descend token after token, keeping what was decoded */
    bool unguided;   /* exact: candidates in the order of their ids */
} ph_recover_options;
#define PH_RECOVER_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(ph_recover_options), PH_RUN_OPTIONS_INIT, "descent", 500, 4, 0.1, 0.01, true, true, \
            "l1", "adam", "tokens", "all", NULL, 0, false, false                                   \
    }

/* One reading of what was recovered. */
typedef struct ph_recovered {
    const char *decode; /* NULL for tokens found one by one */
    const int32_t *ids; /* n, as many as the target's */
    int64_t matched;    /* of them equal to the target's */
    double distance;    /* |O(ids) - O(x)|, Euclidean, over the region */
} ph_recovered;

typedef struct ph_recover_result {
    const ph_feature *feature;
    const char *method;
    int64_t restart;           /* -1 for tokens found one by one */
    const int32_t *target_ids; /* n */
    size_t n;
    const ph_recovered *answer; /* the smallest distance of: */
    const ph_recovered *decodes;
    size_t n_decodes;
    double distance;        /* |O(e) - O(x)| of the embedding found; one by one: of the ids */
    double random_distance; /* |O(x + N(0,1/20)) - O(x)|: the page's closeness test */
    const double *curve;    /* descent: |O(e) - O(x)| before every step and after the last;
                               sequential: of every token's descent, one after another */
    size_t n_curve;
    int64_t tried;      /* exact: candidates that were evaluated */
    double tolerance;   /* exact: a token counts as found below this distance, relative … */
    double worst_found; /* … and the largest relative distance that was */
    int64_t token_forwards;
    double seconds;
} ph_recover_result;
typedef int (*ph_recover_fn)(const ph_recover_result *result, void *payload);
PH_API ph_status ph_recover(const ph_model *model, const ph_features *features, const ph_text *text,
                            const ph_recover_options *options, ph_recover_fn result, void *payload,
                            ph_error *err);

/* near: the geometry of the embedding matrix. e (n,C) are any embeddings; cosine and euclid (n,top)
 * the nearest ordinary tokens, nearest first, ties to the lower id; id -1 where there are no more.
 * The cosine with a zero vector is 0. */
PH_API ph_status ph_near_embeddings(const ph_model *model, const float *e, size_t n, size_t top,
                                    ph_near *cosine, ph_near *euclid, ph_error *err);
/* Mean and standard deviation over 4096 random pairs of different ordinary tokens: what a figure
 * above has to be compared with. */
typedef struct ph_pair_stats {
    double cosine_mean, cosine_sd, distance_mean, distance_sd;
    int64_t n;
} ph_pair_stats;
PH_API ph_status ph_random_pairs(ph_pair_stats *out, const ph_model *model, uint64_t seed,
                                 ph_error *err);

/* corpus: what features do on ordinary text. The text is cut into windows of `window` tokens, each
 * run after the context; every feature of every block, and with `neurons` every neuron, up to a
 * depth is followed in one pass, which run.cache keeps. Figures are of single tokens. */
typedef struct ph_corpus_options {
    size_t size;
    ph_run_options run;
    const char *text; /* UTF-8, special tokens are not parsed; NULL: the shipped mix */
    size_t bytes;     /* of text */
    int64_t window;   /* 0: 64, or what the model's context has room for */
    int64_t depth;    /* blocks that are followed; 0: all */
    bool neurons;
    double most_flops; /* do without (*out = NULL) if the pass is not kept and takes more; 0: any */
} ph_corpus_options;
#define PH_CORPUS_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(ph_corpus_options), PH_RUN_OPTIONS_INIT, NULL, 0, 0, 0, false, 0                    \
    }

typedef struct ph_corpus ph_corpus;

/* The shipped mix: about 50,000 tokens of prose, glosses, code and other languages, in the public
 * domain or under the licences that data/README.md names. Constant; *bytes long. */
PH_API const char *ph_corpus_mix(size_t *bytes);

enum { PH_CORPUS_TOP = 5 };

typedef struct ph_sighting { /* a token of the corpus, by its number, and the value there */
    int64_t token;
    double value;
} ph_sighting;

typedef struct ph_corpus_stat {
    double max, min, mean, sd, quantiles[PH_QUANTILES]; /* quantiles as in a survey */
    double density;                                     /* share of tokens above half the maximum */
    int64_t n;                                          /* tokens */
    ph_sighting best[PH_CORPUS_TOP], worst[PH_CORPUS_TOP]; /* n_top, of different windows each */
    size_t n_top;
} ph_corpus_stat;

/* PH_ETEXT if the text has no tokens, PH_EUNSUPPORTED if the vocabulary cannot be encoded yet. cost
 * may be NULL. */
PH_API ph_status ph_corpus_open(ph_corpus **out, const ph_model *model,
                                const ph_corpus_options *options, ph_pass_cost *cost,
                                ph_error *err);
PH_API void ph_corpus_close(ph_corpus **corpus);
/* false if that place was not followed. */
PH_API bool ph_corpus_get(const ph_corpus *corpus, ph_tap tap, int64_t component,
                          ph_corpus_stat *out);
/* Share of the tokens with a value below this one; NaN if the place was not followed. */
PH_API double ph_corpus_percentile(const ph_corpus *corpus, ph_tap tap, int64_t component,
                                   double value);
/* The window that holds a token of the corpus: its n ids, borrowed, and the token's place in it. */
PH_API const int32_t *ph_corpus_window(const ph_corpus *corpus, int64_t token, size_t *n,
                                       size_t *pos);
/* Median Euclidean norm of a block's output over the corpus's tokens; NaN if not followed. */
PH_API double ph_corpus_norm(const ph_corpus *corpus, ph_tap tap);

/* effect: what a unit does next. Its direction is what it adds to the stream: a component itself, a
 * neuron's column of the down-projection. logits: that direction through the final norm's weights
 * (less its mean, if that is a LayerNorm) and the output matrix, minus the mean over the vocabulary. On a text, the unit's value at the
 * region's tokens is set to 0, to its corpus mean, and raised by its largest |value|: in the corpus
 * where that follows the unit, else in the region. Each component of a joint unit on its own. */
typedef struct ph_effect_options {
    size_t size;
    ph_run_options run;
    int64_t top;             /* tokens in each list, 10 */
    const ph_corpus *corpus; /* for the mean and the amount to raise by; NULL: without */
} ph_effect_options;
#define PH_EFFECT_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(ph_effect_options), PH_RUN_OPTIONS_INIT, 10, NULL                                   \
    }

typedef struct ph_shift { /* a token's probability as next one, before and after */
    int32_t id;
    double before, after;
} ph_shift;

typedef struct ph_change {
    const char *what;       /* "zero", "mean", "raise" */
    double value;           /* what the unit was set to (raise: the amount added) */
    double kl;              /* KL(before || after) of the next-token distribution, in nats */
    const ph_shift *shifts; /* the largest changes of probability, n_shifts */
    size_t n_shifts;
} ph_change;

typedef struct ph_effect_result {
    const ph_feature *feature;
    const ph_near *promoted, *suppressed; /* n_top each: highest first, lowest first */
    size_t n_top;
    const int32_t *ids; /* the text, n; NULL without one */
    size_t n;
    double activation;
    const ph_change *changes;
    size_t n_changes;
} ph_effect_result;
typedef int (*ph_effect_fn)(const ph_effect_result *result, void *payload);
/* text may be NULL. Features of embed, logits and final have a direction only where that makes
 * sense; PH_EUNSUPPORTED names the others. */
PH_API ph_status ph_effect(const ph_model *model, const ph_features *features, const ph_text *text,
                           const ph_effect_options *options, ph_effect_fn result, void *payload,
                           ph_error *err);

/* bench: how fast this machine is, and how near to that the work of a search comes. Works: peak (the
 * best dense float32 product of any backend), bandwidth (one read of `memory`), descent (one step;
 * two results, warm and with flushed caches), scan (some of the vocabulary through all blocks), swap
 * (512 changes of one token), load (from opening the file to the end of the first step). */
typedef struct ph_bench_options {
    size_t size;
    int64_t block, rows, tokens;     /* rows: of descent and load; tokens 0: 5, of swap 12 */
    int repeats;                     /* 0: as many as the work needs */
    size_t memory;                   /* bytes; 0: four times the last cache */
    double peak_gflops, peak_gbytes; /* peak and bandwidth, measured before; 0: no shares */
    bool parts;                      /* run once more, every part timed */
} ph_bench_options;
#define PH_BENCH_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof(ph_bench_options), 8, 32, 0, 0, 0, 0, 0, false                                      \
    }
typedef struct ph_bench_part {
    const char *name;
    int64_t N, K, J;       /* of a product of (N,K) and (K,J), else 0 */
    double calls, seconds; /* of one repeat */
} ph_bench_part;
typedef struct ph_bench_result { /* 0, or NaN: the work has no such figure */
    const char *work;
    bool cold;
    int64_t block, rows, tokens;                /* of scan and swap: what was run */
    double seconds, spread;                     /* median; (third - first quartile) / median */
    double gflops, gbytes, share, gbytes_share; /* 1e9 a second, bytes of weights; of the limits */
    double limit_share;                         /* of what the tighter limit allows */
    double spared; /* of a descent's operations: the share that nobody needs; not in gflops */
    double whole_seconds; /* of a scan of the whole vocabulary */
    double token_forwards,
        naive_forwards;         /* of swap: tokens sent forward; if texts were run whole */
    const ph_bench_part *parts; /* n_parts */
    size_t n_parts;
    double wall; /* seconds of one repeat while the parts were timed */
} ph_bench_result;
typedef int (*ph_bench_fn)(const ph_bench_result *result, void *payload);
PH_API const char *ph_bench_name(size_t i); /* i-th work; NULL past the last */
PH_API ph_status ph_bench(const ph_model *model, const char *work, const ph_bench_options *options,
                          ph_bench_fn result, void *payload, ph_error *err);

/* What `dream --method descent` takes for one feature of a block's output, before it is run: `rows`
 * restarts of `steps` steps, the complete search and the yardsticks but ordinary text's. peak and
 * bandwidth as measured by the bench. Good to 10 % in bytes and 30 % in seconds where it was tried. */
typedef struct ph_estimate {
    size_t weights;    /* bytes: packed for products; 0 where they are streamed */
    size_t session;    /* rows of the descent and what they leave for the gradient */
    size_t vocabulary; /* the embedding matrix and products with it */
    size_t file;       /* pages of the model's file that are read on the way */
    size_t resident;   /* of the whole process at most */
    double step_seconds, scan_seconds, seconds; /* a step, the complete search, all */
} ph_estimate;
PH_API ph_status ph_estimate_descent(ph_estimate *out, const ph_model *model, int64_t block,
                                     int64_t rows, int64_t tokens, int64_t steps,
                                     double peak_gflops, double peak_gbytes, ph_error *err);

/* ---- 7 low level --------------------------------------------------------------------------------
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
    bool gradient;      /* backward will be called */
    const ph_tap *taps; /* several at once, in place of tap: X is their outputs side by side … */
    size_t n_taps; /* … W the sum of their widths; different ones, "only" all or none; 0: tap */
    int threads;   /* 0: the model's; 1 where sessions run beside each other */
} ph_session_options;
#define PH_SESSION_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(ph_session_options), {PH_PLACE_BLOCK, false, 1}, 1, 5, NULL, 0, false, NULL, 0, 0   \
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
/* Floating-point operations of B rows forward; backward takes as many again. */
PH_API double ph_session_flops(const ph_session *session, int64_t B);
/* Bytes that such a session needs: its own, and those of the packed weights it shares. */
PH_API ph_status ph_session_bytes(size_t *own, size_t *weights, const ph_model *model,
                                  const ph_session_options *options, ph_error *err);
/* E (n,C) = the embeddings of ids, as the blocks receive them. */
PH_API ph_status ph_model_embed(const ph_model *model, float *E, const int32_t *ids, size_t n,
                                ph_error *err);

/* ---- 8 store ------------------------------------------------------------------------------------
 *
 * One SQLite file that keeps what was found. What is put are the lines that the tool prints with
 * --json (docs/STORE.md): each is kept whole, beside columns taken from it to search by. A line has
 * a key, run, type, feature and what tells results of one run apart (a dream's sign and rank, the
 * tokens that a score is of): putting it again changes nothing, or replaces what was there.
 *
 * Any number of processes may read and write one store at once. A handle belongs to one thread at
 * a time; open one for each.
 */
typedef struct ph_store ph_store;

enum {
    PH_STORE_READ = 0,  /* the file must be there */
    PH_STORE_WRITE = 1, /* and may be written */
    PH_STORE_CREATE = 3 /* and is made if it is not there; its folder must be */
};

/* A store of an earlier version is brought up to date on the way. PH_EFORMAT: the file is no store,
 * is damaged, or was written by a later version. */
PH_API ph_status ph_store_open(ph_store **out, const char *path, unsigned flags, ph_error *err);
PH_API void ph_store_close(ph_store **store);

/* Keep one line, without its line end, durably when this returns: after a crash it is there. A run
 * line comes before the lines of its run; types that are not known are kept too. PH_EFORMAT: no line of
 * that kind, pos is the byte where it is no JSON; PH_EINVAL: its run is not in the store. */
PH_API ph_status ph_store_put(ph_store *store, const char *line, size_t bytes, ph_error *err);
/* Lines between these two are kept all or none, and faster. Nobody else can write meanwhile: be
 * quick. Closing without commit keeps none of them. */
PH_API ph_status ph_store_begin(ph_store *store, ph_error *err);
PH_API ph_status ph_store_commit(ph_store *store, ph_error *err);

/* What is asked of a view. A filter that is NULL (a number: -1) asks nothing; one that the view does
 * not have is PH_EINVAL. Rows come in the view's own order, the same whatever was put first.
 *
 * view      models    the models that anything is known of
 *           runs      the run lines, whole
 *           lines     the lines, whole, each run's behind its run line unless type or sort is given
 *           features  one row a feature: best text, its activation, z, gap, and its scan
 *           results   one row a found text, the best of all first
 *           map       one row a component of a tap: what features says of it
 *           tokens    where a token stands in the lists of scans, and how far out
 *           same_text other features that answer to a text of `feature`, or to `text`
 *           blocks    one row a tap: features, results, the best
 * model     the beginning of its key (its sha256; of an untrained one "untrained:SHA256:SEED…"), its
 *           file's path or name, or its name; PH_EINVAL if that is none or several
 * place     "block", "attn", "mlp", "neuron", "embed", "final", "logits", each perhaps behind "only ";
 *           "other" for sums, directions and latents
 * feature   specs, whose names ph_features_names gives; at most 300000 of them
 * token     digits: an id; else the token's text, a blank before it or not; "7" is a text
 * text      a result's text, all of it; contains: bytes that it has in it, none of them special
 * type      of lines: "dream", "scan", …; "other": neither of these; method: that found it
 * run       the beginning of its id
 * sort      "activation", "z", "gap", "feature"; largest first unless ascending. Texts that do not
 *           tokenise back to their tokens stand behind the others all the same. "best": as results come,
 *           towards the sign of each search; of scans the one first that features shows. NULL: the view's
 *           own */
typedef struct ph_store_query {
    size_t size;
    const char *view;
    const char *model, *place;
    int64_t block, first, last; /* last: of the components, included */
    const char *feature, *token, *text, *contains, *type, *run, *method, *sort;
    bool ascending;
    int64_t limit, offset; /* limit -1: all */
} ph_store_query;
#define PH_STORE_QUERY_INIT                                                                        \
    {                                                                                              \
        sizeof(ph_store_query), "features", NULL, NULL, -1, -1, -1, NULL, NULL, NULL, NULL, NULL,  \
            NULL, NULL, NULL, false, -1, 0                                                         \
    }
/* A row is a JSON object, followed by a 0; nonzero return ends with PH_ECANCELED. */
typedef int (*ph_store_row_fn)(const char *row, size_t bytes, void *payload);
PH_API ph_status ph_store_select(ph_store *store, const ph_store_query *query, ph_store_row_fn row,
                                 void *payload, ph_error *err);

typedef struct ph_store_counts {
    int64_t runs, lines;    /* that were looked at */
    int64_t added, changed; /* of both; the others were there */
} ph_store_counts;
/* Put everything that another store holds; of two lines with one key that differ the later one stays.
 * In transactions of some thousand lines: merging again finishes what was cut off. counts may be
 * NULL. */
PH_API ph_status ph_store_merge(ph_store *store, const char *path, ph_store_counts *counts,
                                ph_error *err);
/* Read everything and compare it with what its lines say. Each fault is told in one line; nonzero
 * return ends with PH_ECANCELED. PH_OK: it could be looked at, not that it is sound. */
typedef int (*ph_store_fault_fn)(const char *fault, void *payload);
PH_API ph_status ph_store_check(ph_store *store, ph_store_fault_fn fault, void *payload,
                                ph_error *err);

/* Leases: several processes share work that comes in units, each named as its callers like. Kept beside
 * the lines, and neither exported nor merged. Taking a unit that is one's own already renews it; one
 * that is done is leased for INFINITY. *left: 0 if the unit was granted, else the seconds that another
 * has it for. All of them may stand between begin and commit. */
PH_API ph_status ph_store_lease(ph_store *store, const char *unit, const char *owner,
                                double seconds, double *left, ph_error *err);
/* Give back what is this owner's; nothing happens if it is not. */
PH_API ph_status ph_store_unlease(ph_store *store, const char *unit, const char *owner,
                                  ph_error *err);
/* Every lease, by unit; left is negative when it has run out. Nothing may be written meanwhile. */
typedef int (*ph_store_lease_fn)(const char *unit, const char *owner, double left, void *payload);
PH_API ph_status ph_store_leases(ph_store *store, ph_store_lease_fn lease, void *payload,
                                 ph_error *err);

#ifdef __cplusplus
}
#endif

#endif
