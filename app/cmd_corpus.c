/* cmd_corpus.c — phosphene corpus: what features do on ordinary text. */
#include "ordinary.h"
#include "progress.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

struct corpus_command {
    struct common common;
    struct ordinary ordinary;
    bool neurons;
    int64_t depth, top;
    struct subject *subject;
    ph_corpus *corpus;
};

enum { KEY_NEURONS = 2000, KEY_DEPTH, KEY_WINDOW, KEY_TOP };

static const struct argp_option options[] = {
    {"neurons", KEY_NEURONS, NULL, 0, "Without SPEC: every neuron of every MLP too", 0},
    {"depth", KEY_DEPTH, "N", 0, "Without SPEC: blocks 1 to N only", 0},
    {"window", KEY_WINDOW, "N", 0, "Tokens of the corpus that are run together (64)", 0},
    {"top", KEY_TOP, "K", 0, "Best and worst places that are shown, 1 to 5 (3)", 0},
    {0}};

/* FILE is the word without a bracket, every SPEC has one. */
static void take_file(struct corpus_command *s, struct argp_state *state)
{
    struct common *c = &s->common;
    int kept = 0;
    for (int i = 0; i < c->n_words; i++) {
        if (strchr(c->words[i], '['))
            c->words[kept++] = c->words[i];
        else if (s->ordinary.path)
            usage_error(state, "%s: one corpus at a time; %s is the first", c->words[i],
                        s->ordinary.path);
        else
            s->ordinary.path = c->words[i];
    }
    c->n_words = kept;
    if (kept && s->neurons)
        usage_error(state, "--neurons goes with a pass over everything: no SPEC");
    if (kept && s->depth) usage_error(state, "--depth goes with a pass over everything: no SPEC");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct corpus_command *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case KEY_NEURONS: s->neurons = true; break;
    case KEY_DEPTH: s->depth = parse_integer(state, "depth", arg, 1, 100000); break;
    case KEY_WINDOW: s->ordinary.window = parse_integer(state, "window", arg, 1, 1000000); break;
    case KEY_TOP: s->top = parse_integer(state, "top", arg, 1, PH_CORPUS_TOP); break;
    case ARGP_KEY_END: take_file(s, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "[FILE] SPEC…\n[FILE]",
    "What features do on ordinary text: the highest and lowest values, where they stand, how often "
    "a feature is active. FILE is a text of yours; without it, a mix that comes with phosphene. "
    "Without SPEC: every feature of every block."
    "\v"
    "The text is cut into windows, each run after the context; figures are of single tokens. One "
    "pass follows all features; it is kept, and dream shows its answers beside it.\n\n"
    "Examples:\n"
    "  phosphene corpus 'block 8 [:, :, 0-4]'\n"
    "  phosphene corpus mine.txt 'block 8 neuron [:, :, 7]'\n"
    "  phosphene corpus --neurons --json > all.jsonl\n",
    children,
    NULL,
    NULL};

/* ---- one feature ---- */

static json_t *sightings(const struct corpus_command *s, const ph_sighting *list, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n && i < (size_t)s->top; i++)
        json_array_append_new(a, sighting_json(s->corpus, subject_tokenizer(s->subject), &list[i]));
    return a;
}

static void print_json(const struct corpus_command *s, const char *feature,
                       const ph_corpus_stat *stat)
{
    emit(json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "type", "corpus",
                   "run", s->subject->run, "feature", feature, "max", number(stat->max), "min",
                   number(stat->min), "mean", number(stat->mean), "sd", number(stat->sd),
                   "quantiles", quantiles(stat->quantiles), "density", number(stat->density), "n",
                   (json_int_t)stat->n, "best", sightings(s, stat->best, stat->n_top), "worst",
                   sightings(s, stat->worst, stat->n_top)));
}

static void print_places(const struct corpus_command *s, const ph_sighting *list, size_t n)
{
    for (size_t i = 0; i < n && i < (size_t)s->top; i++) {
        printf("  %9.3f  ", list[i].value);
        sighting_print(s->corpus, subject_tokenizer(s->subject), &list[i], 90);
        printf("\n");
    }
}

