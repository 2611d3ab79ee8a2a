/* cmd_export.c — phosphene export: the store in forms that other programs read.
 *
 * A format is a row of a table: which view it asks, what becomes of a row, what stands around.
 */
#include "arrays.h"
#include "asked.h"
#include "emit.h"
#include "output.h"
#include "progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct export_command {
    struct asked asked; /* first */
    const struct format *format;
    const char *output;
    ph_store *store;
    json_t *lines, *places, *runs; /* npz, neuronpedia: what was gathered */
    json_t *feature;               /* neuronpedia: at work */
    bool comma;                    /* something was printed */
    int64_t left_out;
    ph_error damage; /* of a line of the store */
};

struct format {
    const char *name, *view;
    bool gathers; /* places and runs are wanted */
    bool bytes;   /* nothing for a terminal: --output is a must */
    void (*row)(struct export_command *e, json_t *row);
    char *(*end)(struct export_command *e); /* what went wrong, to be freed; NULL: nothing */
};

/* ---- JSON Lines: as they were put ---- */

static int take_line(const char *row, size_t bytes, void *payload)
{
    (void)payload;
    fwrite(row, 1, bytes, stdout);
    putchar('\n');
    return ferror(stdout) || progress_interrupted();
}

/* ---- CSV: RFC 4180, one line a text found ---- */

