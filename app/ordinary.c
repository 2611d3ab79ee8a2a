/* ordinary.c — what features do on ordinary text, for the commands that show it. */
#include "ordinary.h"

#include "given.h"
#include "progress.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { AROUND = 8 }; /* tokens shown on each side */

void ordinary_option(struct ordinary *o, const char *arg)
{
    o->off = strcmp(arg, "off") == 0;
    o->path = o->off ? NULL : arg;
}

ph_status ordinary_read(struct ordinary *o, ph_error *err)
{
    return o->path ? given_file(&o->text, &o->bytes, o->path, err) : PH_OK;
}

void ordinary_free(struct ordinary *o)
{
    free(o->text);
}

void ordinary_settings(json_t *settings, const struct ordinary *o)
{
    if (o->off) json_object_set_new(settings, "corpus", json_false());
    if (o->path) set_file(settings, "corpus", o->path, o->text, o->bytes);
}

/* ---- opening ---- */

/* How far the features of a subject that are followed go; 0: none is. */
static int64_t depth_of(const struct subject *s, bool *neurons)
{
    const ph_feature *f;
    int64_t depth = 0;
    for (size_t i = 0; (f = ph_features_at(s->features, i)); i++) {
        const bool neuron = f->tap.place == PH_PLACE_NEURON;
        if (f->tap.only || (!neuron && f->tap.place != PH_PLACE_BLOCK)) continue;
        if (f->components.end - f->components.begin != 1) continue;
        if (f->tap.block > depth) depth = f->tap.block;
        *neurons |= neuron;
    }
    return depth;
}

static void note_skipped(const struct common *c, const ph_pass_cost *cost)
{
    progress_clear();
    if (c->quiet) return;
    fprintf(
        stderr,
        "phosphene %s: no comparison with ordinary text, its pass would take %.0f T operations; "
        "run phosphene corpus once\n",
        c->command, cost->flops / 1e12);
}

ph_status ordinary_open(ph_corpus **out, const struct ordinary *o, const struct subject *s,
                        const struct common *c, int64_t depth, bool neurons, ph_pass_cost *cost,
                        ph_error *err)
{
    ph_corpus_options options = PH_CORPUS_OPTIONS_INIT;
    ph_pass_cost nobody;
    ph_status st;

    *out = NULL;
    if (!cost) cost = &nobody;
    if (o->off || !ph_tokenizer_get_info(subject_tokenizer(s))->encodes) return PH_OK;
    if (!depth && s->features && !(depth = depth_of(s, &neurons))) return PH_OK;
    st = ph_features_run(&options.run, s->features, &c->run, err);
    options.text = o->text;
    options.bytes = o->bytes;
    options.depth = depth;
    options.neurons = neurons;
    options.most_flops = o->most_flops;
    if (o->window) options.window = o->window;
    if (st == PH_OK) st = ph_corpus_open(out, s->model, &options, cost, err);
    if (st == PH_OK && !*out) note_skipped(c, cost);
    return st;
}

/* ---- showing ---- */

bool ordinary_get(const ph_corpus *corpus, const ph_feature *f, ph_corpus_stat *out)
{
    return corpus && f->components.end - f->components.begin == 1 &&
           ph_corpus_get(corpus, f->tap, f->components.begin, out);
}

json_t *sighting_json(const ph_corpus *corpus, const ph_tokenizer *t, const ph_sighting *s)
{
    size_t n, pos, bytes = 0;
    char *text = NULL;
    const int32_t *ids = ph_corpus_window(corpus, s->token, &n, &pos);
    json_t *o = json_pack("{s:o, s:I, s:o, s:o}", "value", number(s->value), "pos", (json_int_t)pos,
                          "token", token_text(t, ids[pos]), "ids", integers(ids, n));
    if (ph_tokenizer_decode(&text, &bytes, t, ids, n, NULL) == PH_OK)
        json_object_set_new(o, "text", utf8(text, bytes));
    ph_free(text);
    return o;
}

/* Bytes of some pieces, to be freed; *at[i] = where piece marks[i] begins. */
static char *join_pieces(size_t *size, size_t at[2], const ph_tokenizer *t, const int32_t *ids,
                         size_t n, const size_t marks[2])
{
    char *text = NULL;
    FILE *f = open_memstream(&text, size);
    if (!f) return NULL;
    for (size_t i = 0; i <= n; i++) {
        size_t bytes = 0;
        const char *piece = i < n ? ph_tokenizer_piece(t, ids[i], &bytes) : NULL;
        for (int k = 0; k < 2; k++)
            if (i == marks[k]) at[k] = (size_t)ftell(f);
        if (piece) fwrite(piece, 1, bytes, f);
        fflush(f);
    }
    fclose(f);
    return text;
}

