/* cmd_compare_models.c — phosphene compare-models: the same features in two files of one shape. */
#include "agreement.h"
#include "ordinary.h"
#include "output.h"
#include "progress.h"
#include "stats.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct compare_models {
    struct common common; /* first: common_argp sees it */
    struct ordinary ordinary;
    int64_t sample, top;
    ph_dream_options dream; /* budget 0: no answers */
    struct subjects both;
    ph_corpus *corpus[2];
    size_t n; /* features */
};

enum { KEY_SAMPLE = 2000, KEY_TOP, KEY_BUDGET, KEY_TOKENS };

static const struct argp_option options[] = {
    {"sample", KEY_SAMPLE, "N", 0, "Without SPEC: so many features, spread over the blocks (12)",
     0},
    {"top", KEY_TOP, "K", 0, "Tokens whose overlap is counted (10)", 0},
    {"budget", KEY_BUDGET, "N", 0,
     "Tokens that a search for an answer sends forward for each feature (5000); 0: no answers", 0},
    {"tokens", KEY_TOKENS, "N", 0, "Length of the answers (5)", 0},
    CORPUS_OPTION,
    {0}};

/* A and B are the words without a bracket, every SPEC has one. */
static void take_models(struct compare_models *s, struct argp_state *state)
{
    struct common *c = &s->common;
    int kept = 0;
    for (int i = 0; i < c->n_words; i++) {
        if (strpbrk(c->words[i], "[@"))
            c->words[kept++] = c->words[i];
        else if (c->n_models < 2)
            add_model(c, c->words[i], state);
        else
            usage_error(state, "%s: two models are compared; a SPEC has brackets", c->words[i]);
    }
    c->n_words = kept;
    if (c->n_models != 2)
        usage_error(state, "expected two models, as in compare-models A.gguf B.gguf");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct compare_models *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case KEY_SAMPLE: s->sample = parse_integer(state, "sample", arg, 1, 100000); break;
    case KEY_TOP: s->top = parse_integer(state, "top", arg, 1, 1000); break;
    case KEY_BUDGET: s->dream.budget = parse_integer(state, "budget", arg, 0, INT64_MAX); break;
    case KEY_TOKENS: s->dream.tokens = parse_integer(state, "tokens", arg, 1, 100000); break;
    case KEY_CORPUS: ordinary_option(&s->ordinary, arg); break;
    case ARGP_KEY_END: take_models(s, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "A B [SPEC…]",
    "Do two files of one shape agree on their features: one quantised as Q4 and as Q8, one trained "
    "and untrained:FILE? Three questions, each feature in both: every token of the vocabulary "
    "alone; the texts that a search finds in one, in the other; the places of ordinary text where "
    "it is most active."
    "\v"
    "A and B are as for -m: FILE, folder, ORG/NAME, untrained:FILE, shape:NAME:FILE. They must "
    "have the same shape and vocabulary. Without SPEC: a sample of features. With --sign - all is "
    "about the lowest activations.\n"
    "  ranks   Spearman's correlation: over the vocabulary; over the texts that one model found,\n"
    "          one for each feature, by their distance from random texts in A and in B; over all\n"
    "          components of a block, by the highest value that each has in the corpus\n"
    "  share   a text's activation in the model that did not find it, from the mean of random\n"
    "          texts there (0) to what that model found itself (1)\n"
    "In parentheses 95 % intervals: of means by bootstrap over the features, of correlations of "
    "texts and components by Fisher's z.\n\n"
    "Examples:\n"
    "  phosphene compare-models model.Q4_1.gguf model.Q8_0.gguf\n"
    "  phosphene compare-models model.gguf untrained:model.gguf --budget 0\n"
    "  phosphene compare-models a.gguf b.gguf 'block 8 [:, :, 0-9]' --corpus off --json\n",
    children,
    NULL,
    NULL};

static const ph_feature *feature(const struct compare_models *s, size_t i)
{
    return ph_features_at(s->both.at[0].features, i);
}

/* ---- pieces of output ---- */

/* A figure with an interval; of a mean the bootstrap's over n values. */
struct figure {
    double value, low, high;
};

static struct figure mean_of(const double *v, size_t n)
{
    struct figure f = {stats_mean(v, n), (double)NAN, (double)NAN};
    stats_interval(&f.low, &f.high, v, n);
    return f;
}

static struct figure ranks_of(double rho, size_t n)
{
    struct figure f = {.value = rho};
    stats_spearman_interval(&f.low, &f.high, rho, n);
    return f;
}

static json_t *figure_json(struct figure f)
{
    return json_pack("{s:o, s:o, s:o}", "value", number(f.value), "low", number(f.low), "high",
                     number(f.high));
}

static void print_number(double v, int digits)
{
    isfinite(v) ? printf("%.*f", digits, v) : printf("–");
}

static void print_figure(const char *name, struct figure f, int digits)
{
    printf("%s ", name);
    print_number(f.value, digits);
    if (!isfinite(f.low)) return;
    printf(" (");
    print_number(f.low, digits);
    printf(" to ");
    print_number(f.high, digits);
    printf(")");
}

static json_t *begin_line(const struct compare_models *s, const char *type)
{
    return json_pack("{s:s, s:s, s:s}", "type", type, "run", s->both.at[0].run, "other_run",
                     s->both.at[1].run);
}

static json_t *pair(double a, double b)
{
    return json_pack("{s:o, s:o}", "a", number(a), "b", number(b));
}

/* ---- scans ---- */

static json_t *near_json(const struct compare_models *s, ph_near n)
{
    if (n.id < 0) return json_null();
    return json_pack("{s:i, s:o, s:o}", "id", n.id, "token",
                     token_text(subject_tokenizer(&s->both.at[0]), n.id), "activation",
                     number(n.value));
}

static void scan_line(const struct compare_models *s, size_t i, const struct scanned *r)
{
    json_t *line = begin_line(s, "scan_agreement");
    json_object_set_new(line, "feature", json_string(feature(s, i)->text));
    json_object_set_new(line, "ranks", number(r->ranks));
    json_object_set_new(line, "top_common", json_integer((json_int_t)r->common));
    json_object_set_new(
        line, "best",
        json_pack("{s:o, s:o}", "a", near_json(s, r->best[0]), "b", near_json(s, r->best[1])));
    emit(line);
}

static void scan_row(const struct compare_models *s, size_t i, const struct scanned *r)
{
    cell(feature(s, i)->text, subject_feature_width(&s->both.at[0]));
    cell_number(r->ranks, "%.4f", 9);
    printf("%8lld  ", (long long)r->common);
    for (int m = 0; m < 2; m++) {
        char *token = quoted_token(subject_tokenizer(&s->both.at[0]), r->best[m].id);
        printf("  ");
        cell(token ? token : "", 18);
        cell_number(r->best[m].value, "%.2f", 9);
        free(token);
    }
    printf("\n");
}

static void scan_summary(const struct compare_models *s, const struct scanned *r, double *v)
{
    size_t same = 0;
    for (size_t i = 0; i < s->n; i++) v[i] = r[i].ranks;
    const struct figure ranks = mean_of(v, s->n);
    for (size_t i = 0; i < s->n; i++) v[i] = (double)r[i].common;
    const struct figure common = mean_of(v, s->n);
    for (size_t i = 0; i < s->n; i++) same += r[i].best[0].id == r[i].best[1].id;
    if (s->common.json) {
        json_t *line = begin_line(s, "scan_summary");
        json_object_set_new(line, "features", json_integer((json_int_t)s->n));
        json_object_set_new(line, "ranks", figure_json(ranks));
        json_object_set_new(line, "top", json_integer((json_int_t)s->top));
        json_object_set_new(line, "top_common", figure_json(common));
        json_object_set_new(line, "same_best", json_integer((json_int_t)same));
        emit(line);
        return;
    }
    print_figure("mean: ranks", ranks, 4);
    print_figure(", common", common, 2);
    printf(" of %lld; %zu of %zu best tokens the same\n\n", (long long)s->top, same, s->n);
}

static ph_status compare_scans(struct compare_models *s, ph_error *err)
{
    struct scanned *r = calloc(s->n, sizeof *r);
    double *v = calloc(s->n, sizeof *v);
    ph_status st = r && v ? agreement_scan(r, &s->both, &s->common, s->top, err) : no_memory(err);

    progress_clear();
    if (st == PH_OK && !s->common.json) {
        cell("tokens alone", subject_feature_width(&s->both.at[0]));
        printf("%9s%8s    %-27s  %s\n", "ranks", "common", "best in A", "best in B");
    }
    for (size_t i = 0; st == PH_OK && i < s->n; i++)
        s->common.json ? scan_line(s, i, &r[i]) : scan_row(s, i, &r[i]);
    if (st == PH_OK) scan_summary(s, r, v);
    free(v);
    free(r);
    return st;
}

/* ---- answers ---- */

static json_t *answer_json(const struct answer *a)
{
    return json_pack("{s:s?, s:o, s:o, s:o}", "text", a->text, "activation",
                     pair(a->activation[0], a->activation[1]), "z", pair(a->z[0], a->z[1]), "share",
                     number(a->share));
}

static void answer_line(const struct compare_models *s, size_t i, const struct answered *r)
{
    json_t *line = begin_line(s, "answer_agreement");
    json_object_set_new(line, "feature", json_string(feature(s, i)->text));
    json_object_set_new(line, "a", answer_json(&r->of[0]));
    json_object_set_new(line, "b", answer_json(&r->of[1]));
    json_object_set_new(line, "same", json_boolean(r->same));
    emit(line);
}

static void answer_row(const struct compare_models *s, size_t i, const struct answered *r)
{
    for (int m = 0; m < 2; m++) {
        const struct answer *a = &r->of[m];
        char *text = a->text ? quoted(a->text, strlen(a->text), '"') : NULL;
        cell(m ? "" : feature(s, i)->text, subject_feature_width(&s->both.at[0]));
        printf("  %c  ", 'A' + m);
        cell(text ? text : "–", 44);
        cell_number(a->activation[0], "%.2f", 9);
        cell_number(a->activation[1], "%.2f", 9);
        cell_number(a->share, "%.2f", 7);
        printf("%s\n", m && r->same ? "  the same" : "");
        free(text);
    }
}

/* Mean share of one model's texts, over the features that have one. */
static struct figure shares(const struct answered *r, size_t n, int model, double *v)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(r[i].of[model].share)) v[kept++] = r[i].of[model].share;
    return mean_of(v, kept);
}

