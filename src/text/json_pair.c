/* json_pair.c — a tokenizer from vocab.json and merges.txt, as GPT-2's repository has it.
 *
 * Such files do not say how a text is cut: their class does. What they say is put into the form of a
 * tokenizer.json, which json_tokenizer.c reads.
 */
#include "text/json_added.h"
#include "text/json_steps.h"

#include <string.h>

#define END "<|endoftext|>"

/* Classes by their name, or where a folder names none the kind of its model. */
static const struct family {
    const char *names[16];
    const char *normalizer, *pre_tokenizer; /* as JSON; NULL: none */
    const char *bos, *eos;                  /* where nothing names them */
} families[] = {
    {.names = {"GPT2Tokenizer", "GPT2TokenizerFast", "GPTNeoXTokenizer", "GPTNeoXTokenizerFast",
               "CodeGenTokenizer", "CodeGenTokenizerFast", "gpt2", "gpt_neo", "gptj", "gpt_neox",
               "codegen", "phi"},
     .pre_tokenizer = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}",
     .bos = END,
     .eos = END},
    {.names = {"Qwen2Tokenizer", "Qwen2TokenizerFast", "qwen2", "qwen3"},
     .normalizer = "{\"type\":\"NFC\"}",
     .pre_tokenizer =
         "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
         "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}|"
         " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"
         "\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
         "\"use_regex\":false}]}",
     .eos = END},
};

static const struct family *by_name(const char *name)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        for (const char *const *n = families[i].names; *n; n++)
            if (strcmp(*n, name) == 0) return &families[i];
    return NULL;
}

static ph_status find_family(const struct family **out, const ph_beside_json *beside, ph_error *err)
{
    const char *class, *kind;
    size_t n;

    PH_TRY(
        ph__json_text(&class, &n, beside->config, "tokenizer_config.json", "tokenizer_class", err));
    PH_TRY(ph__json_text(&kind, &n, beside->model, "config.json", "model_type", err));
    if (*class) {
        if ((*out = by_name(class))) return PH_OK;
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "vocab.json and merges.txt: how \"%.60s\" cuts a text is not known here; "
                        "a tokenizer.json would say it",
                        class);
    }
    if ((*out = by_name(kind))) return PH_OK;
    return ph__fail(err, PH_EUNSUPPORTED, -1,
                    "vocab.json and merges.txt: nothing says how they cut a text (neither "
                    "tokenizer_class nor a model_type that is known: \"%.60s\")",
                    kind);
}

/* ---- merges.txt ---- */

static ph_status read_merges(json_t **out, ph_content text, ph_error *err)
{
    json_t *list = json_array();
    ph_status st = list ? PH_OK : ph__fail_memory(err, 64);
    size_t number = 1;

    for (size_t at = 0; st == PH_OK && at < text.size; number++) {
        const char *line = text.data + at;
        const char *feed = memchr(line, '\n', text.size - at);
        size_t n = feed ? (size_t)(feed - line) : text.size - at;
        at += n + 1;
        if (n && line[n - 1] == '\r') n--;
        if (n == 0 || (number == 1 && n >= 8 && memcmp(line, "#version", 8) == 0)) continue;
        json_t *merge = json_stringn(line, n); /* NULL for what is not UTF-8, too */
        if (!merge)
            st = ph__fail(err, PH_EFORMAT, -1, "merges.txt: line %zu is no UTF-8", number);
        else if (json_array_append_new(list, merge) != 0)
            st = ph__fail_memory(err, n);
    }
    if (st != PH_OK) {
        json_decref(list);
        return st;
    }
    *out = list;
    return PH_OK;
}

/* ---- as a tokenizer.json ---- */

static int64_t find(const void *vocab, const char *text, size_t n)
{
    const json_t *id = json_object_getn(vocab, text, n);
    return json_is_integer(id) ? json_integer_value(id) : -1;
}

/* A part of the family, or null. */
static json_t *part(const char *json)
{
    return json ? json_loads(json, 0, NULL) : json_null();
}

/* {"model":…, "added_tokens":…, "normalizer":…, "pre_tokenizer":…, "decoder":…}; what is given is
 * borrowed. */
static json_t *make_root(const struct family *f, json_t *vocab, json_t *merges, json_t *added,
                         bool blank)
{
    json_t *pre = part(f->pre_tokenizer), *normal = part(f->normalizer);
    json_t *root;

    if (blank && pre) json_object_set_new(pre, "add_prefix_space", json_true());
    root = json_pack("{s:{s:s, s:O, s:O}, s:O, s:o, s:o, s:{s:s}}", "model", "type", "BPE", "vocab",
                     vocab, "merges", merges, "added_tokens", added, "normalizer", normal,
                     "pre_tokenizer", pre, "decoder", "type", "ByteLevel");
    return root;
}

/* A copy of the configuration that names BOS and EOS, whoever names them. */
static ph_status make_config(json_t **out, const struct family *f, const ph_beside_json *beside,
                             ph_error *err)
{
    static const char *const keys[] = {"bos_token", "eos_token"};
    const char *const usual[] = {f->bos, f->eos};
    json_t *o = beside->config ? json_copy(beside->config) : json_object();
    bool fine = o != NULL;

    for (int i = 0; fine && i < 2; i++) {
        const json_t *text = ph__json_special(beside, keys[i]);
        if (text)
            fine = json_object_set(o, keys[i], (json_t *)(uintptr_t)text) == 0;
        else if (usual[i])
            fine = json_object_set_new(o, keys[i], json_string(usual[i])) == 0;
    }
    if (!fine) {
        json_decref(o);
        return ph__fail_memory(err, 64);
    }
    *out = o;
    return PH_OK;
}

/* Special tokens with those that the class itself has. */
static ph_status make_added(json_t **out, const ph_beside_json *beside, json_t *config,
                            const json_t *vocab, ph_error *err)
{
    ph_beside_json all = *beside;
    all.config = config;
    return ph__json_added(out, &all, find, vocab, err);
}

ph_status ph__tokenizer_open_pair(ph_tokenizer **out, ph_content vocab, ph_content merges,
                                  const ph_beside *beside, ph_error *err)
{
    ph_status st = PH_OK;
    ph_beside_json b = {0};
    json_t *words = NULL, *pairs = NULL, *config = NULL, *added = NULL, *root = NULL;
    const struct family *f;
    bool blank;

    PH_GO(ph__beside_parse(&b, beside, err));
    PH_GO(find_family(&f, &b, err));
    PH_GO(ph__json_flag(&blank, b.config, "tokenizer_config.json", "add_prefix_space", false, err));
    PH_GO(ph__json_parse(&words, vocab.data, vocab.size, "vocab.json", err));
    PH_GO(read_merges(&pairs, merges, err));
    PH_GO(make_config(&config, f, &b, err));
    PH_GO(make_added(&added, &b, config, words, err));
    root = make_root(f, words, pairs, added, blank);
    if (!root) PH_GO(ph__fail_memory(err, vocab.size));
    PH_GO(ph__json_tokenizer(out, root, config, err));
done:
    json_decref(root);
    json_decref(added);
    json_decref(config);
    json_decref(pairs);
    json_decref(words);
    ph__beside_close(&b);
    return st;
}
