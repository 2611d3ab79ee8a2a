/* bpe.c — byte pair encoding of words.
 *
 * Symbols are the texts of tokens, and what merges name besides. A character that is no symbol can
 * only be merged where scores say so.
 */
#include "text/bpe.h"

#include "base/buf.h"
#include "text/alphabet.h"
#include "text/spm.h"
#include "text/symbols.h"
#include "text/utf8.h"

#include <string.h>

#define NO_NODE UINT32_MAX
#define GONE    (PH_NO_SYMBOL - 1) /* a node that was merged into the one before */
#define FEW     0x200u             /* characters below it are found by a table */

typedef struct merge {
    uint32_t left, right, rank, result; /* left PH_NO_SYMBOL: an empty slot */
} merge;

struct ph_bpe {
    ph_symbols symbols;
    uint32_t few[FEW];
    int32_t bytes[256]; /* ids of <0xNN>, -1: none */
    merge *merges;      /* open addressing by (left, right) */
    size_t n_merges;    /* a power of two */
    bool by_score, byte_fallback, fuse_unk;
};

/* ---- opening ---- */

/* Better scores have smaller ranks; what is no number comes last. */
static uint32_t rank_of(float score)
{
    uint32_t bits;
    if (score != score) return UINT32_MAX;
    score += 0.0f; /* one zero */
    memcpy(&bits, &score, sizeof bits);
    return ~(bits & 0x80000000u ? ~bits : bits | 0x80000000u);
}

static ph_status add_symbols(ph_bpe *b, const ph_tokenizer *t, const ph_vocab *vocab, ph_error *err)
{
    memset(b->bytes, 0xff, sizeof b->bytes);
    for (int32_t id = 0; id < t->info.vocab; id++) {
        size_t n;
        uint32_t s;
        const char *p = vocab->token(vocab->source, (size_t)id, &n);
        const bool word = vocab->in_words ? vocab->in_words(vocab->source, (size_t)id)
                                          : ph__token_ordinary(t, id);
        const int byte = b->byte_fallback ? ph__spm_byte(p, n) : -1;
        if (n == 0 || !word) continue;
        if (byte >= 0) b->bytes[byte] = id;
        if (byte >= 0 && t->kinds[id] == PH_TOKEN_BYTE) continue;
        PH_TRY(ph__symbols_add(&s, &b->symbols, p, n, err));
        b->symbols.at[s].id = id; /* of equal tokens the last, as in llama.cpp */
        if (b->by_score) b->symbols.at[s].rank = rank_of(vocab->score(vocab->source, (size_t)id));
    }
    return PH_OK;
}

static void fill_few(ph_bpe *b)
{
    for (uint32_t c = 0; c < FEW; c++) {
        const char two[2] = {(char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))}, one = (char)c;
        b->few[c] = ph__symbols_find(&b->symbols, c < 0x80 ? &one : two, c < 0x80 ? 1 : 2);
    }
}

/* The slot of a pair, or the empty one where it would go. */
static merge *find_merge(const ph_bpe *b, uint32_t left, uint32_t right)
{
    const size_t mask = b->n_merges - 1;
    for (size_t i = ph__spread((uint64_t)left << 32 | right) & mask;; i = (i + 1) & mask) {
        merge *m = &b->merges[i];
        if (m->left == PH_NO_SYMBOL || (m->left == left && m->right == right)) return m;
    }
}

/* A merge of what is no token is kept, since further merges may make tokens of it. llama.cpp opens
 * such files too. Of equal pairs the first counts. */
static ph_status add_merge(ph_bpe *b, const ph_pair *p, ph_str *both, uint32_t rank, ph_error *err)
{
    uint32_t left, right, result;

    if (p->n_left == 0 || p->n_right == 0) return PH_OK;
    both->size = 0;
    PH_TRY(ph__str_add(both, p->left, p->n_left, err));
    PH_TRY(ph__str_add(both, p->right, p->n_right, err));
    PH_TRY(ph__symbols_add(&left, &b->symbols, p->left, p->n_left, err));
    PH_TRY(ph__symbols_add(&right, &b->symbols, p->right, p->n_right, err));
    PH_TRY(ph__symbols_add(&result, &b->symbols, both->data, both->size, err));
    merge *m = find_merge(b, left, right);
    if (m->left == PH_NO_SYMBOL) *m = (merge){left, right, rank, result};
    return PH_OK;
}

static ph_status add_merges(ph_bpe *b, const ph_vocab *vocab, ph_error *err)
{
    ph_status st = PH_OK;
    ph_str both = {0};
    ph_pair pair;

    if (vocab->n_merges >= INT32_MAX)
        return ph__fail(err, PH_EFORMAT, -1, "the vocabulary has too many merges");
    for (b->n_merges = 64; b->n_merges < 2 * vocab->n_merges;) b->n_merges *= 2;
    PH_TRY(PH_NEW(&b->merges, b->n_merges, err));
    memset(b->merges, 0xff, b->n_merges * sizeof *b->merges);
    for (size_t i = 0; i < vocab->n_merges; i++)
        if (vocab->merge(&pair, vocab->source, i))
            PH_GO(add_merge(b, &pair, &both, (uint32_t)i, err));
done:
    ph__str_close(&both);
    return st;
}

