/* cmd_scan.c — phosphene scan: every vocabulary token alone, exact. */
#include "keep.h"
#include "lines.h"
#include "progress.h"
#include "search.h"
#include "output.h"
#include "atlas.h"
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct scan_command {
    struct common common;
    ph_scan_options o;
    bool neurons;
    int64_t depth;
    const char *output;
    struct subject *subject;
};

enum { KEY_TOP = 2000, KEY_NEURONS, KEY_DEPTH, KEY_OUTPUT };

static const struct argp_option options[] = {
    {"top", KEY_TOP, "K", 0, "Length of the lists (10)", 0},
    {"output", KEY_OUTPUT, "FILE", 0,
     "Write there in place of stdout, in the format of the ending: " ATLAS_ENDINGS
     " (with SPEC: .jsonl)",
     0},
    {"neurons", KEY_NEURONS, NULL, 0, "Without SPEC: every neuron of every MLP too", 0},
    {"depth", KEY_DEPTH, "N", 0, "Without SPEC: blocks 1 to N only", 0},
    {0}};

static void check_words(const struct scan_command *s, struct argp_state *state)
{
    const bool all = s->common.n_words == 0;
    if (!all && s->neurons) usage_error(state, "--neurons goes with a scan of everything: no SPEC");
    if (!all && s->depth) usage_error(state, "--depth goes with a scan of everything: no SPEC");
    if (!s->output) return;
    if (!atlas_writes(s->output))
        usage_error(state, "--output %s: expected a name that ends in " ATLAS_ENDINGS, s->output);
    if (!all && !atlas_writes_lines(s->output))
        usage_error(state, "--output %s: with SPEC a scan is written as .jsonl", s->output);
    if (s->common.n_models > 1) usage_error(state, "--output takes one model");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct scan_command *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case KEY_TOP: s->o.top = parse_integer(state, "top", arg, 1, 1000000); break;
    case KEY_NEURONS: s->neurons = true; break;
    case KEY_DEPTH: s->depth = parse_integer(state, "depth", arg, 1, 100000); break;
    case KEY_OUTPUT: s->output = arg; break;
    case ARGP_KEY_END: check_words(s, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "SPEC…\n",
    "Complete search: run every token of the vocabulary alone (after the context) and list the "
    "tokens with the highest and the lowest activation of each feature. Exact, not a sample. "
    "Without SPEC: every feature of every block in one pass."
    "\v"
    "The first scan of a place in the model takes a pass over the whole vocabulary; it is kept, so "
    "that further features of the same place answer at once. A scan of everything that was "
    "interrupted goes on where it was.\n\n"
    "Examples:\n"
    "  phosphene scan 'block 8 [:, :, 0-4]'\n"
    "  phosphene scan --neurons --output all.npz\n"
    "      then in Python: numpy.load('all.npz')['block_top_id'][7, 2000] (block 8, feature 2000)\n"
    "  phosphene scan --prefix 'The capital of France is' --output after.csv\n"
    "  phosphene scan --bos off --top 20 --json 'block 1 mlp [:, 0, 3]'\n",
    children,
    NULL,
    NULL};

static void print_token(const struct scan_command *s, const ph_near *n)
{
    char *token = quoted_token(subject_tokenizer(s->subject), n->id);
    printf("  %6d ", n->id);
    cell(token ? token : "", 22);
    cell_number(n->value, "%.3f", 10);
    free(token);
}

static void print_table(const struct scan_command *s, const ph_scan_result *r)
{
    printf("%s   mean %.3f, sd %.3f of %lld tokens\n", r->feature->text, r->mean, r->sd,
           (long long)r->n);
    printf("  %-40s  %s\n", "highest", "lowest");
    for (size_t i = 0; i < r->n_top; i++) {
        print_token(s, &r->top[i]);
        print_token(s, &r->bottom[i]);
        printf("\n");
    }
}

static int on_result(const ph_scan_result *r, void *payload)
{
    const struct scan_command *s = payload;
    const struct line_source source = {s->subject->run, subject_tokenizer(s->subject), &s->o.run};
    progress_clear();
    if (!s->common.json) print_table(s, r);
    if (!delivering(&s->common)) return ferror(stdout);
    return deliver(&s->common, scan_line(&source, r));
}

static ph_status run_all(struct scan_command *s, ph_error *err)
{
    ph_survey_options o = PH_SURVEY_OPTIONS_INIT;
    o.run = s->common.run;
    o.top = s->o.top;
    o.depth = s->depth;
    o.neurons = s->neurons;
    return atlas_run(s->subject, &s->common, &o, s->output, err);
}

static ph_status run(struct scan_command *s, ph_error *err)
{
    ph_status st = keep_begin(&s->common, err);
    if (st != PH_OK) return st;
    if (s->common.n_words == 0) return run_all(s, err);
    json_t *settings = common_settings(&s->common);
    json_object_set_new(settings, "top", json_integer((json_int_t)s->o.top));
    if ((st = subject_run_line(s->subject, &s->common, settings, err)) != PH_OK) return st;
    if (!s->common.json) {
        subject_title(s->subject);
        subject_context(s->subject);
        printf("\n");
    }
    return ph_scan(s->subject->model, s->subject->features, &s->o, on_result, s, err);
}

int cmd_scan(int argc, char **argv)
{
    const ph_scan_options defaults = PH_SCAN_OPTIONS_INIT;
    struct scan_command s = {.o = defaults, .common.several = true, .common.keeps = KEEPS};
    struct subjects all = {0};
    ph_error err = {0};

    parse_options(&s.common, &argp, argc, argv);
    s.o.run = s.common.run;
    bool to_file = s.output && s.common.n_words > 0;
    s.common.json |= to_file;
    ph_status st = subjects_open(&all, &s.common, &err);
    to_file = to_file && st == PH_OK;
    if (to_file && !(to_file = output_begin(s.output)))
        st = output_error(&err, s.output, strerror(errno));
    for (int i = 0; st == PH_OK && i < all.n; i++) {
        s.subject = &all.at[i];
        st = run(&s, &err);
    }
    if (to_file && !output_end(st == PH_OK)) st = output_error(&err, s.output, strerror(errno));
    st = keep_end(&s.common, st, &err);
    const int status = finish(&s.common, st, &err, all.at[0].specs);
    subjects_close(&all);
    common_free(&s.common);
    return status;
}
