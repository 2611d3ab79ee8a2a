/* select.c — a question to a view becomes a statement, and its rows are handed out. */
#include "store/store.h"
#include "store/views.h"

#include "base/buf.h"
#include "store/named.h"

#include <stdlib.h>
#include <string.h>

#define SOUND  "r.class >= 6 DESC"
#define RANKED "ifnull(r.id = f.scan, 0) DESC, r.class DESC, r.sign DESC"

static const struct sort {
    const char *name, *before, *column;
} sorts[] = {{"activation", SOUND, "r.activation"},
             {"z", SOUND, "r.z"},
             {"gap", SOUND, "r.gap"},
             {"feature", NULL, NULL},
             {"best", RANKED, "r.sign * r.activation"}};
#define LAST PH_VIEW_FEATURE ", u.key, r.type, r.sign DESC, r.rank, r.key"

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

#define NAMED(id)                                                                                  \
    id " IN (SELECT g.id FROM feature g WHERE g.text IN (SELECT value FROM json_each(?)))"

/* A statement as it grows, with its parameters in order. */
struct asking {
    ph_str sql;
    const char *text[24]; /* NULL: the number */
    int64_t number[24];
    int n;
    int64_t model;       /* -1: any */
    char *token, *names; /* texts of parameters, owned */
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

static ph_status is_stored(bool *is, ph_store *s, const char *name, ph_error *err)
{
    sqlite3_stmt *q = NULL;
    ph_status st;

    PH_GO(ph__sql_prepare(&q, s, "SELECT 1 FROM feature WHERE text = ?1", err));
    sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    st = ph__sql_step(is, s, q, err);
done:
    sqlite3_finalize(q);
    return st;
}

/* What an imported line calls a feature need not be of the language: as it stands it is found. */
static ph_status names_of(char **names, ph_store *s, const char *specs, ph_error *err)
{
    ph_error ignored;
    bool stored = false;
    const ph_status st = ph__named(names, specs, err);

    if (st != PH_ESPEC && st != PH_ERANGE) return st;
    if (is_stored(&stored, s, specs, &ignored) != PH_OK || !stored) return st;
    return ph__named_so(names, specs, err);
}

/* Features by name; of same_text those that share a text with them and are others. */
static ph_status with_features(struct asking *a, const ph_view *v, ph_store *s, const char *specs,
                               ph_error *err)
{
    if (!specs) return PH_OK;
    PH_TRY(names_of(&a->names, s, specs, err));
    if (!v->shares)
        return with_text(a, v->of_results ? NAMED("r.feature") : NAMED("f.id"), a->names, err);
    PH_TRY(with_text(a, "f.text NOT IN (SELECT value FROM json_each(?))", a->names, err));
    PH_TRY(
        with_text(a,
                  "r.text IN (SELECT x.text FROM result x WHERE x.type = 'dream' AND x.feature "
                  "IN (SELECT id FROM feature g WHERE g.text IN (SELECT value FROM json_each(?))",
                  a->names, err));
    PH_TRY(with_number(a, "g.model = ?", a->model, err));
    return add(a, "))", err);
}

/* "other" is what no list of texts or of tokens is. */
static ph_status with_type(struct asking *a, const char *type, ph_error *err)
{
    if (type && strcmp(type, "other") == 0)
        return add(a, " AND r.type NOT IN ('dream', 'scan')", err);
    return with_text(a, "r.type = ?", type, err);
}

static ph_status conditions(struct asking *a, const ph_view *v, ph_store *s,
                            const ph_store_query *q, ph_error *err)
{
    /* "+": not what rows are looked up by, where features or the order of results do better */
    const bool ranked = v->of_results && !v->lines && !q->sort && !q->place && q->block < 0;
    const bool by_model = !(v->of_results && q->feature) && !ranked && !v->shares;
    PH_TRY(with_number(a, by_model ? "m.id = ?" : "+m.id = ?", a->model, err));
    PH_TRY(with_text(a, "f.place = ?", q->place, err));
    PH_TRY(with_number(a, "f.block = ?", q->block, err));
    PH_TRY(with_number(a, "f.component >= ?", q->first, err));
    PH_TRY(with_number(a, "f.component <= ?", q->last, err));
    PH_TRY(with_features(a, v, s, q->feature, err));
    PH_TRY(with_token(a, q->token, &a->token, err));
    PH_TRY(with_text(a, "r.text = ?", q->text, err));
    PH_TRY(with_text(a, v->contains, q->contains, err));
    PH_TRY(with_type(a, q->type, err));
    PH_TRY(with_text(a, "instr(u.key, ?) = 1", q->run, err));
    return with_text(a, "r.method = ?", q->method, err);
}

static ph_status order_by(struct asking *a, const ph_view *v, const ph_store_query *q,
                          ph_error *err)
{
    const struct sort *sort = sorts;
    const size_t n = sizeof sorts / sizeof *sorts;

    PH_TRY(add(a, " ", err));
    if (!q->sort) return add(a, v->order, err);
    while (sort < sorts + n && strcmp(sort->name, q->sort) != 0) sort++;
    if (sort == sorts + n)
        return ph__fail(err, PH_EINVAL, -1, "sort %s: expected activation, z, gap, feature or best",
                        q->sort);
    if (!v->sorted)
        return ph__fail(err, PH_EINVAL, -1, "view %s: has an order of its own", v->name);
    PH_TRY(add(a, "ORDER BY ", err));
    if (sort->column) {
        PH_TRY(add(a, sort->before, err));
        PH_TRY(add(a, ", ", err));
        PH_TRY(add(a, sort->column, err));
        PH_TRY(add(a, " IS NULL, ", err));
        PH_TRY(add(a, sort->column, err));
        PH_TRY(add(a, q->ascending ? ", " : " DESC, ", err));
    }
    return add(a, LAST, err);
}

/* A filter that the view has not, by name; NULL: all is well. */
static const char *lacking(const ph_view *v, const ph_store_query *q)
{
    const struct {
        const char *name;
        bool given;
        unsigned by;
    } all[] = {{"model", q->model, PH_BY_MODEL},
               {"place", q->place || q->block >= 0, PH_BY_PLACE},
               {"component", q->first >= 0 || q->last >= 0, PH_BY_PLACE},
               {"feature", q->feature, PH_BY_FEATURE},
               {"token", q->token, PH_BY_TOKEN},
               {"text", q->text, PH_BY_TEXT},
               {"contains", q->contains, PH_BY_CONTAINS},
               {"type", q->type, PH_BY_TYPE},
               {"run", q->run, PH_BY_RUN},
               {"method", q->method, PH_BY_METHOD}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].given && !(v->filters & all[i].by)) return all[i].name;
    return NULL;
}

