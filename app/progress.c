/* progress.c — a bar on a terminal's stderr, and Ctrl-C. */
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 24 };

static volatile sig_atomic_t interrupted;
static bool visible;

static struct bar {
    bool draw;
    const char *stage;
    double began, drawn;
} bar;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void draw(const char *stage, double done, double elapsed)
{
    char blocks[WIDTH + 1];
    const int full = (int)(done * WIDTH);
    for (int i = 0; i < WIDTH; i++) blocks[i] = i < full ? '#' : '.';
    blocks[WIDTH] = 0;
    fprintf(stderr, "\r%-16s [%s] %3.0f %%", stage, blocks, 100 * done);
    if (done > 0.02) fprintf(stderr, "  %.0f s left", elapsed / done * (1 - done));
    fputs("\033[K", stderr);
    fflush(stderr);
    visible = true;
}

static int report(const char *stage, double done, void *payload)
{
    const double t = now();
    (void)payload;
    if (!bar.stage || strcmp(bar.stage, stage) != 0) {
        bar.stage = stage;
        bar.began = t;
    }
    /* anything over a second: wait a little, then ten times a second */
    if (bar.draw && t - bar.began > 0.4 && t - bar.drawn > 0.1) {
        draw(stage, done, t - bar.began);
        bar.drawn = t;
    }
    if (done >= 1) {
        progress_clear();
        bar.stage = NULL;
    }
    return interrupted;
}

void progress_attach(ph_run_options *run, bool quiet)
{
    struct sigaction action = {.sa_handler = on_interrupt,
                               .sa_flags = (int)(SA_RESETHAND | SA_RESTART)};
    sigaction(SIGINT, &action, NULL); /* the second one ends the program at once */
    sigaction(SIGTERM, &action, NULL);
    bar.draw = !quiet && isatty(STDERR_FILENO);
    run->progress = report;
    run->progress_payload = NULL;
}

void progress_line(const char *text)
{
    if (!bar.draw) return;
    fprintf(stderr, "\r%s\033[K", text);
    fflush(stderr);
    visible = true;
}

void progress_clear(void)
{
    if (visible) fputs("\r\033[K", stderr);
    visible = false;
}

bool progress_interrupted(void)
{
    return interrupted;
}
