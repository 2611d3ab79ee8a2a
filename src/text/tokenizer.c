/* tokenizer.c — text to ids and back, whatever the tokenizer model. */
#include "text/tokenizer.h"

#include "base/mem.h"
#include "text/bpe.h"
#include "text/spm.h"
#include "text/utf8.h"

#include <string.h>

static const ph_tokenizer_model models[] = {
    {"gpt2", "byte-level BPE", ph__bpe_piece, ph__bpe_open, ph__bpe_encode, ph__bpe_close},
    {"llama", "SentencePiece", ph__spm_piece, ph__spm_open, NULL, ph__spm_close},
    {"bert", "WordPiece", NULL, NULL, NULL, NULL},
    {"t5", "Unigram", NULL, NULL, NULL, NULL},
};

/* The end-of-text token's name, the first that is there: what ends a document before what ends a
 * turn of a dialogue. */
static const char *const eot_names[] = {
    "<|endoftext|>", "<|end_of_text|>", "<|end▁of▁text|>", "<｜end▁of▁sentence｜>",
    "</s>",          "<eos>",           "<EOS>",           "[EOS]",
    "<|eot_id|>",    "<|im_end|>",
};

/* ---- opening ---- */

static ph_status find_model(const ph_tokenizer_model **out, const char *name, ph_error *err)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        if (strcmp(models[i].name, name) != 0) continue;
        if (!models[i].open)
            return ph__fail(err, PH_EUNSUPPORTED, -1,
                            "tokenizer model \"%s\" (%s) is not supported yet", name,
                            models[i].what);
        *out = &models[i];
        return PH_OK;
    }
    return ph__fail(err, PH_EUNSUPPORTED, -1, "tokenizer model \"%s\" is not supported", name);
}

bool ph__token_ordinary(const ph_tokenizer *t, int32_t id)
{
    const uint8_t kind = t->kinds[id];
    return kind != PH_TOKEN_CONTROL && kind != PH_TOKEN_USER_DEFINED && kind != PH_TOKEN_UNKNOWN;
}

static ph_status read_kinds(ph_tokenizer *t, const ph_vocab *vocab, ph_error *err)
{
    PH_TRY(PH_NEW(&t->kinds, vocab->n_tokens, err));
    for (size_t i = 0; i < vocab->n_tokens; i++) {
        int kind = vocab->kind(vocab->source, i);
        if (kind == 0) kind = PH_TOKEN_NORMAL; /* GGUF's "undefined" */
        if (kind < PH_TOKEN_NORMAL || kind > PH_TOKEN_BYTE)
            return ph__fail(err, PH_EFORMAT, -1,
                            "token %zu has type %d (tokenizer.ggml.token_type), expected 1 to 6", i,
                            kind);
        t->kinds[i] = (uint8_t)kind;
    }
    return PH_OK;
}

static ph_status read_pieces(ph_tokenizer *t, const ph_vocab *vocab, ph_error *err)
{
    size_t total = 0, n;

    for (size_t i = 0; i < vocab->n_tokens; i++) {
        vocab->token(vocab->source, i, &n);
        if (!ph__add(&total, total, n)) return ph__fail_memory(err, SIZE_MAX);
    }
    PH_TRY(PH_NEW(&t->bytes, total, err));
    PH_TRY(PH_NEW(&t->offset, vocab->n_tokens + 1, err));
    for (size_t i = 0, at = 0; i < vocab->n_tokens; i++) {
        const char *token = vocab->token(vocab->source, i, &n);
        if (ph__token_ordinary(t, (int32_t)i))
            n = t->model->piece(t->bytes + at, token, n);
        else if (n)
            memcpy(t->bytes + at, token, n);
        t->offset[i + 1] = at += n;
    }
    return PH_OK;
}

/* Tokens that are not UTF-8 cannot stand in a text. */
static bool is_special(const ph_tokenizer *t, int32_t id)
{
    size_t n;
    const char *p = ph_tokenizer_piece(t, id, &n);
    return n > 0 && !ph__token_ordinary(t, id) && ph__utf8_check(p, n) == n;
}