ph_status ph__bpe_open(ph_tokenizer *t, const ph_vocab *vocab, bool by_score, bool byte_fallback,
                       ph_error *err)
{
    ph_bpe *b = NULL;

    if (by_score && !vocab->score)
        return ph__fail(err, PH_EFORMAT, -1,
                        "tokenizer model \"%s\" needs scores, the file has none "
                        "(tokenizer.ggml.scores)",
                        vocab->model);
    PH_TRY(PH_NEW(&b, 1, err));
    t->bpe = b;
    b->by_score = by_score;
    b->byte_fallback = byte_fallback;
    b->fuse_unk = vocab->fuse_unk;
    PH_TRY(add_symbols(b, t, vocab, err));
    if (!by_score) PH_TRY(add_merges(b, vocab, err));
    fill_few(b);
    return PH_OK;
}

void ph__bpe_close(ph_bpe *b)
{
    if (!b) return;
    ph__symbols_close(&b->symbols);
    ph__free(b->merges);
    ph__free(b);
}

/* ---- merging a word ---- */

/* What a node stands for begins at its own byte: node i at byte i of the word. */
typedef struct node {
    uint32_t symbol;
    uint32_t prev, next;
} node;

/* A pair of neighbours and what becomes of it. */
typedef struct candidate {
    uint32_t rank, at, left, right, result;
} candidate;

struct ph_bpe_work {
    node *nodes;
    candidate *heap; /* smallest (rank, at) first */
    size_t cap_nodes, cap_heap, n;
};

ph_status ph__bpe_work_open(ph_bpe_work **out, ph_error *err)
{
    return PH_NEW(out, 1, err);
}

void ph__bpe_work_close(ph_bpe_work *w)
{
    if (!w) return;
    ph__free(w->nodes);
    ph__free(w->heap);
    ph__free(w);
}

static bool before(candidate a, candidate b)
{
    return a.rank < b.rank || (a.rank == b.rank && a.at < b.at);
}

static void push(ph_bpe_work *w, candidate c)
{
    size_t i = w->n++;
    for (size_t up; i > 0 && before(c, w->heap[up = (i - 1) / 2]); i = up) w->heap[i] = w->heap[up];
    w->heap[i] = c;
}

static candidate pop(ph_bpe_work *w)
{
    const candidate top = w->heap[0], last = w->heap[--w->n];
    size_t i = 0;
    for (size_t down; (down = 2 * i + 1) < w->n; i = down) {
        if (down + 1 < w->n && before(w->heap[down + 1], w->heap[down])) down++;
        if (!before(w->heap[down], last)) break;
        w->heap[i] = w->heap[down];
    }
    w->heap[i] = last;
    return top;
}

/* Push the pair of node `at` and the next one, if the two can be merged. */
static void consider(ph_bpe_work *w, const ph_bpe *b, const char *text, uint32_t n, uint32_t at)
{
    const uint32_t next = at == NO_NODE ? NO_NODE : w->nodes[at].next;
    if (next == NO_NODE) return;
    const uint32_t left = w->nodes[at].symbol, right = w->nodes[next].symbol;
    if (b->by_score) {
        const uint32_t end = w->nodes[next].next == NO_NODE ? n : w->nodes[next].next;
        const uint32_t s = ph__symbols_find(&b->symbols, text + at, end - at);
        if (s != PH_NO_SYMBOL) push(w, (candidate){b->symbols.at[s].rank, at, left, right, s});
    } else if (left != PH_NO_SYMBOL && right != PH_NO_SYMBOL) {
        const merge *m = find_merge(b, left, right);
        if (m->left != PH_NO_SYMBOL) push(w, (candidate){m->rank, at, left, right, m->result});
    }
}

static uint32_t char_symbol(size_t *bytes, const ph_bpe *b, const char *text, size_t n)
{
    uint32_t code = FEW;
    *bytes = ph__utf8_char(&code, text, n);
    return code < FEW ? b->few[code] : ph__symbols_find(&b->symbols, text, *bytes);
}

static void split_chars(ph_bpe_work *w, const ph_bpe *b, const char *text, uint32_t n)
{
    size_t bytes;
    for (uint32_t i = 0, last = NO_NODE, next; i < n; last = i, i = next) {
        const uint32_t symbol = char_symbol(&bytes, b, text + i, n - i);
        next = i + (uint32_t)bytes;
        w->nodes[i] = (node){symbol, last, next < n ? next : NO_NODE};
    }
}

