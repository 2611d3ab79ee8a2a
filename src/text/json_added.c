/* json_added.c — tokens that stand beside an older vocabulary, as a tokenizer.json would list them. */
#include "text/json_added.h"

#include <stdlib.h>
#include <string.h>

static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                   "sep_token", "cls_token", "mask_token"};

/* What is listed costs more memory than the text that lists it. */
enum { ADDED_MOST = 65536, NAMED_MOST = 512 };

/* ---- files ---- */

ph_status ph__beside_parse(ph_beside_json *out, const ph_beside *beside, ph_error *err)
{
    const struct {
        ph_content part;
        json_t **to;
        const char *name;
    } all[] = {{beside->config, &out->config, "tokenizer_config.json"},
               {beside->special, &out->special, "special_tokens_map.json"},
               {beside->added, &out->added, "added_tokens.json"},
               {beside->model, &out->model, "config.json"}};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].part.data)
            PH_TRY(ph__json_parse(all[i].to, all[i].part.data, all[i].part.size, all[i].name, err));
    return PH_OK;
}

void ph__beside_close(ph_beside_json *b)
{
    json_decref(b->config);
    json_decref(b->special);
    json_decref(b->added);
    json_decref(b->model);
    *b = (ph_beside_json){0};
}

/* ---- entries ---- */

/* What a token is named by: a text, or an object with its content. */
static const json_t *content(const json_t *v)
{
    if (json_is_object(v)) v = json_object_get(v, "content");
    return json_is_string(v) && json_string_length(v) ? v : NULL;
}

const json_t *ph__json_special(const ph_beside_json *beside, const char *key)
{
    const json_t *v = content(json_object_get(beside->config, key));
    return v ? v : content(json_object_get(beside->special, key));
}

/* Add {id, content, special, …}, with the flags of `how` where that is an object. */
static ph_status add(json_t *list, int64_t id, const json_t *text, bool special, const json_t *how,
                     ph_error *err)
{
    static const char *const flags[] = {"lstrip", "rstrip", "single_word", "normalized"};
    json_t *o = json_pack("{s:I, s:O, s:b, s:b}", "id", (json_int_t)id, "content",
                          (json_t *)(uintptr_t)text, "special", special, "normalized", 0);

    for (size_t i = 0; o && json_is_object(how) && i < sizeof flags / sizeof *flags; i++) {
        json_t *flag = json_object_get(how, flags[i]);
        if (json_is_boolean(flag)) json_object_set(o, flags[i], flag);
    }
    if (!o || json_array_append_new(list, o) != 0) return ph__fail_memory(err, 64);
    return PH_OK;
}

/* {"32000": {"content": …}, …} */
static ph_status add_decoder(json_t *list, const json_t *decoder, ph_error *err)
{
    json_t *o = (json_t *)(uintptr_t)decoder;

    for (void *i = json_object_iter(o); i; i = json_object_iter_next(o, i)) {
        const char *key = json_object_iter_key(i);
        const json_t *v = json_object_iter_value(i);
        char *end;
        const long long id = strtoll(key, &end, 10);
        if (*end || end == key || !content(v))
            return ph__fail(err, PH_EFORMAT, -1,
                            "tokenizer_config.json: added_tokens_decoder: \"%.40s\" is no token",
                            key);
        PH_TRY(add(list, id, content(v), json_is_true(json_object_get(v, "special")), v, err));
    }
    return PH_OK;
}

/* {"<pad>": 32000, …} */
static ph_status add_plain(json_t *list, const json_t *added, ph_error *err)
{
    json_t *o = (json_t *)(uintptr_t)added;

    for (void *i = json_object_iter(o); i; i = json_object_iter_next(o, i)) {
        json_t *text = json_stringn(json_object_iter_key(i), json_object_iter_key_len(i));
        const json_t *id = json_object_iter_value(i);
        ph_status st = text ? PH_OK : ph__fail_memory(err, 64);
        if (st == PH_OK && !json_is_integer(id))
            st = ph__fail(err, PH_EFORMAT, -1,
                          "added_tokens.json: the id of \"%.40s\" is no integer",
                          json_object_iter_key(i));
        if (st == PH_OK) st = add(list, json_integer_value(id), text, false, NULL, err);
        json_decref(text);
        PH_TRY(st);
    }
    return PH_OK;
}

/* One that is named as special: what is added already becomes so, what the vocabulary has is added. */
static ph_status add_special(json_t *list, const json_t *named,
                             int64_t (*find)(const void *, const char *, size_t),
                             const void *source, ph_error *err)
{
    const json_t *text = content(named);

    if (!text) return PH_OK;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *o = json_array_get(list, i);
        if (!json_equal(json_object_get(o, "content"), text)) continue;
        return json_object_set_new(o, "special", json_true()) == 0 ? PH_OK
                                                                   : ph__fail_memory(err, 64);
    }
    const int64_t id = find(source, json_string_value(text), json_string_length(text));
    return id < 0 ? PH_OK : add(list, id, text, true, named, err);
}

static ph_status add_named(json_t *list, const json_t *o,
                           int64_t (*find)(const void *, const char *, size_t), const void *source,
                           ph_error *err)
{
    const json_t *more = json_object_get(o, "additional_special_tokens");

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        PH_TRY(add_special(list, json_object_get(o, keys[i]), find, source, err));
    if (json_array_size(more) > NAMED_MOST)
        return ph__fail(err, PH_EUNSUPPORTED, -1, "additional_special_tokens: %zu, at most %d",
                        json_array_size(more), NAMED_MOST);
    for (size_t i = 0; i < json_array_size(more); i++)
        PH_TRY(add_special(list, json_array_get(more, i), find, source, err));
    return PH_OK;
}

ph_status ph__json_added(json_t **out, const ph_beside_json *beside,
                         int64_t (*find)(const void *source, const char *text, size_t n),
                         const void *source, ph_error *err)
{
    json_t *list = json_array();
    const json_t *decoder = json_object_get(beside->config, "added_tokens_decoder");
    ph_status st = PH_OK;

    if (!list) return ph__fail_memory(err, 64);
    if (json_object_size(decoder) > ADDED_MOST || json_object_size(beside->added) > ADDED_MOST) {
        st = ph__fail(err, PH_EUNSUPPORTED, -1, "more than %d added tokens", ADDED_MOST);
        goto done;
    }
    PH_GO(json_is_object(decoder) ? add_decoder(list, decoder, err)
                                  : add_plain(list, beside->added, err));
    PH_GO(add_named(list, beside->config, find, source, err));
    PH_GO(add_named(list, beside->special, find, source, err));
    *out = list;
    list = NULL;
done:
    json_decref(list);
    return st;
}
