/* bpe.h — byte-level byte pair encoding: the tokenizer model "gpt2".
 *
 * A file writes tokens in an alphabet that has a printable character for each of the 256 bytes; we
 * work on the bytes themselves.
 */
#ifndef PH_BPE_H
#define PH_BPE_H

#include "text/tokenizer.h"

size_t ph__bpe_piece(char *out, const char *token, size_t n);
ph_status ph__bpe_open(ph_tokenizer *t, const ph_vocab *vocab, ph_error *err);
ph_status ph__bpe_encode(ph_ids *out, const ph_tokenizer *t, const char *text, const ph_span *spans,
                         size_t n, ph_error *err);
void ph__bpe_close(ph_tokenizer *t);

#endif
