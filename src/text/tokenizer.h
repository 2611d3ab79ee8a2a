/* tokenizer.h — the parts of a tokenizer, for this room only.
 *
 * Encoding takes four steps: special tokens cut the text into spans (special.c), which are
 * normalised and cut into words (steps.c); the tokenizer model makes ids of words (bpe.c). Every
 * step keeps byte positions, so that each id knows where it begins (flow.h).
 */
#ifndef PH_TOKENIZER_H
#define PH_TOKENIZER_H

#include "text/special.h"
#include "text/steps.h"
#include "text/vocab.h"

/* Ids with the byte at which each begins. */
typedef struct ph_ids {
    int32_t *ids;
    size_t *starts;
    size_t n, cap;
} ph_ids;

ph_status ph__ids_add(ph_ids *out, int32_t id, size_t start, ph_error *err);

struct ph_tokenizer {
    ph_tokenizer_info info;
    ph_steps normal, split;
    ph_specials specials; /* found in the text as it is given */
    ph_specials late;     /* found in the normalised text */
    char *names[3];       /* info's strings */
    char *bytes;          /* all pieces, one after another; piece i is [offset[i], offset[i + 1]) */
    size_t *offset;
    uint8_t *kinds;
    int32_t unk;
    bool byte_level, whole_words, strip;
    struct ph_bpe *bpe;
};

/* Ordinary tokens come from words; the others are found as written or not at all. */
bool ph__token_ordinary(const ph_tokenizer *t, int32_t id);

#endif
