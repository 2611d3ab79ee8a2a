/* test_store_files.c — files of other versions, files that are no stores, and stores that are broken. */
#include "stores.h"
#include "store/schema.h"
#include "store/sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static void copy_file(const char *from, const char *to, size_t most)
{
    static char bytes[1 << 20];
    FILE *f = fopen(from, "rb");
    assert_non_null(f);
    const size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    f = fopen(to, "wb");
    fwrite(bytes, 1, n < most ? n : most, f);
    fclose(f);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* The file that version 1 wrote gives back the lines that were put into it. */
static void test_version_1(void **state)
{
    const char *path = in_folder("v1.sqlite");
    ph_store *old, *put_now = fresh("v1-again");
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    (void)state;
    FILE *f = fopen("tests/data/store_v1.jsonl", "r");
    assert_non_null(f);
    int lines = 0;
    for (; (n = getline(&line, &room, f)) > 0; lines++)
        assert_int_equal(ph_store_put(put_now, line, (size_t)n - 1, &err), PH_OK);
    assert_true(lines > 5);
    free(line);
    fclose(f);

    copy_file("tests/data/store_v1.sqlite", path, SIZE_MAX);
    ph_store *into = fresh("v1-merged"); /* merging it leaves the file as it is */
    assert_int_equal(ph_store_merge(into, path, NULL, &err), PH_OK);
    expect_same(into, put_now);
    ph_store_close(&into);
    old = must_open(path, PH_STORE_READ);
    expect_same(old, put_now);
    expect_sound(old);
    ph_store_close(&old);
    old = must_open(path, PH_STORE_WRITE);
    put(old, all[0]);
    ph_store_close(&old);
    ph_store_close(&put_now);
}

static void expect_no_store(const char *path, unsigned flags, ph_status code, const char *msg)
{
    ph_store *s = NULL;
    err = (ph_error){0};
    assert_int_equal(ph_store_open(&s, path, flags, &err), code);
    assert_null(s);
    if (!strstr(err.msg, msg)) fail_msg("\"%s\" lacks \"%s\"", err.msg, msg);
    assert_null(strchr(err.msg, '\n'));
}

static void sql(const char *path, const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL)) fail_msg("%s: %s", text, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void test_no_stores(void **state)
{
    const char *path = in_folder("strange");
    (void)state;
    expect_no_store(in_folder("missing"), PH_STORE_READ, PH_EIO, "there is no store yet");
    expect_no_store(in_folder("missing"), PH_STORE_WRITE, PH_EIO, "there is no store yet");
    expect_no_store(in_folder("no/folder"), PH_STORE_CREATE, PH_EIO, "No such file");
    expect_no_store(in_folder("."), PH_STORE_CREATE, PH_EIO, "is not a file");
    expect_no_store(path, 77, PH_EINVAL, "flags 77");
    write_file(path, "");
    expect_no_store(path, PH_STORE_READ, PH_EIO, "there is no store yet");
    write_file(path,
               "GGUF and much more text than a header of SQLite has, so that it reads it: it is "
               "no database, whatever its name says. Not at all, by no means, not ever.");
    expect_no_store(path, PH_STORE_READ, PH_EFORMAT, "is no store");
    expect_no_store(path, PH_STORE_CREATE, PH_EFORMAT, "is no store");
    unlink(path);
    sql(path, "CREATE TABLE recipes (soup TEXT)");
    expect_no_store(path, PH_STORE_CREATE, PH_EFORMAT, "no store of phosphene");
    unlink(path);
    ph_store *s = fresh("strange");
    ph_store_close(&s);
    sql(path, "PRAGMA user_version = 99");
    expect_no_store(path, PH_STORE_READ, PH_EFORMAT, "of version 99");
    sql(path, "PRAGMA user_version = 0");
    expect_no_store(path, PH_STORE_READ, PH_EFORMAT, "no store of phosphene");
}

/* A store with other tables than ours, or with programs in it, gives one line. */
static void test_hostile(void **state)
{
    const char *path = in_folder("hostile");
    ph_store *s = filled("hostile");
    int faults = 0;
    (void)state;
    ph_store_close(&s);
    sql(path, "CREATE TRIGGER bomb AFTER INSERT ON result BEGIN DELETE FROM run; END");
    s = must_open(path, PH_STORE_CREATE);
    put(s, DREAM("r1", "block 1 [:, :, 3]", "0", "new", "1", TRIP)); /* no trigger runs */
    expect_sound(s);
    ph_store_close(&s);
    sql(path, "DROP TABLE listed; CREATE VIEW listed AS SELECT * FROM run");
    s = must_open(path, PH_STORE_CREATE);
    ph_store_query q = PH_STORE_QUERY_INIT;
    struct rows r = {0};
    q.view = "tokens";
    assert_int_equal(ph_store_select(s, &q, take_row, &r, &err), PH_EFORMAT);
    assert_non_null(strstr(err.msg, "a damaged store"));
    assert_int_equal(ph_store_put(s, all[8], strlen(all[8]), &err), PH_EFORMAT);
    assert_int_equal(ph_store_check(s, count_fault, &faults, &err), PH_OK);
    assert_true(faults > 0);
    ph_store_close(&s);
}

/* Each column that is made of the lines, altered by hand, is told. */
static void test_check(void **state)
{
    static const char *const harm[] = {
        "UPDATE result SET activation = 4 WHERE text = 'sum'",
        "UPDATE result SET z = NULL WHERE text = 'sum'",
        "UPDATE result SET class = 0 WHERE text = 'sum'",
        "UPDATE feature SET best = NULL WHERE component = 1",
        "UPDATE feature SET results = 7 WHERE component = 1",
        "UPDATE feature SET block = 3 WHERE component = 1",
        "UPDATE run SET plain = 0 WHERE key = 'r1'",
        "UPDATE run SET command = 'scan' WHERE key = 'r1'",
        "UPDATE model SET name = 'other'",
        "DELETE FROM listed WHERE low = 1",
        "INSERT INTO listed VALUES (1, 555, 1, 0, 5, 1.0)",
        "DELETE FROM token WHERE id = 7",
        "DELETE FROM body WHERE result = 2",
        "UPDATE body SET line = substr(line, 1, 40) WHERE result = 3",
        "UPDATE body SET line = replace(line, 'auto', 'epo') WHERE result = 3",
        "UPDATE body SET line = '' WHERE result = 3",
        "UPDATE result SET key = '[\"+\",9]' WHERE text = 'sum'",
        "UPDATE result SET feature = NULL WHERE text = 'sum'",
        "UPDATE result SET run = 99 WHERE text = 'sum'",
        "DROP INDEX result_key; DELETE FROM feature WHERE id = 1"};
    (void)state;
    for (size_t i = 0; i < sizeof harm / sizeof *harm; i++) {
        ph_store *s = filled("check");
        int faults = 0;
        ph_store_close(&s);
        s = must_open(in_folder("check"), PH_STORE_READ);
        expect_sound(s);
        ph_store_close(&s);
        sql(in_folder("check"), harm[i]);
        s = must_open(in_folder("check"), PH_STORE_READ);
        assert_int_equal(ph_store_check(s, count_fault, &faults, &err), PH_OK);
        if (!faults) fail_msg("not noticed: %s", harm[i]);
        ph_store_close(&s);
    }
}

static int ignore_row(const char *row, size_t bytes, void *payload)
{
    (void)payload;
    return memchr(row, 0, bytes) != NULL;
}

static int ignore_fault(const char *fault, void *payload)
{
    (void)payload;
    return strchr(fault, '\n') != NULL;
}

/* Whatever is done to a damaged store ends, and says why in one line. */
static void use_damaged(const char *path)
{
    static const char *const views[] = {"models", "runs",   "lines",     "features", "results",
                                        "map",    "tokens", "same_text", "blocks"};
    ph_store *s = NULL;
    ph_store_query q = PH_STORE_QUERY_INIT;
    if (ph_store_open(&s, path, PH_STORE_WRITE, &err) != PH_OK) return;
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        q.view = views[i];
        (void)ph_store_select(s, &q, ignore_row, NULL, &err);
        assert_null(strchr(err.msg, '\n'));
    }
    (void)ph_store_put(s, all[1], strlen(all[1]), &err);
    (void)ph_store_put(s, all[14], strlen(all[14]), &err);
    (void)ph_store_check(s, ignore_fault, NULL, &err);
    ph_store_close(&s);
}

static void test_damaged(void **state)
{
    const char *good = in_folder("good"), *bad = in_folder("bad");
    struct stat info;
    char log[160];
    (void)state;
    ph_store *s = filled("good");
    ph_store_close(&s);
    assert_int_equal(stat(good, &info), 0);
    snprintf(log, sizeof log, "%s-wal", bad);
    srand(5);
    for (int i = 0; i < 150; i++) {
        unlink(log);
        copy_file(good, bad, i % 3 ? SIZE_MAX : (size_t)(rand() % info.st_size));
        FILE *f = fopen(bad, "r+b");
        for (int k = 0; k < 1 + i % 40; k++) {
            fseek(f, i % 2 ? rand() % 4096 : rand() % info.st_size, SEEK_SET);
            fputc(rand() & 255, f);
        }
        fclose(f);
        use_damaged(bad);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_version_1),
                                       cmocka_unit_test(test_no_stores),
                                       cmocka_unit_test(test_hostile), cmocka_unit_test(test_check),
                                       cmocka_unit_test(test_damaged)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
