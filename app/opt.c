/* opt.c — what every command shares: common options, the model, errors and the end. */
#include "opt.h"

#include "hub.h"
#include "output.h"
#include "progress.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_MODEL "SmolLM2-135M-Instruct.Q4_1.gguf"

enum {
    KEY_THREADS = 1000,
    KEY_UNTRAINED,
    KEY_INIT_SEED,
    KEY_SHAPE,
    KEY_BLOCKS,
    KEY_SEED,
    KEY_JSON,
    KEY_BOS,
    KEY_PREFIX,
    KEY_SUFFIX,
    KEY_CHAT,
    KEY_REDUCE,
    KEY_SIGN,
    KEY_BACKEND,
    KEY_PLAN,
    KEY_NO_CACHE,
    KEY_STORE,
    KEY_NO_STORE
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Common options:", 90},
    {"model", 'm', "FILE", 0,
     "The model: a GGUF file, a Hugging Face folder, or ORG/NAME[:FILE] in the Hugging Face cache "
     "(else $PHOSPHENE_MODEL, else the model of script/fetch-model); untrained:FILE with random "
     "weights, shape:NAME:FILE with those of --shape NAME. Many commands take several",
     90},
    {"untrained", KEY_UNTRAINED, NULL, 0,
     "Weights as the family initialises them before training: sizes and vocabulary of the file",
     90},
    {"init-seed", KEY_INIT_SEED, "N", 0, "Seed of untrained weights (0)", 90},
    {"shape", KEY_SHAPE, "NAME", 0,
     "An untrained model of these sizes; the file needs to hold a vocabulary only: llama-7b, "
     "llama-13b, …, smollm2-135m (a wrong name lists them)",
     90},
    {"blocks", KEY_BLOCKS, "N", 0, "Blocks of an untrained model (as many as its sizes have)", 90},
    {"threads", KEY_THREADS, "N", 0, "Threads (all processors)", 90},
    {"backend", KEY_BACKEND, "NAME", 0,
     "What computes: cpu, onednn, ref, ref64 (else $PHOSPHENE_BACKEND, else cpu)", 90},
    {"plan", KEY_PLAN, "auto|packed|streamed", 0,
     "Weights packed and kept, or read from the file whenever they are used: less memory, slower "
     "for "
     "few rows (auto: packed if all of them fit)",
     90},
    {"seed", KEY_SEED, "N", 0, "Seed of all random numbers (0)", 90},
    {"bos", KEY_BOS, "auto|on|off", 0,
     "A hidden first token before the text: BOS or end-of-text (auto); off is the page's setting",
     90},
    {"prefix", KEY_PREFIX, "TEXT", 0, "Fixed text before the searched or given one", 90},
    {"suffix", KEY_SUFFIX, "TEXT", 0, "Fixed text after it", 90},
    {"chat", KEY_CHAT, NULL, 0,
     "Put all that in a user's turn of the model's own chat format, as its template prints it", 90},
    {"reduce", KEY_REDUCE, "mean|max|last", 0,
     "How a region's tokens become one activation (mean; max for neurons and logits)", 90},
    {"sign", KEY_SIGN, "+|-|both", 0,
     "Look for the highest (+) or the lowest (-) activation; dream also for both", 90},
    {"no-cache", KEY_NO_CACHE, NULL, 0, "Neither read nor write complete searches done before", 90},
    {"store", KEY_STORE, "FILE", 0,
     "Keep what dream, scan and recover find there (else $PHOSPHENE_STORE, else store.sqlite in "
     "the "
     "user's data folder); score and attribute keep only where this is given",
     90},
    {"no-store", KEY_NO_STORE, NULL, 0, "Keep nothing", 90},
    {"json", KEY_JSON, NULL, 0, "JSON Lines on stdout", 90},
    {"quiet", 'q', NULL, 0, "No progress, no summary", 90},
    {"verbose", 'v', NULL, 0, "More detail", 90},
    {0}};

/* ---- values ---- */

void usage_error(const struct argp_state *state, const char *format, ...)
{
    va_list ap;
    fprintf(stderr, "%s: ", state->name);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputs("\n", stderr);
    exit(EXIT_USAGE);
}

long long parse_integer(struct argp_state *state, const char *option, const char *arg,
                        long long min, long long max)
{
    char *end;
    errno = 0;
    long long v = strtoll(arg, &end, 10);
    if (*end || end == arg) usage_error(state, "--%s %s: expected a whole number", option, arg);
    if (!errno && v >= min && v <= max) return v;
    if (max == INT64_MAX) usage_error(state, "--%s %s: expected at least %lld", option, arg, min);
    usage_error(state, "--%s %s: expected %lld to %lld", option, arg, min, max);
}

