/* test_store.c — the store: what is put comes back, whatever the order, and nothing else breaks it.
 *
 * Expected figures are worked out by hand from the lines below; a store is compared with another by
 * the lines it gives back.
 */
#include "store/named.h"
#include "store/placed.h"
#include "store/schema.h"
#include "store/sql.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/phosphene-store-XXXXXX";
static ph_error err;

static const char *in_folder(const char *name)
{
    static char paths[8][128];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static ph_store *must_open(const char *path, unsigned flags)
{
    ph_store *s = NULL;
    if (ph_store_open(&s, path, flags, &err) != PH_OK) fail_msg("%s", err.msg);
    return s;
}

static ph_store *fresh(const char *name)
{
    const char *path = in_folder(name);
    unlink(path);
    return must_open(path, PH_STORE_CREATE);
}

static void put(ph_store *s, const char *line)
{
    if (ph_store_put(s, line, strlen(line), &err) != PH_OK) fail_msg("%s: %s", line, err.msg);
}

static void expect_failure(ph_store *s, const char *line, size_t n, ph_status code, const char *msg)
{
    err = (ph_error){0};
    assert_int_equal(ph_store_put(s, line, n, &err), code);
    assert_int_equal(err.code, code);
    if (!strstr(err.msg, msg)) fail_msg("\"%s\" lacks \"%s\"", err.msg, msg);
}

/* All rows of a view, one a line. */
struct rows {
    char *text;
    size_t size;
    FILE *f;
    int n;
};

static int take(const char *row, size_t bytes, void *payload)
{
    struct rows *r = payload;
    assert_int_equal(strlen(row), bytes);
    fprintf(r->f, "%s\n", row);
    r->n++;
    return 0;
}

static char *ask(ph_store *s, const ph_store_query *q, int *n)
{
    struct rows r = {0};
    r.f = open_memstream(&r.text, &r.size);
    if (ph_store_select(s, q, take, &r, &err) != PH_OK) fail_msg("%s: %s", q->view, err.msg);
    fclose(r.f);
    if (n) *n = r.n;
    return r.text;
}

static char *view(ph_store *s, const char *name)
{
    ph_store_query q = PH_STORE_QUERY_INIT;
    q.view = name;
    return ask(s, &q, NULL);
}

static int rows_of(ph_store *s, const ph_store_query *q)
{
    int n;
    free(ask(s, q, &n));
    return n;
}

static int count_fault(const char *fault, void *payload)
{
    if (!payload) fail_msg("%s", fault);
    ++*(int *)payload;
    return 0;
}

static void expect_sound(ph_store *s)
{
    assert_int_equal(ph_store_check(s, count_fault, NULL, &err), PH_OK);
}

static void expect_same(ph_store *a, ph_store *b)
{
    static const char *const views[] = {"models", "runs",   "lines",     "features", "results",
                                        "map",    "tokens", "same_text", "blocks"};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        char *x = view(a, views[i]), *y = view(b, views[i]);
        assert_string_equal(x, y);
        assert_true(i > 2 || *x);
        free(x);
        free(y);
    }
}

/* ---- lines ---- */

#define SHA_A "aa00000000000000000000000000000000000000000000000000000000000000"
#define SHA_B "ab00000000000000000000000000000000000000000000000000000000000000"
#define MODEL(sha, more)                                                                           \
    "\"model\":{\"file\":\"dir/m-" more ".gguf\",\"sha256\":\"" sha "\",\"name\":\"M " more        \
    "\",\"quant\":\"F16\",\"blocks\":2,\"width\":4}"
#define RUN(id, sha, name, settings)                                                               \
    "{\"type\":\"run\",\"id\":\"" id                                                               \
    "\"," MODEL(sha, name) ",\"command\":\"dream\",\"settings\":" settings "}"
#define PLAIN "{\"bos\":\"auto\",\"prefix\":null,\"suffix\":null}"
#define DREAM(run, feature, rank, text, activation, more)                                          \
    "{\"type\":\"dream\",\"run\":\"" run "\",\"feature\":\"" feature                               \
    "\",\"method\":\"auto\",\"sign\":\"+\",\"rank\":" rank ",\"text\":\"" text                     \
    "\",\"activation\":{\"text\":" activation ",\"ids\":1,\"soft\":null},\"z\":2.5,"               \
    "\"best_token\":{\"id\":3,\"token\":\"x\",\"activation\":4}" more "}"
