/* bpe.c — byte-level byte pair encoding.
 *
 * Symbols are byte strings: the 256 bytes first (symbol b is byte b), then every ordinary token,
 * then what merges name besides. A merge is a pair of symbols with a rank and a result. A word
 * starts as its bytes; the pair of lowest rank, leftmost first, is merged until there is none.
 */
#include "text/bpe.h"

#include "base/mem.h"
#include "text/utf8.h"

#include <string.h>

#define NONE UINT32_MAX

typedef struct symbol {
    size_t at; /* in bpe.bytes */
    uint32_t size;
    int32_t id; /* -1: no token */
} symbol;

typedef struct merge {
    uint32_t left, right, rank, result; /* left NONE: an empty slot */
} merge;

typedef struct bpe {
    char *bytes;
    size_t n_bytes, cap_bytes;
    symbol *symbols;
    size_t n, cap;
    uint32_t *slots; /* open addressing over symbols, by their bytes; NONE: empty */
    size_t n_slots;  /* a power of two, at least twice n */
    merge *merges;   /* the same, by (left, right) */
    size_t n_merges;
} bpe;

/* ---- the alphabet ---- */

/* Byte of a character of the alphabet, -1 for any other: printable Latin-1 stands for itself,
 * U+0100 … U+0143 for the 68 bytes that are not, in their order. */
static int alphabet_byte(uint32_t code)
{
    const bool itself = (code >= 0x21 && code <= 0x7e) || (code >= 0xa1 && code <= 0xff);
    if (itself && code != 0xad) return (int)code;
    if (code < 0x100 || code > 0x143) return -1;
    const uint32_t i = code - 0x100;
    return (int)(i <= 0x20 ? i : i <= 0x42 ? 0x7f + i - 0x21 : 0xad);
}

/* out = the bytes of n bytes of alphabet; false if it is none. */
static bool alphabet_read(char *out, size_t *size, const char *text, size_t n)
{
    size_t used = 0;
    for (size_t i = 0, step; i < n; i += step) {
        uint32_t code;
        step = ph__utf8_char(&code, text + i, n - i);
        const int byte = step ? alphabet_byte(code) : -1;
        if (byte < 0) return false;
        out[used++] = (char)byte;
    }
    *size = used;
    return true;
}

/* A token with other characters stands for itself (as in Hugging Face's byte-level decoder). */
size_t ph__bpe_piece(char *out, const char *token, size_t n)
{
    size_t size;
    if (alphabet_read(out, &size, token, n)) return size;
    memcpy(out, token, n);
    return n;
}

/* ---- symbols ---- */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t hash_bytes(const char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)p[i]) * 0x100000001b3u;
    return mix(h);
}

/* The slot that holds these bytes, or the empty one where they would go. */
static uint32_t *find_slot(const bpe *b, const char *p, size_t n)
{
    const size_t mask = b->n_slots - 1;
    for (size_t i = hash_bytes(p, n) & mask;; i = (i + 1) & mask) {
        const uint32_t s = b->slots[i];
        if (s == NONE) return &b->slots[i];
        if (b->symbols[s].size == n && memcmp(b->bytes + b->symbols[s].at, p, n) == 0)
            return &b->slots[i];
    }
}

static ph_status grow_slots(bpe *b, size_t want, ph_error *err)
{
    size_t n = b->n_slots ? b->n_slots : 1024;
    uint32_t *slots = NULL;

    while (n < want)
        if (!ph__mul(&n, n, 2)) return ph__fail_memory(err, want);
    PH_TRY(PH_NEW(&slots, n, err));
    memset(slots, 0xff, n * sizeof *slots);
    ph__free(b->slots);
    b->slots = slots;
    b->n_slots = n;
    for (size_t i = 0; i < b->n; i++)
        *find_slot(b, b->bytes + b->symbols[i].at, b->symbols[i].size) = (uint32_t)i;
    return PH_OK;
}

static ph_status grow_to(void **p, size_t *cap, size_t want, size_t size, ph_error *err)
{
    size_t n = *cap ? *cap : 1024;
    if (want <= *cap) return PH_OK;
    while (n < want)
        if (!ph__mul(&n, n, 2)) return ph__fail_memory(err, want);
    PH_TRY(ph__grow(p, *cap, n, size, err));
    *cap = n;
    return PH_OK;
}

/* *out = the symbol of these bytes, made if there is none. */
static ph_status intern(uint32_t *out, bpe *b, const char *p, size_t n, ph_error *err)
{
    if (b->n_slots < 2 * (b->n + 1)) PH_TRY(grow_slots(b, 2 * (b->n + 1), err));
    uint32_t *slot = find_slot(b, p, n);
    if (*slot == NONE) {
        if (b->n >= INT32_MAX || n > INT32_MAX)
            return ph__fail(err, PH_EFORMAT, -1, "the vocabulary has too many or too long tokens");
        PH_TRY(grow_to((void **)&b->symbols, &b->cap, b->n + 1, sizeof *b->symbols, err));
        PH_TRY(grow_to((void **)&b->bytes, &b->cap_bytes, b->n_bytes + n, 1, err));
        memcpy(b->bytes + b->n_bytes, p, n);
        b->symbols[b->n] = (symbol){b->n_bytes, (uint32_t)n, -1};
        b->n_bytes += n;
        *slot = (uint32_t)b->n++;
    }
    *out = *slot;
    return PH_OK;
}

