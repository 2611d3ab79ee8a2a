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

/* Options that mean something to descents, and choose one where no method is named; and the one method
 * beside them that looks at it. */
static const struct {
    int key;
    const char *name, *also;
} of_descent[] = {{KEY_STEPS, "steps", "epo"},
                  {KEY_RESTARTS, "restarts", "swap"},
                  {KEY_ETA, "eta", ""},
                  {KEY_OBJECTIVE, "objective", ""},
                  {KEY_NEAR, "near-weight", ""},
                  {KEY_TARGET, "target", ""},
                  {KEY_OPTIMIZER, "optimizer", ""},
                  {KEY_START, "start", ""},
                  {KEY_DECODE, "decode", ""}};
enum { OF_DESCENT = sizeof of_descent / sizeof *of_descent };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct dreaming *d = state->input;
    ph_dream_options *o = &d->o;

    for (unsigned i = 0; i < OF_DESCENT; i++)
        if (key == of_descent[i].key) d->descends |= 1u << i;
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

/* ---- what nobody looks at ---- */

bool is_method(const char *name)
{
    const char *known;
    for (size_t i = 0; (known = ph_method_name(i)); i++)
        if (strcmp(known, name) == 0) return true;
    return false;
}

static bool any(const char *const *methods, int n, bool (*is)(const char *), const char *also)
{
    for (int i = 0; i < n; i++)
        if ((is && is(methods[i])) || strcmp(methods[i], also) == 0) return true;
    return false;
}

/* Of descents, greedy and swap each restart ends at one text; the others keep several. */
static int64_t most_answers(const ph_dream_options *given, const char *method)
{
    ph_dream_options o = *given;
    o.method = method;
    ph_dream_defaults(&o);
    return ph_method_budget(method) && strcmp(method, "swap") != 0 ? INT64_MAX : o.restarts;
}

static char *too_many_answers(const ph_dream_options *o, const char *const *methods, int n)
{
    char *words;
    int64_t most = 0;
    for (int i = 0; i < n; i++) {
        const int64_t here = is_method(methods[i]) ? most_answers(o, methods[i]) : 0;
        if (here > most) most = here;
    }
    if (o->top <= 1 || o->top <= most) return NULL;
    return asprintf(&words, "--top %lld: %s has one answer for each restart, at most %lld here",
                    (long long)o->top, methods[0], (long long)most) < 0
               ? NULL
               : words;
}

/* Of searches among tokens, and of epo alone. */
static const char *fluency_given(const ph_dream_options *o, bool of_epo)
{
    static const ph_dream_options usual = PH_DREAM_OPTIONS_INIT;
    const bool spread = o->lambda == 0 && (o->lambda_first > 0 || o->lambda_last > 0);

    if (!of_epo) return o->fluent ? "fluent" : o->lambda > 0 ? "lambda" : NULL;
    if (spread && (o->lambda_first != usual.lambda_first || o->lambda_last != usual.lambda_last))
        return "lambda A:B";
    return o->population != usual.population         ? "population"
           : o->children != usual.children           ? "children"
           : o->restart_every != usual.restart_every ? "restart-every"
                                                     : NULL;
}

static char *not_of(const char *option, const char *method, const char *whose, const char *also)
{
    char *words;
    return asprintf(&words, "--%s: %s does not look at it; it is for %s%s%s", option, method, whose,
                    *also ? " and " : "", also) < 0
               ? NULL
               : words;
}

char *dreaming_unused(const struct dreaming *d, const char *const *methods, int n)
{
    const char *tokens = fluency_given(&d->o, false), *epo = fluency_given(&d->o, true);

    for (unsigned i = 0; i < OF_DESCENT; i++)
        if (d->descends & 1u << i && !any(methods, n, ph_method_steps, of_descent[i].also))
            return not_of(of_descent[i].name, methods[0], "descents", of_descent[i].also);
    if (tokens && !any(methods, n, ph_method_budget, ""))
        return not_of(tokens, methods[0], "searches among tokens", "");
    if (epo && !any(methods, n, NULL, "epo")) return not_of(epo, methods[0], "epo", "");
    return too_many_answers(&d->o, methods, n);
}

json_t *dream_settings(const ph_dream_options *o, const struct common *shared,
                       const struct allow *allow)
{
    json_t *s =
        json_pack("{s:s, s:I, s:I, s:I, s:f, s:s, s:f, s:s, s:f, s:s, s:f, s:s, s:s, s:s, s:I}",
                  "method", o->method, "tokens", (json_int_t)o->tokens, "steps",
                  (json_int_t)o->steps, "restarts", (json_int_t)o->restarts, "eta_first",
                  o->eta_first, "eta_first_unit", o->eta_first_rms ? "rms" : "", "eta_last",
                  o->eta_last, "eta_last_unit", o->eta_last_rms ? "rms" : "", "target", o->target,
                  "objective", o->objective, "near_weight", o->near_weight, "optimizer",
                  o->optimizer, "start", o->start, "decode", o->decode, "top", (json_int_t)o->top);
    json_t *common = common_settings(shared);
    if (s) json_object_set_new(s, "constraints", allow_json(allow));
    if (s) among_settings(s, o);
    if (s) fluency_settings(s, o);
    if (s && common) json_object_update(s, common);
    json_decref(common);
    return s;
}
