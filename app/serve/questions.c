/* questions.c — questions to a model: the activation of a text, and the same component in every block.
 *
 * The request's thread reads the question and waits; the worker's thread computes, one question at a
 * time, no longer than SECONDS.
 */
#include "../lines.h"
#include "../search.h"
#include "moment.h"
#include "serve.h"
#include "wish.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATIENCE = 20, /* seconds that a question waits for its turn */
    SECONDS = 60,  /* … and that it may take */
    MOST_BYTES = 16384,
    MOST_TOKENS = 1024,
    MOST_ATTRIBUTED = 256 /* every token costs a pass */
};

struct question {
    struct serving *s;
    json_t *body;
    ph_run_options run;
    ph_text text;
    int32_t *ids; /* owned */
    bool attribute, across;
    double until;
    struct held *held;
    struct subject subject;
    json_t *answer;
    ph_error err;
};

/* ---- what is asked ---- */

static bool take_ids(struct exchange *x, struct question *q, const json_t *ids)
{
    size_t i;
    json_t *id;
    const size_t n = json_array_size(ids);

    if (n == 0 || n > MOST_TOKENS) {
        reply_error(x, 400, -1, "ids: expected 1 to %d of them", MOST_TOKENS);
        return false;
    }
    q->ids = calloc(n, sizeof *q->ids);
    json_array_foreach((json_t *)(uintptr_t)ids, i, id)
    {
        const json_int_t v = json_integer_value(id);
        if (q->ids && json_is_integer(id) && v >= 0 && v <= INT32_MAX) {
            q->ids[i] = (int32_t)v;
            continue;
        }
        reply_error(x, 400, -1, "ids: expected whole numbers");
        return false;
    }
    q->text = (ph_text){.ids = q->ids, .n_ids = n};
    return true;
}

static bool take_text(struct exchange *x, struct question *q)
{
    const json_t *ids = json_object_get(q->body, "ids"), *text = json_object_get(q->body, "text");

    if (ids && !json_is_null(ids)) return take_ids(x, q, ids);
    q->text = (ph_text){.text = json_string_value(text), .bytes = json_string_length(text)};
    if (q->text.text && q->text.bytes > 0 && q->text.bytes <= MOST_BYTES) return true;
    reply_error(x, 400, -1, "expected a \"text\" of at most %d bytes, or \"ids\"", MOST_BYTES);
    return false;
}

static bool read_question(struct exchange *x, struct question *q)
{
    const ph_status st = wish_run(&q->run, json_object_get(q->body, "options"), &q->err);
    if (st != PH_OK) {
        reply_failure(x, &q->err);
        return false;
    }
    if (!json_is_string(json_object_get(q->body, "feature"))) {
        reply_error(x, 400, -1, "feature: expected a spec");
        return false;
    }
    q->attribute = json_is_true(json_object_get(q->body, "attribute"));
    return take_text(x, q);
}

/* ---- computing it ---- */

static int on_progress(const char *stage, double done, void *payload)
{
    const struct question *q = payload;
    (void)stage;
    (void)done;
    return q->s->stopping || moment_now() > q->until;
}

static ph_status open_model(struct question *q)
{
    const char *asked = json_string_value(json_object_get(q->body, "model"));
    const char *spec = json_string_value(json_object_get(q->body, "feature"));
    char *key = models_key(q->s->models, asked);
    ph_status st = key ? models_take(q->s->models, &q->held, key, &q->err)
                       : fail_with(&q->err, PH_EINVAL, "model: which one?");
    if (st == PH_OK) st = archive_allows(q->s->archive, key, spec, &q->err);
    free(key);
    return st;
}

/* The same place and components in every block, joined by commas; NULL, with an error, where a feature
 * is in none. */
static char *in_every_block(struct question *q, const ph_feature *f, int64_t blocks)
{
    char *specs = NULL;
    size_t bytes = 0;
    const char *rest = strncmp(f->text, "block ", 6) == 0 ? f->text + 6 : NULL;
    FILE *out;

    if (rest) rest += strspn(rest, "0123456789");
    if (!rest || f->n_terms || f->tap.only || f->tap.block < 1 ||
        !(out = open_memstream(&specs, &bytes))) {
        fail_with(&q->err, PH_EINVAL, "feature: expected one of a block, as \"block 8 [:, :, 5]\"");
        return NULL;
    }
    for (int64_t b = 1; b <= blocks; b++)
        fprintf(out, "%sblock %lld%s", b > 1 ? ", " : "", (long long)b, rest);
    if (fclose(out) == 0) return specs;
    fail_with(&q->err, PH_ENOMEM, "out of memory");
    return NULL;
}

