/* put.c — lines into the store.
 *
 * The line itself is what counts; every other column is made of it.
 */
#include "store/put.h"

#include "store/placed.h"

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
    INSERT,
    UPDATE
};

static const char *const statements[] = {
    [MODEL_PUT] = "INSERT INTO model (key, sha256, file, name, quant, family, blocks, width) "
                  "VALUES (?1, ?2, ?3, ?4, ?5, ?6, nullif(?7, 0), nullif(?8, 0)) "
                  "ON CONFLICT (key) DO UPDATE SET file = ?3, name = ?4, quant = ?5, "
                  "family = ?6, blocks = nullif(?7, 0), width = nullif(?8, 0)",
    [MODEL_ID] = "SELECT id FROM model WHERE key = ?1",
    [RUN_ID] = "SELECT id, model FROM run WHERE key = ?1",
    [RUN_OLD] = "SELECT id, at, line FROM run WHERE key = ?1",
    [RUN_PUT] = "INSERT INTO run (key, model, command, at, line) VALUES (?1, ?2, ?3, ?4, ?5) "
                "ON CONFLICT (key) DO UPDATE SET model = ?2, command = ?3, at = ?4, line = ?5",
    [FEATURE_PUT] = "INSERT INTO feature (model, text, place, block, component) "
                    "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
    [FEATURE_ID] = "SELECT id FROM feature WHERE model = ?1 AND text = ?2",
    [OLD] = "SELECT id, at, line FROM result "
            "WHERE run = ?1 AND type = ?2 AND ifnull(feature, 0) = ?3 AND key = ?4",
    [INSERT] = "INSERT INTO result (id, run, type, feature, key, at, method, sign, rank, "
               "round_trip, norm_ratio, text, activation, z, gap, line) "
               "VALUES (?1, ?2, ?3, nullif(?4, 0), ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, "
               "?15, ?16)",
    [UPDATE] = "UPDATE result SET at = ?6, method = ?7, sign = ?8, rank = ?9, round_trip = ?10, "
               "norm_ratio = ?11, text = ?12, activation = ?13, z = ?14, gap = ?15, line = ?16 "
               "WHERE id = ?1 AND run = ?2 AND type = ?3 AND ifnull(feature, 0) = ?4 AND key = ?5",
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

/* ---- what is there ---- */

struct old {
    int64_t id, at; /* id 0: nothing */
    bool same;      /* the very line */
    bool stays;     /* against the new one */
};

/* The row that a bound query (id, at, line) finds, against a line put at *at. */
static ph_status look(struct old *old, ph_store *s, sqlite3_stmt *q, const char *line, size_t bytes,
                      int64_t *at, ph_error *err)
{
    bool row = false;
    const ph_status st = ph__sql_step(&row, s, q, err);

    *old = (struct old){0};
    if (row) {
        const size_t n = (size_t)sqlite3_column_bytes(q, 2);
        const int order = memcmp(sqlite3_column_blob(q, 2), line, n < bytes ? n : bytes);
        const bool larger = order > 0 || (order == 0 && n >= bytes);
        old->id = sqlite3_column_int64(q, 0);
        old->at = sqlite3_column_int64(q, 1);
        old->same = order == 0 && n == bytes;
        if (*at == PH__NOW && old->at >= now()) *at = old->at + 1;
        old->stays = *at != PH__NOW && (*at < old->at || (*at == old->at && larger));
    }
    if (*at == PH__NOW) *at = now();
    sqlite3_reset(q);
    return st;
}

static ph_fate fate_of(const struct old *old)
{
    return !old->id ? PH_FATE_ADDED : old->same || old->stays ? PH_FATE_SAME : PH_FATE_CHANGED;
}

/* The first column of a bound query; 0: no row. */
static ph_status number_of(int64_t *out, int64_t *second, ph_store *s, sqlite3_stmt *q,
                           ph_error *err)
{
    bool row = false;
    const ph_status st = ph__sql_step(&row, s, q, err);
    *out = row ? sqlite3_column_int64(q, 0) : 0;
    if (second) *second = row ? sqlite3_column_int64(q, 1) : 0;
    sqlite3_reset(q);
    return st;
}

/* ---- a run line ---- */

static ph_said plain(const char *text)
{
    return (ph_said){text, strlen(text)};
}

static ph_status put_model(int64_t *id, ph_store *s, const ph_taken *t, ph_error *err)
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
    PH_TRY(ph__sql_done(s, q, err));
    PH_TRY(statement(&q, s, MODEL_ID, err));
    ph__sql_text(q, 1, plain(t->model));
    return number_of(id, NULL, s, q, err);
}

