/* put.c — lines into the store.
 *
 * The lines are what counts; every other column is made of them, here.
 */
#include "store/put.h"

#include "store/placed.h"
#include "store/store.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum {
    MODEL_PUT,
    MODEL_ID,
    RUN_ID,
    RUN_OLD,
    RUN_PUT,
    FEATURE_PUT,
    FEATURE_ID,
    OLD,
    PUT,
    BODY,
    BEST,
    SCAN,
    SCAN_LINE,
    UNLIST,
    TOKEN,
    LIST,
    STATEMENTS
};
_Static_assert((int)STATEMENTS <= (int)PH__STORE_STATEMENTS, "room for prepared statements");

static const char *const statements[STATEMENTS] = {
    [MODEL_PUT] = "INSERT INTO model (key, sha256, file, name, quant, family, blocks, width, at) "
                  "VALUES (?1, ?2, ?3, ?4, ?5, ?6, nullif(?7, 0), nullif(?8, 0), ?9) "
                  "ON CONFLICT (key) DO UPDATE SET file = ?3, name = ?4, quant = ?5, "
                  "family = ?6, blocks = nullif(?7, 0), width = nullif(?8, 0), at = ?9 "
                  "WHERE (?9, ?3) >= (at, ifnull(file, ''))",
    [MODEL_ID] = "SELECT id FROM model WHERE key = ?1",
    [RUN_ID] = "SELECT id, model FROM run WHERE key = ?1",
    [RUN_OLD] = "SELECT id, at, line FROM run WHERE key = ?1",
    [RUN_PUT] = "INSERT INTO run (key, model, command, plain, at, line) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
                "ON CONFLICT (key) DO UPDATE SET model = ?2, command = ?3, plain = ?4, at = ?5, "
                "line = ?6",
    [FEATURE_PUT] = "INSERT INTO feature (model, text, place, block, component, whole) "
                    "VALUES (?1, ?2, ?3, ?4, nullif(?5, -1), ?6) ON CONFLICT DO NOTHING",
    [FEATURE_ID] = "SELECT id, scan FROM feature WHERE model = ?1 AND text = ?2",
    [OLD] = "SELECT r.id, r.at, b.line FROM result r JOIN body b ON b.result = r.id "
            "WHERE r.run = ?1 AND r.type = ?2 AND ifnull(r.feature, 0) = ?3 AND r.key = ?4",
    [PUT] = "INSERT INTO result (id, run, type, feature, key, at, method, sign, rank, class, text, "
            "activation, z, gap, mean, sd, n) "
            "VALUES (nullif(?1, 0), ?2, ?3, nullif(?4, 0), ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, "
            "?13, ?14, ?15, ?16, ?17) "
            "ON CONFLICT (id) DO UPDATE SET at = ?6, method = ?7, sign = ?8, rank = ?9, "
            "class = ?10, text = ?11, activation = ?12, z = ?13, gap = ?14, mean = ?15, sd = ?16, "
            "n = ?17 RETURNING id",
    [BODY] = "INSERT INTO body (result, line) VALUES (?1, ?2) "
             "ON CONFLICT (result) DO UPDATE SET line = ?2",
    [BEST] =
        "UPDATE feature SET results = "
        "(SELECT count(*) FROM result r WHERE r.feature = ?1 AND r.type = 'dream'), best = "
        "(SELECT r.id FROM result r JOIN run u ON u.id = r.run "
        "WHERE r.feature = ?1 AND r.type = 'dream' ORDER BY r.sign DESC, u.plain DESC, r.class "
        "DESC, r.sign * r.activation DESC, u.key, r.rank LIMIT 1) WHERE id = ?1",
    [SCAN] = "UPDATE feature SET scan = "
             "(SELECT r.id FROM result r JOIN run u ON u.id = r.run "
             "WHERE r.feature = ?1 AND r.type = 'scan' ORDER BY u.plain DESC, r.n DESC, u.key "
             "LIMIT 1) WHERE id = ?1 RETURNING scan",
    [SCAN_LINE] = "SELECT line FROM body WHERE result = ?1",
    [UNLIST] = "DELETE FROM listed WHERE feature = ?1",
    [TOKEN] = "INSERT INTO token (model, id, text) VALUES (?1, ?2, ?3) "
              "ON CONFLICT (model, id) DO UPDATE SET text = ?3 WHERE ?3 > text",
    [LIST] = "INSERT INTO listed (model, token, feature, low, rank, activation) "
             "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
};

