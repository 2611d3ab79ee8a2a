/* test_chat.c — the context of --chat against transformers' apply_chat_template, and what is refused.
 *
 * Reads tests/data/chat.jsonl (tools/golden_chat.py): templates of all formats over small tokenizers
 * of several kinds. The model is a tokenizer only: a job needs no more for its context.
 */
#include "base/mem.h"
#include "model/model.h"
#include "search/job.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *text_of(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

/* A tokenizer of tests/data/tokenizers with further special tokens, and a tokenizer_config.json. */
static ph_tokenizer *open_tokenizer(const char *name, const json_t *added, const json_t *config)
{
    char path[128];
    ph_tokenizer *t = NULL;
    ph_error err = {0};
    const json_t *token;
    size_t i, most = 0;

    snprintf(path, sizeof path, "tests/data/tokenizers/%s.json", name);
    json_t *root = json_load_file(path, 0, NULL);
    assert_non_null(root);
    json_t *list = json_object_get(root, "added_tokens");
    most = json_object_size(json_object_get(json_object_get(root, "model"), "vocab"));
    json_array_foreach(list, i, token)
    {
        const size_t id = (size_t)json_integer_value(json_object_get(token, "id"));
        if (id >= most) most = id + 1;
    }
    json_array_foreach(added, i, token) json_array_append_new(
        list, json_pack("{s:I, s:s, s:b, s:b}", "id", (json_int_t)(most + i), "content",
                        json_string_value(token), "special", 1, "normalized", 0));
    char *json = json_dumps(root, 0), *more = json_dumps(config, 0);
    if (ph__tokenizer_open_json(&t, json, strlen(json), more, strlen(more), &err) != PH_OK)
        fail_msg("%s: %s", name, err.msg);
    free(json);
    free(more);
    json_decref(root);
    return t;
}

static ph_model model_of(ph_tokenizer *t)
{
    return (ph_model){.tokenizer = t, .arch.V = ph_tokenizer_get_info(t)->vocab};
}

/* Context, text and what comes behind it are the prompt that transformers prints … */
static void check_printed(const json_t *row, const ph_turn *turn)
{
    char all[4096];
    const char *want = text_of(row, "printed");
    const bool bos = turn->bos >= 0;
    if (bos) assert_memory_equal(want, "<s>", 3);
    snprintf(all, sizeof all, "%s%s%s%s", turn->before, turn->blank ? " " : "",
             text_of(row, "text"), turn->after);
    assert_string_equal(all, want + (bos ? 3 : 0));
}

/* … and its tokens are transformers' first ones. */
static void check_ids(const json_t *row, const ph_job *job, const ph_encoded *e)
{
    const json_t *ids = json_object_get(row, "ids");
    assert_true(e->n > 0 && e->n_context + e->n < json_array_size(ids));
    for (size_t i = 0; i < e->n_context + e->n; i++) {
        const int32_t got = i < e->n_context ? e->context[i] : e->ids[i - e->n_context];
        if (got != json_integer_value(json_array_get(ids, i)))
            fail_msg("%s, \"%s\": token %zu is %d, expected %d", text_of(row, "name"),
                     text_of(row, "text"), i, got, (int)json_integer_value(json_array_get(ids, i)));
    }
    assert_int_equal(e->n_context, job->n_context);
    assert_memory_equal(e->context, job->context, e->n_context * sizeof *e->context);
}

static void check_row(const json_t *row)
{
    ph_tokenizer *t = open_tokenizer(text_of(row, "tokenizer"), json_object_get(row, "added"),
                                     json_object_get(row, "config"));
    const ph_model model = model_of(t);
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    const char *text = text_of(row, "text");
    ph_job job = {0};
    ph_encoded e = {0};
    ph_error err = {0};
    bool trips = false;

    run.chat = true;
    assert_string_equal(ph_tokenizer_get_info(t)->chat_format, text_of(row, "format"));
    if (ph__job_open(&job, &model, &run, &err) != PH_OK)
        fail_msg("%s: %s", text_of(row, "name"), err.msg);
    assert_int_equal(ph__job_encode(&e, &job, text, strlen(text), &err), PH_OK);
    check_printed(row, &job.turn);
    check_ids(row, &job, &e);
    assert_int_equal(ph__job_trips(&trips, &job, e.ids, e.n, &err), PH_OK);
    assert_true(trips);
    ph__encoded_close(&e);
    ph__job_close(&job);
    ph_tokenizer_close(&t);
}

static void test_against_transformers(void **state)
{
    (void)state;
    FILE *f = fopen("tests/data/chat.jsonl", "r");
    json_t *row;
    int n = 0;

    assert_non_null(f);
    while ((row = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL))) {
        check_row(row);
        json_decref(row);
        n++;
    }
    fclose(f);
    assert_true(n >= 60);
}

/* ---- one template, other options ---- */

static ph_job open_job(ph_model *model, const char *tokenizer, const char *chat,
                       const ph_run_options *run)
{
    ph_job job = {0};
    ph_error err = {0};
    json_t *added = json_pack("[s, s]", "<|im_start|>", "<|im_end|>");
    json_t *config = json_pack("{s:s, s:s, s:s}", "bos_token", "<s>", "eos_token", "</s>",
                               "chat_template", chat);
    *model = model_of(open_tokenizer(tokenizer, added, config));
    json_decref(added);
    json_decref(config);
    if (ph__job_open(&job, model, run, &err) != PH_OK) fail_msg("%s", err.msg);
    return job;
}

static void close_job(ph_job *job, ph_model *model)
{
    ph__job_close(job);
    ph_tokenizer_close(&model->tokenizer);
}