static void csv_value(const json_t *v)
{
    if (json_is_string(v))
        csv_text(json_string_value(v), json_string_length(v));
    else if (json_is_integer(v))
        printf("%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        printf("%.9g", json_real_value(v));
    else if (json_is_boolean(v))
        fputs(json_is_true(v) ? "true" : "false", stdout);
}

static const char *const csv_fields[] = {
    "feature",    "place", "block", "component",  "method",   "sign",    "rank", "text",
    "activation", "z",     "gap",   "round_trip", "violates", "outlier", "run",  "model"};
enum { CSV_FIELDS = sizeof csv_fields / sizeof *csv_fields };

static void csv_head(void)
{
    for (int i = 0; i < CSV_FIELDS; i++) printf("%s%s", i ? "," : "", csv_fields[i]);
    fputs("\r\n", stdout);
}

static void csv_row(struct export_command *e, json_t *row)
{
    if (!e->comma) csv_head();
    e->comma = true;
    for (int i = 0; i < CSV_FIELDS; i++) {
        if (i) putchar(',');
        csv_value(json_object_get(row, csv_fields[i]));
    }
    fputs("\r\n", stdout);
}

static char *csv_end(struct export_command *e)
{
    if (!e->comma) csv_head();
    return NULL;
}

/* ---- NumPy ---- */

static void npz_row(struct export_command *e, json_t *row)
{
    json_array_append(e->lines, row);
}

static char *npz_end(struct export_command *e)
{
    return arrays_write(e->lines, e->places, e->runs);
}

/* ---- Neuronpedia: an array of features, each with its activations ---- */

/* "8-res-phosphene": its layers count from 0; NULL: it has no name for that place. */
static json_t *neuronpedia_layer(const char *place, json_int_t block)
{
    static const char *const names[][2] = {
        {"block", "res"}, {"attn", "att"}, {"mlp", "mlp"}, {"neuron", "neurons"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (place && strcmp(names[i][0], place) == 0)
            return json_sprintf("%lld-%s-phosphene", (long long)block - 1, names[i][1]);
    return NULL;
}

static json_t *model_id(const json_t *run)
{
    const json_t *model = json_object_get(run, "model");
    const char *file = json_string_value(json_object_get(model, "file"));
    const char *slash = file ? strrchr(file, '/') : NULL;
    const char *name = slash ? slash + 1 : file ? file : "";
    const size_t n = strlen(name), ending = n > 5 && strcasecmp(name + n - 5, ".gguf") == 0 ? 5 : 0;
    const json_t *seed = json_object_get(model, "init_seed");
    if (seed)
        return json_sprintf("%.*s-untrained-%lld", (int)(n - ending), name,
                            (long long)json_integer_value(seed));
    return json_stringn(name, n - ending);
}

/* One text with the value at each of its tokens. */
static json_t *neuronpedia_activation(json_t *tokens, json_t *values)
{
    double least = 0, most = 0;
    size_t at = 0, i;
    const json_t *v;
    json_array_foreach(values, i, v)
    {
        const double x = json_number_value(v);
        if (i == 0 || x > most) most = x, at = i;
        if (i == 0 || x < least) least = x;
    }
    return json_pack("{s:O, s:O, s:f, s:I, s:f}", "tokens", tokens, "values", values, "maxValue",
                     most, "maxValueTokenIndex", (json_int_t)at, "minValue", least);
}

static void neuronpedia_flush(struct export_command *e)
{
    if (!e->feature) return;
    fputs(e->comma ? ",\n" : "[\n", stdout);
    char *text = json_dumps(e->feature, JSON_COMPACT | JSON_REAL_PRECISION(9));
    fputs(text ? text : "null", stdout);
    free(text);
    json_decref(e->feature);
    e->feature = NULL;
    e->comma = true;
}

/* The feature of a line, begun if it is another one than before; NULL: Neuronpedia has no place for
 * it. */
static json_t *neuronpedia_feature(struct export_command *e, const json_t *line)
{
    const char *name = json_string_value(json_object_get(line, "feature"));
    const char *run = json_string_value(json_object_get(line, "run"));
    const json_t *place = name ? json_object_get(e->places, name) : NULL;
    const json_t *component = json_object_get(place, "component");
    const json_t *block = json_object_get(place, "block");
    json_t *layer = json_is_integer(component)
                        ? neuronpedia_layer(json_string_value(json_object_get(place, "place")),
                                            json_integer_value(block))
                        : NULL;
    if (!layer) return NULL;
    json_t *next =
        json_pack("{s:o, s:o, s:o, s:[], s:[]}", "modelId",
                  model_id(run ? json_object_get(e->runs, run) : NULL), "layer", layer, "index",
                  json_sprintf("%lld", (long long)json_integer_value(component)), "activations",
                  "explanations");
    static const char *const same[] = {"modelId", "layer", "index"};
    bool other = !e->feature;
    for (int i = 0; i < 3 && !other; i++)
        other = !json_equal(json_object_get(next, same[i]), json_object_get(e->feature, same[i]));
    if (other) {
        neuronpedia_flush(e);
        e->feature = json_incref(next);
    }
    json_decref(next);
    return e->feature;
}

static void add_activation(json_t *feature, json_t *activation, const json_t *line,
                           const char *source)
{
    json_object_set_new(activation, "dataSource", json_sprintf("phosphene %s", source));
    json_object_set(activation, "run", json_object_get(line, "run"));
    json_object_set(activation, "feature", json_object_get(line, "feature"));
    json_array_append_new(json_object_get(feature, "activations"), activation);
}

/* Each of the highest tokens of a scan is a text of one token. */
static void add_scan(json_t *feature, const json_t *line)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(json_object_get(line, "top"), i, entry)
    {
        json_t *tokens = json_pack("[O]", json_object_get(entry, "token"));
        json_t *values = json_pack("[O]", json_object_get(entry, "activation"));
        if (tokens && values)
            add_activation(feature, neuronpedia_activation(tokens, values), line, "scan");
        json_decref(tokens);
        json_decref(values);
    }
}

static void neuronpedia_row(struct export_command *e, json_t *line)
{
    const char *type = json_string_value(json_object_get(line, "type"));
    json_t *tokens = json_object_get(line, "tokens"), *values = json_object_get(line, "values");
    const bool dream = type && strcmp(type, "dream") == 0, scan = type && strcmp(type, "scan") == 0;
    json_t *feature = dream || scan ? neuronpedia_feature(e, line) : NULL;

    if (dream || scan) e->left_out += !feature;
    if (!feature) return;
    if (scan) {
        add_scan(feature, line);
    } else if (tokens && values) {
        json_t *a = neuronpedia_activation(tokens, values);
        json_object_set(a, "text", json_object_get(line, "text"));
        json_object_set(a, "z", json_object_get(line, "z"));
        add_activation(feature, a, line, json_string_value(json_object_get(line, "method")));
    }
}

static char *neuronpedia_end(struct export_command *e)
{
    neuronpedia_flush(e);
    fputs(e->comma ? "\n]\n" : "[]\n", stdout);
    if (e->left_out && !e->asked.common.quiet)
        fprintf(stderr,
                "phosphene export: %lld lines left out: Neuronpedia knows single components of "
                "blocks, attn, mlp and neuron\n",
                (long long)e->left_out);
    return NULL;
}

/* ---- the command ---- */

static const struct format formats[] = {
    {"jsonl", "lines", false, false, NULL, NULL},
    {"csv", "results", false, false, csv_row, csv_end},
    {"npz", "lines", true, true, npz_row, npz_end},
    {"neuronpedia", "lines", true, false, neuronpedia_row, neuronpedia_end}};

enum { KEY_FORMAT = 2000, KEY_OUTPUT, KEY_TYPE };

static const struct argp_option options[] = {
    {"format", KEY_FORMAT, "NAME", 0,
     "jsonl: the lines as the commands print them with --json, each run's behind its run line; "
     "csv: "
     "one line for each text found; npz: arrays for NumPy; neuronpedia: features with their "
     "activations, as Neuronpedia's API gives them (else by the ending of --output, else jsonl)",
     0},
    {"output", KEY_OUTPUT, "FILE", 0,
     "Write there in place of stdout: whole or not at all, if that is a regular file", 0},
    {"type", KEY_TYPE, "NAME", 0,
     "jsonl: only lines of this type, and no run lines; other: neither dreams nor scans", 0},
    {0}};

static const struct format *format_named(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    return NULL;
}

static void settle_format(struct export_command *e, struct argp_state *state)
{
    const char *dot = e->output ? strrchr(e->output, '.') : NULL;
    if (!e->format && dot) e->format = format_named(dot + 1);
    if (!e->format) e->format = &formats[0];
    if (e->format->bytes && !e->output)
        usage_error(state, "--format %s: where to? --output FILE", e->format->name);
    if (e->asked.q.type && e->format != &formats[0])
        usage_error(state, "--type goes with --format jsonl");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct export_command *e = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &e->asked; break;
    case KEY_FORMAT:
        if (!(e->format = format_named(arg)))
            usage_error(state, "--format %s: expected jsonl, csv, npz or neuronpedia", arg);
        break;
    case KEY_OUTPUT: e->output = arg; break;
    case KEY_TYPE: e->asked.q.type = arg; break;
    case ARGP_KEY_END: settle_format(e, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&asked_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "\nSPEC…",
    "Everything the store holds, or what SPECs and options say, in a form that other programs read."
    "\v"
    "The order is the same whatever was put first: by model, command and run, then by feature; csv "
    "the best text first. docs/STORE.md has every column and array.\n\n"
    "Examples:\n"
    "  phosphene export > all.jsonl\n"
    "  phosphene export --output block8.csv --block 8\n"
    "  phosphene export --output all.npz\n"
    "      then in Python: numpy.load('all.npz')['dream_activation']\n"
    "  phosphene export --format neuronpedia --output block8.json --block 8 --place block\n"
    "  phosphene export --type scan 'block 8 [:, :, 0-99]'\n",
    children,
    NULL,
    NULL};

static int take_row(const char *row, size_t bytes, void *payload)
{
    struct export_command *e = payload;
    json_t *v = asked_row(row, bytes, &e->damage);
    if (!v) return 1;
    e->format->row(e, v);
    json_decref(v);
    return ferror(stdout) || progress_interrupted();
}

static int gather(struct export_command *e, json_t *into, const char *row, size_t bytes,
                  const char *by)
{
    json_t *v = asked_row(row, bytes, &e->damage);
    const char *key = json_string_value(json_object_get(v, by));
    if (key) json_object_set(into, key, v);
    json_decref(v);
    return !v;
}

static int gather_place(const char *row, size_t bytes, void *payload)
{
    struct export_command *e = payload;
    return gather(e, e->places, row, bytes, "feature");
}

static int gather_run(const char *row, size_t bytes, void *payload)
{
    struct export_command *e = payload;
    return gather(e, e->runs, row, bytes, "id");
}

/* What a format wants to know beside the lines. */
static ph_status gather_all(struct export_command *e, ph_error *err)
{
    ph_store_query q = PH_STORE_QUERY_INIT;
    q.model = e->asked.q.model;
    q.view = "features";
    ph_status st = ph_store_select(e->store, &q, gather_place, e, err);
    q.view = "runs";
    return st == PH_OK ? ph_store_select(e->store, &q, gather_run, e, err) : st;
}

static ph_status write_all(struct export_command *e, ph_error *err)
{
    ph_store_query *q = &e->asked.q;
    ph_status st = PH_OK;
    q->view = e->format->view;
    if (e->format->gathers) {
        st = gather_all(e, err);
        q->sort = "feature";
    }
    if (st != PH_OK) return st;
    st = ph_store_select(e->store, q, e->format->row ? take_row : take_line, e, err);
    char *problem = st == PH_OK && e->format->end ? e->format->end(e) : NULL;
    if (problem) st = output_error(err, e->output, problem);
    free(problem);
    return st;
}

static ph_status run(struct export_command *e, ph_error *err)
{
    ph_status st = asked_open(&e->store, &e->asked, err);

    if (st != PH_OK) return st;
    if (e->output && !output_begin(e->output)) return output_error(err, e->output, strerror(errno));
    st = write_all(e, err);
    if (e->damage.code != PH_OK) {
        *err = e->damage;
        st = err->code;
    }
    if (e->output && !output_end(st == PH_OK)) st = output_error(err, e->output, strerror(errno));
    return st;
}

int cmd_export(int argc, char **argv)
{
    struct export_command e = {0};
    ph_error err = {0};

    asked_parse(&e.asked, &argp, argc, argv);
    e.lines = json_array();
    e.places = json_object();
    e.runs = json_object();
    const ph_status st = run(&e, &err);
    const int status = finish(&e.asked.common, st, &err, e.asked.specs);
    ph_store_close(&e.store);
    json_decref(e.feature);
    json_decref(e.lines);
    json_decref(e.places);
    json_decref(e.runs);
    asked_free(&e.asked);
    return status;
}
