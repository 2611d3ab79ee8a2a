/* given.c — a text, ids or a file from the command line. */
#include "given.h"

#include "output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void parse_ids(struct argp_state *state, const char *option, const char *arg, int32_t **ids,
               size_t *n)
{
    size_t most = 1;
    for (const char *p = arg; *p; p++) most += *p == ',';
    *ids = calloc(most, sizeof **ids);
    *n = 0;
    if (!*ids) usage_error(state, "--%s: out of memory", option);
    for (const char *p = arg;;) {
        char *end;
        errno = 0;
        long v = strtol(p, &end, 10);
        if (end == p || (*end && *end != ','))
            usage_error(state, "--%s %s: expected ids with commas between them", option, arg);
        if (errno || v < 0 || v > INT32_MAX)
            usage_error(state, "--%s: id %.*s is out of range", option, (int)(end - p), p);
        (*ids)[(*n)++] = (int32_t)v;
        if (!*end) return;
        p = end + 1;
    }
}

void given_ids(struct given *g, const char *arg, struct argp_state *state)
{
    free(g->ids);
    g->text = (ph_text){0};
    parse_ids(state, "ids", arg, &g->ids, &g->text.n_ids);
    g->text.ids = g->ids;
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

ph_status given_file(char **text, size_t *bytes, const char *path, ph_error *err)
{
    FILE *in = fopen(path, "rb");
    FILE *out = in ? open_memstream(text, bytes) : NULL;
    char part[1 << 16];
    size_t n;

    if (!out) {
        const int cause = errno;
        if (in) fclose(in);
        return output_error(err, path, strerror(cause));
    }
    while ((n = fread(part, 1, sizeof part, in)) > 0) fwrite(part, 1, n, out);
    const bool ok = !ferror(in) && !ferror(out);
    const int cause = errno;
    fclose(in);
    return fclose(out) == 0 && ok ? PH_OK : output_error(err, path, strerror(cause));
}
