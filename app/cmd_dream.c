/* cmd_dream.c — phosphene dream: find the texts a feature responds to. */
#include "dreaming.h"
#include "fluency.h"
#include "keep.h"
#include "lines.h"
#include "ordinary.h"
#include "output.h"
#include "progress.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct dream_command {
    struct common common; /* first: common_argp sees it */
    struct dreaming dreaming;
    struct ordinary ordinary;
    struct subject *subject; /* the model at work … */
    ph_corpus *corpus;       /* … and what its answers are compared with; NULL: nothing */
    bool named;              /* --method was given */
    size_t features, rows;
    int width;
    bool marked_round, marked_norm;
};

/* A first pass over the corpus that takes more is left to phosphene corpus: about a minute here. */
#define MOST_CORPUS_FLOPS 2e13

enum { KEY_METHOD = 2000 };

static const struct argp_option options[] = {
    {"method", KEY_METHOD, "NAME", 0,
     "auto: a search among tokens that combines everything; swap: swaps of single tokens that the "
     "gradient proposes (GCG); epo: the same by a population that weighs fluency from little to "
     "much, "
     "for the front of both; beam: left to right, the model proposes (BEAST); greedy: append the "
     "best token, exact at every step; descent: the "
     "page's, on the embedding, and chosen by its own options below; softmax: on a distribution "
     "over the vocabulary; pez: by the "
     "gradient "
     "at the nearest tokens; gumbel: on logits under noise that cools down (auto)",
     0},
    CORPUS_OPTION,
    {0}};

