/* spm_model.c — a tokenizer from SentencePiece's tokenizer.model, a protocol buffer.
 *
 * Read is what says how a text becomes tokens; models of another kind than BPE, and normalisers with a
 * table of their own, are refused.
 */
#include "text/json_added.h"
#include "text/json_steps.h"
#include "text/proto.h"

#include "base/mem.h"

#include <string.h>

#define SUBJECT "tokenizer.model"

/* Fields of sentencepiece_model.proto. */
enum { PIECES = 1, TRAINER = 2, NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum {
    TRAINER_TYPE = 3,
    TRAINER_SUFFIX = 24,
    TRAINER_BYTES = 35,
    TRAINER_UNK = 40,
    TRAINER_BOS = 41,
    TRAINER_EOS = 42
};
enum {
    NORMALIZER_NAME = 1,
    NORMALIZER_MAP = 2,
    NORMALIZER_PREFIX = 3,
    NORMALIZER_SQUEEZE = 4,
    NORMALIZER_ESCAPE = 5
};
enum { UNIGRAM = 1, BPE = 2 };

typedef struct piece {
    const char *text; /* the file's, or a JSON text's */
    uint32_t size;
    float score;
    uint8_t kind;
    bool late; /* user-defined by the model itself */
} piece;

typedef struct source {
    piece *at;
    size_t n;
} source;

/* ---- what a tokenizer asks ---- */

static const char *token(const void *p, size_t i, size_t *bytes)
{
    const piece *e = &((const source *)p)->at[i];
    *bytes = e->size;
    return e->text ? e->text : "";
}

static int kind(const void *p, size_t i)
{
    return ((const source *)p)->at[i].kind;
}

static bool late(const void *p, size_t i)
{
    return ((const source *)p)->at[i].late;
}

static float score(const void *p, size_t i)
{
    return ((const source *)p)->at[i].score;
}

static int64_t find(const void *p, const char *text, size_t n)
{
    const source *s = p;
    for (size_t i = 0; n && i < s->n; i++)
        if (s->at[i].size == n && memcmp(s->at[i].text, text, n) == 0) return (int64_t)i;
    return -1;
}

/* ---- the file ---- */

static ph_status expect(const ph_field *f, ph_wire wire, const char *what, ph_error *err)
{
    if (f->wire == wire) return PH_OK;
    return ph__fail(err, PH_EFORMAT, -1, SUBJECT ": %s is written as something else", what);
}

static ph_status read_piece(piece *out, ph_proto p, size_t i, ph_error *err)
{
    ph_field f;
    bool more;

    *out = (piece){.kind = PH_TOKEN_NORMAL};
    for (;;) {
        PH_TRY(ph__proto_next(&more, &f, &p, SUBJECT, err));
        if (!more) break;
        if (f.number == PIECE_TEXT) {
            PH_TRY(expect(&f, PH_WIRE_BYTES, "a piece's text", err));
            out->text = (const char *)f.bytes;
            out->size = f.size > UINT32_MAX ? 0 : (uint32_t)f.size;
        } else if (f.number == PIECE_SCORE) {
            PH_TRY(expect(&f, PH_WIRE_32, "a piece's score", err));
            const uint32_t bits = (uint32_t)f.value;
            memcpy(&out->score, &bits, sizeof bits);
        } else if (f.number == PIECE_TYPE) {
            PH_TRY(expect(&f, PH_WIRE_VARINT, "a piece's type", err));
            if (f.value < PH_TOKEN_NORMAL || f.value > PH_TOKEN_BYTE)
                return ph__fail(err, PH_EFORMAT, -1,
                                SUBJECT ": piece %zu is of no type that there is", i);
            out->kind = (uint8_t)f.value;
        }
    }
    /* an empty one would cost more memory than the file has bytes for it */
    if (out->size) return PH_OK;
    return ph__fail(err, PH_EFORMAT, -1, SUBJECT ": piece %zu has no text", i);
}

static ph_status read_trainer(ph_vocab *v, uint64_t *type, ph_proto p, ph_error *err)
{
    ph_field f;
    bool more;

    for (;;) {
        PH_TRY(ph__proto_next(&more, &f, &p, SUBJECT, err));
        if (!more) return PH_OK;
        switch (f.number) {
        case TRAINER_TYPE: *type = f.value; break;
        case TRAINER_BYTES: v->fuse_unk = !f.value; break;
        case TRAINER_UNK: v->unk = (int32_t)f.value; break;
        case TRAINER_BOS: v->bos = (int32_t)f.value; break;
        case TRAINER_EOS: v->eos = (int32_t)f.value; break;
        case TRAINER_SUFFIX:
            if (f.value)
                return ph__fail(err, PH_EUNSUPPORTED, -1,
                                SUBJECT ": blanks as suffixes are not supported yet");
            break;
        default: break;
        }
    }
}

static ph_status read_normalizer(ph_vocab *v, ph_proto p, ph_error *err)
{
    ph_field f, name = {0};
    bool more, map = false, escape = true;

    for (;;) {
        PH_TRY(ph__proto_next(&more, &f, &p, SUBJECT, err));
        if (!more) break;
        switch (f.number) {
        case NORMALIZER_NAME: name = f; break;
        case NORMALIZER_MAP: map = f.size > 0; break;
        case NORMALIZER_PREFIX: v->add_space = f.value != 0; break;
        case NORMALIZER_SQUEEZE: v->squeeze = f.value != 0; break;
        case NORMALIZER_ESCAPE: escape = f.value != 0; break;
        default: break;
        }
    }
    if (map)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        SUBJECT ": its normaliser (%.*s) is not supported yet, the identity is",
                        (int)(name.size < 40 ? name.size : 40),
                        name.size ? (const char *)name.bytes : "");
    if (!escape)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        SUBJECT ": blanks as they are are not supported yet");
    return PH_OK;
}

