/* vocabulary.c — the tokenizer that a model describes: keys tokenizer.ggml.*, or tokenizer.json. */
#include "model/vocabulary.h"

#include "base/buf.h"
#include "base/file.h"
#include "text/vocab.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY(name) "tokenizer.ggml." name

typedef struct source {
    const ph_weights *weights;
    bool has_kinds;
} source;

static const char *token(const void *p, size_t i, size_t *bytes)
{
    const source *s = p;
    const ph_bytes b = ph__meta_string_at(s->weights, KEY("tokens"), i);
    *bytes = b.size;
    return b.data;
}

static bool merge(ph_pair *out, const void *p, size_t i)
{
    const source *s = p;
    const ph_bytes b = ph__meta_string_at(s->weights, KEY("merges"), i);
    return ph__pair_read(out, b.data, b.size);
}

static float score(const void *p, size_t i)
{
    const source *s = p;
    return (float)ph__meta_number_at(s->weights, KEY("scores"), i);
}

static int kind(const void *p, size_t i)
{
    const source *s = p;
    if (!s->has_kinds) return PH_TOKEN_NORMAL;
    const double k = ph__meta_number_at(s->weights, KEY("token_type"), i);
    return k >= 0 && k <= 255 ? (int)k : -1;
}

/* 0 or 1, -1 where the file does not say. */
static ph_status read_flag(int *out, const ph_weights *w, const char *key, ph_error *err)
{
    bool value = false;
    PH_TRY(ph__meta_bool(&value, w, key, err));
    *out = ph__meta_has(w, key) ? value : -1;
    return PH_OK;
}

static ph_status read_string(char **out, const ph_weights *w, const char *key, ph_error *err)
{
    ph_bytes b = {"", 0};
    PH_TRY(ph__meta_string(&b, w, key, err));
    return ph__bytes_dup(out, b, err);
}

static ph_status read_sizes(ph_vocab *v, source *s, ph_error *err)
{
    size_t n_kinds, n_scores;

    PH_TRY(ph__meta_strings(&v->n_tokens, s->weights, KEY("tokens"), err));
    PH_TRY(ph__meta_strings(&v->n_merges, s->weights, KEY("merges"), err));
    PH_TRY(ph__meta_numbers(&n_kinds, s->weights, KEY("token_type"), err));
    s->has_kinds = ph__meta_has(s->weights, KEY("token_type"));
    if (s->has_kinds && n_kinds != v->n_tokens)
        return ph__fail(err, PH_EFORMAT, -1,
                        KEY("token_type") " has %zu elements, " KEY("tokens") " %zu", n_kinds,
                        v->n_tokens);
    PH_TRY(ph__meta_numbers(&n_scores, s->weights, KEY("scores"), err));
    if (!ph__meta_has(s->weights, KEY("scores"))) return PH_OK;
    v->score = score;
    if (n_scores != v->n_tokens)
        return ph__fail(err, PH_EFORMAT, -1,
                        KEY("scores") " has %zu elements, " KEY("tokens") " %zu", n_scores,
                        v->n_tokens);
    return PH_OK;
}

static ph_status read_ids(ph_vocab *v, const ph_weights *w, ph_error *err)
{
    v->bos = v->eos = v->unk = -1;
    PH_TRY(ph__meta_int(&v->bos, w, KEY("bos_token_id"), err));
    PH_TRY(ph__meta_int(&v->eos, w, KEY("eos_token_id"), err));
    PH_TRY(ph__meta_int(&v->unk, w, KEY("unknown_token_id"), err));
    PH_TRY(read_flag(&v->add_bos, w, KEY("add_bos_token"), err));
    PH_TRY(read_flag(&v->add_eos, w, KEY("add_eos_token"), err));
    return read_flag(&v->add_space, w, KEY("add_space_prefix"), err);
}

