/* weights.c — opens files of weights; finds their tensors and metadata by name. */
#include "weights/weights.h"

#include "weights/folder.h"
#include "weights/safetensors.h"
#include "weights/split.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- open ---- */

static ph_status refuse_magic(const char *name, const uint8_t *bytes, size_t size, ph_error *err)
{
    char first[3 * 8 + 1] = "";
    for (size_t i = 0; i < size && i < 8; i++) snprintf(first + 3 * i, 4, " %02x", bytes[i]);
    return ph__fail(err, PH_EFORMAT, 0, "%s is not a GGUF file (first bytes%s)", name, first);
}

/* name: what messages call the bytes */
static ph_status parse(ph_weights **out, const char *name, const uint8_t *bytes, size_t size,
                       ph_error *err)
{
    ph_status st = PH_OK;
    ph_weights *w = NULL;

    const bool gguf = size >= 4 && memcmp(bytes, "GGUF", 4) == 0;
    if (!gguf && !ph__is_safetensors(bytes, size)) return refuse_magic(name, bytes, size, err);
    PH_GO(PH_NEW(&w, 1, err));
    w->file = (ph_bytes){(const char *)bytes, size};
    PH_GO(gguf ? ph__gguf_parse(w, err) : ph__safetensors_parse(w, err));
    *out = w;
    w = NULL;
done:
    ph__weights_close(&w);
    return st;
}

static ph_status open_file(ph_weights **out, const char *path, ph_error *err)
{
    ph_status st = PH_OK;
    ph_map map = {0};
    struct stat about;

    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) return ph__folder_open(out, path, err);
    PH_GO(ph__map_open(&map, path, err));
    PH_GO(parse(out, path, map.bytes, map.size, err));
    (*out)->map = map; /* the weights own the mapping now */
    map = (ph_map){0};
done:
    ph__map_close(&map);
    return st;
}

ph_status ph__weights_open(ph_weights **out, const char *path, ph_error *err)
{
    ph_status st = PH_OK;
    ph_weights *w = NULL;

    PH_GO(open_file(&w, path, err));
    PH_GO(ph__split_open(&w, path, open_file, err));
    *out = w;
    w = NULL;
done:
    ph__weights_close(&w);
    return st;
}

ph_status ph__weights_parse(ph_weights **out, const uint8_t *bytes, size_t size, ph_error *err)
{
    return parse(out, "the input", bytes, size, err);
}

void ph__weights_close(ph_weights **w)
{
    if (!w || !*w) return;
    ph_weights *p = *w;
    for (size_t i = 0; i < p->n_values; i++) ph__free(p->values[i].starts);
    ph__free(p->values);
    ph__free(p->value_index);
    ph__free(p->tensors);
    ph__free(p->names);
    ph__free(p->tensor_index);
    for (size_t i = 0; p->made && i < p->n_tensors; i++) ph__free(p->made[i]);
    ph__free(p->made);
    for (size_t i = 0; i < p->n_shards; i++) ph__weights_close(&p->shards[i]);
    ph__free(p->shards);
    ph__free(p->keys);
    ph__free(p->folder);
    for (size_t i = 0; i < p->n_rest; i++) ph__weights_close(&p->rest[i]);
    ph__free(p->rest);
    ph__map_close(&p->map);
    ph__free(p);
    *w = NULL;
}

const char *ph__weights_folder(const ph_weights *w)
{
    return w->folder;
}

size_t ph__weights_bytes(const ph_weights *w)
{
    size_t sum = w->n_shards ? w->map.size : w->file.size;
    for (size_t i = 0; i < w->n_shards; i++) sum += w->shards[i]->file.size;
    for (size_t i = 0; i < w->n_rest; i++) sum += w->rest[i]->file.size;
    return sum;
}

static bool holds(const ph_map *map, const ph_tensor *t)
{
    return map->bytes && t->data >= map->bytes && t->data + t->bytes <= map->bytes + map->size;
}

/* Only what a file's mapping holds: other memory would be lost. */
void ph__weights_let_go(const ph_weights *w, const ph_tensor *t)
{
    bool mapped = holds(&w->map, t);
    for (size_t i = 0; i < w->n_rest; i++) mapped |= holds(&w->rest[i]->map, t);
    for (size_t i = 0; i < w->n_shards; i++) mapped |= holds(&w->shards[i]->map, t);
    if (mapped) ph__map_let_go(t->data, t->bytes);
}