static ph_status build(struct asking *a, ph_store *s, const ph_view *v, const ph_store_query *q,
                       ph_error *err)
{
    const char *name = lacking(v, q);

    if (name) return ph__fail(err, PH_EINVAL, -1, "view %s: cannot be asked by %s", v->name, name);
    if (q->model) PH_TRY(find_model(&a->model, s, q->model, err));
    PH_TRY(add(a, v->select, err));
    PH_TRY(conditions(a, v, s, q, err));
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

ph_status ph_store_select(ph_store *s, const ph_store_query *query, ph_store_row_fn row,
                          void *payload, ph_error *err)
{
    ph_status st;
    struct asking a = {.model = -1};
    sqlite3_stmt *q = NULL;
    const struct giving g = {s, row, payload, err};
    const ph_view *v = ph__view(query->view);

    if (!v) return ph__fail(err, PH_EINVAL, -1, "view %s: there is none", query->view);
    PH_GO(build(&a, s, v, query, err));
    PH_GO(ph__sql_prepare(&q, s, a.sql.data, err));
    bind_all(q, &a);
    st = v->lines ? give_lines(&g, q, !query->type && !query->sort) : give_rows(&g, q);
done:
    sqlite3_finalize(q);
    ph__free(a.token);
    ph__free(a.names);
    ph__str_close(&a.sql);
    return st;
}
