/* spm.h — SentencePiece vocabularies: what their tokens stand for. Text is not encoded yet. */
#ifndef PH_SPM_H
#define PH_SPM_H

#include "text/tokenizer.h"

/* U+2581 is a blank, <0xNN> the byte NN. */
size_t ph__spm_piece(char *out, const char *token, size_t n);
ph_status ph__spm_open(ph_tokenizer *t, const ph_vocab *vocab, ph_error *err);
void ph__spm_close(ph_tokenizer *t);

#endif
