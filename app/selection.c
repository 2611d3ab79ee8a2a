/* selection.c — which features of the store: the options that show, export and report share. */
#include "selection.h"

#include "keep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_STORE = 4000, KEY_PLACE, KEY_BLOCK, KEY_FEATURES, KEY_CONTAINS, KEY_SORT, KEY_LIMIT };

static const struct argp_option options[] = {
    {"store", KEY_STORE, "FILE", 0,
     "The store (else $PHOSPHENE_STORE, else store.sqlite in the user's data folder)", 0},
    {"model", 'm', "MODEL", 0, "Only of this model: its file's path or name, or its sha256", 0},
    {"place", KEY_PLACE, "NAME", 0, "Only there: block, attn, mlp, neuron, embed, final, logits", 0},
    {"block", KEY_BLOCK, "N", 0, "Only of this block", 0},
    {"features", KEY_FEATURES, "A-B", 0, "Only these, both included", 0},
    {"contains", KEY_CONTAINS, "TEXT", 0, "Only those with a text that has this in it", 0},
    {"sort", KEY_SORT, "NAME", 0, "activation, z, gap or feature, the largest first (feature)", 0},
    {"limit", KEY_LIMIT, "N", 0, "No more than these", 0},
    {"quiet", 'q', NULL, 0, "No word about what was left out", 0},
    {0}};

static void parse_range(struct selection *s, struct argp_state *state, const char *arg)
{
    char *copy = strdup(arg), *minus = copy ? strchr(copy, '-') : NULL;
    if (minus) *minus = 0;
    s->query.first = parse_integer(state, "features", copy, 0, INT64_MAX);
    s->query.last =
        minus ? parse_integer(state, "features", minus + 1, 0, INT64_MAX) : s->query.first;
    free(copy);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct selection *s = state->input;
    switch (key) {
    case KEY_STORE: s->common.store = arg; break;
    case 'q': s->common.quiet = true; break;
    case 'm': s->query.model = arg; break;
    case KEY_PLACE: s->query.place = arg; break;
    case KEY_BLOCK: s->query.block = parse_integer(state, "block", arg, 0, INT64_MAX); break;
    case KEY_FEATURES: parse_range(s, state, arg); break;
    case KEY_CONTAINS: s->query.contains = arg; break;
    case KEY_SORT: s->query.sort = arg; break;
    case KEY_LIMIT: s->query.limit = parse_integer(state, "limit", arg, 1, INT64_MAX); break;
    case ARGP_KEY_ARG: usage_error(state, "%s: expected options only", arg);
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp selection_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};

static void describe(struct selection *s)
{
    const ph_store_query *q = &s->query;
    FILE *f = fmemopen(s->words, sizeof s->words, "w");
    if (!f) return;
    if (q->model) fprintf(f, "model %s, ", q->model);
    if (q->place) fprintf(f, "%s, ", q->place);
    if (q->block >= 0) fprintf(f, "block %lld, ", (long long)q->block);
    if (q->first >= 0) fprintf(f, "features %lld-%lld, ", (long long)q->first, (long long)q->last);
    if (q->contains) fprintf(f, "texts with “%s”, ", q->contains);
    fprintf(f, "%s%s", q->sort ? "highest first by " : "in order", q->sort ? q->sort : "");
    fclose(f);
}

void selection_parse(struct selection *s, const struct argp *argp, int64_t limit, int argc,
                     char **argv)
{
    const ph_store_query defaults = PH_STORE_QUERY_INIT;
    s->query = defaults;
    s->query.limit = limit;
    char *name = NULL;
    s->common.command = argv[0];
    if (asprintf(&name, "phosphene %s", argv[0]) > 0) argv[0] = name;
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(argp, argc, argv, 0, NULL, s);
    argv[0] = (char *)(uintptr_t)s->common.command;
    free(name);
    s->store = keep_path(&s->common);
    describe(s);
}

void selection_free(struct selection *s)
{
    free(s->store);
}
