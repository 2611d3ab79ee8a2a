/* store.c — a store is opened, checked for what it is, brought up to date, and closed.
 *
 * SQLite in WAL mode: readers see the last commit while another process writes, and a commit is on
 * the disk (synchronous = FULL) before it is said to be done.
 */
#include "store/store.h"

#include "base/buf.h"
#include "store/put.h"
#include "store/schema.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { BUSY_MS = 60000 }; /* a writer waits so long for another */

/* What a store of an earlier version carries into the next: lines and when they were put, the runs'
 * lines first. Everything else is made of them. */
static const char *const carried[PH__STORE_VERSION + 1] = {
    [1] = "SELECT line, at FROM (SELECT 0 AS kind, id, line, at FROM run "
          "UNION ALL SELECT 1, id, line, at FROM result) ORDER BY kind, id",
    [2] = "SELECT line, at FROM run UNION ALL "
          "SELECT b.line, r.at FROM result r JOIN body b ON b.result = r.id"};

/* ---- opening ---- */

/* A store holds text from models and files from anywhere: nothing in one may run. */
static void defend(sqlite3 *db)
{
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_busy_timeout(db, BUSY_MS);
}

static ph_status check_path(const char *path, unsigned flags, ph_error *err)
{
    struct stat info;
    char room[96];
    if (stat(path, &info) != 0) {
        if (flags == PH_STORE_CREATE) return PH_OK;
        if (errno == ENOENT) return ph__fail(err, PH_EIO, -1, "%s: there is no store yet", path);
        return ph__fail(err, PH_EIO, -1, "%s: %s", path, strerror_r(errno, room, sizeof room));
    }
    if (!S_ISREG(info.st_mode)) return ph__fail(err, PH_EIO, -1, "%s: is not a file", path);
    if (info.st_size == 0 && flags != PH_STORE_CREATE)
        return ph__fail(err, PH_EIO, -1, "%s: there is no store yet", path);
    return PH_OK;
}

/* A path as an URI, for a medium that cannot be written: no lock, no log. */
static ph_status immutable_uri(char **out, const char *path, ph_error *err)
{
    ph_status st;
    ph_str uri = {0};
    char byte[4];

    PH_GO(ph__str_add(&uri, "file:", 5, err));
    for (const char *p = path; *p; p++) {
        const int n = snprintf(byte, sizeof byte, strchr("%?#", *p) ? "%%%02x" : "%c", *p);
        PH_GO(ph__str_add(&uri, byte, (size_t)n, err));
    }
    PH_GO(ph__str_add(&uri, "?immutable=1", 12, err));
    *out = uri.data;
    return PH_OK;
done:
    ph__str_close(&uri);
    return st;
}

static ph_status connect_as(ph_store *s, const char *name, int how, ph_error *err)
{
    const int code = sqlite3_open_v2(name, &s->db, how | SQLITE_OPEN_NOMUTEX, NULL);
    if (!s->db) return ph__fail_memory(err, 0);
    if (code != SQLITE_OK) return ph__sql_fail(s, err);
    defend(s->db);
    return PH_OK;
}

/* Who only reads can write too, where that is allowed: after a crash of whoever wrote, the store has
 * to be put right first. Where nobody can write, nobody can have crashed, and SQLite is told so. */
static ph_status connect_to(ph_store *s, unsigned flags, ph_error *err)
{
    ph_status st;
    int64_t tables;
    const int make = flags == PH_STORE_CREATE ? SQLITE_OPEN_CREATE : 0;

    PH_TRY(connect_as(s, s->path, SQLITE_OPEN_READWRITE | make, err));
    if (s->writes) return PH_OK;
    st = ph__sql_integer(&tables, s, "SELECT count(*) FROM sqlite_schema", err);
    const int code = sqlite3_errcode(s->db) & 0xff;
    if (code == SQLITE_CANTOPEN || code == SQLITE_READONLY) {
        sqlite3_close(s->db);
        s->db = NULL;
        PH_TRY(immutable_uri(&s->uri, s->path, err));
        st = connect_as(s, s->uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, err);
    }
    return st == PH_OK ? ph__sql_run(s, "PRAGMA query_only = ON", err) : st;
}

