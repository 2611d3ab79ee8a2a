/* tool_store.c — what test_store_kill.py and the timings of docs/STORE.md need of a store.
 *
 *     tool_store fill FILE N TAG                     put N lines one by one, say each that is kept
 *     tool_store make FILE FEATURES RESULTS SCANS    a store like that of a long search
 *     tool_store time FILE                           how long its views take, in a fresh process
 */
#include <phosphene.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 576, LISTED = 10, VOCAB = 49152 };

static ph_error err;

static void need(ph_status st)
{
    if (st == PH_OK) return;
    fprintf(stderr, "tool_store: %s\n", err.msg);
    exit(1);
}

static uint64_t state = 1;

static unsigned draw(unsigned below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % below;
}

static double real(double from, double to)
{
    return from + (to - from) * (double)draw(1u << 24) / (1 << 24);
}

static void put(ph_store *s, const char *line)
{
    need(ph_store_put(s, line, strlen(line), &err));
}

static void put_run(ph_store *s, const char *id, const char *command)
{
    char line[512];
    snprintf(
        line, sizeof line,
        "{\"type\":\"run\",\"id\":\"%s\",\"model\":{\"file\":\"synthetic.gguf\",\"sha256\":"
        "\"%064d\",\"name\":\"synthetic\",\"quant\":\"Q4_1\",\"family\":\"llama\",\"blocks\":35,"
        "\"width\":%d},\"context\":[0],\"seed\":0,\"command\":\"%s\",\"settings\":{\"bos\":"
        "\"auto\",\"prefix\":null,\"suffix\":null}}",
        id, 7, WIDTH, command);
    put(s, line);
}

/* About as many bytes as a line of dream has. */
static void put_dream(ph_store *s, const char *run, int feature, int rank)
{
    static char padding[2200];
    static const char *const words[] = {" sky",  " Paris", " the", "ing",
                                        " blue", " river", "_x",   "%"};
    char line[4096], text[64];
    const double a = real(0, 40);
    for (size_t i = 0; i + 8 < sizeof padding; i += 8) memcpy(padding + i, "0.12345,", 8);
    snprintf(text, sizeof text, "%s%s%s%s %u", words[draw(8)], words[draw(8)], words[draw(8)],
             words[draw(8)], draw(5000));
    snprintf(line, sizeof line,
             "{\"type\":\"dream\",\"run\":\"%s\",\"feature\":\"block %d [:, :, %d]\",\"method\":"
             "\"auto\",\"restart\":0,\"rank\":%d,\"seed\":0,\"ids\":[1,2,3,4,5],\"text\":\"%s\","
             "\"activation\":{\"text\":%.8f,\"ids\":%.8f,\"soft\":null},\"sign\":\"+\","
             "\"round_trip\":%s,\"violates\":false,\"norm_ratio\":%.4f,\"z\":%.6f,\"best_token\":"
             "{\"id\":7,\"token\":\" x\",\"activation\":%.6f},\"curve\":[%s0]}",
             run, 1 + feature / WIDTH, feature % WIDTH, rank, text, a, a,
             draw(10) ? "true" : "false", real(0.5, 3.2), real(-1, 9), real(0, 20), padding);
    put(s, line);
}

static size_t add_list(char *out, size_t room, const char *name, int sign)
{
    size_t at = (size_t)snprintf(out, room, ",\"%s\":[", name);
    for (int i = 0; i < LISTED; i++) {
        /* some tokens are in many lists, as they are in models */
        const unsigned id = draw(4) ? draw(VOCAB) : draw(300);
        at += (size_t)snprintf(out + at, room - at,
                               "%s{\"id\":%u,\"token\":\" token%u\",\"activation\":%.7f}",
                               i ? "," : "", id, id, sign * (20 - i + real(0, 1)));
    }
    return at + (size_t)snprintf(out + at, room - at, "]");
}