/* What one model's texts come to in both. */
struct texts {
    size_t n;
    struct figure ranks, share;
};

static bool sum_up(struct texts *t, const struct answered *r, size_t n, int model, double *v)
{
    double rho;
    if (!agreement_texts(&rho, &t->n, r, n, model)) return false;
    t->ranks = ranks_of(rho, t->n);
    t->share = shares(r, n, model, v);
    return true;
}

static json_t *texts_json(const struct texts *t)
{
    return json_pack("{s:I, s:o, s:o}", "texts", (json_int_t)t->n, "ranks", figure_json(t->ranks),
                     "share", figure_json(t->share));
}

static bool answer_summary(const struct compare_models *s, const struct answered *r, double *v)
{
    struct texts t[2];
    size_t same = 0;

    for (int m = 0; m < 2; m++)
        if (!sum_up(&t[m], r, s->n, m, v)) return false;
    for (size_t i = 0; i < s->n; i++) same += r[i].same;
    if (s->common.json) {
        json_t *line = begin_line(s, "answer_summary");
        json_object_set_new(line, "features", json_integer((json_int_t)s->n));
        json_object_set_new(line, "a", texts_json(&t[0]));
        json_object_set_new(line, "b", texts_json(&t[1]));
        json_object_set_new(line, "same", json_integer((json_int_t)same));
        emit(line);
        return true;
    }
    for (int m = 0; m < 2; m++) {
        printf("%c's texts in %c:", 'A' + m, 'B' - m);
        print_figure(" share", t[m].share, 2);
        print_figure(", ranks", t[m].ranks, 3);
        printf("\n");
    }
    printf("%zu of %zu answers the same\n\n", same, s->n);
    return true;
}

