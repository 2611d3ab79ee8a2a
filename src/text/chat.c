/* chat.c — a user's turn of a chat, in the format that a tokenizer's own template prints.
 *
 * Templates are programs (Jinja). None is run: what it prints for one message of a user is known
 * for the formats of the table, and a template is told by the marks in it. What varies within a
 * format is read off the template's text: BOS, the system part, blanks.
 */
#include "text/chat.h"

#include "base/buf.h"
#include "text/tokenizer.h"

#include <string.h>

/* The marks of a format: `mark` stands in the template, and `turn`, where there is one, between it and
 * the end of that expression. The first row that fits is it. */
static const struct format {
    const char *name, *mark, *turn;
    const char *before, *after;
    const char *system, *end_of_system; /* around a system part that is printed unasked */
    bool ends;                          /* the end-of-sequence token stands before `after` */
} formats[] = {
    {"Phi-4", "<|im_sep|>", NULL, "<|im_start|>user<|im_sep|>",
     "<|im_end|><|im_start|>assistant<|im_sep|>", "<|im_start|>system<|im_sep|>", "<|im_end|>",
     false},
    {"ChatML", "<|im_start|>", NULL, "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n",
     "<|im_start|>system\n", "<|im_end|>\n", false},
    {"Llama 3", "<|start_header_id|>", NULL, "<|start_header_id|>user<|end_header_id|>\n\n",
     "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n", NULL, NULL, false},
    {"Gemma", "<start_of_turn>", NULL, "<start_of_turn>user\n",
     "<end_of_turn>\n<start_of_turn>model\n", NULL, NULL, false},
    {"Mistral", "[INST]", NULL, "[INST]", "[/INST]", NULL, NULL, false},
    {"Phi-3", "<|user|>", "<|end|>", "<|user|>\n", "<|end|>\n<|assistant|>\n", NULL, NULL, false},
    {"Phi-4-mini", "'<|' + message['role'] + '|>'", "<|end|>", "<|user|>", "<|end|><|assistant|>",
     NULL, NULL, false},
    {"Zephyr", "<|user|>", "eos_token", "<|user|>\n", "\n<|assistant|>\n", NULL, NULL, true},
    {"Tulu", "<|user|>", "'\n'", "<|user|>\n", "\n<|assistant|>\n", NULL, NULL, false},
};
#define FORMATS "ChatML, Llama 3, Gemma, Mistral, Phi-3, Phi-4, Zephyr, Tulu"

/* *out = a template with its strings' line feeds as such: how many there are of \n is up to whoever
 * wrote it. */
static ph_status unescape(char **out, const char *text, ph_error *err)
{
    size_t n = 0;
    PH_TRY(ph__strndup(out, text, strlen(text), err));
    for (const char *p = text; *p; p++) {
        const bool feed = p[0] == '\\' && p[1] == 'n';
        (*out)[n++] = feed ? '\n' : *p;
        p += feed;
    }
    (*out)[n] = 0;
    return PH_OK;
}

static bool fits(const struct format *f, const char *text)
{
    const char *mark = strstr(text, f->mark);
    if (!mark || !f->turn) return mark;
    const char *end = strstr(mark, "}}"), *turn = strstr(mark, f->turn);
    return turn && (!end || turn < end);
}

/* NULL: none. */
static const struct format *find_format(const char *text)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (fits(&formats[i], text)) return &formats[i];
    return NULL;
}

ph_status ph__tokenizer_set_chat(ph_tokenizer *t, const char *text, size_t n, ph_error *err)
{
    ph_status st = PH_OK;
    char *copy = NULL, *plain = NULL;
    const struct format *f;

    PH_GO(ph__strndup(&copy, text, n, err));
    PH_GO(unescape(&plain, copy, err));
    f = find_format(plain);
    ph__free(t->names[2]);
    t->names[2] = copy;
    t->info.chat_template = copy;
    t->info.chat_format = f ? f->name : NULL;
    copy = NULL;
done:
    ph__free(plain);
    ph__free(copy);
    return st;
}

/* ---- what varies ---- */

static ph_status add(ph_str *s, const char *text, ph_error *err)
{
    return ph__str_add(s, text, strlen(text), err);
}

/* Where a string that begins at p ends: at the quote before it, or at a brace. */
static const char *end_of_string(const char *text, const char *p)
{
    const char before = p > text ? p[-1] : 0;
    const char stop[] = {'{', '}', before == '"' || before == '\'' ? before : '{', 0};
    return p + strcspn(p, stop);
}

/* The first system part that stands in one string of the template: [*begin, *end). What is put
 * together of several is somebody's own. */
static bool find_system(const char **begin, const char **end, const struct format *f,
                        const char *text)
{
    for (const char *p = text, *stop; f->system && (p = strstr(p, f->system)); p = stop) {
        const size_t n = strlen(f->end_of_system);
        stop = end_of_string(text, p);
        for (const char *close = p; close + n <= stop; close++) {
            if (memcmp(close, f->end_of_system, n) != 0) continue;
            *begin = p;
            *end = close + n;
            return true;
        }
    }
    return false;
}

