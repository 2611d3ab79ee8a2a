/* allow.c — which tokens a search may name: options, the file they read, the run line. */
#include "allow.h"

#include "emit.h"
#include "given.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_ASCII = 5000, KEY_LETTERS, KEY_ALLOW, KEY_BAN, KEY_CONTAINS, KEY_SPECIAL };

static const struct argp_option options[] = {
    {NULL, 0, NULL, 0, "Which tokens may be named (all that is asked for must hold):", 80},
    {"ascii", KEY_ASCII, NULL, 0, "Printable ASCII only", 80},
    {"letters", KEY_LETTERS, NULL, 0, "Letters, of any script, and blanks only", 80},
    {"allow", KEY_ALLOW, "FILE", 0,
     "Only tokens of this text: one word or text a line, as it stands or behind a blank", 80},
    {"ban", KEY_BAN, "TEXT", 0,
     "No token that has TEXT in it, nor an answer that spells it with several; may be repeated",
     80},
    {"contains", KEY_CONTAINS, "TEXT", 0, "Only answers that have TEXT in them win", 80},
    {"special", KEY_SPECIAL, NULL, 0,
     "Special tokens such as <|endoftext|> too; as text they are not tokenised back to themselves",
     80},
    {0}};

static void add_ban(struct allow *a, const char *arg, struct argp_state *state)
{
    const char **more;
    if (!*arg) usage_error(state, "--ban: an empty text");
    more = realloc(a->ban, (a->c.n_ban + 1) * sizeof *more);
    if (!more) usage_error(state, "--ban: out of memory");
    more[a->c.n_ban++] = arg;
    a->c.ban = a->ban = more;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    const ph_constraints defaults = PH_CONSTRAINTS_INIT;
    struct allow *a = state->input;

    switch (key) {
    case ARGP_KEY_INIT: a->c = defaults; break;
    case KEY_ASCII: a->c.ascii = true; break;
    case KEY_LETTERS: a->c.letters = true; break;
    case KEY_SPECIAL: a->c.special = true; break;
    case KEY_ALLOW: a->path = arg; break;
    case KEY_BAN: add_ban(a, arg, state); break;
    case KEY_CONTAINS:
        if (!*arg) usage_error(state, "--contains: an empty text");
        a->c.contains = arg;
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp allow_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};

ph_status allow_open(struct allow *a, ph_error *err)
{
    ph_status st = PH_OK;
    if (a->path) st = given_file(&a->text, &a->c.allow_bytes, a->path, err);
    a->c.allow = a->text;
    return st;
}

void allow_free(struct allow *a)
{
    free(a->text);
    free(a->ban);
}

static json_t *text_or_null(const char *text)
{
    return text ? utf8(text, strlen(text)) : json_null();
}

json_t *allow_json(const struct allow *a)
{
    json_t *ban = json_array();
    for (size_t i = 0; i < a->c.n_ban; i++) json_array_append_new(ban, text_or_null(a->c.ban[i]));
    json_t *o = json_pack("{s:b, s:b, s:b, s:n, s:o, s:o}", "ascii", a->c.ascii, "letters",
                          a->c.letters, "special", a->c.special, "allow", "ban", ban, "contains",
                          text_or_null(a->c.contains));
    if (a->path) set_file(o, "allow", a->path, a->text, a->c.allow_bytes);
    return o;
}
