/* cmd_report.c — phosphene report: what the store holds, as one HTML file to look at and to send. */
#include "asked.h"
#include "output.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct report_command {
    struct asked asked; /* first */
    const char *output, *title;
    int64_t texts;
};

enum { KEY_OUTPUT = 2000, KEY_TITLE, KEY_TEXTS, KEY_SORT, KEY_LIMIT };
enum { USUAL_FEATURES = 100, USUAL_TEXTS = 6 };

static const struct argp_option options[] = {
    {"output", KEY_OUTPUT, "FILE", 0,
     "Write there in place of stdout: whole or not at all, if that is a regular file", 0},
    {"sort", KEY_SORT, "NAME", 0,
     "feature, activation, z, gap or best, the largest first (feature)", 0},
    {"limit", KEY_LIMIT, "N", 0, "Most features (100)", 0},
    {"title", KEY_TITLE, "TEXT", 0, "What stands above it", 0},
    {"texts", KEY_TEXTS, "N", 0, "Most texts of a feature (6)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct report_command *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->asked; break;
    case ARGP_KEY_END:
        if (r->asked.q.limit < 0) r->asked.q.limit = USUAL_FEATURES;
        break;
    case KEY_OUTPUT: r->output = arg; break;
    case KEY_SORT: r->asked.q.sort = arg; break;
    case KEY_LIMIT: r->asked.q.limit = parse_integer(state, "limit", arg, 1, INT64_MAX); break;
    case KEY_TITLE: r->title = arg; break;
    case KEY_TEXTS: r->texts = parse_integer(state, "texts", arg, 1, 1000); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&asked_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "\nSPEC…",
    "One HTML file of what the store holds of some features: heat maps, texts with their tokens "
    "coloured, the exact best and worst tokens, descents, neighbours. It needs no server and no "
    "network: open it from disk, send it to somebody."
    "\v"
    "100 features unless --limit says otherwise, in the order of --sort.\n\n"
    "Examples:\n"
    "  phosphene report --output block8.html --block 8\n"
    "  phosphene report --output four.html 'block 8 [:, :, 0-3]'\n"
    "  phosphene report --sort z --limit 50 --output best.html\n"
    "  phosphene report --contains Paris > paris.html\n",
    children,
    NULL,
    NULL};

static void tell(const struct report_command *r, const struct report_counts *n)
{
    if (r->asked.common.quiet || n->features == n->matching) return;
    fprintf(stderr, "%lld of %lld features; --limit N takes more, or choose some\n",
            (long long)n->features, (long long)n->matching);
}

static void print_order(FILE *f, const char *sort)
{
    if (!sort || strcmp(sort, "feature") == 0)
        fputs("in order", f);
    else if (strcmp(sort, "best") == 0)
        fputs("the best first", f);
    else
        fprintf(f, "highest first by %s", sort);
}

/* How its features were chosen, for people; to be freed. */
static char *in_words(const struct report_command *r)
{
    const ph_store_query *q = &r->asked.q;
    char *words = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&words, &bytes);
    if (!f) return NULL;
    if (q->feature) fprintf(f, "%s · ", q->feature);
    if (q->model) fprintf(f, "of %s · ", q->model);
    if (q->place) fprintf(f, "%s · ", q->place);
    if (q->block >= 0) fprintf(f, "block %lld · ", (long long)q->block);
    if (q->first >= 0) fprintf(f, "%lld to %lld · ", (long long)q->first, (long long)q->last);
    if (q->method) fprintf(f, "by %s · ", q->method);
    if (q->run) fprintf(f, "of run %s · ", q->run);
    if (q->contains) fprintf(f, "with “%s” in a text · ", q->contains);
    print_order(f, q->sort);
    return fclose(f) == 0 ? words : NULL;
}

static ph_status write_it(const struct report_command *r, ph_store *store, ph_error *err)
{
    char *words = in_words(r);
    const struct report report = {r->asked.q, r->title, words ? words : "", r->texts};
    struct report_counts counts = {0};
    const ph_status st = report_write(stdout, store, &report, &counts, err);
    if (st == PH_OK) tell(r, &counts);
    free(words);
    return st;
}

int cmd_report(int argc, char **argv)
{
    struct report_command r = {.title = "What units of a model respond to", .texts = USUAL_TEXTS};
    ph_store *store = NULL;
    ph_error err = {0};

    asked_parse(&r.asked, &argp, argc, argv);
    ph_status st = asked_open(&store, &r.asked, &err);
    const bool to_file = st == PH_OK && r.output;
    if (to_file && !output_begin(r.output)) {
        st = output_error(&err, r.output, strerror(errno));
    } else if (st == PH_OK) {
        st = write_it(&r, store, &err);
        if (to_file && !output_end(st == PH_OK)) st = output_error(&err, r.output, strerror(errno));
    }
    ph_store_close(&store);
    const int status = finish(&r.asked.common, st, &err, r.asked.specs);
    asked_free(&r.asked);
    return status;
}
