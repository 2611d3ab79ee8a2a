/* cmd_tokenize.c — phosphene tokenize: text to ids and pieces, and back. */
#include "emit.h"
#include "given.h"
#include "table.h"

#include <stdlib.h>
#include <string.h>

struct tokenize_command {
    struct common common;
    struct given given;
    bool special, bare;
};

enum { KEY_SPECIAL = 2000, KEY_BARE };

static const struct argp_option options[] = {
    GIVEN_OPTION,
    {"special", KEY_SPECIAL, NULL, 0, "Parse special tokens such as <|endoftext|> in TEXT", 0},
    {"no-add", KEY_BARE, NULL, 0, "Do not add the BOS or EOS that the tokenizer's flags ask for",
     0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct tokenize_command *t = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &t->common; break;
    case KEY_IDS: given_ids(&t->given, arg, state); break;
    case KEY_SPECIAL: t->special = true; break;
    case KEY_BARE: t->bare = true; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {options,
                                 parse,
                                 "TEXT\n--ids N,…",
                                 "Text to token ids and pieces, or ids back to text. The file may "
                                 "hold a vocabulary only, of any "
                                 "architecture, or be a tokenizer.json or SentencePiece's "
                                 "tokenizer.model; a folder is looked into, for vocab.json and "
                                 "merges.txt as well."
                                 "\v"
                                 "Examples:\n"
                                 "  phosphene tokenize 'The sky is blue.'\n"
                                 "  phosphene tokenize --ids 504,6376,314\n"
                                 "  phosphene tokenize -m vocabulary.gguf --json 'Grüße'\n"
                                 "  phosphene tokenize -m model/tokenizer.json 'Grüße'\n",
                                 children,
                                 NULL,
                                 NULL};

static ph_status print_json(const struct tokenize_command *c, const ph_tokenizer *t,
                            const char *text, size_t bytes, const int32_t *ids, size_t n,
                            ph_error *err)
{
    char run[17];
    ph_status st =
        emit_run(run, &c->common, &(struct run_of){.input = ""}, common_settings(&c->common), err);
    if (st != PH_OK) return st;
    json_t *line = json_pack("{s:s, s:s, s:o, s:o}", "type", "tokenize", "run", run, "text",
                             utf8(text, bytes), "ids", integers(ids, n));
    set_tokens(line, t, ids, n);
    emit(line);
    return PH_OK;
}

static void print_table(const struct tokenize_command *c, const ph_tokenizer *t, const char *text,
                        size_t bytes, const int32_t *ids, size_t n)
{
    if (c->given.ids) {
        char *shown = quoted(text, bytes, '"');
        printf("%s\n", shown ? shown : "");
        free(shown);
    }
    for (size_t i = 0; i < n; i++) {
        char *token = quoted_token(t, ids[i]);
        printf("%7d  %s\n", ids[i], token ? token : "");
        free(token);
    }
}

/* The ids of the text, or the text of the ids; both to be freed with ph_free. */
static ph_status convert(int32_t **ids, size_t *n, char **text, size_t *bytes,
                         const struct tokenize_command *c, const ph_tokenizer *t, ph_error *err)
{
    const ph_text *given = &c->given.text;
    const unsigned flags = (c->special ? PH_ENCODE_SPECIAL : 0u) | (c->bare ? 0u : PH_ENCODE_ADD);
    if (!given->ids && given->bytes == 0) return PH_OK;
    if (!given->ids) return ph_tokenizer_encode(ids, n, t, given->text, given->bytes, flags, err);
    *n = given->n_ids;
    return ph_tokenizer_decode(text, bytes, t, given->ids, given->n_ids, err);
}

static ph_status run(struct tokenize_command *c, ph_error *err)
{
    ph_tokenizer *t = NULL;
    int32_t *ids = NULL;
    char *text = NULL;
    size_t n = 0, bytes = 0;

    ph_status st = ph_tokenizer_open(&t, c->common.models[0].path, err);
    if (st == PH_OK) st = convert(&ids, &n, &text, &bytes, c, t, err);
    if (st == PH_OK) {
        const bool back = c->given.ids != NULL;
        const char *shown = back ? text : c->given.text.text;
        const size_t size = back ? bytes : c->given.text.bytes;
        const int32_t *list = back ? c->given.ids : ids;
        if (c->common.json)
            st = print_json(c, t, shown, size, list, n, err);
        else
            print_table(c, t, shown, size, list, n);
    }
    ph_free(text);
    ph_free(ids);
    ph_tokenizer_close(&t);
    return st;
}

int cmd_tokenize(int argc, char **argv)
{
    struct tokenize_command c = {0};
    ph_error err = {0};
    int status = EXIT_USAGE;

    parse_options(&c.common, &argp, argc, argv);
    if (!c.given.ids && c.common.n_words == 1)
        c.given.text = (ph_text){.text = c.common.words[0], .bytes = strlen(c.common.words[0])};
    if ((c.common.n_words == 1) == (c.given.ids != NULL) || c.common.n_words > 1)
        fprintf(stderr, "phosphene tokenize: expected one TEXT (in quotes) or --ids\n");
    else
        status = finish(&c.common, run(&c, &err), &err, NULL);
    given_free(&c.given);
    common_free(&c.common);
    return status;
}
