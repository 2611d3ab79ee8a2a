/* ordinary.h — what features do on ordinary text, for the commands that show it. */
#ifndef ORDINARY_H
#define ORDINARY_H

#include "search.h"

/* Which text, and how far a pass may go; what --corpus says. */
struct ordinary {
    const char *path; /* NULL: the shipped mix */
    char *text;       /* its bytes, owned, once it was read */
    size_t bytes;
    bool off; /* --corpus off */
    double
        most_flops; /* 0: any; else a pass that takes more is not begun, a note on stderr says so */
    int64_t window; /* 0: the library's default */
};

enum { KEY_CORPUS = 4000 };
#define CORPUS_OPTION                                                                              \
    {                                                                                              \
        "corpus", KEY_CORPUS, "FILE|off", 0,                                                       \
            "Ordinary text that answers are compared with (a mix that comes with phosphene)", 0    \
    }
void ordinary_option(struct ordinary *o, const char *arg);
/* Read the file, if one was named. */
ph_status ordinary_read(struct ordinary *o, ph_error *err);
void ordinary_free(struct ordinary *o);
/* For the run line: which text it is, unless it is the shipped mix. */
void ordinary_settings(json_t *settings, const struct ordinary *o);

/* Of what was read. *out stays NULL where there is none to be had: switched off, nothing of the features is followed,
 * text cannot be tokenised, too costly. depth 0: as far as the subject's features go. */
ph_status ordinary_open(ph_corpus **out, const struct ordinary *o, const struct subject *s,
                        const struct common *c, int64_t depth, bool neurons, ph_pass_cost *cost,
                        ph_error *err);

/* What is known of a single component; false for a joint feature or a place that is not followed. */
bool ordinary_get(const ph_corpus *corpus, const ph_feature *f, ph_corpus_stat *out);
/* {"value","pos","token","ids","text"} of a token of the corpus and its window. */
json_t *sighting_json(const ph_corpus *corpus, const ph_tokenizer *t, const ph_sighting *s);
/* Print a sighting: “…words before «the token» words after…”, cut to a width. */
void sighting_print(const ph_corpus *corpus, const ph_tokenizer *t, const ph_sighting *s,
                    int width);

/* The yardstick beside an answer: JSON (null where there is none), and a line of a table. */
json_t *ordinary_json(const ph_corpus *corpus, const ph_tokenizer *t, const ph_feature *f,
                      double activation, int sign);
void ordinary_print(const ph_corpus *corpus, const ph_tokenizer *t, const ph_feature *f,
                    double activation, int sign);

#endif
