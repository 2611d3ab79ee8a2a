/* steps.c — what happens to a text before the tokenizer model sees it. */
#include "text/steps.h"

#include "base/mem.h"
#include "text/alphabet.h"

#include <string.h>

enum { MOST = 256 }; /* steps: a file could ask for any number of expressions */

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* ---- lists of steps ---- */

static void close_step(ph_step *s)
{
    ph__pattern_close(&s->pattern);
    ph__free(s->text);
    *s = (ph_step){0};
}

ph_status ph__steps_add(ph_steps *s, ph_step *step, ph_error *err)
{
    ph_status st = PH_OK;

    if (s->n == MOST)
        PH_GO(ph__fail(err, PH_EUNSUPPORTED, -1,
                       "more than %d steps before the model are not supported", MOST));
    if (s->n == s->cap) {
        const size_t cap = s->cap ? 2 * s->cap : 4;
        PH_GO(PH_GROW(&s->at, s->cap, cap, err));
        s->cap = cap;
    }
    s->at[s->n++] = *step;
    *step = (ph_step){0};
done:
    close_step(step);
    return st;
}

void ph__steps_close(ph_steps *s)
{
    for (size_t i = 0; i < s->n; i++) close_step(&s->at[i]);
    ph__free(s->at);
    *s = (ph_steps){0};
}

ph_status ph__steps_split(ph_steps *s, const char *pattern, size_t n, bool literal,
                          ph_behavior behavior, bool invert, ph_error *err)
{
    ph_step step = {.kind = PH_STEP_SPLIT, .behavior = behavior, .invert = invert};
    PH_TRY(ph__pattern_open(&step.pattern, pattern, n, literal, err));
    return ph__steps_add(s, &step, err);
}

ph_status ph__steps_replace(ph_steps *s, const char *pattern, size_t n, bool literal,
                            const char *text, size_t bytes, ph_error *err)
{
    ph_status st = PH_OK;
    ph_step step = {.kind = PH_STEP_REPLACE, .bytes = bytes};

    PH_GO(ph__strndup(&step.text, text, bytes, err));
    PH_GO(ph__pattern_open(&step.pattern, pattern, n, literal, err));
    PH_GO(ph__steps_add(s, &step, err));
done:
    close_step(&step);
    return st;
}

ph_status ph__steps_prepend(ph_steps *s, const char *text, size_t bytes, bool missing, bool first,
                            ph_error *err)
{
    ph_step step = {.kind = PH_STEP_PREPEND, .bytes = bytes, .missing = missing, .first = first};
    PH_TRY(ph__strndup(&step.text, text, bytes, err));
    return ph__steps_add(s, &step, err);
}

ph_status ph__steps_bytes(ph_steps *s, bool blank, bool words, ph_error *err)
{
    ph_step step = {.kind = PH_STEP_BYTES};
    if (blank) PH_TRY(ph__steps_prepend(s, " ", 1, true, false, err));
    if (words) PH_TRY(ph__steps_split(s, GPT2, strlen(GPT2), false, PH_ISOLATED, false, err));
    return ph__steps_add(s, &step, err);
}

/* ---- cutting ---- */

/* A piece being cut: where its parts begin in the list, and whether the last one was a match. */
typedef struct cut {
    ph_flow *out;
    size_t first;
    const ph_step *step;
    bool matched;
} cut;

/* The next part of the piece, in order, possibly empty. */
static ph_status add_part(cut *c, size_t from, size_t to, bool match, ph_error *err)
{
    const bool any = c->out->n_pieces > c->first, before = c->matched;
    bool join = false;

    match ^= c->step->invert;
    c->matched = match;
    switch (c->step->behavior) {
    case PH_REMOVED:
        if (match) return PH_OK;
        break;
    case PH_CONTIGUOUS: join = match == before; break;
    case PH_MERGED_WITH_PREVIOUS: join = match && !before; break;
    case PH_MERGED_WITH_NEXT: join = !match && before; break;
    case PH_ISOLATED: break;
    }
    if (!join || !any) return ph__flow_piece(c->out, from, to, err);
    c->out->pieces[c->out->n_pieces - 1].to = (uint32_t)to;
    return PH_OK;
}

static void drop_empty(ph_flow *f, size_t first)
{
    size_t n = first;
    for (size_t i = first; i < f->n_pieces; i++)
        if (f->pieces[i].from < f->pieces[i].to) f->pieces[n++] = f->pieces[i];
    f->n_pieces = n;
}

static ph_status cut_piece(ph_flow *out, const ph_step *s, ph_match *m, const ph_flow *in,
                           ph_piece p, ph_error *err)
{
    cut c = {out, out->n_pieces, s, false};
    const char *text = in->bytes + p.from;
    const size_t n = p.to - p.from;
    size_t from = 0, to = 0, done = 0, last = SIZE_MAX;
    bool found = true;

    for (;;) {
        PH_TRY(ph__match_next(&found, &from, &to, &s->pattern, m, text, n, last, err));
        if (!found) break;
        if (done < from) PH_TRY(add_part(&c, p.from + done, p.from + from, false, err));
        PH_TRY(add_part(&c, p.from + from, p.from + to, true, err));
        last = done = to;
    }
    if (done < n) PH_TRY(add_part(&c, p.from + done, p.to, false, err));
    drop_empty(out, c.first);
    return PH_OK;
}

