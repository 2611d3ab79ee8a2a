/* emit.c — JSON Lines: one compact object a line, and the run line in front. */
#include "emit.h"

#include "keep.h"
#include "output.h"

#include <errno.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void emit(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(line);
    if (!text) return;
    puts(text);
    output_now();
    free(text);
}

bool delivering(const struct common *c)
{
    return c->json || keeping(c);
}

int deliver(const struct common *c, json_t *line)
{
    bool goes_on = true;
    char *text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;

    json_decref(line);
    if (!text) return 0;
    if (keeping(c)) goes_on = keep_line(c, text, strlen(text));
    if (c->json) {
        puts(text);
        output_now();
    }
    free(text);
    return !goes_on || ferror(stdout);
}

json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

json_t *numbers(const double *v, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(a, number(v[i]));
    return a;
}

json_t *integers(const int32_t *v, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(a, json_integer(v[i]));
    return a;
}

/* ph_utf8_clean ends its text with a 0, and a text may hold one: part by part. */
json_t *utf8(const char *bytes, size_t n)
{
    char *all = NULL, *clean = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&all, &size);
    if (!f) return json_null();
    for (size_t at = 0, part; at <= n; at += part + 1) {
        part = strnlen(bytes + at, n - at);
        if (ph_utf8_clean(&clean, bytes + at, part, NULL) == PH_OK) fputs(clean, f);
        if (at + part < n) fputc(0, f);
        ph_free(clean);
        clean = NULL;
    }
    json_t *s = fclose(f) == 0 ? json_stringn(all, size) : NULL;
    free(all);
    return s ? s : json_null();
}

json_t *token_text(const ph_tokenizer *t, int32_t id)
{
    size_t n = 0;
    const char *piece = ph_tokenizer_piece(t, id, &n);
    return piece ? utf8(piece, n) : json_null();
}

json_t *token_list(const ph_tokenizer *t, const ph_near *list, size_t n, const char *value)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a,
                              json_pack("{s:I, s:o, s:o}", "id", (json_int_t)list[i].id, "token",
                                        token_text(t, list[i].id), value, number(list[i].value)));
    return a;
}

const char *level_name(char out[16], size_t i)
{
    snprintf(out, 16, "%g", ph_quantile_level(i));
    return out;
}

json_t *quantiles(const double *values)
{
    json_t *o = json_object();
    char level[16];
    for (size_t i = 0; i < PH_QUANTILES; i++)
        json_object_set_new(o, level_name(level, i), number(values[i]));
    return o;
}

static json_t *hex(const char *bytes, size_t n)
{
    char *out = malloc(2 * n + 1);
    if (!out) return json_null();
    for (size_t i = 0; i < n; i++) snprintf(out + 2 * i, 3, "%02x", (unsigned char)bytes[i]);
    json_t *s = json_stringn(out, 2 * n);
    free(out);
    return s;
}

void set_tokens(json_t *line, const ph_tokenizer *t, const int32_t *ids, size_t n)
{
    json_t *tokens = json_array(), *bytes = json_array();
    bool needed = false;

    for (size_t i = 0; i < n; i++) {
        size_t size = 0;
        const char *piece = ph_tokenizer_piece(t, ids[i], &size);
        json_t *text = token_text(t, ids[i]);
        const bool differs = piece && (!json_is_string(text) || json_string_length(text) != size ||
                                       memcmp(json_string_value(text), piece, size) != 0);
        needed |= differs;
        json_array_append_new(bytes, differs ? hex(piece, size) : json_null());
        json_array_append_new(tokens, text);
    }
    json_object_set_new(line, "tokens", tokens);
    if (needed)
        json_object_set_new(line, "token_bytes", bytes);
    else
        json_decref(bytes);
}

/* ---- the run line ---- */

/* Which chat format the context is of; null without one. */
static void set_chat(json_t *settings, const struct common *c, const ph_model *model)
{
    const ph_tokenizer *t = c->run.chat && model ? ph_model_tokenizer(model) : NULL;
    const char *name = t ? ph_tokenizer_get_info(t)->chat_format : NULL;
    json_object_set_new(settings, "chat", name ? json_string(name) : json_null());
}

static void bytes_sha256(char *out, size_t digits, const void *bytes, size_t n)
{
    unsigned char md[EVP_MAX_MD_SIZE] = {0};
    unsigned len = 0;
    EVP_Digest(bytes, n, md, &len, EVP_sha256(), NULL);
    for (size_t i = 0; i < digits / 2; i++) snprintf(out + 2 * i, 3, "%02x", md[i]);
}

void set_file(json_t *settings, const char *name, const char *path, const void *bytes, size_t n)
{
    char sha[65], second[64];
    bytes_sha256(sha, 64, bytes, n);
    snprintf(second, sizeof second, "%s_sha256", name);
    json_object_set_new(settings, name, utf8(path, strlen(path)));
    json_object_set_new(settings, second, json_string(sha));
}

