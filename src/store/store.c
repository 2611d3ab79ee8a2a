/* store.c — a store is opened, checked for what it is, and closed.
 *
 * SQLite in WAL mode: readers see the last commit while another process writes, and a commit is on
 * the disk (synchronous = FULL) before it is said to be done.
 */
#include "store/schema.h"
#include "store/sql.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { BUSY_MS = 60000 }; /* a writer waits so long for another */

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
    if (stat(path, &info) != 0) {
        if (flags == PH_STORE_CREATE) return PH_OK;
        return ph__fail(err, PH_EIO, -1, "%s: there is no store yet", path);
    }
    if (!S_ISREG(info.st_mode)) return ph__fail(err, PH_EIO, -1, "%s: is not a file", path);
    if (info.st_size == 0 && flags != PH_STORE_CREATE)
        return ph__fail(err, PH_EFORMAT, -1, "%s: is no store: the file is empty", path);
    return PH_OK;
}

static ph_status connect_to(ph_store *s, unsigned flags, ph_error *err)
{
    const int how = flags == PH_STORE_READ    ? SQLITE_OPEN_READONLY
                    : flags == PH_STORE_WRITE ? SQLITE_OPEN_READWRITE
                                              : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    const int code = sqlite3_open_v2(s->path, &s->db, how | SQLITE_OPEN_NOMUTEX, NULL);
    if (!s->db) return ph__fail_memory(err, 0);
    if (code != SQLITE_OK) return ph__sql_fail(s, err);
    defend(s->db);
    return PH_OK;
}

/* Make the tables of a new store; another process may be doing the same. */
static ph_status create(ph_store *s, ph_error *err)
{
    char mark[96];
    int64_t tables;
    ph_status st;

    PH_TRY(ph__sql_run(s, "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE", err));
    PH_GO(ph__sql_integer(&tables, s, "SELECT count(*) FROM sqlite_schema", err));
    if (tables == 0) {
        snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                 PH__STORE_APPLICATION, PH__STORE_VERSION);
        PH_GO(ph__sql_run(s, ph__schema, err));
        PH_GO(ph__sql_run(s, mark, err));
    }
    st = ph__sql_run(s, "COMMIT", err);
done:
    return st;
}

static ph_status check_version(ph_store *s, ph_error *err)
{
    int64_t application, version;
    PH_TRY(ph__sql_integer(&application, s, "PRAGMA application_id", err));
    PH_TRY(ph__sql_integer(&version, s, "PRAGMA user_version", err));
    if (application != PH__STORE_APPLICATION)
        return ph__fail(err, PH_EFORMAT, -1, "%s: an SQLite file, but no store of phosphene",
                        s->path);
    if (version > PH__STORE_VERSION)
        return ph__fail(err, PH_EFORMAT, -1,
                        "%s: of version %lld, written by a later phosphene; this one knows %d",
                        s->path, (long long)version, PH__STORE_VERSION);
    return PH_OK;
}

ph_status ph_store_open(ph_store **out, const char *path, unsigned flags, ph_error *err)
{
    ph_status st;
    int64_t tables;
    ph_store *s = NULL;

    if (flags != PH_STORE_READ && flags != PH_STORE_WRITE && flags != PH_STORE_CREATE)
        return ph__fail(err, PH_EINVAL, -1, "flags %u: expected one of PH_STORE_…", flags);
    PH_TRY(check_path(path, flags, err));
    PH_GO(PH_NEW(&s, 1, err));
    PH_GO(ph__strndup(&s->path, path, strlen(path), err));
    s->writes = flags != PH_STORE_READ;
    PH_GO(connect_to(s, flags, err));
    PH_GO(ph__sql_integer(&tables, s, "SELECT count(*) FROM sqlite_schema", err));
    if (tables == 0 && flags == PH_STORE_CREATE) PH_GO(create(s, err));
    PH_GO(check_version(s, err));
    PH_GO(ph__sql_run(s, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON", err));
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
    ph__free(s);
    *store = NULL;
}

ph_status ph_store_begin(ph_store *s, ph_error *err)
{
    if (!s->writes) return ph__fail(err, PH_EINVAL, -1, "%s: opened for reading only", s->path);
    if (s->begun) return ph__fail(err, PH_EINVAL, -1, "%s: begun already", s->path);
    PH_TRY(ph__sql_run(s, "BEGIN IMMEDIATE", err));
    s->begun = true;
    return PH_OK;
}

ph_status ph_store_commit(ph_store *s, ph_error *err)
{
    if (!s->begun) return ph__fail(err, PH_EINVAL, -1, "%s: nothing was begun", s->path);
    s->begun = false;
    const ph_status st = ph__sql_run(s, "COMMIT", err);
    if (st != PH_OK) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}
