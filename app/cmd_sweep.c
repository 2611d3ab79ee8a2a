/* cmd_sweep.c — phosphene sweep: many features of many models, unit by unit, resumable.
 *
 * One loop for every process: take a unit, search it, put its lines. Only where leases come from, and where
 * lines go, differs: a process and its workers ask the store, a rank asks rank 0 and writes a shard.
 */
#include "keep.h"
#include "output.h"
#include "progress.h"
#include "sweep/crew.h"
#include "sweep/ranks.h"
#include "sweep/status.h"
#include "sweep/work.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct sweep {
    struct plan plan; /* first: common_argp sees it */
    struct units units;
    struct book book; /* of another rank: of its shard */
    struct work work;
    char *path;  /* of the store */
    char *shard; /* of another rank */
    char owner[192];
    struct ranks *ranks; /* NULL: no MPI job */
    int rank, size;
    long long unit; /* under way */
    double renewed, shown, pause;
    char **argv; /* as it was given */
};

enum {
    KEY_FEATURES = 2000,
    KEY_METHOD,
    KEY_SEED,
    KEY_UNIT,
    KEY_LIST,
    KEY_LEASE,
    KEY_WORKERS,
    KEY_WORKER,
    KEY_STATUS
};

static const struct argp_option options[] = {
    {"features", KEY_FEATURES, "SPEC", 0, "Which features; may be given several times", 0},
    {"method", KEY_METHOD, "NAME", 0,
     "scan, or a method of dream (auto); may be given several times", 0},
    {"seed", KEY_SEED, "N", 0, "Seed of all random numbers (0); may be given several times", 0},
    {"unit", KEY_UNIT, "N", 0,
     "Features of a unit, the least that is done at once and lost at a kill (64); a scan's units "
     "are whole places",
     0},
    {"scan-top", KEY_LIST, "K", 0, "Length of a scan's lists (10)", 0},
    {"workers", KEY_WORKERS, "N", 0,
     "Processes of this machine that share the work (1), each with --threads threads (here 1), and "
     "each with its own copy of the packed weights",
     0},
    {"lease", KEY_LEASE, "S", 0,
     "A worker that says nothing for S seconds loses its unit to others (300)", 0},
    {"status", KEY_STATUS, NULL, 0, "How far the sweeps of the store are; nothing is done", 0},
    {"worker", KEY_WORKER, NULL, OPTION_HIDDEN, NULL, 0},
    {0}};

/* ---- options ---- */

static void add_features(struct plan *p, const char *arg, struct argp_state *state)
{
    if (p->n_features == PLAN_FEATURES) usage_error(state, "--features: at most %d", PLAN_FEATURES);
    if (!arg[strspn(arg, " \t")]) usage_error(state, "--features: expected a spec");
    p->features[p->n_features++] = (struct plan_features){arg, plan_line(p, state->next - 1)};
}

static void add_method(struct plan *p, const char *arg, struct argp_state *state)
{
    if (strcmp(arg, "scan") != 0 && !is_method(arg))
        usage_error(state, "--method %s: expected scan or a method of dream", arg);
    if (p->n_methods == PLAN_METHODS) usage_error(state, "--method: at most %d", PLAN_METHODS);
    for (int i = 0; i < p->n_methods; i++)
        if (strcmp(p->methods[i], arg) == 0) return;
    p->methods[p->n_methods++] = arg;
}

static void add_seed(struct plan *p, const char *arg, struct argp_state *state)
{
    const uint64_t seed = (uint64_t)parse_integer(state, "seed", arg, 0, INT64_MAX);
    if (p->n_seeds == PLAN_SEEDS) usage_error(state, "--seed: at most %d", PLAN_SEEDS);
    for (int i = 0; i < p->n_seeds; i++)
        if (p->seeds[i] == seed) return;
    p->seeds[p->n_seeds++] = seed;
}

/* What no method looks at is in the runs' settings all the same: a sweep that was begun with it goes
 * on. */
static void warn_of_unused(const struct plan *p)
{
    char *unused = dreaming_unused(&p->dreaming, p->methods, p->n_methods);
    if (unused && !p->worker) fprintf(stderr, "phosphene sweep: %s\n", unused);
    free(unused);
}

