/* cmd_bench.c — phosphene bench: this machine's limits, and what share of them our work reaches. */
#include "emit.h"
#include "output.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct bench_command {
    struct common common;
    ph_model *model;
    ph_bench_options bench;
    int64_t blocks[64], rows[64];
    size_t n_blocks, n_rows;
    double peak, bandwidth; /* as they were measured, 1e9 a second */
    char run[17];
};

enum { KEY_BLOCK = 2000, KEY_ROWS, KEY_TOKENS, KEY_REPEATS, KEY_MEMORY };

static const struct argp_option options[] = {
    {"block", KEY_BLOCK, "N,…", 0, "Blocks to go to (8, or the last if there are fewer)", 0},
    {"rows", KEY_ROWS, "N,…", 0, "Rows of descent at once (1,8,32); load takes the last", 0},
    {"tokens", KEY_TOKENS, "N", 0, "Tokens of a row (5; of a text whose tokens are swapped 12)", 0},
    {"repeats", KEY_REPEATS, "N", 0, "Measure every figure so often (as many as it needs)", 0},
    {"memory", KEY_MEMORY, "MIB", 0,
     "Read so much for the bandwidth, and to flush the caches (four times the last cache)", 0},
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
    case KEY_TOKENS: b->bench.tokens = parse_integer(state, "tokens", arg, 1, 1 << 20); break;
    case KEY_REPEATS: b->bench.repeats = (int)parse_integer(state, "repeats", arg, 1, 200); break;
    case KEY_MEMORY:
        b->bench.memory = (size_t)parse_integer(state, "memory", arg, 1, 1 << 20) << 20;
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "[peak|bandwidth|descent|scan|swap|load]",
    "How fast this machine is, and what share of that our work reaches: its best dense float32 "
    "product and its best reading of memory, then steps of descent (warm, and with flushed "
    "caches), a piece of the scan of the whole vocabulary, when its lists have filled, candidates "
    "of a search by swapping tokens, and opening the model up to the first step. Medians of "
    "several repeats; ± is half "
    "the distance of the quartiles. -v: where the time of each goes. Run it on an idle machine."
    "\v"
    "\"of the limit\" is the larger of both shares: what the tighter of peak and bandwidth allows, "
    "where every weight is read once a pass. Weights that stay in a cache are read faster than "
    "memory: more than 100 % of the bandwidth is no mistake.\n"
    "\n"
    "Examples:\n"
    "  phosphene bench\n"
    "  phosphene bench peak\n"
    "  phosphene bench swap -v\n"
    "  phosphene bench descent --block 8,30 --rows 1,32,128 --json\n",
    children,
    NULL,
    NULL};

/* ---- JSON ---- */

static json_t *count(int64_t n)
{
    return n ? json_integer((json_int_t)n) : json_null();
}

static json_t *base_line(const struct bench_command *b, const char *type, const ph_bench_result *r)
{
    return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o, s:o}", "type", type, "run", b->run, "work",
                     r->work, "cold", r->cold, "block", count(r->block), "rows", count(r->rows),
                     "tokens", count(r->tokens));
}

static void emit_result(const struct bench_command *b, const ph_bench_result *r)
{
    json_t *line = base_line(b, "bench", r);
    const bool swap = !strcmp(r->work, "swap");
    const struct {
        const char *name;
        double value;
    } figures[] = {{"seconds", r->seconds},
                   {"spread", r->spread},
                   {"gflops", r->gflops},
                   {"peak_gflops", b->peak > 0 ? b->peak : (double)NAN},
                   {"share", r->share},
                   {"spared", r->spared},
                   {"gbytes", r->gbytes},
                   {"peak_gbytes", b->bandwidth > 0 ? b->bandwidth : (double)NAN},
                   {"gbytes_share", r->gbytes_share},
                   {"limit_share", r->limit_share},
                   {"whole_seconds", r->whole_seconds},
                   {"candidates_per_second", swap ? (double)r->rows / r->seconds : (double)NAN},
                   {"token_forwards", r->token_forwards},
                   {"naive_forwards", r->naive_forwards},
                   {"wall", r->wall}};
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        json_object_set_new(line, figures[i].name, number(figures[i].value));
    emit(line);
}

