/* book.c — which units are done, and who has which: the store's leases, for one sweep.
 *
 * A unit is done when its "unit" line is in the store, put there in one transaction with its results.
 * Its lease then never runs out, which tells all who look for work. Ranks of an MPI job keep their
 * results in shards beside the store: there, until the shards are merged, only the lease says it.
 */
#include "book.h"

#include "output.h"

#include <errno.h>
#include <glob.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MPI_OWNER "mpi/"

void book_owner(char out[160], bool mpi)
{
    char host[128] = "";
    gethostname(host, sizeof host - 1);
    snprintf(out, 160, "%s%s:%ld", mpi ? MPI_OWNER : "", host, (long)getpid());
}

static bool is_mpi(const char *owner)
{
    return strncmp(owner, MPI_OWNER, strlen(MPI_OWNER)) == 0;
}

/* ---- shards: STORE.rank-N ---- */

static bool is_shard(const char *path)
{
    const char *dash = strrchr(path, '-');
    return dash && dash[1] && strspn(dash + 1, "0123456789") == strlen(dash + 1);
}

static void remove_store(const char *path)
{
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *file = NULL;
        if (asprintf(&file, "%s%s", path, endings[i]) < 0) return;
        remove(file);
        free(file);
    }
}

/* The path as a pattern that means itself. */
static char *quoted_pattern(const char *path)
{
    static const char ending[] = ".rank-*";
    char *out = malloc(2 * strlen(path) + sizeof ending), *to = out;
    for (; out && *path; path++) {
        if (strchr("\\*?[", *path)) *to++ = '\\';
        *to++ = *path;
    }
    if (out) memcpy(to, ending, sizeof ending);
    return out;
}

/* A shard that is left may have been killed while it was made: opening it finishes that. One that is
 * at work may be in the making. */
static ph_status merge_shard(struct book *b, const char *path, bool left, ph_error *err)
{
    ph_store *shard = NULL;
    ph_status st = left ? ph_store_open(&shard, path, PH_STORE_CREATE, err) : PH_OK;
    ph_store_close(&shard);
    if (st == PH_OK) st = ph_store_merge(b->store, path, NULL, err);
    if (st == PH_OK && left) remove_store(path);
    return left || st != PH_EFORMAT ? st : PH_OK;
}

ph_status book_merge_shards(struct book *b, const char *path, bool left, ph_error *err)
{
    ph_status st = PH_OK;
    glob_t found = {0};
    char *pattern = quoted_pattern(path);

    if (!pattern) return no_memory(err);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && st == PH_OK; i++)
            if (is_shard(found.gl_pathv[i])) st = merge_shard(b, found.gl_pathv[i], left, err);
    globfree(&found);
    free(pattern);
    return st;
}

/* ---- leases of the dead ---- */

struct dead {
    char **units, **owners;
    size_t n;
    bool all_mpi;   /* every lease of a rank */
    bool mpi_lives; /* one of a rank still runs */
};

static void add_dead(struct dead *d, const char *unit, const char *owner)
{
    char **units = realloc(d->units, (d->n + 1) * sizeof *units);
    if (units) d->units = units;
    char **owners = realloc(d->owners, (d->n + 1) * sizeof *owners);
    if (owners) d->owners = owners;
    if (!units || !owners) return;
    d->units[d->n] = strdup(unit);
    d->owners[d->n] = strdup(owner);
    if (d->units[d->n] && d->owners[d->n]) d->n++;
}