static ph_status statement(sqlite3_stmt **out, ph_store *s, int which, ph_error *err)
{
    if (!s->kept[which]) PH_TRY(ph__sql_prepare(&s->kept[which], s, statements[which], err));
    *out = s->kept[which];
    return PH_OK;
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static ph_said plain(const char *text)
{
    return (ph_said){text, strlen(text)};
}

/* The first two columns of a bound query; 0: no row. */
static ph_status numbers(int64_t *first, int64_t *second, ph_store *s, sqlite3_stmt *q,
                         ph_error *err)
{
    bool row = false;
    const ph_status st = ph__sql_step(&row, s, q, err);
    *first = row ? sqlite3_column_int64(q, 0) : 0;
    if (second) *second = row ? sqlite3_column_int64(q, 1) : 0;
    sqlite3_reset(q);
    return st;
}

/* ---- what is there ---- */

struct old {
    int64_t id; /* 0: nothing */
    bool same;  /* the very line */
    bool stays; /* against the new one */
};

/* The row that a bound query (id, at, line) finds, against a line put at *at. */
static ph_status look(struct old *old, ph_store *s, sqlite3_stmt *q, ph_said line, int64_t *at,
                      ph_error *err)
{
    bool row = false;
    const ph_status st = ph__sql_step(&row, s, q, err);

    *old = (struct old){0};
    if (row) {
        const void *there = sqlite3_column_blob(q, 2);
        const size_t n = (size_t)sqlite3_column_bytes(q, 2);
        const int order = n ? memcmp(there, line.data, n < line.n ? n : line.n) : 0;
        const int64_t then = sqlite3_column_int64(q, 1);
        old->id = sqlite3_column_int64(q, 0);
        old->same = order == 0 && n == line.n;
        if (*at == PH__NOW && then >= now()) *at = then + 1;
        old->stays = *at != PH__NOW &&
                     (*at < then || (*at == then && (order > 0 || (order == 0 && n >= line.n))));
    }
    if (*at == PH__NOW) *at = now();
    sqlite3_reset(q);
    return st;
}

static ph_fate fate_of(const struct old *old)
{
    return !old->id ? PH_FATE_ADDED : old->same || old->stays ? PH_FATE_SAME : PH_FATE_CHANGED;
}

/* ---- a run line ---- */

static ph_status put_model(int64_t *id, ph_store *s, const ph_taken *t, int64_t at, ph_error *err)
{
    sqlite3_stmt *q;
    PH_TRY(statement(&q, s, MODEL_PUT, err));
    ph__sql_text(q, 1, plain(t->model));
    ph__sql_text(q, 2, t->sha256);
    ph__sql_text(q, 3, t->file);
    ph__sql_text(q, 4, t->name);
    ph__sql_text(q, 5, t->quant);
    ph__sql_text(q, 6, t->family);
    sqlite3_bind_int64(q, 7, t->blocks);
    sqlite3_bind_int64(q, 8, t->width);
    sqlite3_bind_int64(q, 9, at);
    PH_TRY(ph__sql_done(s, q, err));
    PH_TRY(statement(&q, s, MODEL_ID, err));
    ph__sql_text(q, 1, plain(t->model));
    return numbers(id, NULL, s, q, err);
}

static ph_status put_run(ph_store *s, const ph_taken *t, ph_said line, int64_t at, ph_fate *fate,
                         ph_error *err)
{
    sqlite3_stmt *q;
    struct old old;
    int64_t model;

    PH_TRY(statement(&q, s, RUN_OLD, err));
    ph__sql_text(q, 1, t->run);
    PH_TRY(look(&old, s, q, line, &at, err));
    *fate = fate_of(&old);
    if (old.stays) return PH_OK;
    PH_TRY(put_model(&model, s, t, at, err));
    PH_TRY(statement(&q, s, RUN_PUT, err));
    ph__sql_text(q, 1, t->run);
    sqlite3_bind_int64(q, 2, model);
    ph__sql_text(q, 3, t->command.data ? t->command : plain(""));
    sqlite3_bind_int64(q, 4, t->plain);
    sqlite3_bind_int64(q, 5, at);
    ph__sql_text(q, 6, line);
    return ph__sql_done(s, q, err);
}

/* ---- what features say of their results ---- */

/* The tokens of one list of a scan. */
static ph_status put_list(ph_store *s, int64_t model, int64_t feature, const json_t *list, int low,
                          ph_error *err)
{
    sqlite3_stmt *q;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i), *id = json_object_get(entry, "id");
        const json_t *text = json_object_get(entry, "token");
        const json_t *value = json_object_get(entry, "activation");
        if (!json_is_integer(id)) continue;
        PH_TRY(statement(&q, s, LIST, err));
        sqlite3_bind_int64(q, 1, model);
        sqlite3_bind_int64(q, 2, json_integer_value(id));
        sqlite3_bind_int64(q, 3, feature);
        sqlite3_bind_int64(q, 4, low);
        sqlite3_bind_int64(q, 5, (int64_t)i);
        ph__sql_real(q, 6, json_is_number(value) ? json_number_value(value) : (double)NAN);
        PH_TRY(ph__sql_done(s, q, err));
        PH_TRY(statement(&q, s, TOKEN, err));
        sqlite3_bind_int64(q, 1, model);
        sqlite3_bind_int64(q, 2, json_integer_value(id));
        ph__sql_text(q, 3,
                     json_is_string(text)
                         ? (ph_said){json_string_value(text), json_string_length(text)}
                         : plain(""));
        PH_TRY(ph__sql_done(s, q, err));
    }
    return PH_OK;
}

