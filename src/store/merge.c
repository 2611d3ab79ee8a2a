/* merge.c — many lines from one store into another. */
#include "store/put.h"
#include "store/store.h"

static void count(ph_store_counts *c, bool run, ph_fate fate)
{
    c->runs += run;
    c->lines += !run;
    c->added += fate == PH_FATE_ADDED;
    c->changed += fate == PH_FATE_CHANGED;
}

static ph_status put_row(ph_store *to, const ph_store *from, sqlite3_stmt *q, ph_store_counts *c,
                         ph_error *err)
{
    ph_fate fate;
    ph_error mine = {0};
    bool run;
    const char *line = (const char *)sqlite3_column_text(q, 0);
    const size_t n = (size_t)sqlite3_column_bytes(q, 0);
    const int64_t at = sqlite3_column_int64(q, 1);

    if (!line) return ph__fail(err, PH_EFORMAT, -1, "%s: a line is missing", from->path);
    const ph_status st = ph__put(to, line, n, at > 0 ? at : 1, &fate, &run, &mine);
    if (st == PH_EFORMAT || st == PH_EINVAL)
        return ph__fail(err, PH_EFORMAT, -1, "%s: a damaged store: %.150s", from->path, mine.msg);
    if (st != PH_OK && err) *err = mine;
    if (st == PH_OK) count(c, run, fate);
    return st;
}

ph_status ph__put_all(ph_store *to, ph_store *from, const char *query, int64_t together,
                      ph_store_counts *counts, ph_error *err)
{
    ph_status st;
    ph_store_counts mine = {0};
    sqlite3_stmt *q = NULL;
    bool row;

    if (!counts) counts = &mine;
    PH_GO(ph__sql_prepare(&q, from, query, err));
    for (int64_t n = 1;; n++) {
        PH_GO(ph__sql_step(&row, from, q, err));
        if (!row) break;
        PH_GO(put_row(to, from, q, counts, err));
        if (!together || n % together) continue;
        PH_GO(ph_store_commit(to, err));
        PH_GO(ph_store_begin(to, err));
    }
done:
    sqlite3_finalize(q);
    return st;
}

enum { TOGETHER = 4096 };

ph_status ph_store_merge(ph_store *s, const char *path, ph_store_counts *counts, ph_error *err)
{
    ph_status st;
    ph_store *from = NULL;

    if (counts) *counts = (ph_store_counts){0};
    PH_GO(ph__store_open(&from, path, PH_STORE_READ, err));
    PH_GO(ph_store_begin(s, err));
    st = ph__put_all(s, from, ph__store_carried(from), TOGETHER, counts, err);
    if (st == PH_OK)
        st = ph_store_commit(s, err);
    else
        ph__store_abandon(s);
done:
    ph_store_close(&from);
    return st;
}
