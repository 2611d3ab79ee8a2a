/* sql.h — statements of SQLite, and its errors as ours. */
#ifndef PH_SQL_H
#define PH_SQL_H

#include "base/mem.h"
#include "store/taken.h"

#include <sqlite3.h>

enum { PH__STORE_STATEMENTS = 32 };

struct ph_store {
    sqlite3 *db;
    char *path;
    char *uri;       /* of a store that nobody can write; else NULL */
    int64_t version; /* of its tables */
    bool writes;
    bool begun;                               /* ph_store_begin was called */
    sqlite3_stmt *kept[PH__STORE_STATEMENTS]; /* prepared once: put.c's */
};

/* What SQLite says went wrong, behind the store's path. */
ph_status ph__sql_fail(const ph_store *s, ph_error *err);
/* Statements without results. */
ph_status ph__sql_run(ph_store *s, const char *sql, ph_error *err);
ph_status ph__sql_prepare(sqlite3_stmt **out, ph_store *s, const char *sql, ph_error *err);
/* *row: there is another one. */
ph_status ph__sql_step(bool *row, ph_store *s, sqlite3_stmt *q, ph_error *err);
/* Run a statement to its end and make it ready for the next time. */
ph_status ph__sql_done(ph_store *s, sqlite3_stmt *q, ph_error *err);
/* *out = the integer that a query without parameters gives. */
ph_status ph__sql_integer(int64_t *out, ph_store *s, const char *sql, ph_error *err);

/* Bind the i-th parameter; what is not there becomes NULL. */
void ph__sql_text(sqlite3_stmt *q, int i, ph_said text);
void ph__sql_real(sqlite3_stmt *q, int i, double v);

#endif
