/* vocabulary.c — the tokenizer that a model file describes, by its keys tokenizer.ggml.*. */
#include "model/vocabulary.h"

#include "base/mem.h"
#include "text/vocab.h"

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

static const char *merge(const void *p, size_t i, size_t *bytes)
{
    const source *s = p;
    const ph_bytes b = ph__meta_string_at(s->weights, KEY("merges"), i);
    *bytes = b.size;
    return b.data;
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
    size_t n_kinds;

    PH_TRY(ph__meta_strings(&v->n_tokens, s->weights, KEY("tokens"), err));
    PH_TRY(ph__meta_strings(&v->n_merges, s->weights, KEY("merges"), err));
    PH_TRY(ph__meta_numbers(&n_kinds, s->weights, KEY("token_type"), err));
    s->has_kinds = ph__meta_has(s->weights, KEY("token_type"));
    if (s->has_kinds && n_kinds != v->n_tokens)
        return ph__fail(err, PH_EFORMAT, -1,
                        KEY("token_type") " has %zu elements, " KEY("tokens") " %zu", n_kinds,
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

ph_status ph__vocabulary_read(ph_tokenizer **out, const ph_weights *w, ph_error *err)
{
    ph_status st = PH_OK;
    source s = {.weights = w};
    char *model = NULL, *pre = NULL;
    ph_vocab v = {.token = token, .merge = merge, .kind = kind, .source = &s};

    if (!ph__meta_has(w, KEY("model")))
        return ph__fail(err, PH_EFORMAT, -1, "the file holds no vocabulary (" KEY("model") ")");
    PH_GO(read_string(&model, w, KEY("model"), err));
    PH_GO(read_string(&pre, w, KEY("pre"), err));
    PH_GO(read_sizes(&v, &s, err));
    PH_GO(read_ids(&v, w, err));
    v.model = model;
    v.pre = pre;
    PH_GO(ph__tokenizer_new(out, &v, err));
done:
    ph__free(model);
    ph__free(pre);
    return st;
}

ph_status ph_tokenizer_open(ph_tokenizer **out, const char *path, ph_error *err)
{
    ph_status st = PH_OK;
    ph_weights *w = NULL;

    PH_GO(ph__weights_open(&w, path, err));
    PH_GO(ph__vocabulary_read(out, w, err));
done:
    ph__weights_close(&w);
    return st;
}
