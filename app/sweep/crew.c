/* crew.c — several processes on one machine that do one sweep.
 *
 * posix_spawn and no fork: libgomp's threads do not survive one. Workers agree through the store's
 * leases; whoever started them only watches.
 */
#include "crew.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct crew {
    int n;
    bool failed;
    pid_t *pids; /* 0: ended */
};

void crew_follow(void)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
}

static char **with_flag(char **argv)
{
    static char flag[] = "--worker";
    size_t n = 0;
    while (argv[n]) n++;
    char **out = calloc(n + 2, sizeof *out);
    if (!out) return NULL;
    for (size_t i = 0; i < n; i++) out[i < 2 ? i : i + 1] = argv[i];
    out[2] = flag; /* phosphene sweep --worker … */
    return out;
}

struct crew *crew_start(int n, char **argv)
{
    struct crew *c = calloc(1, sizeof *c);
    char **args = with_flag(argv);

    if (c) c->pids = calloc((size_t)n, sizeof *c->pids);
    for (int i = 0; c && c->pids && args && i < n; i++) {
        if (posix_spawn(&c->pids[i], "/proc/self/exe", NULL, NULL, args, environ) != 0) break;
        c->n++;
    }
    free(args);
    if (c && c->n == n) return c;
    if (c) crew_stop(c, true);
    crew_free(c);
    return NULL;
}

int crew_look(struct crew *c)
{
    int at_work = 0;
    for (int i = 0; i < c->n; i++) {
        int status = 0;
        if (!c->pids[i]) continue;
        const pid_t ended = waitpid(c->pids[i], &status, WNOHANG);
        at_work += ended == 0;
        if (ended == 0) continue;
        c->pids[i] = 0;
        if (ended > 0 && WIFSIGNALED(status))
            fprintf(stderr,
                    "phosphene sweep: worker %d was killed (signal %d); its unit goes to others\n",
                    i + 1, WTERMSIG(status));
        else if (ended > 0 && WEXITSTATUS(status) != 0)
            c->failed = true;
    }
    return at_work;
}

void crew_stop(struct crew *c, bool now)
{
    for (int i = 0; i < c->n; i++)
        if (c->pids[i]) kill(c->pids[i], now ? SIGKILL : SIGTERM);
}

bool crew_failed(const struct crew *c)
{
    return c->failed;
}

void crew_free(struct crew *c)
{
    if (!c) return;
    for (int i = 0; i < c->n; i++)
        if (c->pids[i]) waitpid(c->pids[i], NULL, 0);
    free(c->pids);
    free(c);
}
