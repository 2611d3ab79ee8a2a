/* views.c — what can be asked of a store: each view a row of a table. */
#include "store/store.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

/* What a view may be filtered by. */
enum {
    BY_MODEL = 1,
    BY_PLACE = 2, /* place, block, first, last */
    BY_FEATURE = 4,
    BY_TOKEN = 8,
    BY_TEXT = 16,
    BY_CONTAINS = 32,
    BY_TYPE = 64,
    BY_RUN = 128,
    BY_METHOD = 256
};

#define TAP        "'place', f.place, 'block', f.block, 'component', f.component"
#define FIGURES    "'activation', r.activation, 'z', r.z, 'gap', r.gap"
#define ROUND_TRIP "'round_trip', json(iif(r.class & 2, 'true', 'false'))"
/* Of a feature: its scan's highest token. */
#define TOP                                                                                        \
    "'token', t.text, 'token_activation', l.activation, 'token_z', "                               \
    "round((l.activation - s.mean) / s.sd, 6), 'mean', s.mean, 'sd', s.sd"
#define SUMMARY                                                                                    \
    "FROM feature f JOIN model m ON m.id = f.model LEFT JOIN result r ON r.id = f.best "           \
    "LEFT JOIN run u ON u.id = r.run LEFT JOIN result s ON s.id = f.scan "                         \
    "LEFT JOIN listed l ON l.feature = f.id AND l.low = 0 AND l.rank = 0 "                         \
    "LEFT JOIN token t ON t.model = f.model AND t.id = l.token "
#define OF_FEATURE "f.block, f.place, f.component, f.text, m.key"

/* What a statement gives. */
typedef enum ph_giving {
    PH_GIVES_ROWS,
    PH_GIVES_LINES /* the ids of a result and its run, whose lines are wanted */
} ph_giving;

/* select gives the row; r is a result, u its run, f its feature, m the model. contains: how that is asked;
 * sorted: what stands before figures where they can be sorted by. */