static void put_scan(ph_store *s, const char *run, int feature)
{
    char line[4096];
    size_t at =
        (size_t)snprintf(line, sizeof line,
                         "{\"type\":\"scan\",\"run\":\"%s\",\"feature\":\"block %d [:, :, "
                         "%d]\",\"mean\":%.5f,\"sd\":%.5f,\"n\":%d",
                         run, 1 + feature / WIDTH, feature % WIDTH, real(-1, 1), real(1, 3), VOCAB);
    at += add_list(line + at, sizeof line - at, "top", 1);
    at += add_list(line + at, sizeof line - at, "bottom", -1);
    snprintf(line + at, sizeof line - at, "}");
    put(s, line);
}

static ph_store *open_store(const char *path, unsigned flags)
{
    ph_store *s = NULL;
    need(ph_store_open(&s, path, flags, &err));
    return s;
}

static int make(const char *path, int features, int results, int scans)
{
    ph_store *s = open_store(path, PH_STORE_CREATE);
    need(ph_store_begin(s, &err));
    put_run(s, "5ca0", "scan");
    for (int f = 0; f < scans; f++) put_scan(s, "5ca0", f);
    for (int i = 0; i < results; i++) {
        char run[24];
        snprintf(run, sizeof run, "d%04d", i / features);
        if (i % features == 0) put_run(s, run, "dream");
        put_dream(s, run, i % features, 0);
        if (i % 4096) continue;
        need(ph_store_commit(s, &err));
        need(ph_store_begin(s, &err));
    }
    need(ph_store_commit(s, &err));
    ph_store_close(&s);
    return 0;
}

static int fill(const char *path, int n, const char *tag)
{
    ph_store *s = open_store(path, PH_STORE_CREATE);
    put_run(s, tag, "dream");
    for (int i = 0; i < n; i++) {
        put_dream(s, tag, i, 0);
        printf("%d\n", i);
        fflush(stdout);
    }
    ph_store_close(&s);
    return 0;
}

/* ---- timing ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int count(const char *row, size_t bytes, void *payload)
{
    (void)row;
    (void)bytes;
    ++*(int *)payload;
    return 0;
}

static void time_one(const char *path, const char *name, const ph_store_query *q)
{
    int rows = 0;
    double seconds[3];
    for (int i = 0; i < 3; i++) { /* a fresh handle each time: nothing in SQLite's own cache */
        const double began = now();
        ph_store *s = open_store(path, PH_STORE_READ);
        rows = 0;
        need(ph_store_select(s, q, count, &rows, &err));
        ph_store_close(&s);
        seconds[i] = now() - began;
    }
    printf("%-34s %7d rows  %7.1f %7.1f %7.1f ms\n", name, rows, 1e3 * seconds[0], 1e3 * seconds[1],
           1e3 * seconds[2]);
}

static int time_all(const char *path)
{
    const ph_store_query init = PH_STORE_QUERY_INIT;
    ph_store_query q = init;
    q.model = "synthetic.gguf";
    q.view = "map";
    q.place = "block";
    q.block = 8;
    time_one(path, "map of block 8", &q);
    q = init;
    q.view = "tokens";
    q.token = "token17";
    time_one(path, "tokens: a common one", &q);
    q.token = "token40000";
    time_one(path, "tokens: a rare one", &q);
    q = init;
    q.view = "models";
    time_one(path, "models", &q);
    q.view = "blocks";
    time_one(path, "blocks", &q);
    q.view = "features";
    q.sort = "gap";
    q.limit = 50;
    time_one(path, "features by gap, 50", &q);
    q.view = "results";
    q.sort = NULL;
    time_one(path, "results, the best 50", &q);
    q.contains = "%";
    time_one(path, "results with a %, the best 50", &q);
    q = init;
    q.view = "same_text";
    q.feature = "block 8 [:, :, 5]";
    time_one(path, "same text as one feature's", &q);
    q.view = "lines";
    time_one(path, "lines of one feature", &q);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "fill") == 0) return fill(argv[2], atoi(argv[3]), argv[4]);
    if (argc == 6 && strcmp(argv[1], "make") == 0)
        return make(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
    if (argc == 3 && strcmp(argv[1], "time") == 0) return time_all(argv[2]);
    fprintf(stderr,
            "usage: tool_store fill FILE N TAG | make FILE FEATURES RESULTS SCANS | time FILE\n");
    return 2;
}
