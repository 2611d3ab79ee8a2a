/* search.c — what the commands that search have in common: a model and features. */
#include "search.h"

#include "table.h"

#include <stdlib.h>
#include <string.h>

static char *join(char **words, int n)
{
    char *out = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&out, &size);
    if (!f) return NULL;
    for (int i = 0; i < n; i++) fprintf(f, "%s%s", i ? ", " : "", words[i]);
    fclose(f);
    return out;
}

ph_status subject_open(struct subject *s, const struct common *c, char **specs, int n,
                       ph_error *err)
{
    ph_status st = ph_model_open(&s->model, c->model_path, &c->model_options, err);
    if (st != PH_OK) return st;
    s->specs = join(specs, n);
    st = ph_features_parse(&s->features, ph_model_get_info(s->model), s->specs, err);
    if (st != PH_OK) return st;
    return ph_context(&s->context, &s->n_context, s->model, &c->run, err);
}

void subject_close(struct subject *s)
{
    ph_features_close(&s->features);
    ph_model_close(&s->model);
    ph_free(s->context);
    free(s->specs);
}

ph_status subject_run_line(struct subject *s, const struct common *c, json_t *settings,
                           ph_error *err)
{
    return emit_run(s->run, c, s->model, s->context, s->n_context, s->specs, settings, err);
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

void subject_title(const struct subject *s)
{
    const ph_model_info *info = ph_model_get_info(s->model);
    printf("%s %s · %lld blocks × %lld", info->name, info->quant, (long long)info->blocks,
           (long long)info->width);
}

void subject_context(const struct subject *s)
{
    char *text = NULL, *shown;
    size_t n = 0;
    if (s->n_context == 0) return;
    if (ph_tokenizer_decode(&text, &n, subject_tokenizer(s), s->context, s->n_context, NULL) !=
        PH_OK)
        return;
    shown = quoted(text, n, '\'');
    printf(" · after %s", shown ? shown : "");
    free(shown);
    ph_free(text);
}