double parse_real(struct argp_state *state, const char *option, const char *arg)
{
    char *end;
    double v = strtod(arg, &end);
    if (*end || end == arg || !isfinite(v))
        usage_error(state, "--%s %s: expected a number", option, arg);
    return v;
}

/* One end of --eta: a number, perhaps with rms behind it. */
static double eta_end(struct argp_state *state, char *text, bool *rms)
{
    const size_t n = strlen(text);
    *rms = n > 3 && strcmp(text + n - 3, "rms") == 0;
    if (*rms) text[n - 3] = 0;
    return parse_real(state, "eta", text);
}

void parse_eta(struct argp_state *state, const char *arg, double *first, bool *first_rms,
               double *last, bool *last_rms)
{
    char *copy = strdup(arg), *colon = copy ? strchr(copy, ':') : NULL;
    if (!colon) usage_error(state, "--eta %s: expected two step sizes, as in 1:0.1", arg);
    *colon = 0;
    *first = eta_end(state, copy, first_rms);
    *last = eta_end(state, colon + 1, last_rms);
    free(copy);
}

void need_specs(const struct common *c, struct argp_state *state)
{
    if (c->n_words == 0) usage_error(state, "which feature? for example 'block 8 [:, :, 0-4]'");
}

int choose(struct argp_state *state, const char *option, const char *arg, const char *const *list,
           const char *expected)
{
    for (int i = 0; list[i]; i++)
        if (strcmp(arg, list[i]) == 0) return i;
    usage_error(state, "--%s %s: expected %s", option, arg, expected);
}