static const struct view {
    const char *name, *select, *order;
    unsigned filters;
    const char *contains, *sorted;
    ph_giving gives;
} views[] = {
    {"models",
     "SELECT json_object('model', m.key, 'sha256', m.sha256, 'file', m.file, 'name', m.name, "
     "'quant', m.quant, 'family', m.family, 'blocks', m.blocks, 'width', m.width, 'untrained', "
     "json(iif(m.key <> m.sha256, 'true', 'false')), 'features', count(f.id), 'results', "
     "ifnull(sum(f.results), 0), 'scans', count(f.scan), 'runs', "
     "(SELECT count(*) FROM run u WHERE u.model = m.id)) "
     "FROM model m LEFT JOIN feature f ON f.model = m.id WHERE true",
     "GROUP BY m.id ORDER BY m.name, m.key", BY_MODEL, NULL, NULL, PH_GIVES_ROWS},
    {"runs", "SELECT u.line FROM run u JOIN model m ON m.id = u.model WHERE true",
     "ORDER BY m.key, u.command, u.key", BY_MODEL | BY_RUN, NULL, NULL, PH_GIVES_ROWS},
    {"lines",
     "SELECT r.id, u.id FROM result r JOIN run u ON u.id = r.run JOIN model m ON m.id = u.model "
     "LEFT JOIN feature f ON f.id = r.feature WHERE true",
     "ORDER BY m.key, u.command, u.key, f.block, f.place, f.component, f.text, r.type, "
     "r.sign DESC, r.rank, r.key",
     BY_MODEL | BY_PLACE | BY_FEATURE | BY_TEXT | BY_CONTAINS | BY_TYPE | BY_RUN | BY_METHOD,
     "instr(r.text, ?)", "r.class >= 6 DESC, ", PH_GIVES_LINES},
    {"features",
     "SELECT json_object('model', m.key, 'feature', f.text, " TAP ", 'text', r.text, " FIGURES
     ", 'sign', iif(r.sign < 0, '-', '+'), " ROUND_TRIP ", 'method', r.method, 'run', u.key, "
     "'results', f.results, " TOP ") " SUMMARY "WHERE true",
     "ORDER BY m.key, f.block, f.place, f.component, f.text",
     BY_MODEL | BY_PLACE | BY_FEATURE | BY_CONTAINS,
     "EXISTS (SELECT 1 FROM result x WHERE x.feature = f.id AND x.type = 'dream' AND "
     "instr(x.text, ?))",
     "r.class >= 6 DESC, ", PH_GIVES_ROWS},
    {"results",
     "SELECT json_object('model', m.key, 'run', u.key, 'feature', f.text, " TAP
     ", 'method', r.method, 'sign', iif(r.sign < 0, '-', '+'), 'rank', r.rank, 'text', "
     "r.text, " FIGURES ", " ROUND_TRIP ", 'violates', json(iif(r.class & 4, 'false', 'true')), "
     "'outlier', json(iif(r.class & 1, 'false', 'true'))) "
     "FROM result r JOIN run u ON u.id = r.run JOIN model m ON m.id = u.model JOIN feature f ON "
     "f.id = r.feature WHERE r.type = 'dream'",
     "ORDER BY r.class DESC, r.sign DESC, r.sign * r.activation DESC, f.text, u.key, r.rank",
     BY_MODEL | BY_PLACE | BY_FEATURE | BY_TEXT | BY_CONTAINS | BY_RUN | BY_METHOD,
     "instr(r.text, ?)", "r.class >= 6 DESC, ", PH_GIVES_ROWS},
    {"map",
     "SELECT json_object('model', m.key, " TAP ", 'feature', f.text, " FIGURES
     ", 'text', r.text, 'results', f.results, " TOP ") " SUMMARY
     "WHERE f.component IS NOT NULL AND NOT EXISTS (SELECT 1 FROM feature g WHERE g.model = "
     "f.model AND g.place = f.place AND g.block = f.block AND g.component = f.component AND "
     "(-g.whole, g.text) < (-f.whole, f.text))",
     "ORDER BY m.key, f.block, f.place, f.component", BY_MODEL | BY_PLACE, NULL,
     "r.class >= 6 DESC, ", PH_GIVES_ROWS},
    {"tokens",
     "SELECT json_object('model', m.key, 'id', t.id, 'token', t.text, 'feature', f.text, " TAP
     ", 'end', iif(l.low, 'bottom', 'top'), 'rank', l.rank, 'activation', l.activation, 'z', "
     "round((l.activation - s.mean) / s.sd, 6)) "
     "FROM token t CROSS JOIN model m ON m.id = t.model CROSS JOIN listed l ON l.model = t.model "
     "AND l.token = t.id CROSS JOIN feature f ON f.id = l.feature CROSS JOIN result s ON s.id = "
     "f.scan WHERE true",
     "ORDER BY l.low, abs((l.activation - s.mean) / s.sd) DESC, " OF_FEATURE ", t.id",
     BY_MODEL | BY_PLACE | BY_FEATURE | BY_TOKEN, NULL, NULL, PH_GIVES_ROWS},
    {"same_text",
     "SELECT json_object('model', m.key, 'text', r.text, 'feature', f.text, " TAP
     ", 'run', u.key, 'method', r.method, " FIGURES ") "
     "FROM result r JOIN feature f ON f.id = r.feature JOIN run u ON u.id = r.run JOIN model m "
     "ON m.id = f.model WHERE r.type = 'dream'",
     "ORDER BY r.text, " OF_FEATURE ", u.key, r.sign DESC, r.rank", BY_MODEL | BY_FEATURE | BY_TEXT,
     NULL, NULL, PH_GIVES_ROWS},
    {"blocks",
     "SELECT json_object('model', m.key, 'place', f.place, 'block', f.block, 'features', count(*), "
     "'results', sum(f.results), 'scans', count(f.scan), 'best', max(r.activation), "
     "'best_feature', iif(r.id IS NULL, NULL, f.text), 'best_text', r.text) "
     "FROM feature f JOIN model m ON m.id = f.model LEFT JOIN result r ON r.id = f.best WHERE "
     "true",
     "GROUP BY m.id, f.block, f.place ORDER BY m.key, f.block, f.place", BY_MODEL | BY_PLACE, NULL,
     NULL, PH_GIVES_ROWS},
};