/* Of a file in parts, as if they stood one after the other. */
static ph_status sha256_parts(char out[65], const ph_weights *w, ph_error *err)
{
    ph_status st = PH_OK;
    ph_map *files = NULL;

    PH_TRY(PH_NEW(&files, w->n_rest + 1, err));
    for (size_t i = 0; i <= w->n_rest; i++) {
        const ph_bytes file = i ? w->rest[i - 1]->file : w->file;
        files[i] = (ph_map){(const uint8_t *)file.data, file.size};
    }
    st = ph__sha256_files(out, files, w->n_rest + 1, err);
    for (size_t i = 0; i <= w->n_rest; i++) { /* few of these pages are needed again */
        const ph_map *map = i ? &w->rest[i - 1]->map : &w->map;
        if (map->bytes) ph__map_let_go(map->bytes, map->size);
    }
    ph__free(files);
    return st;
}

/* The sha256 of a file of the folder that may not be there, behind the others. */
static ph_status add_beside(ph_str *sums, const ph_weights *w, const char *file, ph_error *err)
{
    ph_status st = PH_OK;
    ph_map map = {0};
    char *path = NULL, sha[65];

    PH_GO(ph__printf(&path, err, "%s/%s", w->folder, file));
    if (access(path, F_OK) != 0) goto done;
    PH_GO(ph__map_open(&map, path, err));
    PH_GO(ph__sha256(sha, map.bytes, map.size, err));
    PH_GO(ph__str_add(sums, sha, 64, err));
done:
    ph__map_close(&map);
    ph__free(path);
    return st;
}

/* A folder's is the sha256 of its files' ones, in hexadecimal one behind the other. */
ph_status ph__weights_sha256(char out[65], const ph_weights *w, ph_error *err)
{
    ph_status st = PH_OK;
    ph_str sums = {0};
    static const char *const beside[] = {
        "tokenizer.json", "tokenizer_config.json",   "tokenizer.model",  "vocab.json",
        "merges.txt",     "special_tokens_map.json", "added_tokens.json"};

    if (!w->n_shards) return sha256_parts(out, w, err);
    PH_GO(ph__sha256(out, w->map.bytes, w->map.size, err));
    PH_GO(ph__str_add(&sums, out, 64, err));
    for (size_t i = 0; i < w->n_shards; i++) {
        PH_GO(ph__weights_sha256(out, w->shards[i], err));
        PH_GO(ph__str_add(&sums, out, 64, err));
    }
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        PH_GO(add_beside(&sums, w, beside[i], err));
    PH_GO(ph__sha256(out, sums.data, sums.size, err));
done:
    ph__str_close(&sums);
    return st;
}

/* ---- tensors ---- */

size_t ph__weights_count(const ph_weights *w)
{
    return w->n_tensors;
}

const ph_tensor *ph__weights_at(const ph_weights *w, size_t i)
{
    return i < w->n_tensors ? &w->tensors[i] : NULL;
}

const ph_tensor *ph__weights_find(const ph_weights *w, const char *name)
{
    return ph__weights_at(w, ph__gguf_find(w->tensor_index, w->n_tensors, name));
}

static void print_shape(char out[96], const int64_t *shape, int dims)
{
    size_t at = 0;
    for (int i = 0; i < dims; i++)
        at += (size_t)snprintf(out + at, 96 - at, "%s%" PRId64, i ? " x " : "", shape[i]);
}

ph_status ph__weights_need(const ph_tensor **out, const ph_weights *w, const char *name,
                           int64_t rows, int64_t columns, ph_error *err)
{
    const ph_tensor *t = ph__weights_find(w, name);
    const int64_t wanted[2] = {rows, columns};
    char found[96], expected[96];

    if (!t) return ph__fail(err, PH_EFORMAT, -1, "tensor %s is missing", name);
    if (t->dims > 2 || t->shape[0] != rows || t->shape[1] != columns) {
        print_shape(found, t->shape, t->dims);
        print_shape(expected, wanted, columns == 1 ? 1 : 2);
        return ph__fail(err, PH_EFORMAT, -1, "tensor %s: its shape is %s, expected %s", name, found,
                        expected);
    }
    *out = t;
    return PH_OK;
}