static int parse_context(int key, char *arg, struct common *c, struct argp_state *state)
{
    static const char *const bos[] = {"auto", "on", "off", NULL};
    static const char *const reduce[] = {"mean", "max", "last", NULL};
    static const char *const sign[] = {"-", "+", "both", NULL};

    switch (key) {
    case KEY_BOS: c->run.bos = (ph_bos)choose(state, "bos", arg, bos, "auto, on or off"); break;
    case KEY_REDUCE:
        c->run.reduce =
            (ph_reduce)(PH_REDUCE_MEAN + choose(state, "reduce", arg, reduce, "mean, max or last"));
        break;
    case KEY_SIGN: {
        const int which = choose(state, "sign", arg, sign, "+, - or both");
        if (which == 2 && !c->signs) usage_error(state, "--sign both: this command takes + or -");
        c->both = which == 2;
        c->run.sign = which ? 1 : -1;
        break;
    }
    case KEY_PREFIX: c->run.prefix = arg; break;
    case KEY_SUFFIX: c->run.suffix = arg; break;
    case KEY_CHAT: c->run.chat = true; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* What stands behind a prefix, NULL if it does not stand there. */
static const char *behind(const char *arg, const char *prefix)
{
    const size_t n = strlen(prefix);
    return strncmp(arg, prefix, n) == 0 ? arg + n : NULL;
}

/* -m FILE, -m untrained:FILE or -m shape:NAME:FILE */
void add_model(struct common *c, const char *arg, struct argp_state *state)
{
    const int most = c->several ? (int)(sizeof c->models / sizeof *c->models) : 1;
    const char *untrained = behind(arg, "untrained:"), *shape = behind(arg, "shape:");
    const char *colon = shape ? strchr(shape, ':') : NULL;
    struct model_choice *m = &c->models[c->n_models];

    if (c->n_models == most)
        usage_error(state, "--model %s: this command takes %d model%s", arg, most,
                    most == 1 ? "" : "s");
    if (shape && !colon) usage_error(state, "--model %s: expected shape:NAME:FILE", arg);
    m->path = strdup(shape ? colon + 1 : untrained ? untrained : arg);
    m->shape = shape ? strndup(shape, (size_t)(colon - shape)) : NULL;
    m->options.untrained = untrained;
    c->n_models++;
}

static int parse_model(int key, char *arg, ph_model_options *o, struct argp_state *state)
{
    switch (key) {
    case KEY_THREADS: o->threads = (int)parse_integer(state, "threads", arg, 1, 4096); break;
    case KEY_BACKEND: o->backend = arg; break;
    case KEY_PLAN: o->plan = arg; break;
    case KEY_UNTRAINED: o->untrained = true; break;
    case KEY_SHAPE: o->shape = arg; break;
    case KEY_BLOCKS: o->blocks = parse_integer(state, "blocks", arg, 1, 4096); break;
    case KEY_INIT_SEED:
        o->untrained_seed = (uint64_t)parse_integer(state, "init-seed", arg, 0, INT64_MAX);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void check_store(const struct common *c, struct argp_state *state)
{
    if (!c->store) return;
    if (!*c->store) usage_error(state, "--store: expected the name of a file");
    if (c->no_store) usage_error(state, "--store and --no-store: one of them");
    if (c->keeps == KEEPS_NOTHING) usage_error(state, "--store: this command keeps nothing");
}

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
    struct common *c = state->input;
    switch (key) {
    case 'm': add_model(c, arg, state); break;
    case KEY_SEED: c->run.seed = (uint64_t)parse_integer(state, "seed", arg, 0, INT64_MAX); break;
    case KEY_JSON: c->json = true; break;
    case KEY_NO_CACHE: c->no_cache = true; break;
    case KEY_STORE: c->store = arg; break;
    case KEY_NO_STORE: c->no_store = true; break;
    case 'q': c->quiet = true; break;
    case 'v': c->verbose = true; break;
    case ARGP_KEY_ARGS:
        c->words = state->argv + state->next;
        c->n_words = state->argc - state->next;
        break;
    case ARGP_KEY_END: check_store(c, state); break;
    default:
        if (parse_model(key, arg, &c->model, state) == 0) return 0;
        return parse_context(key, arg, c, state);
    }
    return 0;
}

const struct argp common_argp = {options, parse_common, NULL, NULL, NULL, NULL, NULL};

/* ---- places ---- */

/* $variable/phosphene, or ~/fallback/phosphene; to be freed. */
static char *user_folder(const char *variable, const char *fallback)
{
    const char *base = getenv(variable), *home = getenv("HOME");
    char *out = NULL;
    int n = base && *base ? asprintf(&out, "%s/phosphene", base)
                          : asprintf(&out, "%s/%s/phosphene", home ? home : "/", fallback);
    return n < 0 ? NULL : out;
}

char *user_file(const char *name)
{
    char *folder = user_folder("XDG_DATA_HOME", ".local/share"), *path = NULL;
    if (!folder || asprintf(&path, "%s/%s", folder, name) < 0) path = NULL;
    free(folder);
    return path;
}

static char *default_model(void)
{
    const char *given = getenv("PHOSPHENE_MODEL");
    if (given && *given) return strdup(given);
    return user_file(DEFAULT_MODEL);
}

void make_folder_of(const char *path)
{
    char *folder = path ? strdup(path) : NULL;
    if (!folder) return;
    for (char *p = folder + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        mkdir(folder, 0755);
        *p = '/';
    }
    free(folder);
}

/* The cache folder, made if need be; NULL where that cannot be. */
static char *cache_folder(void)
{
    char *folder = user_folder("XDG_CACHE_HOME", ".cache");
    if (!folder) return NULL;
    make_folder_of(folder);
    mkdir(folder, 0755);
    if (access(folder, W_OK) == 0) return folder;
    free(folder);
    return NULL;
}

/* The default model where none was named, where each lies, and every model's own options. */
static void settle_models(struct common *c)
{
    ph_error err = {0};
    if (c->n_models == 0) c->models[c->n_models++].path = default_model();
    for (int i = 0; i < c->n_models; i++) {
        const bool untrained = c->models[i].options.untrained;
        if (hub_resolve(&c->models[i].path, &err) != PH_OK) {
            print_error(c, &err, NULL);
            exit(EXIT_FAILURE);
        }
        c->models[i].options = c->model;
        c->models[i].options.untrained |= untrained;
        if (c->models[i].shape) c->models[i].options.shape = c->models[i].shape;
    }
}

/* "-block 8 [:, :, 3]", "-2*dir:x.npy @ embed" */
static bool is_negated_spec(const char *arg)
{
    static const char *const begins[] = {"block",  "only",  "embed", "final",
                                         "logits", "hook_", "dir:",  "sae:"};
    if (*arg++ != '-' || !strpbrk(arg, "[@")) return false;
    arg += strspn(arg, " ");
    if (*arg >= '0' && *arg <= '9') return strchr(arg, '*') != NULL;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncmp(arg, begins[i], strlen(begins[i])) == 0) return true;
    return false;
}

/* Whether what comes behind this word is its argument: "--prefix", "-m". */
static bool takes_next(const struct argp *argp, const char *word)
{
    const bool is_long = word[0] == '-' && word[1] == '-' && word[2];
    if (word[0] != '-' || (!is_long && (!word[1] || word[2]))) return false;
    for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc); o++) {
        const bool named = is_long ? o->name && strncmp(o->name, word + 2, strlen(word + 2)) == 0
                                   : o->key == word[1];
        if (named && o->arg) return true;
    }
    for (const struct argp_child *c = argp->children; c && c->argp; c++)
        if (takes_next(c->argp, word)) return true;
    return false;
}

/* argp takes what begins with a minus for an option: while it parses, a blank stands in front. */
static void protect_negated(struct common *c, const struct argp *argp, int argc, char **argv)
{
    c->negated = calloc((size_t)argc, sizeof *c->negated);
    for (int i = 1; c->negated && i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_negated_spec(argv[i]) && !takes_next(argp, argv[i - 1]) &&
            asprintf(&c->negated[c->n_negated], " %s", argv[i]) > 0)
            argv[i] = c->negated[c->n_negated++];
}