static ph_status read_keys(ph_tokenizer **out, const ph_weights *w, ph_error *err)
{
    ph_status st = PH_OK;
    source s = {.weights = w};
    char *model = NULL, *pre = NULL;
    ph_tokenizer *t = NULL;
    ph_bytes chat = {"", 0};
    ph_vocab v = {.token = token, .merge = merge, .kind = kind, .source = &s};

    if (!ph__meta_has(w, KEY("model")))
        return ph__fail(err, PH_EFORMAT, -1, "the file holds no vocabulary (" KEY("model") ")");
    PH_GO(read_string(&model, w, KEY("model"), err));
    PH_GO(read_string(&pre, w, KEY("pre"), err));
    PH_GO(read_sizes(&v, &s, err));
    PH_GO(read_ids(&v, w, err));
    v.model = model;
    v.pre = pre;
    PH_GO(ph__tokenizer_new(&t, &v, err));
    PH_GO(ph__meta_string(&chat, w, "tokenizer.chat_template", err));
    PH_GO(ph__tokenizer_set_chat(t, chat.data, chat.size, err));
    *out = t;
    t = NULL;
done:
    ph_tokenizer_close(&t);
    ph__free(model);
    ph__free(pre);
    return st;
}

/* ---- files ---- */

/* *out = `folder`/`name`. */
static ph_status join(char **out, const char *folder, size_t n, const char *name, ph_error *err)
{
    return ph__printf(out, err, "%.*s/%s", (int)n, folder, name);
}

/* Map a file that stands in the same folder as `path`, if it is there. */
static ph_status map_beside(ph_map *map, const char *path, const char *name, ph_error *err)
{
    ph_status st = PH_OK;
    const char *slash = strrchr(path, '/');
    char *beside = NULL;

    PH_GO(slash ? join(&beside, path, (size_t)(slash - path), name, err)
                : ph__printf(&beside, err, "%s", name));
    if (access(beside, R_OK) == 0) PH_GO(ph__map_open(map, beside, err));
done:
    ph__free(beside);
    return st;
}

/* A tokenizer.json, with the tokenizer_config.json and the chat_template.jinja of the same folder. */
static ph_status open_json(ph_tokenizer **out, const char *path, const ph_map *json, ph_error *err)
{
    ph_status st = PH_OK;
    ph_tokenizer *t = NULL;
    ph_map config = {0}, chat = {0};

    PH_GO(map_beside(&config, path, "tokenizer_config.json", err));
    PH_GO(map_beside(&chat, path, "chat_template.jinja", err));
    PH_GO(ph__tokenizer_open_json(&t, (const char *)json->bytes, json->size,
                                  (const char *)config.bytes, config.size, err));
    if (chat.bytes) PH_GO(ph__tokenizer_set_chat(t, (const char *)chat.bytes, chat.size, err));
    *out = t;
    t = NULL;
done:
    ph_tokenizer_close(&t);
    ph__map_close(&chat);
    ph__map_close(&config);
    return st;
}

static bool is_json(const ph_map *m)
{
    size_t i = 0;
    while (i < m->size && strchr(" \t\r\n", m->bytes[i]) && m->bytes[i]) i++;
    return i < m->size && m->bytes[i] == '{';
}

static bool is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

ph_status ph_tokenizer_open(ph_tokenizer **out, const char *path, ph_error *err)
{
    ph_status st = PH_OK;
    ph_weights *w = NULL;
    ph_map map = {0};
    char *inside = NULL;

    if (is_folder(path)) {
        PH_GO(join(&inside, path, strlen(path), "tokenizer.json", err));
        path = inside;
    }
    PH_GO(ph__map_open(&map, path, err));
    if (is_json(&map)) {
        PH_GO(open_json(out, path, &map, err));
    } else {
        PH_GO(ph__weights_open(&w, path, err));
        PH_GO(read_keys(out, w, err));
    }
done:
    ph__weights_close(&w);
    ph__map_close(&map);
    ph__free(inside);
    return st;
}

bool ph__vocabulary_has(const ph_weights *w)
{
    char *json = NULL;
    const char *folder = ph__weights_folder(w);

    if (!folder) return ph__meta_has(w, KEY("model"));
    const bool has =
        ph__printf(&json, NULL, "%s/tokenizer.json", folder) != PH_OK || access(json, F_OK) == 0;
    ph__free(json);
    return has;
}

ph_status ph__vocabulary_read(ph_tokenizer **out, const ph_weights *w, ph_error *err)
{
    const char *folder = ph__weights_folder(w);
    return folder ? ph_tokenizer_open(out, folder, err) : read_keys(out, w, err);
}