#define TRIP ",\"round_trip\":true,\"norm_ratio\":1.0"
#define SCAN(run, feature, tops)                                                                   \
    "{\"type\":\"scan\",\"run\":\"" run "\",\"feature\":\"" feature "\",\"top\":[" tops            \
    "],\"bottom\":[{\"id\":9,\"token\":\" Paris\",\"activation\":-3}],\"mean\":1,\"sd\":2,"        \
    "\"n\":300}"
#define TOP_ONE "{\"id\":7,\"token\":\"Paris\",\"activation\":5}"
#define TOP_TWO TOP_ONE ",{\"id\":8,\"token\":\"a\\\"%_\",\"activation\":4}"

static const char *const all[] = {
    RUN("r1", SHA_A, "a", PLAIN),
    DREAM("r1", "block 1 [:, :, 0]", "0", "the best", "6.5", TRIP),
    DREAM("r1", "block 1 [:, :, 0]", "1", "100%_\\\"sure\\\"", "6", TRIP),
    DREAM("r1", "block 1 [:, :, 1]", "0", "outlier", "90", ",\"round_trip\":true,\"norm_ratio\":9"),
    DREAM("r1", "block 1 [:, :, 1]", "1", "ordinary", "7", TRIP),
    DREAM("r1", "block 1 [:, :, 1]", "2", "no trip", "80", ",\"round_trip\":false"),
    DREAM("r1", "block 2 mlp [:, -1, 3]", "0", "the best", "1.25", TRIP),
    DREAM("r1", "0.5*block 1 [:, :, 0] - embed [:, :, 2]", "0", "sum", "3", TRIP),
    SCAN("r1", "block 1 [:, :, 0]", TOP_TWO),
    "{\"type\":\"recover\",\"run\":\"r1\",\"feature\":\"block 1 [:, :, 0]\",\"target_ids\":[1,2],"
    "\"ids\":[1],\"text\":\"r\",\"matched\":1,\"of\":2}",
    "{\"type\":\"recover\",\"run\":\"r1\",\"feature\":\"block 1 [:, :, 0]\",\"target_ids\":[1,3],"
    "\"ids\":[1],\"text\":\"r\",\"matched\":1,\"of\":2}",
    "{\"type\":\"novel\",\"run\":\"r1\",\"anything\":[1,{\"deep\":null}]}",
    RUN("r2", SHA_A, "a", "{\"bos\":\"auto\",\"prefix\":\"After\",\"suffix\":null}"),
    DREAM("r2", "block 1 [:, :, 0]", "0", "in context", "60", TRIP),
    SCAN("r2", "block 1 [:, :, 0]", TOP_TWO ",{\"id\":1,\"token\":\"b\",\"activation\":1}"),
    RUN("r3", SHA_B, "b", PLAIN),
    DREAM("r3", "block 1 [:, :, 0]", "0", "the best", "5", TRIP),
    "{\"type\":\"run\",\"id\":\"r4\",\"model\":{\"file\":\"dir/m-b.gguf\",\"sha256\":\"" SHA_B
    "\",\"name\":\"M b\",\"untrained\":true,\"init_seed\":5,\"blocks\":2,\"width\":4},"
    "\"command\":\"scan\"}",
    SCAN("r4", "block 2 [:, :, 1]", TOP_ONE)};
enum { ALL = sizeof all / sizeof *all };

static ph_store *filled(const char *name)
{
    ph_store *s = fresh(name);
    for (int i = 0; i < ALL; i++) put(s, all[i]);
    return s;
}

/* ---- putting ---- */

/* Every line comes back, as it was, once. */
static void test_lines(void **state)
{
    ph_store *s = filled("lines");
    (void)state;
    for (int again = 0; again < 2; again++) {
        char *lines = view(s, "lines");
        int n = 0;
        for (const char *p = lines; (p = strchr(p, '\n')); p++) n++;
        assert_int_equal(n, ALL);
        for (int i = 0; i < ALL; i++) {
            char *at = strstr(lines, all[i]);
            assert_non_null(at);
            assert_true((at == lines || at[-1] == '\n') && at[strlen(all[i])] == '\n');
        }
        assert_true(strstr(lines, all[0]) == lines); /* a run's line before its others */
        free(lines);
        for (int i = 0; i < ALL; i++) put(s, all[i]);
    }
    expect_sound(s);
    ph_store_close(&s);
}

