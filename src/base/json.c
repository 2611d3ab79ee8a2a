/* json.c — JSON texts, read and written with jansson. */
#include "base/json.h"

/* jansson repeats bytes of the text in its messages. */
static void make_printable(char *s)
{
    for (; *s; s++)
        if (*s < 0x20 || *s > 0x7e) *s = '?';
}

ph_status ph__json_parse(json_t **out, const char *text, size_t bytes, const char *subject,
                         ph_error *err)
{
    json_error_t e = {.text = ""};
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &e);

    /* transformers writes 10^30 for "no limit"; beside it, no number of that file is of interest */
    if (!root && json_error_code(&e) == json_error_numeric_overflow)
        root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &e);
    if (!root && json_error_code(&e) == json_error_out_of_memory)
        return ph__fail_memory(err, bytes);
    make_printable(e.text);
    if (!root)
        return ph__fail(err, PH_EFORMAT, e.position, "%s: not JSON, line %d: %.100s", subject,
                        e.line, e.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return ph__fail(err, PH_EFORMAT, 0, "%s: expected a JSON object", subject);
    }
    *out = root;
    return PH_OK;
}

ph_status ph__json_dump(char **out, const json_t *value, ph_error *err)
{
    const size_t flags = JSON_COMPACT | JSON_SORT_KEYS;
    const size_t n = json_dumpb(value, NULL, 0, flags);
    if (n == 0) return ph__fail_memory(err, 0);
    PH_TRY(PH_NEW(out, n + 1, err));
    json_dumpb(value, *out, n, flags);
    return PH_OK;
}
