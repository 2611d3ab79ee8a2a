/* cmd_scan.c — phosphene scan: every vocabulary token alone, exact. */
#include "progress.h"
#include "search.h"
#include "table.h"

#include <stdlib.h>

struct scan_command {
    struct common common;
    ph_scan_options o;
    struct subject *subject;
};

enum { KEY_TOP = 2000 };

static const struct argp_option options[] = {
    {"top", KEY_TOP, "K", 0, "Length of the lists (10)", 0}, {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct scan_command *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case KEY_TOP: s->o.top = parse_integer(state, "top", arg, 1, 1000000); break;
    case ARGP_KEY_END: need_specs(&s->common, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "SPEC…",
    "Complete search: run every token of the vocabulary alone (after the context) and list the "
    "tokens with the highest and the lowest activation of each feature. Exact, not a sample."
    "\v"
    "The first scan of a place in the model takes a pass over the whole vocabulary; it is kept, so "
    "that further features of the same place answer at once.\n\n"
    "Examples:\n"
    "  phosphene scan 'block 8 [:, :, 0-4]'\n"
    "  phosphene scan --bos off --top 20 --json 'block 1 mlp [:, 0, 3]'\n",
    children,
    NULL,
    NULL};

static json_t *token_list(const ph_near *list, size_t n, const ph_tokenizer *t)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_pack("{s:I, s:o, s:o}", "id", (json_int_t)list[i].id, "token",
                                           token_text(t, list[i].id), "activation",
                                           number(list[i].value)));
    return a;
}

static void print_json(const struct scan_command *s, const ph_scan_result *r)
{
    const ph_tokenizer *t = subject_tokenizer(s->subject);
    emit(json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:I}", "type", "scan", "run",
                   s->subject->run, "feature", r->feature->text, "top",
                   token_list(r->top, r->n_top, t), "bottom", token_list(r->bottom, r->n_top, t),
                   "mean", number(r->mean), "sd", number(r->sd), "n", (json_int_t)r->n));
}

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
    progress_clear();
    s->common.json ? print_json(s, r) : print_table(s, r);
    return ferror(stdout);
}

static ph_status run(struct scan_command *s, ph_error *err)
{
    if (s->common.json) {
        json_t *settings = common_settings(&s->common);
        json_object_set_new(settings, "top", json_integer((json_int_t)s->o.top));
        const ph_status st = subject_run_line(s->subject, &s->common, settings, err);
        if (st != PH_OK) return st;
    } else {
        subject_title(s->subject);
        subject_context(s->subject);
        printf("\n");
    }
    return ph_scan(s->subject->model, s->subject->features, &s->o, on_result, s, err);
}

int cmd_scan(int argc, char **argv)
{
    const ph_scan_options defaults = PH_SCAN_OPTIONS_INIT;
    struct scan_command s = {.o = defaults, .common.several = true};
    struct subjects all = {0};
    ph_error err = {0};

    parse_options(&s.common, &argp, argc, argv);
    s.o.run = s.common.run;
    ph_status st = subjects_open(&all, &s.common, &err);
    for (int i = 0; st == PH_OK && i < all.n; i++) {
        s.subject = &all.at[i];
        st = run(&s, &err);
    }
    const int status = finish(&s.common, st, &err, all.at[0].specs);
    subjects_close(&all);
    common_free(&s.common);
    return status;
}