static bool inside_character(const char *text, size_t at, size_t size)
{
    return at < size && ((unsigned char)text[at] & 0xc0) == 0x80;
}

/* Without the beginning of a character that is cut off at the end. */
static size_t whole_characters(const char *text, size_t size)
{
    size_t last = size;
    while (last > 0 && inside_character(text, last - 1, size)) last--;
    if (last == 0) return size;
    const unsigned char lead = (unsigned char)text[--last];
    const size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return last + want > size ? last : size;
}

static void add_text(FILE *f, const char *text, size_t n)
{
    char *shown = quoted(text, n, '"');
    if (shown) fprintf(f, "%.*s", (int)strlen(shown) - 2, shown + 1);
    free(shown);
}

/* A token may be a part of a character: what is shown and marked are whole ones. */
void sighting_print(const ph_corpus *corpus, const ph_tokenizer *t, const ph_sighting *s, int width)
{
    size_t n, pos, size = 0, length = 0, at[2] = {0, 0}, begin = 0;
    const int32_t *ids = ph_corpus_window(corpus, s->token, &n, &pos);
    const size_t from = pos > AROUND ? pos - AROUND : 0, to = n - pos > AROUND ? pos + AROUND : n;
    char *line = NULL, *text = join_pieces(&size, at, t, ids + from, to - from,
                                           (size_t[]){pos - from, pos - from + 1});
    FILE *f = open_memstream(&line, &length);

    if (text && f) {
        while (inside_character(text, begin, size)) begin++;
        while (at[0] > begin && inside_character(text, at[0], size)) at[0]--;
        while (inside_character(text, at[1], size)) at[1]++;
        add_text(f, text + begin, at[0] > begin ? at[0] - begin : 0);
        fputs("«", f);
        add_text(f, text + at[0], at[1] - at[0]);
        fputs("»", f);
        add_text(f, text + at[1], whole_characters(text + at[1], size - at[1]));
    }
    if (f) fclose(f);
    if (line) cell(line, display_width(line) < width ? display_width(line) : width);
    free(line);
    free(text);
}

/* An answer against the corpus: its share of the extreme, and the share of tokens it surpasses. */
static void compare(double *ratio, double *percentile, const ph_corpus *corpus, const ph_feature *f,
                    const ph_corpus_stat *stat, double activation, int sign)
{
    const double extreme = sign < 0 ? stat->min : stat->max;
    const double below = ph_corpus_percentile(corpus, f->tap, f->components.begin, activation);
    *ratio = extreme * sign > 0 && isfinite(activation) ? activation / extreme : (double)NAN;
    *percentile = !isfinite(activation) ? (double)NAN : 100 * (sign < 0 ? 1 - below : below);
}

json_t *ordinary_json(const ph_corpus *corpus, const ph_tokenizer *t, const ph_feature *f,
                      double activation, int sign)
{
    ph_corpus_stat stat;
    double ratio, percentile;

    if (!ordinary_get(corpus, f, &stat)) return json_null();
    compare(&ratio, &percentile, corpus, f, &stat, activation, sign);
    return json_pack("{s:o, s:o, s:o, s:o, s:I, s:o}", "max", number(stat.max), "min",
                     number(stat.min), "ratio", number(ratio), "percentile", number(percentile),
                     "n", (json_int_t)stat.n, "best",
                     sighting_json(corpus, t, sign < 0 ? &stat.worst[0] : &stat.best[0]));
}

void ordinary_print(const ph_corpus *corpus, const ph_tokenizer *t, const ph_feature *f,
                    double activation, int sign)
{
    ph_corpus_stat stat;
    double ratio, percentile;

    if (!ordinary_get(corpus, f, &stat)) return;
    compare(&ratio, &percentile, corpus, f, &stat, activation, sign);
    printf("  in ordinary text %s %.2f: ", sign < 0 ? "down to" : "up to",
           sign < 0 ? stat.min : stat.max);
    sighting_print(corpus, t, sign < 0 ? &stat.worst[0] : &stat.best[0], 64);
    if (isfinite(ratio)) printf("; this text %.2f of it", ratio);
    if (isfinite(percentile))
        printf(", %s %.2f %% of its tokens", sign < 0 ? "below" : "above", percentile);
    printf("\n");
}
