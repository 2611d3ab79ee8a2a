/* keep.c — the store that a command's lines go to as they are made.
 *
 * Lines wait in memory and are put in one short transaction: printing, which may wait for whoever
 * reads, never holds up others that write to the store.
 */
#include "keep.h"

#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOGETHER = 256 };

struct keep {
    ph_store *store;
    char *path;
    bool named;  /* by --store: then failing is an error */
    bool broken; /* it failed, and why */
    ph_error err;
    int64_t kept;
    int at_once; /* lines of one transaction */
    int n;
    struct waiting {
        char *line;
        size_t bytes;
    } waiting[TOGETHER];
};

char *keep_path(const struct common *c)
{
    const char *given = getenv("PHOSPHENE_STORE");
    if (c->store) return strdup(c->store);
    if (given && *given) return strdup(given);
    return user_file("store.sqlite");
}

/* What failed is remembered: an error where the store was named, else said once. */
static void give_up(const struct common *c, struct keep *k)
{
    k->broken = true;
    ph_store_close(&k->store);
    if (k->named) return;
    progress_clear();
    fprintf(stderr, "phosphene %s: results are not kept: %s\n", c->command, k->err.msg);
}

ph_status keep_begin(struct common *c, ph_error *err)
{
    struct keep *k;

    if (c->no_store || c->keep || (c->keeps != KEEPS && !c->store)) return PH_OK;
    if (!(c->keep = k = calloc(1, sizeof *k))) return PH_OK;
    k->named = c->store != NULL;
    k->at_once = 1;
    k->path = keep_path(c);
    if (!k->named) make_folder_of(k->path);
    if (ph_store_open(&k->store, k->path ? k->path : "", PH_STORE_CREATE, &k->err) == PH_OK)
        return PH_OK;
    give_up(c, k);
    if (!k->named) return PH_OK;
    *err = k->err;
    return err->code;
}

bool keeping(const struct common *c)
{
    return c->keep && !c->keep->broken;
}

static ph_status put_waiting(struct keep *k)
{
    ph_status st = k->n > 1 ? ph_store_begin(k->store, &k->err) : PH_OK;
    for (int i = 0; i < k->n && st == PH_OK; i++)
        st = ph_store_put(k->store, k->waiting[i].line, k->waiting[i].bytes, &k->err);
    if (st == PH_OK && k->n > 1) st = ph_store_commit(k->store, &k->err);
    return st;
}

static bool flush(const struct common *c, struct keep *k)
{
    if (keeping(c) && k->n) {
        if (put_waiting(k) == PH_OK)
            k->kept += k->n;
        else
            give_up(c, k);
    }
    for (int i = 0; i < k->n; i++) free(k->waiting[i].line);
    k->n = 0;
    return !(k->broken && k->named);
}

bool keep_line(const struct common *c, const char *line, size_t bytes)
{
    struct keep *k = c->keep;
    if (!keeping(c)) return !(k && k->named);
    char *copy = malloc(bytes + 1);
    if (!copy) {
        k->err = (ph_error){PH_ENOMEM, -1, "out of memory"};
        give_up(c, k);
        return !k->named;
    }
    memcpy(copy, line, bytes);
    k->waiting[k->n++] = (struct waiting){copy, bytes};
    return k->n < k->at_once || flush(c, k);
}

void keep_together(const struct common *c)
{
    if (c->keep) c->keep->at_once = TOGETHER;
}

ph_status keep_end(struct common *c, ph_status st, ph_error *err)
{
    struct keep *k = c->keep;
    if (!k) return st;
    flush(c, k);
    if (k->broken && k->named && (st == PH_OK || st == PH_ECANCELED)) {
        *err = k->err;
        st = err->code;
    }
    if (k->kept && !k->broken && !c->quiet && isatty(STDERR_FILENO)) {
        progress_clear();
        fprintf(stderr, "kept in %s: phosphene show\n", k->path);
    }
    ph_store_close(&k->store);
    free(k->path);
    free(k);
    c->keep = NULL;
    return st;
}