/* What was not said, and what does not go together. */
static void settle(struct plan *p, struct argp_state *state)
{
    if (p->dry || p->status) return;
    if (p->n_features == 0)
        usage_error(state, "which features? a plan file, or --features 'block 8 [:, :, :]'");
    if (p->dreaming.o.seconds > 0)
        usage_error(state,
                    "--time: what a unit finds must not depend on the machine; use --budget");
    if (p->common.no_store) usage_error(state, "--no-store: a sweep lives in its store");
    if (p->n_methods == 0)
        p->methods[p->n_methods++] = p->dreaming.descends ? "descent" : p->dreaming.o.method;
    if (p->n_seeds == 0) p->seeds[p->n_seeds++] = 0;
    warn_of_unused(p);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct plan *p = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &p->common;
        state->child_inputs[1] = &p->dreaming;
        break;
    case KEY_FEATURES: add_features(p, arg, state); break;
    case KEY_METHOD: add_method(p, arg, state); break;
    case KEY_SEED: add_seed(p, arg, state); break;
    case KEY_UNIT: p->unit = parse_integer(state, "unit", arg, 1, 1000000); break;
    case KEY_LIST: p->list = parse_integer(state, "scan-top", arg, 1, 1000000); break;
    case KEY_LEASE: p->lease = parse_integer(state, "lease", arg, 1, 10000000); break;
    case KEY_WORKERS: p->workers = (int)parse_integer(state, "workers", arg, 1, 4096); break;
    case KEY_WORKER: p->worker = true; break;
    case KEY_STATUS: p->status = true; break;
    case ARGP_KEY_END: settle(p, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {
    {&common_argp, 0, NULL, 0}, {&dreaming_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "[PLAN]",
    "Search many features, of several models if need be, into a store: every line of features with "
    "every method and every seed, in units of --unit features. Killed or interrupted, the same "
    "command goes on: what is done stands in the store, and only units under way are lost."
    "\v"
    "PLAN is a file of options, one a line and without the dashes, '#' begins a comment:\n\n"
    "  # the atlas of one model\n"
    "  model    = models/SmolLM2-135M-Instruct.Q4_1.gguf\n"
    "  store    = atlas.sqlite\n"
    "  features = block 1 [:, :, 0-575]\n"
    "  features = block 2 [:, :, 0-575]\n"
    "  method   = scan\n"
    "  method   = auto\n"
    "  budget   = 2000\n"
    "  unit     = 64\n\n"
    "What stands on the command line adds to the plan, or goes before it. The results depend on "
    "the plan alone, not on how many workers or ranks share it. Under mpirun or srun (if built "
    "with MPI) every rank works, rank 0 hands out the units, and the ranks' results are merged "
    "into the store at the end: docs/SCALE.md.\n\n"
    "Examples:\n"
    "  phosphene sweep --features 'block 8 [:, :, 0-99]' --method scan --method auto\n"
    "  phosphene sweep plan.txt --workers 2\n"
    "  phosphene sweep plan.txt --status\n"
    "  mpirun -n 4 phosphene sweep plan.txt\n"
    "  phosphene export --store atlas.sqlite > atlas.jsonl\n",
    children,
    NULL,
    NULL};

static void plan_defaults(struct plan *p)
{
    const ph_dream_options defaults = PH_DREAM_OPTIONS_INIT;
    p->dreaming.o = defaults;
    p->common.several = true;
    p->common.keeps = KEEPS;
    p->unit = 64;
    p->list = 10;
    p->lease = 300;
    p->workers = 1;
}

/* The plan's file among the words of the command line. Looked for with options that are parsed again
 * later. */
static const char *find_plan(int argc, char **argv)
{
    struct plan *scratch = calloc(1, sizeof *scratch);
    char **copy = calloc((size_t)argc + 1, sizeof *copy), name[] = "phosphene sweep";
    const char *path = NULL;

    if (!scratch || !copy) exit(EXIT_FAILURE);
    memcpy(copy, argv, (size_t)argc * sizeof *copy);
    copy[0] = name;
    plan_defaults(scratch);
    scratch->dry = true;
    argp_err_exit_status = EXIT_USAGE;
    argp_parse(&argp, argc, copy, 0, NULL, scratch);
    if (scratch->common.n_words > 1) {
        fprintf(stderr, "phosphene sweep: %s: one plan, please; features are --features SPEC\n",
                scratch->common.words[1]);
        exit(EXIT_USAGE);
    }
    if (scratch->common.n_words) path = scratch->common.words[0];
    plan_free(scratch);
    free(scratch);
    free(copy);
    return path;
}

/* The plan's lines as options, then the command line's own. */
static char **join_arguments(const struct plan *p, int argc, char **argv)
{
    char **all = calloc((size_t)(argc + p->n_args) + 1, sizeof *all);
    if (!all) exit(EXIT_FAILURE);
    all[0] = argv[0];
    for (int i = 0; i < p->n_args; i++) all[1 + i] = p->args[i];
    for (int i = 1; i < argc; i++) all[p->n_args + i] = argv[i];
    return all;
}

/* Threads of a unit are the plan's: one, unless said. */
static void settle_threads(struct plan *p)
{
    for (int i = 0; i < p->common.n_models; i++)
        if (!p->common.models[i].options.threads) p->common.models[i].options.threads = 1;
}

/* ---- progress ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void clear_line(void)
{
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
}

static double pace_of_showing(void)
{
    return isatty(STDERR_FILENO) ? 2 : 60;
}

/* Now and then a line: on a terminal over the last one, else every minute. Reading takes time where
 * there are many units: never more than a hundredth of it. */
static void show(struct sweep *s, bool last)
{
    const bool terminal = isatty(STDERR_FILENO);
    const double t = now();
    struct status status;
    ph_error err;

    if (s->plan.common.quiet || s->plan.worker || s->rank) return;
    if (!last && t - s->shown < s->pause) return;
    if (status_read(&status, s->book.store, &s->units, &err) == PH_OK) {
        clear_line();
        status_line(&status, stderr);
        if (last) fprintf(stderr, ", in %s", s->path);
        if (!terminal || last) fputs("\n", stderr);
    }
    status_free(&status);
    s->shown = now();
    s->pause = pace_of_showing();
    if (s->pause < 100 * (s->shown - t)) s->pause = 100 * (s->shown - t);
}

/* ---- leases: of the store, or of rank 0 ---- */

static bool asks_rank_0(const struct sweep *s)
{
    return s->ranks && s->rank > 0;
}

static ph_status take(struct sweep *s, ph_error *err)
{
    const ph_status st = asks_rank_0(s) ? ranks_take(s->ranks, &s->unit, err)
                                        : book_take(&s->book, s->owner, &s->unit, err);
    s->renewed = now();
    return st;
}

static ph_status release(struct sweep *s, ph_error *err)
{
    return asks_rank_0(s) ? ranks_release(s->ranks, s->unit, err)
                          : book_release(&s->book, s->owner, s->unit, err);
}

/* Into the shard first: what rank 0 counts as done is on the disk. */
static ph_status finish_unit(struct sweep *s, ph_error *err)
{
    struct work *w = &s->work;
    const ph_status st = book_finish(&s->book, s->owner, s->unit, w->lines, w->n_lines, err);
    return st == PH_OK && asks_rank_0(s) ? ranks_finish(s->ranks, s->unit, err) : st;
}

/* The search's own progress says that this process lives: a hung one says nothing. */
static int report(const char *stage, double done, void *payload)
{
    struct sweep *s = payload;
    ph_error err;
    (void)stage;
    (void)done;
    if (now() - s->renewed > (double)s->plan.lease / 4) {
        s->renewed = now();
        (void)(asks_rank_0(s) ? ranks_renew(s->ranks, s->unit, &err)
                              : book_renew(&s->book, s->owner, s->unit, &err));
    }
    show(s, false);
    return progress_interrupted();
}

/* ---- the loop ---- */

static void pause_between(void)
{
    const struct timespec t = {0, 100000000};
    nanosleep(&t, NULL);
}

static ph_status interrupted(ph_error *err)
{
    *err = (ph_error){PH_ECANCELED, -1, "interrupted"};
    return PH_ECANCELED;
}

static void print_unit(const struct sweep *s)
{
    if (!s->plan.common.json) return;
    puts(s->work.lines[s->work.n_lines - 1]);
    output_now();
}

static ph_status one_unit(struct sweep *s, ph_error *err)
{
    ph_error ignored;
    ph_status st = work_unit(&s->work, s->unit, err);
    if (st == PH_OK) st = finish_unit(s, err);
    if (st == PH_OK)
        print_unit(s);
    else
        (void)release(s, &ignored);
    return st;
}

static ph_status work_on(struct sweep *s, ph_error *err)
{
    ph_status st = PH_OK;
    for (;;) {
        if (progress_interrupted()) return interrupted(err);
        if ((st = take(s, err)) != PH_OK || s->unit == BOOK_DONE) return st;
        if (s->unit == BOOK_WAIT)
            pause_between();
        else if ((st = one_unit(s, err)) != PH_OK)
            return st;
        show(s, false);
    }
}

/* ---- with workers ---- */

static bool all_done(struct sweep *s)
{
    ph_error err;
    if (book_look(&s->book, &err) != PH_OK) return false;
    for (size_t i = 0; i < s->units.n; i++)
        if (!s->book.done[i]) return false;
    return true;
}

static ph_status end_of_crew(struct sweep *s, const struct crew *c, ph_error *err)
{
    if (progress_interrupted()) return interrupted(err);
    if (all_done(s)) return PH_OK;
    *err = (ph_error){.code = PH_EIO, .pos = -1};
    snprintf(err->msg, sizeof err->msg, "%s; the same command goes on from there",
             crew_failed(c) ? "a worker failed" : "all workers were killed");
    return err->code;
}

/* Watch: whoever hangs when all is done, or when all are to stop, is ended. */
static ph_status lead(struct sweep *s, ph_error *err)
{
    const double patience = 10;
    double stopping = 0;
    struct crew *c = crew_start(s->plan.workers, s->argv);

    if (!c) {
        *err = (ph_error){PH_EIO, -1, "workers could not be started"};
        return PH_EIO;
    }
    for (int i = 0; crew_look(c) > 0; i++) {
        pause_between();
        show(s, false);
        if (stopping == 0 && (progress_interrupted() || (i % 20 == 19 && all_done(s)))) {
            stopping = now();
            if (progress_interrupted()) crew_stop(c, false);
        }
        if (stopping > 0 && now() - stopping > patience) crew_stop(c, true);
    }
    const ph_status st = end_of_crew(s, c, err);
    crew_free(c);
    return st;
}

/* ---- as a rank ---- */

static ph_status be_rank_0(struct sweep *s, ph_error *err, bool *hung)
{
    ph_error late = {0};
    ph_status st = book_begin(&s->book, s->path, true, err), end;

    if (st == PH_OK) st = ranks_serve(s->ranks, s->path, &s->units, (double)s->plan.lease, err);
    if (st == PH_OK) st = work_on(s, err);
    const double patience = st == PH_OK ? (double)s->plan.lease : st == PH_ECANCELED ? 10 : 0;
    end = ranks_wait(s->ranks, patience, hung, &late);
    if (st == PH_OK && end != PH_OK) {
        *err = late;
        st = end;
    }
    if (*hung && st == PH_OK)
        fprintf(stderr, "phosphene sweep: a rank is silent; its units went to others\n");
    if (st == PH_OK) return book_merge_shards(&s->book, s->path, true, err);
    if (st == PH_ECANCELED && !*hung) (void)book_merge_shards(&s->book, s->path, true, &late);
    return st;
}

static ph_status be_rank(struct sweep *s, ph_error *err)
{
    const ph_status st = work_on(s, err);
    book_close(&s->book); /* before rank 0 merges it */
    return st;
}

/* ---- the command ---- */

static ph_status open_sweep(struct sweep *s, const char **source, ph_error *err)
{
    ph_status st;
    const char *path = s->path;

    if ((st = allow_open(&s->plan.dreaming.allow, err)) != PH_OK) return st;
    s->plan.dreaming.o.constraints = s->plan.dreaming.allow.c;
    if ((st = units_make(&s->units, &s->plan, source, err)) != PH_OK) return st;
    s->work = (struct work){.plan = &s->plan, .units = &s->units, .progress = report, .payload = s};
    if (asks_rank_0(s)) { /* which has taken in what lay beside the store when it answers */
        if ((st = ranks_hello(s->ranks, s->units.digest, err)) != PH_OK) return st;
        if (asprintf(&s->shard, "%s.rank-%04d", s->path, s->rank) < 0) return PH_ENOMEM;
        path = s->shard;
    } else if (!s->plan.common.store) {
        make_folder_of(s->path);
    }
    return book_open(&s->book, path, &s->units, (double)s->plan.lease, err);
}

static ph_status run_sweep(struct sweep *s, const char **source, ph_error *err, bool *hung)
{
    ph_status st = PH_OK;

    s->size = 1;
    s->shown = now();
    s->pause = pace_of_showing();
    if (ranks_started()) st = ranks_begin(&s->ranks, &s->rank, &s->size, err);
    if (st == PH_OK) st = open_sweep(s, source, err);
    if (st != PH_OK) return st;
    book_owner(s->owner, s->ranks != NULL);
    if (s->ranks) return s->rank ? be_rank(s, err) : be_rank_0(s, err, hung);
    if (s->plan.worker) crew_follow();
    if (!s->plan.worker) st = book_begin(&s->book, s->path, false, err);
    if (st == PH_OK) st = s->plan.workers > 1 && !s->plan.worker ? lead(s, err) : work_on(s, err);
    return st;
}

static ph_status print_status(const struct sweep *s, ph_error *err)
{
    struct status status = {0};
    ph_store *store = NULL;
    ph_status st = ph_store_open(&store, s->path, PH_STORE_READ, err);
    if (st == PH_OK) st = status_read(&status, store, NULL, err);
    if (st == PH_OK) status_print(&status, s->plan.common.json);
    status_free(&status);
    ph_store_close(&store);
    return st;
}

/* Ctrl-C is told once, by whoever was started by the user. */
static int end(struct sweep *s, ph_status st, const ph_error *err, const char *source)
{
    if (st == PH_ECANCELED && progress_interrupted()) {
        if (!s->plan.worker && s->rank == 0)
            fprintf(stderr, "phosphene sweep: interrupted; what is done is kept, and the same "
                            "command goes on\n");
        return EXIT_INTERRUPTED;
    }
    return finish(&s->plan.common, st, err, source);
}

/* What workers are started with. */
static char **arguments(int argc, char **argv)
{
    static char name[] = "phosphene";
    char **all = calloc((size_t)argc + 2, sizeof *all);
    if (!all) exit(EXIT_FAILURE);
    all[0] = name;
    memcpy(all + 1, argv, (size_t)argc * sizeof *all);
    return all;
}

int cmd_sweep(int argc, char **argv)
{
    struct sweep *s = calloc(1, sizeof *s);
    const char *source = NULL, *file;
    ph_error err = {0};
    bool hung = false;

    if (!s) return EXIT_FAILURE;
    s->argv = arguments(argc, argv);
    file = find_plan(argc, argv);
    plan_defaults(&s->plan);
    if (file) plan_read(&s->plan, file, &argp);
    char **all = join_arguments(&s->plan, argc, argv);
    parse_options(&s->plan.common, &argp, argc + s->plan.n_args, all);
    settle_threads(&s->plan);
    s->path = keep_path(&s->plan.common);
    ph_status st = !s->path         ? PH_ENOMEM
                   : s->plan.status ? print_status(s, &err)
                                    : run_sweep(s, &source, &err, &hung);
    if (st == PH_OK && !s->plan.status) show(s, true);
    const int status = end(s, st, &err, source);
    work_close(&s->work);
    book_close(&s->book);
    ranks_end(&s->ranks, status, hung);
    units_free(&s->units);
    plan_free(&s->plan);
    free(s->shard);
    free(s->path);
    free(s->argv);
    free(all);
    free(s);
    return status;
}
