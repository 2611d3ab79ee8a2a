/* cmd_effect.c — phosphene effect: what a unit does next. */
#include "given.h"
#include "ordinary.h"
#include "progress.h"
#include "search.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

struct effect_command {
    struct common common; /* first: common_argp sees it */
    struct given given;
    struct ordinary ordinary;
    ph_effect_options o;
    struct subject *subject; /* the model at work */
};

enum { KEY_TOP = 2000 };
/* As for dream: a first pass over the corpus that takes more is left to phosphene corpus. */
#define MOST_CORPUS_FLOPS 2e13

static const struct argp_option options[] = {
    {"top", KEY_TOP, "K", 0, "Length of the lists (10)", 0}, GIVEN_OPTION, CORPUS_OPTION, {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct effect_command *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case KEY_TOP: s->o.top = parse_integer(state, "top", arg, 1, 1000000); break;
    case KEY_CORPUS: ordinary_option(&s->ordinary, arg); break;
    case KEY_IDS: given_ids(&s->given, arg, state); break;
    case ARGP_KEY_END: need_specs(&s->common, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "SPEC [TEXT]\nSPEC… TEXT\nSPEC… --ids N,…",
    "What a unit does next: the tokens that its direction raises and lowers most, through the "
    "final "
    "norm's weights and the output matrix, against the mean of the vocabulary; and on a text, how "
    "the next token's probabilities change when the unit is set to 0 at its tokens, to its mean on "
    "ordinary text, and when it is raised by the largest |value| it has in ordinary text (where "
    "that "
    "is not known, as of attn and mlp: on the text)."
    "\v"
    "Of several words the last is the text: without a text, join specs by commas. KL is the "
    "divergence of the changed distribution from the one before, in nats.\n\n"
    "Examples:\n"
    "  phosphene effect 'block 20 neuron [:, :, 7]'\n"
    "  phosphene effect 'block 20 [:, -1, 2]' 'The sky is'\n"
    "  phosphene effect --json 'block 8 mlp [:, :, 0-9]' 'The sky is'\n",
    children,
    NULL,
    NULL};

/* ---- JSON ---- */

static json_t *shift_list(const ph_shift *list, size_t n, const ph_tokenizer *t)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_pack("{s:i, s:o, s:o, s:o}", "id", list[i].id, "token",
                                           token_text(t, list[i].id), "before",
                                           number(list[i].before), "after", number(list[i].after)));
    return a;
}

static json_t *change_list(const ph_effect_result *r, const ph_tokenizer *t)
{
    json_t *a = json_array();
    for (size_t i = 0; i < r->n_changes; i++) {
        const ph_change *c = &r->changes[i];
        json_array_append_new(a, json_pack("{s:s, s:o, s:o, s:o}", "what", c->what, "value",
                                           number(c->value), "kl", number(c->kl), "shifts",
                                           shift_list(c->shifts, c->n_shifts, t)));
    }
    return a;
}

static void print_json(const struct effect_command *s, const ph_effect_result *r)
{
    const ph_tokenizer *t = subject_tokenizer(s->subject);
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:o, s:o}", "type", "effect", "run", s->subject->run, "feature",
                  r->feature->text, "promoted", token_list(t, r->promoted, r->n_top, "logit"),
                  "suppressed", token_list(t, r->suppressed, r->n_top, "logit"));
    if (r->ids) {
        json_object_set_new(line, "ids", integers(r->ids, r->n));
        set_tokens(line, t, r->ids, r->n);
        json_object_set_new(line, "reduce",
                            json_string(ph_reduce_name(r->feature, s->common.run.reduce)));
        json_object_set_new(line, "activation", number(r->activation));
        json_object_set_new(line, "changes", change_list(r, t));
    }
    emit(line);
}

/* ---- table ---- */

static void print_token(const struct effect_command *s, const ph_near *n)
{
    char *token = quoted_token(subject_tokenizer(s->subject), n->id);
    printf("  %6d ", n->id);
    cell(token ? token : "", 22);
    cell_number(n->value, "%+.4f", 10);
    free(token);
}

