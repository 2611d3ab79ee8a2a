/* cmd_show.c — phosphene show: what the store holds, as a table. */
#include "asked.h"
#include "progress.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct show_command {
    struct asked asked; /* first */
    int64_t top;        /* 0: not said */
    bool view_given;
    json_t *rows;
};

enum { KEY_VIEW = 2000, KEY_SORT, KEY_REVERSE, KEY_TOP, KEY_TOKEN, KEY_SIMILAR, KEY_JSON };
enum { ROWS = 50 };

static const struct argp_option options[] = {
    {"view", KEY_VIEW, "NAME", 0,
     "features: one row a feature, its best text and token; results: every text found, the best "
     "first; blocks; models; runs; map: one row a component; tokens; lines: the whole JSON "
     "(features; "
     "with SPEC results)",
     0},
    {"token", KEY_TOKEN, "TEXT|ID", 0,
     "Features in whose scan this token is among the highest or the lowest; '\"7\"' is the text 7",
     0},
    {"same-text", KEY_SIMILAR, NULL, 0, "Other features that answer to a text of SPEC", 0},
    {"sort", KEY_SORT, "NAME", 0,
     "activation, z, gap (to the best single token), feature, or best: towards the sign of each "
     "search; features come by z, results the best first",
     0},
    {"reverse", KEY_REVERSE, NULL, 0, "The lowest first", 0},
    {"top", KEY_TOP, "K", 0, "Rows (50; with --json all)", 0},
    {"json", KEY_JSON, NULL, 0, "JSON Lines on stdout", 90},
    {0}};

