/* cmd_info.c — phosphene info: the model, its tensors and tokens, the memory a job needs. */
#include "emit.h"
#include "forecast.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_TYPES = 32, SHOWN = 12 };

/* Tensors of one type. */
struct type {
    const char *name;
    int64_t tensors, weights;
    size_t bytes;
};

struct info_command {
    struct common common;
    bool tensors;
    ph_model *model;
    int64_t block, rows, tokens, steps;
    bool job;
    struct job estimate;
    size_t own, weights; /* bytes of the job */
    struct type types[MOST_TYPES];
    size_t n_types;
};

enum { KEY_BLOCK = 2000, KEY_ROWS, KEY_TOKENS, KEY_TENSORS, KEY_STEPS, KEY_JOB };

static const struct argp_option options[] = {
    {"tensors", KEY_TENSORS, NULL, 0, "List every tensor: name, type, shape, bytes", 0},
    {"block", KEY_BLOCK, "N", 0, "Block of the job whose memory is predicted (the last)", 0},
    {"rows", KEY_ROWS, "N", 0, "Its rows (32)", 0},
    {"tokens", KEY_TOKENS, "N", 0, "Its tokens (5)", 0},
    {"steps", KEY_STEPS, "N", 0, "Its steps (100)", 0},
    {"job", KEY_JOB, NULL, 0,
     "Predict the memory and the time of that descent; measures the machine for some seconds", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct info_command *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case KEY_TENSORS: s->tensors = true; break;
    case KEY_BLOCK: s->block = parse_integer(state, "block", arg, 1, 1 << 20); break;
    case KEY_ROWS: s->rows = parse_integer(state, "rows", arg, 1, 1 << 20); break;
    case KEY_TOKENS: s->tokens = parse_integer(state, "tokens", arg, 1, 1 << 20); break;
    case KEY_STEPS: s->steps = parse_integer(state, "steps", arg, 1, 1 << 30); break;
    case KEY_JOB: s->job = true; break;
    case ARGP_KEY_ARG: usage_error(state, "%s: this command takes options only", arg); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    NULL,
    "What a model file holds: family, sizes, how its blocks are built, tokenizer, special tokens "
    "and chat format, tensors by type, and the memory that a descent needs."
    "\v"
    "With -v all special tokens and tensors; --json has all of it always.\n\n"
    "Examples:\n"
    "  phosphene info\n"
    "  phosphene info --tensors -m model.gguf\n"
    "  phosphene info --block 8 --rows 64 --json\n"
    "  phosphene info --job --block 8 --rows 8 --steps 100\n",
    children,
    NULL,
    NULL};

/* ---- gathering ---- */

static ph_status predict_job(struct info_command *s, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    if (!s->block) s->block = ph_model_get_info(s->model)->blocks;
    o.tap.block = s->block;
    o.rows = s->rows;
    o.tokens = s->tokens;
    o.gradient = true;
    return ph_session_bytes(&s->own, &s->weights, s->model, &o, err);
}

static struct type *find_type(struct info_command *s, const char *name)
{
    size_t i = 0;
    while (i < s->n_types && strcmp(s->types[i].name, name) != 0) i++;
    if (i == s->n_types && s->n_types < MOST_TYPES) s->types[s->n_types++].name = name;
    return i < MOST_TYPES ? &s->types[i] : NULL;
}

static int by_bytes(const void *a, const void *b)
{
    const struct type *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static void count_types(struct info_command *s)
{
    ph_tensor_info t;
    for (size_t i = 0; ph_model_tensor(s->model, i, &t); i++) {
        struct type *type = find_type(s, t.type);
        int64_t weights = 1;
        if (!type) continue;
        for (int d = 0; d < t.dims; d++) weights *= t.shape[d];
        type->tensors++;
        type->weights += weights;
        type->bytes += t.bytes;
    }
    qsort(s->types, s->n_types, sizeof *s->types, by_bytes);
}

static bool is_special(const ph_tokenizer *t, int32_t id, const char **kind)
{
    const ph_token_kind k = ph_tokenizer_kind(t, id);
    *kind = k == PH_TOKEN_CONTROL ? "control" : k == PH_TOKEN_UNKNOWN ? "unknown" : "user-defined";
    return k == PH_TOKEN_CONTROL || k == PH_TOKEN_USER_DEFINED || k == PH_TOKEN_UNKNOWN;
}

/* ---- JSON ---- */

static json_t *tensors_json(const ph_model *model)
{
    json_t *list = json_array();
    ph_tensor_info t;
    for (size_t i = 0; ph_model_tensor(model, i, &t); i++) {
        json_t *shape = json_array();
        for (int d = 0; d < t.dims; d++)
            json_array_append_new(shape, json_integer((json_int_t)t.shape[d]));
        json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:I}", "name",
                                              utf8(t.name, strlen(t.name)), "type", t.type, "shape",
                                              shape, "bytes", (json_int_t)t.bytes));
    }
    return list;
}