/* The pieces of w->spare, which become those of w->now. */
static ph_status cut_pieces(const ph_step *s, ph_walk *w, ph_error *err)
{
    ph_flow *now = &w->now, *spare = &w->spare;

    spare->n_pieces = 0;
    for (size_t i = 0; i < now->n_pieces; i++)
        PH_TRY(cut_piece(spare, s, &w->match, now, now->pieces[i], err));
    ph_piece *const pieces = now->pieces;
    const size_t cap = now->cap_pieces;
    now->pieces = spare->pieces;
    now->n_pieces = spare->n_pieces;
    now->cap_pieces = spare->cap_pieces;
    spare->pieces = pieces;
    spare->cap_pieces = cap;
    return PH_OK;
}

/* ---- rewriting ---- */

static ph_status replace(ph_flow *out, const ph_step *s, ph_match *m, const ph_flow *in, ph_piece p,
                         ph_error *err)
{
    const char *text = in->bytes + p.from;
    const size_t n = p.to - p.from;
    size_t from = 0, to = 0, done = 0, last = SIZE_MAX;
    bool found = true;

    for (;;) {
        PH_TRY(ph__match_next(&found, &from, &to, &s->pattern, m, text, n, last, err));
        if (!found) break;
        PH_TRY(ph__flow_copy(out, in, p.from + done, p.from + from, err));
        PH_TRY(ph__flow_put(out, s->text, s->bytes, in->origin[p.from + from], err));
        last = done = to;
    }
    return ph__flow_copy(out, in, p.from + done, p.to, err);
}

static ph_status prepend(ph_flow *out, const ph_step *s, const ph_flow *in, ph_piece p,
                         ph_error *err)
{
    const bool there =
        p.to - p.from >= s->bytes && memcmp(in->bytes + p.from, s->text, s->bytes) == 0;

    if (!(s->missing && there) && !(s->first && in->origin[p.from] > 0))
        PH_TRY(ph__flow_put(out, s->text, s->bytes, in->origin[p.from], err));
    return ph__flow_copy(out, in, p.from, p.to, err);
}

static ph_status write_bytes(ph_flow *out, const ph_flow *in, ph_piece p, ph_error *err)
{
    for (uint32_t i = p.from; i < p.to; i++) {
        char c[2];
        const size_t n = ph__alphabet_write(c, (uint8_t)in->bytes[i]);
        PH_TRY(ph__flow_put(out, c, n, in->origin[i], err));
    }
    return PH_OK;
}

static ph_status rewrite_piece(ph_flow *out, const ph_step *s, ph_match *m, const ph_flow *in,
                               ph_piece p, ph_error *err)
{
    switch (s->kind) {
    case PH_STEP_REPLACE: return replace(out, s, m, in, p, err);
    case PH_STEP_PREPEND: return prepend(out, s, in, p, err);
    case PH_STEP_BYTES: return write_bytes(out, in, p, err);
    case PH_STEP_FORM: return ph__write_form(out, s, in, p, err);
    case PH_STEP_LOWER: return ph__write_lower(out, in, p, err);
    case PH_STEP_STRIP: return ph__write_stripped(out, s, in, p, err);
    case PH_STEP_SPLIT: break;
    }
    return ph__flow_copy(out, in, p.from, p.to, err);
}

/* What no piece holds is left behind. */
static ph_status rewrite(const ph_step *s, ph_walk *w, ph_error *err)
{
    const ph_flow old = w->now;
    ph_flow *out = &w->spare;

    ph__flow_clear(out);
    out->most = old.most;
    for (size_t i = 0; i < old.n_pieces; i++) {
        const size_t from = out->n;
        PH_TRY(rewrite_piece(out, s, &w->match, &old, old.pieces[i], err));
        if (from < out->n) PH_TRY(ph__flow_piece(out, from, out->n, err));
    }
    PH_TRY(ph__flow_end(out, old.origin[old.n], err));
    w->now = *out;
    w->spare = old;
    return PH_OK;
}

void ph__walk_close(ph_walk *w)
{
    ph__flow_close(&w->now);
    ph__flow_close(&w->spare);
    ph__match_close(&w->match);
}

ph_status ph__steps_run(const ph_steps *s, ph_walk *w, ph_error *err)
{
    if (s->n && !w->match.data) PH_TRY(ph__match_open(&w->match, err));
    for (size_t i = 0; i < s->n && w->now.n_pieces; i++) {
        const ph_step *step = &s->at[i];
        PH_TRY(step->kind == PH_STEP_SPLIT ? cut_pieces(step, w, err) : rewrite(step, w, err));
    }
    return PH_OK;
}
