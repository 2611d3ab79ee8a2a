/* search.h — what the commands that search have in common: a model and features. */
#ifndef SEARCH_H
#define SEARCH_H

#include "emit.h"

/* An open model with the features of a command line. */
struct subject {
    ph_model *model;
    ph_features *features;
    char *specs; /* all specs, comma-joined: what errors point into */
    int32_t *context;
    size_t n_context;
    char run[17]; /* id of the run line, once emitted */
};

/* Open the model and parse n specs. On failure close with subject_close all the same. */
ph_status subject_open(struct subject *s, const struct common *c, char **specs, int n,
                       ph_error *err);
void subject_close(struct subject *s);
/* With --json: the run line. settings is taken over. */
ph_status subject_run_line(struct subject *s, const struct common *c, json_t *settings,
                           ph_error *err);
const ph_tokenizer *subject_tokenizer(const struct subject *s);
/* Widest canonical form. */
int subject_feature_width(const struct subject *s);
/* "SmolLM2-135M-Instruct Q4_1 · 30 blocks × 576" without line end */
void subject_title(const struct subject *s);
/* The hidden tokens before the text, " · after '<|endoftext|>'", if there are any. */
void subject_context(const struct subject *s);

#endif
