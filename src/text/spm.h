/* spm.h — how SentencePiece writes tokens: U+2581 is a blank, <0xNN> the byte NN. */
#ifndef PH_SPM_H
#define PH_SPM_H

#include "text/steps.h"

/* The byte of <0xNN>, -1 for other texts. */
int ph__spm_byte(const char *token, size_t n);
/* out = the bytes that a token stands for, never more than n; returns how many. */
size_t ph__spm_piece(char *out, const char *token, size_t n);
/* The same without <0xNN>. */
size_t ph__spm_blanks(char *out, const char *token, size_t n);
/* Add what a text goes through: a blank before it, where `blank` says so, then U+2581 for all; with
 * `squeeze` superfluous blanks go first. */
ph_status ph__spm_steps(ph_steps *out, bool blank, bool squeeze, ph_error *err);

#endif
