/* test_constraints.c — the tokens that constraints leave, against the pieces read one by one; and
 * that no method's answer breaks them.
 */
#include "search/job.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL "tests/data/llama_b.gguf"

static int compared, failed;

static void check(bool good, const char *what)
{
    compared++;
    if (good) return;
    failed++;
    printf("FAIL %s\n", what);
}

static void must(ph_status st, const ph_error *err)
{
    if (st == PH_OK) return;
    fprintf(stderr, "test_constraints: %s\n", err->msg);
    exit(1);
}

/* ---- what a piece is, written again: ASCII and the letters of the test's own vocabulary ---- */

static bool is_ascii(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)p[i] < 0x20 || (unsigned char)p[i] > 0x7e) return false;
    return true;
}

static bool is_letters(const char *p, size_t n)
{
    static const char others[] = "\u00e9";
    for (size_t i = 0; i < n; i++) {
        const char c = p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ' ') continue;
        if (i + 2 > n || memcmp(p + i, others, 2) != 0) return false;
        i++;
    }
    return true;
}

static bool has(const char *p, size_t n, const char *part)
{
    for (size_t i = 0; i + strlen(part) <= n; i++)
        if (strncmp(p + i, part, strlen(part)) == 0) return true;
    return false;
}

/* Whether one of the file's lines, as it stands or behind a blank, tokenises to this id. */
static bool in_lines(const ph_tokenizer *t, const char *const *lines, size_t n, int32_t id)
{
    bool found = false;
    for (size_t i = 0; i < 2 * n; i++) {
        char text[80];
        int32_t *ids = NULL;
        size_t count = 0;
        ph_error err = {0};
        snprintf(text, sizeof text, "%s%s", i % 2 ? " " : "", lines[i / 2]);
        must(ph_tokenizer_encode(&ids, &count, t, text, strlen(text), 0, &err), &err);
        for (size_t k = 0; k < count; k++) found |= ids[k] == id;
        ph_free(ids);
    }
    return found;
}

/* ---- lists ---- */

static const char *const words[] = {"the \xc3\xa9", "jan", "aaaa", "x"};
static const char file[] = "the \xc3\xa9\r\n\njan\naaaa\nx";
static const char *const banned[] = {"e", "a "};

static bool expected(const ph_job *job, const ph_constraints *c, int32_t id)
{
    size_t n = 0;
    const char *p = ph_tokenizer_piece(job->tokenizer, id, &n);
    const ph_token_kind kind = ph_tokenizer_kind(job->tokenizer, id);
    const bool named = kind == PH_TOKEN_CONTROL || kind == PH_TOKEN_USER_DEFINED;

    if (n == 0 || (kind != PH_TOKEN_NORMAL && !(c->special && named))) return false;
    if (c->ascii && !is_ascii(p, n)) return false;
    if (c->letters && !is_letters(p, n)) return false;
    for (size_t i = 0; i < c->n_ban; i++)
        if (has(p, n, c->ban[i])) return false;
    return !c->allow || in_lines(job->tokenizer, words, sizeof words / sizeof *words, id);
}

static void check_lists(const ph_model *model, const ph_constraints *c, const char *what)
{
    ph_job job = {0};
    ph_error err = {0};
    size_t n = 0;
    bool same = true;

    must(ph__job_open(&job, model, NULL, &err), &err);
    must(ph__job_allow(&job, c, &err), &err);
    for (int32_t id = 0; id < ph_tokenizer_get_info(job.tokenizer)->vocab; id++) {
        const bool wanted = expected(&job, c, id);
        if (job.is_allowed[id] != wanted)
            printf("%s: token %d should be %s\n", what, id, wanted ? "allowed" : "out");
        same &= job.is_allowed[id] == wanted;
        if (wanted) same &= n < job.n_allowed && job.allowed[n++] == id;
    }
    check(same && n == job.n_allowed && n > 0, what);
    printf("%-24s %4zu of %zu tokens\n", what, n, job.n_ordinary);
    ph__job_close(&job);
}

static ph_constraints none(void)
{
    const ph_constraints c = PH_CONSTRAINTS_INIT;
    return c;
}

static void test_lists(const ph_model *model)
{
    ph_constraints c = none();
    check_lists(model, &c, "none");
    c.ascii = true;
    check_lists(model, &c, "ascii");
    c.special = true;
    check_lists(model, &c, "ascii, special");
    c = none();
    c.letters = true;
    check_lists(model, &c, "letters");
    c.ban = banned;
    c.n_ban = 2;
    check_lists(model, &c, "letters, ban");
    c.letters = false;
    check_lists(model, &c, "ban");
    c = none();
    c.special = true;
    check_lists(model, &c, "special");
    c = none();
    c.allow = file;
    c.allow_bytes = sizeof file - 1;
    check_lists(model, &c, "allow");
    c.ban = banned;
    c.n_ban = 1;
    check_lists(model, &c, "allow, ban");
}

