/* tokenizer.c — opening a tokenizer, looking at it, and ids to text. */
#include "text/tokenizer.h"

#include "base/mem.h"
#include "text/alphabet.h"
#include "text/bpe.h"
#include "text/pretokenize.h"
#include "text/spm.h"
#include "text/utf8.h"

#include <string.h>

/* How a file's tokens are written, and what makes them of words. */
static const struct model {
    const char *name, *what;
    bool known, by_score, byte_level;
} models[] = {
    {"gpt2", "byte-level BPE", true, false, true}, {"llama", "SentencePiece", true, true, false},
    {"BPE", "tokenizer.json", true, false, false}, /* the vocabulary says the rest */
    {"bert", "WordPiece", false, false, false},    {"t5", "Unigram", false, false, false},
};

/* The end-of-text token's name, the first that is there: what ends a document before what ends a
 * turn of a dialogue. */
static const char *const eot_names[] = {
    "<|endoftext|>", "<|end_of_text|>", "<|end▁of▁text|>", "<｜end▁of▁sentence｜>",
    "</s>",          "<eos>",           "<EOS>",           "[EOS]",
    "<|eot_id|>",    "<|im_end|>",
};

/* ---- opening ---- */

static ph_status find_model(const struct model **out, const char *name, ph_error *err)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        if (strcmp(models[i].name, name) != 0) continue;
        if (!models[i].known)
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

/* A byte-level token with other characters stands for itself (as in Hugging Face's decoder), as do
 * those that are found as written; but SentencePiece's user-defined ones are written in its way. */
static size_t write_piece(char *out, const ph_tokenizer *t, int32_t id, const char *token, size_t n)
{
    const bool ordinary = ph__token_ordinary(t, id);
    size_t size;

    if (n == 0) return 0;
    if (!t->byte_level && ordinary) return ph__spm_piece(out, token, n);
    if (!t->byte_level && t->kinds[id] == PH_TOKEN_USER_DEFINED)
        return ph__spm_blanks(out, token, n);
    if (ordinary && ph__alphabet_read(out, &size, token, n)) return size;
    memcpy(out, token, n);
    return n;
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
        t->offset[i + 1] = at += write_piece(t->bytes + at, t, (int32_t)i, token, n);
    }
    return PH_OK;
}

/* The steps are taken over only where all succeeds. */
static ph_status read_steps(ph_tokenizer *t, const ph_vocab *vocab, const struct model *model,
                            ph_error *err)
{
    ph_pre_traits traits = {.add_bos = model->by_score};

    if (vocab->split) {
        t->whole_words = vocab->whole_words;
    } else if (model->byte_level) {
        PH_TRY(ph__pretokenizer_read(&t->split, &traits, vocab->pre, err));
        t->whole_words = traits.whole_words;
    } else {
        /* Where the file does not say, a BOS and a blank are put before a text, as in llama.cpp. */
        PH_TRY(ph__spm_steps(&t->normal, vocab->add_space != 0, vocab->squeeze, err));
        t->strip = vocab->add_space != 0;
    }
    t->info.add_bos = vocab->add_bos < 0 ? traits.add_bos : vocab->add_bos != 0;
    t->info.add_eos = vocab->add_eos > 0;
    return PH_OK;
}

/* Look for an added token in the text as it is given, as it is printed. */
static ph_status add_printed(ph_tokenizer *t, int32_t id, ph_error *err)
{
    size_t n;
    const char *p = ph_tokenizer_piece(t, id, &n);
    return ph__specials_add(&t->specials, p, n, id, t->kinds[id] != PH_TOKEN_USER_DEFINED,
                            (ph_added){0}, err);
}

/* Of a tokenizer.json: as it is written, or in normalised form in the normalised text. */
static ph_status add_written(ph_tokenizer *t, const ph_vocab *vocab, ph_walk *w, int32_t id,
                             ph_error *err)
{
    const ph_added how = vocab->added(vocab->source, (size_t)id);
    const bool control = t->kinds[id] != PH_TOKEN_USER_DEFINED;
    size_t n;
    const char *p = vocab->token(vocab->source, (size_t)id, &n);

    if (!how.normalized) return ph__specials_add(&t->specials, p, n, id, control, how, err);
    PH_TRY(ph__flow_begin(&w->now, p, 0, n, err));
    PH_TRY(ph__steps_run(vocab->normal, w, err));
    return ph__specials_add(&t->late, w->now.bytes, w->now.n, id, control, how, err);
}

static ph_status list_specials(ph_tokenizer *t, const ph_vocab *vocab, ph_error *err)
{
    ph_status st = PH_OK;
    ph_walk w = {0};

    for (int32_t id = 0; id < t->info.vocab; id++) {
        size_t n;
        const char *p = vocab->token(vocab->source, (size_t)id, &n);
        /* Tokens that are not UTF-8 cannot stand in a text. */
        if (n == 0 || ph__token_ordinary(t, id) || ph__utf8_check(p, n) < n) continue;
        if (vocab->late && vocab->late(vocab->source, (size_t)id))
            PH_GO(ph__specials_add(&t->late, p, n, id, false, (ph_added){0}, err));
        else
            PH_GO(vocab->added ? add_written(t, vocab, &w, id, err) : add_printed(t, id, err));
    }
    ph__specials_sort(&t->specials);
    ph__specials_sort(&t->late);
done:
    ph__walk_close(&w);
    return st;
}

