/* score_line.c — a text's score or attribution as one object of JSON Lines. */
#include "score_line.h"

#include "emit.h"

/* NULL where the vocabulary has no token to replace one by. */
static json_t *shares(const double *v, size_t n)
{
    return v ? numbers(v, n) : json_null();
}

json_t *score_line(const char *run, const ph_tokenizer *t, const ph_run_options *o,
                   const ph_score_result *r)
{
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s}", "type", r->grad_norm ? "attribute" : "score", "run", run,
                  "feature", r->feature->text, "reduce", ph_reduce_name(r->feature, o->reduce));
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
    if (r->grad_norm) {
        json_object_set_new(line, "grad_norm", numbers(r->grad_norm, r->n));
        json_object_set_new(line, "grad_x_input", numbers(r->grad_x_input, r->n));
        json_object_set_new(line, "occlusion", shares(r->occlusion, r->n));
        json_object_set_new(line, "combined", shares(r->combined, r->n));
    }
    return line;
}
