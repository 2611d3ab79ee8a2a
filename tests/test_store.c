/* test_store.c — the store: what is put comes back, whatever the order.
 *
 * Expected figures are worked out by hand from the lines of stores.c; a store is compared with another
 * by the lines it gives back.
 */
#include "stores.h"
#include "store/placed.h"
#include "store/sql.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

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
    snprintf(line, sizeof line, DREAM("r1", "a feature, elsewhere", "%d", "%s", "1", TRIP), 0, "t");
    put(s, line);
    q.contains = NULL;
    q.feature = "a feature, elsewhere"; /* not of the language, but there */
    assert_int_equal(rows_of(s, &q), 1);
    q.feature = NULL;
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

/* Low texts are good where those were searched for; of scans the plainest counts, whatever its run. */
static void test_best(void **state)
{
    ph_store *s = filled("best");
    ph_store_query q = {sizeof q, "lines", .feature = "final [:, :, 1]", .sort = "best"};
    (void)state;
    q.block = q.first = q.last = q.limit = -1;
    put(s, RUN("a", SHA_A, "a", "{\"bos\":\"auto\",\"prefix\":\"x\"}"));
    put(s, SCAN("a", "final [:, :, 1]", TOP_ONE));
    put(s, SCAN("r1", "final [:, :, 1]", TOP_ONE));
    for (const char *v = "391"; *v; v++) {
        char line[200];
        snprintf(
            line, sizeof line,
            "{\"type\":\"dream\",\"run\":\"r1\",\"feature\":\"final [:, :, 1]\",\"sign\":\"-\","
            "\"rank\":%c,\"text\":\"low-%c\",\"activation\":{\"text\":-%c}}",
            *v, *v, *v);
        put(s, line);
    }
    char *text = ask(s, &q, NULL);
    expect_in_order(text, (const char *const[]){"r1", "\"a\"", "low-9", "low-3", "low-1"}, 5);
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
    EXPECT(q.feature = "0.50*blocks.0.hook_resid_post[:,:,0:1]-hook_embed [:, :, 2]", 1);
    EXPECT((q.feature = "block 1 [:, :, 0]", q.model = "aa"), 3);
    EXPECT(q.contains = "best", 3);
    EXPECT(q.text = "the best", 3);
    EXPECT(q.run = "r2", 1);
    EXPECT(q.run = "r", 9);
    EXPECT(q.method = "auto", 9);
    EXPECT(q.method = "epo", 0);
    EXPECT((q.view = "lines", q.type = "recover"), 2);
    EXPECT((q.view = "lines", q.type = "novel"), 1);
    EXPECT((q.view = "lines", q.type = "other"), 3);
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
    } cases[] = {
        {{.view = "secrets"}, "view secrets: there is none"},
        {{.view = "models", .contains = "x"}, "view models: cannot be asked by contains"},
        {{.view = "results", .token = "x"}, "cannot be asked by token"},
        {{.view = "results", .model = "zz"}, "model zz: nothing of it is in"},
        {{.view = "results", .model = ""}, "nothing of it"},
        {{.view = "results", .model = "a"}, "model a: several"},
        {{.view = "results", .sort = "beauty"}, "sort beauty: expected"},
        {{.view = "blocks", .sort = "z"}, "view blocks: has an order of its own"},
        {{.view = "results", .feature = "block 1 [:, :, 5-2]"}, "the range 5-2 is empty"},
        {{.view = "results", .feature = "block 1 [:, :, 0-300000]"}, "more than 300000"},
        {{.view = "results", .feature = "block 1 [:, :, 0-99999999]"}, "at most 1000000"},
        {{.view = "results", .feature = "embed [:, :, 1],, final [:, :, 1]"}, "expected block N"},
        {{.view = "results", .feature = "dir:\xff @ block 1"}, "not valid UTF-8"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ph_store_query q = cases[i].q;
        struct rows r = {0};
        q.block = q.first = q.last = q.limit = -1;
        err = (ph_error){0};
        assert_int_not_equal(ph_store_select(s, &q, take_row, &r, &err), PH_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_odd_texts),
        cmocka_unit_test(test_transactions), cmocka_unit_test(test_full),
        cmocka_unit_test(test_leases),       cmocka_unit_test(test_leases_commit),
        cmocka_unit_test(test_merge),        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_ranking),      cmocka_unit_test(test_best),
        cmocka_unit_test(test_filters),      cmocka_unit_test(test_questions_refused),
        cmocka_unit_test(test_cancelled),    cmocka_unit_test(test_placed)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
