/* tool_tokens.c — ids of texts for tools/check_tokens.py: a text a line in (see lines.h), its ids a
 * line out; or the other way round.
 *
 * tool_tokens MODEL [special|decode]
 */
#include "lines.h"

#include <phosphene.h>
#include <stdio.h>
#include <stdlib.h>

static int print_ids(const ph_tokenizer *t, const char *text, size_t n, unsigned flags)
{
    ph_error err;
    int32_t *ids = NULL;
    size_t count = 0;

    if (ph_tokenizer_encode(&ids, &count, t, text, n, flags, &err) != PH_OK) {
        printf("error %s at %lld: %s\n", ph_status_name(err.code), (long long)err.pos, err.msg);
        return 1;
    }
    for (size_t i = 0; i < count; i++) printf(i ? " %d" : "%d", ids[i]);
    putchar('\n');
    ph_free(ids);
    return 0;
}

/* The text of a line of ids, escaped. */
static int print_text(const ph_tokenizer *t, char *line)
{
    ph_error err;
    static int32_t ids[1 << 20];
    char *text = NULL, *clean = NULL, *end;
    size_t n = 0, bytes;

    for (char *p = line; n < sizeof ids / sizeof *ids; p = end) {
        ids[n] = (int32_t)strtol(p, &end, 10);
        if (end == p) break;
        n++;
    }
    if (ph_tokenizer_decode(&text, &bytes, t, ids, n, &err) != PH_OK ||
        ph_utf8_clean(&clean, text, bytes, &err) != PH_OK) {
        printf("error %s\n", err.msg);
        ph_free(text);
        return 1;
    }
    for (const char *p = clean; *p; p++) {
        const char *const special = "\n\r\t\\", *at = strchr(special, *p);
        if (at)
            printf("\\%c", "nrt\\"[at - special]);
        else if ((unsigned char)*p < 32)
            printf("\\x%02x", *p);
        else
            putchar(*p);
    }
    putchar('\n');
    ph_free(text);
    ph_free(clean);
    return 0;
}

int main(int argc, char **argv)
{
    ph_error err;
    ph_tokenizer *t = NULL;
    char *line = NULL;
    size_t cap = 0;
    int failed = 0;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: tool_tokens MODEL [special|decode] <lines >lines\n");
        return 2;
    }
    if (ph_tokenizer_open(&t, argv[1], &err) != PH_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    const bool decode = argc == 3 && strcmp(argv[2], "decode") == 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        if (line[n - 1] == '\n') line[--n] = 0;
        if (decode) {
            failed |= print_text(t, line);
            continue;
        }
        const size_t bytes = lines_unescape(line, (size_t)n);
        if (bytes == (size_t)-1) {
            fprintf(stderr, "an escape that lines.h does not know\n");
            failed = 2;
            break;
        }
        failed |= print_ids(t, line, bytes, argc == 3 ? PH_ENCODE_SPECIAL : 0);
    }
    free(line);
    ph_tokenizer_close(&t);
    return failed;
}