static ph_status put_lists(ph_store *s, int64_t model, int64_t feature, const ph_taken *t,
                           ph_error *err)
{
    sqlite3_stmt *q;
    PH_TRY(statement(&q, s, UNLIST, err));
    sqlite3_bind_int64(q, 1, feature);
    PH_TRY(ph__sql_done(s, q, err));
    PH_TRY(put_list(s, model, feature, t->top, 0, err));
    return put_list(s, model, feature, t->bottom, 1, err);
}

/* The lists of another scan than the one that is being put. */
static ph_status put_lists_of(ph_store *s, int64_t model, int64_t feature, int64_t scan,
                              ph_error *err)
{
    sqlite3_stmt *q;
    bool row = false;
    ph_taken t = {0};
    ph_status st;

    PH_TRY(statement(&q, s, SCAN_LINE, err));
    sqlite3_bind_int64(q, 1, scan);
    PH_GO(ph__sql_step(&row, s, q, err));
    if (!row) goto done;
    PH_GO(ph__taken(&t, (const char *)sqlite3_column_text(q, 0), (size_t)sqlite3_column_bytes(q, 0),
                    err));
    st = put_lists(s, model, feature, &t, err);
done:
    ph__taken_close(&t);
    sqlite3_reset(q);
    return st;
}

/* Choose a feature's scan anew; `id` is the one that was put, before was chosen before. */
static ph_status choose_scan(ph_store *s, const ph_taken *t, int64_t model, int64_t feature,
                             int64_t before, int64_t id, ph_error *err)
{
    sqlite3_stmt *q;
    int64_t scan;
    PH_TRY(statement(&q, s, SCAN, err));
    sqlite3_bind_int64(q, 1, feature);
    PH_TRY(numbers(&scan, NULL, s, q, err));
    if (scan == id) return put_lists(s, model, feature, t, err);
    return scan == before ? PH_OK : put_lists_of(s, model, feature, scan, err);
}

static ph_status choose_best(ph_store *s, int64_t feature, ph_error *err)
{
    sqlite3_stmt *q;
    PH_TRY(statement(&q, s, BEST, err));
    sqlite3_bind_int64(q, 1, feature);
    return ph__sql_done(s, q, err);
}

/* ---- a result ---- */

/* Where a line belongs; 0: it is of no feature. */
struct owner {
    int64_t run, model, feature;
    int64_t scan; /* that the feature has now */
};

static ph_status put_feature(struct owner *o, ph_store *s, ph_said text, ph_error *err)
{
    sqlite3_stmt *q;
    const bool odd = strlen(text.data) != text.n; /* holds a 0 byte: no canonical form */
    const ph_placed at = ph__placed(odd ? "" : text.data);

    PH_TRY(statement(&q, s, FEATURE_PUT, err));
    sqlite3_bind_int64(q, 1, o->model);
    ph__sql_text(q, 2, text);
    ph__sql_text(q, 3, plain(at.place));
    sqlite3_bind_int64(q, 4, at.block);
    sqlite3_bind_int64(q, 5, at.component);
    sqlite3_bind_int64(q, 6, at.whole);
    PH_TRY(ph__sql_done(s, q, err));
    PH_TRY(statement(&q, s, FEATURE_ID, err));
    sqlite3_bind_int64(q, 1, o->model);
    ph__sql_text(q, 2, text);
    return numbers(&o->feature, &o->scan, s, q, err);
}