static ph_status put_run(ph_store *s, const ph_taken *t, ph_said line, int64_t at, ph_fate *fate,
                         ph_error *err)
{
    sqlite3_stmt *q;
    struct old old;
    int64_t model;

    PH_TRY(statement(&q, s, RUN_OLD, err));
    ph__sql_text(q, 1, t->run);
    PH_TRY(look(&old, s, q, line.data, line.n, &at, err));
    *fate = fate_of(&old);
    if (old.stays) return PH_OK;
    PH_TRY(put_model(&model, s, t, err));
    PH_TRY(statement(&q, s, RUN_PUT, err));
    ph__sql_text(q, 1, t->run);
    sqlite3_bind_int64(q, 2, model);
    ph__sql_text(q, 3, t->command.data ? t->command : plain(""));
    sqlite3_bind_int64(q, 4, at);
    ph__sql_text(q, 5, line);
    return ph__sql_done(s, q, err);
}

/* ---- a result ---- */

static ph_status put_feature(int64_t *id, ph_store *s, int64_t model, ph_said text, ph_error *err)
{
    sqlite3_stmt *q;
    const bool odd = strlen(text.data) != text.n; /* holds a 0 byte: no canonical form */
    const ph_placed at = ph__placed(odd ? "" : text.data);

    PH_TRY(statement(&q, s, FEATURE_PUT, err));
    sqlite3_bind_int64(q, 1, model);
    ph__sql_text(q, 2, text);
    ph__sql_text(q, 3, plain(at.place));
    sqlite3_bind_int64(q, 4, at.block);
    if (at.component < 0)
        sqlite3_bind_null(q, 5);
    else
        sqlite3_bind_int64(q, 5, at.component);
    PH_TRY(ph__sql_done(s, q, err));
    PH_TRY(statement(&q, s, FEATURE_ID, err));
    sqlite3_bind_int64(q, 1, model);
    ph__sql_text(q, 2, text);
    return number_of(id, NULL, s, q, err);
}

static ph_status write_result(ph_store *s, const ph_taken *t, ph_said line, int64_t id, int64_t run,
                              int64_t feature, int64_t at, ph_error *err)
{
    sqlite3_stmt *q;
    PH_TRY(statement(&q, s, id ? UPDATE : INSERT, err));
    if (id)
        sqlite3_bind_int64(q, 1, id);
    else
        sqlite3_bind_null(q, 1);
    sqlite3_bind_int64(q, 2, run);
    ph__sql_text(q, 3, t->type);
    sqlite3_bind_int64(q, 4, feature);
    ph__sql_text(q, 5, plain(t->key));
    sqlite3_bind_int64(q, 6, at);
    ph__sql_text(q, 7, t->method);
    sqlite3_bind_int64(q, 8, t->sign);
    sqlite3_bind_int64(q, 9, t->rank);
    sqlite3_bind_int64(q, 10, t->round_trip);
    ph__sql_real(q, 11, t->norm_ratio);
    ph__sql_text(q, 12, t->text);
    ph__sql_real(q, 13, t->activation);
    ph__sql_real(q, 14, t->z);
    ph__sql_real(q, 15, t->gap);
    ph__sql_text(q, 16, line);
    return ph__sql_done(s, q, err);
}

static ph_status put_result(ph_store *s, const ph_taken *t, ph_said line, int64_t at, ph_fate *fate,
                            ph_error *err)
{
    sqlite3_stmt *q;
    struct old old;
    int64_t run, model, feature = 0;

    PH_TRY(statement(&q, s, RUN_ID, err));
    ph__sql_text(q, 1, t->run);
    PH_TRY(number_of(&run, &model, s, q, err));
    if (!run)
        return ph__fail(err, PH_EINVAL, -1, "run %.32s is not in the store: its line comes first",
                        t->run.data);
    if (t->feature.data) PH_TRY(put_feature(&feature, s, model, t->feature, err));
    PH_TRY(statement(&q, s, OLD, err));
    sqlite3_bind_int64(q, 1, run);
    ph__sql_text(q, 2, t->type);
    sqlite3_bind_int64(q, 3, feature);
    ph__sql_text(q, 4, plain(t->key));
    PH_TRY(look(&old, s, q, line.data, line.n, &at, err));
    *fate = fate_of(&old);
    return old.stays ? PH_OK : write_result(s, t, line, old.id, run, feature, at, err);
}

ph_status ph__put(ph_store *s, const char *line, size_t bytes, int64_t at, ph_fate *fate,
                  ph_error *err)
{
    ph_taken t;
    ph_fate mine;
    const ph_said whole = {line, bytes};

    PH_TRY(ph__taken(&t, line, bytes, err));
    const ph_status st = ph__taken_is_run(&t)
                             ? put_run(s, &t, whole, at, fate ? fate : &mine, err)
                             : put_result(s, &t, whole, at, fate ? fate : &mine, err);
    ph__taken_close(&t);
    return st;
}

ph_status ph_store_put(ph_store *s, const char *line, size_t bytes, ph_error *err)
{
    if (s->begun) return ph__put(s, line, bytes, PH__NOW, NULL, err);
    PH_TRY(ph_store_begin(s, err));
    const ph_status st = ph__put(s, line, bytes, PH__NOW, NULL, err);
    if (st == PH_OK) return ph_store_commit(s, err);
    s->begun = false;
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}
