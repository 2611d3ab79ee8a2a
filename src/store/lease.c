/* lease.c — who works on what: leases of units of work, beside the lines.
 *
 * They are no results: nothing of them is exported, merged or checked, and their table is made when
 * the first is taken, so that a store without them stays as it is.
 */
#include "store/store.h"

#include <string.h>
#include <time.h>

static const char table[] = "CREATE TABLE IF NOT EXISTS lease (unit TEXT PRIMARY KEY, "
                            "owner TEXT NOT NULL, until REAL NOT NULL) STRICT, WITHOUT ROWID";

/* Seconds since 1970: what processes on one machine, and its next start, agree on. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static ph_said plain(const char *text)
{
    return (ph_said){text, strlen(text)};
}

static ph_status lease_is_there(bool *there, ph_store *s, ph_error *err)
{
    int64_t n;
    PH_TRY(ph__sql_integer(&n, s, "SELECT count(*) FROM sqlite_schema WHERE name = 'lease'", err));
    *there = n > 0;
    return PH_OK;
}

/* Alone with the store, unless the caller is already. */
static ph_status enter(bool *mine, ph_store *s, ph_error *err)
{
    *mine = !s->begun;
    return *mine ? ph_store_begin(s, err) : PH_OK;
}

static ph_status leave(bool mine, ph_store *s, ph_status st, ph_error *err)
{
    if (!mine) return st;
    if (st == PH_OK) return ph_store_commit(s, err);
    ph__store_abandon(s);
    return st;
}

/* *left = how long another owner has the unit for; 0: nobody has. */
static ph_status holder(double *left, ph_store *s, const char *unit, const char *owner, double at,
                        ph_error *err)
{
    ph_status st;
    sqlite3_stmt *q = NULL;
    bool row;

    *left = 0;
    PH_GO(ph__sql_prepare(
        &q, s, "SELECT until FROM lease WHERE unit = ?1 AND owner <> ?2 AND until > ?3", err));
    ph__sql_text(q, 1, plain(unit));
    ph__sql_text(q, 2, plain(owner));
    sqlite3_bind_double(q, 3, at);
    PH_GO(ph__sql_step(&row, s, q, err));
    if (row) *left = sqlite3_column_double(q, 0) - at;
done:
    sqlite3_finalize(q);
    return st;
}

static ph_status take(ph_store *s, const char *unit, const char *owner, double until, ph_error *err)
{
    ph_status st;
    sqlite3_stmt *q = NULL;

    PH_GO(ph__sql_prepare(&q, s,
                          "INSERT INTO lease (unit, owner, until) VALUES (?1, ?2, ?3) "
                          "ON CONFLICT (unit) DO UPDATE SET owner = ?2, until = ?3",
                          err));
    ph__sql_text(q, 1, plain(unit));
    ph__sql_text(q, 2, plain(owner));
    sqlite3_bind_double(q, 3, until);
    st = ph__sql_done(s, q, err);
done:
    sqlite3_finalize(q);
    return st;
}

ph_status ph_store_lease(ph_store *s, const char *unit, const char *owner, double seconds,
                         double *left, ph_error *err)
{
    const double at = now();
    bool mine;
    ph_status st;

    if (!(seconds > 0)) return ph__fail(err, PH_EINVAL, -1, "a lease of %g seconds", seconds);
    PH_TRY(enter(&mine, s, err));
    st = ph__sql_run(s, table, err);
    if (st == PH_OK) st = holder(left, s, unit, owner, at, err);
    if (st == PH_OK && *left == 0) st = take(s, unit, owner, at + seconds, err);
    return leave(mine, s, st, err);
}

ph_status ph_store_unlease(ph_store *s, const char *unit, const char *owner, ph_error *err)
{
    sqlite3_stmt *q = NULL;
    bool mine, there = false;
    ph_status st;

    PH_TRY(enter(&mine, s, err));
    st = lease_is_there(&there, s, err);
    if (st == PH_OK && there)
        st = ph__sql_prepare(&q, s, "DELETE FROM lease WHERE unit = ?1 AND owner = ?2", err);
    if (q) {
        ph__sql_text(q, 1, plain(unit));
        ph__sql_text(q, 2, plain(owner));
        st = ph__sql_done(s, q, err);
    }
    sqlite3_finalize(q);
    return leave(mine, s, st, err);
}

ph_status ph_store_leases(ph_store *s, ph_store_lease_fn lease, void *payload, ph_error *err)
{
    const double at = now();
    sqlite3_stmt *q = NULL;
    bool there, row;
    ph_status st;

    PH_TRY(lease_is_there(&there, s, err));
    if (!there) return PH_OK;
    PH_GO(ph__sql_prepare(&q, s, "SELECT unit, owner, until FROM lease ORDER BY unit", err));
    for (;;) {
        PH_GO(ph__sql_step(&row, s, q, err));
        if (!row) break;
        const char *unit = (const char *)sqlite3_column_text(q, 0);
        const char *owner = (const char *)sqlite3_column_text(q, 1);
        const double left = sqlite3_column_double(q, 2) - at;
        if (!unit || !owner || !lease(unit, owner, left, payload)) continue;
        st = ph__fail(err, PH_ECANCELED, -1, "cancelled by the caller");
        goto done;
    }
done:
    sqlite3_finalize(q);
    return st;
}
