/* check.c — whether a store is what its lines say.
 *
 * All lines are put again into a temporary store beside it, and every column that is made of them is
 * compared. SQLite looks after pages, indices and references.
 */
#include "store/put.h"
#include "store/store.h"

#include "base/buf.h"

#include <string.h>

struct checking {
    ph_store_fault_fn fault;
    void *payload;
    ph_error *err;
};

static ph_status tell(const struct checking *c, const char *what, const char *why)
{
    ph_error line = {0};
    ph__fail(&line, PH_EFORMAT, -1, "%.160s%s%s", what, *why ? ": " : "", why);
    if (!c->fault(line.msg, c->payload)) return PH_OK;
    return ph__fail(c->err, PH_ECANCELED, -1, "cancelled");
}

/* ---- what SQLite finds ---- */

/* Tell the rows of a query, but for "ok". */
static ph_status tell_rows(ph_store *s, const char *sql, const char *why, const struct checking *c)
{
    ph_status st;
    sqlite3_stmt *q = NULL;
    bool row;

    PH_GO(ph__sql_prepare(&q, s, sql, c->err));
    for (;;) {
        PH_GO(ph__sql_step(&row, s, q, c->err));
        if (!row) break;
        const char *text = (const char *)sqlite3_column_text(q, 0);
        if (text && strcmp(text, "ok") != 0) PH_GO(tell(c, text, why));
    }
done:
    sqlite3_finalize(q);
    return st;
}

static ph_status check_file(ph_store *s, const struct checking *c)
{
    PH_TRY(tell_rows(s, "PRAGMA integrity_check", "", c));
    return tell_rows(s, "SELECT \"table\" || ' ' || rowid FROM pragma_foreign_key_check",
                     "refers to what is not there", c);
}

/* ---- what the lines say ---- */

/* Each gives a name and what is compared; @ is the database. Tokens stay when no list names them any
 * more. */
static const struct comparison {
    const char *what, *sql;
    bool may_have_more;
} comparisons[] = {
    {"model", "SELECT key, sha256, file, name, quant, family, blocks, width, at FROM @.model",
     false},
    {"run",
     "SELECT u.key, m.key, u.command, u.plain, u.at, u.line FROM @.run u JOIN @.model m ON m.id = "
     "u.model",
     false},
    {"feature",
     "SELECT f.text, m.key, f.place, f.block, f.component, f.whole, f.results, "
     "(SELECT u.key || r.key FROM @.result r JOIN @.run u ON u.id = r.run WHERE r.id = f.best), "
     "(SELECT u.key || r.key FROM @.result r JOIN @.run u ON u.id = r.run WHERE r.id = f.scan) "
     "FROM @.feature f JOIN @.model m ON m.id = f.model",
     false},
    {"result",
     "SELECT u.key || ' ' || r.type || ' ' || ifnull(f.text, '') || ' ' || r.key, r.at, r.method, "
     "r.sign, r.rank, r.class, r.text, r.activation, r.z, r.gap, r.mean, r.sd, r.n FROM @.result "
     "r JOIN @.run u ON u.id = r.run LEFT JOIN @.feature f ON f.id = r.feature",
     false},
    {"token", "SELECT m.key || ' ' || t.id FROM @.token t JOIN @.model m ON m.id = t.model", true},
    {"list of",
     "SELECT f.text, m.key, l.token, l.low, l.rank, l.activation FROM @.listed l JOIN @.feature f "
     "ON f.id = l.feature JOIN @.model m ON m.id = l.model AND m.id = f.model",
     false}};

static ph_status add_select(ph_str *sql, const char *select, const char *database, ph_error *err)
{
    for (const char *p = select; *p; p++)
        PH_TRY(*p == '@' ? ph__str_add(sql, database, strlen(database), err)
                         : ph__str_add(sql, p, 1, err));
    return PH_OK;
}

