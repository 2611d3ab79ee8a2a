/* json_tokenizer.c — a tokenizer from Hugging Face's tokenizer.json. */
#include "text/json_steps.h"
#include "text/spm.h"

#include "base/mem.h"

#include <string.h>

typedef struct entry {
    const char *text; /* the JSON's */
    size_t bytes;
    uint8_t kind;
    bool in_model;
    ph_added how;
} entry;

typedef struct source {
    const json_t *vocab, *added, *merges;
    const char *unk;
    size_t n_unk;
    bool byte_fallback;
    entry *at;
    size_t n;
} source;

static const char *token(const void *p, size_t i, size_t *bytes)
{
    const entry *e = &((const source *)p)->at[i];
    *bytes = e->bytes;
    return e->text ? e->text : "";
}

static int kind(const void *p, size_t i)
{
    return ((const source *)p)->at[i].kind;
}

/* What is added besides may be made of words all the same, but for what stands for nothing that a
 * text says. */
static bool in_words(const void *p, size_t i)
{
    const entry *e = &((const source *)p)->at[i];
    return e->in_model && e->kind != PH_TOKEN_CONTROL && e->kind != PH_TOKEN_UNKNOWN;
}

static ph_added added(const void *p, size_t i)
{
    return ((const source *)p)->at[i].how;
}

static bool merge(ph_pair *out, const void *p, size_t i)
{
    const json_t *m = json_array_get(((const source *)p)->merges, i);
    const json_t *left = json_array_get(m, 0), *right = json_array_get(m, 1);

    if (json_is_string(m)) return ph__pair_read(out, json_string_value(m), json_string_length(m));
    *out = (ph_pair){json_string_value(left), json_string_value(right), json_string_length(left),
                     json_string_length(right)};
    return true;
}

/* ---- the model ---- */

static ph_status check_merges(const json_t *merges, ph_error *err)
{
    ph_pair pair;

    if (!json_is_array(merges))
        return ph__fail(err, PH_EFORMAT, -1, "model: \"merges\" is no array");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *m = json_array_get(merges, i);
        const bool two = json_array_size(m) == 2 && json_is_string(json_array_get(m, 0)) &&
                         json_is_string(json_array_get(m, 1));
        const bool one =
            json_is_string(m) && ph__pair_read(&pair, json_string_value(m), json_string_length(m));
        if (!one && !two)
            return ph__fail(err, PH_EFORMAT, -1, "model: merge %zu is no pair of texts", i);
    }
    return PH_OK;
}

/* What would change the words' ids in a way that we do not follow. */
static ph_status check_rest(const json_t *model, ph_error *err)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const json_t *dropout = json_object_get(model, "dropout");
    const char *text;
    size_t n;

    for (size_t i = 0; i < sizeof affixes / sizeof *affixes; i++) {
        PH_TRY(ph__json_text(&text, &n, model, "model", affixes[i], err));
        if (n)
            return ph__fail(err, PH_EUNSUPPORTED, -1, "model: %s \"%.100s\" is not supported",
                            affixes[i], text);
    }
    if (dropout && !json_is_null(dropout) && json_number_value(dropout) != 0)
        return ph__fail(err, PH_EUNSUPPORTED, -1, "model: a dropout is not supported");
    return PH_OK;
}

static ph_status read_model(source *s, ph_vocab *v, const json_t *model, ph_error *err)
{
    const char *type;
    size_t n;

    if (!json_is_object(model)) return ph__fail(err, PH_EFORMAT, -1, "\"model\" is no object");
    PH_TRY(ph__json_text(&type, &n, model, "model", "type", err));
    if (n && strcmp(type, "BPE") != 0)
        return ph__fail(err, PH_EUNSUPPORTED, -1, "model \"%.100s\" is not supported", type);
    PH_TRY(check_rest(model, err));
    s->vocab = json_object_get(model, "vocab");
    if (!json_is_object(s->vocab))
        return ph__fail(err, PH_EFORMAT, -1, "model: \"vocab\" is no object");
    s->merges = json_object_get(model, "merges");
    PH_TRY(check_merges(s->merges, err));
    v->n_merges = json_array_size(s->merges);
    PH_TRY(ph__json_text(&s->unk, &s->n_unk, model, "model", "unk_token", err));
    PH_TRY(ph__json_flag(&v->fuse_unk, model, "model", "fuse_unk", false, err));
    PH_TRY(ph__json_flag(&v->whole_words, model, "model", "ignore_merges", false, err));
    PH_TRY(ph__json_flag(&v->byte_fallback, model, "model", "byte_fallback", false, err));
    s->byte_fallback = v->byte_fallback;
    return PH_OK;
}

/* ---- tokens ---- */

