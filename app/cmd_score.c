/* cmd_score.c — phosphene score and phosphene attribute: a given text, token by token. */
#include "given.h"
#include "keep.h"
#include "lines.h"
#include "progress.h"
#include "search.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct score_command {
    struct common common;
    struct given given;
    struct subject *subject;
    bool attribute;
};

static const struct argp_option options[] = {GIVEN_OPTION, {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct score_command *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case KEY_IDS: given_ids(&s->given, arg, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp score_argp = {
    options,
    parse,
    "SPEC… TEXT\nSPEC… --ids N,…",
    "The activation of a text: of each token, and of the feature's region as a whole."
    "\v"
    "Tokens are coloured on a terminal, orange for positive and blue for negative values.\n\n"
    "Examples:\n"
    "  phosphene score 'block 8 [:, :, 2]' 'The sky is blue.'\n"
    "  phosphene score --json 'block 8 [:, :, 0-99]' 'The sky is blue.'\n"
    "  phosphene score 'block 8 neuron [:, :, 7]' --ids 504,6376,314\n"
    "  phosphene score 'block 8 [:, -1, 3] - 0.5*block 8 [:, -1, 7]' 'The sky is blue.'\n"
    "  phosphene score 'logits [:, -1, \" Paris\"]' 'The capital of France is'\n",
    children,
    NULL,
    NULL};
static const struct argp attribute_argp = {
    options,
    parse,
    "SPEC… TEXT\nSPEC… --ids N,…",
    "Which tokens of a text cause the activation: the gradient of the feature's activation with "
    "respect to each token's embedding, as its Euclidean norm and as gradient × input; occlusion, "
    "the activation minus that with the token replaced by end-of-text; and the combined score, the "
    "mean of |gradient × input| and |occlusion|, each as shares of its sum."
    "\v"
    "Tokens are coloured on a terminal by the combined score, against the largest one.\n\n"
    "Examples:\n"
    "  phosphene attribute 'block 8 [:, -1, 2]' 'The sky is blue.'\n"
    "  phosphene attribute --json 'block 17 mlp [:, :, 5]' 'The sky is blue.'\n",
    children,
    NULL,
    NULL};

/* ---- table ---- */

static const double *colour_by(const ph_score_result *r, bool attribute)
{
    if (!attribute) return r->values;
    return r->combined ? r->combined : r->grad_x_input;
}

static void print_table(const struct score_command *s, const ph_score_result *r)
{
    printf("%s   %s activation %.4f", r->feature->text,
           ph_reduce_name(r->feature, s->common.run.reduce), r->activation);
    if (r->post_values) printf(", behind the SAE's nonlinearity %.4f", r->post);
    printf("\n");
    if (colours()) {
        printf("  ");
        coloured_tokens(subject_tokenizer(s->subject), r->ids, colour_by(r, s->attribute), r->n);
    }
    printf("  %4s %7s  %-24s %11s%s%s\n", "pos", "id", "token", "activation",
           r->post_values ? "        post" : "",
           s->attribute ? "     |grad|  grad×input   occlusion  combined" : "");
    for (size_t i = 0; i < r->n; i++) {
        char *token = quoted_token(subject_tokenizer(s->subject), r->ids[i]);
        printf("  %4zu %7d  ", i, r->ids[i]);
        cell(token ? token : "", 24);
        printf(" ");
        cell_number(r->values[i], "%.4f", 11);
        if (r->post_values) cell_number(r->post_values[i], "%.4f", 12);
        if (s->attribute) {
            cell_number(r->grad_norm[i], "%.4g", 11);
            cell_number(r->grad_x_input[i], "%+.4f", 12);
            cell_number(r->occlusion ? r->occlusion[i] : (double)NAN, "%+.4f", 12);
            cell_number(r->combined ? r->combined[i] : (double)NAN, "%.3f", 10);
        }
        printf("\n");
        free(token);
    }
}

static int on_result(const ph_score_result *r, void *payload)
{
    const struct score_command *s = payload;
    const struct line_source source = {s->subject->run, subject_tokenizer(s->subject),
                                       &s->common.run};
    progress_clear();
    if (!s->common.json) print_table(s, r);
    if (!delivering(&s->common)) return ferror(stdout);
    return deliver(&s->common, score_line(&source, r, s->attribute));
}

static ph_status run(struct score_command *s, ph_error *err)
{
    ph_status st = keep_begin(&s->common, err);
    if (st == PH_OK)
        st = subject_run_line(s->subject, &s->common, common_settings(&s->common), err);
    if (st != PH_OK) return st;
    if (!s->common.json) {
        subject_title(s->subject);
        subject_context(s->subject);
        printf("\n");
    }
    return (s->attribute ? ph_attribute : ph_score)(
        s->subject->model, s->subject->features, &s->given.text, &s->common.run, on_result, s, err);
}

static int run_all(struct score_command *s)
{
    struct subjects all = {0};
    ph_error err = {0};
    ph_status st = subjects_open(&all, &s->common, &err);
    for (int i = 0; st == PH_OK && i < all.n; i++) {
        s->subject = &all.at[i];
        st = run(s, &err);
    }
    st = keep_end(&s->common, st, &err);
    const int status = finish(&s->common, st, &err, all.at[0].specs);
    subjects_close(&all);
    return status;
}

static int start(int argc, char **argv, bool attribute)
{
    struct score_command s = {
        .attribute = attribute, .common.several = true, .common.keeps = KEEPS_IF_ASKED};
    parse_options(&s.common, attribute ? &attribute_argp : &score_argp, argc, argv);
    const int status = given_text(&s.given, &s.common) ? run_all(&s) : EXIT_USAGE;
    given_free(&s.given);
    common_free(&s.common);
    return status;
}

int cmd_score(int argc, char **argv)
{
    return start(argc, argv, false);
}

int cmd_attribute(int argc, char **argv)
{
    return start(argc, argv, true);
}