/* A line of the same key takes the place of the one before, in every view. */
static void test_replaced(void **state)
{
    ph_store *s = filled("replaced");
    ph_store_query q = PH_STORE_QUERY_INIT;
    (void)state;
    put(s, DREAM("r1", "block 1 [:, :, 0]", "0", "worse", "5.5", TRIP));
    put(s, SCAN("r1", "block 1 [:, :, 0]", TOP_ONE));
    q.view = "lines";
    q.type = "dream";
    q.contains = "worse";
    assert_int_equal(rows_of(s, &q), 1);
    q.contains = "the best";
    assert_int_equal(rows_of(s, &q), 2);
    char *features = view(s, "features"); /* now the second text is better */
    assert_non_null(strstr(features, "100%_"));
    assert_non_null(strstr(features, "\"gap\":2.0"));
    free(features);
    q = (ph_store_query)PH_STORE_QUERY_INIT;
    q.view = "tokens";
    q.token = "8";
    assert_int_equal(rows_of(s, &q), 0);
    expect_sound(s);
    ph_store_close(&s);
}

static void test_refused(void **state)
{
    ph_store *s = filled("refused");
    static const char nul[] = "{\"type\":\"dream\",\"run\":\"r1\"}\0";
    (void)state;
    expect_failure(s, "{\"type\":", 8, PH_EFORMAT, "not JSON");
    assert_int_equal(err.pos, 8);
    expect_failure(s, "[1]", 3, PH_EFORMAT, "\"type\" is missing");
    expect_failure(s, "3", 1, PH_EFORMAT, "not JSON");
    expect_failure(s, "", 0, PH_EFORMAT, "not JSON");
    expect_failure(s, "{\"type\":3}", 10, PH_EFORMAT, "\"type\" is missing");
    expect_failure(s, "{\"type\":\"dream\"}", 16, PH_EFORMAT, "without \"run\"");
    expect_failure(s, "{\"type\":\"x\",\"run\":\"nowhere\"}", 28, PH_EINVAL, "run nowhere is not");
    expect_failure(s, "{\"type\":\"run\"}", 14, PH_EFORMAT, "without \"id\"");
    expect_failure(s, "{\"type\":\"run\",\"id\":\"q\"}", 23, PH_EFORMAT, "sha256");
    expect_failure(s, "{\"type\":\"x\",\"type\":\"y\"}", 23, PH_EFORMAT, "not JSON");
    expect_failure(s, "{\"type\":\"x\xff\"}", 13, PH_EFORMAT, "not JSON");
    expect_failure(s, nul, sizeof nul - 1, PH_EFORMAT, "not JSON");
    expect_sound(s);
    ph_store_close(&s);
    s = must_open(in_folder("refused"), PH_STORE_READ);
    expect_failure(s, all[0], strlen(all[0]), PH_EINVAL, "reading only");
    ph_store_close(&s);
}

/* Texts may hold anything that JSON can say. */
static void test_odd_texts(void **state)
{
    ph_store *s = fresh("odd");
    ph_store_query q = PH_STORE_QUERY_INIT;
    static const char *const texts[] = {"%",
                                        "_",
                                        "a%b_c",
                                        "'",
                                        "\\\"",
                                        "\\\\",
                                        "\\u0000after",
                                        "\\ud83d\\ude00",
                                        "<script>",
                                        "\\u202e",
                                        "); DROP TABLE run; --"};
    char line[1024];
    (void)state;
    put(s, all[0]);
    for (int i = 0; i < 11; i++) {
        snprintf(line, sizeof line, DREAM("r1", "block 1 [:, :, 0]", "%d", "%s", "1", TRIP), i,
                 texts[i]);
        put(s, line);
    }
    q.view = "results";
    assert_int_equal(rows_of(s, &q), 11);
    q.contains = "%";
    assert_int_equal(rows_of(s, &q), 2);
    q.contains = "_";
    assert_int_equal(rows_of(s, &q), 2);
    q.contains = "'";
    assert_int_equal(rows_of(s, &q), 1);
    q.contains = "\"";
    assert_int_equal(rows_of(s, &q), 1);
    q.contains = "\xf0\x9f\x98\x80";
    assert_int_equal(rows_of(s, &q), 1);
    q.contains = "DROP";
    assert_int_equal(rows_of(s, &q), 1);
    q.contains = "\xff";
    assert_int_equal(rows_of(s, &q), 0);
    q.contains = NULL;
    q.text = "a%b_c";
    assert_int_equal(rows_of(s, &q), 1);
    char *results = view(s, "results");
    assert_non_null(strstr(results, "\"text\":\"\\u0000after\""));
    free(results);
    expect_sound(s);
    ph_store_close(&s);
}