static ph_status compare_answers(struct compare_models *s, ph_error *err)
{
    struct answered *r = calloc(s->n, sizeof *r);
    double *v = calloc(s->n, sizeof *v);
    ph_status st =
        r && v ? agreement_answers(r, &s->both, &s->common, &s->dream, err) : no_memory(err);

    progress_clear();
    if (st == PH_OK && !s->common.json) {
        cell("texts found", subject_feature_width(&s->both.at[0]));
        printf("     %-44s%9s%9s%7s\n", "", "in A", "in B", "share");
    }
    for (size_t i = 0; st == PH_OK && i < s->n; i++)
        s->common.json ? answer_line(s, i, &r[i]) : answer_row(s, i, &r[i]);
    if (st == PH_OK && !answer_summary(s, r, v)) st = no_memory(err);
    agreement_answers_close(r, s->n);
    free(v);
    free(r);
    return st;
}

/* ---- ordinary text ---- */

static void corpus_line(const struct compare_models *s, ph_tap tap, const struct followed *f)
{
    const struct figure ranks = ranks_of(f->ranks, f->n);
    const bool neurons = tap.place == PH_PLACE_NEURON;
    const double n = (double)f->n;
    char name[64];

    if (s->common.json) {
        json_t *line = begin_line(s, "corpus_agreement");
        json_object_set_new(line, "block", json_integer((json_int_t)tap.block));
        json_object_set_new(line, "place", json_string(neurons ? "neuron" : "block"));
        json_object_set_new(line, "components", json_integer((json_int_t)f->n));
        json_object_set_new(line, "ranks", figure_json(ranks));
        json_object_set_new(line, "same_window", number((double)f->same_window / n));
        json_object_set_new(line, "same_token", number((double)f->same_token / n));
        emit(line);
        return;
    }
    snprintf(name, sizeof name, "block %lld%s", (long long)tap.block, neurons ? " neuron" : "");
    cell(name, subject_feature_width(&s->both.at[0]));
    print_figure(" ranks", ranks, 4);
    printf(" of %zu %s; highest in the same window %.0f %%, at the same token %.0f %%\n", f->n,
           neurons ? "neurons" : "components", 100 * (double)f->same_window / n,
           100 * (double)f->same_token / n);
}

