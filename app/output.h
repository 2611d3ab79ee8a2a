/* output.h — --output FILE: results go to a file in place of stdout, whole or not at all; and the errors
 * that commands make themselves. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <phosphene.h>

/* Whoever reads along sees what is on stdout so far. */
void output_now(void);
/* The same, at the end. 0: all was written; else the errno of the first write that was not. */
int output_errno(void);
/* Where a file is written before it takes its name, to be freed; NULL if out of memory. */
char *output_part(const char *path);
/* What is written to stdout from now on goes into a part of `path`; false, with errno, if it cannot
 * be made. */
bool output_begin(const char *path);
/* stdout is the terminal's again; with `keep` the part takes its name, else it is removed. false,
 * with errno, if not everything could be written. */
bool output_end(const char *path, bool keep);
/* A text in quotes, as CSV (RFC 4180) has it, to stdout; it has no 0 byte: U+FFFD stands for one. */
void csv_text(const char *text, size_t n);
/* PH_EIO: "path: why". */
ph_status output_error(ph_error *err, const char *path, const char *why);
/* PH_ENOMEM: "out of memory". */
ph_status no_memory(ph_error *err);

#endif