static void test_transactions(void **state)
{
    ph_store *s = fresh("transactions"), *other;
    ph_store_query q = PH_STORE_QUERY_INIT;
    (void)state;
    q.view = "lines";
    q.type = "dream";
    put(s, all[0]);
    assert_int_equal(ph_store_commit(s, &err), PH_EINVAL);
    assert_int_equal(ph_store_begin(s, &err), PH_OK);
    assert_int_equal(ph_store_begin(s, &err), PH_EINVAL);
    put(s, all[1]);
    expect_failure(s, "{\"type\":\"x\",\"run\":\"nowhere\"}", 28, PH_EINVAL, "nowhere");
    put(s, all[2]); /* a refused line does not end the others */
    other = must_open(in_folder("transactions"), PH_STORE_READ);
    assert_int_equal(rows_of(other, &q), 0);
    assert_int_equal(ph_store_commit(s, &err), PH_OK);
    assert_int_equal(rows_of(other, &q), 2);
    assert_int_equal(ph_store_begin(s, &err), PH_OK);
    put(s, all[3]);
    ph_store_close(&s); /* without commit */
    assert_int_equal(rows_of(other, &q), 2);
    expect_sound(other);
    ph_store_close(&other);
}

/* No room for another page: the line is refused and what was kept stays. */
static void test_full(void **state)
{
    ph_store *s = fresh("full");
    ph_store_query q = PH_STORE_QUERY_INIT;
    char line[4096];
    int kept = 0;
    ph_status st = PH_OK;
    (void)state;
    put(s, all[0]);
    assert_int_equal(sqlite3_exec(s->db, "PRAGMA max_page_count = 60", NULL, NULL, NULL), 0);
    for (; kept < 1000; kept++) {
        snprintf(line, sizeof line, DREAM("r1", "block 1 [:, :, %d]", "0", "%0900d", "1", TRIP),
                 kept, kept);
        if ((st = ph_store_put(s, line, strlen(line), &err)) != PH_OK) break;
    }
    assert_int_equal(st, PH_EIO);
    assert_non_null(strstr(err.msg, "no space left"));
    assert_true(kept > 10 && kept < 1000);
    expect_sound(s);
    q.view = "lines";
    q.type = "dream";
    assert_int_equal(rows_of(s, &q), kept);
    assert_int_equal(sqlite3_exec(s->db, "PRAGMA max_page_count = 6000", NULL, NULL, NULL), 0);
    put(s, line); /* room again: it goes on */
    assert_int_equal(rows_of(s, &q), kept + 1);
    expect_sound(s);
    ph_store_close(&s);
}

/* ---- order ---- */

/* ---- leases ---- */

static double leased(ph_store *s, const char *unit, const char *owner, double seconds)
{
    double left = -1;
    if (ph_store_lease(s, unit, owner, seconds, &left, &err) != PH_OK) fail_msg("%s", err.msg);
    return left;
}

static int count_leases(const char *unit, const char *owner, double left, void *payload)
{
    int *counts = payload; /* of all, of those that have not run out, of those that never do */
    assert_true(*unit && *owner);
    counts[0]++;
    counts[1] += left > 0;
    counts[2] += isinf(left);
    return 0;
}

static void expect_leases(ph_store *s, int count, int running, int lasting)
{
    int counts[3] = {0};
    assert_int_equal(ph_store_leases(s, count_leases, counts, &err), PH_OK);
    assert_int_equal(counts[0], count);
    assert_int_equal(counts[1], running);
    assert_int_equal(counts[2], lasting);
}