static int32_t find_eot(const ph_tokenizer *t)
{
    for (size_t i = 0; i < sizeof eot_names / sizeof *eot_names; i++)
        for (int32_t id = 0; id < t->info.vocab; id++) {
            size_t n;
            const char *p = ph_tokenizer_piece(t, id, &n);
            if (!ph__token_ordinary(t, id) && n == strlen(eot_names[i]) &&
                memcmp(p, eot_names[i], n) == 0)
                return id;
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
    const struct model *model = NULL;

    if (vocab->n_tokens == 0 || vocab->n_tokens > INT32_MAX)
        return ph__fail(err, PH_EFORMAT, -1, "the vocabulary has %zu tokens, expected 1 to %d",
                        vocab->n_tokens, INT32_MAX);
    PH_TRY(find_model(&model, vocab->model, err));
    if (model->byte_level && vocab->n_merges == 0)
        return ph__fail(err, PH_EFORMAT, -1,
                        "tokenizer model \"%s\" needs merges, the file has none "
                        "(tokenizer.ggml.merges)",
                        vocab->model);
    PH_TRY(ph__strndup(&t->names[0], vocab->model, strlen(vocab->model), err));
    PH_TRY(ph__strndup(&t->names[1], vocab->pre, strlen(vocab->pre), err));
    *info = (ph_tokenizer_info){.model = t->names[0],
                                .pre = t->names[1],
                                .vocab = (int32_t)vocab->n_tokens,
                                .bos = valid_id(vocab, vocab->bos),
                                .eos = valid_id(vocab, vocab->eos),
                                .encodes = true,
                                .chat_template = ""};
    t->unk = valid_id(vocab, vocab->unk);
    t->byte_level = model->byte_level || vocab->byte_level;
    t->strip = vocab->strip;
    PH_TRY(read_kinds(t, vocab, err));
    PH_TRY(read_pieces(t, vocab, err));
    PH_TRY(read_steps(t, vocab, model, err));
    PH_TRY(list_specials(t, vocab, err));
    info->eot = find_eot(t);
    return ph__bpe_open(t, vocab, model->by_score, model->by_score || vocab->byte_fallback, err);
}

/* What the vocabulary gives away; nothing can fail any more. */
static void take_steps(ph_tokenizer *t, const ph_vocab *vocab)
{
    if (!vocab->split) return;
    t->normal = *vocab->normal;
    t->split = *vocab->split;
    *vocab->normal = *vocab->split = (ph_steps){0};
}

ph_status ph__tokenizer_new(ph_tokenizer **out, const ph_vocab *vocab, ph_error *err)
{
    ph_status st = PH_OK;
    ph_tokenizer *t = NULL;

    PH_TRY(PH_NEW(&t, 1, err));
    PH_GO(fill(t, vocab, err));
    take_steps(t, vocab);
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
    ph__bpe_close(t->bpe);
    ph__steps_close(&t->normal);
    ph__steps_close(&t->split);
    ph__specials_close(&t->specials);
    ph__specials_close(&t->late);
    ph__free(t->bytes);
    ph__free(t->offset);
    ph__free(t->kinds);
    for (size_t i = 0; i < sizeof t->names / sizeof *t->names; i++) ph__free(t->names[i]);
    ph__free(t);
    *tokenizer = NULL;
}

bool ph__pair_read(ph_pair *out, const char *text, size_t n)
{
    const char *blank = n > 1 ? memchr(text + 1, ' ', n - 1) : NULL;
    if (!blank) return false;
    const size_t cut = (size_t)(blank - text);
    *out = (ph_pair){text, blank + 1, cut, n - cut - 1};
    return true;
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

/* ---- decoding ---- */

ph_status ph__tokenizer_decode_behind(char **text, size_t *bytes, const ph_tokenizer *t,
                                      int32_t before, const int32_t *ids, size_t n, ph_error *err)
{
    size_t total = 1, size;
    char *out = NULL, *at;
    const bool begins = before < 0 || !ph__token_ordinary(t, before);
    bool strip = t->strip && begins;

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
        /* the blank is the first character of the first token that has any, or was never added */
        const bool drop = strip && size && *piece == ' ' && ph__token_ordinary(t, ids[i]);
        strip = strip && size == 0;
        if (size) memcpy(at, piece + drop, size - drop);
        at += size - drop;
    }
    *text = out;
    *bytes = (size_t)(at - out);
    return PH_OK;
}

ph_status ph_tokenizer_decode(char **text, size_t *bytes, const ph_tokenizer *t, const int32_t *ids,
                              size_t n, ph_error *err)
{
    return ph__tokenizer_decode_behind(text, bytes, t, -1, ids, n, err);
}
