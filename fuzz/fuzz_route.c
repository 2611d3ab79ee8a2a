/* fuzz_route.c — the targets of requests and their Host on arbitrary bytes.
 *
 * A target that is taken gives a path and fields that are text, and the same ones again when they are
 * encoded anew; its path is of a form with "*" only if it has as many parts. A Host that is let in is a
 * name of ours.
 */
#include "serve/guard.h"
#include "serve/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok, const char *what, const char *text)
{
    if (ok) return;
    fprintf(stderr, "%s: %s\n", what, text);
    abort();
}

static void check_text(const char *s, const char *allowed)
{
    char *clean = NULL;
    for (const char *p = s; *p; p++)
        require(((unsigned char)*p >= 0x20 && *p != 0x7f) || strchr(allowed, *p),
                "a control character", s);
    if (ph_utf8_clean(&clean, s, strlen(s), NULL) != PH_OK) abort();
    require(strcmp(clean, s) == 0, "not UTF-8", s);
    ph_free(clean);
}

/* Every byte escaped, but the path's slashes stay readable. */
static void encode(FILE *out, const char *s)
{
    for (; *s; s++) fprintf(out, *s == '/' ? "%c" : "%%%02X", (unsigned char)*s);
}

static char *encoded(const struct target *t)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out) abort();
    encode(out, t->path);
    for (size_t i = 0; i < t->n; i++) {
        fputc(i ? '&' : '?', out);
        encode(out, t->fields[i].name);
        fputc('=', out);
        encode(out, t->fields[i].value);
    }
    fclose(out);
    return text;
}

static void check_again(const struct target *t)
{
    struct target again;
    const char *why;
    char *text = encoded(t);

    if (strlen(text) <= TARGET_BYTES) {
        require(target_parse(&again, &why, text) == 0, "is refused when encoded anew", text);
        require(strcmp(again.path, t->path) == 0 && again.n == t->n, "is another target", text);
        for (size_t i = 0; i < t->n; i++)
            require(strcmp(again.fields[i].name, t->fields[i].name) == 0 &&
                        strcmp(again.fields[i].value, t->fields[i].value) == 0,
                    "has another field", text);
        target_free(&again);
    }
    free(text);
}

static int slashes(const char *s)
{
    int n = 0;
    for (; *s; s++) n += *s == '/';
    return n;
}

static void check_forms(const char *path)
{
    static const char *const forms[] = {"/", "/page/*", "/api/search/*/events", "/model/**", "*"};
    char part[64] = "";
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (!target_match(path, forms[i], part, sizeof part)) continue;
        require(!strchr(part, '/') && strlen(part) < sizeof part, "part", part);
        require(strstr(forms[i], "**") || slashes(path) == slashes(forms[i]), forms[i], path);
    }
}

static void check_target(const char *text)
{
    struct target t;
    const char *why = NULL;
    const unsigned status = target_parse(&t, &why, text);

    require((status == 0) == (why == NULL), "a status without a reason", text);
    if (status == 0) {
        require(t.path && *t.path == '/' && t.n <= TARGET_FIELDS, "path", text);
        check_text(t.path, "");
        for (size_t i = 0; i < t.n; i++) {
            check_text(t.fields[i].name, "\n\t\r");
            check_text(t.fields[i].value, "\n\t\r");
            require(target_get(&t, t.fields[i].name) != NULL, "a field that is not found", text);
        }
        check_forms(t.path);
        check_again(&t);
    }
    target_free(&t);
}

static void check_host(const char *text)
{
    static const char *const ours[] = {"localhost:", "127.0.0.1:", "[::1]:"};
    const struct guard g = {.port = 4242};
    bool known = false;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        const size_t n = strlen(ours[i]);
        known |= strncasecmp(text, ours[i], n) == 0 && strtol(text + n, NULL, 10) == 4242;
    }
    require(!guard_host(&g, text) || known, "a Host that is not ours", text);
    guard_origin(&g, text, text, true);
    guard_json(text);
    guard_token(&g, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    check_target(text);
    check_host(text);
    free(text);
    return 0;
}