static ph_status list_specials(ph_tokenizer *t, ph_error *err)
{
    ph_specials *s = &t->specials;
    size_t count = 0, n;

    for (int32_t id = 0; id < t->info.vocab; id++) count += is_special(t, id);
    PH_TRY(PH_NEW(&s->at, count, err));
    for (int32_t id = 0; id < t->info.vocab; id++) {
        if (!is_special(t, id)) continue;
        const char *p = ph_tokenizer_piece(t, id, &n);
        s->at[s->n++] = (ph_special){p, n, id, t->kinds[id] != PH_TOKEN_USER_DEFINED};
    }
    ph__specials_sort(s);
    return PH_OK;
}

static int32_t find_eot(const ph_tokenizer *t)
{
    for (size_t i = 0; i < sizeof eot_names / sizeof *eot_names; i++)
        for (size_t k = 0; k < t->specials.n; k++) {
            const ph_special *s = &t->specials.at[k];
            if (s->bytes == strlen(eot_names[i]) && memcmp(s->text, eot_names[i], s->bytes) == 0)
                return s->id;
        }
    return -1;
}

/* Files name tokens that are not there, often as -1 in 32 bits: that is none (llama.cpp warns). */
static int32_t valid_id(const ph_vocab *vocab, int64_t id)
{
    return id >= 0 && (uint64_t)id < vocab->n_tokens ? (int32_t)id : -1;
}

static ph_status fill(ph_tokenizer *t, const ph_vocab *vocab, ph_error *err)
{
    ph_tokenizer_info *info = &t->info;

    if (vocab->n_tokens == 0 || vocab->n_tokens > INT32_MAX)
        return ph__fail(err, PH_EFORMAT, -1, "the vocabulary has %zu tokens, expected 1 to %d",
                        vocab->n_tokens, INT32_MAX);
    PH_TRY(find_model(&t->model, vocab->model, err));
    PH_TRY(ph__strndup(&t->names[0], vocab->model, strlen(vocab->model), err));
    PH_TRY(ph__strndup(&t->names[1], vocab->pre, strlen(vocab->pre), err));
    *info = (ph_tokenizer_info){.model = t->names[0],
                                .pre = t->names[1],
                                .vocab = (int32_t)vocab->n_tokens,
                                .bos = valid_id(vocab, vocab->bos),
                                .eos = valid_id(vocab, vocab->eos)};
    t->unk = valid_id(vocab, vocab->unk);
    PH_TRY(read_kinds(t, vocab, err));
    PH_TRY(read_pieces(t, vocab, err));
    PH_TRY(list_specials(t, err));
    info->eot = find_eot(t);
    PH_TRY(t->model->open(t, vocab, err));
    info->add_bos = vocab->add_bos < 0 ? t->pre.add_bos : vocab->add_bos != 0;
    info->add_eos = vocab->add_eos > 0;
    info->encodes = t->model->encode;
    return PH_OK;
}

ph_status ph__tokenizer_new(ph_tokenizer **out, const ph_vocab *vocab, ph_error *err)
{
    ph_status st = PH_OK;
    ph_tokenizer *t = NULL;

    PH_TRY(PH_NEW(&t, 1, err));
    PH_GO(fill(t, vocab, err));
    *out = t;
    t = NULL;
done:
    ph_tokenizer_close(&t);
    return st;
}

void ph_tokenizer_close(ph_tokenizer **tokenizer)
{
    ph_tokenizer *t = *tokenizer;
    if (!t) return;
    if (t->model) t->model->close(t);
    ph__free(t->specials.at);
    ph__free(t->bytes);
    ph__free(t->offset);
    ph__free(t->kinds);
    ph__free(t->names[0]);
    ph__free(t->names[1]);
    ph__free(t);
    *tokenizer = NULL;
}

/* ---- looking at it ---- */

const ph_tokenizer_info *ph_tokenizer_get_info(const ph_tokenizer *t)
{
    return &t->info;
}

