/* dream_line.c — an answer as one object of JSON Lines, and the settings of its run. */
#include "dream_line.h"

#include "among.h"
#include "emit.h"
#include "fluency.h"
#include "ordinary.h"

#include <math.h>
#include <string.h>

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

static json_t *activation(const ph_activation *a, bool soft)
{
    json_t *o = json_object();
    json_object_set_new(o, "text", number(a->text));
    json_object_set_new(o, "ids", number(a->ids));
    if (soft) json_object_set_new(o, "soft", number(a->soft));
    return o;
}

static json_t *decodes(const ph_dream_result *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_decodes; i++) {
        const ph_decoded *d = &r->decodes[i];
        json_array_append_new(list, json_pack("{s:s?, s:o, s:o, s:o, s:b, s:b, s:o}", "decode",
                                              d->decode, "ids", integers(d->ids, d->n), "text",
                                              utf8(d->text, strlen(d->text)), "activation",
                                              activation(&d->activation, false), "round_trip",
                                              d->round_trip, "violates", d->violates, "norm_ratio",
                                              number(d->norm_ratio)));
    }
    return list;
}

static json_t *nearest(const ph_dream_result *r, const ph_tokenizer *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_nearest; i++)
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:o}", "token", token_text(t, r->nearest[i].id), "id",
                            (json_int_t)r->nearest[i].id, "cosine", number(r->nearest[i].value)));
    return list;
}

/* What became of every random start. */
static json_t *rows(const ph_dream_result *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_rows; i++) {
        const ph_dream_row *row = &r->rows[i];
        const ph_decoded *a = row->answer;
        json_array_append_new(list, json_pack("{s:I, s:o, s:b, s:s?, s:o, s:o, s:o}", "restart",
                                              (json_int_t)row->restart, "objective",
                                              number(row->objective), "diverged", row->diverged,
                                              "decode", a->decode, "ids", integers(a->ids, a->n),
                                              "text", utf8(a->text, strlen(a->text)), "activation",
                                              activation(&a->activation, true)));
    }
    return list;
}

static json_t *starts_json(const ph_starts *s)
{
    if (s->n == 0) return json_null();
    return json_pack("{s:I, s:I, s:f, s:f}", "n", (json_int_t)s->n, "reached",
                     (json_int_t)s->reached, "mean", s->mean, "sd", s->sd);
}

static json_t *specificity_json(const ph_specificity *s)
{
    if (s->of == 0) return json_null();
    return json_pack("{s:I, s:I, s:f}", "rank", (json_int_t)s->rank, "of", (json_int_t)s->of, "z",
                     s->z);
}

json_t *dream_line(const struct dream_said *d, const ph_dream_result *r)
{
    const ph_decoded *a = r->answer;
    const ph_tokenizer *t = d->tokenizer;
    json_t *line = json_pack(
        "{s:s, s:s, s:s, s:s, s:s?, s:I, s:I, s:I, s:s, s:o}", "type", "dream", "run", d->run,
        "feature", r->feature->text, "method", r->method, "decode", a->decode, "restart",
        (json_int_t)r->restart, "rank", (json_int_t)r->rank, "seed", (json_int_t)d->options->seed,
        "reduce", ph_reduce_name(r->feature, d->options->reduce), "ids", integers(a->ids, a->n));

    set_tokens(line, t, a->ids, a->n);
    json_object_set_new(line, "text", utf8(a->text, strlen(a->text)));
    json_object_set_new(line, "text_ids", integers(a->text_ids, a->n_text));
    json_object_set_new(line, "activation", activation(&a->activation, true));
    if (!isnan(a->activation.post))
        json_object_set_new(line, "post_activation", number(a->activation.post));
    json_object_set_new(line, "values", numbers(a->values, a->n));
    json_object_set_new(
        line, "max",
        json_pack("{s:o, s:I}", "value", number(a->max), "pos", (json_int_t)a->max_pos));
    json_object_set_new(line, "sign", json_string(d->options->sign < 0 ? "-" : "+"));
    json_object_set_new(line, "round_trip", json_boolean(a->round_trip));
    json_object_set_new(line, "violates", json_boolean(a->violates));
    json_object_set_new(line, "norm_ratio", number(a->norm_ratio));
    json_object_set_new(line, "z", number(r->z));
    json_object_set_new(line, "random",
                        json_pack("{s:o, s:o, s:o, s:o, s:I}", "mean", number(r->random_mean), "sd",
                                  number(r->random_sd), "max", number(r->random_max), "min",
                                  number(r->random_min), "n", (json_int_t)r->random_n));
    json_object_set_new(line, "best_token",
                        json_pack("{s:I, s:o, s:o, s:o}", "id", (json_int_t)r->best_token.id,
                                  "token", token_text(t, r->best_token.id), "activation",
                                  number(r->best_token.value), "repeated", number(r->repeated)));
    json_object_set_new(
        line, "corpus",
        ordinary_json(d->corpus, t, r->feature, a->activation.text, d->options->sign));
    json_object_set_new(line, "nearest", nearest(r, t));
    json_object_set_new(line, "curve", numbers(r->curve, r->n_curve));
    if (r->objective) json_object_set_new(line, "objective", numbers(r->objective, r->n_curve));
    json_object_set_new(line, "rows", rows(r));
    json_object_set_new(line, "decodes", decodes(r));
    json_object_set_new(line, "token_forwards", json_integer((json_int_t)r->token_forwards));
    json_object_set_new(line, "naive_forwards", json_integer((json_int_t)r->naive_forwards));
    if (r->budget) json_object_set_new(line, "budget", json_integer((json_int_t)r->budget));
    json_object_set_new(line, "starts", starts_json(&r->starts));
    json_object_set_new(line, "specificity", specificity_json(&r->specificity));
    fluency_json(line, r);
    json_object_set_new(line, "seconds", number(r->seconds));
    return line;
}
