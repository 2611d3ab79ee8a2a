/* tool_tokens.c — ids of texts for tools/check_tokens.py: a text a line in (see lines.h), its ids a
 * line out.
 *
 * tool_tokens MODEL.gguf [special]
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

int main(int argc, char **argv)
{
    ph_error err;
    ph_tokenizer *t = NULL;
    char *line = NULL;
    size_t cap = 0;
    int failed = 0;

    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: tool_tokens MODEL.gguf [special] <texts >ids\n");
        return 2;
    }
    if (ph_tokenizer_open(&t, argv[1], &err) != PH_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        if (line[n - 1] == '\n') n--;
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