static void test_letters(void)
{
    static const struct {
        const char *text;
        bool letters;
    } cases[] = {{"", true},
                 {"Gr\u00fc\u00dfe aus K\u00f6ln", true},
                 {"\u65e5\u672c \u0436\u0643\u05d0", true},
                 {"e\u0301", true}, /* a combining accent */
                 {"\u0915\u093f", true},
                 {"a1", false},
                 {"a\u0664", false}, /* a digit of another script */
                 {"a-b", false},
                 {"a\u2014", false},
                 {"a\nb", false},
                 {"a\u00a0b", false}, /* a blank that is none */
                 {"\u2160", false},   /* a Roman numeral: a number */
                 {"a\xc3", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(ph__utf8_letters(cases[i].text, strlen(cases[i].text)) == cases[i].letters,
              cases[i].text);
}

static void refuse(const ph_model *model, const ph_constraints *c, ph_status st,
                   const char *message)
{
    ph_job job = {0};
    ph_error err = {0};
    must(ph__job_open(&job, model, NULL, &err), &err);
    check(ph__job_allow(&job, c, &err) == st && strstr(err.msg, message), message);
    ph__job_close(&job);
}

static void test_errors(const ph_model *model)
{
    static const char *const empty[] = {""};
    ph_constraints c = none();
    c.allow = "";
    refuse(model, &c, PH_EINVAL, "the constraints leave no token that may be named");
    c.allow = "ab\n\xff";
    c.allow_bytes = 4;
    refuse(model, &c, PH_ETEXT, "allow: byte 3 is not UTF-8");
    c = none();
    c.ban = empty;
    c.n_ban = 1;
    refuse(model, &c, PH_EINVAL, "ban: an empty text");
    c = none();
    c.contains = "";
    refuse(model, &c, PH_EINVAL, "contains: an empty text");
}

/* ---- answers ---- */

struct seen {
    const ph_job *job;
    bool allowed, kept, flagged;
    size_t n;
};

/* Whether an answer keeps the constraints, from its ids alone. */
static bool keeps(const ph_job *job, const ph_decoded *d)
{
    const ph_constraints *c = job->constraints;
    char *text = NULL;
    size_t n = 0;
    bool good = true;
    ph_error err = {0};
    must(ph_tokenizer_decode(&text, &n, job->tokenizer, d->ids, d->n, &err), &err);
    for (size_t i = 0; i < d->n; i++) good &= expected(job, c, d->ids[i]);
    for (size_t i = 0; i < c->n_ban; i++) good &= !has(text, n, c->ban[i]);
    if (c->contains) good &= has(text, n, c->contains);
    ph_free(text);
    return good;
}

static int on_dream(const ph_dream_result *r, void *payload)
{
    struct seen *s = payload;
    bool possible = false;
    for (size_t i = 0; i < r->n_decodes; i++) {
        const bool good = keeps(s->job, &r->decodes[i]);
        possible |= good;
        /* an unnamed token of `hidden` was replaced: its flag may only be stricter */
        s->flagged &= r->decodes[i].violates == !good || (good && r->decodes[i].special);
    }
    s->kept &= r->answer->violates == !keeps(s->job, r->answer) || r->answer->special;
    s->allowed &= !possible || !r->answer->violates || r->answer->special;
    s->n++;
    return 0;
}

static void check_dream(const ph_model *model, const char *method, const ph_constraints *c,
                        const char *what)
{
    ph_dream_options o = PH_DREAM_OPTIONS_INIT;
    ph_features *f = NULL;
    ph_job job = {0};
    ph_error err = {0};
    struct seen seen = {&job, true, true, true, 0};
    char message[120];

    o.method = method;
    o.steps = 6;
    o.restarts = 3;
    o.budget = 1500;
    o.top = 1;
    o.start = "tokens";
    o.constraints = *c;
    must(ph_features_parse(&f, ph_model_get_info(model), "block 1 [:, :, 0-1], final [:, -1, 4]",
                           &err),
         &err);
    must(ph__job_open(&job, model, &o.run, &err), &err);
    must(ph__job_allow(&job, c, &err), &err);
    must(ph_dream(model, f, &o, on_dream, &seen, NULL, &err), &err);
    snprintf(message, sizeof message, "%s, %s: answers keep the constraints, or say so", method,
             what);
    check(seen.n == 3 && seen.allowed && seen.kept && seen.flagged, message);
    ph__job_close(&job);
    ph_features_close(&f);
}

static void test_dreams(const ph_model *model)
{
    for (size_t i = 0; ph_method_name(i); i++) {
        ph_constraints c = none();
        check_dream(model, ph_method_name(i), &c, "nothing asked");
        c.letters = true;
        check_dream(model, ph_method_name(i), &c, "letters");
        c.contains = "j";
        check_dream(model, ph_method_name(i), &c, "letters, contains");
        c = none();
        c.allow = file;
        c.allow_bytes = sizeof file - 1;
        c.ban = banned;
        c.n_ban = 2;
        check_dream(model, ph_method_name(i), &c, "allow, ban");
        c = none();
        c.ascii = c.special = true;
        check_dream(model, ph_method_name(i), &c, "ascii, special");
    }
}

int main(void)
{
    ph_model *model = NULL;
    ph_error err = {0};
    must(ph_model_open(&model, MODEL, NULL, &err), &err);
    test_lists(model);
    test_letters();
    test_errors(model);
    test_dreams(model);
    ph_model_close(&model);
    printf("test_constraints: %d compared, %d failed\n", compared, failed);
    return failed || !compared;
}