static json_t *types_json(const struct info_command *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n_types; i++) {
        const struct type *t = &s->types[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:I, s:I, s:I}", "type", t->name, "tensors",
                                        (json_int_t)t->tensors, "weights", (json_int_t)t->weights,
                                        "bytes", (json_int_t)t->bytes));
    }
    return list;
}

static json_t *sizes_json(const ph_model_info *i)
{
    return json_pack(
        "{s:s, s:o, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I}", "type",
        "info", "name", utf8(i->name, strlen(i->name)), "family", i->family, "quant", i->quant,
        "backend", i->backend, "blocks", (json_int_t)i->blocks, "width", (json_int_t)i->width,
        "heads", (json_int_t)i->heads, "kv_heads", (json_int_t)i->kv_heads, "head_width",
        (json_int_t)i->head_width, "ffn", (json_int_t)i->ffn, "vocab", (json_int_t)i->vocab,
        "context_length", (json_int_t)i->context_length, "tied", i->tied, "parameters",
        (json_int_t)i->parameters, "file_bytes", (json_int_t)i->file_bytes);
}

/* Null where it says that there is none. */
static json_t *positive(double v)
{
    return v > 0 ? number(v) : json_null();
}

static json_t *rope_json(const ph_model_design *d)
{
    if (!d->rope_dims) return json_null();
    return json_pack("{s:s, s:I, s:o, s:o, s:s, s:o}", "pairs", d->positions, "dims",
                     (json_int_t)d->rope_dims, "base", number(d->rope_base), "base_local",
                     positive(d->rope_base_local), "scaling", d->rope_scaling, "factor",
                     number(d->rope_factor));
}

static void add_design(json_t *line, const ph_model *model)
{
    ph_model_design d;
    ph_model_get_design(&d, model);
    json_object_set_new(line, "rope", rope_json(&d));
    json_object_set_new(line, "learned_positions", json_boolean(!d.rope_dims));
    json_object_set_new(line, "norm",
                        json_pack("{s:s, s:o, s:b, s:b, s:s}", "kind", d.norm, "eps",
                                  number(d.norm_eps), "before", d.norm_before, "after",
                                  d.norm_after, "queries", d.query_norm));
    json_object_set_new(line, "attention",
                        json_pack("{s:o, s:o, s:I, s:I, s:b}", "scale", number(d.score_scale),
                                  "soft_cap", positive(d.score_cap), "window", (json_int_t)d.window,
                                  "windowed_blocks", (json_int_t)d.windowed, "bias", d.qkv_bias));
    json_object_set_new(line, "mlp",
                        json_pack("{s:s, s:b, s:b}", "activation", d.activation, "gated", d.gated,
                                  "parallel", d.parallel));
    json_object_set_new(line, "embed_scale", number(d.embed_scale));
    json_object_set_new(line, "logit_cap", positive(d.logit_cap));
    json_object_set_new(line, "output_bias", json_boolean(d.output_bias));
}

static json_t *specials_json(const ph_tokenizer *t)
{
    json_t *list = json_array();
    const char *kind;
    for (int32_t id = 0; id < ph_tokenizer_get_info(t)->vocab; id++)
        if (is_special(t, id, &kind))
            json_array_append_new(list, json_pack("{s:i, s:o, s:s}", "id", id, "token",
                                                  token_text(t, id), "kind", kind));
    return list;
}

