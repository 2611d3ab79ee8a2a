/* among.c — options of searches among tokens: budgets, what may be an answer, sizes. */
#include "among.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEY_BUDGET = 7000,
    KEY_TIME,
    KEY_NO_SHARE,
    KEY_ROUND_TRIP,
    KEY_OUTLIERS,
    KEY_TOP_K,
    KEY_WIDTH,
    KEY_STAY
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Searches among tokens:", 60},
    {"budget", KEY_BUDGET, "N", 0,
     "Tokens sent forward for each feature, a backward counts two (100000)", 60},
    {"time", KEY_TIME, "S", 0, "Stop after S seconds of search (30s, 5m), which all features share",
     60},
    {"no-share", KEY_NO_SHARE, NULL, 0, "No feature sees what was found for another", 60},
    {"round-trip", KEY_ROUND_TRIP, "require|prefer|off", 0,
     "Texts that do not tokenise back to their own tokens are not looked at by searches among "
     "tokens (require, their default), rank behind the others (prefer), or rank by the activation "
     "of their tokens (off)",
     60},
    {"outliers", KEY_OUTLIERS, "last|keep|drop", 0,
     "Texts that trigger an outlier norm rank behind the others (last), do not (keep), or are no "
     "answer (drop)",
     60},
    {"top-k", KEY_TOP_K, "K", 0,
     "swap, epo: tokens that the gradient proposes per position (256; epo 512)", 60},
    {"width", KEY_WIDTH, "N", 0,
     "swap: variants of a step (512); beam: beams, and tokens drawn for each (15)", 60},
    {"stay", KEY_STAY, NULL, 0, "swap: a step that finds nothing better stays where it is", 60},
    {0}};

static const char *const round_trips[] = {"require", "prefer", "off", NULL};
static const char *const outliers[] = {"last", "keep", "drop", NULL};

ph_outliers parse_outliers(struct argp_state *state, const char *arg)
{
    return (ph_outliers)choose(state, "outliers", arg, outliers, "last, keep or drop");
}

const char *outliers_name(ph_outliers which)
{
    return outliers[which];
}

/* A number of seconds, perhaps with s, m or h behind it. */
static double parse_seconds(struct argp_state *state, const char *arg)
{
    static const struct {
        char letter;
        double seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}};
    char *copy = strdup(arg);
    const size_t n = copy ? strlen(copy) : 0;
    double unit = 1;

    for (size_t i = 0; n > 1 && i < sizeof units / sizeof *units; i++)
        if (copy[n - 1] == units[i].letter) {
            unit = units[i].seconds;
            copy[n - 1] = 0;
            break;
        }
    const double v = parse_real(state, "time", copy ? copy : arg);
    if (v <= 0) usage_error(state, "--time %s: expected more than 0 seconds", arg);
    free(copy);
    return v * unit;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    ph_dream_options *o = state->input;

    switch (key) {
    case KEY_BUDGET: o->budget = parse_integer(state, "budget", arg, 1, INT64_MAX); break;
    case KEY_TIME: o->seconds = parse_seconds(state, arg); break;
    case KEY_NO_SHARE: o->alone = true; break;
    case KEY_ROUND_TRIP:
        o->round_trip = (ph_round_trip)(1 + choose(state, "round-trip", arg, round_trips,
                                                   "require, prefer or off"));
        break;
    case KEY_OUTLIERS: o->outliers = parse_outliers(state, arg); break;
    case KEY_TOP_K: o->top_k = parse_integer(state, "top-k", arg, 1, INT64_MAX); break;
    case KEY_WIDTH: o->width = parse_integer(state, "width", arg, 1, INT64_MAX); break;
    case KEY_STAY: o->stay = true; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp among_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};

void among_settings(json_t *settings, const ph_dream_options *o)
{
    json_object_update_new(
        settings,
        json_pack("{s:I, s:I, s:o, s:b, s:s, s:s, s:I, s:I, s:b}", "tokens_to",
                  (json_int_t)(o->tokens_to ? o->tokens_to : o->tokens), "budget",
                  (json_int_t)o->budget, "time",
                  o->seconds > 0 ? json_real(o->seconds) : json_null(), "share", !o->alone,
                  "round_trip", o->round_trip ? round_trips[o->round_trip - 1] : "default",
                  "outliers", outliers_name(o->outliers), "top_k", (json_int_t)o->top_k, "width",
                  (json_int_t)o->width, "stay", o->stay));
}
