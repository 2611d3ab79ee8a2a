/* progress.h — a bar on a terminal's stderr, and Ctrl-C. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <phosphene.h>

/* Make searches report here. Without a terminal, or quiet, nothing is drawn; Ctrl-C is noticed
 * either way. */
void progress_attach(ph_run_options *run, bool quiet);
/* Remove the bar, before results are printed. */
void progress_clear(void);
bool progress_interrupted(void);
/* Where bars are drawn: this line in place of one. */
void progress_line(const char *text);

#endif