static void machine_name(char *out, size_t size, const ph_model *model)
{
    char cpu[128] = "unknown processor", line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        snprintf(cpu, sizeof cpu, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (f) fclose(f);
    if (model) {
        const ph_model_info *info = ph_model_get_info(model);
        snprintf(out, size, "%s, %d threads, %s%s", cpu, info->threads, info->backend,
                 strcmp(info->plan, "streamed") == 0 ? ", streamed" : "");
    } else {
        snprintf(out, size, "%s", cpu);
    }
}

/* sha256 of a file that no model was made of; of what could be read of it where that fails. */
static ph_status file_sha256(char out[65], const char *path, ph_error *err)
{
    unsigned char md[EVP_MAX_MD_SIZE] = {0}, buffer[1 << 16];
    unsigned len = 0;
    size_t n;
    FILE *f = fopen(path, "rb");
    int cause = f ? 0 : errno;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (f && ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL)) {
        while ((n = fread(buffer, 1, sizeof buffer, f)) > 0) EVP_DigestUpdate(ctx, buffer, n);
        if (ferror(f)) cause = errno;
        EVP_DigestFinal_ex(ctx, md, &len);
    }
    EVP_MD_CTX_free(ctx);
    if (f) fclose(f);
    for (unsigned i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", md[i]);
    return cause ? output_error(err, path, strerror(cause)) : PH_OK;
}

/* The name of a file does not say what was in it; its sha256 does. */
static ph_status set_files(json_t *settings, const ph_features *features, ph_error *err)
{
    const char *path;
    char sha[65];
    ph_status st = PH_OK;
    json_t *files = ph_features_file(features, 0) ? json_object() : NULL;

    for (size_t i = 0; st == PH_OK && (path = ph_features_file(features, i)); i++) {
        st = file_sha256(sha, path, err);
        json_object_set_new(files, path, json_string(sha));
    }
    if (files) json_object_set_new(settings, "files", files);
    return st;
}

/* sha256 of the model's weights; of its file where no model was made of it, "" of a folder then. */
static ph_status weights_sha256(char out[65], const struct common *c, const ph_model *model,
                                ph_error *err)
{
    ph_error folder;
    if (model) return ph_model_sha256(model, out, err);
    if (file_sha256(out, c->models[0].path, &folder) != PH_OK) *out = 0;
    return PH_OK;
}

/* Its sizes; of weights that are not the file's how they were drawn. */
static void set_sizes(json_t *model, const ph_model_info *info)
{
    json_object_set_new(model, "blocks", json_integer((json_int_t)info->blocks));
    json_object_set_new(model, "width", json_integer((json_int_t)info->width));
    if (!info->untrained) return;
    json_object_set_new(model, "untrained", json_true());
    json_object_set_new(model, "init_seed", json_integer((json_int_t)info->untrained_seed));
    if (info->shape) json_object_set_new(model, "shape", json_string(info->shape));
}

ph_status run_line(json_t **out, char id[17], const struct common *c, const struct run_of *of,
                   json_t *settings, ph_error *err)
{
    char sha[65] = "", machine[256];
    const ph_model *model = of->model;
    const ph_model_info *info = model ? ph_model_get_info(model) : NULL;
    const char *path = info ? info->path : c->models[0].path;

    ph_status st = weights_sha256(sha, c, model, err);
    if (st == PH_OK) st = set_files(settings, of->features, err);
    if (st != PH_OK) {
        json_decref(settings);
        return st;
    }
    machine_name(machine, sizeof machine, model);
    set_chat(settings, c, model);
    json_t *line = json_pack(
        "{s:s, s:s, s:s, s:{s:o, s:s?, s:o?, s:s?, s:s?}, s:s, s:o, s:I, s:s, s:s, s:o}", "type",
        "run", "id", "", "version", ph_version(), "model", "file", utf8(path, strlen(path)),
        "sha256", *sha ? sha : NULL, "name", info ? utf8(info->name, strlen(info->name)) : NULL,
        "quant", info ? info->quant : NULL, "family", info ? info->family : NULL, "machine",
        machine, "context", integers(of->context, of->n_context), "seed", (json_int_t)c->run.seed,
        "command", c->command, "input", of->input, "settings", settings);
    if (!line) {
        ph_error full = {PH_ETEXT, -1, "an argument is not valid UTF-8"};
        if (err) *err = full;
        return PH_ETEXT;
    }
    if (info) set_sizes(json_object_get(line, "model"), info);
    char *key = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(17));
    bytes_sha256(id, 16, key ? key : "", key ? strlen(key) : 0);
    free(key);
    json_object_set_new(line, "id", json_string(id));
    *out = line;
    return PH_OK;
}

ph_status emit_run(char id[17], const struct common *c, const struct run_of *of, json_t *settings,
                   ph_error *err)
{
    json_t *line = NULL;
    const ph_status st = run_line(&line, id, c, of, settings, err);
    if (st == PH_OK) deliver(c, line);
    return st;
}