static ph_status find_owner(struct owner *o, ph_store *s, const ph_taken *t, ph_error *err)
{
    sqlite3_stmt *q;
    *o = (struct owner){0};
    PH_TRY(statement(&q, s, RUN_ID, err));
    ph__sql_text(q, 1, t->run);
    PH_TRY(numbers(&o->run, &o->model, s, q, err));
    if (!o->run)
        return ph__fail(err, PH_EINVAL, -1, "run %.32s is not in the store: its line comes first",
                        t->run.data);
    return t->feature.data ? put_feature(o, s, t->feature, err) : PH_OK;
}

/* *id: 0 for a new row. */
static ph_status write_result(int64_t *id, ph_store *s, const ph_taken *t, ph_said line,
                              const struct owner *o, int64_t at, ph_error *err)
{
    sqlite3_stmt *q;
    PH_TRY(statement(&q, s, PUT, err));
    sqlite3_bind_int64(q, 1, *id);
    sqlite3_bind_int64(q, 2, o->run);
    ph__sql_text(q, 3, t->type);
    sqlite3_bind_int64(q, 4, o->feature);
    ph__sql_text(q, 5, plain(t->key));
    sqlite3_bind_int64(q, 6, at);
    ph__sql_text(q, 7, t->method);
    sqlite3_bind_int64(q, 8, t->sign);
    sqlite3_bind_int64(q, 9, t->rank);
    sqlite3_bind_int64(q, 10, t->cls);
    ph__sql_text(q, 11, t->text);
    ph__sql_real(q, 12, t->activation);
    ph__sql_real(q, 13, t->z);
    ph__sql_real(q, 14, t->gap);
    ph__sql_real(q, 15, t->mean);
    ph__sql_real(q, 16, t->sd);
    sqlite3_bind_int64(q, 17, (int64_t)json_array_size(t->top));
    PH_TRY(numbers(id, NULL, s, q, err));
    PH_TRY(statement(&q, s, BODY, err));
    sqlite3_bind_int64(q, 1, *id);
    ph__sql_text(q, 2, line);
    return ph__sql_done(s, q, err);
}

static ph_status put_result(ph_store *s, const ph_taken *t, ph_said line, int64_t at, ph_fate *fate,
                            ph_error *err)
{
    sqlite3_stmt *q;
    struct old old;
    struct owner o;

    PH_TRY(find_owner(&o, s, t, err));
    PH_TRY(statement(&q, s, OLD, err));
    sqlite3_bind_int64(q, 1, o.run);
    ph__sql_text(q, 2, t->type);
    sqlite3_bind_int64(q, 3, o.feature);
    ph__sql_text(q, 4, plain(t->key));
    PH_TRY(look(&old, s, q, line, &at, err));
    *fate = fate_of(&old);
    if (old.stays) return PH_OK;
    PH_TRY(write_result(&old.id, s, t, line, &o, at, err));
    if (!o.feature) return PH_OK;
    if (t->top) return choose_scan(s, t, o.model, o.feature, o.scan, old.id, err);
    return strcmp(t->type.data, "dream") == 0 ? choose_best(s, o.feature, err) : PH_OK;
}

/* ---- */

ph_status ph__put(ph_store *s, const char *line, size_t bytes, int64_t at, ph_fate *fate, bool *run,
                  ph_error *err)
{
    ph_taken t;
    ph_fate mine;
    const ph_said whole = {line, bytes};
    ph_status st;

    if (!fate) fate = &mine;
    PH_TRY(ph__taken(&t, line, bytes, err));
    if (run) *run = ph__taken_is_run(&t);
    PH_GO(ph__sql_run(s, "SAVEPOINT line", err));
    st = ph__taken_is_run(&t) ? put_run(s, &t, whole, at, fate, err)
                              : put_result(s, &t, whole, at, fate, err);
    if (st == PH_OK) st = ph__sql_run(s, "RELEASE line", err);
    if (st != PH_OK) sqlite3_exec(s->db, "ROLLBACK TO line; RELEASE line", NULL, NULL, NULL);
done:
    ph__taken_close(&t);
    return st;
}

ph_status ph_store_put(ph_store *s, const char *line, size_t bytes, ph_error *err)
{
    if (s->begun) return ph__put(s, line, bytes, PH__NOW, NULL, NULL, err);
    PH_TRY(ph_store_begin(s, err));
    const ph_status st = ph__put(s, line, bytes, PH__NOW, NULL, NULL, err);
    if (st == PH_OK) return ph_store_commit(s, err);
    ph__store_abandon(s);
    return st;
}