/* ---- metadata ---- */

#define BIT(type) (1u << PH_GGUF_##type)
enum {
    INTEGERS = BIT(U8) | BIT(I8) | BIT(U16) | BIT(I16) | BIT(U32) | BIT(I32) | BIT(U64) | BIT(I64) |
               BIT(BOOL),
    REALS = BIT(F32) | BIT(F64),
};

static const ph_value *find(const ph_weights *w, const char *key)
{
    const size_t i = ph__gguf_find(w->value_index, w->n_values, key);
    return i < w->n_values ? &w->values[i] : NULL;
}

/* *out = the value of a key, of one of the types; NULL if the key is absent. */
static ph_status look_up(const ph_value **out, const ph_weights *w, const char *key, unsigned types,
                         bool array, const char *expected, ph_error *err)
{
    const ph_value *v = *out = find(w, key);
    if (v && (v->array != array || !(types >> v->type & 1)))
        return ph__fail(err, PH_EFORMAT, (int64_t)v->pos, "key %s: found %s%s, expected %s", key,
                        v->array ? "an array of " : "", ph__gguf_value_type_name(v->type),
                        expected);
    return PH_OK;
}

bool ph__meta_has(const ph_weights *w, const char *key)
{
    return find(w, key) != NULL;
}

ph_status ph__meta_int(int64_t *out, const ph_weights *w, const char *key, ph_error *err)
{
    const ph_value *v;
    int64_t x;

    PH_TRY(look_up(&v, w, key, INTEGERS, false, "an integer", err));
    if (!v) return PH_OK;
    if (!ph__value_integer(&x, w, v, 0))
        return ph__fail(err, PH_EFORMAT, (int64_t)v->pos, "key %s: %.0f is too large", key,
                        ph__value_real(w, v, 0));
    *out = x;
    return PH_OK;
}

ph_status ph__meta_real(double *out, const ph_weights *w, const char *key, ph_error *err)
{
    const ph_value *v;
    PH_TRY(look_up(&v, w, key, REALS, false, "f32 or f64", err));
    if (v) *out = ph__value_real(w, v, 0);
    return PH_OK;
}

ph_status ph__meta_bool(bool *out, const ph_weights *w, const char *key, ph_error *err)
{
    const ph_value *v;
    PH_TRY(look_up(&v, w, key, BIT(BOOL), false, "bool", err));
    if (v) *out = ph__value_real(w, v, 0) != 0;
    return PH_OK;
}

/* Texts become C strings sooner or later, so a 0 byte is refused here. */
ph_status ph__meta_string(ph_bytes *out, const ph_weights *w, const char *key, ph_error *err)
{
    const ph_value *v;

    PH_TRY(look_up(&v, w, key, BIT(STRING), false, "a string", err));
    if (!v) return PH_OK;
    const ph_bytes s = ph__value_string(w, v, 0);
    if (s.size && memchr(s.data, 0, s.size))
        return ph__fail(err, PH_EFORMAT, (int64_t)v->pos, "key %s: the string holds a 0 byte", key);
    *out = s;
    return PH_OK;
}

ph_status ph__meta_strings(size_t *n, const ph_weights *w, const char *key, ph_error *err)
{
    const ph_value *v;
    PH_TRY(look_up(&v, w, key, BIT(STRING), true, "an array of strings", err));
    *n = v ? v->count : 0;
    return PH_OK;
}

ph_status ph__meta_numbers(size_t *n, const ph_weights *w, const char *key, ph_error *err)
{
    const ph_value *v;
    PH_TRY(look_up(&v, w, key, INTEGERS | REALS, true, "an array of numbers", err));
    *n = v ? v->count : 0;
    return PH_OK;
}

ph_bytes ph__meta_string_at(const ph_weights *w, const char *key, size_t i)
{
    const ph_value *v = find(w, key);
    return v && v->starts && i < v->count ? ph__value_string(w, v, i) : (ph_bytes){"", 0};
}

double ph__meta_number_at(const ph_weights *w, const char *key, size_t i)
{
    const ph_value *v = find(w, key);
    return v && !v->starts && i < v->count ? ph__value_real(w, v, i) : 0;
}

ph_status ph__bytes_dup(char **out, ph_bytes s, ph_error *err)
{
    return ph__strndup(out, s.data, s.size, err);
}
