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
    char run[17];     /* id of the run line, once emitted */
    const char *chat; /* the format whose turn the context is; NULL: none */
    char letter[2];   /* of the model where there are several: "A", "B", …; else empty */
};

/* Open the first model and parse n specs (0: a subject without features). On failure close with subject_close all the same. */
ph_status subject_open(struct subject *s, const struct common *c, char **specs, int n,
                       ph_error *err);
void subject_close(struct subject *s);
/* Other specs for an open model: its features, and its context as they want it. */
ph_status subject_parse(struct subject *s, const struct common *c, char **specs, int n,
                        ph_error *err);

/* All models of a command line, each with the features of the same specs: everything is opened and
 * parsed before any work begins. On failure close all the same. */
struct subjects {
    struct subject at[8];
    int n;
};
ph_status subjects_open(struct subjects *s, const struct common *c, ph_error *err);
void subjects_close(struct subjects *s);
/* What its runs are of, borrowed. */
struct run_of subject_run_of(const struct subject *s);
/* The run line, where anybody wants lines. settings is taken over. */
ph_status subject_run_line(struct subject *s, const struct common *c, json_t *settings,
                           ph_error *err);
const ph_tokenizer *subject_tokenizer(const struct subject *s);
/* Widest canonical form. */
int subject_feature_width(const struct subject *s);
/* "SmolLM2-135M-Instruct Q4_1 · 30 blocks × 576" without line end */
void subject_title(const struct subject *s);
/* The hidden tokens before the text, " · after '<|endoftext|>'", if there are any; with --chat, whose
 * turn that is. */
void subject_context(const struct subject *s);
/* The canonical form of one component of a block or of its neurons. */
void feature_name(char out[64], ph_tap tap, int64_t component);
/* What a pass over all features took, on stderr unless quiet. */
void print_pass(const struct common *c, const ph_pass_cost *cost);

#endif
