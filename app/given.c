/* given.c — a text or ids from the command line. */
#include "given.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void given_ids(struct given *g, const char *arg, struct argp_state *state)
{
    size_t n = 1;
    for (const char *p = arg; *p; p++) n += *p == ',';
    free(g->ids);
    g->ids = calloc(n, sizeof *g->ids);
    if (!g->ids) usage_error(state, "--ids: out of memory");
    g->text = (ph_text){.ids = g->ids};
    for (const char *p = arg;;) {
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || (*end && *end != ','))
            usage_error(state, "--ids %s: expected ids with commas between them", arg);
        if (errno || v < 0 || v > INT32_MAX)
            usage_error(state, "--ids: id %.*s is out of range", (int)(end - p), p);
        g->ids[g->text.n_ids++] = (int32_t)v;
        if (!*end) return;
        p = end + 1;
    }
}

bool given_text(struct given *g, struct common *c)
{
    if (!g->ids && c->n_words > 0) {
        const char *text = c->words[--c->n_words];
        g->text = (ph_text){.text = text, .bytes = strlen(text)};
    }
    if (c->n_words > 0) return true;
    fprintf(stderr,
            "phosphene %s: expected SPEC and TEXT, as in\n  phosphene %s "
            "'block 8 [:, :, 2]' 'The sky is blue.'\n",
            c->command, c->command);
    return false;
}

void given_free(struct given *g)
{
    free(g->ids);
}