static void settle(struct dream_command *d, struct argp_state *state)
{
    const char **method = &d->dreaming.o.method;
    char *unused;

    need_specs(&d->common, state);
    if (d->dreaming.descends && !d->named) *method = "descent";
    unused = is_method(*method) ? dreaming_unused(&d->dreaming, method, 1) : NULL;
    if (unused) usage_error(state, "%s", unused);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct dream_command *d = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &d->common;
        state->child_inputs[1] = &d->dreaming;
        break;
    case KEY_METHOD:
        d->dreaming.o.method = arg;
        d->named = true;
        break;
    case KEY_CORPUS: ordinary_option(&d->ordinary, arg); break;
    case ARGP_KEY_END: settle(d, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {
    {&common_argp, 0, NULL, 0}, {&dreaming_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "SPEC…",
    "Find the texts that features respond to: gradient descent on the input embedding, decoded to "
    "tokens, or a search among tokens; printed, tokenised again and scored by a plain forward pass."
    "\v"
    "Columns: 'text' is the activation of the printed text, the figure that counts; 'soft' that of "
    "the optimised embedding, 'ids' that of the decoded tokens; 'z' how many standard deviations "
    "'text' lies above 512 random texts; 'nats' its cross-entropy; 'best one token' is the exact "
    "best single token of the "
    "whole vocabulary. Beneath each answer stands what the feature does on ordinary text: its "
    "highest "
    "value at a single token, where, and how the answer compares. A text marked ~ does not "
    "tokenise back to its own tokens; one marked ! "
    "triggers an outlier norm and with it many features at once. An option that the method does "
    "not look at is a mistake.\n\n"
    "Examples:\n"
    "  phosphene dream 'block 8 [:, :, 0-4]'\n"
    "  phosphene dream --method greedy 'block 8 [:, :, 0-4]'\n"
    "  phosphene dream --method epo --tokens 12 'block 17 [:, :, 5]'\n"
    "  phosphene dream --method pez --steps 300 'block 8 [:, :, 0-4]'\n"
    "  phosphene dream --objective cosine 'block 8 [:, :, 0:4]'\n"
    "  phosphene dream --start tokens --optimizer adam --eta 0.02:0.002 'block 4 [:, :, 0]'\n"
    "  phosphene dream --method greedy --letters --ban the 'block 8 [:, :, 0]'\n"
    "  phosphene dream 'block 8 [:, -1, 3] - 0.5*block 8 [:, -1, 7]'\n"
    "  phosphene dream 'dir:refusal.npy @ block 12 [:, -1]'\n"
    "  phosphene dream --tokens 12 --top 3 --json 'block 17 mlp [:, -1, 5]' > out.jsonl\n",
    children,
    NULL,
    NULL};

/* ---- table ---- */

enum { TEXT_WIDTH = 44 };

static void print_thousands(long long v)
{
    if (v >= 1000) {
        print_thousands(v / 1000);
        printf(",%03lld", v % 1000);
    } else {
        printf("%lld", v);
    }
}

/* Searches among tokens go by their budget. */
static bool hunts(const ph_dream_options *o)
{
    return ph_method_budget(o->method);
}

static void print_method(const ph_dream_options *o)
{
    printf(" · %s", o->method);
    if (hunts(o)) {
        printf(", budget ");
        print_thousands(o->budget);
        if (o->seconds > 0) printf(" or %g s", o->seconds);
    } else if (strcmp(o->method, "greedy") != 0) {
        if (o->restarts > 1 || strncmp(o->start, "text:", 5) != 0)
            printf(", %lld restart%s", (long long)o->restarts, o->restarts == 1 ? "" : "s");
        else
            printf(", from a text");
        printf(", %lld steps", (long long)o->steps);
        if (strcmp(o->objective, "l1") != 0) printf(", %s", o->objective);
        if (o->near_weight > 0) printf(", near weight %g", o->near_weight);
    }
    printf("\n");
}

static void print_title(struct dream_command *d, const struct subjects *all)
{
    d->width = 0;
    for (int i = 0; i < all->n; i++) {
        const int width = subject_feature_width(&all->at[i]);
        if (width > d->width) d->width = width;
        subject_title(&all->at[i]);
        if (d->dreaming.o.tokens_to > d->dreaming.o.tokens)
            printf(" · %lld to %lld tokens", (long long)d->dreaming.o.tokens,
                   (long long)d->dreaming.o.tokens_to);
        else if (strncmp(d->dreaming.o.start, "text:", 5) != 0)
            printf(" · %lld tokens", (long long)d->dreaming.o.tokens);
        subject_context(&all->at[i]);
        print_method(&d->dreaming.o);
    }
    if (all->n > 1) printf("   ");
    if (d->common.both) printf("  ");
    cell("feature", d->width);
    printf("  ");
    cell("text", TEXT_WIDTH);
    printf("   %7s %8s %8s %7s", "text", "soft", "ids", "z");
    if (fluency_shown(&d->dreaming.o)) printf(" %6s", "nats");
    printf("  best one token\n");
    output_now();
}

/* ~ for a text that does not give its tokens back; nothing is said where text cannot be tokenised. */
static char round_mark(const struct dream_command *d, const ph_decoded *a)
{
    const ph_tokenizer_info *info = ph_tokenizer_get_info(subject_tokenizer(d->subject));
    return a->round_trip || !info->encodes ? ' ' : '~';
}

/* What the optimised embedding reached, step by step. */
static void print_curve(const struct dream_command *d, const ph_dream_result *r)
{
    double low = (double)INFINITY, high = -low;
    for (size_t i = 0; i < r->n_curve; i++) {
        low = fmin(low, r->curve[i]);
        high = fmax(high, r->curve[i]);
    }
    if (r->n_curve < 3 || !(high > low)) return;
    printf("  %-*s  ", d->width - 2, "descent");
    spark(r->curve, r->n_curve, TEXT_WIDTH);
    printf("  %.1f to %.1f, at last %.1f\n", low, high, r->curve[r->n_curve - 1]);
}

/* Every decode of the answer's row, and where its embedding lies. */
static void print_details(const struct dream_command *d, const ph_dream_result *r)
{
    const ph_decoded *a = r->answer;
    if (colours()) {
        printf("  %-*s  ", d->width - 2, "by token");
        coloured_tokens(subject_tokenizer(d->subject), a->ids, a->values, a->n);
    }
    for (size_t i = 0; i < r->n_decodes; i++) {
        const ph_decoded *c = &r->decodes[i];
        char *text = quoted(c->text, strlen(c->text), '"');
        printf("  %-*s  ", d->width - 2, c->decode ? c->decode : r->method);
        cell(text ? text : "", TEXT_WIDTH);
        printf(" %c%c", round_mark(d, c), c->norm_ratio > 3 ? '!' : ' ');
        cell_number(c->activation.text, "%.2f", 7);
        printf("          ");
        cell_number(c->activation.ids, "%.2f", 8);
        printf("%s%s\n",
               c->special    ? "  special tokens"
               : c->violates ? "  breaks a constraint"
                             : "",
               c->violates && c != a ? ": cannot win" : "");
        free(text);
    }
    if (r->n_nearest) printf("  %-*s  ", d->width - 2, "nearest");
    for (size_t i = 0; i < r->n_nearest; i++) {
        char *token = quoted_token(subject_tokenizer(d->subject), r->nearest[i].id);
        printf("%s %.2f  ", token ? token : "", r->nearest[i].value);
        free(token);
    }
    if (r->n_nearest) printf("\n");
    print_curve(d, r);
    printf("  %-*s  mean %.2f, sd %.2f, max %.2f of %lld\n", d->width - 2, "random texts",
           r->random_mean, r->random_sd, r->random_max, (long long)r->random_n);
    printf("  %-*s  best one token repeated %.2f\n", d->width - 2, "", r->repeated);
}

static void print_row(struct dream_command *d, const ph_dream_result *r)
{
    const ph_decoded *a = r->answer;
    char *text = quoted(a->text, strlen(a->text), '"');
    char *best = quoted_token(subject_tokenizer(d->subject), r->best_token.id);
    const bool outlier = a->norm_ratio > 3;

    progress_clear();
    if (*d->subject->letter) printf("%s  ", d->subject->letter);
    if (d->common.both) printf("%s ", r->rank ? " " : d->dreaming.o.run.sign < 0 ? "-" : "+");
    cell(r->rank ? "" : r->feature->text, d->width);
    printf("  ");
    cell(text ? text : "", TEXT_WIDTH);
    printf(" %c%c", round_mark(d, a), outlier ? '!' : ' ');
    cell_number(a->activation.text, "%.2f", 7);
    printf(" ");
    cell_number(a->activation.soft, "%.1f", 8);
    printf(" ");
    cell_number(a->activation.ids, "%.2f", 8);
    printf(" ");
    cell_number(r->z, "%+.1f", 7);
    if (fluency_shown(&d->dreaming.o)) printf(" ");
    if (fluency_shown(&d->dreaming.o)) cell_number(r->cross_entropy, "%.2f", 6);
    printf("  %s %.2f\n", best ? best : "", r->best_token.value);
    if (a->violates) printf("  breaks a constraint: no answer keeps them all\n");
    if (r->rank == 0)
        ordinary_print(d->corpus, subject_tokenizer(d->subject), r->feature, a->activation.text,
                       d->dreaming.o.run.sign);
    fluency_print(r, d->width, TEXT_WIDTH);
    if (d->common.verbose) print_details(d, r);
    output_now();
    d->marked_round |= round_mark(d, a) != ' ';
    d->marked_norm |= outlier;
    free(best);
    free(text);
}

static int on_result(const ph_dream_result *r, void *payload)
{
    struct dream_command *d = payload;
    d->features += r->rank == 0 && !(d->common.both && d->dreaming.o.run.sign < 0);
    const struct line_source source = {d->subject->run, subject_tokenizer(d->subject),
                                       &d->dreaming.o.run};
    if (!d->common.json) print_row(d, r);
    if (!delivering(&d->common)) return ferror(stdout);
    return deliver(&d->common, dream_line(&source, r, d->corpus));
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print_summary(const struct dream_command *d, const ph_cost *cost, double seconds)
{
    if (d->marked_round) printf("~ does not tokenise back to its own tokens\n");
    if (d->marked_norm) printf("! triggers an outlier norm, and with it many features at once\n");
    printf("%zu feature%s · %lld row%s · %.1f s · ", d->features, d->features == 1 ? "" : "s",
           (long long)cost->rows, cost->rows == 1 ? "" : "s", seconds);
    print_thousands(cost->token_forwards);
    printf(" token-forwards");
    if (cost->naive_forwards > cost->token_forwards) {
        printf(" (");
        print_thousands(cost->naive_forwards);
        printf(" with nothing shared)");
    }
    if (cost->descent_seconds > 0)
        printf(" · descent at %.0f GF/s", cost->descent_flops / cost->descent_seconds * 1e-9);
    if (d->common.verbose) printf(" · first step after %.2f s", cost->first_step);
    printf("\n");
}

static void add_cost(ph_cost *sum, const ph_cost *cost)
{
    if (sum->first_step == 0) sum->first_step = cost->first_step;
    sum->rows += cost->rows;
    sum->token_forwards += cost->token_forwards;
    sum->naive_forwards += cost->naive_forwards;
    sum->descent_seconds += cost->descent_seconds;
    sum->descent_flops += cost->descent_flops;
}

/* One model: its run line, or its rows of the table. */
static ph_status run(struct dream_command *d, ph_cost *sum, ph_error *err)
{
    ph_status st = keep_begin(&d->common, err);

    if (st == PH_OK) {
        json_t *settings = dream_settings(&d->dreaming.o, &d->common, &d->dreaming.allow);
        ordinary_settings(settings, &d->ordinary);
        st = subject_run_line(d->subject, &d->common, settings, err);
    }
    if (st == PH_OK)
        st = ordinary_open(&d->corpus, &d->ordinary, d->subject, &d->common, 0, false, NULL, err);
    d->dreaming.o.corpus = d->corpus;
    for (int pass = 0; pass < 1 + d->common.both && st == PH_OK; pass++) {
        ph_cost cost = {0};
        if (d->common.both) d->dreaming.o.run.sign = pass ? -1 : 1;
        st = ph_dream(d->subject->model, d->subject->features, &d->dreaming.o, on_result, d, &cost,
                      err);
        add_cost(sum, &cost);
    }
    ph_corpus_close(&d->corpus);
    return st;
}

int cmd_dream(int argc, char **argv)
{
    const ph_dream_options defaults = PH_DREAM_OPTIONS_INIT;
    struct dream_command d = {.dreaming.o = defaults,
                              .common.several = true,
                              .common.keeps = KEEPS,
                              .common.signs = true,
                              .ordinary.most_flops = MOST_CORPUS_FLOPS};
    struct subjects all = {0};
    ph_cost cost = {0};
    ph_error err = {0};
    const double began = now();

    parse_options(&d.common, &argp, argc, argv);
    ph_dream_defaults(&d.dreaming.o);
    d.dreaming.o.run = d.common.run;
    ph_status st = allow_open(&d.dreaming.allow, &err);
    d.dreaming.o.constraints = d.dreaming.allow.c;
    if (st == PH_OK) st = ordinary_read(&d.ordinary, &err);
    if (st == PH_OK) st = subjects_open(&all, &d.common, &err);
    if (st == PH_OK && !d.common.json) print_title(&d, &all);
    for (int i = 0; st == PH_OK && i < all.n; i++) {
        d.subject = &all.at[i];
        st = run(&d, &cost, &err);
    }
    if (!d.common.json && !d.common.quiet && d.features) print_summary(&d, &cost, now() - began);
    st = keep_end(&d.common, st, &err);
    const int status = finish(&d.common, st, &err, all.at[0].specs);
    subjects_close(&all);
    allow_free(&d.dreaming.allow);
    ordinary_free(&d.ordinary);
    common_free(&d.common);
    return status;
}