/* One owner at a time, from whatever handle; what ran out is free; what is done is never. */
static void test_leases(void **state)
{
    (void)state;
    ph_store *s = fresh("leases"), *t = must_open(in_folder("leases"), PH_STORE_WRITE);
    double left;
    char *before = view(s, "lines");

    expect_leases(s, 0, 0, 0);
    assert_int_equal(ph_store_unlease(s, "u", "a", &err), PH_OK); /* there is none */
    assert_true(leased(s, "u", "a", 100) == 0);
    left = leased(t, "u", "b", 100);
    assert_true(left > 99 && left <= 100);
    assert_true(leased(s, "u", "a", 200) == 0); /* renewed */
    assert_true(leased(t, "u", "b", 100) > 199);
    assert_int_equal(ph_store_unlease(t, "u", "b", &err), PH_OK); /* not b's */
    assert_true(leased(t, "u", "b", 100) > 199);
    assert_int_equal(ph_store_unlease(s, "u", "a", &err), PH_OK);
    assert_true(leased(t, "u", "b", 0.05) == 0);
    assert_true(leased(s, "u", "a", 100) > 0);
    usleep(60000);
    expect_leases(t, 1, 0, 0);
    assert_true(leased(s, "u", "a", 100) == 0); /* b's ran out */
    assert_true(leased(s, "u", "a", (double)INFINITY) == 0);
    assert_true(isinf(leased(t, "u", "b", 100)));
    assert_true(leased(t, "v", "b", 100) == 0);
    expect_leases(s, 2, 2, 1);
    assert_int_equal(ph_store_lease(s, "w", "a", 0, &left, &err), PH_EINVAL);
    assert_int_equal(ph_store_lease(s, "w", "a", (double)NAN, &left, &err), PH_EINVAL);
    char *after = view(s, "lines");
    assert_string_equal(after, before); /* nothing of it is a line … */
    expect_sound(s);                    /* … or a fault */
    free(after);
    free(before);
    ph_store_close(&t);
    ph_store_close(&s);
}

/* With lines, all or none. */
static void test_leases_commit(void **state)
{
    (void)state;
    ph_store *s = fresh("leases-2");

    assert_int_equal(ph_store_begin(s, &err), PH_OK);
    assert_true(leased(s, "u", "a", 100) == 0);
    ph_store_close(&s); /* nothing was committed */
    s = must_open(in_folder("leases-2"), PH_STORE_READ);
    expect_leases(s, 0, 0, 0);
    assert_int_equal(ph_store_lease(s, "u", "a", 1, &(double){0}, &err), PH_EINVAL); /* to read */
    ph_store_close(&s);
    s = must_open(in_folder("leases-2"), PH_STORE_WRITE);
    assert_int_equal(ph_store_begin(s, &err), PH_OK);
    assert_true(leased(s, "u", "a", 100) == 0);
    assert_int_equal(ph_store_commit(s, &err), PH_OK);
    expect_leases(s, 1, 1, 0);
    ph_store_close(&s);
}

/* Shards merged either way, whole or in parts, give the same answers, in the same order. */
static void test_merge(void **state)
{
    ph_store *whole = filled("whole"), *one = fresh("one"), *two = fresh("two"), *x = fresh("x"),
             *y = fresh("y");
    ph_store_counts c;
    (void)state;
    for (int i = 0; i < ALL; i++) {
        const bool run = strstr(all[i], "\"type\":\"run\"") != NULL;
        if (run || i % 2) put(one, all[i]);
        if (run || i % 2 == 0) put(two, all[i]);
    }
    put(one,
        DREAM("r1", "block 1 [:, :, 0]", "0", "old", "99", TRIP)); /* then two says otherwise */
    put(two, all[1]);
    assert_int_equal(ph_store_merge(x, in_folder("one"), NULL, &err), PH_OK);
    assert_int_equal(ph_store_merge(x, in_folder("two"), &c, &err), PH_OK);
    assert_true(c.changed >= 1 && c.added > 3 && c.runs == 4);
    assert_int_equal(ph_store_merge(y, in_folder("two"), NULL, &err), PH_OK);
    assert_int_equal(ph_store_merge(y, in_folder("one"), &c, &err), PH_OK);
    assert_int_equal(c.changed, 0);
    assert_int_equal(ph_store_merge(y, in_folder("one"), &c, &err), PH_OK);
    assert_int_equal(c.added + c.changed, 0);
    expect_same(x, y);
    expect_same(x, whole);
    expect_sound(x);
    expect_sound(y);
    assert_int_equal(ph_store_merge(x, in_folder("nowhere"), NULL, &err), PH_EIO);
    assert_int_equal(ph_store_merge(x, in_folder("x"), &c, &err), PH_OK); /* with itself */
    assert_int_equal(c.added + c.changed, 0);
    ph_store_close(&whole);
    ph_store_close(&one);
    ph_store_close(&two);
    ph_store_close(&x);
    ph_store_close(&y);
}

