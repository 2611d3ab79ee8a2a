/* spm.c — SentencePiece vocabularies: what their tokens stand for. Text is not encoded yet. */
#include "text/spm.h"

#include <string.h>

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

size_t ph__spm_piece(char *out, const char *token, size_t n)
{
    static const char blank[] = "▁";
    const size_t wide = sizeof blank - 1;
    size_t at = 0;

    if (n == 6 && memcmp(token, "<0x", 3) == 0 && token[5] == '>' && digit(token[3]) >= 0 &&
        digit(token[4]) >= 0) {
        out[0] = (char)(16 * digit(token[3]) + digit(token[4]));
        return 1;
    }
    for (size_t i = 0; i < n;) {
        if (n - i >= wide && memcmp(token + i, blank, wide) == 0) {
            out[at++] = ' ';
            i += wide;
        } else {
            out[at++] = token[i++];
        }
    }
    return at;
}

/* SentencePiece adds a BOS where the file does not say otherwise, as llama.cpp has it. */
ph_status ph__spm_open(ph_tokenizer *t, const ph_vocab *vocab, ph_error *err)
{
    (void)vocab, (void)err;
    t->pre.add_bos = true;
    return PH_OK;
}

void ph__spm_close(ph_tokenizer *t)
{
    (void)t;
}