static ph_status open_features(struct question *q)
{
    struct subject *s = &q->subject;
    const ph_model_info *info = ph_model_get_info(s->model);
    const char *spec = json_string_value(json_object_get(q->body, "feature"));
    ph_status st = ph_features_parse(&s->features, info, spec, &q->err);

    if (st != PH_OK) return st;
    if (ph_features_count(s->features) != 1)
        return fail_with(&q->err, PH_EINVAL, "feature: expected a single one");
    if (!q->across) {
        s->specs = strdup(spec);
        return s->specs ? PH_OK : fail_with(&q->err, PH_ENOMEM, "out of memory");
    }
    if (!(s->specs = in_every_block(q, ph_features_at(s->features, 0), info->blocks)))
        return q->err.code;
    ph_features_close(&s->features);
    return ph_features_parse(&s->features, info, s->specs, &q->err);
}

/* Whether the text is short enough, and something. */
static ph_status count_tokens(struct question *q)
{
    int32_t *ids = NULL;
    size_t n = q->text.n_ids;
    ph_status st = PH_OK;
    const size_t most = q->attribute ? MOST_ATTRIBUTED : MOST_TOKENS;

    if (!q->text.ids)
        st = ph_tokenizer_encode(&ids, &n, subject_tokenizer(&q->subject), q->text.text,
                                 q->text.bytes, 0, &q->err);
    ph_free(ids);
    if (st != PH_OK || n <= most) return st;
    q->err = (ph_error){.code = PH_EINVAL, .pos = -1};
    snprintf(q->err.msg, sizeof q->err.msg, "the text has %zu tokens, at most %zu can be asked for",
             n, most);
    return PH_EINVAL;
}

static ph_status open_subject(struct question *q)
{
    struct subject *s = &q->subject;
    ph_run_options run;
    ph_status st = open_model(q);
    if (st != PH_OK) return st;
    s->model = (ph_model *)(uintptr_t)held_model(q->held); /* borrowed */
    st = open_features(q);
    if (st == PH_OK) st = count_tokens(q);
    if (st == PH_OK) st = ph_features_run(&run, s->features, &q->run, &q->err);
    if (st == PH_OK) st = ph_context(&s->context, &s->n_context, s->model, &run, &q->err);
    return st;
}

/* The id that the command line's run has. */
static ph_status name_run(struct question *q)
{
    struct common c = *q->s->common;
    json_t *line = NULL;
    struct subject *s = &q->subject;
    c.command = q->attribute ? "attribute" : "score";
    c.run = q->run;
    const struct run_of of = subject_run_of(s);
    const ph_status st = run_line(&line, s->run, &c, &of, common_settings(&c), &q->err);
    json_decref(line);
    return st;
}

static int on_score(const ph_score_result *r, void *payload)
{
    struct question *q = payload;
    const struct line_source from = {q->subject.run, subject_tokenizer(&q->subject), &q->run};
    q->answer = score_line(&from, r, q->attribute);
    return q->answer == NULL;
}

static int on_block(const ph_score_result *r, void *payload)
{
    struct question *q = payload;
    json_array_append_new(json_object_get(q->answer, "blocks"),
                          json_integer((json_int_t)r->feature->tap.block));
    json_array_append_new(json_object_get(q->answer, "values"), number(r->activation));
    return 0;
}

static ph_status compute(struct question *q)
{
    const struct subject *s = &q->subject;
    if (q->across) {
        q->answer = json_pack("{s:[], s:[]}", "blocks", "values");
        return ph_score(s->model, s->features, &q->text, &q->run, on_block, q, &q->err);
    }
    const ph_status st = name_run(q);
    if (st != PH_OK) return st;
    return (q->attribute ? ph_attribute : ph_score)(s->model, s->features, &q->text, &q->run,
                                                    on_score, q, &q->err);
}

static void work(void *payload)
{
    struct question *q = payload;
    q->until = moment_now() + SECONDS;
    q->run.progress = on_progress;
    q->run.progress_payload = q;
    if (open_subject(q) == PH_OK && compute(q) == PH_OK) q->err.code = PH_OK;
    ph_features_close(&q->subject.features);
    ph_free(q->subject.context);
    free(q->subject.specs);
    models_give(q->s->models, q->held);
}

/* ---- the answer ---- */

static void answer(struct exchange *x, struct question *q)
{
    if (!worker_run(q->s->worker, PATIENCE, work, q)) {
        reply_error(x, 503, -1, "too many questions at once; ask again");
    } else if (q->err.code == PH_OK) {
        reply_json(x, q->answer);
        q->answer = NULL;
    } else if (q->err.code == PH_ECANCELED) {
        reply_error(x, 503, -1, "that took longer than %d seconds", SECONDS);
    } else {
        reply_no_model(x, &q->err);
    }
}

static void ask(struct exchange *x, bool across)
{
    struct question q = {.s = serving_of(x), .across = across};

    q.run = q.s->common->run;
    q.body = body_object(x);
    if (q.body && read_question(x, &q)) answer(x, &q);
    json_decref(q.answer);
    json_decref(q.body);
    free(q.ids);
}

void ask_score(struct exchange *x)
{
    ask(x, false);
}

void ask_across(struct exchange *x)
{
    ask(x, true);
}
