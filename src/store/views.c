/* views.c — what can be asked of a store: each view a row of a table. */
#include "store/sql.h"

#include "base/buf.h"

#include <string.h>

/* What a view may be filtered by. */
enum {
    BY_MODEL = 1,
    BY_PLACE = 2, /* place, block, first, last */
    BY_FEATURE = 4,
    BY_TEXT = 8,
    BY_CONTAINS = 16,
    BY_TYPE = 32,
    BY_RUN = 64,
    BY_METHOD = 128,
    BY_ALL = 255
};

/* select gives one column, the row; its tables are r result, u run, f feature, m model. */
static const struct view {
    const char *name, *select, *group, *order;
    unsigned filters;
} views[] = {
    {"models",
     "SELECT json_object('model', m.key, 'sha256', m.sha256, 'file', m.file, 'name', m.name, "
     "'quant', m.quant, 'family', m.family, 'blocks', m.blocks, 'width', m.width, "
     "'features', (SELECT count(*) FROM feature f WHERE f.model = m.id), "
     "'runs', (SELECT count(*) FROM run u WHERE u.model = m.id), "
     "'results', (SELECT count(*) FROM run u JOIN result r ON r.run = u.id WHERE u.model = m.id)) "
     "FROM model m WHERE true",
     "", "m.name, m.key", BY_MODEL},
    {"runs", "SELECT u.line FROM run u JOIN model m ON m.id = u.model WHERE true", "",
     "m.key, u.command, u.key", BY_MODEL | BY_RUN},
    {"lines",
     "SELECT r.line, u.line FROM result r JOIN run u ON u.id = r.run JOIN model m ON m.id = "
     "u.model LEFT JOIN feature f ON f.id = r.feature WHERE true",
     "",
     "m.key, u.command, u.key, f.block, f.place, f.component, f.text, r.type, r.sign DESC, "
     "r.rank, r.key",
     BY_ALL},
    {"features",
     "SELECT json_object('model', m.key, 'feature', f.text, 'place', f.place, 'block', f.block, "
     "'component', f.component, 'text', r.text, 'activation', max(r.activation), 'z', r.z, 'gap', "
     "r.gap, 'results', count(r.activation)) "
     "FROM feature f JOIN model m ON m.id = f.model LEFT JOIN result r ON r.feature = f.id AND "
     "r.type = 'dream' LEFT JOIN run u ON u.id = r.run WHERE true",
     "GROUP BY f.id", "m.key, f.block, f.place, f.component, f.text",
     BY_MODEL | BY_PLACE | BY_FEATURE | BY_CONTAINS},
    {"results",
     "SELECT json_object('model', m.key, 'run', u.key, 'feature', f.text, 'method', r.method, "
     "'sign', iif(r.sign < 0, '-', '+'), 'rank', r.rank, 'text', r.text, 'activation', "
     "r.activation, 'z', r.z, 'gap', r.gap, 'round_trip', json(iif(r.round_trip, 'true', "
     "'false')), 'norm_ratio', r.norm_ratio) "
     "FROM result r JOIN run u ON u.id = r.run JOIN model m ON m.id = u.model JOIN feature f ON "
     "f.id = r.feature WHERE r.type = 'dream'",
     "", "r.round_trip DESC, r.sign * r.activation DESC, f.text, u.key, r.rank",
     BY_ALL & ~(unsigned)BY_TYPE},
};

static const struct view *find(const char *name)
{
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        if (strcmp(views[i].name, name) == 0) return &views[i];
    return NULL;
}

/* ---- the query ---- */

/* The parameters of a statement, in order. */
struct bound {
    const char *text[16];
    int64_t number[16];
    int n;
};

struct asking {
    ph_str sql;
    struct bound b;
};

static ph_status add(struct asking *a, const char *sql, ph_error *err)
{
    return ph__str_add(&a->sql, sql, strlen(sql), err);
}

static ph_status where_text(struct asking *a, const char *sql, const char *value, ph_error *err)
{
    if (!value) return PH_OK;
    a->b.text[a->b.n++] = value;
    return add(a, sql, err);
}

static ph_status where_number(struct asking *a, const char *sql, int64_t value, ph_error *err)
{
    if (value < 0) return PH_OK;
    a->b.number[a->b.n++] = value;
    return add(a, sql, err);
}

static ph_status conditions(struct asking *a, const ph_store_query *q, ph_error *err)
{
    PH_TRY(where_text(a, " AND substr(m.key, 1, length(?)) = ?1", q->model, err));
    PH_TRY(where_text(a, " AND f.place = ?", q->place, err));
    PH_TRY(where_number(a, " AND f.block = ?", q->block, err));
    PH_TRY(where_number(a, " AND f.component >= ?", q->first, err));
    PH_TRY(where_number(a, " AND f.component <= ?", q->last, err));
    PH_TRY(where_text(a, " AND f.text = ?", q->feature, err));
    PH_TRY(where_text(a, " AND r.text = ?", q->text, err));
    PH_TRY(where_text(a, " AND instr(r.text, ?)", q->contains, err));
    PH_TRY(where_text(a, " AND r.type = ?", q->type, err));
    PH_TRY(where_text(a, " AND u.key = ?", q->run, err));
    return where_text(a, " AND r.method = ?", q->method, err);
}

static ph_status build(struct asking *a, const struct view *v, const ph_store_query *q,
                       ph_error *err)
{
    PH_TRY(add(a, v->select, err));
    PH_TRY(conditions(a, q, err));
    PH_TRY(add(a, " ", err));
    PH_TRY(add(a, v->group, err));
    PH_TRY(add(a, " ORDER BY ", err));
    PH_TRY(add(a, v->order, err));
    a->b.number[a->b.n++] = q->limit;
    PH_TRY(add(a, " LIMIT ?", err));
    a->b.number[a->b.n++] = q->offset;
    return add(a, " OFFSET ?", err);
}

static void bind_all(sqlite3_stmt *q, const struct bound *b)
{
    for (int i = 0; i < b->n; i++)
        if (b->text[i])
            sqlite3_bind_text(q, i + 1, b->text[i], -1, SQLITE_STATIC);
        else
            sqlite3_bind_int64(q, i + 1, b->number[i]);
}

static ph_status hand_out(ph_store *s, sqlite3_stmt *q, ph_store_row_fn row, void *payload,
                          ph_error *err)
{
    bool more = true;
    PH_TRY(ph__sql_step(&more, s, q, err));
    while (more) {
        const char *text = (const char *)sqlite3_column_text(q, 0);
        if (row(text, (size_t)sqlite3_column_bytes(q, 0), payload))
            return ph__fail(err, PH_ECANCELED, -1, "cancelled");
        PH_TRY(ph__sql_step(&more, s, q, err));
    }
    return PH_OK;
}

ph_status ph_store_select(ph_store *s, const ph_store_query *query, ph_store_row_fn row,
                          void *payload, ph_error *err)
{
    ph_status st;
    struct asking a = {0};
    sqlite3_stmt *q = NULL;
    const struct view *v = find(query->view);

    if (!v) return ph__fail(err, PH_EINVAL, -1, "view %s: there is none", query->view);
    PH_GO(build(&a, v, query, err));
    PH_GO(ph__sql_prepare(&q, s, a.sql.data, err));
    bind_all(q, &a.b);
    st = hand_out(s, q, row, payload, err);
done:
    sqlite3_finalize(q);
    ph__str_close(&a.sql);
    return st;
}