static json_t *id_json(int32_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

static json_t *tokenizer_json(const ph_tokenizer *t)
{
    if (!t) return json_null();
    const ph_tokenizer_info *k = ph_tokenizer_get_info(t);
    return json_pack("{s:o, s:o, s:i, s:o, s:o, s:o, s:b, s:b, s:o}", "model",
                     utf8(k->model, strlen(k->model)), "pre", utf8(k->pre, strlen(k->pre)), "vocab",
                     k->vocab, "bos", id_json(k->bos), "eos", id_json(k->eos), "end_of_text",
                     id_json(k->eot), "add_bos", k->add_bos, "add_eos", k->add_eos, "special",
                     specials_json(t));
}

static json_t *chat_json(const ph_tokenizer *t)
{
    const ph_tokenizer_info *k = t ? ph_tokenizer_get_info(t) : NULL;
    if (!k || !*k->chat_template) return json_null();
    return json_pack("{s:s?, s:o}", "format", k->chat_format, "template",
                     utf8(k->chat_template, strlen(k->chat_template)));
}

static ph_status print_json(const struct info_command *s, ph_error *err)
{
    char run[17];
    const ph_tokenizer *t = ph_model_tokenizer(s->model);
    const ph_status st = emit_run(run, &s->common, &(struct run_of){.model = s->model, .input = ""},
                                  common_settings(&s->common), err);
    if (st != PH_OK) return st;
    json_t *line = sizes_json(ph_model_get_info(s->model));
    json_object_set_new(line, "run", json_string(run));
    add_design(line, s->model);
    json_object_set_new(line, "tokenizer", tokenizer_json(t));
    json_object_set_new(line, "chat", chat_json(t));
    json_object_set_new(line, "job",
                        json_pack("{s:I, s:I, s:I, s:I, s:I}", "block", (json_int_t)s->block,
                                  "rows", (json_int_t)s->rows, "tokens", (json_int_t)s->tokens,
                                  "weight_bytes", (json_int_t)s->weights, "session_bytes",
                                  (json_int_t)s->own));
    if (s->job) job_set(json_object_get(line, "job"), &s->estimate, s->model);
    json_object_set_new(line, "types", types_json(s));
    json_object_set_new(line, "tensors", tensors_json(s->model));
    emit(line);
    return PH_OK;
}

/* ---- table ---- */

static const double mib = 1024.0 * 1024.0;

static void print_tensors(const ph_model *model)
{
    ph_tensor_info t;
    printf("\n");
    for (size_t i = 0; ph_model_tensor(model, i, &t); i++) {
        char shape[96] = "";
        for (int d = 0, at = 0; d < t.dims; d++)
            at += snprintf(shape + at, sizeof shape - (size_t)at, "%s%lld", d ? " × " : "",
                           (long long)t.shape[d]);
        cell(t.name, 36);
        printf(" %-6s ", t.type);
        cell(shape, 20);
        printf(" %12zu bytes\n", t.bytes);
    }
}

static void print_sizes(const ph_model_info *i)
{
    printf("%s\n", i->name);
    printf("file        %s, %.1f MiB\n", i->path, (double)i->file_bytes / mib);
    printf("family      %s, mostly %s, %.1f million weights\n", i->family, i->quant,
           (double)i->parameters * 1e-6);
    printf("sizes       %lld blocks of width %lld, MLP %lld, vocabulary %lld, context %lld\n",
           (long long)i->blocks, (long long)i->width, (long long)i->ffn, (long long)i->vocab,
           (long long)i->context_length);
}

static void print_positions(const ph_model_design *d, const ph_model_info *i)
{
    if (!d->rope_dims) {
        printf("positions   learned\n");
        return;
    }
    printf("positions   rope over pairs of %s, base %.10g", d->positions, d->rope_base);
    if (d->rope_dims < i->head_width)
        printf(", %lld of a head's %lld components", (long long)d->rope_dims,
               (long long)i->head_width);
    if (d->rope_base_local > 0) printf(", base %.10g in blocks with a window", d->rope_base_local);
    if (strcmp(d->rope_scaling, "none") != 0) printf(", scaling %s", d->rope_scaling);
    if (d->rope_factor != 1) printf(" by %g", d->rope_factor);
    printf("\n");
}

static void print_design(const ph_model *model)
{
    const ph_model_info *i = ph_model_get_info(model);
    ph_model_design d;

    ph_model_get_design(&d, model);
    printf("attention   %lld heads of %lld, %lld KV heads%s", (long long)i->heads,
           (long long)i->head_width, (long long)i->kv_heads, d.qkv_bias ? ", biases" : "");
    if (d.windowed)
        printf("; %lld of %lld blocks see %lld tokens only", (long long)d.windowed,
               (long long)i->blocks, (long long)d.window);
    if (d.score_cap > 0) printf("; soft cap %g", d.score_cap);
    printf("\n");
    print_positions(&d, i);
    printf("norms       %s, eps %g, %s attention and MLP", d.norm, d.norm_eps,
           !d.norm_after   ? "before"
           : d.norm_before ? "before and after"
                           : "after");
    if (strcmp(d.query_norm, "none") != 0) printf("; queries and keys normed by %s", d.query_norm);
    printf("\nMLP         %s%s%s\n", d.activation, d.gated ? ", gated" : "",
           d.parallel ? ", parallel to attention" : "");
    printf("output      %s%s", i->tied ? "the embedding matrix (tied)" : "a matrix of its own",
           d.output_bias ? ", with a bias" : "");
    if (d.logit_cap > 0) printf(", soft cap %g", d.logit_cap);
    if (d.embed_scale != 1) printf("; embeddings times %g", d.embed_scale);
    printf("\n");
}

/* "bos '<s>' 1" */
static void print_named(const ph_tokenizer *t, const char *name, int32_t id, const char *before)
{
    char *token = quoted_token(t, id);
    printf("%s%s %s", before, name, id < 0 ? "none" : token ? token : "");
    if (id >= 0) printf(" %d", id);
    free(token);
}

/* All with `every`, else the first few. */
static void print_specials(const ph_tokenizer *t, bool every)
{
    int64_t n = 0;
    const char *kind;
    for (int32_t id = 0; id < ph_tokenizer_get_info(t)->vocab; id++) {
        if (!is_special(t, id, &kind)) continue;
        if (every || n < SHOWN) {
            char *token = quoted_token(t, id);
            printf("%s%s %d", n ? ", " : "special     ", token ? token : "", id);
            free(token);
        }
        n++;
    }
    if (!every && n > SHOWN) printf(" and %lld more", (long long)n - SHOWN);
    if (n) printf("\n");
}

static void print_tokenizer(const ph_tokenizer *t, bool every)
{
    if (!t) {
        printf("tokenizer   none in this file\n");
        return;
    }
    const ph_tokenizer_info *k = ph_tokenizer_get_info(t);
    printf("tokenizer   %s, %s: %d tokens", k->model, *k->pre ? k->pre : "no pre-tokenizer",
           k->vocab);
    print_named(t, "bos", k->bos, ", ");
    printf(" (%s)", k->add_bos ? "added" : "not added");
    print_named(t, "eos", k->eos, ", ");
    printf(" (%s)", k->add_eos ? "added" : "not added");
    print_named(t, "end of text", k->eot, ", ");
    printf("\n");
    print_specials(t, every);
    printf("chat        %s\n", !*k->chat_template ? "no template in this file"
                               : k->chat_format   ? k->chat_format
                                                  : "a template of no format that is known");
}

static void print_types(const struct info_command *s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s->n_types; i++) n += s->types[i].tensors;
    printf("tensors     %lld:", (long long)n);
    for (size_t i = 0; i < s->n_types; i++)
        printf("%s %lld %s of %.1f MiB", i ? "," : "", (long long)s->types[i].tensors,
               s->types[i].name, (double)s->types[i].bytes / mib);
    printf("\n");
}

