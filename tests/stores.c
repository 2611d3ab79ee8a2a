/* stores.c — stores of a few lines, for the tests that ask and those that break them. */
#include "stores.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/phosphene-store-XXXXXX";
ph_error err;

const char *in_folder(const char *name)
{
    static char paths[8][128];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

ph_store *must_open(const char *path, unsigned flags)
{
    ph_store *s = NULL;
    if (ph_store_open(&s, path, flags, &err) != PH_OK) fail_msg("%s", err.msg);
    return s;
}

ph_store *fresh(const char *name)
{
    const char *path = in_folder(name);
    unlink(path);
    return must_open(path, PH_STORE_CREATE);
}

void put(ph_store *s, const char *line)
{
    if (ph_store_put(s, line, strlen(line), &err) != PH_OK) fail_msg("%s: %s", line, err.msg);
}

void expect_failure(ph_store *s, const char *line, size_t n, ph_status code, const char *msg)
{
    err = (ph_error){0};
    assert_int_equal(ph_store_put(s, line, n, &err), code);
    assert_int_equal(err.code, code);
    if (!strstr(err.msg, msg)) fail_msg("\"%s\" lacks \"%s\"", err.msg, msg);
}

int take_row(const char *row, size_t bytes, void *payload)
{
    struct rows *r = payload;
    assert_int_equal(strlen(row), bytes);
    fprintf(r->f, "%s\n", row);
    r->n++;
    return 0;
}

char *ask(ph_store *s, const ph_store_query *q, int *n)
{
    struct rows r = {0};
    r.f = open_memstream(&r.text, &r.size);
    if (ph_store_select(s, q, take_row, &r, &err) != PH_OK) fail_msg("%s: %s", q->view, err.msg);
    fclose(r.f);
    if (n) *n = r.n;
    return r.text;
}

char *view(ph_store *s, const char *name)
{
    ph_store_query q = PH_STORE_QUERY_INIT;
    q.view = name;
    return ask(s, &q, NULL);
}

int rows_of(ph_store *s, const ph_store_query *q)
{
    int n;
    free(ask(s, q, &n));
    return n;
}

int count_fault(const char *fault, void *payload)
{
    if (!payload) fail_msg("%s", fault);
    ++*(int *)payload;
    return 0;
}

void expect_sound(ph_store *s)
{
    assert_int_equal(ph_store_check(s, count_fault, NULL, &err), PH_OK);
}

void expect_same(ph_store *a, ph_store *b)
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

const char *const all[ALL] = {
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

ph_store *filled(const char *name)
{
    ph_store *s = fresh(name);
    for (int i = 0; i < ALL; i++) put(s, all[i]);
    return s;
}

int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

int remove_folder(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}