#define WITH_BOS "{{ bos_token }}{{ '<|im_start|>user\n' }}"
#define WITHOUT  "{{ '<|im_start|>user\n' }}"

/* Context with these options begins with a BOS, or not. */
static void expect_bos(const char *chat, ph_bos bos, int32_t want)
{
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    ph_model model;
    run.chat = true;
    run.bos = bos;
    ph_job job = open_job(&model, "llama3", chat, &run);
    assert_int_equal(job.turn.bos, want);
    assert_true(job.n_context > 2);
    if (want >= 0) assert_int_equal(job.context[0], want);
    if (want >= 0) assert_int_not_equal(job.context[1], want);
    close_job(&job, &model);
}

static void test_bos(void **state)
{
    (void)state;
    expect_bos(WITH_BOS, PH_BOS_AUTO, 1);
    expect_bos(WITH_BOS, PH_BOS_ON, 1);
    expect_bos(WITH_BOS, PH_BOS_OFF, -1);
    expect_bos(WITHOUT, PH_BOS_AUTO, -1);
    expect_bos(WITHOUT, PH_BOS_ON, 1);
    expect_bos("<s>" WITHOUT, PH_BOS_AUTO, 1);
}

/* The user's own prefix and suffix stand inside of the turn. */
static void test_inside(void **state)
{
    (void)state;
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    ph_model model;
    run.chat = true;
    run.prefix = "Say: ";
    run.suffix = "!";
    ph_job job = open_job(&model, "llama3", WITHOUT, &run);
    assert_string_equal(job.turn.before, "<|im_start|>user\nSay: ");
    assert_string_equal(job.turn.after, "!<|im_end|>\n<|im_start|>assistant\n");
    close_job(&job, &model);
    job = open_job(&model, "llama2", "[INST] {{ x }} [/INST]", &run);
    assert_string_equal(job.turn.before, "[INST] Say: ");
    assert_false(job.turn.blank);
    close_job(&job, &model);
}

/* The blank behind [INST] is the first word's, and no text has it twice. */
static void test_blank(void **state)
{
    (void)state;
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    ph_model model;
    ph_encoded e = {0};
    ph_error err = {0};
    char *text = NULL;
    size_t bytes = 0;

    run.chat = true;
    ph_job job = open_job(&model, "llama2", "[INST] {{ x }} [/INST]", &run);
    assert_true(job.turn.blank);
    assert_int_equal(ph__job_encode(&e, &job, "only", 4, &err), PH_OK);
    assert_int_equal(ph__job_decode(&text, &bytes, &job, e.ids, e.n, &err), PH_OK);
    assert_string_equal(text, "only");
    assert_int_equal(bytes, 4);
    const char *piece = ph_tokenizer_piece(model.tokenizer, e.ids[0], &bytes);
    assert_int_equal(*piece, ' ');
    ph__free(text);
    ph__encoded_close(&e);
    assert_int_equal(ph__job_encode(&e, &job, "", 0, &err), PH_OK);
    assert_int_equal(e.n, 0);
    ph__encoded_close(&e);
    close_job(&job, &model);
}

/* ---- what is refused ---- */

static void expect_refused(const char *chat, const char *message)
{
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    json_t *config = chat ? json_pack("{s:s}", "chat_template", chat) : json_object();
    ph_tokenizer *t = open_tokenizer("llama3", NULL, config);
    const ph_model model = model_of(t);
    int32_t *ids = NULL;
    size_t n = 0;
    ph_error err = {0};

    run.chat = true;
    assert_int_equal(ph_context(&ids, &n, &model, &run, &err), PH_EUNSUPPORTED);
    if (!strstr(err.msg, message)) fail_msg("\"%s\" has no \"%s\"", err.msg, message);
    json_decref(config);
    ph_tokenizer_close(&t);
}

static void test_refused(void **state)
{
    (void)state;
    expect_refused(NULL, "the file has no chat template");
    expect_refused("", "the file has no chat template");
    expect_refused("{{ '<｜User｜>' + content }}", "of no format that is known (ChatML, ");
    expect_refused("{{ '<|user|>' }}", "of no format that is known");
    expect_refused(WITHOUT "{{ strftime_now('%d') }}", "a system message of its own");
    expect_refused("[INST]{% set default_system_message = 'x' %}", "a system message of its own");
    expect_refused("<|start_header_id|>Cutting Knowledge Date: 1\n",
                   "a date that it does not name");
}

/* Several templates with names: the default one. */
static void test_several(void **state)
{
    (void)state;
    json_t *config =
        json_pack("{s:[{s:s, s:s}, {s:s, s:s}]}", "chat_template", "name", "tool_use", "template",
                  "<start_of_turn>", "name", "default", "template", "<|im_start|>");
    ph_tokenizer *t = open_tokenizer("llama3", NULL, config);
    assert_string_equal(ph_tokenizer_get_info(t)->chat_format, "ChatML");
    ph_tokenizer_close(&t);
    json_object_set_new(json_array_get(json_object_get(config, "chat_template"), 1), "name",
                        json_string("rag"));
    t = open_tokenizer("llama3", NULL, config);
    assert_string_equal(ph_tokenizer_get_info(t)->chat_format, "Gemma");
    ph_tokenizer_close(&t);
    json_object_set_new(config, "chat_template", json_integer(3));
    t = open_tokenizer("llama3", NULL, config);
    assert_null(ph_tokenizer_get_info(t)->chat_format);
    ph_tokenizer_close(&t);
    json_decref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_transformers),
        cmocka_unit_test(test_bos),
        cmocka_unit_test(test_inside),
        cmocka_unit_test(test_blank),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
