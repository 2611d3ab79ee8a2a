/* output.c — --output FILE: results go to a file in place of stdout, whole or not at all.
 *
 * A FIFO or a device is no file that another could take the place of: it is written as it is.
 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed; /* errno of the first write to stdout that failed */

/* Of output_begin. */
static int terminal = -1; /* what stdout was */
static char *taken;       /* the file whose name is taken at the end; NULL: written as it is */
static char *part;        /* … and where it is written before */

void output_now(void)
{
    if (fflush(stdout) != 0 && !failed) failed = errno;
}

void output_bytes(const void *bytes, size_t n)
{
    if (fwrite(bytes, 1, n, stdout) != n && !failed) failed = errno;
}

int output_errno(void)
{
    output_now();
    if (ferror(stdout) && !failed) failed = EIO; /* by a write that nobody waited for */
    return failed;
}

/* ---- a file in place of stdout ---- */

/* The file that a name stands for behind symbolic links, there or not; to be freed. */
static char *behind_links(const char *path)
{
    char to[PATH_MAX], *at = realpath(path, NULL), *next = NULL;
    if (at) return at;
    at = strdup(path);
    for (int hops = 0; at && hops < 40; hops++) { /* as many as Linux follows */
        const ssize_t n = readlink(at, to, sizeof to);
        const char *slash = strrchr(at, '/');
        if (n < 0) break;
        const int folder = *to == '/' || !slash ? 0 : (int)(slash + 1 - at);
        if (asprintf(&next, "%.*s%.*s", folder, at, (int)n, to) < 0) next = NULL;
        free(at);
        at = next;
    }
    return at;
}

/* What is written to; -1, with errno. No file can take the place of a FIFO or a device, nor of the file
 * that stdout goes to already, perhaps behind what stands there. */
static int open_target(const char *path)
{
    struct stat is, out;
    const bool there = stat(path, &is) == 0;

    if (!there && errno != ENOENT) return -1;
    if (there && !S_ISREG(is.st_mode)) return open(path, O_WRONLY | O_CLOEXEC);
    if (there && fstat(STDOUT_FILENO, &out) == 0 && is.st_dev == out.st_dev &&
        is.st_ino == out.st_ino)
        return dup(STDOUT_FILENO);
    taken = behind_links(path);
    if (!taken || asprintf(&part, "%s.%ld.part", taken, (long)getpid()) < 0) part = NULL;
    return part ? open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
}

static void forget(void)
{
    free(taken);
    free(part);
    taken = part = NULL;
}

bool output_begin(const char *path)
{
    const int file = open_target(path);
    const int cause = errno;

    if (file < 0) {
        forget();
        errno = cause;
        return false;
    }
    fflush(stdout);
    terminal = dup(STDOUT_FILENO);
    const bool ok = terminal >= 0 && dup2(file, STDOUT_FILENO) >= 0;
    close(file);
    return ok;
}

bool output_end(bool keep)
{
    int cause = output_errno();
    clearerr(stdout); /* what failed was the file, which the caller names */
    failed = 0;
    if (dup2(terminal, STDOUT_FILENO) < 0 && !cause) cause = errno;
    close(terminal);
    if (part && (cause || !keep))
        unlink(part);
    else if (part && rename(part, taken) != 0)
        cause = errno;
    forget();
    errno = cause;
    return cause == 0;
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