static ph_status add_symbols(bpe *b, const ph_tokenizer *t, ph_error *err)
{
    uint32_t s;
    for (int byte = 0; byte < 256; byte++) {
        const char c = (char)byte;
        PH_TRY(intern(&s, b, &c, 1, err));
    }
    for (int32_t id = 0; id < t->info.vocab; id++) {
        size_t n;
        const char *p = ph_tokenizer_piece(t, id, &n);
        if (n == 0 || !ph__token_ordinary(t, id)) continue;
        PH_TRY(intern(&s, b, p, n, err));
        b->symbols[s].id = id; /* of equal tokens the last, as in llama.cpp */
    }
    return PH_OK;
}

/* ---- merges ---- */

/* The slot of a pair, or the empty one where it would go. */
static merge *find_merge(const bpe *b, uint32_t left, uint32_t right)
{
    const size_t mask = b->n_merges - 1;
    for (size_t i = mix((uint64_t)left << 32 | right) & mask;; i = (i + 1) & mask) {
        merge *m = &b->merges[i];
        if (m->left == NONE || (m->left == left && m->right == right)) return m;
    }
}

/* text = "left right" with n bytes; room holds as many. What is no pair of symbols can never apply
 * and is passed over; what names symbols that are no tokens is kept, since further merges may make
 * tokens of them. llama.cpp opens such files too. Of equal pairs the first counts. */
static ph_status add_merge(bpe *b, const char *text, size_t n, char *room, uint32_t rank,
                           ph_error *err)
{
    const char *blank = n > 1 ? memchr(text + 1, ' ', n - 1) : NULL;
    size_t n_left, n_right;
    uint32_t left, right, both;

    if (!blank) return PH_OK;
    const size_t cut = (size_t)(blank - text);
    if (!alphabet_read(room, &n_left, text, cut)) return PH_OK;
    if (!alphabet_read(room + n_left, &n_right, blank + 1, n - cut - 1)) return PH_OK;
    if (n_right == 0) return PH_OK;
    PH_TRY(intern(&left, b, room, n_left, err));
    PH_TRY(intern(&right, b, room + n_left, n_right, err));
    PH_TRY(intern(&both, b, room, n_left + n_right, err));
    merge *m = find_merge(b, left, right);
    if (m->left == NONE) *m = (merge){left, right, rank, both};
    return PH_OK;
}

static ph_status add_merges(bpe *b, const ph_vocab *vocab, ph_error *err)
{
    ph_status st = PH_OK;
    char *room = NULL;
    size_t n_room = 0, want;

    if (!ph__mul(&want, vocab->n_merges, 2) || vocab->n_merges >= INT32_MAX)
        return ph__fail(err, PH_EFORMAT, -1, "%zu merges are too many", vocab->n_merges);
    for (b->n_merges = 1024; b->n_merges < want;) b->n_merges *= 2;
    PH_TRY(PH_NEW(&b->merges, b->n_merges, err));
    memset(b->merges, 0xff, b->n_merges * sizeof *b->merges);
    for (size_t i = 0; i < vocab->n_merges; i++) {
        size_t n;
        const char *text = vocab->merge(vocab->source, i, &n);
        PH_GO(grow_to((void **)&room, &n_room, n, 1, err));
        PH_GO(add_merge(b, text, n, room, (uint32_t)i, err));
    }
done:
    ph__free(room);
    return st;
}

ph_status ph__bpe_open(ph_tokenizer *t, const ph_vocab *vocab, ph_error *err)
{
    bpe *b = NULL;

    if (vocab->n_merges == 0)
        return ph__fail(err, PH_EFORMAT, -1,
                        "tokenizer model \"%s\" needs merges, the file has none "
                        "(tokenizer.ggml.merges)",
                        vocab->model);
    PH_TRY(ph__pretokenizer_open(&t->pre, vocab->pre, err));
    PH_TRY(PH_NEW(&b, 1, err));
    t->state = b;
    PH_TRY(add_symbols(b, t, err));
    return add_merges(b, vocab, err);
}

void ph__bpe_close(ph_tokenizer *t)
{
    bpe *b = t->state;
    ph__pretokenizer_close(&t->pre);
    if (!b) return;
    ph__free(b->bytes);
    ph__free(b->symbols);
    ph__free(b->slots);
    ph__free(b->merges);
    ph__free(b);
    t->state = NULL;
}

/* ---- a word ---- */

/* What a node stands for begins at its own byte: node i at byte i of the word. */
typedef struct node {
    uint32_t symbol; /* NONE once it was merged into the one before */
    uint32_t prev, next;
} node;

typedef struct candidate {
    uint32_t rank, at;
    const merge *merge;
} candidate;

