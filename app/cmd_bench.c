/* cmd_bench.c — phosphene bench: this machine's peak, and what share of it descent reaches. */
#include "emit.h"

#include <stdlib.h>
#include <string.h>

struct bench_command {
    struct common common;
    ph_model *model;
    int64_t blocks[64], rows[64];
    size_t n_blocks, n_rows;
    int64_t tokens;
    char run[17];
};

enum { KEY_BLOCK = 2000, KEY_ROWS, KEY_TOKENS };

static const struct argp_option options[] = {
    {"block", KEY_BLOCK, "N,…", 0, "Blocks to descend to (8, or the last if there are fewer)", 0},
    {"rows", KEY_ROWS, "N,…", 0, "Rows at once (1,8,32)", 0},
    {"tokens", KEY_TOKENS, "N", 0, "Tokens of a row (5)", 0},
    {0}};

static size_t parse_list(int64_t list[64], const char *option, const char *arg,
                         struct argp_state *state)
{
    size_t n = 0;
    char *copy = strdup(arg), *save = NULL;
    for (char *p = strtok_r(copy, ",", &save); p && n < 64; p = strtok_r(NULL, ",", &save))
        list[n++] = parse_integer(state, option, p, 1, 1 << 20);
    free(copy);
    if (n == 0)
        usage_error(state, "--%s %s: expected numbers with commas between them", option, arg);
    return n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct bench_command *b = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &b->common; break;
    case KEY_BLOCK: b->n_blocks = parse_list(b->blocks, "block", arg, state); break;
    case KEY_ROWS: b->n_rows = parse_list(b->rows, "rows", arg, state); break;
    case KEY_TOKENS: b->tokens = parse_integer(state, "tokens", arg, 1, 1 << 20); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {options,
                                 parse,
                                 "[peak|descent]",
                                 "How fast this machine is: its best dense float32 product, and "
                                 "what share of that rate the steps "
                                 "of descent reach. Warm medians; run it on an idle machine."
                                 "\v"
                                 "Examples:\n"
                                 "  phosphene bench\n"
                                 "  phosphene bench peak\n"
                                 "  phosphene bench descent --block 8,30 --rows 1,32,128 --json\n",
                                 children,
                                 NULL,
                                 NULL};

static void print(const struct bench_command *b, const ph_bench_result *r)
{
    if (b->common.json) {
        emit(json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "type", "bench",
                       "run", b->run, "work", r->work, "block", (json_int_t)r->block, "rows",
                       (json_int_t)r->rows, "tokens", (json_int_t)r->tokens, "seconds",
                       number(r->seconds), "spread", number(r->spread), "gflops", number(r->gflops),
                       "peak_gflops", number(r->peak_gflops), "share", number(r->share)));
        return;
    }
    if (r->block == 0)
        printf("peak      %7.1f GF/s, the best dense float32 product found\n", r->gflops);
    else
        printf("descent   block %lld, %4lld rows × %lld tokens  %8.2f ms a step (± %.0f %%)  %6.1f "
               "GF/s  %3.0f %% of the peak\n",
               (long long)r->block, (long long)r->rows, (long long)r->tokens, 1e3 * r->seconds,
               50 * r->spread, r->gflops, 100 * r->share);
}

static ph_status descents(const struct bench_command *b, double peak, ph_error *err)
{
    for (size_t i = 0; i < b->n_blocks; i++) {
        for (size_t k = 0; k < b->n_rows; k++) {
            ph_bench_result r;
            ph_status st =
                ph_bench_descent(b->model, b->blocks[i], b->rows[k], b->tokens, peak, &r, err);
            if (st != PH_OK) return st;
            print(b, &r);
            fflush(stdout);
        }
    }
    return PH_OK;
}

static ph_status run(struct bench_command *b, const char *work, ph_error *err)
{
    ph_bench_result peak;
    ph_status st =
        ph_model_open(&b->model, b->common.models[0].path, &b->common.models[0].options, err);
    if (st != PH_OK) return st;
    if (!b->n_blocks) {
        const int64_t last = ph_model_get_info(b->model)->blocks;
        b->blocks[b->n_blocks++] = last < 8 ? last : 8;
    }
    if (b->common.json)
        st =
            emit_run(b->run, &b->common, b->model, NULL, 0, work, common_settings(&b->common), err);
    if (st == PH_OK) st = ph_bench_peak(b->model, &peak, err);
    if (st != PH_OK) return st;
    print(b, &peak);
    fflush(stdout);
    return strcmp(work, "peak") == 0 ? PH_OK : descents(b, peak.gflops, err);
}

int cmd_bench(int argc, char **argv)
{
    struct bench_command b = {.rows = {1, 8, 32}, .n_rows = 3, .tokens = 5};
    ph_error err = {0};
    int status = EXIT_USAGE;

    parse_options(&b.common, &argp, argc, argv);
    const char *work = b.common.n_words ? b.common.words[0] : "all";
    if (b.common.n_words > 1 ||
        (strcmp(work, "all") && strcmp(work, "peak") && strcmp(work, "descent")))
        fprintf(stderr, "phosphene bench: \"%s\": expected peak or descent\n", work);
    else
        status = finish(&b.common, run(&b, work, &err), &err, NULL);
    ph_model_close(&b.model);
    common_free(&b.common);
    return status;
}