static void test_any_order(void **state)
{
    ph_store *s = filled("order"), *t;
    (void)state;
    for (unsigned seed = 1; seed < 12; seed++) {
        int order[ALL];
        char name[16];
        srand(seed);
        snprintf(name, sizeof name, "order%u", seed);
        t = fresh(name);
        for (int i = 0; i < ALL; i++) order[i] = i;
        for (int i = ALL - 1; i > 0; i--) {
            const int k = rand() % (i + 1), o = order[i];
            order[i] = order[k];
            order[k] = o;
        }
        for (int runs = 1; runs >= 0; runs--)
            for (int i = 0; i < ALL; i++)
                if ((strstr(all[order[i]], "\"type\":\"run\"") != NULL) == runs)
                    put(t, all[order[i]]);
        expect_same(s, t);
        ph_store_close(&t);
    }
    ph_store_close(&s);
}

/* ---- asking ---- */

static void expect_in_order(const char *text, const char *const *parts, int n)
{
    for (int i = 0; i < n; i++) {
        const char *at = strstr(text, parts[i]);
        if (!at) fail_msg("\"%s\" is missing or out of order in %s", parts[i], text);
        text = at;
    }
}

/* No constraint broken, tokenises back, no outlier, then the activation; a plain context first. */
static void test_ranking(void **state)
{
    ph_store *s = filled("ranking");
    static const char *const ranked[] = {"in context", "ordinary", "the best", "100%",   "the best",
                                         "sum",        "the best", "outlier",  "no trip"};
    static const char *const features[] = {
        "0.5*block 1",           "\"text\":\"sum\"", "block 1 [:, :, 0]",
        "\"text\":\"the best\"", "\"gap\":2.5",      "\"results\":3",
        "\"token\":\"Paris\"",   "\"token_z\":2.0",  "block 1 [:, :, 1]",
        "\"text\":\"ordinary\"", "\"gap\":3.0",      "\"results\":3",
        "\"token\":\"x\""}; /* without a scan, from the answer's line */
    ph_store_query q = PH_STORE_QUERY_INIT;
    char *text = view(s, "results");
    (void)state;
    expect_in_order(text, ranked, 9);
    free(text);
    text = view(s, "features");
    expect_in_order(text, features, 13);
    free(text);
    q.view = "results";
    q.sort = "activation";
    q.limit = 2;
    text = ask(s, &q, NULL); /* texts that do not tokenise back stand behind, outliers do not */
    expect_in_order(text, (const char *const[]){"outlier", "in context"}, 2);
    free(text);
    q.offset = 8;
    text = ask(s, &q, NULL);
    expect_in_order(text, (const char *const[]){"no trip"}, 1);
    free(text);
    q.offset = 0;
    q.ascending = true;
    text = ask(s, &q, NULL);
    expect_in_order(text, (const char *const[]){"1.25", "sum"}, 2);
    free(text);
    ph_store_close(&s);
}

