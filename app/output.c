/* output.c — --output FILE: results go to a file in place of stdout, whole or not at all. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int terminal = -1; /* what stdout was */
static int failed;        /* errno of the first write to stdout that failed */

void output_now(void)
{
    if (fflush(stdout) != 0 && !failed) failed = errno;
}

int output_errno(void)
{
    output_now();
    if (ferror(stdout) && !failed) failed = EIO; /* by a write that nobody waited for */
    return failed;
}

char *output_part(const char *path)
{
    char *part = NULL;
    return asprintf(&part, "%s.%ld.part", path, (long)getpid()) < 0 ? NULL : part;
}

bool output_begin(const char *path)
{
    char *part = output_part(path);
    const int file = part ? open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
    free(part);
    if (file < 0) return false;
    fflush(stdout);
    terminal = dup(STDOUT_FILENO);
    const bool ok = terminal >= 0 && dup2(file, STDOUT_FILENO) >= 0;
    close(file);
    return ok;
}

bool output_end(const char *path, bool keep)
{
    char *part = output_part(path);
    const bool written = fflush(stdout) == 0 && !ferror(stdout);
    bool ok = part && dup2(terminal, STDOUT_FILENO) >= 0 && written;
    const int cause = errno;

    close(terminal);
    if (ok && keep)
        ok = rename(part, path) == 0;
    else if (part)
        unlink(part);
    if (!written) errno = cause;
    free(part);
    return ok;
}

void csv_text(const char *text, size_t n)
{
    putchar('"');
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"') putchar('"');
        text[i] ? (void)putchar(text[i]) : (void)fputs("\xef\xbf\xbd", stdout);
    }
    putchar('"');
}

ph_status output_error(ph_error *err, const char *path, const char *why)
{
    *err = (ph_error){.code = PH_EIO, .pos = -1};
    snprintf(err->msg, sizeof err->msg, "%s: %s", path, why);
    return PH_EIO;
}

ph_status no_memory(ph_error *err)
{
    *err = (ph_error){PH_ENOMEM, -1, "out of memory"};
    return PH_ENOMEM;
}
