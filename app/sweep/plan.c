/* plan.c — a plan's file: lines that become options.
 *
 * What an option means is argp's business: each line is parsed once alone, so that a mistake is told with
 * the line it stands in.
 */
#include "plan.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- mistakes ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

__attribute__((noreturn, format(printf, 3, 4))) static void refuse(const struct plan *p, int line,
                                                                   const char *format, ...)
{
    va_list ap;
    fprintf(stderr, "phosphene sweep: %s:%d: ", base_name(p->path), line);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputs("\n", stderr);
    exit(EXIT_USAGE);
}

static void need_memory(const void *p)
{
    if (p) return;
    fputs("phosphene sweep: out of memory\n", stderr);
    exit(EXIT_FAILURE);
}

/* ---- lines ---- */

static char *skip_blanks(char *s)
{
    return s + strspn(s, " \t");
}

static void cut_blanks(char *s)
{
    size_t n = strlen(s);
    while (n && isspace((unsigned char)s[n - 1])) s[--n] = 0;
}

/* Where a comment begins: at the beginning or behind a blank, so that dir:FILE#NAME is none. */
static char *comment(char *s)
{
    for (char *p = s; *p; p++)
        if (*p == '#' && (p == s || p[-1] == ' ' || p[-1] == '\t')) return p;
    return s + strlen(s);
}

/* A value in quotation marks keeps its blanks and # signs. */
static char *value_of(const struct plan *p, int line, char *s)
{
    char *end;
    if (*s != '"') {
        *comment(s) = 0;
        cut_blanks(s);
        return s;
    }
    end = strchr(++s, '"');
    if (!end) refuse(p, line, "a quotation mark is not closed");
    *end = 0;
    end = skip_blanks(end + 1);
    if (*end && *end != '#') refuse(p, line, "\"%s\": more behind the value", end);
    return s;
}

static const struct argp_option *find_option(const struct argp *argp, const char *name)
{
    for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc); o++)
        if (o->name && strcmp(o->name, name) == 0) return o;
    for (const struct argp_child *c = argp->children; c && c->argp; c++) {
        const struct argp_option *o = find_option(c->argp, name);
        if (o) return o;
    }
    return NULL;
}

/* Options of a process, not of a plan. */
static bool is_private(const char *key)
{
    static const char *const keys[] = {"status", "worker", "json", "quiet", "verbose"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0) return true;
    return false;
}

static void add_line(struct plan *p, int line, char *text, const struct argp *argp)
{
    char *key = skip_blanks(text), *equals, *arg = NULL;

    if (*key == '#') return;
    cut_blanks(key);
    if (!*key) return;
    equals = key + strcspn(key, "= \t#");
    char *rest = skip_blanks(equals);
    const bool valued = *rest == '=';
    if (*rest && !valued && *rest != '#')
        refuse(p, line, "expected \"key = value\", such as method = auto");
    char *value = valued ? value_of(p, line, skip_blanks(rest + 1)) : NULL;
    *equals = 0;
    const struct argp_option *o = find_option(argp, key);
    if (!o || is_private(key)) refuse(p, line, "unknown key \"%s\"", key);
    if (o->arg && !value) refuse(p, line, "%s: a value is missing: %s = …", key, key);
    if (!o->arg && value) refuse(p, line, "%s: stands alone, without a value", key);
    need_memory(asprintf(&arg, value ? "--%s=%s" : "--%s", key, value) < 0 ? NULL : arg);
    p->args = realloc(p->args, (size_t)(p->n_args + 1) * sizeof *p->args);
    p->lines = realloc(p->lines, (size_t)(p->n_args + 1) * sizeof *p->lines);
    need_memory(p->args);
    need_memory(p->lines);
    p->args[p->n_args] = arg;
    p->lines[p->n_args++] = line;
}

/* Alone, under the line's name: argp tells mistakes behind it. */
static void try_line(const struct plan *p, int i, const struct argp *argp)
{
    struct plan *scratch = calloc(1, sizeof *scratch);
    char *name = NULL;

    need_memory(scratch);
    scratch->dry = true;
    scratch->common.several = true;
    scratch->common.keeps = KEEPS;
    need_memory(asprintf(&name, "phosphene sweep: %s:%d", base_name(p->path), p->lines[i]) < 0
                    ? NULL
                    : name);
    char *argv[] = {name, p->args[i], NULL};
    argp_parse(argp, 2, argv, 0, NULL, scratch);
    common_free(&scratch->common);
    allow_free(&scratch->dreaming.allow);
    free(scratch);
    free(name);
}

/* ---- the file ---- */

static char *read_file(const char *path)
{
    char *text = NULL;
    size_t room = 0;
    FILE *f = fopen(path, "r");
    const bool ok = f && (getdelim(&text, &room, 0, f) >= 0 || !ferror(f));

    if (!ok) {
        fprintf(stderr, "phosphene sweep: %s: %s\n", path, strerror(errno));
        exit(EXIT_FAILURE);
    }
    fclose(f);
    if (!text) text = strdup("");
    need_memory(text);
    return text;
}

void plan_read(struct plan *p, const char *path, const struct argp *argp)
{
    int line = 0;
    char *at;

    p->path = path;
    at = p->text = read_file(path);
    if (strncmp(at, "\xef\xbb\xbf", 3) == 0) at += 3; /* a byte order mark */
    while (at) {
        char *text = strsep(&at, "\n");
        add_line(p, ++line, text, argp);
    }
    for (int i = 0; i < p->n_args; i++) try_line(p, i, argp);
}

int plan_line(const struct plan *p, int at)
{
    return at >= 1 && at <= p->n_args ? p->lines[at - 1] : 0;
}

void plan_free(struct plan *p)
{
    for (int i = 0; i < p->n_args; i++) free(p->args[i]);
    free(p->args);
    free(p->lines);
    free(p->text);
    allow_free(&p->dreaming.allow);
    common_free(&p->common);
}