static ph_status count_pieces(size_t *n, ph_proto p, ph_error *err)
{
    ph_field f;
    bool more;

    for (*n = 0;; *n += f.number == PIECES) {
        PH_TRY(ph__proto_next(&more, &f, &p, SUBJECT, err));
        if (!more) return PH_OK;
        if (f.number == PIECES) PH_TRY(expect(&f, PH_WIRE_BYTES, "a piece", err));
    }
}

static ph_status check_type(uint64_t type, ph_error *err)
{
    static const char *const names[] = {"", "Unigram", "BPE", "words", "characters"};
    if (type == BPE) return PH_OK;
    return ph__fail(err, PH_EUNSUPPORTED, -1,
                    SUBJECT ": a SentencePiece model of %s is not supported yet, BPE is",
                    type < sizeof names / sizeof *names ? names[type] : "another kind");
}

static ph_status read_model(source *s, ph_vocab *v, ph_content model, ph_error *err)
{
    const uint8_t *bytes = (const uint8_t *)model.data;
    ph_proto p = {bytes, model.size ? bytes + model.size : bytes, bytes};
    ph_field f;
    bool more;
    size_t n;
    uint64_t type = UNIGRAM;

    if (!model.size) return ph__fail(err, PH_EFORMAT, 0, SUBJECT " is empty");
    PH_TRY(count_pieces(&n, p, err));
    PH_TRY(PH_NEW(&s->at, n, err));
    for (;;) {
        PH_TRY(ph__proto_next(&more, &f, &p, SUBJECT, err));
        if (!more) break;
        if (f.number < PIECES || f.number > NORMALIZER) continue;
        PH_TRY(expect(&f, PH_WIRE_BYTES, "a part", err));
        const ph_proto inside = ph__proto_inside(&p, &f);
        if (f.number == TRAINER) PH_TRY(read_trainer(v, &type, inside, err));
        if (f.number == NORMALIZER) PH_TRY(read_normalizer(v, inside, err));
        if (f.number != PIECES) continue;
        PH_TRY(read_piece(&s->at[s->n], inside, s->n, err));
        s->at[s->n].late = s->at[s->n].kind == PH_TOKEN_USER_DEFINED;
        s->n++;
    }
    return check_type(type, err);
}