static void merge_word(ph_bpe_work *w, const ph_bpe *b, const char *text, uint32_t n)
{
    node *nodes = w->nodes;

    split_chars(w, b, text, n);
    w->n = 0;
    for (uint32_t i = 0; i != NO_NODE; i = nodes[i].next) consider(w, b, text, n, i);
    while (w->n > 0) {
        const candidate c = pop(w);
        node *left = &nodes[c.at];
        /* Old candidates stay in the heap: skip those whose pair is gone. */
        if (left->symbol != c.left || left->next == NO_NODE) continue;
        node *right = &nodes[left->next];
        if (right->symbol != c.right) continue;
        left->symbol = c.result;
        right->symbol = GONE;
        left->next = right->next;
        if (left->next != NO_NODE) nodes[left->next].prev = c.at;
        consider(w, b, text, n, left->prev);
        consider(w, b, text, n, c.at);
    }
}

/* ---- ids of a merged word ---- */

/* What the ids of one word are written with. */
typedef struct sink {
    ph_ids *out;
    const ph_tokenizer *t;
    const ph_flow *flow;
    bool unknown; /* the last id was the unknown token */
} sink;

static ph_status no_token(const sink *k, size_t at, uint32_t code, ph_error *err)
{
    const int64_t pos = k->flow->origin[at];
    const int byte = k->t->byte_level ? ph__alphabet_byte(code) : -1;
    if (byte >= 0)
        return ph__fail(err, PH_ETEXT, pos,
                        "byte 0x%02x: the vocabulary has no token for it, nor an unknown token",
                        byte);
    return ph__fail(err, PH_ETEXT, pos,
                    "character U+%04X: the vocabulary has no token for it, nor an unknown token",
                    code);
}

/* A character that is no token: the tokens of its bytes, else the unknown token. */
static ph_status add_bytes(sink *k, size_t at, size_t n, ph_error *err)
{
    const ph_bpe *b = k->t->bpe;
    const char *p = k->flow->bytes + at;
    bool all = b->byte_fallback;
    uint32_t code = 0;

    for (size_t i = 0; i < n; i++) all = all && b->bytes[(uint8_t)p[i]] >= 0;
    if (all) {
        k->unknown = false;
        for (size_t i = 0; i < n; i++)
            PH_TRY(ph__ids_add(k->out, b->bytes[(uint8_t)p[i]], k->flow->origin[at + i], err));
        return PH_OK;
    }
    ph__utf8_char(&code, p, n);
    if (k->t->unk < 0) return no_token(k, at, code, err);
    if (k->unknown && b->fuse_unk) return PH_OK;
    k->unknown = true;
    return ph__ids_add(k->out, k->t->unk, k->flow->origin[at], err);
}

/* A symbol that is no token falls back to its characters. */
static ph_status add_symbol(sink *k, uint32_t symbol, size_t at, size_t n, ph_error *err)
{
    const ph_bpe *b = k->t->bpe;
    size_t bytes;

    if (symbol != PH_NO_SYMBOL && b->symbols.at[symbol].id >= 0) {
        k->unknown = false;
        return ph__ids_add(k->out, b->symbols.at[symbol].id, k->flow->origin[at], err);
    }
    for (size_t i = 0; i < n; i += bytes) {
        const uint32_t c = char_symbol(&bytes, b, k->flow->bytes + at + i, n - i);
        if (c != PH_NO_SYMBOL && b->symbols.at[c].id >= 0)
            PH_TRY(add_symbol(k, c, at + i, bytes, err));
        else
            PH_TRY(add_bytes(k, at + i, bytes, err));
    }
    return PH_OK;
}

ph_status ph__bpe_encode(ph_ids *out, const ph_tokenizer *t, ph_bpe_work *w, const ph_flow *f,
                         ph_piece word, ph_error *err)
{
    const ph_bpe *b = t->bpe;
    const char *text = f->bytes + word.from;
    const uint32_t n = word.to - word.from;
    sink k = {out, t, f, false};
    size_t heap, first;

    const uint32_t one = char_symbol(&first, b, text, n);
    if (first == n) return add_symbol(&k, one, word.from, n, err);
    const uint32_t whole = t->whole_words ? ph__symbols_find(&b->symbols, text, n) : PH_NO_SYMBOL;
    if (whole != PH_NO_SYMBOL && b->symbols.at[whole].id >= 0)
        return add_symbol(&k, whole, word.from, n, err);
    /* Each of n - 1 pairs at the start, and one more candidate for each of n - 1 merges. */
    if (!ph__mul(&heap, n, 2)) return ph__fail_memory(err, n);
    PH_TRY(ph__grow_to((void **)&w->nodes, &w->cap_nodes, n, sizeof *w->nodes, err));
    PH_TRY(ph__grow_to((void **)&w->heap, &w->cap_heap, heap, sizeof *w->heap, err));
    merge_word(w, b, text, n);
    for (uint32_t i = 0, next; i != NO_NODE; i = next) {
        next = w->nodes[i].next;
        const uint32_t end = next == NO_NODE ? n : next;
        PH_TRY(add_symbol(&k, w->nodes[i].symbol, word.from + i, end - i, err));
    }
    return PH_OK;
}
