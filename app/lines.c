/* lines.c — results as lines of the contract, whoever asked for them. */
#include "lines.h"

#include "fluency.h"
#include "ordinary.h"
#include "search.h"

#include <math.h>
#include <string.h>

/* ---- dream ---- */

static json_t *activation(const ph_activation *a, bool soft)
{
    json_t *o = json_object();
    json_object_set_new(o, "text", number(a->text));
    json_object_set_new(o, "ids", number(a->ids));
    if (soft) json_object_set_new(o, "soft", number(a->soft));
    return o;
}

static json_t *dream_decodes(const ph_dream_result *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_decodes; i++) {
        const ph_decoded *d = &r->decodes[i];
        json_array_append_new(list, json_pack("{s:s?, s:o, s:o, s:o, s:b, s:b, s:o}", "decode",
                                              d->decode, "ids", integers(d->ids, d->n), "text",
                                              utf8(d->text, d->text_bytes), "activation",
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
                                              "text", utf8(a->text, a->text_bytes), "activation",
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

json_t *dream_line(const struct line_source *w, const ph_dream_result *r, const ph_corpus *corpus)
{
    const ph_decoded *a = r->answer;
    const ph_tokenizer *t = w->tokenizer;
    json_t *line = json_pack(
        "{s:s, s:s, s:s, s:s, s:s?, s:I, s:I, s:I, s:s, s:o}", "type", "dream", "run", w->run,
        "feature", r->feature->text, "method", r->method, "decode", a->decode, "restart",
        (json_int_t)r->restart, "rank", (json_int_t)r->rank, "seed", (json_int_t)w->options->seed,
        "reduce", ph_reduce_name(r->feature, w->options->reduce), "ids", integers(a->ids, a->n));

    set_tokens(line, t, a->ids, a->n);
    json_object_set_new(line, "text", utf8(a->text, a->text_bytes));
    json_object_set_new(line, "text_ids", integers(a->text_ids, a->n_text));
    json_object_set_new(line, "activation", activation(&a->activation, true));
    if (!isnan(a->activation.post))
        json_object_set_new(line, "post_activation", number(a->activation.post));
    json_object_set_new(line, "values", numbers(a->values, a->n));
    json_object_set_new(
        line, "max",
        json_pack("{s:o, s:I}", "value", number(a->max), "pos", (json_int_t)a->max_pos));
    json_object_set_new(line, "sign", json_string(w->options->sign < 0 ? "-" : "+"));
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
    json_object_set_new(line, "corpus",
                        ordinary_json(corpus, t, r->feature, a->activation.text, w->options->sign));
    json_object_set_new(line, "nearest", nearest(r, t));
    json_object_set_new(line, "curve", numbers(r->curve, r->n_curve));
    if (r->objective) json_object_set_new(line, "objective", numbers(r->objective, r->n_curve));
    json_object_set_new(line, "rows", rows(r));
    json_object_set_new(line, "decodes", dream_decodes(r));
    json_object_set_new(line, "token_forwards", json_integer((json_int_t)r->token_forwards));
    json_object_set_new(line, "naive_forwards", json_integer((json_int_t)r->naive_forwards));
    if (r->budget) json_object_set_new(line, "budget", json_integer((json_int_t)r->budget));
    json_object_set_new(line, "starts", starts_json(&r->starts));
    json_object_set_new(line, "specificity", specificity_json(&r->specificity));
    fluency_json(line, r);
    json_object_set_new(line, "seconds", number(r->seconds));
    return line;
}

/* ---- scan ---- */

json_t *scan_line(const struct line_source *w, const ph_scan_result *r)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:I}", "type", "scan", "run", w->run,
                     "feature", r->feature->text, "top",
                     token_list(w->tokenizer, r->top, r->n_top, "activation"), "bottom",
                     token_list(w->tokenizer, r->bottom, r->n_top, "activation"), "mean",
                     number(r->mean), "sd", number(r->sd), "n", (json_int_t)r->n);
}

json_t *survey_line(const struct line_source *w, const ph_survey_result *r)
{
    char name[64];
    feature_name(name, r->tap, r->component);
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I}", "type", "scan", "run", w->run, "feature",
        name, "top", token_list(w->tokenizer, r->top, r->n_top, "activation"), "bottom",
        token_list(w->tokenizer, r->bottom, r->n_top, "activation"), "mean", number(r->mean), "sd",
        number(r->sd), "quantiles", quantiles(r->quantiles), "n", (json_int_t)r->n);
}