static const struct sort {
    const char *name, *column;
} sorts[] = {{"activation", "r.activation"}, {"z", "r.z"}, {"gap", "r.gap"}, {"feature", NULL}};
#define LAST OF_FEATURE ", u.key, r.type, r.sign DESC, r.rank, r.key"

/* ---- which model ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* How well a model is meant by what is asked; 0: not. */
static int meant(const char *asked, const char *key, const char *file, const char *name)
{
    if (strcmp(key, asked) == 0) return 4;
    if (file && strcmp(file, asked) == 0) return 3;
    if (*asked && strncmp(key, asked, strlen(asked)) == 0) return 2;
    if (name && strcmp(name, asked) == 0) return 2;
    return file && strcmp(base_name(file), base_name(asked)) == 0 ? 2 : 0;
}

struct choice {
    int64_t id;
    int best;
    bool several;
};

/* Of models that are meant as well, a trained one goes before one drawn at random. */
static void choose(struct choice *c, int how_well, bool untrained, int64_t id)
{
    const int score = how_well ? 2 * how_well + !untrained : 0;
    if (score && score == c->best) c->several = true;
    if (score <= c->best) return;
    *c = (struct choice){id, score, false};
}

static ph_status find_model(int64_t *out, ph_store *s, const char *asked, ph_error *err)
{
    ph_status st;
    struct choice c = {0};
    sqlite3_stmt *q = NULL;
    bool row;

    PH_GO(ph__sql_prepare(&q, s, "SELECT id, key, file, name FROM model ORDER BY id", err));
    for (;;) {
        PH_GO(ph__sql_step(&row, s, q, err));
        if (!row) break;
        const char *key = (const char *)sqlite3_column_text(q, 1);
        if (!key) continue;
        choose(&c,
               meant(asked, key, (const char *)sqlite3_column_text(q, 2),
                     (const char *)sqlite3_column_text(q, 3)),
               strncmp(key, "untrained:", 10) == 0, sqlite3_column_int64(q, 0));
    }
    *out = c.id;
    if (!c.id)
        st = ph__fail(err, PH_EINVAL, -1, "model %s: nothing of it is in %s", asked, s->path);
    else if (c.several)
        st = ph__fail(err, PH_EINVAL, -1, "model %s: several in %s are meant; say its sha256",
                      asked, s->path);
done:
    sqlite3_finalize(q);
    return st;
}

/* ---- the statement ---- */

/* A statement as it grows, with its parameters in order. */
struct asking {
    ph_str sql;
    const char *text[24]; /* NULL: the number */
    int64_t number[24];
    int n;
};

static ph_status add(struct asking *a, const char *sql, ph_error *err)
{
    return ph__str_add(&a->sql, sql, strlen(sql), err);
}

/* " AND " and a condition of one parameter, where a text is given. */
static ph_status with_text(struct asking *a, const char *condition, const char *value,
                           ph_error *err)
{
    if (!value) return PH_OK;
    a->text[a->n++] = value;
    PH_TRY(add(a, " AND ", err));
    return add(a, condition, err);
}

static ph_status with_number(struct asking *a, const char *condition, int64_t value, ph_error *err)
{
    if (value < 0) return PH_OK;
    a->number[a->n++] = value;
    PH_TRY(add(a, " AND ", err));
    return add(a, condition, err);
}

/* Digits are an id; anything else, perhaps in quotes, a text with a blank before it or not. */
static ph_status with_token(struct asking *a, const char *token, char **text, ph_error *err)
{
    const size_t n = token ? strlen(token) : 0;
    const bool quoted = n > 1 && token[0] == '"' && token[n - 1] == '"';

    if (!token) return PH_OK;
    if (n && n < 10 && strspn(token, "0123456789") == n)
        return with_number(a, "t.id = ?", strtoll(token, NULL, 10), err);
    PH_TRY(ph__strndup(text, token + quoted, n - 2 * quoted, err));
    PH_TRY(with_text(a, "t.text IN (?", *text, err));
    a->text[a->n++] = *text;
    return add(a, ", ' ' || ?)", err);
}