/* Llama 3.1 and its followers tell the model two dates. That of the day would be another prompt every
 * day: it is the one that the template falls back to. */
static ph_status add_dates(ph_str *s, const char *text, ph_error *err)
{
    static const char set[] = "set date_string = \"";
    const char *cutoff = strstr(text, "Cutting Knowledge Date: "), *date = strstr(text, set);

    if (!cutoff) return PH_OK;
    if (!date)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "the file's chat template prints a date that it does not name");
    date += sizeof set - 1;
    PH_TRY(add(s, "<|start_header_id|>system<|end_header_id|>\n\n", err));
    PH_TRY(ph__str_add(s, cutoff, strcspn(cutoff, "\""), err));
    PH_TRY(add(s, "Today Date: ", err));
    PH_TRY(ph__str_add(s, date, strcspn(date, "\""), err));
    return add(s, "\n\n<|eot_id|>", err);
}

/* A blank on a side of the last such mark: -1 before it, 1 behind it. */
static bool has_blank(const char *text, const char *mark, int side)
{
    const char *last = NULL;
    for (const char *p = text; (p = strstr(p, mark)); p++) last = p;
    if (!last || (side < 0 && last == text)) return false;
    return (side < 0 ? last[-1] : last[strlen(mark)]) == ' ';
}

/* Where the template says [INST] with blanks around it, so do we: they differ from one to the next. */
static ph_status write_turn(ph_str *before, ph_str *after, const struct format *f,
                            const ph_tokenizer *t, const char *text, ph_error *err)
{
    const bool blanks = strcmp(f->before, "[INST]") == 0;
    const char *system, *end;
    size_t n = 0;
    const char *eos = ph_tokenizer_piece(t, t->info.eos, &n);

    if (find_system(&system, &end, f, text))
        PH_TRY(ph__str_add(before, system, (size_t)(end - system), err));
    PH_TRY(add_dates(before, text, err));
    if (blanks && has_blank(text, f->before, -1)) PH_TRY(add(before, " ", err));
    PH_TRY(add(before, f->before, err));
    if (blanks && has_blank(text, f->before, 1)) PH_TRY(add(before, " ", err));
    if (blanks && has_blank(text, f->after, -1)) PH_TRY(add(after, " ", err));
    if (f->ends) PH_TRY(ph__str_add(after, eos, n, err));
    return add(after, f->after, err);
}

static bool has(const char *text, const char *part, size_t n)
{
    for (const char *p = text; n && (p = strchr(p, *part)); p++)
        if (strncmp(p, part, n) == 0) return true;
    return false;
}

/* The template says bos_token, or writes it out; some models begin their turns with it. */
static bool prints_bos(const struct format *f, const ph_tokenizer *t, const char *text)
{
    size_t n = 0;
    const char *piece = ph_tokenizer_piece(t, t->info.bos, &n);
    return strstr(text, "bos_token") || (has(text, piece, n) && !has(f->before, piece, n));
}

/* ---- all of it ---- */

/* Prompts of their own making, by what their templates say. */
static ph_status check_known(const struct format *f, const char *text, ph_error *err)
{
    const bool dates = strcmp(f->name, "Llama 3") == 0;
    if (strstr(text, "default_system_message") || (!dates && strstr(text, "strftime_now")))
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "the file's chat template (%s) puts together a system message of its own, "
                        "which is not supported yet; --prefix takes any context",
                        f->name);
    return PH_OK;
}

static ph_status read_template(ph_chat *out, const ph_tokenizer *t, const char *text, ph_error *err)
{
    ph_status st = PH_OK;
    ph_str before = {0}, after = {0};
    const struct format *f = find_format(text);

    if (!f)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "the file's chat template is of no format that is known (" FORMATS
                        "); --prefix and --suffix take any context");
    PH_TRY(check_known(f, text, err));
    PH_GO(write_turn(&before, &after, f, t, text, err));
    *out = (ph_chat){before.data, after.data, prints_bos(f, t, text)};
    before = after = (ph_str){0};
done:
    ph__str_close(&before);
    ph__str_close(&after);
    return st;
}

ph_status ph__chat_read(ph_chat *out, const ph_tokenizer *t, ph_error *err)
{
    char *text = NULL;

    if (!*t->info.chat_template)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "the file has no chat template (tokenizer.chat_template): is it a base "
                        "model? --prefix and --suffix take any context");
    PH_TRY(unescape(&text, t->info.chat_template, err));
    const ph_status st = read_template(out, t, text, err);
    ph__free(text);
    return st;
}

void ph__chat_close(ph_chat *chat)
{
    ph__free(chat->before);
    ph__free(chat->after);
    *chat = (ph_chat){0};
}
