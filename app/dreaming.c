/* dreaming.c — what to ask of ph_dream: options, for the commands that call it. */
#include "dreaming.h"

#include "among.h"
#include "fluency.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEY_TOKENS = 8000,
    KEY_STEPS,
    KEY_ETA,
    KEY_OBJECTIVE,
    KEY_NEAR,
    KEY_TARGET,
    KEY_START,
    KEY_OPTIMIZER,
    KEY_RESTARTS,
    KEY_DECODE,
    KEY_TOP
};

static const struct argp_option options[] = {
    {"tokens", KEY_TOKENS, "N|A:B", 0,
     "Length of the searched text (5); A:B lets searches among tokens vary it", 0},
    {"steps", KEY_STEPS, "N", 0, "Steps of descent (100); epo: no more than these", 0},
    {"restarts", KEY_RESTARTS, "N", 0, "Random starts for each feature (8)", 0},
    {"eta", KEY_ETA, "A:B", 0,
     "Step size, falling from A to B (1:0.1; pez 0.1:0.1; gumbel 0.3:0.3); 0.1rms:0.01rms counts "
     "in units of the embedding's "
     "root mean square",
     0},
    {"objective", KEY_OBJECTIVE, "NAME", 0, "l1, l2, linear or cosine (l1)", 0},
    {"near-weight", KEY_NEAR, "W", 0,
     "Penalty on the objective: W times the mean squared distance to the nearest tokens (0)", 0},
    {"target", KEY_TARGET, "C", 0, "The activation that l1 and l2 aim at (100)", 0},
    {"optimizer", KEY_OPTIMIZER, "NAME", 0, "gd, adam or adamw (gd; pez adamw; gumbel adam)", 0},
    {"start", KEY_START, "NAME", 0,
     "half N(1/2,1/20), normal N(0,1), rms N(0,rms), tokens (random ones), or text:TEXT (half; pez "
     "and "
     "gumbel tokens)",
     0},
    {"decode", KEY_DECODE, "NAME", 0,
     "From embedding to tokens: pinv, leverage, cosine, euclid, dot, hidden, or all, the best of "
     "which is the answer (all)",
     0},
    {"top", KEY_TOP, "K", 0,
     "Answers per feature, no two of which share more than half their tokens (3; 1 of a "
     "descent)",
     0},
    {0}};

/* N or A:B */
static void parse_lengths(struct argp_state *state, const char *arg, ph_dream_options *o)
{
    char *copy = strdup(arg), *colon = copy ? strchr(copy, ':') : NULL;
    if (colon) *colon = 0;
    o->tokens = parse_integer(state, "tokens", copy ? copy : arg, 1, INT64_MAX);
    o->tokens_to = colon ? parse_integer(state, "tokens", colon + 1, 1, INT64_MAX) : 0;
    free(copy);
}

/* Options that mean something to a descent only, and choose it where no method is named. */
static bool of_descent(int key)
{
    static const int keys[] = {KEY_STEPS,  KEY_RESTARTS,  KEY_ETA,   KEY_OBJECTIVE, KEY_NEAR,
                               KEY_TARGET, KEY_OPTIMIZER, KEY_START, KEY_DECODE};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (key == keys[i]) return true;
    return false;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct dreaming *d = state->input;
    ph_dream_options *o = &d->o;

    d->descends |= of_descent(key);

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &d->allow;
        state->child_inputs[1] = o;
        state->child_inputs[2] = o;
        break;
    case KEY_TOKENS: parse_lengths(state, arg, o); break;
    case KEY_STEPS: o->steps = parse_integer(state, "steps", arg, 1, INT64_MAX); break;
    case KEY_RESTARTS: o->restarts = parse_integer(state, "restarts", arg, 1, INT64_MAX); break;
    case KEY_TOP: o->top = parse_integer(state, "top", arg, 1, INT64_MAX); break;
    case KEY_NEAR: o->near_weight = parse_real(state, "near-weight", arg); break;
    case KEY_TARGET: o->target = parse_real(state, "target", arg); break;
    case KEY_ETA:
        parse_eta(state, arg, &o->eta_first, &o->eta_first_rms, &o->eta_last, &o->eta_last_rms);
        if (o->eta_first == 0 && o->eta_last == 0) usage_error(state, "--eta %s: no step", arg);
        break;
    case KEY_OBJECTIVE: o->objective = arg; break;
    case KEY_OPTIMIZER: o->optimizer = arg; break;
    case KEY_START: o->start = arg; break;
    case KEY_DECODE: o->decode = arg; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {
    {&allow_argp, 0, NULL, 0}, {&among_argp, 0, NULL, 0}, {&fluency_argp, 0, NULL, 0}, {0}};
const struct argp dreaming_argp = {options, parse, NULL, NULL, children, NULL, NULL};