/* Another feature that answers to one of this one's texts. */
static ph_status with_same_text(struct asking *a, int64_t model, const char *feature, ph_error *err)
{
    if (!feature) return PH_OK;
    PH_TRY(with_text(a, "f.text <> ?", feature, err));
    PH_TRY(with_text(a,
                     "r.text IN (SELECT x.text FROM result x WHERE x.type = 'dream' AND x.feature "
                     "IN (SELECT id FROM feature g WHERE g.text = ?",
                     feature, err));
    PH_TRY(with_number(a, "g.model = ?", model, err));
    return add(a, "))", err);
}

static ph_status conditions(struct asking *a, const struct view *v, const ph_store_query *q,
                            int64_t model, char **token, ph_error *err)
{
    PH_TRY(with_number(a, "m.id = ?", model, err));
    PH_TRY(with_text(a, "f.place = ?", q->place, err));
    PH_TRY(with_number(a, "f.block = ?", q->block, err));
    PH_TRY(with_number(a, "f.component >= ?", q->first, err));
    PH_TRY(with_number(a, "f.component <= ?", q->last, err));
    if (strcmp(v->name, "same_text") == 0)
        PH_TRY(with_same_text(a, model, q->feature, err));
    else
        PH_TRY(with_text(a, "f.text = ?", q->feature, err));
    PH_TRY(with_token(a, q->token, token, err));
    PH_TRY(with_text(a, "r.text = ?", q->text, err));
    PH_TRY(with_text(a, v->contains, q->contains, err));
    PH_TRY(with_text(a, "r.type = ?", q->type, err));
    PH_TRY(with_text(a, "instr(u.key, ?) = 1", q->run, err));
    return with_text(a, "r.method = ?", q->method, err);
}

static ph_status order_by(struct asking *a, const struct view *v, const ph_store_query *q,
                          ph_error *err)
{
    const struct sort *sort = sorts;
    const size_t n = sizeof sorts / sizeof *sorts;

    PH_TRY(add(a, " ", err));
    if (!q->sort) return add(a, v->order, err);
    while (sort < sorts + n && strcmp(sort->name, q->sort) != 0) sort++;
    if (sort == sorts + n)
        return ph__fail(err, PH_EINVAL, -1, "sort %s: expected activation, z, gap or feature",
                        q->sort);
    if (!v->sorted)
        return ph__fail(err, PH_EINVAL, -1, "view %s: has an order of its own", v->name);
    PH_TRY(add(a, "ORDER BY ", err));
    if (sort->column) {
        PH_TRY(add(a, v->sorted, err));
        PH_TRY(add(a, sort->column, err));
        PH_TRY(add(a, " IS NULL, ", err));
        PH_TRY(add(a, sort->column, err));
        PH_TRY(add(a, q->ascending ? ", " : " DESC, ", err));
    }
    return add(a, LAST, err);
}

/* A filter that the view has not, by name; NULL: all is well. */
static const char *lacking(const struct view *v, const ph_store_query *q)
{
    const struct {
        const char *name;
        bool given;
        unsigned by;
    } all[] = {{"model", q->model, BY_MODEL},
               {"place", q->place || q->block >= 0, BY_PLACE},
               {"component", q->first >= 0 || q->last >= 0, BY_PLACE},
               {"feature", q->feature, BY_FEATURE},
               {"token", q->token, BY_TOKEN},
               {"text", q->text, BY_TEXT},
               {"contains", q->contains, BY_CONTAINS},
               {"type", q->type, BY_TYPE},
               {"run", q->run, BY_RUN},
               {"method", q->method, BY_METHOD}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].given && !(v->filters & all[i].by)) return all[i].name;
    return NULL;
}

