/* cmd_compare.c — phosphene compare: methods side by side, on the same features at the same budget.
 *
 * Runs one dream for every seed, feature, budget and method, each on its own; contest.c counts,
 * scoreboard.c prints, record.c keeps.
 */
#include "allow.h"
#include "among.h"
#include "output.h"
#include "progress.h"
#include "record.h"
#include "scoreboard.h"
#include "stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 32 }; /* methods, and budgets */

struct compare_command {
    struct common common; /* first: common_argp sees it */
    struct allow allow;
    const char *methods[MOST];
    size_t n_methods;
    int64_t budgets[MOST], budget;
    size_t n_budgets;
    bool curve;
    int64_t seeds, tokens;
    ph_outliers outliers;
    struct record record;
    const char *runs;        /* its file */
    struct subject *subject; /* the model at work: */
    ph_run_options run;      /* as all its features want it */
    ph_features **one;       /* (features) each alone … */
    const char **names;      /* … and what it is called */
    struct scoreboard board;
    double beside[MOST]; /* tokens of a method's row besides its steps; NaN: not known yet */
    double spent, total; /* budgets of the runs that were done here, and of all that are to be */
};

enum {
    KEY_METHODS = 2000,
    KEY_BUDGET,
    KEY_BUDGETS,
    KEY_CURVE,
    KEY_SEEDS,
    KEY_TOKENS,
    KEY_OUTLIERS,
    KEY_RUNS
};

static const struct argp_option options[] = {
    {"methods", KEY_METHODS, "NAME,…", 0, "Which methods (all of dream's)", 0},
    {"budget", KEY_BUDGET, "N", 0,
     "Tokens a method may send forward for a feature, a backward counts two (100000)", 0},
    {"budgets", KEY_BUDGETS, "N,…", 0, "Several budgets: activation against cost", 0},
    {"curve", KEY_CURVE, NULL, 0, "The same as --budgets N/10,N/3,N with the N of --budget", 0},
    {"seeds", KEY_SEEDS, "N", 0, "Runs of each method, with N seeds from --seed on (5)", 0},
    {"tokens", KEY_TOKENS, "N", 0, "Length of the searched text (5)", 0},
    {"outliers", KEY_OUTLIERS, "last|keep|drop", 0,
     "For every method: a text that triggers an outlier norm is its answer only if it has no other "
     "(last), like any text (keep), or never (drop)",
     0},
    {"runs", KEY_RUNS, "FILE", 0,
     "Add every run to FILE when it is done, and do not run again what FILE has: an interrupted "
     "comparison goes on, a wider one builds on it",
     0},
    {0}};

/* ---- options ---- */

static void add_method(struct compare_command *c, const char *name, struct argp_state *state)
{
    char all[256] = "";
    const char *known;

    for (size_t i = 0; i < c->n_methods; i++)
        if (strcmp(c->methods[i], name) == 0)
            usage_error(state, "--methods: \"%s\" stands there twice", name);
    for (size_t i = 0; (known = ph_method_name(i)); i++) {
        const size_t used = strlen(all);
        if (strcmp(known, name) == 0 && c->n_methods < MOST) {
            c->methods[c->n_methods++] = known;
            return;
        }
        snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", known);
    }
    usage_error(state, "--methods: \"%s\": expected some of %s", name, all);
}

static void add_budget(struct compare_command *c, const char *number, struct argp_state *state)
{
    if (c->n_budgets == MOST) usage_error(state, "--budgets: expected %d at most", MOST);
    const int64_t budget = parse_integer(state, "budgets", number, 1, INT64_MAX / MOST);
    for (size_t i = 0; i < c->n_budgets; i++)
        if (c->budgets[i] == budget)
            usage_error(state, "--budgets: %lld stands there twice", (long long)budget);
    c->budgets[c->n_budgets++] = budget;
}

/* What stands between commas. */
static void parse_list(struct compare_command *c, const char *arg, struct argp_state *state,
                       void (*add)(struct compare_command *, const char *, struct argp_state *))
{
    char *copy = strdup(arg), *rest = copy, *word;
    if (!copy) usage_error(state, "out of memory");
    while ((word = strsep(&rest, ","))) add(c, word, state);
    free(copy);
}

