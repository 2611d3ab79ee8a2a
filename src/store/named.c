/* named.c — features by name, without a model. */
#include "store/named.h"

#include "base/json.h"

#include <string.h>

enum { MOST = 300000 };

static ph_status add_name(json_t *list, const char *name, ph_error *err)
{
    if (json_array_append_new(list, json_string(name)) == 0) return PH_OK;
    return ph__fail(err, PH_ETEXT, -1, "feature %.60s: not valid UTF-8", name);
}

ph_status ph__named(char **json, const char *specs, ph_error *err)
{
    ph_status st;
    size_t n = 0;
    char *names = NULL;
    json_t *list = json_array();

    if (!list) return ph__fail_memory(err, 0);
    PH_GO(ph_features_names(&names, &n, specs, err));
    if (n > MOST) PH_GO(ph__fail(err, PH_EINVAL, -1, "more than %d features", MOST));
    for (const char *name = names; n > 0; n--, name += strlen(name) + 1)
        PH_GO(add_name(list, name, err));
    st = ph__json_dump(json, list, err);
done:
    ph_free(names);
    json_decref(list);
    return st;
}

ph_status ph__named_so(char **json, const char *name, ph_error *err)
{
    json_t *list = json_array();
    ph_status st = list ? add_name(list, name, err) : ph__fail_memory(err, 0);

    if (st == PH_OK) st = ph__json_dump(json, list, err);
    json_decref(list);
    return st;
}