static void print_table(const struct info_command *s)
{
    const ph_model_info *i = ph_model_get_info(s->model);

    print_sizes(i);
    print_design(s->model);
    print_tokenizer(ph_model_tokenizer(s->model), s->common.verbose);
    print_types(s);
    printf("computes    %s, %d threads\n", i->backend, i->threads);
    printf("memory      block %lld, %lld rows of %lld tokens: %.1f MiB of packed weights, %.1f MiB "
           "for the rows\n",
           (long long)s->block, (long long)s->rows, (long long)s->tokens, (double)s->weights / mib,
           (double)s->own / mib);
    if (s->job) job_print(&s->estimate, s->model);
    if (s->tensors || s->common.verbose) print_tensors(s->model);
}

int cmd_info(int argc, char **argv)
{
    struct info_command s = {.rows = 32, .tokens = 5, .steps = 100};
    ph_error err = {0};

    parse_options(&s.common, &argp, argc, argv);
    ph_status st =
        ph_model_open(&s.model, s.common.models[0].path, &s.common.models[0].options, &err);
    if (st == PH_OK) st = predict_job(&s, &err);
    if (st == PH_OK) count_types(&s);
    s.estimate =
        (struct job){.block = s.block, .rows = s.rows, .tokens = s.tokens, .steps = s.steps};
    if (st == PH_OK && s.job) st = job_estimate(&s.estimate, s.model, &err);
    if (st == PH_OK && s.common.json)
        st = print_json(&s, &err);
    else if (st == PH_OK)
        print_table(&s);
    const int status = finish(&s.common, st, &err, NULL);
    ph_model_close(&s.model);
    common_free(&s.common);
    return status;
}
