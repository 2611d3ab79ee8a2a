/* folder.c — opens a Hugging Face folder: config.json, and safetensors in one file or several.
 *
 * Nothing in the folder is trusted. An index names files of the same folder only; each tensor that it
 * names must be where it says.
 */
#include "weights/folder.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES_MAX = 4096 };
#define ONE_FILE "model.safetensors"

/* ---- the index ---- */

static int compare_names(const void *pa, const void *pb)
{
    const char *const *a = pa, *const *b = pb;
    return strcmp(*a, *b);
}

static ph_status check_file_name(const char *name, ph_error *err)
{
    const size_t n = name ? strlen(name) : 0;
    bool fine = n > 0 && n < 200 && name[0] != '.';
    for (size_t i = 0; fine && i < n; i++)
        fine = name[i] > 0x20 && name[i] < 0x7f && name[i] != '/' && name[i] != '\\';
    if (fine) return PH_OK;
    return ph__fail(err, PH_EFORMAT, -1,
                    ONE_FILE ".index.json: \"weight_map\" names what is no file of this folder");
}

/* The index's names, sorted and each once, borrowed from the JSON. */
static ph_status list_files(const char ***out, size_t *n, json_t *map, ph_error *err)
{
    const char *tensor, **list = NULL;
    json_t *file;
    size_t kept = 0;
    ph_status st = PH_OK;

    *n = 0;
    PH_GO(PH_NEW(&list, json_object_size(map), err));
    json_object_foreach(map, tensor, file)
    {
        PH_GO(check_file_name(json_string_value(file), err));
        list[(*n)++] = json_string_value(file);
    }
    if (*n) qsort(list, *n, sizeof *list, compare_names);
    for (size_t i = 0; i < *n; i++)
        if (i == 0 || strcmp(list[i], list[kept - 1]) != 0) list[kept++] = list[i];
    *n = kept;
    *out = list;
    list = NULL;
done:
    ph__free(list);
    return st;
}

ph_status ph__hf_index_files(char ***files, size_t *n, const json_t *index, ph_error *err)
{
    json_t *map = json_object_get(index, "weight_map");
    const char **list = NULL;
    char **own = NULL;
    size_t done = 0, all = 0;
    ph_status st = PH_OK;

    if (!json_is_object(map) || !json_object_size(map))
        return ph__fail(err, PH_EFORMAT, -1, ONE_FILE ".index.json: \"weight_map\" is missing");
    PH_GO(list_files(&list, &all, map, err));
    if (all > FILES_MAX) {
        st = ph__fail(err, PH_EUNSUPPORTED, -1, ONE_FILE ".index.json: %zu files, at most %d", all,
                      FILES_MAX);
        goto done;
    }
    PH_GO(PH_NEW(&own, all, err));
    for (; done < all; done++) PH_GO(ph__strndup(&own[done], list[done], strlen(list[done]), err));
    *files = own;
    *n = all;
    own = NULL;
done:
    if (own) ph__hf_files_free(own, done);
    ph__free(list);
    return st;
}

void ph__hf_files_free(char **files, size_t n)
{
    for (size_t i = 0; files && i < n; i++) ph__free(files[i]);
    ph__free(files);
}

static ph_status check_index(const ph_weights *w, const ph_hf *hf, const json_t *index,
                             char *const *files, ph_error *err)
{
    json_t *map = json_object_get(index, "weight_map"), *file;
    const char *tensor;

    json_object_foreach(map, tensor, file)
    {
        size_t i = 0;
        while (i < w->n_shards && strcmp(files[i], json_string_value(file)) != 0) i++;
        if (ph__hf_ignores(hf, tensor)) continue;
        if (i == w->n_shards || !ph__weights_find(w->shards[i], tensor))
            return ph__fail(err, PH_EFORMAT, -1,
                            "tensor %.100s: %s does not hold it as F32, F16 or BF16", tensor,
                            json_string_value(file));
    }
    return PH_OK;
}

/* ---- keys ---- */

static ph_status read_keys(ph_weights *w, const ph_hf *hf, ph_error *err)
{
    const uint32_t version = 3;
    const uint64_t counts[2] = {0, hf->n_keys};
    ph_str s = {0};
    ph_status st = PH_OK;

    PH_GO(ph__str_add(&s, "GGUF", 4, err));
    PH_GO(ph__str_add(&s, &version, sizeof version, err));
    PH_GO(ph__str_add(&s, counts, sizeof counts, err));
    PH_GO(ph__str_add(&s, hf->keys.data, hf->keys.size, err));
    PH_GO(ph__str_add(&s, (char[32]){0}, 32, err)); /* where data would begin */
    w->keys = s.data;
    w->file = (ph_bytes){s.data, s.size};
    s = (ph_str){0};
    PH_GO(ph__gguf_parse(w, err));
    ph__free(w->tensors); /* none: the shards' come in their place */
    ph__free(w->names);
    ph__free(w->tensor_index);
    w->tensors = NULL;
    w->names = NULL;
    w->tensor_index = NULL;
done:
    ph__str_close(&s);
    return st;
}

