/* cmd_info.c — phosphene info: the model, its tensors, the memory a job needs. */
#include "emit.h"
#include "forecast.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

struct info_command {
    struct common common;
    ph_model *model;
    int64_t block, rows, tokens, steps;
    bool job;
    struct job estimate;
};

enum { KEY_BLOCK = 2000, KEY_ROWS, KEY_TOKENS, KEY_STEPS, KEY_JOB };

static const struct argp_option options[] = {
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
    "What a model file holds: family, sizes, vocabulary, tensors (with -v), and the memory that a "
    "descent needs."
    "\v"
    "Examples:\n"
    "  phosphene info\n"
    "  phosphene info -v -m model.gguf\n"
    "  phosphene info --block 8 --rows 64 --json\n"
    "  phosphene info --job --block 8 --rows 8 --steps 100\n",
    children,
    NULL,
    NULL};

struct memory {
    size_t own, weights;
};

static ph_status job_memory(struct memory *m, const struct info_command *s, ph_error *err)
{
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    const int64_t blocks = ph_model_get_info(s->model)->blocks;
    o.tap.block = s->block ? s->block : blocks;
    o.rows = s->rows;
    o.tokens = s->tokens;
    o.gradient = true;
    return ph_session_bytes(&m->own, &m->weights, s->model, &o, err);
}

/* ---- JSON ---- */

static json_t *tensors(const ph_model *model)
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

static ph_status print_json(const struct info_command *s, const struct memory *m, ph_error *err)
{
    const ph_model_info *i = ph_model_get_info(s->model);
    char run[17];
    ph_status st =
        emit_run(run, &s->common, s->model, NULL, 0, "", common_settings(&s->common), err);
    if (st != PH_OK) return st;
    json_t *line = json_pack(
        "{s:s, s:s, s:o, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, "
        "s:I, s:I, s:{s:I, s:I, s:I, s:I, s:I}, s:o}",
        "type", "info", "run", run, "name", utf8(i->name, strlen(i->name)), "family", i->family,
        "quant", i->quant, "backend", i->backend, "blocks", (json_int_t)i->blocks, "width",
        (json_int_t)i->width, "heads", (json_int_t)i->heads, "kv_heads", (json_int_t)i->kv_heads,
        "head_width", (json_int_t)i->head_width, "ffn", (json_int_t)i->ffn, "vocab",
        (json_int_t)i->vocab, "context_length", (json_int_t)i->context_length, "tied", i->tied,
        "parameters", (json_int_t)i->parameters, "file_bytes", (json_int_t)i->file_bytes, "job",
        "block", (json_int_t)(s->block ? s->block : i->blocks), "rows", (json_int_t)s->rows,
        "tokens", (json_int_t)s->tokens, "weight_bytes", (json_int_t)m->weights, "session_bytes",
        (json_int_t)m->own, "tensors", tensors(s->model));
    if (s->job) job_set(json_object_get(line, "job"), &s->estimate, s->model);
    emit(line);
    return PH_OK;
}

/* ---- table ---- */

static void print_tensors(const ph_model *model)
{
    ph_tensor_info t;
    printf("\n");
    for (size_t i = 0; ph_model_tensor(model, i, &t); i++) {
        char shape[96] = "";
        for (int d = 0, at = 0; d < t.dims; d++)
            at += snprintf(shape + at, sizeof shape - (size_t)at, "%s%lld", d ? " × " : "",
                           (long long)t.shape[d]);
        cell(t.name, 32);
        printf(" %-5s ", t.type);
        cell(shape, 20);
        printf(" %12zu bytes\n", t.bytes);
    }
}

static void print_tokenizer(const ph_tokenizer *t)
{
    if (!t) {
        printf("tokenizer   none in this file\n");
        return;
    }
    const ph_tokenizer_info *k = ph_tokenizer_get_info(t);
    printf("tokenizer   %s, %s: %d tokens", k->model, *k->pre ? k->pre : "no pre-tokenizer",
           k->vocab);
    const int32_t ids[] = {k->bos, k->eos, k->eot};
    const char *const names[] = {"bos", "eos", "end of text"};
    for (int i = 0; i < 3; i++) {
        char *token = quoted_token(t, ids[i]);
        printf(", %s %s", names[i], token ? token : "");
        free(token);
    }
    printf("\n");
}

static void print_table(const struct info_command *s, const struct memory *m)
{
    const ph_model_info *i = ph_model_get_info(s->model);
    const double mib = 1024.0 * 1024.0;
    printf("%s\n", i->name);
    printf("file        %s, %.1f MiB\n", i->path, (double)i->file_bytes / mib);
    printf("family      %s, mostly %s, %.1f million weights\n", i->family, i->quant,
           (double)i->parameters * 1e-6);
    printf("sizes       %lld blocks of width %lld; %lld heads of %lld, %lld KV heads; MLP %lld; "
           "context %lld\n",
           (long long)i->blocks, (long long)i->width, (long long)i->heads, (long long)i->head_width,
           (long long)i->kv_heads, (long long)i->ffn, (long long)i->context_length);
    printf("output      %s\n", i->tied ? "the embedding matrix (tied)" : "a matrix of its own");
    print_tokenizer(ph_model_tokenizer(s->model));
    printf("computes    %s, %d threads\n", i->backend, i->threads);
    printf("memory      block %lld, %lld rows of %lld tokens: %.1f MiB of packed weights, %.1f MiB "
           "for the rows\n",
           (long long)(s->block ? s->block : i->blocks), (long long)s->rows, (long long)s->tokens,
           (double)m->weights / mib, (double)m->own / mib);
    if (s->job) job_print(&s->estimate, s->model);
    if (s->common.verbose) print_tensors(s->model);
}

int cmd_info(int argc, char **argv)
{
    struct info_command s = {.rows = 32, .tokens = 5, .steps = 100};
    struct memory memory = {0};
    ph_error err = {0};

    parse_options(&s.common, &argp, argc, argv);
    ph_status st =
        ph_model_open(&s.model, s.common.models[0].path, &s.common.models[0].options, &err);
    if (st == PH_OK) st = job_memory(&memory, &s, &err);
    s.estimate =
        (struct job){.block = s.block, .rows = s.rows, .tokens = s.tokens, .steps = s.steps};
    if (st == PH_OK && s.job) st = job_estimate(&s.estimate, s.model, &err);
    if (st == PH_OK && s.common.json)
        st = print_json(&s, &memory, &err);
    else if (st == PH_OK)
        print_table(&s, &memory);
    const int status = finish(&s.common, st, &err, NULL);
    ph_model_close(&s.model);
    common_free(&s.common);
    return status;
}