/* "HOST:PID" of this machine, and no such process: killed, it will not come back. */
static bool is_gone(const char *owner)
{
    char here[160];
    const char *colon = strrchr(owner, ':');
    book_owner(here, false);
    const size_t host = strcspn(here, ":");
    if (!colon || (size_t)(colon - owner) != host || strncmp(owner, here, host) != 0) return false;
    const long pid = strtol(colon + 1, NULL, 10);
    return pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static int on_lease(const char *unit, const char *owner, double left, void *payload)
{
    struct dead *d = payload;
    if (is_mpi(owner)) {
        d->mpi_lives |= left > 0 && !isinf(left);
        if (d->all_mpi) add_dead(d, unit, owner);
    } else if (left > 0 && !isinf(left) && is_gone(owner)) {
        add_dead(d, unit, owner);
    }
    return 0;
}

/* Give back the leases of processes that died here; all_mpi: and those of all ranks. */
static ph_status bury(struct book *b, bool all_mpi, bool *mpi_lives, ph_error *err)
{
    struct dead d = {.all_mpi = all_mpi};
    ph_status st = ph_store_leases(b->store, on_lease, &d, err);
    if (st == PH_OK && d.n) st = ph_store_begin(b->store, err);
    for (size_t i = 0; i < d.n && st == PH_OK; i++)
        st = ph_store_unlease(b->store, d.units[i], d.owners[i], err);
    if (st == PH_OK && d.n) st = ph_store_commit(b->store, err);
    for (size_t i = 0; i < d.n; i++) {
        free(d.units[i]);
        free(d.owners[i]);
    }
    free(d.units);
    free(d.owners);
    if (mpi_lives) *mpi_lives = d.mpi_lives;
    return st;
}

/* ---- what is done ---- */

struct looking {
    struct book *b;
    int job;
};

static int on_unit_line(const char *row, size_t bytes, void *payload)
{
    const struct looking *k = payload;
    json_t *line = json_loadb(row, bytes, JSON_ALLOW_NUL, NULL);
    const char *label = json_string_value(json_object_get(line, "unit"));
    const long long at = label ? unit_find(k->b->units, k->job, label) : -1;
    if (at >= 0) k->b->done[at] = true;
    json_decref(line);
    return 0;
}

static int on_lasting(const char *unit, const char *owner, double left, void *payload)
{
    struct book *b = payload;
    const char *slash = strchr(unit, '/');
    (void)owner;
    if (!isinf(left) || !slash) return 0;
    for (int i = 0; i < b->units->n_jobs; i++) {
        const char *run = b->units->jobs[i].run;
        if (strncmp(unit, run, strlen(run)) != 0 || unit[strlen(run)] != '/') continue;
        const long long at = unit_find(b->units, i, slash + 1);
        if (at >= 0) b->done[at] = true;
    }
    return 0;
}

ph_status book_look(struct book *b, ph_error *err)
{
    return ph_store_leases(b->store, on_lasting, b, err);
}

/* By the lines, which last, and by leases of what ranks keep elsewhere. */
static ph_status read_done(struct book *b, ph_error *err)
{
    ph_status st = PH_OK;
    for (int i = 0; i < b->units->n_jobs && st == PH_OK; i++) {
        ph_store_query q = PH_STORE_QUERY_INIT;
        struct looking k = {b, i};
        q.view = "lines";
        q.type = "unit";
        q.run = b->units->jobs[i].run;
        st = ph_store_select(b->store, &q, on_unit_line, &k, err);
    }
    return st == PH_OK ? book_look(b, err) : st;
}

/* ---- opening, and the beginning of a sweep ---- */

ph_status book_open(struct book *b, const char *path, const struct units *units, double lease,
                    ph_error *err)
{
    *b = (struct book){.units = units, .lease = lease};
    if (!(b->done = calloc(units->n ? units->n : 1, sizeof *b->done))) return no_memory(err);
    const ph_status st = ph_store_open(&b->store, path, PH_STORE_CREATE, err);
    return st == PH_OK ? read_done(b, err) : st;
}

void book_close(struct book *b)
{
    ph_store_close(&b->store);
    free(b->done);
    b->done = NULL;
}

/* What the sweep is, so that --status needs nothing but the store. */
static ph_status put_jobs(struct book *b, ph_error *err)
{
    ph_status st = ph_store_begin(b->store, err);
    for (int i = 0; i < b->units->n_jobs && st == PH_OK; i++) {
        const struct job *j = &b->units->jobs[i];
        st = ph_store_put(b->store, j->run_line, strlen(j->run_line), err);
        if (st == PH_OK) st = ph_store_put(b->store, j->sweep_line, strlen(j->sweep_line), err);
    }
    return st == PH_OK ? ph_store_commit(b->store, err) : st;
}

ph_status book_begin(struct book *b, const char *path, bool mpi, ph_error *err)
{
    bool lives = false;
    ph_status st = put_jobs(b, err);

    if (st == PH_OK) st = bury(b, false, &lives, err);
    const bool alone = mpi || !lives; /* else an MPI job is at work on those shards */
    if (st == PH_OK) st = book_merge_shards(b, path, alone, err);
    if (st == PH_OK && alone) st = bury(b, true, NULL, err);
    return st == PH_OK ? read_done(b, err) : st;
}

/* ---- work ---- */

static ph_status lease(struct book *b, const char *owner, long long unit, double seconds,
                       double *left, ph_error *err)
{
    char *name = unit_name(b->units, (size_t)unit);
    if (!name) return no_memory(err);
    const ph_status st = ph_store_lease(b->store, name, owner, seconds, left, err);
    free(name);
    return st;
}

/* The first that nobody has; *unit stays BOOK_WAIT if all that are left are others'. */
static ph_status take_first(struct book *b, const char *owner, long long *unit, ph_error *err)
{
    while (b->first < b->units->n && b->done[b->first]) b->first++;
    *unit = b->first < b->units->n ? BOOK_WAIT : BOOK_DONE;
    for (size_t i = b->first; i < b->units->n; i++) {
        double left;
        if (b->done[i]) continue;
        const ph_status st = lease(b, owner, (long long)i, b->lease, &left, err);
        if (st != PH_OK) return st;
        if (left == 0) {
            *unit = (long long)i;
            return PH_OK;
        }
        b->done[i] = isinf(left);
    }
    return PH_OK;
}

ph_status book_take(struct book *b, const char *owner, long long *unit, ph_error *err)
{
    ph_status st = ph_store_begin(b->store, err);
    if (st != PH_OK) return st;
    st = take_first(b, owner, unit, err);
    if (st == PH_OK) st = ph_store_commit(b->store, err);
    if (st == PH_OK && *unit == BOOK_WAIT) {
        st = bury(b, false, NULL, err);
        while (b->first < b->units->n && b->done[b->first]) b->first++;
        if (b->first == b->units->n) *unit = BOOK_DONE;
    }
    return st;
}

ph_status book_renew(struct book *b, const char *owner, long long unit, ph_error *err)
{
    double
        left; /* another has it, after ours ran out: the same result comes twice and is kept once */
    return lease(b, owner, unit, b->lease, &left, err);
}

ph_status book_release(struct book *b, const char *owner, long long unit, ph_error *err)
{
    char *name = unit_name(b->units, (size_t)unit);
    if (!name) return no_memory(err);
    const ph_status st = ph_store_unlease(b->store, name, owner, err);
    free(name);
    return st;
}

ph_status book_finish(struct book *b, const char *owner, long long unit, char *const *lines,
                      size_t n, ph_error *err)
{
    double left;
    ph_status st = ph_store_begin(b->store, err);

    if (st == PH_OK) st = lease(b, owner, unit, (double)INFINITY, &left, err);
    const bool twice = st == PH_OK && isinf(left); /* another was faster */
    for (size_t i = 0; i < n && st == PH_OK && !twice; i++)
        st = ph_store_put(b->store, lines[i], strlen(lines[i]), err);
    if (st == PH_OK) st = ph_store_commit(b->store, err);
    if (st == PH_OK) b->done[unit] = true;
    return st;
}