ph_status ph__hf_assemble(ph_weights *w, const json_t *config, const json_t *index,
                          char *const *files, const char *name, ph_error *err)
{
    ph_status st = PH_OK;
    ph_hf hf = {0};

    PH_GO(ph__hf_read(&hf, config, name, err));
    PH_GO(read_keys(w, &hf, err));
    if (index) PH_GO(check_index(w, &hf, index, files, err));
    PH_GO(ph__hf_tensors(w, &hf, err));
done:
    ph__hf_close(&hf);
    return st;
}

/* ---- files ---- */

static ph_status open_shard(ph_weights **out, const char *folder, const char *file, ph_error *err)
{
    ph_status st = PH_OK;
    char *path = NULL;
    ph_error inner = {0};

    PH_GO(ph__printf(&path, err, "%s/%s", folder, file));
    st = ph__weights_open(out, path, &inner);
    if (st == PH_EFORMAT || st == PH_EUNSUPPORTED)
        st = ph__fail(err, st, -1, "%s: %s", file, inner.msg);
    else if (st != PH_OK)
        st = ph__fail(err, st, -1, "%s", inner.msg);
done:
    ph__free(path);
    return st;
}

static ph_status open_shards(ph_weights *w, char *const *files, size_t n, ph_error *err)
{
    PH_TRY(PH_NEW(&w->shards, n, err));
    for (; w->n_shards < n; w->n_shards++)
        PH_TRY(open_shard(&w->shards[w->n_shards], w->folder, files[w->n_shards], err));
    return PH_OK;
}

/* *out = the JSON of a file of the folder, whose bytes stay in *map. */
static ph_status open_json(json_t **out, ph_map *map, const char *folder, const char *file,
                           ph_error *err)
{
    ph_status st = PH_OK;
    char *path = NULL;

    PH_GO(ph__printf(&path, err, "%s/%s", folder, file));
    PH_GO(ph__map_open(map, path, err));
    PH_GO(ph__json_parse(out, (const char *)map->bytes, map->size, file, err));
done:
    ph__free(path);
    return st;
}

/* 1, 0, or -1 where there was no memory to look. */
static int has_file(const char *folder, const char *file, ph_error *err)
{
    char *path = NULL;
    if (ph__printf(&path, err, "%s/%s", folder, file) != PH_OK) return -1;
    const int found = access(path, F_OK) == 0;
    ph__free(path);
    return found;
}

/* The files with weights; *index is NULL where there is only one. */
static ph_status find_shards(char ***files, size_t *n, json_t **index, const char *folder,
                             ph_error *err)
{
    ph_status st = PH_OK;
    ph_map map = {0};
    const int one = has_file(folder, ONE_FILE, err);
    const int several = one ? 0 : has_file(folder, ONE_FILE ".index.json", err);

    if (one < 0 || several < 0) return PH_ENOMEM;
    if (!one && !several)
        return ph__fail(err, PH_EIO, -1,
                        "%s: neither " ONE_FILE " nor " ONE_FILE ".index.json is there", folder);
    if (one) {
        PH_TRY(PH_NEW(files, 1, err));
        st = ph__strndup(*files, ONE_FILE, sizeof ONE_FILE - 1, err);
        *n = st == PH_OK;
        return st;
    }
    PH_GO(open_json(index, &map, folder, ONE_FILE ".index.json", err));
    PH_GO(ph__hf_index_files(files, n, *index, err));
done:
    ph__map_close(&map);
    return st;
}

/* ORG/NAME where the folder is a snapshot of Hugging Face's cache: models--ORG--NAME/snapshots/HASH */
static ph_status cached_name(char **out, const char *folder, ph_error *err)
{
    static const char between[] = "/snapshots/", before[] = "models--";
    const char *end = strstr(folder, between), *name = end;

    *out = NULL;
    if (!end) return PH_OK;
    while (name > folder && name[-1] != '/') name--;
    if (strncmp(name, before, sizeof before - 1) != 0) return PH_OK;
    name += sizeof before - 1;
    PH_TRY(ph__strndup(out, name, (size_t)(end - name), err));
    char *dashes = strstr(*out, "--");
    if (!dashes) return PH_OK;
    *dashes = '/';
    memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
    return PH_OK;
}

ph_status ph__folder_open(ph_weights **out, const char *path, ph_error *err)
{
    ph_status st = PH_OK;
    ph_weights *w = NULL;
    json_t *config = NULL, *index = NULL;
    char **files = NULL, *name = NULL;
    size_t n = 0, bytes = strlen(path);

    while (bytes > 1 && path[bytes - 1] == '/') bytes--;
    PH_GO(PH_NEW(&w, 1, err));
    PH_GO(ph__strndup(&w->folder, path, bytes, err));
    PH_GO(open_json(&config, &w->map, w->folder, "config.json", err));
    PH_GO(find_shards(&files, &n, &index, w->folder, err));
    PH_GO(open_shards(w, files, n, err));
    PH_GO(cached_name(&name, w->folder, err));
    PH_GO(ph__hf_assemble(w, config, index, files, name, err));
    *out = w;
    w = NULL;
done:
    ph__free(name);
    ph__hf_files_free(files, n);
    json_decref(index);
    json_decref(config);
    ph__weights_close(&w);
    return st;
}
