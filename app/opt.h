/* opt.h — what every command shares: common options, the model, errors and the end. */
#ifndef OPT_H
#define OPT_H

#include <argp.h>
#include <jansson.h>
#include <phosphene.h>

/* One command: a row of main.c's table, a file cmd_*.c. */
struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
};

int cmd_dream(int argc, char **argv);
int cmd_scan(int argc, char **argv);
int cmd_corpus(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_attribute(int argc, char **argv);
int cmd_effect(int argc, char **argv);
int cmd_near(int argc, char **argv);
int cmd_recover(int argc, char **argv);
int cmd_sweep(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_store(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_pull(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_compare_models(int argc, char **argv);
int cmd_bench(int argc, char **argv);

enum { EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* Whether a command's lines go to the store. */
enum keeps { KEEPS_NOTHING, KEEPS_IF_ASKED, KEEPS };

/* Filled by common_argp; a command's own options struct begins with it. */
struct common {
    const char *command;
    bool signs;        /* set before parse_options by a command that takes --sign both … */
    bool both;         /* … which then was given */
    bool several;      /* set before parse_options by a command that takes more than one -m */
    bool no_model;     /* set before parse_options by a command that opens none */
    enum keeps keeps;  /* set before parse_options */
    const char *store; /* --store, borrowed; NULL: not given */
    bool no_store;
    struct keep *keep; /* what became of that; see keep.h */
    struct model_choice {
        char *path;  /* owned */
        char *shape; /* of shape:NAME:FILE, owned; NULL: as the options say */
        ph_model_options options;
    } models[8];
    int n_models;           /* at least 1 */
    ph_model_options model; /* what the options say of all of them */
    ph_run_options run;
    char *cache; /* owned; NULL: none */
    bool json, quiet, verbose, no_cache;
    char **negated; /* n_negated: what stands in for words that begin with a minus, owned */
    size_t n_negated;
    char **words; /* positional arguments, borrowed from argv */
    int n_words;
};

/* The common options, to be a child of a command's argp; its input is the struct common. */
extern const struct argp common_argp;

/* Defaults, then the command's own parser over argv; a mistake ends the program with status 2. A spec
 * that begins with a minus, '-block 8 [:, :, 3]', is none of argp's options. */
void parse_options(struct common *c, const struct argp *argp, int argc, char **argv);
void common_free(struct common *c);

/* A mistake in the command line: one line on stderr, and the program ends with status 2. */
__attribute__((noreturn, format(printf, 2, 3))) void usage_error(const struct argp_state *state,
                                                                 const char *format, ...);
/* Numbers of options: a mistake is a usage error that names the option. */
long long parse_integer(struct argp_state *state, const char *option, const char *arg,
                        long long min, long long max);
/* The place of arg in a list that ends with NULL; `expected` names them. */
int choose(struct argp_state *state, const char *option, const char *arg, const char *const *list,
           const char *expected);
double parse_real(struct argp_state *state, const char *option, const char *arg);
/* The value of --eta, "A:B": step sizes at the beginning and the end, each perhaps with rms behind
 * it. */
void parse_eta(struct argp_state *state, const char *arg, double *first, bool *first_rms,
               double *last, bool *last_rms);

/* Take one more model, as -m says it; while options are parsed. */
void add_model(struct common *c, const char *arg, struct argp_state *state);

/* A usage error where no word is left that could be a spec; for ARGP_KEY_END. */
void need_specs(const struct common *c, struct argp_state *state);

/* Fill an error of the program's own, and return its code. */
__attribute__((format(printf, 3, 4))) ph_status fail_with(ph_error *err, ph_status code,
                                                          const char *format, ...);
/* Words, comma-joined, to be freed; NULL: no memory. */
char *join_words(char **words, int n);
/* Print an error; pos is shown by a caret under `source` where that is not NULL. */
void print_error(const struct common *c, const ph_error *err, const char *source);
/* The exit status of a finished command: prints the error if there is one, notices a stdout that
 * could not be written, and turns statuses into 0, 1, 2 or 130. */
int finish(const struct common *c, ph_status st, const ph_error *err, const char *source);

/* A file of the user's own data folder, to be freed; NULL if out of memory. */
char *user_file(const char *name);
/* Make the folders that a path lies in, as far as that goes. */
void make_folder_of(const char *path);

/* Options as JSON for the run line, to which a command adds its own. */
json_t *common_settings(const struct common *c);

#endif