/* Whether a feature before the i-th is of the same place. */
static bool seen(const struct compare_models *s, size_t i)
{
    const ph_tap t = feature(s, i)->tap;
    for (size_t k = 0; k < i; k++) {
        const ph_tap u = feature(s, k)->tap;
        if (u.place == t.place && u.block == t.block && u.only == t.only) return true;
    }
    return false;
}

static void corpus_lines(const struct compare_models *s)
{
    const ph_model_info *info = ph_model_get_info(s->both.at[0].model);
    if (!s->common.json)
        printf("ordinary text, by each component's %s value\n",
               s->common.run.sign < 0 ? "lowest" : "highest");
    for (size_t i = 0; i < s->n; i++) {
        const ph_tap tap = feature(s, i)->tap;
        struct followed f;
        if (seen(s, i) || tap.only || feature(s, i)->n_terms) continue;
        if (tap.place != PH_PLACE_BLOCK && tap.place != PH_PLACE_NEURON) continue;
        if (agreement_corpus(&f, s->corpus, info, tap, s->common.run.sign)) corpus_line(s, tap, &f);
    }
}

static ph_status compare_corpora(struct compare_models *s, ph_error *err)
{
    ph_status st = PH_OK;
    for (int m = 0; st == PH_OK && m < 2; m++)
        st = ordinary_open(&s->corpus[m], &s->ordinary, &s->both.at[m], &s->common, 0, false, NULL,
                           err);
    progress_clear();
    if (st == PH_OK && s->corpus[0] && s->corpus[1]) corpus_lines(s);
    for (int m = 0; m < 2; m++) ph_corpus_close(&s->corpus[m]);
    return st;
}

/* ---- all of it ---- */

static json_t *settings(const struct compare_models *s)
{
    json_t *o = common_settings(&s->common);
    json_object_set_new(o, "top", json_integer((json_int_t)s->top));
    json_object_set_new(o, "budget", json_integer((json_int_t)s->dream.budget));
    json_object_set_new(o, "tokens", json_integer((json_int_t)s->dream.tokens));
    json_object_set_new(o, "corpus", json_null());
    ordinary_settings(o, &s->ordinary);
    return o;
}

static ph_status begin(struct compare_models *s, ph_error *err)
{
    for (int m = 0; m < 2; m++) {
        struct subject *one = &s->both.at[m];
        if (s->common.json) {
            const ph_status st = subject_run_line(one, &s->common, settings(s), err);
            if (st != PH_OK) return st;
            continue;
        }
        subject_title(one);
        subject_context(one);
        printf("\n");
    }
    if (!s->common.json) printf("\n");
    return PH_OK;
}

/* Both models, of one shape, with the features of the command line or a sample. */
static ph_status open_both(struct compare_models *s, ph_error *err)
{
    struct common *c = &s->common;
    char **words = c->words, *sample = NULL;
    int n = c->n_words;

    c->n_words = 0;
    ph_status st = subjects_open(&s->both, c, err);
    c->n_words = n;
    if (st == PH_OK) st = agreement_check(s->both.at[0].model, s->both.at[1].model, err);
    if (st == PH_OK && n == 0) {
        sample = agreement_sample(ph_model_get_info(s->both.at[0].model), s->sample);
        if (!sample) st = no_memory(err);
        words = &sample;
        n = 1;
    }
    for (int m = 0; st == PH_OK && m < 2; m++) st = subject_parse(&s->both.at[m], c, words, n, err);
    free(sample);
    if (st == PH_OK) s->n = ph_features_count(s->both.at[0].features);
    return st;
}

static ph_status run(struct compare_models *s, ph_error *err)
{
    ph_status st = ordinary_read(&s->ordinary, err);
    if (st == PH_OK) st = open_both(s, err);
    if (st == PH_OK) st = begin(s, err);
    if (st == PH_OK) st = compare_scans(s, err);
    if (st == PH_OK && s->dream.budget) st = compare_answers(s, err);
    if (st == PH_OK && !s->ordinary.off) st = compare_corpora(s, err);
    return st;
}

int cmd_compare_models(int argc, char **argv)
{
    const ph_dream_options dream = PH_DREAM_OPTIONS_INIT;
    struct compare_models s = {.common.several = true, .sample = 12, .top = 10, .dream = dream};
    ph_error err = {0};

    s.dream.budget = 5000;
    s.dream.top = 1;
    parse_options(&s.common, &argp, argc, argv);
    const ph_status st = run(&s, &err);
    const int status = finish(&s.common, st, &err, s.both.at[0].specs);
    subjects_close(&s.both);
    ordinary_free(&s.ordinary);
    common_free(&s.common);
    return status;
}
