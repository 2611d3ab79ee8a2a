/* cmd_store.c — phosphene store: merge, import and check. */
#include "keep.h"
#include "emit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct store_command {
    struct common common; /* first */
    const struct act *act;
    char *path;
    int64_t faults;
};

struct act {
    const char *name;
    bool files; /* takes some */
    ph_status (*run)(struct store_command *s, ph_error *err);
};

enum { KEY_STORE = 1500, KEY_JSON };

static const struct argp_option options[] = {
    {"store", KEY_STORE, "FILE", 0,
     "The store (else $PHOSPHENE_STORE, else store.sqlite in the user's data folder)", 0},
    {"json", KEY_JSON, NULL, 0, "JSON Lines on stdout", 0},
    {"quiet", 'q', NULL, 0, "No summary", 0},
    {0}};

/* ---- merge and import ---- */

static void print_counts(const struct store_command *s, const char *file, const ph_store_counts *c)
{
    if (s->common.json)
        emit(json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "type", s->act->name, "file", file, "runs",
                       (json_int_t)c->runs, "lines", (json_int_t)c->lines, "added",
                       (json_int_t)c->added, "changed", (json_int_t)c->changed));
    else if (!s->common.quiet)
        printf("%s: %lld run%s, %lld line%s: %lld new, %lld changed, %lld there already\n", file,
               (long long)c->runs, c->runs == 1 ? "" : "s", (long long)c->lines,
               c->lines == 1 ? "" : "s", (long long)c->added, (long long)c->changed,
               (long long)(c->runs + c->lines - c->added - c->changed));
}

static ph_status open_to_write(ph_store **out, struct store_command *s, ph_error *err)
{
    if (!s->common.store) make_folder_of(s->path);
    return ph_store_open(out, s->path, PH_STORE_CREATE, err);
}

static ph_status merge(struct store_command *s, ph_error *err)
{
    ph_store *store = NULL;
    ph_status st = open_to_write(&store, s, err);
    for (int i = 1; i < s->common.n_words && st == PH_OK; i++) {
        ph_store_counts counts;
        st = ph_store_merge(store, s->common.words[i], &counts, err);
        if (st == PH_OK) print_counts(s, s->common.words[i], &counts);
    }
    ph_store_close(&store);
    return st;
}

/* Where in a file a line was refused. */
static ph_status in_line(ph_error *err, const char *file, int64_t line)
{
    ph_error why = *err;
    if (why.code != PH_EFORMAT && why.code != PH_EINVAL) return why.code;
    snprintf(err->msg, sizeof err->msg, "%.80s, line %lld: %.120s", file, (long long)line, why.msg);
    return err->code = PH_EFORMAT;
}

enum { TOGETHER = 4096 };

static ph_status import_lines(ph_store *store, FILE *f, const char *file, int64_t *lines,
                              ph_error *err)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    ph_status st = ph_store_begin(store, err);

    for (int64_t at = 1; st == PH_OK && (n = getline(&line, &room, f)) >= 0; at++) {
        while (n && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
        if (n == 0) continue;
        st = ph_store_put(store, line, (size_t)n, err);
        if (st != PH_OK) st = in_line(err, file, at);
        ++*lines;
        if (st != PH_OK || *lines % TOGETHER) continue;
        st = ph_store_commit(store, err);
        if (st == PH_OK) st = ph_store_begin(store, err);
    }
    if (st == PH_OK && ferror(f)) {
        *err = (ph_error){.code = PH_EIO, .pos = -1};
        snprintf(err->msg, sizeof err->msg, "%s: %s", file, strerror(errno));
        st = PH_EIO;
    }
    free(line);
    return st == PH_OK ? ph_store_commit(store, err) : st;
}

static ph_status import_file(struct store_command *s, const char *file, ph_error *err)
{
    ph_store *store = NULL;
    int64_t lines = 0;
    const bool standard = strcmp(file, "-") == 0;
    FILE *f = standard ? stdin : fopen(file, "r");

    if (!f) {
        *err = (ph_error){.code = PH_EIO, .pos = -1};
        snprintf(err->msg, sizeof err->msg, "%s: %s", file, strerror(errno));
        return PH_EIO;
    }
    ph_status st = open_to_write(&store, s, err);
    if (st == PH_OK) st = import_lines(store, f, standard ? "stdin" : file, &lines, err);
    if (st == PH_OK && s->common.json)
        emit(json_pack("{s:s, s:s, s:I}", "type", "import", "file", file, "lines",
                       (json_int_t)lines));
    else if (st == PH_OK && !s->common.quiet)
        printf("%s: %lld line%s\n", file, (long long)lines, lines == 1 ? "" : "s");
    ph_store_close(&store); /* what was not committed is not kept */
    if (!standard) fclose(f);
    return st;
}

