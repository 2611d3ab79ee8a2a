/* cmd_serve.c — phosphene serve: the page in the browser, on this machine. */
#include "keep.h"
#include "opt.h"
#include "serve/assets.h"
#include "serve/serve.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { USUAL_PORT = 4242 };

struct serve_command {
    struct common common;
    struct http_options http;
    bool open, named; /* --open; models were named */
};

enum { KEY_PORT = 2000, KEY_HOST, KEY_OPEN };

static const struct argp_option options[] = {
    {"port", KEY_PORT, "N", 0,
     "The port (4242, or one that is free if another program has that); 0: any that is free", 0},
    {"host", KEY_HOST, "HOST", 0,
     "Serve on this address of the machine, for others to see and use (127.0.0.1: this machine "
     "alone)",
     0},
    {"open", KEY_OPEN, NULL, 0, "Open the page in the browser", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct serve_command *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case KEY_PORT:
        s->http.port = (int)parse_integer(state, "port", arg, 0, 65535);
        s->http.or_any = false;
        break;
    case KEY_HOST: s->http.host = arg; break;
    case KEY_OPEN: s->open = true; break;
    case ARGP_KEY_END:
        s->named = s->common.n_models > 0;
        if (s->common.n_words) usage_error(state, "%s: expected options only", s->common.words[0]);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "",
    "The page in the browser: what the store knows of models, blocks and features, a box to score "
    "texts of one's own, searches to start and to watch. Prints its address on the first line and "
    "serves until Ctrl-C, on this machine alone."
    "\v"
    "Models are those of the store, where their files still lie, and those of -m. The JSON that "
    "the "
    "page asks for is described in docs/API.md.\n\n"
    "Examples:\n"
    "  phosphene serve --open\n"
    "  phosphene serve --port 0 --store my.sqlite -m model.gguf\n",
    children,
    NULL,
    NULL};

/* ---- the parts ---- */

/* The page with the token in its place. */
static ph_status make_page(struct serving *s, const char *token, ph_error *err)
{
    static const char place[] = "@TOKEN@";
    struct asset page = {0};
    asset_find(&page, "/index.html");
    const char *at = page.bytes ? memmem(page.bytes, page.n, place, strlen(place)) : NULL;
    FILE *out = open_memstream(&s->page, &s->page_bytes);

    if (out && at) {
        fwrite(page.bytes, 1, (size_t)(at - page.bytes), out);
        fputs(token, out);
        at += strlen(place);
        fwrite(at, 1, (size_t)(page.bytes + page.n - at), out);
    }
    if (out && fclose(out) == 0) return PH_OK;
    *err = (ph_error){.code = PH_ENOMEM, .pos = -1, .msg = "out of memory"};
    return PH_ENOMEM;
}

/* The store that was named; else the user's own, without which there is much to look at, too. */
static ph_status open_archive(struct serving *s, const struct common *c, ph_error *err)
{
    char *path = c->no_store ? NULL : keep_path(c);
    if (path && !c->store) make_folder_of(path);
    ph_status st = archive_open(&s->archive, path, err);
    if (st != PH_OK && st != PH_ENOMEM && !c->store) {
        fprintf(stderr, "phosphene serve: without a store: %s\n", err->msg);
        st = archive_open(&s->archive, NULL, err);
    }
    free(path);
    return st;
}

static ph_status open_parts(struct serving *s, struct http **http, const struct serve_command *c,
                            ph_error *err)
{
    const struct common *common = s->common = &c->common;
    struct http_options o = c->http;
    char token[33];
    ph_status st = open_archive(s, common, err);

    o.answer = routes_answer;
    o.payload = s;
    o.token = token;
    if (st == PH_OK) st = http_draw_token(token, err);
    if (st == PH_OK) st = make_page(s, token, err);
    if (st == PH_OK) st = models_open(&s->models, common, c->named, s->archive, err);
    if (st == PH_OK) st = worker_open(&s->worker, err);
    if (st == PH_OK) st = jobs_open(&s->jobs, s->models, s->archive, common, err);
    return st == PH_OK ? http_open(http, &o, err) : st;
}

/* Searches end first, so that whoever watches them is let go. */
static void close_parts(struct serving *s, struct http **http)
{
    s->stopping = true;
    jobs_stop(s->jobs);
    http_close(http);
    worker_close(&s->worker);
    jobs_close(&s->jobs);
    models_close(&s->models);
    archive_close(&s->archive);
    free(s->page);
}

/* ---- until a signal ---- */

static void open_browser(const char *url)
{
    extern char **environ;
    char *const words[] = {(char *)(uintptr_t) "xdg-open", (char *)(uintptr_t)url, NULL};
    posix_spawn_file_actions_t quiet;
    posix_spawnattr_t usual;
    sigset_t none, ignored;
    pid_t child;

    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
    sigemptyset(&none);
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGPIPE);
    sigaddset(&ignored, SIGCHLD);
    posix_spawnattr_init(&usual); /* what this program does with signals is not for the browser */
    posix_spawnattr_setflags(&usual, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&usual, &none);
    posix_spawnattr_setsigdefault(&usual, &ignored);
    if (posix_spawnp(&child, words[0], &quiet, &usual, words, environ) != 0)
        fprintf(stderr, "phosphene serve: no browser was found to open %s\n", url);
    posix_spawnattr_destroy(&usual);
    posix_spawn_file_actions_destroy(&quiet);
}

/* All threads leave these signals to the one that waits for them. */
static sigset_t block_signals(void)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN); /* the browser's helper may end when it likes */
    return ends;
}

static void wait_for_end(const sigset_t *ends)
{
    int number;
    sigwait(ends, &number);
    signal(SIGINT, SIG_DFL); /* a second one ends the program at once */
    signal(SIGTERM, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, ends, NULL);
}

int cmd_serve(int argc, char **argv)
{
    struct serve_command c = {.common.several = true,
                              .common.keeps = KEEPS_IF_ASKED,
                              .http = {.port = USUAL_PORT, .or_any = true}};
    struct serving s = {0};
    struct http *http = NULL;
    ph_error err = {0};

    parse_options(&c.common, &argp, argc, argv);
    const sigset_t ends = block_signals();
    const ph_status st = open_parts(&s, &http, &c, &err);
    if (st == PH_OK && c.http.host && !c.common.quiet)
        fprintf(stderr, "phosphene serve: whoever reaches %s can use this, and read along\n",
                c.http.host);
    if (st == PH_OK) {
        printf("%s\n", http_url(http));
        fflush(stdout);
        if (c.open) open_browser(http_url(http));
        free(models_key(s.models, NULL)); /* looks at the models before somebody waits for that */
        wait_for_end(&ends);
    }
    close_parts(&s, &http);
    const int status = finish(&c.common, st, &err, NULL);
    common_free(&c.common);
    return status;
}
