/* cmd_recover.c — phosphene recover: find a text again from the hidden layer it produced. */
#include "given.h"
#include "keep.h"
#include "lines.h"
#include "output.h"
#include "progress.h"
#include "search.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

struct recover_command {
    struct common common;
    ph_recover_options o;
    struct given given;
    const char *among;     /* --among, borrowed; NULL: not given */
    int32_t *among_tokens; /* the tokens of that in the model at work, ph_free */
    int32_t *among_ids;    /* --among-ids, free */
    struct subject *subject;
    int width;
};

enum {
    KEY_METHOD = 2000,
    KEY_STEPS,
    KEY_RESTARTS,
    KEY_ETA,
    KEY_OBJECTIVE,
    KEY_OPTIMIZER,
    KEY_START,
    KEY_DECODE,
    KEY_AMONG,
    KEY_AMONG_IDS,
    KEY_SEQUENTIAL,
    KEY_UNGUIDED
};

static const struct argp_option options[] = {
    GIVEN_OPTION,
    {"method", KEY_METHOD, "NAME", 0,
     "descent on the embedding; exact: token after token, complete where need be (descent)", 0},
    {"steps", KEY_STEPS, "N", 0, "Steps of descent (500)", 0},
    {"restarts", KEY_RESTARTS, "N", 0, "Random starts, the nearest of which is shown (4)", 0},
    {"eta", KEY_ETA, "A:B", 0,
     "Step size, falling from A to B (0.1rms:0.01rms), in units of the embedding's root mean "
     "square where rms stands behind it",
     0},
    {"objective", KEY_OBJECTIVE, "NAME", 0, "l1 or l2, of the distance to the text's output (l1)",
     0},
    {"optimizer", KEY_OPTIMIZER, "NAME", 0, "gd or adam (adam)", 0},
    {"start", KEY_START, "NAME", 0,
     "half N(1/2,1/20), normal N(0,1), rms N(0,rms) or tokens, random ones (tokens)", 0},
    {"decode", KEY_DECODE, "NAME", 0,
     "From embedding to tokens: pinv, leverage, cosine, euclid, dot, hidden, or all, the nearest "
     "of which is the answer (all)",
     0},
    {"among", KEY_AMONG, "TEXT", 0, "Find only tokens of this text", 0},
    {"among-ids", KEY_AMONG_IDS, "N,…", 0, "Find only these tokens", 0},
    {"sequential", KEY_SEQUENTIAL, NULL, 0,
     "Descend on one token after another, keeping what was found", 0},
    {"unguided", KEY_UNGUIDED, NULL, 0,
     "exact: try candidates in the order of their ids, not in that a gradient suggests", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct recover_command *r = state->input;
    ph_recover_options *o = &r->o;

    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->common; break;
    case KEY_IDS: given_ids(&r->given, arg, state); break;
    case KEY_METHOD: o->method = arg; break;
    case KEY_STEPS: o->steps = parse_integer(state, "steps", arg, 1, INT64_MAX); break;
    case KEY_RESTARTS: o->restarts = parse_integer(state, "restarts", arg, 1, INT64_MAX); break;
    case KEY_ETA:
        parse_eta(state, arg, &o->eta_first, &o->eta_first_rms, &o->eta_last, &o->eta_last_rms);
        break;
    case KEY_OBJECTIVE: o->objective = arg; break;
    case KEY_OPTIMIZER: o->optimizer = arg; break;
    case KEY_START: o->start = arg; break;
    case KEY_DECODE: o->decode = arg; break;
    case KEY_AMONG: r->among = arg; break;
    case KEY_AMONG_IDS:
        free(r->among_ids);
        parse_ids(state, "among-ids", arg, &r->among_ids, &o->n_among);
        o->among = r->among_ids;
        break;
    case KEY_SEQUENTIAL: o->sequential = true; break;
    case KEY_UNGUIDED: o->unguided = true; break;
    case ARGP_KEY_END:
        if (r->among && r->among_ids) usage_error(state, "--among and --among-ids: one of them");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "SPEC… TEXT\nSPEC… --ids N,…",
    "Find a text again from the hidden layer it produced: by gradient descent on the input "
    "embedding, as on the page, or exactly, token after token."
    "\v"
    "Columns: 'matched' are the tokens that are the text's own at their place; 'distance' is that "
    "of the recovered tokens' output to the text's, over the region, by a plain forward pass; "
    "'noise' that of the text's own embedding with noise N(0,1/20) on it: an answer nearer than "
    "that (marked <) looks more like the text than the text does.\n\n"
    "exact tries candidates until one gives the text's state within rounding; how many it tried is "
    "said. It needs all tokens of the text in its region, as in [:, :, :].\n\n"
    "The page's own way is --optimizer gd --start rms --restarts 1.\n\n"
    "Examples:\n"
    "  phosphene recover 'block 1 [:, :, :]' 'The sky is blue.'\n"
    "  phosphene recover --method exact 'block 1 [:, :, :], block 30 [:, :, :]' 'The sky is "
    "blue.'\n"
    "  phosphene recover --untrained --optimizer gd --start rms 'block 1 [:, :, :]' 'The sky is "
    "blue.'\n"
    "  phosphene recover --among 'The sky is blue. A sea was red.' 'block 8 [:, :, :]' 'The sky is "
    "blue.'\n"
    "  phosphene recover --sequential --json 'block 2 mlp [:, :, 0:64]' 'The sky is blue.'\n",
    children,
    NULL,
    NULL};

static bool exact(const struct recover_command *r)
{
    return strcmp(r->o.method, "exact") == 0;
}

static json_t *settings(const struct recover_command *r)
{
    const ph_recover_options *o = &r->o;
    json_t *s =
        json_pack("{s:s, s:I, s:I, s:f, s:s, s:f, s:s, s:s, s:s, s:s, s:s, s:b, s:b}", "method",
                  o->method, "steps", (json_int_t)o->steps, "restarts", (json_int_t)o->restarts,
                  "eta_first", o->eta_first, "eta_first_unit", o->eta_first_rms ? "rms" : "",
                  "eta_last", o->eta_last, "eta_last_unit", o->eta_last_rms ? "rms" : "",
                  "objective", o->objective, "optimizer", o->optimizer, "start", o->start, "decode",
                  o->decode, "sequential", o->sequential, "unguided", o->unguided);
    json_t *common = common_settings(&r->common);
    if (s && common) json_object_update(s, common);
    if (s && o->among) json_object_set_new(s, "among", integers(o->among, o->n_among));
    json_decref(common);
    return s;
}

/* ---- table ---- */

enum { TEXT_WIDTH = 44 };

static void print_text(const struct recover_command *r, const int32_t *ids, size_t n)
{
    char *text = NULL, *shown = NULL;
    size_t bytes = 0;
    if (ph_tokenizer_decode(&text, &bytes, subject_tokenizer(r->subject), ids, n, NULL) == PH_OK)
        shown = quoted(text, bytes, '"');
    cell(shown ? shown : "", TEXT_WIDTH);
    free(shown);
    ph_free(text);
}

static void print_method(const struct recover_command *r)
{
    const ph_recover_options *o = &r->o;
    printf(" · %s", o->method);
    if (exact(r))
        printf("%s", o->unguided ? ", unguided" : "");
    else
        printf(", %lld restart%s, %lld steps%s", (long long)o->restarts,
               o->restarts == 1 ? "" : "s", (long long)o->steps,
               o->sequential ? " for each token" : "");
    printf("\n");
}

static void print_title(struct recover_command *r, const struct subjects *all)
{
    for (int i = 0; i < all->n; i++) {
        const int width = subject_feature_width(&all->at[i]);
        if (width > r->width) r->width = width;
        subject_title(&all->at[i]);
        subject_context(&all->at[i]);
        print_method(r);
    }
    if (all->n > 1) printf("   ");
    cell("feature", r->width);
    printf("  ");
    cell("recovered", TEXT_WIDTH);
    printf("  %8s %9s   %9s\n", "matched", "distance", "noise");
    output_now();
}

static void print_reading(const struct recover_command *r, const ph_recover_result *p,
                          const ph_recovered *a)
{
    char matched[48];
    print_text(r, a->ids, p->n);
    snprintf(matched, sizeof matched, "%lld of %zu", (long long)a->matched, p->n);
    printf("  ");
    cell(matched, -8);
    printf(" ");
    cell_number(a->distance, "%.4g", 9);
    printf(" %c ", a->distance < p->random_distance ? '<' : ' ');
    cell_number(p->random_distance, "%.4g", 9);
    printf("\n");
}

static void print_details(const struct recover_command *r, const ph_recover_result *p)
{
    printf("  %-*s  ", r->width - 2, "the text");
    print_text(r, p->target_ids, p->n);
    printf("\n");
    for (size_t i = 0; p->n_curve && i < p->n_decodes; i++) {
        printf("  %-*s  ", r->width - 2, p->decodes[i].decode ? p->decodes[i].decode : "all");
        print_reading(r, p, &p->decodes[i]);
    }
    if (p->n_curve && p->restart >= 0)
        printf("  %-*s  distance %.4g of the embedding, restart %lld\n", r->width - 2, "descent",
               p->distance, (long long)p->restart);
}

static void print_work(const struct recover_command *r, const ph_recover_result *p)
{
    const long long vocab = (long long)ph_model_get_info(r->subject->model)->vocab;
    if (exact(r))
        printf("  %-*s  tried %.0f of %lld tokens at a position; off by %.1e of the state at most, "
               "found below %.0e%s\n",
               r->width - 2, "", (double)p->tried / (double)p->n, vocab, p->worst_found,
               p->tolerance,
               p->worst_found <= p->tolerance ? "" : ": NOT FOUND, the nearest is shown");
    if (r->common.verbose)
        printf("  %-*s  %lld token-forwards, %.2f s\n", r->width - 2, "",
               (long long)p->token_forwards, p->seconds);
}

static void print_table(const struct recover_command *r, const ph_recover_result *p)
{
    if (*r->subject->letter) printf("%s  ", r->subject->letter);
    cell(p->feature->text, r->width);
    printf("  ");
    print_reading(r, p, p->answer);
    if (r->common.verbose) print_details(r, p);
    if (!r->common.quiet) print_work(r, p);
    output_now();
}

static int on_result(const ph_recover_result *p, void *payload)
{
    const struct recover_command *r = payload;
    const struct line_source source = {r->subject->run, subject_tokenizer(r->subject), &r->o.run};
    progress_clear();
    if (!r->common.json) print_table(r, p);
    if (!delivering(&r->common)) return ferror(stdout);
    return deliver(&r->common, recover_line(&source, p));
}

/* ---- run ---- */

/* The tokens of --among in this model's vocabulary. */
static ph_status take_among(struct recover_command *r, ph_error *err)
{
    if (!r->among) return PH_OK;
    ph_free(r->among_tokens);
    r->among_tokens = NULL;
    const ph_status st =
        ph_tokenizer_encode(&r->among_tokens, &r->o.n_among, subject_tokenizer(r->subject),
                            r->among, strlen(r->among), 0, err);
    r->o.among = r->among_tokens;
    return st;
}

static ph_status run(struct recover_command *r, ph_error *err)
{
    ph_status st = take_among(r, err);
    if (st == PH_OK) st = keep_begin(&r->common, err);
    if (st == PH_OK) st = subject_run_line(r->subject, &r->common, settings(r), err);
    if (st != PH_OK) return st;
    return ph_recover(r->subject->model, r->subject->features, &r->given.text, &r->o, on_result, r,
                      err);
}

static int run_all(struct recover_command *r)
{
    struct subjects all = {0};
    ph_error err = {0};
    ph_status st = subjects_open(&all, &r->common, &err);
    if (st == PH_OK && !r->common.json) print_title(r, &all);
    for (int i = 0; st == PH_OK && i < all.n; i++) {
        r->subject = &all.at[i];
        st = run(r, &err);
    }
    st = keep_end(&r->common, st, &err);
    const int status = finish(&r->common, st, &err, all.at[0].specs);
    subjects_close(&all);
    return status;
}

int cmd_recover(int argc, char **argv)
{
    const ph_recover_options defaults = PH_RECOVER_OPTIONS_INIT;
    struct recover_command r = {.o = defaults, .common.several = true, .common.keeps = KEEPS};

    parse_options(&r.common, &argp, argc, argv);
    r.o.run = r.common.run;
    const int status = given_text(&r.given, &r.common) ? run_all(&r) : EXIT_USAGE;
    ph_free(r.among_tokens);
    free(r.among_ids);
    given_free(&r.given);
    common_free(&r.common);
    return status;
}