/* Tell what one database has and the other has not. */
static ph_status compare(ph_store *again, const struct comparison *k, const char *one,
                         const char *other, const char *why, const struct checking *c)
{
    ph_status st;
    ph_str sql = {0};
    char *name = NULL;
    sqlite3_stmt *q = NULL;
    bool row;

    PH_GO(add_select(&sql, k->sql, one, c->err));
    PH_GO(add_select(&sql, " EXCEPT ", "", c->err));
    PH_GO(add_select(&sql, k->sql, other, c->err));
    PH_GO(ph__sql_prepare(&q, again, sql.data, c->err));
    for (;;) {
        PH_GO(ph__sql_step(&row, again, q, c->err));
        if (!row) break;
        const char *text = (const char *)sqlite3_column_text(q, 0);
        PH_GO(ph__printf(&name, c->err, "%s %s", k->what, text ? text : ""));
        PH_GO(tell(c, name, why));
        ph__free(name);
        name = NULL;
    }
done:
    sqlite3_finalize(q);
    ph__free(name);
    ph__str_close(&sql);
    return st;
}

static ph_status compare_all(ph_store *again, const struct checking *c)
{
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++) {
        const struct comparison *k = &comparisons[i];
        PH_TRY(compare(again, k, "main", "kept", "the lines say otherwise", c));
        if (!k->may_have_more)
            PH_TRY(compare(again, k, "kept", "main", "is not what the lines say", c));
    }
    return PH_OK;
}

/* Put the lines of `kept` again. */
static ph_status put_again(ph_store *again, const struct checking *c)
{
    static const char sql[] = "SELECT line, at, 'run ' || key FROM kept.run UNION ALL "
                              "SELECT b.line, r.at, 'line ' || r.id FROM kept.result r "
                              "JOIN kept.body b ON b.result = r.id";
    ph_status st;
    sqlite3_stmt *q = NULL;
    bool row;

    PH_GO(ph__sql_prepare(&q, again, sql, c->err));
    for (;;) {
        ph_error mine = {0};
        PH_GO(ph__sql_step(&row, again, q, c->err));
        if (!row) break;
        const char *line = (const char *)sqlite3_column_text(q, 0);
        st = ph__put(again, line ? line : "", (size_t)sqlite3_column_bytes(q, 0),
                     sqlite3_column_int64(q, 1), NULL, NULL, &mine);
        if (st == PH_EFORMAT || st == PH_EINVAL)
            st = tell(c, (const char *)sqlite3_column_text(q, 2), mine.msg);
        else if (st != PH_OK && c->err)
            *c->err = mine;
        if (st != PH_OK) goto done;
    }
done:
    sqlite3_finalize(q);
    return st;
}

static ph_status attach(ph_store *again, const char *path, ph_error *err)
{
    sqlite3_stmt *q;
    PH_TRY(ph__sql_prepare(&q, again, "ATTACH ?1 AS kept", err));
    sqlite3_bind_text(q, 1, path, -1, SQLITE_STATIC);
    const ph_status st = ph__sql_done(again, q, err);
    sqlite3_finalize(q);
    return st;
}

static ph_status check_lines(ph_store *s, const struct checking *c)
{
    ph_status st;
    ph_store *again = NULL;

    PH_GO(ph__store_beside(&again, s->path, c->err));
    PH_GO(attach(again, s->uri ? s->uri : s->path, c->err));
    PH_GO(ph__sql_run(again, "BEGIN", c->err));
    PH_GO(put_again(again, c));
    st = compare_all(again, c);
done:
    ph_store_close(&again);
    return st;
}

ph_status ph_store_check(ph_store *s, ph_store_fault_fn fault, void *payload, ph_error *err)
{
    ph_error mine = {0};
    const struct checking c = {fault, payload, &mine};
    ph_status st = check_file(s, &c);
    if (st == PH_OK) st = check_lines(s, &c);
    if (st == PH_EFORMAT) st = tell(&c, mine.msg, ""); /* so damaged that it cannot be read on */
    if (st != PH_OK && err) *err = mine;
    return st;
}
