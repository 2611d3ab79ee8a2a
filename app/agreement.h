/* agreement.h — two models on the same features: what each finds, and how far they agree.
 *
 * Gathers and counts; prints nothing. Both models have the same shape and vocabulary.
 */
#ifndef AGREEMENT_H
#define AGREEMENT_H

#include "search.h"

/* PH_EINVAL if two models differ in shape or vocabulary: one line says in what. */
ph_status agreement_check(const ph_model *a, const ph_model *b, ph_error *err);
/* *out (free) = about n single components spread over the blocks, as a spec. */
char *agreement_sample(const ph_model_info *info, int64_t n);

/* ---- scans ---- */

/* A feature on every token of the vocabulary alone. */
struct scanned {
    double ranks;    /* Spearman's correlation over the tokens */
    int64_t common;  /* of the `top` most active tokens of either */
    ph_near best[2]; /* each model's most active token; id -1: none */
};

/* out (features): each model's complete search, one against the other. */
ph_status agreement_scan(struct scanned *out, struct subjects *both, const struct common *c,
                         int64_t top, ph_error *err);

/* ---- answers ---- */

/* What a model found for a feature, and what it comes to in both. */
struct answer {
    char *text;           /* owned; NULL: nothing was found */
    double activation[2]; /* in A, in B; NaN: the text has no such token there */
    double z[2];          /* in standard deviations from the mean of random texts */
    double share; /* in the other model: from the mean of random texts (0) to its own answer (1) */
};
struct answered {
    struct answer of[2]; /* A's, B's */
    bool same;
};

/* out (features), to be closed whatever is returned. o: everything but run. */
ph_status agreement_answers(struct answered *out, struct subjects *both, const struct common *c,
                            const ph_dream_options *o, ph_error *err);
void agreement_answers_close(struct answered *out, size_t n);
/* Spearman's correlation of one model's texts, by their z in A and in B; *n of them. (All texts
 * together would be chosen for being high in one of the two, which alone makes the ranks disagree.)
 * false: no memory. */
bool agreement_texts(double *rho, size_t *n, const struct answered *of, size_t features, int model);

/* ---- ordinary text ---- */

/* All components of a place, by the highest value (sign -1: the lowest) that each has anywhere. */
struct followed {
    size_t n;
    double ranks; /* Spearman's correlation over the components */
    size_t same_window, same_token;
};

/* false: the place is not followed, or there was no memory. */
bool agreement_corpus(struct followed *out, ph_corpus *const corpus[2], const ph_model_info *info,
                      ph_tap tap, int sign);

#endif