static void print_change(const struct effect_command *s, const ph_change *c)
{
    static const struct {
        const char *what, *shown;
    } names[] = {{"zero", "set to"}, {"mean", "set to its mean"}, {"raise", "raised by"}};
    const char *shown = c->what;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(c->what, names[i].what) == 0) shown = names[i].shown;
    printf("  %s %.4f   KL %.4g nats\n", shown, c->value, c->kl);
    for (size_t i = 0; i < c->n_shifts; i++) {
        const ph_shift *h = &c->shifts[i];
        char *token = quoted_token(subject_tokenizer(s->subject), h->id);
        printf("  %6d ", h->id);
        cell(token ? token : "", 22);
        printf("%9.4f → %.4f\n", h->before, h->after);
        free(token);
    }
}

static void print_table(const struct effect_command *s, const ph_effect_result *r)
{
    printf("%s", r->feature->text);
    if (r->ids)
        printf("   %s activation %.4f", ph_reduce_name(r->feature, s->common.run.reduce),
               r->activation);
    printf("\n  %-39s  %s\n", "promoted", "suppressed");
    for (size_t i = 0; i < r->n_top; i++) {
        print_token(s, &r->promoted[i]);
        print_token(s, &r->suppressed[i]);
        printf("\n");
    }
    for (size_t i = 0; i < r->n_changes; i++) print_change(s, &r->changes[i]);
}

static int on_result(const ph_effect_result *r, void *payload)
{
    const struct effect_command *s = payload;
    progress_clear();
    s->common.json ? print_json(s, r) : print_table(s, r);
    return ferror(stdout);
}

/* The corpus follows blocks and neurons, joint ones too: as deep as the features go. */
static ph_status open_corpus(ph_corpus **out, const struct effect_command *s, ph_error *err)
{
    const ph_feature *f;
    int64_t depth = 0;
    bool neurons = false;

    for (size_t i = 0; (f = ph_features_at(s->subject->features, i)); i++) {
        const bool neuron = f->tap.place == PH_PLACE_NEURON;
        if (f->n_terms || (!neuron && f->tap.place != PH_PLACE_BLOCK)) continue;
        if (f->tap.block > depth) depth = f->tap.block;
        neurons |= neuron;
    }
    *out = NULL;
    if (!depth) return PH_OK;
    return ordinary_open(out, &s->ordinary, s->subject, &s->common, depth, neurons, NULL, err);
}

static ph_status run(struct effect_command *s, ph_error *err)
{
    const ph_text *text = s->given.text.text || s->given.text.ids ? &s->given.text : NULL;
    ph_corpus *corpus = NULL;
    ph_status st = PH_OK;

    if (s->common.json) {
        json_t *settings = common_settings(&s->common);
        json_object_set_new(settings, "top", json_integer((json_int_t)s->o.top));
        ordinary_settings(settings, &s->ordinary);
        st = subject_run_line(s->subject, &s->common, settings, err);
    } else {
        subject_title(s->subject);
        subject_context(s->subject);
        printf("\n");
    }
    if (st == PH_OK && text) st = open_corpus(&corpus, s, err);
    s->o.corpus = corpus;
    if (st == PH_OK)
        st = ph_effect(s->subject->model, s->subject->features, text, &s->o, on_result, s, err);
    ph_corpus_close(&corpus);
    return st;
}

int cmd_effect(int argc, char **argv)
{
    const ph_effect_options defaults = PH_EFFECT_OPTIONS_INIT;
    struct effect_command s = {
        .o = defaults, .common.several = true, .ordinary.most_flops = MOST_CORPUS_FLOPS};
    struct subjects all = {0};
    ph_error err = {0};

    parse_options(&s.common, &argp, argc, argv);
    s.o.run = s.common.run;
    if (s.common.n_words > 1) given_text(&s.given, &s.common);
    ph_status st = ordinary_read(&s.ordinary, &err);
    if (st == PH_OK) st = subjects_open(&all, &s.common, &err);
    for (int i = 0; st == PH_OK && i < all.n; i++) {
        s.subject = &all.at[i];
        st = run(&s, &err);
    }
    const int status = finish(&s.common, st, &err, all.at[0].specs);
    subjects_close(&all);
    given_free(&s.given);
    ordinary_free(&s.ordinary);
    common_free(&s.common);
    return status;
}
