/* encode.c — text to ids. */
#include "text/tokenizer.h"

#include "base/mem.h"
#include "text/bpe.h"
#include "text/utf8.h"

#include <string.h>

ph_status ph__ids_add(ph_ids *out, int32_t id, size_t start, ph_error *err)
{
    if (out->n == out->cap) {
        size_t cap;
        if (!ph__mul(&cap, out->cap ? out->cap : 32, 2)) return ph__fail_memory(err, SIZE_MAX);
        PH_TRY(PH_GROW(&out->ids, out->cap, cap, err));
        PH_TRY(PH_GROW(&out->starts, out->cap, cap, err));
        out->cap = cap;
    }
    out->ids[out->n] = id;
    out->starts[out->n++] = start;
    return PH_OK;
}

/* Everything that one call needs. */
typedef struct work {
    ph_ids *out;
    const ph_tokenizer *t;
    const ph_stretch *stretches;
    size_t count;
    ph_walk walk;
    ph_flow normal; /* the normalised text, while its spans are walked */
    ph_spans late;
    ph_bpe_work *bpe;
} work;

/* The ids of what w->walk.now holds. */
static ph_status encode_flow(work *w, ph_error *err)
{
    ph_flow *f = &w->walk.now;
    PH_TRY(ph__steps_run(&w->t->split, &w->walk, err));
    for (size_t i = 0; i < f->n_pieces; i++)
        PH_TRY(ph__bpe_encode(w->out, w->t, w->bpe, f, f->pieces[i], err));
    return PH_OK;
}

/* Cut the normalised text at the tokens that are looked for there, and go on with what is between. */
static ph_status encode_normal(work *w, ph_error *err)
{
    const ph_flow spare = w->normal;

    if (w->t->late.n == 0) return encode_flow(w, err);
    w->normal = w->walk.now;
    w->walk.now = spare;
    w->late.n = 0;
    const ph_flow *f = &w->normal;
    PH_TRY(ph__specials_cut(&w->late, &w->t->late, f->bytes, f->origin, f->n, w->stretches,
                            w->count, err));
    for (size_t i = 0; i < w->late.n; i++) {
        const ph_span s = w->late.at[i];
        if (s.id >= 0) {
            PH_TRY(ph__ids_add(w->out, s.id, f->origin[s.from], err));
            continue;
        }
        PH_TRY(ph__flow_take(&w->walk.now, f, s.from, s.to, err));
        PH_TRY(encode_flow(w, err));
    }
    return PH_OK;
}

static ph_status encode_spans(work *w, const char *text, const ph_spans *spans, ph_error *err)
{
    PH_TRY(ph__bpe_work_open(&w->bpe, err));
    for (size_t i = 0; i < spans->n; i++) {
        const ph_span *s = &spans->at[i];
        if (s->id >= 0) {
            PH_TRY(ph__ids_add(w->out, s->id, s->from, err));
            continue;
        }
        PH_TRY(ph__flow_begin(&w->walk.now, text, s->from, s->to, err));
        PH_TRY(ph__steps_run(&w->t->normal, &w->walk, err));
        PH_TRY(encode_normal(w, err));
    }
    return PH_OK;
}

static ph_status encode(ph_ids *out, const ph_tokenizer *t, const char *text, size_t n,
                        const ph_stretch *stretches, size_t count, ph_error *err)
{
    ph_status st = PH_OK;
    ph_spans spans = {0};
    work w = {.out = out, .t = t, .stretches = stretches, .count = count};

    if (n > INT32_MAX)
        return ph__fail(err, PH_ETEXT, -1, "the text has %zu bytes, expected at most %d", n,
                        INT32_MAX);
    const size_t bad = ph__utf8_check(text, n);
    if (bad < n)
        return ph__fail(err, PH_ETEXT, (int64_t)bad, "byte %zu (0x%02x) of the text is not UTF-8",
                        bad, (uint8_t)text[bad]);
    if (n == 0) return PH_OK;
    PH_GO(ph__specials_cut(&spans, &t->specials, text, NULL, n, stretches, count, err));
    PH_GO(encode_spans(&w, text, &spans, err));
done:
    ph__walk_close(&w.walk);
    ph__flow_close(&w.normal);
    ph__bpe_work_close(w.bpe);
    ph__free(w.late.at);
    ph__free(spans.at);
    return st;
}

/* out = the stretches one after another, in memory of its own. */
static ph_status join(char **out, size_t *n, const ph_stretch *stretches, size_t count,
                      ph_error *err)
{
    *n = 0;
    for (size_t i = 0; i < count; i++)
        if (!ph__add(n, *n, stretches[i].bytes)) return ph__fail_memory(err, SIZE_MAX);
    PH_TRY(PH_NEW(out, *n, err));
    for (size_t i = 0, at = 0; i < count; at += stretches[i++].bytes)
        if (stretches[i].bytes) memcpy(*out + at, stretches[i].text, stretches[i].bytes);
    return PH_OK;
}

ph_status ph__tokenizer_encode_stretches(int32_t **ids, size_t **starts, size_t *n,
                                         const ph_tokenizer *t, const ph_stretch *stretches,
                                         size_t count, ph_error *err)
{
    ph_status st = PH_OK;
    ph_ids list = {0};
    char *text = NULL;
    size_t bytes;

    PH_GO(join(&text, &bytes, stretches, count, err));
    PH_GO(encode(&list, t, text, bytes, stretches, count, err));
    PH_GO(ph__ids_add(&list, -1, bytes, err)); /* the end's start; its id is beyond *n */
    *ids = list.ids;
    *starts = list.starts;
    *n = list.n - 1;
    list = (ph_ids){0};
done:
    ph__free(list.ids);
    ph__free(list.starts);
    ph__free(text);
    return st;
}

ph_status ph_tokenizer_encode(int32_t **ids, size_t *n, const ph_tokenizer *t, const char *text,
                              size_t bytes, unsigned flags, ph_error *err)
{
    ph_status st = PH_OK;
    ph_ids list = {0};
    const ph_stretch all = {text, bytes, (flags & PH_ENCODE_SPECIAL) != 0};
    const bool add = (flags & PH_ENCODE_ADD) != 0;

    if (flags & ~(unsigned)(PH_ENCODE_SPECIAL | PH_ENCODE_ADD))
        return ph__fail(err, PH_EINVAL, -1, "flags 0x%x: only PH_ENCODE_… are known", flags);
    if (add && t->info.add_bos && t->info.bos >= 0) PH_GO(ph__ids_add(&list, t->info.bos, 0, err));
    PH_GO(encode(&list, t, text, bytes, &all, 1, err));
    if (add && t->info.add_eos && t->info.eos >= 0)
        PH_GO(ph__ids_add(&list, t->info.eos, bytes, err));
    if (!list.ids) PH_GO(PH_NEW(&list.ids, 1, err));
    *ids = list.ids;
    *n = list.n;
    list.ids = NULL;
done:
    ph__free(list.ids);
    ph__free(list.starts);
    return st;
}
