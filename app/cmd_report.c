/* cmd_report.c — phosphene report: what the store holds, as one HTML file to look at and to send. */
#include "output.h"
#include "report.h"
#include "selection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct report_command {
    struct selection selection; /* first: selection_argp sees it */
    const char *output, *title;
    int64_t texts;
};

enum { KEY_OUTPUT = 2000, KEY_TITLE, KEY_TEXTS, USUAL_FEATURES = 100, USUAL_TEXTS = 6 };

static const struct argp_option options[] = {
    {"output", KEY_OUTPUT, "FILE", 0, "Write there in place of stdout", 0},
    {"title", KEY_TITLE, "TEXT", 0, "What stands above it", 0},
    {"texts", KEY_TEXTS, "N", 0, "Most texts of a feature (6)", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct report_command *r = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &r->selection; break;
    case KEY_OUTPUT: r->output = arg; break;
    case KEY_TITLE: r->title = arg; break;
    case KEY_TEXTS: r->texts = parse_integer(state, "texts", arg, 1, 1000); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&selection_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "",
    "One HTML file of what the store holds of some features: heat maps, texts with their tokens "
    "coloured, the exact best and worst tokens, descents, neighbours. It needs no server and no "
    "network: open it from disk, send it to somebody."
    "\v"
    "100 features unless --limit says otherwise, in the order of --sort.\n\n"
    "Examples:\n"
    "  phosphene report --output block8.html --block 8\n"
    "  phosphene report --sort z --limit 50 --output best.html\n"
    "  phosphene report --contains Paris > paris.html\n",
    children,
    NULL,
    NULL};

static void tell(const struct report_command *r, const struct report_counts *n)
{
    if (r->selection.common.quiet || n->features == n->matching) return;
    fprintf(stderr, "%lld of %lld features; --limit N takes more, or choose some\n",
            (long long)n->features, (long long)n->matching);
}

static ph_status write_it(const struct report_command *r, ph_store *store, ph_error *err)
{
    const struct report report = {r->selection.query, r->title, r->selection.words, r->texts};
    struct report_counts counts = {0};
    const ph_status st = report_write(stdout, store, &report, &counts, err);
    if (st == PH_OK) tell(r, &counts);
    return st;
}

int cmd_report(int argc, char **argv)
{
    struct report_command r = {.title = "What units of a model respond to", .texts = USUAL_TEXTS};
    ph_store *store = NULL;
    ph_error err = {0};

    selection_parse(&r.selection, &argp, USUAL_FEATURES, argc, argv);
    ph_status st = ph_store_open(&store, r.selection.store, PH_STORE_READ, &err);
    const bool to_file = st == PH_OK && r.output;
    if (to_file && !output_begin(r.output)) {
        st = output_error(&err, r.output, strerror(errno));
    } else if (st == PH_OK) {
        st = write_it(&r, store, &err);
        if (to_file && !output_end(r.output, st == PH_OK) && st == PH_OK)
            st = output_error(&err, r.output, strerror(errno));
    }
    ph_store_close(&store);
    const int status = finish(&r.selection.common, st, &err, NULL);
    selection_free(&r.selection);
    return status;
}