static void emit_parts(const struct bench_command *b, const ph_bench_result *r)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        const ph_bench_part *p = &r->parts[i];
        json_t *line = base_line(b, "bench_part", r);
        json_t *shape =
            p->N ? json_pack("[I, I, I]", (json_int_t)p->N, (json_int_t)p->K, (json_int_t)p->J)
                 : json_null();
        json_object_set_new(line, "part", json_string(p->name));
        json_object_set_new(line, "shape", shape);
        json_object_set_new(line, "calls", number(p->calls));
        json_object_set_new(line, "seconds", number(p->seconds));
        json_object_set_new(line, "share", number(p->seconds / r->wall));
        emit(line);
    }
}

/* ---- text ---- */

static void print_limits(const ph_bench_result *r)
{
    if (isfinite(r->gflops)) printf("  %6.1f GF/s", r->gflops);
    if (isfinite(r->share)) printf(" %3.0f %% of the peak", 100 * r->share);
    if (r->spared > 0) printf(", %.0f %% spared", 100 * r->spared);
    if (isfinite(r->gbytes)) printf("  %5.1f GB/s", r->gbytes);
    if (isfinite(r->gbytes_share)) printf(" %3.0f %%", 100 * r->gbytes_share);
    if (isfinite(r->limit_share)) printf("  %3.0f %% of the limit", 100 * r->limit_share);
    printf("\n");
}

static void print_parts(const struct bench_command *b, const ph_bench_result *r)
{
    double sum = 0;
    for (size_t i = 0; i < r->n_parts; i++) {
        const ph_bench_part *p = &r->parts[i];
        char name[80];
        if (p->N)
            snprintf(name, sizeof name, "%s %lld × %lld → %lld", p->name, (long long)p->N,
                     (long long)p->K, (long long)p->J);
        else
            snprintf(name, sizeof name, "%s", p->name);
        printf("    ");
        cell(name, 30);
        printf(" %7.0f × %10.3f ms  %5.1f %%", p->calls, 1e3 * p->seconds,
               100 * p->seconds / r->wall);
        const double gflops = 2e-9 * (double)(p->N * p->K * p->J) * p->calls / p->seconds;
        if (p->N) printf("  %6.1f GF/s", gflops);
        if (p->N && b->peak > 0) printf("  %3.0f %% of the peak", 100 * gflops / b->peak);
        printf("\n");
        sum += p->seconds;
    }
    if (r->n_parts) printf("    together %.3f ms of %.3f\n", 1e3 * sum, 1e3 * r->wall);
}

static void print_result(const ph_bench_result *r)
{
    const char *state = r->cold ? "cold" : "warm";
    printf("%-9s ", r->work);
    if (!strcmp(r->work, "peak"))
        printf("%7.1f GF/s, the best dense float32 product found\n", r->gflops);
    else if (!strcmp(r->work, "bandwidth"))
        printf("%7.1f GB/s, the best reading of %.0f MiB of memory found\n", r->gbytes,
               r->gbytes * r->seconds * 1e9 / (1 << 20));
    else if (!strcmp(r->work, "descent"))
        printf("block %lld, %4lld rows × %lld tokens, %s  %8.2f ms a step (± %.0f %%)",
               (long long)r->block, (long long)r->rows, (long long)r->tokens, state,
               1e3 * r->seconds, 50 * r->spread);
    else if (!strcmp(r->work, "scan"))
        printf("%lld tokens, %lld blocks  %.2f s (± %.0f %%), the whole vocabulary %.1f s",
               (long long)r->rows, (long long)r->block, r->seconds, 50 * r->spread,
               r->whole_seconds);
    else if (!strcmp(r->work, "swap"))
        printf("block %lld, %lld tokens  %.0f candidates a second (± %.0f %%), %.1f tokens of %lld "
               "each",
               (long long)r->block, (long long)r->tokens, (double)r->rows / r->seconds,
               50 * r->spread, r->token_forwards / (double)r->rows, (long long)r->tokens);
    else
        printf(
            "block %lld, %4lld rows × %lld tokens, warm  %8.3f s to the end of the first step (± "
            "%.0f %%)",
            (long long)r->block, (long long)r->rows, (long long)r->tokens, r->seconds,
            50 * r->spread);
    if (strcmp(r->work, "peak") && strcmp(r->work, "bandwidth")) print_limits(r);
}

