/* fuzz_spec.c — the feature language on arbitrary bytes.
 *
 * What parses must print to texts that parse to the same features; what does not parse must say why
 * in one printable line and point inside the input. Specs that name files are left to fuzz_sae.c.
 */
#include "feature/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKED 64 /* features of an input that are parsed again */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ph_model_info model = {.blocks = 32, .width = 40, .ffn = 110, .vocab = 300};

static void require(bool ok, const char *what, const char *text)
{
    if (ok) return;
    fprintf(stderr, "%s: %s\n", what, text);
    abort();
}

static bool same(const ph_feature *a, const ph_feature *b)
{
    return a->tap.place == b->tap.place && a->tap.only == b->tap.only &&
           a->tap.block == b->tap.block && a->tokens.begin == b->tokens.begin &&
           a->tokens.end == b->tokens.end && a->components.begin == b->components.begin &&
           a->components.end == b->components.end && strcmp(a->text, b->text) == 0;
}

static void check_sum(const ph_feature *f)
{
    int64_t width = 0;
    for (size_t i = 0; i < f->n_taps; i++) width += ph_place_width(&model, f->taps[i].place);
    require(f->n_taps > 0 && f->n_taps <= f->n_terms, "taps of a sum", f->text);
    for (size_t i = 0; i < f->n_terms; i++) {
        const ph_term *t = &f->terms[i];
        require(t->weight != 0, "a weight of 0", f->text);
        require(t->components.begin >= 0 && t->components.begin < t->components.end &&
                    t->at + t->components.end <= width,
                "components out of the taps", f->text);
    }
}

static bool same_terms(const ph_feature *a, const ph_feature *b)
{
    if (a->n_terms != b->n_terms || a->n_taps != b->n_taps) return false;
    for (size_t i = 0; i < a->n_terms; i++) {
        const ph_term *s = &a->terms[i], *t = &b->terms[i];
        if (s->weight != t->weight || s->at != t->at || s->tokens.begin != t->tokens.begin ||
            s->tokens.end != t->tokens.end || s->components.begin != t->components.begin ||
            s->components.end != t->components.end)
            return false;
    }
    return true;
}

static void check_feature(const ph_feature *f)
{
    ph_features *again = NULL;
    const int64_t width = ph_place_width(&model, f->tap.place);

    if (f->n_terms) check_sum(f);
    require(f->n_terms || (f->components.begin >= 0 && f->components.begin < f->components.end &&
                           f->components.end <= width),
            "components out of the place", f->text);
    require((f->tap.block == 0) == (f->tap.place >= PH_PLACE_EMBED) && f->tap.block <= model.blocks,
            "block out of the model", f->text);
    require(ph_features_parse(&again, &model, f->text, NULL) == PH_OK, "does not parse again",
            f->text);
    require(ph_features_count(again) == 1 && same(f, ph_features_at(again, 0)) &&
                same_terms(f, ph_features_at(again, 0)),
            "is another feature when parsed again", f->text);
    ph_features_close(&again);
}

static void check_error(const ph_error *err, ph_status st, size_t size)
{
    require(st == err->code && (st == PH_ESPEC || st == PH_ERANGE), "code", err->msg);
    require(err->pos >= 0 && (size_t)err->pos <= size, "position", err->msg);
    require(err->msg[0] != 0, "no message", "");
    for (const char *p = err->msg; *p; p++)
        require(*p >= 0x20 && *p < 0x7f, "not printable", err->msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    ph_features *features = NULL;
    ph_error err = {0};

    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    if (strstr(text, "dir:") || strstr(text, "sae:")) {
        free(text);
        return 0;
    }
    const ph_status st = ph_features_parse(&features, &model, text, &err);
    if (st == PH_OK) {
        const size_t n = ph_features_count(features);
        require(n > 0 && n <= PH_FEATURES_MAX, "count", text);
        for (size_t i = 0; i < n && i < CHECKED; i++) check_feature(ph_features_at(features, i));
        check_feature(ph_features_at(features, n - 1));
    } else {
        check_error(&err, st, strlen(text));
    }
    ph_features_close(&features);
    free(text);
    return 0;
}
