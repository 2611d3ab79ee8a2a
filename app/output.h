/* output.h — --output FILE: results go to a file in place of stdout, whole or not at all; and the errors
 * that commands make themselves. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <phosphene.h>

/* Whoever reads along sees what is on stdout so far. */
void output_now(void);
/* n bytes to stdout, perhaps many. */
void output_bytes(const void *bytes, size_t n);
/* output_now, at the end. 0: all was written; else the errno of the first write that was not. */
int output_errno(void);
/* What is written to stdout from now on goes into a part of the file that `path` means; into `path`
 * itself where that is no regular file. false, with errno, if it cannot be made. */
bool output_begin(const char *path);
/* After output_begin: stdout is the terminal's again; with `keep` the part takes its name, else it is
 * removed. false, with errno, if not everything could be written, whatever else went wrong. */
bool output_end(bool keep);
/* A text in quotes, as CSV (RFC 4180) has it, to stdout; it has no 0 byte: U+FFFD stands for one. */
void csv_text(const char *text, size_t n);
/* PH_EIO: "path: why". */
ph_status output_error(ph_error *err, const char *path, const char *why);
/* PH_ENOMEM: "out of memory". */
ph_status no_memory(ph_error *err);

#endif
