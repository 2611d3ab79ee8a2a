/* vocabulary.c — the tokenizer that a model describes: keys tokenizer.ggml.*, or a folder's files. */
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

static ph_status join(char **out, const char *folder, const char *name, ph_error *err)
{
    return ph__printf(out, err, "%s%s%s", folder, *folder ? "/" : "", name);
}

/* *out = the file of the folder, if it is there: out->bytes NULL if not. */
static ph_status open_file(ph_map *out, const char *folder, const char *name, ph_error *err)
{
    ph_status st = PH_OK;
    char *path = NULL;

    PH_GO(join(&path, folder, name, err));
    if (access(path, F_OK) == 0) PH_GO(ph__map_open(out, path, err));
done:
    ph__free(path);
    return st;
}

static ph_content content(const ph_map *m)
{
    return (ph_content){(const char *)m->bytes, m->size};
}

static ph_status open_json(ph_tokenizer **out, const char *folder, const ph_map *json,
                           ph_error *err)
{
    ph_status st = PH_OK;
    ph_tokenizer *t = NULL;
    ph_map config = {0}, chat = {0};

    PH_GO(open_file(&config, folder, "tokenizer_config.json", err));
    PH_GO(open_file(&chat, folder, "chat_template.jinja", err));
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

/* The older kinds: a tokenizer.model, or vocab.json with merges.txt where `merges` is there. */
static ph_status open_older(ph_tokenizer **out, const char *folder, const ph_map *vocab,
                            const ph_map *merges, ph_error *err)
{
    static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json",
                                        "added_tokens.json", "config.json"};
    ph_status st = PH_OK;
    ph_map m[4] = {{0}};

    for (int i = 0; i < 4; i++) PH_GO(open_file(&m[i], folder, names[i], err));
    const ph_beside beside = {content(&m[0]), content(&m[1]), content(&m[2]), content(&m[3])};
    PH_GO(merges ? ph__tokenizer_open_pair(out, content(vocab), content(merges), &beside, err)
                 : ph__tokenizer_open_spm(out, content(vocab), &beside, err));
done:
    for (int i = 0; i < 4; i++) ph__map_close(&m[i]);
    return st;
}

static ph_status open_folder(ph_tokenizer **out, const char *folder, ph_error *err)
{
    ph_status st = PH_OK;
    ph_map json = {0}, vocab = {0}, merges = {0}, model = {0};

    PH_GO(open_file(&json, folder, "tokenizer.json", err));
    if (!json.bytes) {
        PH_GO(open_file(&model, folder, "tokenizer.model", err));
        PH_GO(open_file(&vocab, folder, "vocab.json", err));
        PH_GO(open_file(&merges, folder, "merges.txt", err));
    }
    if (json.bytes)
        st = open_json(out, folder, &json, err);
    else if (model.bytes)
        st = open_older(out, folder, &model, NULL, err);
    else if (vocab.bytes && merges.bytes)
        st = open_older(out, folder, &vocab, &merges, err);
    else
        st = ph__fail(err, PH_EIO, -1,
                      "%s: no tokenizer.json is there, no tokenizer.model, nor vocab.json with "
                      "merges.txt",
                      folder);
done:
    ph__map_close(&json);
    ph__map_close(&vocab);
    ph__map_close(&merges);
    ph__map_close(&model);
    return st;
}

static bool is_json(const ph_map *m)
{
    size_t i = 0;
    while (i < m->size && strchr(" \t\r\n", m->bytes[i]) && m->bytes[i]) i++;
    return i < m->size && m->bytes[i] == '{';
}

/* A SentencePiece model begins with a piece, that with its text. */
static bool is_pieces(const ph_map *m)
{
    return m->size > 4 && m->bytes[0] == 0x0a && m->bytes[1] < 0x80 && m->bytes[2] == 0x0a;
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
    char *folder = NULL;
    const char *slash = strrchr(path, '/');

    if (is_folder(path)) return open_folder(out, path, err);
    PH_GO(ph__strndup(&folder, path, slash ? (size_t)(slash - path) : 0, err));
    PH_GO(ph__map_open(&map, path, err));
    if (is_json(&map)) {
        PH_GO(open_json(out, slash == path ? "/" : folder, &map, err));
    } else if (is_pieces(&map)) {
        PH_GO(open_older(out, slash == path ? "/" : folder, &map, NULL, err));
    } else {
        PH_GO(ph__weights_open(&w, path, err));
        PH_GO(read_keys(out, w, err));
    }
done:
    ph__weights_close(&w);
    ph__map_close(&map);
    ph__free(folder);
    return st;
}

bool ph__vocabulary_has(const ph_weights *w)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model", "vocab.json"};
    const char *folder = ph__weights_folder(w);
    bool has = false;

    if (!folder) return ph__meta_has(w, KEY("model"));
    for (size_t i = 0; i < sizeof names / sizeof *names && !has; i++) {
        char *path = NULL; /* without memory: whoever opens it will say so */
        has = join(&path, folder, names[i], NULL) != PH_OK || access(path, F_OK) == 0;
        ph__free(path);
    }
    return has;
}

ph_status ph__vocabulary_read(ph_tokenizer **out, const ph_weights *w, ph_error *err)
{
    const char *folder = ph__weights_folder(w);
    return folder ? open_folder(out, folder, err) : read_keys(out, w, err);
}
