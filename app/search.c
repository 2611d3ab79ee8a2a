/* search.c — what the commands that search have in common: a model and features. */
#include "search.h"

#include "table.h"

#include <stdlib.h>
#include <string.h>

ph_status subject_parse(struct subject *s, const struct common *c, char **specs, int n,
                        ph_error *err)
{
    ph_run_options run;
    ph_status st = PH_OK;

    ph_features_close(&s->features);
    ph_free(s->context);
    s->context = NULL;
    free(s->specs);
    s->specs = join_words(specs, n);
    if (n) st = ph_features_parse(&s->features, ph_model_get_info(s->model), s->specs, err);
    if (st == PH_OK) st = ph_features_run(&run, s->features, &c->run, err);
    if (st == PH_OK) st = ph_context(&s->context, &s->n_context, s->model, &run, err);
    if (st == PH_OK && run.chat) s->chat = ph_tokenizer_get_info(subject_tokenizer(s))->chat_format;
    return st;
}

static ph_status open_one(struct subject *s, const struct common *c, int model, char **specs, int n,
                          ph_error *err)
{
    ph_status st = ph_model_open(&s->model, c->models[model].path, &c->models[model].options, err);
    return st == PH_OK ? subject_parse(s, c, specs, n, err) : st;
}

ph_status subject_open(struct subject *s, const struct common *c, char **specs, int n,
                       ph_error *err)
{
    return open_one(s, c, 0, specs, n, err);
}

ph_status subjects_open(struct subjects *s, const struct common *c, ph_error *err)
{
    for (s->n = 0; s->n < c->n_models;) {
        struct subject *one = &s->at[s->n++];
        const ph_status st = open_one(one, c, s->n - 1, c->words, c->n_words, err);
        if (c->n_models > 1) one->letter[0] = (char)('A' + s->n - 1);
        if (st == PH_OK) continue;
        if (c->n_models > 1 && one->model)
            fprintf(stderr, "phosphene %s: in %s\n", c->command, c->models[s->n - 1].path);
        return st;
    }
    return PH_OK;
}

void subjects_close(struct subjects *s)
{
    for (int i = 0; i < s->n; i++) subject_close(&s->at[i]);
}

void subject_close(struct subject *s)
{
    ph_features_close(&s->features);
    ph_model_close(&s->model);
    ph_free(s->context);
    free(s->specs);
}

struct run_of subject_run_of(const struct subject *s)
{
    return (struct run_of){s->model, s->features, s->context, s->n_context, s->specs};
}

ph_status subject_run_line(struct subject *s, const struct common *c, json_t *settings,
                           ph_error *err)
{
    if (!delivering(c)) {
        json_decref(settings);
        return PH_OK;
    }
    const struct run_of of = subject_run_of(s);
    return emit_run(s->run, c, &of, settings, err);
}

const ph_tokenizer *subject_tokenizer(const struct subject *s)
{
    return ph_model_tokenizer(s->model);
}

int subject_feature_width(const struct subject *s)
{
    int width = 7;
    const ph_feature *f;
    for (size_t i = 0; (f = ph_features_at(s->features, i)); i++)
        if (display_width(f->text) > width) width = display_width(f->text);
    return width < 40 ? width : 40;
}

/* "Q4_K_M", "F16", "BF16", "IQ4_XS" */
static bool is_quant(const char *word)
{
    const size_t letters = strcspn(word, "0123456789");
    return (letters == 1 && strchr("QqFf", *word)) ||
           (letters == 2 && (strncasecmp(word, "BF", 2) == 0 || strncasecmp(word, "IQ", 2) == 0));
}

/* What people call the model: its file's name without ending and quantisation, which stands beside
 * it (general.name is often that of an ancestor); to be freed. A shape has a name only, and so has a
 * snapshot of Hugging Face's cache. */
static char *model_name(const ph_model_info *info)
{
    const char *slash = strrchr(info->path, '/');
    const char *only = info->shape                         ? info->shape
                       : strstr(info->path, "/snapshots/") ? info->name
                                                           : NULL;
    char *name = strdup(only ? only : slash ? slash + 1 : info->path);
    const size_t n = name ? strlen(name) : 0;

    if (only || !name) return name;
    if (n > 5 && strcasecmp(name + n - 5, ".gguf") == 0) name[n - 5] = 0;
    for (size_t i = strlen(name); i-- > 1;) {
        if (name[i] != '.' && name[i] != '-') continue;
        if (is_quant(name + i + 1)) name[i] = 0;
        break;
    }
    return name;
}

void subject_title(const struct subject *s)
{
    const ph_model_info *info = ph_model_get_info(s->model);
    char *name = model_name(info);
    if (*s->letter) printf("%s  ", s->letter);
    printf("%s %s", name ? name : "", info->quant);
    if (info->untrained) printf(" (seed %llu)", (unsigned long long)info->untrained_seed);
    printf(" · %lld blocks × %lld", (long long)info->blocks, (long long)info->width);
    free(name);
}

void subject_context(const struct subject *s)
{
    char *text = NULL, *shown;
    size_t n = 0;
    if (s->chat) printf(" · in a user's turn (%s)", s->chat);
    if (s->n_context == 0) return;
    if (ph_tokenizer_decode(&text, &n, subject_tokenizer(s), s->context, s->n_context, NULL) !=
        PH_OK)
        return;
    shown = quoted(text, n, '\'');
    printf(" · after %s", shown ? shown : "");
    free(shown);
    ph_free(text);
}

void feature_name(char out[64], ph_tap tap, int64_t component)
{
    snprintf(out, 64, "block %lld%s [:, :, %lld]", (long long)tap.block,
             tap.place == PH_PLACE_NEURON ? " neuron" : "", (long long)component);
}

void print_pass(const struct common *c, const ph_pass_cost *cost)
{
    const long long fresh = (long long)(cost->tokens - cost->resumed);
    if (c->quiet) return;
    if (fresh == 0) {
        fprintf(stderr, "kept from an earlier pass (--no-cache makes it anew)\n");
        return;
    }
    fprintf(stderr, "%lld tokens", fresh);
    if (cost->resumed) fprintf(stderr, " (%lld kept from before)", (long long)cost->resumed);
    fprintf(stderr, " · %.1f s · %.0f GF/s · %.0f MB for what is kept and one batch\n",
            cost->seconds, cost->flops / cost->seconds / 1e9, (double)cost->bytes / 1e6);
}
