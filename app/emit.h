/* emit.h — JSON Lines: one compact object a line, and the run line in front. */
#ifndef EMIT_H
#define EMIT_H

#include "opt.h"

/* Print an object and free it. */
void emit(json_t *line);

/* Print it with --json, keep it if the command keeps its lines, and free it; nonzero if the command must
 * stop. NULL allowed. */
int deliver(const struct common *c, json_t *line);
/* Whether anybody wants lines. */
bool delivering(const struct common *c);

/* What a run is of. */
struct run_of {
    const ph_model *model;       /* NULL: a file that holds a vocabulary only */
    const ph_features *features; /* NULL: none; the files that they read are told by their sha256 */
    const int32_t *context;      /* n_context, see ph_context */
    size_t n_context;
    const char *input;
};
/* *out = the run line; *id (17 bytes) names the run in every other line. settings is taken over. */
ph_status run_line(json_t **out, char id[17], const struct common *c, const struct run_of *of,
                   json_t *settings, ph_error *err);
/* … and deliver it. */
ph_status emit_run(char id[17], const struct common *c, const struct run_of *of, json_t *settings,
                   ph_error *err);

/* Set NAME to a file's path and NAME_sha256 to that of the n bytes that it held: the name alone does
 * not tell one run from another. */
void set_file(json_t *settings, const char *name, const char *path, const void *bytes, size_t n);

/* Pieces for lines. NaN and infinity become null. */
json_t *number(double v);
json_t *numbers(const double *v, size_t n);
json_t *integers(const int32_t *v, size_t n);
json_t *utf8(const char *bytes, size_t n);
json_t *token_text(const ph_tokenizer *t, int32_t id);
/* [{"id","token",VALUE},…], VALUE the name of what the tokens are listed by. */
json_t *token_list(const ph_tokenizer *t, const ph_near *list, size_t n, const char *value);
/* {"0.001":…,…} of PH_QUANTILES values; the name of a level. */
json_t *quantiles(const double *values);
const char *level_name(char out[16], size_t i);
/* Set "tokens", and "token_bytes" where a piece is not valid UTF-8. */
void set_tokens(json_t *line, const ph_tokenizer *t, const int32_t *ids, size_t n);

#endif