static void settle(struct compare_command *c, struct argp_state *state)
{
    const char *name;

    need_specs(&c->common, state);
    if (c->n_budgets && (c->budget || c->curve))
        usage_error(state, "--budgets goes without --budget and --curve");
    if (!c->budget) c->budget = 100000;
    if (c->curve && c->budget >= 10) {
        c->budgets[c->n_budgets++] = c->budget / 10;
        c->budgets[c->n_budgets++] = c->budget / 3;
    }
    if (c->curve || !c->n_budgets) c->budgets[c->n_budgets++] = c->budget;
    for (size_t i = 0; !c->n_methods && (name = ph_method_name(i)) && i < MOST; i++)
        c->methods[i] = name;
    while (c->n_methods < MOST && c->methods[c->n_methods]) c->n_methods++;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct compare_command *c = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &c->common;
        state->child_inputs[1] = &c->allow;
        break;
    case KEY_METHODS: parse_list(c, arg, state, add_method); break;
    case KEY_BUDGET: c->budget = parse_integer(state, "budget", arg, 1, INT64_MAX / MOST); break;
    case KEY_BUDGETS: parse_list(c, arg, state, add_budget); break;
    case KEY_CURVE: c->curve = true; break;
    case KEY_SEEDS: c->seeds = parse_integer(state, "seeds", arg, 1, 10000); break;
    case KEY_TOKENS: c->tokens = parse_integer(state, "tokens", arg, 1, INT64_MAX); break;
    case KEY_OUTLIERS: c->outliers = parse_outliers(state, arg); break;
    case KEY_RUNS: c->runs = arg; break;
    case ARGP_KEY_END: settle(c, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {
    {&common_argp, 0, NULL, 0}, {&allow_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "SPEC…",
    "Compare the methods of dream: the same features, length, constraints and budget, several "
    "seeds. "
    "Every run is a dream of its own that takes nothing from other features; its figure is the "
    "activation of the best answer's printed text."
    "\v"
    "A row for every seed and feature as it is done: the activations that the methods reached, the "
    "best marked *; ~ does not tokenise back to its own tokens, ! triggers an outlier norm. Then a "
    "table for every budget:\n"
    "  rank      mean over features and seeds; equal ones share their places\n"
    "  wins      features where its mean over the seeds is the best, or equals it\n"
    "  share     the activation, from the mean of random texts (0) to the best that\n"
    "            any method found for the feature (1): mean over the features, and\n"
    "            a 95 % interval from 10,000 bootstrap resamples of the features\n"
    "  forwards  median of the tokens it sent forward; + above 1.01 budgets\n"
    "  scan      those of the complete search it builds on, in full; it is kept\n"
    "            for other features and seeds, and not charged to the budget\n"
    "  against auto  where it reached more – the same – less\n\n"
    "A search among tokens keeps to the budget itself, but for the step it is in and the last look "
    "at its answers; a descent gets so many restarts, about the usual number of steps each, that "
    "99 % of the budget are used (last column); greedy costs what it costs and is run once. An "
    "answer that "
    "breaks a constraint, or is marked ! under --outliers drop, counts as the mean of random "
    "texts. "
    "Under last a text marked ! can win: greedy, say, has one answer and no other to put before "
    "it. --outliers keep has all methods look for the highest activation whatever the norm.\n\n"
    "Examples:\n"
    "  phosphene compare 'block 8 [:, :, 0-4]'\n"
    "  phosphene compare --methods swap,auto --seeds 3 'block 8 [:, :, 0-4]'\n"
    "  phosphene compare --curve --json 'block 4 [:, :, 0-1]' > out.jsonl\n"
    "  phosphene compare --runs overnight.jsonl 'block 8 [:, :, 0-19]'\n",
    children,
    NULL,
    NULL};

/* ---- one dream ---- */

static ph_dream_options dream_options(const struct compare_command *c, const char *method)
{
    ph_dream_options o = PH_DREAM_OPTIONS_INIT;
    o.run = c->run;
    o.constraints = c->allow.c;
    o.outliers = c->outliers;
    o.method = method;
    o.tokens = c->tokens;
    o.top = 1;
    o.alone = true;
    return o;
}

struct found {
    bool drop; /* an outlier is no answer */
    struct outcome outcome;
};

static int on_answer(const ph_dream_result *r, void *payload)
{
    struct found *f = payload;
    const ph_decoded *a = r->answer;
    const bool outlier = a->norm_ratio > 3, none = a->violates || (f->drop && outlier);

    if (r->rank) return 0;
    free(f->outcome.text);
    f->outcome = (struct outcome){.activation = none ? (double)NAN : a->activation.text,
                                  .text = strdup(a->text),
                                  .round_trip = a->round_trip,
                                  .outlier = outlier,
                                  .forwards = r->token_forwards,
                                  .scan = r->scan_forwards,
                                  .seconds = r->seconds,
                                  .random_mean = r->random_mean,
                                  .random_sd = r->random_sd};
    return 0;
}

/* *out (text owned) = what the method finds for a feature. */
static ph_status dream(struct outcome *out, const struct compare_command *c, size_t feature,
                       const ph_dream_options *o, ph_error *err)
{
    struct found found = {.drop = o->outliers == PH_OUTLIERS_DROP};
    const ph_status st =
        ph_dream(c->subject->model, c->one[feature], o, on_answer, &found, NULL, err);
    *out = found.outcome;
    return st == PH_OK && !out->text ? no_memory(err) : st;
}

/* ---- what stands before the runs ---- */

static const char *searcher(void)
{
    size_t i = 0;
    while (!ph_method_budget(ph_method_name(i))) i++;
    return ph_method_name(i);
}

static void set_random(struct compare_command *c, size_t feature, const struct outcome *o)
{
    c->board.contest.random_mean[feature] = o->random_mean;
    c->board.contest.random_sd[feature] = o->random_sd;
}

/* The random texts of a feature; and what runs keep for each other is kept before any of them is
 * timed: a search that ends at once. */
static ph_status measure(struct compare_command *c, size_t feature, ph_error *err)
{
    ph_dream_options o = dream_options(c, searcher());
    struct outcome found;

    o.budget = 1;
    const ph_status st = dream(&found, c, feature, &o, err);
    free(found.text);
    set_random(c, feature, &found);
    return st;
}

/* Forward and backward of a step of a row. */
static double step_tokens(const struct compare_command *c)
{
    return 3 * (double)c->tokens;
}

/* What a row costs besides its steps depends on how its texts tokenise: ask a short descent. */
static ph_status weigh(struct compare_command *c, size_t method, ph_error *err)
{
    ph_dream_options o = dream_options(c, c->methods[method]);
    struct outcome found;

    c->beside[method] = 0;
    if (!ph_method_steps(o.method)) return PH_OK;
    o.steps = 1;
    ph_dream_defaults(&o);
    const ph_status st = dream(&found, c, 0, &o, err);
    free(found.text);
    c->beside[method] = (double)found.forwards / (double)o.restarts - step_tokens(c);
    return st;
}

/* About as many restarts of the method's own steps as the budget has room for, and then as many steps
 * as it has. */
static void afford(ph_dream_options *o, const struct compare_command *c, size_t method,
                   double budget)
{
    const double step = step_tokens(c), beside = c->beside[method];

    o->budget = (int64_t)budget;
    ph_dream_defaults(o);
    if (!ph_method_steps(o->method)) return;
    budget *= 0.99; /* texts that tokenise into more than the weighed ones */
    const double rows = round(budget / (beside + step * (double)o->steps));
    o->restarts = (int64_t)fmin(fmax(rows, 1), 100000);
    const double steps = floor((budget / (double)o->restarts - beside) / step);
    o->steps = (int64_t)fmin(fmax(steps, 1), 1000000);
}

/* ---- a model's features, names and figures ---- */

/* The method that the others are held against; n_methods: it is not among them. */
static size_t find_rival(const struct compare_command *c)
{
    size_t i = 0;
    while (i < c->n_methods && strcmp(c->methods[i], "auto") != 0) i++;
    return i;
}

static ph_status open_board(struct compare_command *c, ph_error *err)
{
    const size_t n = ph_features_count(c->subject->features);
    const ph_model_info *info = ph_model_get_info(c->subject->model);

    c->one = calloc(n, sizeof *c->one);
    c->names = calloc(n, sizeof *c->names);
    c->board = (struct scoreboard){.methods = c->methods,
                                   .features = c->names,
                                   .budgets = c->budgets,
                                   .seed = c->common.run.seed,
                                   .rival = find_rival(c),
                                   .run = c->subject->run,
                                   .width = subject_feature_width(c->subject)};
    for (size_t m = 0; m < c->n_methods; m++) c->beside[m] = (double)NAN;
    if (!c->one || !c->names ||
        !contest_open(&c->board.contest, c->n_methods, n, (size_t)c->seeds, c->n_budgets))
        return no_memory(err);
    c->board.contest.sign = c->common.run.sign;
    for (size_t i = 0; i < n; i++) {
        c->names[i] = ph_features_at(c->subject->features, i)->text;
        const ph_status st = ph_features_parse(&c->one[i], info, c->names[i], err);
        if (st != PH_OK) return st;
    }
    return ph_features_run(&c->run, c->subject->features, &c->common.run, err);
}

static void close_board(struct compare_command *c)
{
    for (size_t i = 0; c->one && i < c->board.contest.features; i++) ph_features_close(&c->one[i]);
    free(c->one);
    free(c->names);
    c->one = NULL;
    c->names = NULL;
    contest_close(&c->board.contest);
}

static json_t *settings(const struct compare_command *c)
{
    json_t *s = common_settings(&c->common), *methods = json_array(), *budgets = json_array();

    for (size_t i = 0; i < c->n_methods; i++)
        json_array_append_new(methods, json_string(c->methods[i]));
    for (size_t i = 0; i < c->n_budgets; i++)
        json_array_append_new(budgets, json_integer((json_int_t)c->budgets[i]));
    json_object_set_new(s, "methods", methods);
    json_object_set_new(s, "budgets", budgets);
    json_object_set_new(s, "seeds", json_integer((json_int_t)c->seeds));
    json_object_set_new(s, "tokens", json_integer((json_int_t)c->tokens));
    json_object_set_new(s, "constraints", allow_json(&c->allow));
    json_object_set_new(s, "outliers", json_string(outliers_name(c->outliers)));
    return s;
}

static ph_status begin(struct compare_command *c, ph_error *err)
{
    if (c->common.json || c->runs) {
        struct subject *s = c->subject;
        json_t *line = NULL;
        const struct run_of of = subject_run_of(s);
        ph_status st = run_line(&line, s->run, &c->common, &of, settings(c), err);
        if (st == PH_OK && c->common.json) emit(json_incref(line));
        if (st == PH_OK) st = record_begin(&c->record, line, err);
        if (st != PH_OK || c->common.json) return st;
    }
    if (c->subject->letter[0] > 'A') printf("\n");
    subject_title(c->subject);
    printf(" · %lld tokens", (long long)c->tokens);
    subject_context(c->subject);
    printf(" · %zu method%s, %lld seed%s\n", c->n_methods, c->n_methods == 1 ? "" : "s",
           (long long)c->seeds, c->seeds == 1 ? "" : "s");
    if (!c->common.quiet) scoreboard_head(&c->board);
    return PH_OK;
}

/* ---- all runs ---- */

static int on_progress(const char *stage, double done, void *payload)
{
    const struct compare_command *c = payload;
    (void)stage;
    (void)done;
    return ferror(stdout) ||
           c->common.run.progress("compare", c->spent / c->total, c->common.run.progress_payload);
}

/* A method without steps and budget does the same at every seed and budget: once is enough. */
static bool repeats(const struct compare_command *c, size_t method)
{
    return !ph_method_steps(c->methods[method]) && !ph_method_budget(c->methods[method]);
}

static ph_status run_one(struct compare_command *c, size_t seed, size_t feature, size_t budget,
                         size_t method, ph_error *err)
{
    struct outcome *out = contest_at(&c->board.contest, seed, feature, budget, method);
    const struct outcome *first = contest_at(&c->board.contest, 0, feature, 0, method);
    ph_dream_options o = dream_options(c, c->methods[method]);
    ph_status st = PH_OK;

    if (repeats(c, method) && first->done) {
        *out = *first;
        out->text = strdup(first->text);
        return out->text ? PH_OK : no_memory(err);
    }
    if (isnan(c->board.contest.random_sd[feature])) st = measure(c, feature, err);
    if (st == PH_OK && isnan(c->beside[method])) st = weigh(c, method, err);
    if (st != PH_OK) return st;
    o.run.seed += seed;
    o.run.progress = on_progress;
    o.run.progress_payload = c;
    afford(&o, c, method, (double)c->budgets[budget]);
    st = dream(out, c, feature, &o, err);
    if (ph_method_steps(o.method)) {
        out->steps = o.steps;
        out->restarts = o.restarts;
    }
    out->done = st == PH_OK;
    return st;
}

static ph_status run_cell(struct compare_command *c, size_t seed, size_t feature, size_t budget,
                          ph_error *err)
{
    for (size_t m = 0; m < c->n_methods; m++) {
        if (!contest_at(&c->board.contest, seed, feature, budget, m)->done) {
            ph_status st = run_one(c, seed, feature, budget, m, err);
            if (st != PH_OK) return st;
            c->spent += (double)c->budgets[budget];
            st = record_add(&c->record, scoreboard_line(&c->board, seed, feature, budget, m), err);
            if (st != PH_OK) return st;
        }
        progress_clear();
        if (c->common.json) emit(scoreboard_line(&c->board, seed, feature, budget, m));
    }
    if (!c->common.json && !c->common.quiet)
        scoreboard_cell(&c->board, seed, feature, budget, c->common.verbose);
    return PH_OK;
}

/* What the record has of a cell; the rest is to be done. */
static ph_status recall(struct compare_command *c, size_t seed, size_t feature, size_t budget,
                        ph_error *err)
{
    for (size_t m = 0; m < c->n_methods; m++) {
        struct outcome *out = contest_at(&c->board.contest, seed, feature, budget, m);
        const struct run_name name = {c->names[feature], c->methods[m],
                                      (int64_t)scoreboard_seed(&c->board, seed),
                                      c->budgets[budget]};
        const ph_status st = record_find(out, &c->record, &name, err);
        if (st != PH_OK) return st;
        if (out->done && isnan(c->board.contest.random_sd[feature])) set_random(c, feature, out);
        if (!out->done) c->total += (double)c->budgets[budget];
    }
    return PH_OK;
}

static ph_status each_cell(struct compare_command *c,
                           ph_status (*work)(struct compare_command *c, size_t seed, size_t feature,
                                             size_t budget, ph_error *err),
                           ph_error *err)
{
    const struct contest *k = &c->board.contest;
    ph_status st = PH_OK;

    for (size_t s = 0; s < k->seeds; s++)
        for (size_t f = 0; f < k->features; f++)
            for (size_t b = 0; st == PH_OK && b < k->budgets; b++) st = work(c, s, f, b, err);
    return st;
}

/* Seed after seed: one that is interrupted has looked at every feature. */
static ph_status run_cells(struct compare_command *c, ph_error *err)
{
    c->spent = c->total = 0;
    const ph_status st = each_cell(c, recall, err);
    return st == PH_OK ? each_cell(c, run_cell, err) : st;
}

/* One model. */
static ph_status run(struct compare_command *c, ph_error *err)
{
    ph_status st = open_board(c, err);

    if (st == PH_OK) st = begin(c, err);
    if (st == PH_OK) {
        st = run_cells(c, err);
        progress_clear();
        if (!scoreboard_conclude(&c->board, c->common.json) && st == PH_OK) st = no_memory(err);
    }
    close_board(c);
    return st;
}

int cmd_compare(int argc, char **argv)
{
    struct compare_command c = {.common.several = true, .seeds = 5, .tokens = 5};
    struct subjects all = {0};
    ph_error err = {0};

    parse_options(&c.common, &argp, argc, argv);
    ph_status st = allow_open(&c.allow, &err);
    if (st == PH_OK) st = record_open(&c.record, c.runs, &err);
    if (st == PH_OK) st = subjects_open(&all, &c.common, &err);
    for (int i = 0; st == PH_OK && i < all.n; i++) {
        c.subject = &all.at[i];
        st = run(&c, &err);
    }
    const int status = finish(&c.common, st, &err, all.at[0].specs);
    subjects_close(&all);
    record_close(&c.record);
    allow_free(&c.allow);
    common_free(&c.common);
    return status;
}