/* ---- recover ---- */

static json_t *text_of(const ph_tokenizer *t, const int32_t *ids, size_t n)
{
    char *text = NULL;
    size_t bytes = 0;
    if (ph_tokenizer_decode(&text, &bytes, t, ids, n, NULL) != PH_OK) return json_null();
    json_t *out = utf8(text, bytes);
    ph_free(text);
    return out;
}

static json_t *recover_decodes(const ph_tokenizer *t, const ph_recover_result *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n_decodes; i++) {
        const ph_recovered *d = &p->decodes[i];
        json_array_append_new(
            list, json_pack("{s:s?, s:o, s:o, s:I, s:o}", "decode", d->decode, "ids",
                            integers(d->ids, p->n), "text", text_of(t, d->ids, p->n), "matched",
                            (json_int_t)d->matched, "distance", number(d->distance)));
    }
    return list;
}

json_t *recover_line(const struct line_source *w, const ph_recover_result *p)
{
    const ph_recovered *a = p->answer;
    const ph_tokenizer *t = w->tokenizer;
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s, s:s?, s:o, s:o}", "type", "recover", "run", w->run,
                  "feature", p->feature->text, "method", p->method, "decode", a->decode,
                  "target_ids", integers(p->target_ids, p->n), "ids", integers(a->ids, p->n));

    set_tokens(line, t, a->ids, p->n);
    json_object_set_new(line, "text", text_of(t, a->ids, p->n));
    json_object_set_new(line, "target_text", text_of(t, p->target_ids, p->n));
    json_object_set_new(line, "matched", json_integer((json_int_t)a->matched));
    json_object_set_new(line, "of", json_integer((json_int_t)p->n));
    json_object_set_new(line, "distance", number(a->distance));
    json_object_set_new(line, "random_distance", number(p->random_distance));
    if (p->n_curve) {
        json_object_set_new(line, "restart",
                            p->restart < 0 ? json_null() : json_integer((json_int_t)p->restart));
        json_object_set_new(line, "soft_distance", number(p->distance));
        json_object_set_new(line, "decodes", recover_decodes(t, p));
        json_object_set_new(line, "curve", numbers(p->curve, p->n_curve));
    }
    if (strcmp(p->method, "exact") == 0) {
        json_object_set_new(line, "tried", json_integer((json_int_t)p->tried));
        json_object_set_new(line, "tolerance", number(p->tolerance));
        json_object_set_new(line, "worst_found", number(p->worst_found));
    }
    json_object_set_new(line, "token_forwards", json_integer((json_int_t)p->token_forwards));
    json_object_set_new(line, "seconds", number(p->seconds));
    return line;
}

/* ---- score and attribute ---- */

/* NULL where the vocabulary has no token to replace one by. */
static json_t *shares(const double *v, size_t n)
{
    return v ? numbers(v, n) : json_null();
}

json_t *score_line(const struct line_source *w, const ph_score_result *r, bool attribute)
{
    const ph_tokenizer *t = w->tokenizer;
    json_t *line = json_pack("{s:s, s:s, s:s, s:s}", "type", attribute ? "attribute" : "score",
                             "run", w->run, "feature", r->feature->text, "reduce",
                             ph_reduce_name(r->feature, w->options->reduce));
    char *text = NULL;
    size_t bytes = 0;

    if (ph_tokenizer_decode(&text, &bytes, t, r->ids, r->n, NULL) == PH_OK)
        json_object_set_new(line, "text", utf8(text, bytes));
    ph_free(text);
    json_object_set_new(line, "ids", integers(r->ids, r->n));
    set_tokens(line, t, r->ids, r->n);
    json_object_set_new(line, "values", numbers(r->values, r->n));
    json_object_set_new(line, "activation", number(r->activation));
    if (r->post_values) {
        json_object_set_new(line, "post_values", numbers(r->post_values, r->n));
        json_object_set_new(line, "post_activation", number(r->post));
    }
    if (attribute) {
        json_object_set_new(line, "grad_norm", numbers(r->grad_norm, r->n));
        json_object_set_new(line, "grad_x_input", numbers(r->grad_x_input, r->n));
        json_object_set_new(line, "occlusion", shares(r->occlusion, r->n));
        json_object_set_new(line, "combined", shares(r->combined, r->n));
    }
    return line;
}
