/* sql.c — statements of SQLite, and its errors as ours. */
#include "store/sql.h"

#include <math.h>
#include <string.h>

/* The system's reason where it is known: SQLite only says "disk I/O error". */
static ph_status fail_io(const ph_store *s, ph_error *err)
{
    const int code = sqlite3_system_errno(s->db), kind = sqlite3_extended_errcode(s->db);
    const bool writing = kind == SQLITE_IOERR_WRITE || kind == SQLITE_IOERR_FSYNC ||
                         kind == SQLITE_IOERR_TRUNCATE || kind == SQLITE_IOERR_SHMSIZE;
    char room[96];
    return ph__fail(err, PH_EIO, -1, "%s: %s%s", s->path,
                    code ? strerror_r(code, room, sizeof room) : sqlite3_errmsg(s->db),
                    writing ? " in writing; what was kept before is safe" : "");
}

ph_status ph__sql_fail(const ph_store *s, ph_error *err)
{
    switch (sqlite3_errcode(s->db) & 0xff) {
    case SQLITE_NOMEM: return ph__fail_memory(err, 0);
    case SQLITE_FULL:
        return ph__fail(err, PH_EIO, -1, "%s: no space left; what was kept before is safe",
                        s->path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ph__fail(err, PH_EIO, -1, "%s: another program does not stop writing to it",
                        s->path);
    case SQLITE_NOTADB: return ph__fail(err, PH_EFORMAT, -1, "%s: is no store", s->path);
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return ph__fail(err, PH_EFORMAT, -1, "%s: a damaged store: %s", s->path,
                        sqlite3_errmsg(s->db));
    default: return fail_io(s, err);
    }
}

ph_status ph__sql_run(ph_store *s, const char *sql, ph_error *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? PH_OK : ph__sql_fail(s, err);
}

ph_status ph__sql_prepare(sqlite3_stmt **out, ph_store *s, const char *sql, ph_error *err)
{
    *out = NULL;
    return sqlite3_prepare_v2(s->db, sql, -1, out, NULL) == SQLITE_OK ? PH_OK
                                                                      : ph__sql_fail(s, err);
}

ph_status ph__sql_step(bool *row, ph_store *s, sqlite3_stmt *q, ph_error *err)
{
    const int code = sqlite3_step(q);
    *row = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? PH_OK : ph__sql_fail(s, err);
}

ph_status ph__sql_done(ph_store *s, sqlite3_stmt *q, ph_error *err)
{
    bool row = true;
    ph_status st = PH_OK;
    while (st == PH_OK && row) st = ph__sql_step(&row, s, q, err);
    sqlite3_reset(q);
    return st;
}

ph_status ph__sql_integer(int64_t *out, ph_store *s, const char *sql, ph_error *err)
{
    sqlite3_stmt *q;
    bool row = false;
    PH_TRY(ph__sql_prepare(&q, s, sql, err));
    const ph_status st = ph__sql_step(&row, s, q, err);
    *out = row ? sqlite3_column_int64(q, 0) : 0;
    sqlite3_finalize(q);
    return st;
}

void ph__sql_text(sqlite3_stmt *q, int i, ph_said text)
{
    if (text.data)
        sqlite3_bind_text64(q, i, text.data, text.n, SQLITE_TRANSIENT, SQLITE_UTF8);
    else
        sqlite3_bind_null(q, i);
}

void ph__sql_real(sqlite3_stmt *q, int i, double v)
{
    if (isnan(v))
        sqlite3_bind_null(q, i);
    else
        sqlite3_bind_double(q, i, v);
}