const char *ph_tokenizer_piece(const ph_tokenizer *t, int32_t id, size_t *bytes)
{
    if (id < 0 || id >= t->info.vocab) {
        *bytes = 0;
        return NULL;
    }
    *bytes = t->offset[id + 1] - t->offset[id];
    return t->bytes + t->offset[id];
}

ph_token_kind ph_tokenizer_kind(const ph_tokenizer *t, int32_t id)
{
    return id < 0 || id >= t->info.vocab ? PH_TOKEN_UNUSED : (ph_token_kind)t->kinds[id];
}

/* ---- encoding ---- */

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

typedef struct spans {
    ph_span *at;
    size_t n, cap;
} spans;

/* Add [from, to), nothing if it is empty. */
static ph_status add_span(spans *s, size_t from, size_t to, int32_t id, ph_error *err)
{
    if (from == to) return PH_OK;
    if (s->n == s->cap) {
        size_t cap;
        if (!ph__mul(&cap, s->cap ? s->cap : 8, 2)) return ph__fail_memory(err, SIZE_MAX);
        PH_TRY(PH_GROW(&s->at, s->cap, cap, err));
        s->cap = cap;
    }
    s->at[s->n++] = (ph_span){from, to, id};
    return PH_OK;
}

/* Cut the joined text at its special tokens, the leftmost first, there the longest. */
static ph_status cut_specials(spans *out, const ph_tokenizer *t, const char *text, size_t n,
                              const ph_stretch *stretches, ph_error *err)
{
    size_t plain = 0, end = stretches->bytes; /* end of the stretch that `at` is in */

    for (size_t at = 0; at < n;) {
        while (at >= end) end += (++stretches)->bytes;
        const size_t control = stretches->special ? end - at : 0;
        const ph_special *s = ph__specials_find(&t->specials, text + at, control, n - at);
        if (!s) {
            at++;
            continue;
        }
        PH_TRY(add_span(out, plain, at, -1, err));
        PH_TRY(add_span(out, at, at + s->bytes, s->id, err));
        plain = at += s->bytes;
    }
    return add_span(out, plain, n, -1, err);
}

static ph_status encode(ph_ids *out, const ph_tokenizer *t, const char *text, size_t n,
                        const ph_stretch *stretches, ph_error *err)
{
    ph_status st = PH_OK;
    spans s = {0};

    if (n > INT32_MAX)
        return ph__fail(err, PH_ETEXT, -1, "the text has %zu bytes, expected at most %d", n,
                        INT32_MAX);
    const size_t bad = ph__utf8_check(text, n);
    if (bad < n)
        return ph__fail(err, PH_ETEXT, (int64_t)bad, "byte %zu (0x%02x) of the text is not UTF-8",
                        bad, (uint8_t)text[bad]);
    if (n == 0) return PH_OK;
    if (!t->model->encode)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "%s text cannot be tokenised yet: give ids instead", t->model->what);
    PH_GO(cut_specials(&s, t, text, n, stretches, err));
    PH_GO(t->model->encode(out, t, text, s.at, s.n, err));
done:
    ph__free(s.at);
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
    PH_GO(encode(&list, t, text, bytes, stretches, err));
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
    PH_GO(encode(&list, t, text, bytes, &all, err));
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

/* ---- decoding ---- */

ph_status ph_tokenizer_decode(char **text, size_t *bytes, const ph_tokenizer *t, const int32_t *ids,
                              size_t n, ph_error *err)
{
    size_t total = 1, size;
    char *out = NULL, *at;

    for (size_t i = 0; i < n; i++) {
        if (!ph_tokenizer_piece(t, ids[i], &size))
            return ph__fail(err, PH_ERANGE, -1, "token id %d: this vocabulary has 0 to %d", ids[i],
                            t->info.vocab - 1);
        if (!ph__add(&total, total, size)) return ph__fail_memory(err, SIZE_MAX);
    }
    PH_TRY(PH_NEW(&out, total, err));
    at = out;
    for (size_t i = 0; i < n; i++) {
        const char *piece = ph_tokenizer_piece(t, ids[i], &size);
        if (size) memcpy(at, piece, size);
        at += size;
    }
    *text = out;
    *bytes = total - 1;
    return PH_OK;
}