static void test_filters(void **state)
{
    ph_store *s = filled("filters");
    const ph_store_query init = PH_STORE_QUERY_INIT;
    ph_store_query q = init;
    (void)state;
    q.view = "results";
#define EXPECT(what, rows)                                                                         \
    do {                                                                                           \
        q = init;                                                                                  \
        q.view = "results";                                                                        \
        what;                                                                                      \
        assert_int_equal(rows_of(s, &q), rows);                                                    \
    } while (0)
    EXPECT(q.model = SHA_A, 8);
    EXPECT(q.model = "aa", 8);
    EXPECT(q.model = "dir/m-b.gguf", 1); /* the trained one of the two */
    EXPECT(q.model = "elsewhere/m-a.gguf", 8);
    EXPECT(q.model = "M a", 8);
    EXPECT(q.model = "untrained:" SHA_B, 0);
    EXPECT(q.place = "mlp", 1);
    EXPECT(q.place = "other", 1);
    EXPECT(q.block = 1, 7);
    EXPECT((q.first = 1, q.last = 1), 3);
    EXPECT(q.last = 0, 4);
    EXPECT(q.feature = "block 1 [:, :, 0]", 4);
    EXPECT(q.feature = "block 1[:,:,0-1],block 2 mlp [:, -1, 3]", 8);
    EXPECT(q.feature = "0.5*block 1 [:, :, 0] - embed [:, :, 2]", 1);
    EXPECT((q.feature = "block 1 [:, :, 0]", q.model = "aa"), 3);
    EXPECT(q.contains = "best", 3);
    EXPECT(q.text = "the best", 3);
    EXPECT(q.run = "r2", 1);
    EXPECT(q.run = "r", 9);
    EXPECT(q.method = "auto", 9);
    EXPECT(q.method = "epo", 0);
    EXPECT((q.view = "lines", q.type = "recover"), 2);
    EXPECT((q.view = "lines", q.type = "novel"), 1);
    EXPECT((q.view = "lines", q.run = "r4"), 2);
    EXPECT((q.view = "features", q.contains = "no trip"), 1);
    EXPECT((q.view = "features", q.block = 2), 2);
    EXPECT((q.view = "map", q.place = "block", q.block = 1, q.model = "aa"), 2);
    EXPECT((q.view = "tokens", q.token = "Paris"), 4); /* id 7 at the top twice, " Paris" below */
    EXPECT((q.view = "tokens", q.token = " Paris"), 2);
    EXPECT((q.view = "tokens", q.token = "7"), 2);
    EXPECT((q.view = "tokens", q.token = "\"7\""), 0);
    EXPECT((q.view = "tokens", q.token = "a\"%_"), 1);
    EXPECT((q.view = "tokens", q.token = "\"a\"%_\""), 1);
    EXPECT((q.view = "same_text", q.feature = "block 1 [:, :, 0]"), 1);
    EXPECT((q.view = "same_text", q.feature = "block 2 mlp [:, -1, 3]"), 2);
    EXPECT((q.view = "same_text", q.feature = "block 2 mlp [:, -1, 3]", q.model = "aa"), 1);
    EXPECT((q.view = "same_text", q.text = "the best"), 3);
    EXPECT((q.view = "models", q.model = "ab"), 1);
    EXPECT((q.view = "runs", q.model = "untrained:ab"), 1);
    EXPECT((q.view = "blocks", q.model = "aa"), 3);
#undef EXPECT
    ph_store_close(&s);
}

