/* fuzz_store.c — lines of the contract on arbitrary bytes, and names of features.
 *
 * A line is taken or refused in one printable line; one that was taken comes back as it was, and the
 * store is sound.
 */
#include "store/named.h"
#include "store/put.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

struct sought {
    const char *line;
    size_t bytes;
    bool found;
};

static int compare(const char *row, size_t bytes, void *payload)
{
    struct sought *s = payload;
    require(row[bytes] == 0, "a row without its 0");
    s->found |= bytes == s->bytes && memcmp(row, s->line, bytes) == 0;
    return 0;
}

/* Lines up to each line feed, into a store in memory. */
static void put_lines(ph_store *s, const char *text, size_t size)
{
    static const char run[] = "{\"type\":\"run\",\"id\":\"r\",\"model\":{\"sha256\":\"aa\"}}";
    ph_store_query q = PH_STORE_QUERY_INIT;
    require(ph__put(s, run, sizeof run - 1, 1, NULL, NULL, NULL) == PH_OK, "the run line");
    q.view = "lines";
    for (size_t at = 0, n; at < size; at += n + 1) {
        ph_error err = {0};
        bool is_run = false;
        const char *end = memchr(text + at, '\n', size - at);
        n = end ? (size_t)(end - text) - at : size - at;
        const ph_status st = ph__put(s, text + at, n, (int64_t)at + 2, NULL, &is_run, &err);
        require(st == PH_OK || (st == err.code && *err.msg && !strchr(err.msg, '\n')), "a message");
        struct sought sought = {text + at, n, false};
        if (st == PH_OK && !is_run)
            require(ph_store_select(s, &q, compare, &sought, NULL) == PH_OK && sought.found,
                    "a line that was put");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const views[] = {"models", "runs",   "features",  "results",
                                        "map",    "tokens", "same_text", "blocks"};
    ph_store *s = NULL;
    char *names = NULL, *text = malloc(size + 1);
    struct sought nothing = {0};
    ph_store_query q = PH_STORE_QUERY_INIT;

    require(text && ph__store_beside(&s, "fuzz", NULL) == PH_OK, "a store");
    if (size) memcpy(text, data, size);
    text[size] = 0;
    put_lines(s, text, size);
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        q.view = views[i];
        require(ph_store_select(s, &q, compare, &nothing, NULL) == PH_OK, views[i]);
    }
    ph__named(&names, text, NULL);
    ph_free(names);
    ph_store_close(&s);
    free(text);
    return 0;
}