static ph_status build(struct asking *a, ph_store *s, const struct view *v, const ph_store_query *q,
                       char **token, ph_error *err)
{
    int64_t model = -1;
    const char *name = lacking(v, q);

    if (name) return ph__fail(err, PH_EINVAL, -1, "view %s: cannot be asked by %s", v->name, name);
    if (q->model) PH_TRY(find_model(&model, s, q->model, err));
    PH_TRY(add(a, v->select, err));
    PH_TRY(conditions(a, v, q, model, token, err));
    PH_TRY(order_by(a, v, q, err));
    a->number[a->n++] = q->limit;
    a->number[a->n++] = q->offset;
    return add(a, " LIMIT ? OFFSET ?", err);
}

static void bind_all(sqlite3_stmt *q, const struct asking *a)
{
    for (int i = 0; i < a->n; i++)
        if (a->text[i])
            sqlite3_bind_text(q, i + 1, a->text[i], -1, SQLITE_STATIC);
        else
            sqlite3_bind_int64(q, i + 1, a->number[i]);
}

/* ---- the rows ---- */

struct giving {
    ph_store *s;
    ph_store_row_fn row;
    void *payload;
    ph_error *err;
};

static ph_status give(const struct giving *g, sqlite3_stmt *q)
{
    const char *text = (const char *)sqlite3_column_text(q, 0);
    if (!text) return ph__fail(g->err, PH_EFORMAT, -1, "%s: a row without a line", g->s->path);
    if (!g->row(text, (size_t)sqlite3_column_bytes(q, 0), g->payload)) return PH_OK;
    return ph__fail(g->err, PH_ECANCELED, -1, "cancelled");
}

static ph_status give_line(const struct giving *g, sqlite3_stmt *line, int64_t id)
{
    bool row = false;
    ph_status st;
    sqlite3_bind_int64(line, 1, id);
    st = ph__sql_step(&row, g->s, line, g->err);
    if (st == PH_OK)
        st = row ? give(g, line)
                 : ph__fail(g->err, PH_EFORMAT, -1, "%s: a line is missing", g->s->path);
    sqlite3_reset(line);
    return st;
}

static ph_status give_rows(const struct giving *g, sqlite3_stmt *q)
{
    for (bool more;;) {
        PH_TRY(ph__sql_step(&more, g->s, q, g->err));
        if (!more) return PH_OK;
        PH_TRY(give(g, q));
    }
}

/* Lines by id, so that sorting need not carry them; each run's behind its run line. */
static ph_status give_lines(const struct giving *g, sqlite3_stmt *q, bool runs)
{
    ph_status st;
    int64_t run = 0;
    sqlite3_stmt *body = NULL, *head = NULL;
    bool more;

    PH_GO(ph__sql_prepare(&body, g->s, "SELECT line FROM body WHERE result = ?1", g->err));
    PH_GO(ph__sql_prepare(&head, g->s, "SELECT line FROM run WHERE id = ?1", g->err));
    for (;;) {
        PH_GO(ph__sql_step(&more, g->s, q, g->err));
        if (!more) break;
        if (runs && run != sqlite3_column_int64(q, 1)) {
            run = sqlite3_column_int64(q, 1);
            PH_GO(give_line(g, head, run));
        }
        PH_GO(give_line(g, body, sqlite3_column_int64(q, 0)));
    }
done:
    sqlite3_finalize(body);
    sqlite3_finalize(head);
    return st;
}

static const struct view *find_view(const char *name)
{
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        if (strcmp(views[i].name, name) == 0) return &views[i];
    return NULL;
}

ph_status ph_store_select(ph_store *s, const ph_store_query *query, ph_store_row_fn row,
                          void *payload, ph_error *err)
{
    ph_status st;
    struct asking a = {0};
    char *token = NULL;
    sqlite3_stmt *q = NULL;
    const struct giving g = {s, row, payload, err};
    const struct view *v = find_view(query->view);

    if (!v) return ph__fail(err, PH_EINVAL, -1, "view %s: there is none", query->view);
    PH_GO(build(&a, s, v, query, &token, err));
    PH_GO(ph__sql_prepare(&q, s, a.sql.data, err));
    bind_all(q, &a);
    st = v->gives == PH_GIVES_ROWS ? give_rows(&g, q)
                                   : give_lines(&g, q, !query->type && !query->sort);
done:
    sqlite3_finalize(q);
    ph__free(token);
    ph__str_close(&a.sql);
    return st;
}