/* An id may not ask for more memory than the file is worth: few are left out in between. */
static ph_status check_id(source *s, const json_t *id, const char *text, ph_error *err)
{
    const size_t most = 2 * (json_object_size(s->vocab) + json_array_size(s->added)) + 1024;

    if (!json_is_integer(id))
        return ph__fail(err, PH_EFORMAT, -1, "token \"%.100s\": its id is no integer", text);
    const json_int_t i = json_integer_value(id);
    if (i < 0 || (uint64_t)i >= most)
        return ph__fail(err, PH_EFORMAT, -1, "token \"%.100s\" has id %lld, expected 0 to %zu",
                        text, (long long)i, most - 1);
    if (s->n <= (size_t)i) s->n = (size_t)i + 1;
    return PH_OK;
}

static ph_status check_added(source *s, ph_error *err)
{
    if (s->added && !json_is_null(s->added) && !json_is_array(s->added))
        return ph__fail(err, PH_EFORMAT, -1, "\"added_tokens\" is no array");
    for (size_t i = 0; i < json_array_size(s->added); i++) {
        const json_t *o = json_array_get(s->added, i), *text = json_object_get(o, "content");
        if (!json_is_string(text))
            return ph__fail(err, PH_EFORMAT, -1, "added token %zu: \"content\" is no string", i);
        PH_TRY(check_id(s, json_object_get(o, "id"), json_string_value(text), err));
    }
    return PH_OK;
}

static ph_status take_added(source *s, const json_t *o, ph_error *err)
{
    static const char of[] = "added token";
    entry *e = &s->at[json_integer_value(json_object_get(o, "id"))];
    const json_t *text = json_object_get(o, "content");
    bool special;

    PH_TRY(ph__json_flag(&special, o, of, "special", false, err));
    PH_TRY(ph__json_flag(&e->how.left, o, of, "lstrip", false, err));
    PH_TRY(ph__json_flag(&e->how.right, o, of, "rstrip", false, err));
    PH_TRY(ph__json_flag(&e->how.word, o, of, "single_word", false, err));
    PH_TRY(ph__json_flag(&e->how.normalized, o, of, "normalized", !special, err));
    e->text = json_string_value(text);
    e->bytes = json_string_length(text);
    e->kind = special ? PH_TOKEN_CONTROL : PH_TOKEN_USER_DEFINED;
    return PH_OK;
}

static uint8_t model_kind(const source *s, const char *text, size_t n)
{
    if (s->n_unk && n == s->n_unk && memcmp(text, s->unk, n) == 0) return PH_TOKEN_UNKNOWN;
    return s->byte_fallback && ph__spm_byte(text, n) >= 0 ? PH_TOKEN_BYTE : PH_TOKEN_NORMAL;
}

static ph_status take_model(source *s, const char *text, size_t n, const json_t *id, ph_error *err)
{
    entry *e = &s->at[json_integer_value(id)];
    if (e->text)
        return ph__fail(err, PH_EFORMAT, -1,
                        "tokens \"%.100s\" and \"%.100s\" have the same id %lld", e->text, text,
                        (long long)json_integer_value(id));
    *e = (entry){.text = text, .bytes = n, .kind = model_kind(s, text, n), .in_model = true};
    return PH_OK;
}

/* Ids that nobody has are tokens without text. */
static ph_status read_tokens(source *s, ph_error *err)
{
    json_t *const vocab =
        (json_t *)(uintptr_t)s->vocab; /* iterators want it so, and change nothing */

    for (void *i = json_object_iter(vocab); i; i = json_object_iter_next(vocab, i))
        PH_TRY(check_id(s, json_object_iter_value(i), json_object_iter_key(i), err));
    PH_TRY(check_added(s, err));
    PH_TRY(PH_NEW(&s->at, s->n, err));
    for (size_t i = 0; i < s->n; i++) s->at[i].kind = PH_TOKEN_UNUSED;
    for (void *i = json_object_iter(vocab); i; i = json_object_iter_next(vocab, i))
        PH_TRY(take_model(s, json_object_iter_key(i), json_object_iter_key_len(i),
                          json_object_iter_value(i), err));
    for (size_t i = 0; i < json_array_size(s->added); i++)
        PH_TRY(take_added(s, json_array_get(s->added, i), err));
    return PH_OK;
}

/* The id of a text, -1 if no token has it. */
static int64_t find_token(const source *s, const char *text, size_t n)
{
    for (size_t i = 0; n && i < s->n; i++)
        if (s->at[i].bytes == n && memcmp(s->at[i].text, text, n) == 0) return (int64_t)i;
    return -1;
}

/* ---- tokenizer_config.json ---- */