ph_status ph__store_tables(ph_store *s, ph_error *err)
{
    char mark[96];
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d",
             PH__STORE_APPLICATION, PH__STORE_VERSION);
    PH_TRY(ph__sql_run(s, ph__schema, err));
    return ph__sql_run(s, mark, err);
}

/* Make a new store, all of it or nothing; another process may be doing the same. */
static ph_status create(ph_store *s, ph_error *err)
{
    int64_t tables;
    ph_status st;
    PH_TRY(ph__sql_run(s, "BEGIN IMMEDIATE", err));
    st = ph__sql_integer(&tables, s, "SELECT count(*) FROM sqlite_schema", err);
    if (st == PH_OK && tables == 0) st = ph__store_tables(s, err);
    if (st == PH_OK) return ph__sql_run(s, "COMMIT", err);
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

/* A store begins without a log. Where another process is at it this moment, that one, or the next to
 * open it, makes it one with a log; nothing but speed depends on it. */
static ph_status keep_log(ph_store *s, ph_error *err)
{
    const int code = sqlite3_exec(s->db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    return code == SQLITE_OK || code == SQLITE_BUSY ? PH_OK : ph__sql_fail(s, err);
}

static ph_status read_version(ph_store *s, ph_error *err)
{
    int64_t application;
    PH_TRY(ph__sql_integer(&application, s, "PRAGMA application_id", err));
    PH_TRY(ph__sql_integer(&s->version, s, "PRAGMA user_version", err));
    if (application != PH__STORE_APPLICATION || s->version < 1)
        return ph__fail(err, PH_EFORMAT, -1, "%s: an SQLite file, but no store of phosphene",
                        s->path);
    if (s->version > PH__STORE_VERSION)
        return ph__fail(err, PH_EFORMAT, -1,
                        "%s: of version %lld, written by a later phosphene; this one knows %d",
                        s->path, (long long)s->version, PH__STORE_VERSION);
    return PH_OK;
}

ph_status ph__store_open(ph_store **out, const char *path, unsigned flags, ph_error *err)
{
    ph_status st;
    int64_t tables;
    ph_store *s = NULL;

    PH_TRY(check_path(path, flags, err));
    PH_GO(PH_NEW(&s, 1, err));
    PH_GO(ph__strndup(&s->path, path, strlen(path), err));
    s->writes = flags != PH_STORE_READ;
    PH_GO(connect_to(s, flags, err));
    PH_GO(ph__sql_integer(&tables, s, "SELECT count(*) FROM sqlite_schema", err));
    if (tables == 0 && flags == PH_STORE_CREATE) PH_GO(create(s, err));
    if (tables == 0 && flags != PH_STORE_CREATE) { /* whoever began it was stopped */
        st = ph__fail(err, PH_EIO, -1, "%s: there is no store yet", path);
        goto done;
    }
    PH_GO(read_version(s, err));
    if (s->writes) PH_GO(keep_log(s, err));
    PH_GO(ph__sql_run(s, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON", err));
    *out = s;
    s = NULL;
done:
    ph_store_close(&s);
    return st;
}

ph_status ph_store_open(ph_store **out, const char *path, unsigned flags, ph_error *err)
{
    ph_store *s = NULL;
    ph_status st;

    if (flags != PH_STORE_READ && flags != PH_STORE_WRITE && flags != PH_STORE_CREATE)
        return ph__fail(err, PH_EINVAL, -1, "flags %u: expected one of PH_STORE_…", flags);
    PH_GO(ph__store_open(&s, path, flags, err));
    if (s->version < PH__STORE_VERSION && !s->writes) { /* that takes writing */
        ph_store_close(&s);
        PH_GO(ph__store_open(&s, path, PH_STORE_WRITE, err));
    }
    PH_GO(ph__store_migrate(s, err));
    *out = s;
    s = NULL;
done:
    ph_store_close(&s);
    return st;
}

void ph_store_close(ph_store **store)
{
    ph_store *s = *store;
    if (!s) return;
    for (int i = 0; i < PH__STORE_STATEMENTS; i++) sqlite3_finalize(s->kept[i]);
    sqlite3_close(s->db);
    ph__free(s->path);
    ph__free(s->uri);
    ph__free(s);
    *store = NULL;
}

ph_status ph__store_beside(ph_store **out, const char *path, ph_error *err)
{
    ph_status st;
    ph_store *s = NULL;

    PH_GO(PH_NEW(&s, 1, err));
    PH_GO(ph__strndup(&s->path, path, strlen(path), err));
    s->version = PH__STORE_VERSION;
    PH_GO(connect_as(s, "", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, err));
    PH_GO(ph__store_tables(s, err));
    *out = s;
    s = NULL;
done:
    ph_store_close(&s);
    return st;
}

/* ---- versions ---- */

const char *ph__store_carried(const ph_store *s)
{
    return carried[s->version];
}

static ph_status drop_tables(ph_store *s, ph_error *err)
{
    ph_status st;
    ph_str sql = {0};
    sqlite3_stmt *q = NULL;
    bool row;

    PH_GO(ph__sql_prepare(&q, s,
                          "SELECT 'DROP TABLE \"' || replace(name, '\"', '\"\"') || '\";' FROM "
                          "sqlite_schema WHERE type = 'table'",
                          err));
    for (;;) {
        PH_GO(ph__sql_step(&row, s, q, err));
        if (!row) break;
        PH_GO(
            ph__str_add(&sql, sqlite3_column_text(q, 0), (size_t)sqlite3_column_bytes(q, 0), err));
    }
    st = sql.data ? ph__sql_run(s, sql.data, err) : PH_OK;
done:
    sqlite3_finalize(q);
    ph__str_close(&sql);
    return st;
}

/* The lines aside, the old tables away, the new ones made and filled. */
static ph_status renew(ph_store *s, ph_error *err)
{
    ph_status st;
    char *aside = NULL;

    PH_GO(ph__printf(&aside, err, "CREATE TEMP TABLE carried AS %s", ph__store_carried(s)));
    PH_GO(ph__sql_run(s, aside, err));
    PH_GO(drop_tables(s, err));
    PH_GO(ph__store_tables(s, err));
    PH_GO(ph__put_all(s, s, "SELECT line, at FROM temp.carried ORDER BY rowid", 0, NULL, err));
    st = ph__sql_run(s, "DROP TABLE temp.carried", err);
done:
    ph__free(aside);
    return st;
}

ph_status ph__store_migrate(ph_store *s, ph_error *err)
{
    ph_status st;
    if (s->version == PH__STORE_VERSION) return PH_OK;
    PH_TRY(ph__sql_run(s, "PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE", err));
    st = read_version(s, err); /* another process may have been faster */
    if (st == PH_OK && s->version < PH__STORE_VERSION) st = renew(s, err);
    if (st == PH_OK) st = ph__sql_run(s, "COMMIT; PRAGMA foreign_keys = ON", err);
    if (st == PH_OK)
        s->version = PH__STORE_VERSION;
    else
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

/* ---- transactions ---- */

ph_status ph_store_begin(ph_store *s, ph_error *err)
{
    if (!s->writes) return ph__fail(err, PH_EINVAL, -1, "%s: opened for reading only", s->path);
    if (s->begun) return ph__fail(err, PH_EINVAL, -1, "%s: begun already", s->path);
    PH_TRY(ph__sql_run(s, "BEGIN IMMEDIATE", err));
    s->begun = true;
    return PH_OK;
}

void ph__store_abandon(ph_store *s)
{
    s->begun = false;
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

ph_status ph_store_commit(ph_store *s, ph_error *err)
{
    if (!s->begun) return ph__fail(err, PH_EINVAL, -1, "%s: nothing was begun", s->path);
    const ph_status st = ph__sql_run(s, "COMMIT", err);
    if (st != PH_OK) ph__store_abandon(s);
    s->begun = false;
    return st;
}