static void settle_view(struct show_command *s, struct argp_state *state)
{
    ph_store_query *q = &s->asked.q;
    if (!s->view_given && q->token) q->view = "tokens";
    if (!s->view_given && !q->token && (q->feature || q->method || q->run)) q->view = "results";
    if (!q->sort && !q->ascending && strcmp(q->view, "features") == 0) q->sort = "z";
    if (q->ascending && !q->sort) usage_error(state, "--reverse goes with --sort");
    if (strcmp(q->view, "same_text") == 0 && !q->feature)
        usage_error(state, "--same-text: of which feature?");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct show_command *s = state->input;
    ph_store_query *q = &s->asked.q;
    static const char *const views[] = {"features", "results", "blocks", "models", "runs",
                                        "map",      "tokens",  "lines",  NULL};
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->asked; break;
    case KEY_VIEW:
        q->view = views[choose(state, "view", arg, views,
                               "features, results, blocks, models, runs, map, tokens or lines")];
        s->view_given = true;
        break;
    case KEY_SIMILAR:
        q->view = "same_text";
        s->view_given = true;
        break;
    case KEY_TOKEN: q->token = arg; break;
    case KEY_SORT: q->sort = arg; break;
    case KEY_REVERSE: q->ascending = true; break;
    case KEY_JSON: s->asked.common.json = true; break;
    case KEY_TOP: s->top = parse_integer(state, "top", arg, 1, INT64_MAX - 1); break;
    case ARGP_KEY_END: settle_view(s, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&asked_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "\nSPEC…",
    "What the store holds: every text that dream found, every list of scan, for the features that "
    "SPECs name or the options say."
    "\v"
    "Columns as in dream: 'text' is the activation of the text by a plain forward pass, 'z' how "
    "far "
    "that lies from random texts, 'gap' what it has over the best single token of the whole "
    "vocabulary. A text marked ~ does not tokenise back to its own tokens, and stands behind the "
    "others however they are sorted.\n\n"
    "Examples:\n"
    "  phosphene show\n"
    "  phosphene show 'block 8 [:, :, 0-4]'\n"
    "  phosphene show --block 8 --features 0-99 --sort gap --top 10\n"
    "  phosphene show --contains ' sky' --view results\n"
    "  phosphene show --token Paris\n"
    "  phosphene show --same-text 'block 8 [:, :, 2]'\n"
    "  phosphene show --view models\n",
    children,
    NULL,
    NULL};

/* ---- columns ---- */

/* What is in a field: t text, q a text in quotes, k a token in quotes, n a figure, s one with its
 * sign, i a whole number, h the beginning of a hash, r the mark of a text that does not tokenise
 * back. width 0: as wide as its contents, at most 40. */
struct column {
    const char *title, *field;
    char kind;
    int width;
};

static const struct table {
    const char *view;
    struct column columns[12];
} tables[] = {{"features",
               {{"feature", "feature", 't', 0},
                {"text", "text", 'q', 44},
                {"", "round_trip", 'r', 1},
                {"text", "activation", 'n', 8},
                {"z", "z", 's', 7},
                {"gap", "gap", 's', 8},
                {"found", "results", 'i', 5},
                {"best token", "token", 'k', 16},
                {"", "token_activation", 'n', 8}}},
              {"results",
               {{"feature", "feature", 't', 0},
                {"text", "text", 'q', 44},
                {"", "round_trip", 'r', 1},
                {"text", "activation", 'n', 8},
                {"z", "z", 's', 7},
                {"gap", "gap", 's', 8},
                {"method", "method", 't', 0},
                {"run", "run", 'h', 8}}},
              {"map",
               {{"feature", "feature", 't', 0},
                {"text", "text", 'q', 44},
                {"text", "activation", 'n', 8},
                {"z", "z", 's', 7},
                {"gap", "gap", 's', 8},
                {"best token", "token", 'k', 16},
                {"", "token_activation", 'n', 8},
                {"z", "token_z", 's', 7}}},
              {"tokens",
               {{"id", "id", 'i', 7},
                {"token", "token", 'k', 16},
                {"feature", "feature", 't', 0},
                {"among the", "end", 't', 9},
                {"rank", "rank", 'i', 5},
                {"activation", "activation", 'n', 10},
                {"z", "z", 's', 7}}},
              {"same_text",
               {{"text", "text", 'q', 44},
                {"feature", "feature", 't', 0},
                {"text", "activation", 'n', 8},
                {"z", "z", 's', 7},
                {"gap", "gap", 's', 8},
                {"method", "method", 't', 0}}},
              {"blocks",
               {{"place", "place", 't', 0},
                {"block", "block", 'i', 5},
                {"features", "features", 'i', 8},
                {"texts", "results", 'i', 8},
                {"scans", "scans", 'i', 8},
                {"best", "best", 'n', 8},
                {"of", "best_feature", 't', 0},
                {"text", "best_text", 'q', 44}}},
              {"models",
               {{"name", "name", 't', 0},
                {"quant", "quant", 't', 0},
                {"family", "family", 't', 0},
                {"blocks", "blocks", 'i', 6},
                {"width", "width", 'i', 6},
                {"features", "features", 'i', 8},
                {"texts", "results", 'i', 8},
                {"scans", "scans", 'i', 8},
                {"runs", "runs", 'i', 6},
                {"key", "model", 'h', 12},
                {"file", "file", 't', 0}}},
              {"runs",
               {{"run", "id", 't', 16},
                {"command", "command", 't', 0},
                {"method", "settings.method", 't', 0},
                {"seed", "seed", 'i', 5},
                {"features", "input", 't', 0},
                {"model", "model.name", 't', 0}}}};

/* A field of a row, perhaps of an object in it. */
static const json_t *field(const json_t *row, const char *name)
{
    const char *dot = strchr(name, '.');
    char outer[24];
    if (!dot) return json_object_get(row, name);
    snprintf(outer, sizeof outer, "%.*s", (int)(dot - name), name);
    return json_object_get(json_object_get(row, outer), dot + 1);
}

/* A value of a column as it is shown, to be freed; NULL: there is none. */
static char *shown(const struct column *c, const json_t *row)
{
    const json_t *v = field(row, c->field);
    const char *text = json_string_value(v);
    char *out = NULL;

    if (c->kind == 'r') return strdup(json_is_false(v) ? "~" : " ");
    if (c->kind == 'i')
        return json_is_integer(v) && asprintf(&out, "%lld", json_integer_value(v)) > 0 ? out : NULL;
    if (!text) return NULL;
    if (c->kind == 'q') return quoted(text, json_string_length(v), '"');
    if (c->kind == 'k') return quoted(text, json_string_length(v), '\'');
    if (c->kind == 'h') return strndup(text, strncmp(text, "untrained:", 10) == 0 ? 22 : 12);
    char *safe = quoted(text, json_string_length(v), '"'); /* control bytes of a file's name */
    if (!safe) return NULL;
    memmove(safe, safe + 1, strlen(safe));
    safe[strlen(safe) - 1] = 0;
    return safe;
}

static bool is_figure(const struct column *c)
{
    return c->kind == 'n' || c->kind == 's';
}

static int width_of(const struct column *c, const json_t *rows)
{
    int width = display_width(c->title);
    size_t i;
    const json_t *row;
    if (c->width) return c->width > width ? c->width : width;
    json_array_foreach(rows, i, row)
    {
        char *text = shown(c, row);
        const int w = text ? display_width(text) : 1;
        if (w > width) width = w;
        free(text);
    }
    return width < 40 ? width : 40;
}

/* The last of a row: cut, but not padded. */
static void last_cell(const char *text, int width)
{
    const int w = display_width(text);
    cell(text, w < width ? w : width);
}

static void print_cell(const struct column *c, int width, bool last, const json_t *row)
{
    const json_t *v = field(row, c->field);
    if (is_figure(c)) {
        cell_number(json_is_number(v) ? json_number_value(v) : (double)NAN,
                    c->kind == 's' ? "%+.2f" : "%.2f", width);
        return;
    }
    char *text = shown(c, row);
    if (last)
        last_cell(text ? text : "–", width);
    else
        cell(text ? text : "–", c->kind == 'i' ? -width : width);
    free(text);
}

/* Whether rows are of more than one model: then each says which. */
static bool of_several(const json_t *rows)
{
    const json_t *first = json_object_get(json_array_get(rows, 0), "model"), *row;
    size_t i;
    json_array_foreach(rows, i,
                       row) if (!json_equal(json_object_get(row, "model"), first)) return true;
    return false;
}

static const struct table *table_of(const char *view)
{
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (strcmp(tables[i].view, view) == 0) return &tables[i];
    return NULL;
}

static void print_rows(const struct table *t, const json_t *rows, size_t most)
{
    static const struct column model = {"model", "model", 'h', 12};
    const struct column *columns[16];
    int widths[16], n = 0;
    size_t i;
    const json_t *row;

    if (t->columns[0].field[0] != 'n' && strcmp(t->view, "runs") != 0 && of_several(rows))
        columns[n++] = &model;
    for (const struct column *c = t->columns; c->field; c++) columns[n++] = c;
    for (int k = 0; k < n; k++) {
        widths[k] = width_of(columns[k], rows);
        const bool right = is_figure(columns[k]) || columns[k]->kind == 'i';
        if (k + 1 == n && !right)
            last_cell(columns[k]->title, widths[k]);
        else
            cell(columns[k]->title, right ? -widths[k] : widths[k]);
        printf("%s", k + 1 < n ? "  " : "\n");
    }
    json_array_foreach(rows, i, row)
    {
        if (i == most) break;
        for (int k = 0; k < n; k++) {
            print_cell(columns[k], widths[k], k + 1 == n, row);
            printf("%s", k + 1 < n ? "  " : "\n");
        }
    }
}

/* ---- run ---- */

static int take_row(const char *row, size_t bytes, void *payload)
{
    struct show_command *s = payload;
    if (s->rows)
        return json_array_append_new(s->rows, json_loadb(row, bytes, JSON_ALLOW_NUL, NULL)) != 0;
    fwrite(row, 1, bytes, stdout);
    putchar('\n');
    return ferror(stdout) || progress_interrupted();
}

static void print_table(struct show_command *s)
{
    const struct table *t = table_of(s->asked.q.view);
    const size_t n = json_array_size(s->rows), most = (size_t)s->top;

    if (n) print_rows(t, s->rows, most);
    if (s->asked.common.quiet) return;
    if (n > most)
        printf("the first %zu; --top K shows more", most);
    else
        printf("%zu row%s", n, n == 1 ? "" : "s");
    printf(" · %s\n", s->asked.path);
}

static ph_status run(struct show_command *s, ph_error *err)
{
    ph_store *store = NULL;
    ph_status st = asked_open(&store, &s->asked, err);
    const bool lines = s->asked.common.json || strcmp(s->asked.q.view, "lines") == 0;

    if (!lines && !s->top) s->top = ROWS;
    if (!lines) s->rows = json_array();
    if (s->top) s->asked.q.limit = lines ? s->top : s->top + 1; /* one more: to say that there is */
    if (st == PH_OK) st = ph_store_select(store, &s->asked.q, take_row, s, err);
    if (st == PH_OK && !lines) print_table(s);
    json_decref(s->rows);
    ph_store_close(&store);
    return st;
}

int cmd_show(int argc, char **argv)
{
    struct show_command s = {0};
    ph_error err = {0};
    asked_parse(&s.asked, &argp, argc, argv);
    const ph_status st = run(&s, &err);
    const int status = finish(&s.asked.common, st, &err, s.asked.specs);
    asked_free(&s.asked);
    return status;
}