static ph_status import(struct store_command *s, ph_error *err)
{
    ph_status st = PH_OK;
    for (int i = 1; i < s->common.n_words && st == PH_OK; i++)
        st = import_file(s, s->common.words[i], err);
    return st;
}

/* ---- check ---- */

static int on_fault(const char *fault, void *payload)
{
    struct store_command *s = payload;
    s->faults++;
    if (s->common.json)
        emit(json_pack("{s:s, s:s}", "type", "fault", "fault", fault));
    else
        printf("%s\n", fault);
    return ferror(stdout);
}

static ph_status check(struct store_command *s, ph_error *err)
{
    ph_store *store = NULL;
    ph_status st = ph_store_open(&store, s->path, PH_STORE_READ, err);
    if (st == PH_OK) st = ph_store_check(store, on_fault, s, err);
    ph_store_close(&store);
    if (st != PH_OK) return st;
    if (s->faults) {
        *err = (ph_error){.code = PH_EFORMAT, .pos = -1};
        snprintf(err->msg, sizeof err->msg, "%s: %lld fault%s", s->path, (long long)s->faults,
                 s->faults == 1 ? "" : "s");
        return err->code;
    }
    if (s->common.json)
        emit(json_pack("{s:s, s:s, s:i}", "type", "check", "file", s->path, "faults", 0));
    else if (!s->common.quiet)
        printf("%s: sound\n", s->path);
    return PH_OK;
}

/* ---- the command ---- */

static const struct act acts[] = {
    {"merge", true, merge}, {"import", true, import}, {"check", false, check}};

static void choose_act(struct store_command *s, struct argp_state *state)
{
    static const char *const names[] = {"merge", "import", "check", NULL};
    if (s->common.n_words == 0) usage_error(state, "merge, import or check?");
    int which = 0;
    while (names[which] && strcmp(names[which], s->common.words[0]) != 0) which++;
    if (!names[which])
        usage_error(state, "%s: expected merge, import or check", s->common.words[0]);
    s->act = &acts[which];
    if (s->act->files && s->common.n_words < 2)
        usage_error(state, "%s: which files?", s->act->name);
    if (!s->act->files && s->common.n_words > 1)
        usage_error(state, "%s: takes no files; the store is --store FILE", s->act->name);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct store_command *s = state->input;
    switch (key) {
    case KEY_STORE:
        if (!*arg) usage_error(state, "--store: expected the name of a file");
        s->common.store = arg;
        break;
    case KEY_JSON: s->common.json = true; break;
    case 'q': s->common.quiet = true; break;
    case ARGP_KEY_ARGS:
        s->common.words = state->argv + state->next;
        s->common.n_words = state->argc - state->next;
        break;
    case ARGP_KEY_END: choose_act(s, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    options,
    parse,
    "merge FILE…\nimport FILE…\ncheck",
    "Look after the store, one SQLite file: put what other stores hold into it, or lines that "
    "commands "
    "printed with --json; check that it is sound."
    "\v"
    "merge reads stores, import JSON Lines ('-' is stdin). Both can be repeated: what is there "
    "already "
    "stays as it is, and of two results of the same run the later one counts. An import that is "
    "refused "
    "keeps nothing of its last 4,096 lines; repeat it when the line is mended.\n\n"
    "check reads everything, compares every column with the lines it was made of, and prints one "
    "line "
    "for each fault; its exit status is 1 if there is one.\n\n"
    "Examples:\n"
    "  phosphene store check\n"
    "  phosphene store merge laptop.sqlite cluster/*.sqlite\n"
    "  phosphene store import --store new.sqlite old-results.jsonl\n"
    "  phosphene export 'block 8 [:, :, 0-99]' | phosphene store import --store few.sqlite -\n",
    NULL,
    NULL,
    NULL};

int cmd_store(int argc, char **argv)
{
    struct store_command s = {.common.no_model = true};
    ph_error err = {0};

    parse_options(&s.common, &argp, argc, argv);
    signal(SIGINT, SIG_DFL); /* what was committed is kept, whenever it ends */
    signal(SIGTERM, SIG_DFL);
    s.path = keep_path(&s.common);
    const ph_status st = s.path ? s.act->run(&s, &err) : PH_ENOMEM;
    const int status = finish(&s.common, st, &err, NULL);
    free(s.path);
    common_free(&s.common);
    return status;
}