static void test_questions_refused(void **state)
{
    ph_store *s = filled("questions");
    static const struct {
        ph_store_query q;
        const char *msg;
    } cases[] = {{{.view = "secrets"}, "view secrets: there is none"},
                 {{.view = "models", .contains = "x"}, "view models: cannot be asked by contains"},
                 {{.view = "results", .token = "x"}, "cannot be asked by token"},
                 {{.view = "results", .model = "zz"}, "model zz: nothing of it is in"},
                 {{.view = "results", .model = ""}, "nothing of it"},
                 {{.view = "results", .model = "a"}, "model a: several"},
                 {{.view = "results", .sort = "beauty"}, "sort beauty: expected"},
                 {{.view = "blocks", .sort = "z"}, "view blocks: has an order of its own"},
                 {{.view = "results", .feature = "block 1 [:, :, 5-2]"}, "5-2 runs backwards"},
                 {{.view = "results", .feature = "block 1 [:, :, 0-99999999]"}, "more than"},
                 {{.view = "results", .feature = "a,,b"}, "one is missing"},
                 {{.view = "results", .feature = "\xff"}, "not valid UTF-8"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ph_store_query q = cases[i].q;
        struct rows r = {0};
        q.block = q.first = q.last = q.limit = -1;
        err = (ph_error){0};
        assert_int_not_equal(ph_store_select(s, &q, take, &r, &err), PH_OK);
        if (!strstr(err.msg, cases[i].msg)) fail_msg("\"%s\" lacks \"%s\"", err.msg, cases[i].msg);
    }
    ph_store_close(&s);
}

static int stop(const char *row, size_t bytes, void *payload)
{
    (void)row;
    (void)bytes;
    return ++*(int *)payload == 2;
}

static void test_cancelled(void **state)
{
    ph_store *s = filled("cancelled");
    ph_store_query q = PH_STORE_QUERY_INIT;
    int n = 0;
    (void)state;
    q.view = "lines";
    assert_int_equal(ph_store_select(s, &q, stop, &n, &err), PH_ECANCELED);
    assert_int_equal(n, 2);
    ph_store_close(&s);
}

static void test_placed(void **state)
{
    static const struct {
        const char *feature, *place;
        int64_t block, component;
        bool whole;
    } cases[] = {{"block 8 [:, :, 2000]", "block", 8, 2000, true},
                 {"block 8 attn [:, -1, 5]", "attn", 8, 5, false},
                 {"only block 32 mlp [:, 0:2, 7]", "only mlp", 32, 7, false},
                 {"block 1 neuron [:, :, 0:4]", "neuron", 1, -1, true},
                 {"embed [:, :, :]", "embed", 0, -1, true},
                 {"logits [:, -1, 31999]", "logits", 0, 31999, false},
                 {"final [:, :, 0]", "final", 0, 0, true},
                 {"-block 8 [:, :, 3]", "other", 0, -1, false},
                 {"block 1 [:, :, 0] + block 2 [:, :, 0]", "other", 0, -1, false},
                 {"dir:x.npy @ block 12 [:, -1]", "other", 0, -1, false},
                 {"sae:folder [:, :, 3]", "other", 0, -1, false},
                 {"block 99999999999999999999 [:, :, 0]", "other", 0, -1, false},
                 {"block 8 [:, :, 99999999999999999999]", "other", 0, -1, false},
                 {"block [:, :, 0]", "other", 0, -1, false},
                 {"", "other", 0, -1, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const ph_placed p = ph__placed(cases[i].feature);
        assert_string_equal(p.place, cases[i].place);
        assert_int_equal(p.block, cases[i].block);
        assert_int_equal(p.component, cases[i].component);
        assert_int_equal(p.whole, cases[i].whole);
    }
}

static void test_named(void **state)
{
    static const char *const cases[][2] = {
        {"block 8 [:,:,0-2]",
         "[\"block 8 [:, :, 0]\",\"block 8 [:, :, 1]\",\"block 8 [:, :, 2]\"]"},
        {" block  8[:, 0-1 , 3] ", "[\"block 8 [:, 0, 3]\",\"block 8 [:, 1, 3]\"]"},
        {"block 8 [:, 0-1, 3-4]", "[\"block 8 [:, 0, 3]\",\"block 8 [:, 0, 4]\",\"block 8 [:, 1, "
                                  "3]\",\"block 8 [:, 1, 4]\"]"},
        {"a [:, :, 0:4], b [:, -1, 2]", "[\"a [:, :, 0:4]\",\"b [:, -1, 2]\"]"},
        {"0.5*block 2 [:,:,0] - embed [:, -1, 3]",
         "[\"0.5*block 2 [:, :, 0] - embed [:, -1, 3]\"]"},
        {"dir:\"x\\y\" @ block 1 [:, :]", "[\"dir:\\\"x\\\\y\\\" @ block 1 [:, :]\"]"},
        {"unclosed [:, 3-", "[\"unclosed [:, 3-\"]"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *json = NULL;
        assert_int_equal(ph__named(&json, cases[i][0], &err), PH_OK);
        assert_string_equal(json, cases[i][1]);
        ph_free(json);
    }
}

/* ---- files ---- */

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
    expect_no_store(folder, PH_STORE_CREATE, PH_EIO, "is not a file");
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
    assert_int_equal(ph_store_select(s, &q, take, &r, &err), PH_EFORMAT);
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

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines),
                                       cmocka_unit_test(test_replaced),
                                       cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_odd_texts),
                                       cmocka_unit_test(test_transactions),
                                       cmocka_unit_test(test_full),
                                       cmocka_unit_test(test_leases),
                                       cmocka_unit_test(test_leases_commit),
                                       cmocka_unit_test(test_merge),
                                       cmocka_unit_test(test_any_order),
                                       cmocka_unit_test(test_ranking),
                                       cmocka_unit_test(test_filters),
                                       cmocka_unit_test(test_questions_refused),
                                       cmocka_unit_test(test_cancelled),
                                       cmocka_unit_test(test_placed),
                                       cmocka_unit_test(test_named),
                                       cmocka_unit_test(test_version_1),
                                       cmocka_unit_test(test_no_stores),
                                       cmocka_unit_test(test_hostile),
                                       cmocka_unit_test(test_check),
                                       cmocka_unit_test(test_damaged)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