/* What was typed is what counts: the words are read past that blank. */
static void restore_negated(struct common *c)
{
    for (int i = 0; i < c->n_words; i++)
        for (size_t n = 0; n < c->n_negated; n++)
            if (c->words[i] == c->negated[n]) c->words[i]++;
}

void parse_options(struct common *c, const struct argp *argp, int argc, char **argv)
{
    const ph_run_options run = PH_RUN_OPTIONS_INIT;
    const ph_model_options model = PH_MODEL_OPTIONS_INIT;
    const char *backend = getenv("PHOSPHENE_BACKEND");
    char *name = NULL;

    c->run = run;
    c->model = model;
    if (backend && *backend) c->model.backend = backend;
    c->command = argv[0];
    if (asprintf(&name, "phosphene %s", argv[0]) > 0) argv[0] = name;
    argp_err_exit_status = EXIT_USAGE;
    protect_negated(c, argp, argc, argv);
    argp_parse(argp, argc, argv, 0, NULL, c);
    restore_negated(c);
    argv[0] = (char *)(uintptr_t)c->command;
    free(name);
    if (!c->no_model) settle_models(c);
    if (!c->no_cache && !c->no_model) c->cache = cache_folder();
    c->run.cache = c->cache;
    progress_attach(&c->run, c->quiet);
}

void common_free(struct common *c)
{
    for (int i = 0; i < c->n_models; i++) {
        free(c->models[i].path);
        free(c->models[i].shape);
    }
    for (size_t i = 0; i < c->n_negated; i++) free(c->negated[i]);
    free(c->negated);
    free(c->cache);
}

/* ---- errors and the end ---- */

/* The first n bytes of s take this many columns once cleaned: each character or stray byte one. */
static int columns(const char *s, int64_t n)
{
    char *clean = NULL;
    int count = 0;
    if (ph_utf8_clean(&clean, s, (size_t)n, NULL) != PH_OK) return 0;
    for (const char *p = clean; *p; p++) count += ((unsigned char)*p & 0xc0) != 0x80;
    ph_free(clean);
    return count;
}

/* The source with a caret under pos; line breaks and control bytes become blanks. */
static void print_caret(const char *source, int64_t pos)
{
    char *clean = NULL;
    if (ph_utf8_clean(&clean, source, strlen(source), NULL) != PH_OK) return;
    for (char *p = clean; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = ' ';
    fprintf(stderr, "  %s\n  %*s^\n", clean, columns(source, pos), "");
    ph_free(clean);
}

ph_status fail_with(ph_error *err, ph_status code, const char *format, ...)
{
    va_list ap;
    *err = (ph_error){.code = code, .pos = -1};
    va_start(ap, format);
    vsnprintf(err->msg, sizeof err->msg, format, ap);
    va_end(ap);
    return code;
}

char *join_words(char **words, int n)
{
    char *out = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&out, &size);
    if (!f) return NULL;
    for (int i = 0; i < n; i++) fprintf(f, "%s%s", i ? ", " : "", words[i]);
    fclose(f);
    return out;
}

void print_error(const struct common *c, const ph_error *err, const char *source)
{
    fprintf(stderr, "phosphene %s: %s\n", c->command, err->msg);
    if (source && err->pos >= 0 && (err->code == PH_ESPEC || err->code == PH_ERANGE) &&
        (size_t)err->pos <= strlen(source))
        print_caret(source, err->pos);
}

static bool is_usage(ph_status st)
{
    return st == PH_EINVAL || st == PH_ESPEC || st == PH_ERANGE;
}

int finish(const struct common *c, ph_status st, const ph_error *err, const char *source)
{
    progress_clear();
    if (output_errno()) {
        fprintf(stderr, "phosphene %s: results could not be written: %s\n", c->command,
                strerror(output_errno()));
        return EXIT_FAILURE;
    }
    if (st == PH_OK) return EXIT_SUCCESS;
    if (st == PH_ECANCELED && progress_interrupted()) {
        fprintf(stderr, "phosphene %s: interrupted; what was done stands above\n", c->command);
        return EXIT_INTERRUPTED;
    }
    print_error(c, err, source);
    return is_usage(st) ? EXIT_USAGE : EXIT_FAILURE;
}

json_t *common_settings(const struct common *c)
{
    static const char *const bos[] = {"auto", "on", "off"};
    static const char *const reduce[] = {"default", "mean", "max", "last"};
    return json_pack("{s:s, s:s?, s:s?, s:s, s:s}", "bos", bos[c->run.bos], "prefix", c->run.prefix,
                     "suffix", c->run.suffix, "reduce", reduce[c->run.reduce], "sign",
                     c->both           ? "both"
                     : c->run.sign < 0 ? "-"
                                       : "+");
}
