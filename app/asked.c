/* asked.c — what part of the store a command is asked for. */
#include "asked.h"

#include "keep.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_STORE = 1500, KEY_BLOCK, KEY_PLACE, KEY_FEATURES, KEY_CONTAINS, KEY_METHOD, KEY_RUN };

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "What of the store:", 80},
    {"store", KEY_STORE, "FILE", 0,
     "The store (else $PHOSPHENE_STORE, else store.sqlite in the user's data folder)", 80},
    {"model", 'm', "NAME", 0,
     "Of this model: its file's path or name, its name, or the beginning of its sha256 or of "
     "untrained:SHA256",
     80},
    {"block", KEY_BLOCK, "N", 0, "Of this block", 80},
    {"place", KEY_PLACE, "NAME", 0,
     "block, attn, mlp, neuron, embed, final, logits, 'only block' …, or other: sums, directions, "
     "latents",
     80},
    {"features", KEY_FEATURES, "A-B", 0, "Components A to B of their place", 80},
    {"contains", KEY_CONTAINS, "TEXT", 0, "A text has this in it, byte for byte", 80},
    {"method", KEY_METHOD, "NAME", 0, "Found by this method", 80},
    {"run", KEY_RUN, "ID", 0, "Of the run whose id begins so", 80},
    {NULL, 0, NULL, 0, "Common options:", 90},
    {"quiet", 'q', NULL, 0, "No summary", 90},
    {0}};

/* "A-B" or "A" */
static void parse_range(struct argp_state *state, char *arg, ph_store_query *q)
{
    char *dash = strchr(arg, '-');
    if (dash) *dash = 0;
    q->first = parse_integer(state, "features", arg, 0, INT64_MAX);
    q->last = dash ? parse_integer(state, "features", dash + 1, 0, INT64_MAX) : q->first;
    if (q->last < q->first)
        usage_error(state, "--features %s-%s: runs backwards", arg, dash ? dash + 1 : "");
    if (dash) *dash = '-';
}

static const char *parse_place(struct argp_state *state, const char *arg)
{
    static const char *const places[] = {"block", "attn",  "mlp",    "neuron",
                                         "embed", "final", "logits", NULL};
    if (strcmp(arg, "other") == 0) return arg;
    choose(state, "place", strncmp(arg, "only ", 5) == 0 ? arg + 5 : arg, places,
           "block, attn, mlp, neuron, embed, final, logits or other");
    return arg;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct asked *a = state->input;
    switch (key) {
    case KEY_STORE:
        if (!*arg) usage_error(state, "--store: expected the name of a file");
        a->common.store = arg;
        break;
    case 'm': a->q.model = arg; break;
    case KEY_BLOCK: a->q.block = parse_integer(state, "block", arg, 0, INT64_MAX); break;
    case KEY_PLACE: a->q.place = parse_place(state, arg); break;
    case KEY_FEATURES: parse_range(state, arg, &a->q); break;
    case KEY_CONTAINS: a->q.contains = arg; break;
    case KEY_METHOD: a->q.method = arg; break;
    case KEY_RUN: a->q.run = arg; break;
    case 'q': a->common.quiet = true; break;
    case ARGP_KEY_ARGS:
        a->common.words = state->argv + state->next;
        a->common.n_words = state->argc - state->next;
        a->q.feature = a->specs = join_words(a->common.words, a->common.n_words);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp asked_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};

void asked_parse(struct asked *a, const struct argp *argp, int argc, char **argv)
{
    const ph_store_query q = PH_STORE_QUERY_INIT;
    a->q = q;
    a->common.no_model = true;
    parse_options(&a->common, argp, argc, argv);
}

ph_status asked_open(ph_store **out, struct asked *a, ph_error *err)
{
    a->path = keep_path(&a->common);
    if (a->path) return ph_store_open(out, a->path, PH_STORE_READ, err);
    *err = (ph_error){PH_ENOMEM, -1, "out of memory"};
    return PH_ENOMEM;
}

/* The text of a member in what may be no JSON any more, at most `most` bytes of it. */
static int said_in(const char **text, const char *row, size_t bytes, const char *member, int most)
{
    const char *at = memmem(row, bytes, member, strlen(member));
    int n = 0;
    *text = at ? at + strlen(member) : "";
    while (at && n < most && *text + n < row + bytes && (*text)[n] != '"') n++;
    return n;
}

json_t *asked_row(const char *row, size_t bytes, ph_error *err)
{
    json_error_t why;
    const char *run, *feature;
    json_t *v = json_loadb(row, bytes, JSON_ALLOW_NUL, &why);
    if (v) return v;
    int n_run = said_in(&run, row, bytes, "\"run\":\"", 32);
    if (!n_run) n_run = said_in(&run, row, bytes, "\"id\":\"", 32);
    const int n_feature = said_in(&feature, row, bytes, "\"feature\":\"", 60);
    fail_with(err, PH_EFORMAT,
              "a line of run %.*s%s%.*s is damaged (%.60s); phosphene store check says more", n_run,
              run, n_feature ? ", " : "", n_feature, feature, why.text);
    return NULL;
}

void asked_free(struct asked *a)
{
    free(a->specs);
    free(a->path);
    common_free(&a->common);
}