/* Everything that one call of encode needs; grows with the longest word. */
typedef struct work {
    ph_split split;
    node *nodes;
    candidate *heap; /* smallest (rank, at) first */
    size_t cap_nodes, cap_heap, n;
} work;

static bool before(candidate a, candidate b)
{
    return a.rank < b.rank || (a.rank == b.rank && a.at < b.at);
}

static void push(work *w, candidate c)
{
    size_t i = w->n++;
    for (size_t up; i > 0 && before(c, w->heap[up = (i - 1) / 2]); i = up) w->heap[i] = w->heap[up];
    w->heap[i] = c;
}

static candidate pop(work *w)
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

static void consider(work *w, const bpe *b, uint32_t at)
{
    const uint32_t next = at == NONE ? NONE : w->nodes[at].next;
    if (next == NONE) return;
    const merge *m = find_merge(b, w->nodes[at].symbol, w->nodes[next].symbol);
    if (m->left != NONE) push(w, (candidate){m->rank, at, m});
}

static void merge_word(work *w, const bpe *b, const char *text, uint32_t n)
{
    node *nodes = w->nodes;

    for (uint32_t i = 0; i < n; i++)
        nodes[i] = (node){(uint8_t)text[i], i ? i - 1 : NONE, i + 1 < n ? i + 1 : NONE};
    w->n = 0;
    for (uint32_t i = 0; i < n; i++) consider(w, b, i);
    while (w->n > 0) {
        const candidate c = pop(w);
        node *left = &nodes[c.at];
        /* Old candidates stay in the heap: skip those whose pair is gone. */
        if (left->symbol != c.merge->left || left->next == NONE) continue;
        node *right = &nodes[left->next];
        if (right->symbol != c.merge->right) continue;
        left->symbol = c.merge->result;
        right->symbol = NONE;
        left->next = right->next;
        if (left->next != NONE) nodes[left->next].prev = c.at;
        consider(w, b, left->prev);
        consider(w, b, c.at);
    }
}

/* A symbol that is no token falls back to its bytes, a byte that is none to the unknown token. */
static ph_status add_symbol(ph_ids *out, const ph_tokenizer *t, const symbol *s, size_t start,
                            ph_error *err)
{
    const bpe *b = t->state;

    if (s->id >= 0) return ph__ids_add(out, s->id, start, err);
    for (uint32_t i = 0; i < s->size; i++) {
        const uint8_t byte = (uint8_t)b->bytes[s->at + i];
        const int32_t id = b->symbols[byte].id >= 0 ? b->symbols[byte].id : t->unk;
        if (id < 0)
            return ph__fail(err, PH_ETEXT, (int64_t)(start + i),
                            "byte 0x%02x: the vocabulary has no token for it, nor an unknown token",
                            byte);
        PH_TRY(ph__ids_add(out, id, start + i, err));
    }
    return PH_OK;
}

static ph_status encode_word(ph_ids *out, const ph_tokenizer *t, work *w, const char *text,
                             size_t from, size_t n, ph_error *err)
{
    const bpe *b = t->state;
    const uint32_t *whole = t->pre.whole_words || n == 1 ? find_slot(b, text + from, n) : NULL;
    size_t heap;

    if (whole && *whole != NONE && b->symbols[*whole].id >= 0)
        return ph__ids_add(out, b->symbols[*whole].id, from, err);
    /* Each of n - 1 pairs at the start, and one more candidate for each of n - 1 merges. */
    if (!ph__mul(&heap, n, 2)) return ph__fail_memory(err, n);
    PH_TRY(grow_to((void **)&w->nodes, &w->cap_nodes, n, sizeof *w->nodes, err));
    PH_TRY(grow_to((void **)&w->heap, &w->cap_heap, heap, sizeof *w->heap, err));
    merge_word(w, b, text + from, (uint32_t)n);
    for (uint32_t i = 0; i != NONE; i = w->nodes[i].next)
        PH_TRY(add_symbol(out, t, &b->symbols[w->nodes[i].symbol], from + i, err));
    return PH_OK;
}

static ph_status encode_plain(ph_ids *out, const ph_tokenizer *t, work *w, const char *text,
                              size_t from, size_t to, ph_error *err)
{
    while (from < to) {
        size_t end;
        PH_TRY(ph__split_next(&end, &w->split, text, from, to, err));
        PH_TRY(encode_word(out, t, w, text, from, end - from, err));
        from = end;
    }
    return PH_OK;
}

ph_status ph__bpe_encode(ph_ids *out, const ph_tokenizer *t, const char *text, const ph_span *spans,
                         size_t n, ph_error *err)
{
    ph_status st = PH_OK;
    work w = {0};

    PH_GO(ph__split_open(&w.split, &t->pre, err));
    for (size_t i = 0; i < n; i++) {
        const ph_span *s = &spans[i];
        PH_GO(s->id >= 0 ? ph__ids_add(out, s->id, s->from, err)
                         : encode_plain(out, t, &w, text, s->from, s->to, err));
    }
done:
    ph__split_close(&w.split);
    ph__free(w.nodes);
    ph__free(w.heap);
    return st;
}
