/* climb.h — the state of auto.c's search, and the texts that its lines begin from. */
#ifndef PH_CLIMB_H
#define PH_CLIMB_H

#include "search/fluent.h"
#include "search/hunt.h"

enum {
    LINES = 4,            /* of a feature: */
    WALKER = LINES - 1,   /* all but this one climb */
    WIDTH = 128,          /* variants of a step */
    BEGINNINGS = 16,      /* texts of which a line begins with the best */
    IDLE = 50,            /* steps that find no text to try, after which a feature is over */
    STALE = 8,            /* steps without success after which a line begins anew */
    TOP = 256,            /* tokens that the gradient proposes at a position */
    NEAR = 32,            /* neighbours of a token in the embedding */
    SAID = 32,            /* tokens that the model itself would put at a position */
    KNOWN = 4096,         /* best single tokens that are proposed */
    BEAMS = 4,            /* prefixes that are kept */
    FOLLOWERS = 768,      /* tokens tried behind each */
    BEAMS_FROM = 6000,    /* token-forwards after which a feature tries them */
    DESCENTS_FROM = 2000, /* the same, of descents */
    REPEATED = 8,         /* best single tokens that are tried repeated */
    DESCENTS = 4,         /* of pez … */
    STEPS = 40,           /* … and their steps */
    LEADS = 3 + DESCENTS,
    SAVE_SECONDS = 20
};

enum source {
    BY_GRADIENT, /* a token that the gradient suggests */
    BY_KNOWN,    /* one of high activation on its own */
    BY_MODEL,    /* one that the model finds probable there */
    BY_NEAR,     /* a neighbour of the token that stands there */
    BY_BEST,     /* a token of another good text */
    BY_ANY,      /* any token */
    BY_PAIR,     /* two tokens at once */
    BY_INSERT,
    BY_DELETE,
    BY_EXCHANGE, /* two tokens change places, or one is copied to another place */
    BY_CROSS,    /* the end of another good text */
    SOURCES
};

struct line {
    ph_find at;
    bool begun, sloped;
    int32_t stale;
    int32_t *top, *near, *said; /* (longest,TOP), (longest,NEAR), (longest,SAID) */
};

struct climber {
    struct line lines[LINES];
    struct line *line; /* of this step */
    int32_t known[KNOWN];
    int32_t n_known;
    ph_find leads[LEADS]; /* texts that lines begin from, as long as there are any */
    int32_t n_leads, taken;
    ph_find beams[BEAMS]; /* n_beams prefixes of one length; 0: that is over */
    int32_t n_beams;
    bool descended;
    int32_t starts;
    int64_t spent; /* of its quarry, when it was last asked whether it is live … */
    int32_t idle;  /* … and how often that was the same */
    double won[SOURCES], cost[SOURCES];
};

struct climb {
    ph_hunt hunt;
    ph_task *task;
    struct climber *climbers; /* one for each quarry */
    int32_t *lists;           /* n_lists */
    size_t n_lists;
    ph_fluent *fluent; /* NULL: the model is not asked, which would run all of its blocks */
    float *gradients;  /* (count,longest,C) */
    int32_t top, near; /* TOP and NEAR, or what the vocabulary has */
};

/* The best of the best single tokens, each repeated. */
ph_status ph__open_repeated(struct climb *c, int64_t i, ph_error *err);
/* The best of the places in ordinary text where the feature is most active, where there is a corpus. */
ph_status ph__open_corpus(struct climb *c, int64_t i, ph_error *err);
/* Prefixes that grow by the best single tokens: begin, whether their turn has come (which takes on what
 * it costs), grow by one token; at full length the best is a lead. */
void ph__open_beams(struct climber *k);
bool ph__beams_due(struct climb *c, int64_t i);
ph_status ph__grow_beams(struct climb *c, int64_t i, ph_error *err);
/* The features whose short descents are due get them; each is a lead. */
ph_status ph__open_descents(struct climb *c, const bool *live, ph_error *err);

#endif