static void print_text(const struct corpus_command *s, const char *feature,
                       const ph_corpus_stat *stat)
{
    printf("%s   mean %.3f, sd %.3f of %lld tokens; %.3g %% above half the maximum\n", feature,
           stat->mean, stat->sd, (long long)stat->n, 100 * stat->density);
    print_places(s, stat->best, stat->n_top);
    printf("  …\n");
    const size_t n = stat->n_top < (size_t)s->top ? stat->n_top : (size_t)s->top;
    for (size_t i = n; i-- > 0;) print_places(s, &stat->worst[i], 1);
}

static void show(const struct corpus_command *s, const char *feature, ph_tap tap, int64_t component)
{
    ph_corpus_stat stat;
    if (!ph_corpus_get(s->corpus, tap, component, &stat)) return;
    s->common.json ? print_json(s, feature, &stat) : print_text(s, feature, &stat);
}

/* ---- all of them ---- */

static void show_everything(const struct corpus_command *s)
{
    const ph_model_info *info = ph_model_get_info(s->subject->model);
    const int64_t depth = s->depth ? s->depth : info->blocks;
    char name[64];

    for (int64_t block = 1; block <= depth; block++) {
        for (int place = 0; place <= s->neurons; place++) {
            const ph_tap tap = {place ? PH_PLACE_NEURON : PH_PLACE_BLOCK, false, block};
            const int64_t W = ph_place_width(info, tap.place);
            for (int64_t i = 0; i < W && !ferror(stdout) && !progress_interrupted(); i++) {
                feature_name(name, tap, i);
                show(s, name, tap, i);
            }
        }
    }
}

static ph_status check_feature(const ph_feature *f, ph_error *err)
{
    const bool place = f->tap.place == PH_PLACE_BLOCK || f->tap.place == PH_PLACE_NEURON;
    if (place && !f->tap.only && f->components.end - f->components.begin == 1) return PH_OK;
    *err = (ph_error){.code = PH_EUNSUPPORTED, .pos = -1};
    snprintf(err->msg, sizeof err->msg,
             "%s: a corpus pass follows single components of blocks and neurons", f->text);
    return err->code;
}

static ph_status run(struct corpus_command *s, ph_error *err)
{
    const ph_feature *f;
    ph_pass_cost cost = {0};
    ph_status st = PH_OK;

    for (size_t i = 0; s->subject->features && (f = ph_features_at(s->subject->features, i)); i++)
        if ((st = check_feature(f, err)) != PH_OK) return st;
    const int64_t depth = s->subject->features ? 0 : s->depth;
    st = ordinary_open(&s->corpus, &s->ordinary, s->subject, &s->common, depth, s->neurons, &cost,
                       err);
    if (st != PH_OK) return st;
    if (s->common.json) {
        json_t *settings = common_settings(&s->common);
        json_object_set_new(settings, "corpus", json_null());
        ordinary_settings(settings, &s->ordinary);
        json_object_set_new(settings, "window", json_integer(s->ordinary.window));
        st = subject_run_line(s->subject, &s->common, settings, err);
        if (st != PH_OK) return st;
    } else {
        subject_title(s->subject);
        subject_context(s->subject);
        printf("\n");
    }
    if (!s->subject->features) show_everything(s);
    for (size_t i = 0; s->subject->features && (f = ph_features_at(s->subject->features, i)); i++)
        show(s, f->text, f->tap, f->components.begin);
    if (progress_interrupted()) return PH_ECANCELED; /* not all of it stands there */
    print_pass(&s->common, &cost);
    return PH_OK;
}

int cmd_corpus(int argc, char **argv)
{
    struct corpus_command s = {.top = 3, .common.several = true};
    struct subjects all = {0};
    ph_error err = {0};

    parse_options(&s.common, &argp, argc, argv);
    ph_status st = ordinary_read(&s.ordinary, &err);
    if (st == PH_OK) st = subjects_open(&all, &s.common, &err);
    for (int i = 0; st == PH_OK && i < all.n; i++) {
        s.subject = &all.at[i];
        st = run(&s, &err);
        ph_corpus_close(&s.corpus);
    }
    const int status = finish(&s.common, st, &err, all.at[0].specs);
    subjects_close(&all);
    ordinary_free(&s.ordinary);
    common_free(&s.common);
    return status;
}