/* A token's text: a string, or an object with its content. */
static ph_status read_named(int64_t *id, const source *s, const json_t *config, const char *key,
                            ph_error *err)
{
    const json_t *v = json_object_get(config, key);
    const char *text;
    size_t n;

    if (json_is_object(v))
        PH_TRY(ph__json_text(&text, &n, v, key, "content", err));
    else
        PH_TRY(ph__json_text(&text, &n, config, "tokenizer_config.json", key, err));
    if (*id < 0) *id = find_token(s, text, n);
    return PH_OK;
}

/* Classes that follow tokenizer.json alone pass over what the configuration says about adding. */
static ph_status read_config(ph_vocab *v, const source *s, const json_t *config, ph_error *err)
{
    static const char of[] = "tokenizer_config.json";
    const char *class;
    size_t n;
    bool bos, eos;

    PH_TRY(read_named(&v->bos, s, config, "bos_token", err));
    PH_TRY(read_named(&v->eos, s, config, "eos_token", err));
    PH_TRY(ph__json_text(&class, &n, config, of, "tokenizer_class", err));
    PH_TRY(ph__json_flag(&bos, config, of, "add_bos_token", v->add_bos != 0, err));
    PH_TRY(ph__json_flag(&eos, config, of, "add_eos_token", v->add_eos != 0, err));
    if (strcmp(class, "PreTrainedTokenizerFast") == 0 || strcmp(class, "TokenizersBackend") == 0)
        return PH_OK;
    v->add_bos = bos;
    v->add_eos = eos;
    return PH_OK;
}

/* One template, or several with names, of which one is the "default". */
static ph_status take_chat(ph_tokenizer *t, const json_t *config, ph_error *err)
{
    const json_t *chat = json_object_get(config, "chat_template");
    for (size_t i = json_array_size(chat); i-- > 0;) {
        const json_t *o = json_array_get(chat, i), *name = json_object_get(o, "name");
        if (i > 0 && !(json_is_string(name) && strcmp(json_string_value(name), "default") == 0))
            continue;
        chat = json_object_get(o, "template");
        break;
    }
    if (!json_is_string(chat)) return PH_OK;
    return ph__tokenizer_set_chat(t, json_string_value(chat), json_string_length(chat), err);
}

/* ---- all of it ---- */

ph_status ph__json_tokenizer(ph_tokenizer **out, const json_t *root, const json_t *config,
                             ph_error *err)
{
    ph_status st = PH_OK;
    source s = {.added = json_object_get(root, "added_tokens")};
    ph_tokenizer *t = NULL;
    ph_steps normal = {0}, split = {0};
    ph_vocab v = {.model = "BPE",
                  .pre = "tokenizer.json",
                  .token = token,
                  .merge = merge,
                  .kind = kind,
                  .in_words = in_words,
                  .added = added,
                  .source = &s,
                  .bos = -1,
                  .eos = -1,
                  .add_space = -1,
                  .normal = &normal,
                  .split = &split};

    PH_GO(read_model(&s, &v, json_object_get(root, "model"), err));
    PH_GO(ph__json_normalizer(&normal, json_object_get(root, "normalizer"), err));
    PH_GO(
        ph__json_pre_tokenizer(&split, &v.byte_level, json_object_get(root, "pre_tokenizer"), err));
    PH_GO(ph__json_decoder(&v.byte_level, &v.strip, json_object_get(root, "decoder"), err));
    PH_GO(read_tokens(&s, err));
    PH_GO(ph__json_post_processor(&v.bos, &v.eos, json_object_get(root, "post_processor"), err));
    v.add_bos = v.bos >= 0;
    v.add_eos = v.eos >= 0;
    v.unk = find_token(&s, s.unk, s.n_unk);
    v.n_tokens = s.n;
    if (config) PH_GO(read_config(&v, &s, config, err));
    PH_GO(ph__tokenizer_new(&t, &v, err));
    if (config) PH_GO(take_chat(t, config, err));
    *out = t;
    t = NULL;
done:
    ph_tokenizer_close(&t);
    ph__steps_close(&normal);
    ph__steps_close(&split);
    ph__free(s.at);
    return st;
}

ph_status ph__tokenizer_open_json(ph_tokenizer **out, const char *json, size_t bytes,
                                  const char *config, size_t config_bytes, ph_error *err)
{
    ph_status st = PH_OK;
    json_t *root = NULL, *more = NULL;

    PH_GO(ph__json_parse(&root, json, bytes, "tokenizer.json", err));
    if (config) PH_GO(ph__json_parse(&more, config, config_bytes, "tokenizer_config.json", err));
    PH_GO(ph__json_tokenizer(out, root, more, err));
done:
    json_decref(root);
    json_decref(more);
    return st;
}