/* ---- runs ---- */

static int on_result(const ph_bench_result *r, void *payload)
{
    struct bench_command *b = payload;
    if (!strcmp(r->work, "peak")) b->bench.peak_gflops = b->peak = r->gflops;
    if (!strcmp(r->work, "bandwidth")) b->bench.peak_gbytes = b->bandwidth = r->gbytes;
    if (b->common.json) {
        emit_result(b, r);
        emit_parts(b, r);
    } else {
        print_result(r);
        print_parts(b, r);
    }
    output_now();
    return 0;
}

static ph_status one(struct bench_command *b, const char *work, int64_t block, int64_t rows,
                     ph_error *err)
{
    b->bench.block = block;
    b->bench.rows = rows;
    b->bench.parts = b->common.verbose;
    return ph_bench(b->model, work, &b->bench, on_result, b, err);
}

/* A work for every block and, of descent, every number of rows. */
static ph_status all_of(struct bench_command *b, const char *work, ph_error *err)
{
    const bool limit = !strcmp(work, "peak") || !strcmp(work, "bandwidth");
    const bool blocks = !limit && strcmp(work, "scan"), rows = !strcmp(work, "descent");
    for (size_t i = 0; i < (blocks ? b->n_blocks : 1); i++) {
        for (size_t k = rows ? 0 : b->n_rows - 1; k < b->n_rows; k++) {
            const ph_status st = one(b, work, b->blocks[i], b->rows[k], err);
            if (st != PH_OK) return st;
        }
    }
    return PH_OK;
}

/* Is a work asked for, or is it the limit of one that is? */
static bool needed(const char *work, const char *wanted)
{
    if (!wanted || !strcmp(work, wanted)) return true;
    if (!strcmp(wanted, "descent")) return !strcmp(work, "peak") || !strcmp(work, "bandwidth");
    return !strcmp(work, "peak") && (!strcmp(wanted, "scan") || !strcmp(wanted, "swap"));
}

/* The limits come first: everything else is a share of them. */
static ph_status works(struct bench_command *b, const char *wanted, ph_error *err)
{
    for (size_t i = 0; ph_bench_name(i); i++) {
        const char *work = ph_bench_name(i);
        const ph_status st = needed(work, wanted) ? all_of(b, work, err) : PH_OK;
        if (st != PH_OK) return st;
    }
    return PH_OK;
}

static ph_status run(struct bench_command *b, const char *work, ph_error *err)
{
    ph_status st =
        ph_model_open(&b->model, b->common.models[0].path, &b->common.models[0].options, err);
    if (st != PH_OK) return st;
    if (!b->n_blocks) {
        const int64_t last = ph_model_get_info(b->model)->blocks;
        b->blocks[b->n_blocks++] = last < 8 ? last : 8;
    }
    if (b->common.json)
        st = emit_run(b->run, &b->common,
                      &(struct run_of){.model = b->model, .input = work ? work : "all"},
                      common_settings(&b->common), err);
    return st == PH_OK ? works(b, work, err) : st;
}

static bool is_work(const char *word)
{
    for (size_t i = 0; ph_bench_name(i); i++)
        if (!strcmp(word, ph_bench_name(i))) return true;
    return false;
}

int cmd_bench(int argc, char **argv)
{
    struct bench_command b = {.bench = PH_BENCH_OPTIONS_INIT, .rows = {1, 8, 32}, .n_rows = 3};
    ph_error err = {0};
    int status = EXIT_USAGE;

    parse_options(&b.common, &argp, argc, argv);
    const char *work = b.common.n_words ? b.common.words[0] : NULL;
    if (b.common.n_words > 1 || (work && !is_work(work)))
        fprintf(stderr,
                "phosphene bench: \"%s\": expected peak, bandwidth, descent, scan, swap or load\n",
                b.common.words[b.common.n_words - 1]);
    else
        status = finish(&b.common, run(&b, work, &err), &err, NULL);
    ph_model_close(&b.model);
    common_free(&b.common);
    return status;
}