/* ---- what is added to it ---- */

static bool flag(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

/* Room for ids up to the largest that is added: few are left out in between. */
static ph_status make_room(source *s, const json_t *added, ph_error *err)
{
    size_t n = s->n;

    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *o = json_array_get(added, i);
        const json_int_t id = json_integer_value(json_object_get(o, "id"));
        if (id < 0 || (uint64_t)id >= 2 * (s->n + json_array_size(added)) + 1024)
            return ph__fail(err, PH_EFORMAT, -1, "added token \"%.60s\" has id %lld",
                            json_string_value(json_object_get(o, "content")), (long long)id);
        if ((uint64_t)id >= n) n = (size_t)id + 1;
    }
    PH_TRY(PH_GROW(&s->at, s->n, n, err));
    for (; s->n < n; s->n++) s->at[s->n].kind = PH_TOKEN_UNUSED;
    return PH_OK;
}

static ph_status take_added(source *s, const json_t *added, ph_error *err)
{
    PH_TRY(make_room(s, added, err));
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *o = json_array_get(added, i), *text = json_object_get(o, "content");
        piece *e = &s->at[json_integer_value(json_object_get(o, "id"))];
        if (flag(o, "lstrip") || flag(o, "rstrip") || flag(o, "single_word"))
            return ph__fail(err, PH_EUNSUPPORTED, -1,
                            "added token \"%.60s\" takes blanks along, or is a word: not supported "
                            "with a " SUBJECT,
                            json_string_value(text));
        e->text = json_string_value(text);
        e->size = (uint32_t)json_string_length(text);
        if (e->kind != PH_TOKEN_UNKNOWN)
            e->kind = flag(o, "special") ? PH_TOKEN_CONTROL : PH_TOKEN_USER_DEFINED;
        e->late = false;
    }
    return PH_OK;
}

/* What the configuration says of BOS and EOS goes before what the model does. */
static ph_status take_config(ph_vocab *v, const source *s, const ph_beside_json *b, ph_error *err)
{
    static const char of[] = "tokenizer_config.json";
    const json_t *bos = ph__json_special(b, "bos_token"), *eos = ph__json_special(b, "eos_token");
    bool add_bos, add_eos;

    if (bos) v->bos = find(s, json_string_value(bos), json_string_length(bos));
    if (eos) v->eos = find(s, json_string_value(eos), json_string_length(eos));
    PH_TRY(ph__json_flag(&add_bos, b->config, of, "add_bos_token", true, err));
    PH_TRY(ph__json_flag(&add_eos, b->config, of, "add_eos_token", false, err));
    v->add_bos = add_bos;
    v->add_eos = add_eos;
    return PH_OK;
}

ph_status ph__tokenizer_open_spm(ph_tokenizer **out, ph_content model, const ph_beside *beside,
                                 ph_error *err)
{
    ph_status st = PH_OK;
    ph_beside_json b = {0};
    json_t *added = NULL;
    source s = {0};
    ph_vocab v = {.model = "llama",
                  .pre = "",
                  .token = token,
                  .kind = kind,
                  .score = score,
                  .late = late,
                  .source = &s,
                  .unk = 0,
                  .bos = 1,
                  .eos = 2,
                  .add_space = 1,
                  .squeeze = true,
                  .fuse_unk = true};

    PH_GO(ph__beside_parse(&b, beside, err));
    PH_GO(read_model(&s, &v, model, err));
    PH_GO(ph__json_added(&added, &b, find, &s, err));
    PH_GO(take_added(&s, added, err));
    PH_GO(take_config(&v, &s, &b, err));
    v.n_tokens = s.n;
    PH_GO(ph__tokenizer_new(out, &v, err));
done:
    json_decref(added);
    ph__free(s.at);
    ph__beside_close(&b);
    return st;
}
