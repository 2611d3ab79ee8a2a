/* fluency.c — how fluent the texts of a dream are: options, settings, the front in both forms. */
#include "fluency.h"

#include "emit.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_FLUENT = 6000,
    KEY_LAMBDA,
    KEY_POPULATION,
    KEY_CHILDREN,
    KEY_RESTART_EVERY,
};

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Fluent texts, of searches among tokens (always of epo and beam):", 70},
    {"fluent", KEY_FLUENT, NULL, 0,
     "Also the cross-entropy of the texts under the model, in nats per token, and the front: the "
     "texts that no other beats in both activation and cross-entropy",
     70},
    {"lambda", KEY_LAMBDA, "W|A:B", 0,
     "W: search for, and rank by, the activation less W times the cross-entropy (0). A:B: the "
     "weights "
     "of epo's members, evenly spaced by their logarithm (0.1:10)",
     70},
    {"population", KEY_POPULATION, "N", 0, "epo: members (8)", 70},
    {"children", KEY_CHILDREN, "N", 0, "epo: variants of each member in a step (32)", 70},
    {"restart-every", KEY_RESTART_EVERY, "N", 0,
     "epo: steps after which all begin anew from one member (30; 0: never)", 70},
    {0}};

/* W or A:B; one weight is that of all members. */
static void parse_lambda(struct argp_state *state, const char *arg, ph_dream_options *o)
{
    char *copy = strdup(arg), *colon = copy ? strchr(copy, ':') : NULL;

    if (colon) *colon = 0;
    o->lambda_first = o->lambda_last = parse_real(state, "lambda", copy ? copy : arg);
    if (colon)
        o->lambda_last = parse_real(state, "lambda", colon + 1);
    else
        o->lambda = o->lambda_first;
    free(copy);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    ph_dream_options *o = state->input;

    switch (key) {
    case KEY_FLUENT: o->fluent = true; break;
    case KEY_LAMBDA: parse_lambda(state, arg, o); break;
    case KEY_POPULATION: o->population = parse_integer(state, "population", arg, 1, 10000); break;
    case KEY_CHILDREN: o->children = parse_integer(state, "children", arg, 1, 1000000); break;
    case KEY_RESTART_EVERY:
        o->restart_every = parse_integer(state, "restart-every", arg, 0, INT64_MAX);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp fluency_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};

bool fluency_shown(const ph_dream_options *o)
{
    return ph_method_fluent(o->method) ||
           (ph_method_budget(o->method) && (o->fluent || o->lambda > 0));
}

void fluency_settings(json_t *settings, const ph_dream_options *o)
{
    json_object_update_new(settings,
                           json_pack("{s:b, s:f, s:I, s:I, s:f, s:f, s:I}", "fluent",
                                     fluency_shown(o), "lambda", o->lambda, "population",
                                     (json_int_t)o->population, "children", (json_int_t)o->children,
                                     "lambda_first", o->lambda_first, "lambda_last", o->lambda_last,
                                     "restart_every", (json_int_t)o->restart_every));
}

static double activation_of(const ph_decoded *d)
{
    return isfinite(d->activation.text) ? d->activation.text : d->activation.ids;
}

void fluency_json(json_t *line, const ph_dream_result *r)
{
    json_t *front = json_array();

    json_object_set_new(line, "cross_entropy", number(r->cross_entropy));
    for (size_t i = 0; i < r->n_front; i++) {
        const ph_decoded *d = &r->front[i];
        json_array_append_new(
            front, json_pack("{s:o, s:o, s:o, s:o}", "activation", number(activation_of(d)),
                             "cross_entropy", number(d->cross_entropy), "text",
                             utf8(d->text, strlen(d->text)), "ids", integers(d->ids, d->n)));
    }
    if (r->front)
        json_object_set_new(line, "front", front);
    else
        json_decref(front);
}

void fluency_print(const ph_dream_result *r, int feature_width, int text_width)
{
    for (size_t i = 0; i < r->n_front; i++) {
        const ph_decoded *d = &r->front[i];
        char *text = quoted(d->text, strlen(d->text), '"');
        printf("  ");
        cell(i ? "" : "front", feature_width - 2);
        printf("  ");
        cell(text ? text : "", text_width);
        printf("   ");
        cell_number(activation_of(d), "%.2f", 7);
        cell_number(d->cross_entropy, "%.2f", 7);
        printf(" nats a token\n");
        free(text);
    }
}
