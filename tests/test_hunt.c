/* test_hunt.c — searches among tokens as a whole: one that was interrupted goes on as if it never had
 * been, a time limit is repeated by its budget, features that do not share are on their own, answers
 * differ, prefixes are shared, and the best single token repeated is never beaten by the answer's lack.
 */
#include "search/rescore.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWERS = 9, MOST = 16 };

static int compared, failed;

static void must(ph_status st, const ph_error *err)
{
    if (st == PH_OK) return;
    fprintf(stderr, "test_hunt: %s\n", err->msg);
    exit(1);
}

static void check(bool good, const char *what)
{
    compared++;
    if (good) return;
    failed++;
    printf("FAIL %s\n", what);
}

/* What a dream handed out. */
struct answer {
    char feature[64];
    int32_t ids[MOST];
    size_t n;
    double activation, repeated;
    int64_t forwards, naive, budget;
};

struct run {
    ph_model *model;
    ph_dream_options o;
    struct answer answers[ANSWERS];
    size_t n;
    int calls, cancel_at; /* of the progress callback; 0: never */
};

static int keep(const ph_dream_result *r, void *payload)
{
    struct run *run = payload;
    struct answer *a = &run->answers[run->n++];
    snprintf(a->feature, sizeof a->feature, "%s", r->feature->text);
    memcpy(a->ids, r->answer->ids, r->answer->n * sizeof *a->ids);
    a->n = r->answer->n;
    a->activation = r->answer->activation.text;
    a->repeated = r->repeated;
    a->forwards = r->token_forwards;
    a->naive = r->naive_forwards;
    a->budget = r->budget;
    return run->n == ANSWERS;
}

static int count(const char *stage, double done, void *payload)
{
    struct run *run = payload;
    (void)stage, (void)done;
    ++run->calls;
    return run->cancel_at && run->calls >= run->cancel_at;
}

static void begin(struct run *run, ph_model *model, const char *method)
{
    const ph_dream_options defaults = PH_DREAM_OPTIONS_INIT;
    *run = (struct run){.model = model, .o = defaults};
    run->o.method = method;
    run->o.budget = 9000;
    run->o.run.progress = count;
    run->o.run.progress_payload = run;
}

static ph_status dream(struct run *run, const char *specs)
{
    ph_features *f = NULL;
    ph_error err = {0};
    must(ph_features_parse(&f, ph_model_get_info(run->model), specs, &err), &err);
    const ph_status st = ph_dream(run->model, f, &run->o, keep, run, NULL, &err);
    ph_features_close(&f);
    if (st != PH_ECANCELED) must(st, &err);
    return st;
}

static bool same(const struct run *a, const struct run *b)
{
    bool equal = a->n == b->n;
    for (size_t i = 0; equal && i < a->n; i++)
        equal = memcmp(&a->answers[i], &b->answers[i], sizeof a->answers[i]) == 0;
    return equal;
}

static void check_resume(ph_model *model, const char *folder)
{
    static const char specs[] = "block 2 [:, :, 3-4]";
    struct run whole, part, rest;

    begin(&whole, model, "auto");
    dream(&whole, specs);

    for (int at = 10; at < 17; at += 3) { /* behind the complete search, between steps */
        begin(&part, model, "auto");
        part.o.run.cache = folder;
        part.cancel_at = at;
        check(dream(&part, specs) == PH_ECANCELED && part.n > 0, "what was found is handed out");
        begin(&rest, model, "auto");
        rest.o.run.cache = folder;
        check(dream(&rest, specs) == PH_OK && same(&whole, &rest),
              "a resumed run is the whole one");
    }
}

/* What was interrupted goes on only where the same is wanted. */
static void check_other_constraints(ph_model *model, const char *folder)
{
    static const char specs[] = "block 2 [:, :, 5]";
    static const char *const ban[] = {"ion"};
    struct run part, alone, other;

    for (int i = 0; i < 2; i++) {
        begin(&part, model, "auto");
        part.o.run.cache = folder;
        part.cancel_at = 14;
        check(dream(&part, specs) == PH_ECANCELED, "interrupted");
        begin(&alone, model, "auto");
        if (i == 0) alone.o.constraints.contains = "zq";
        if (i == 1) {
            alone.o.constraints.ban = ban;
            alone.o.constraints.n_ban = 1;
        }
        begin(&other, model, "auto");
        other.o = alone.o;
        other.o.run.progress_payload = &other;
        other.o.run.cache = folder;
        check(dream(&alone, specs) == PH_OK && dream(&other, specs) == PH_OK &&
                  same(&alone, &other),
              "other constraints are another search");
    }
}

/* When descents are over, Ctrl-C waits for their report: the last calls are those of its yardsticks. */
static void check_late_cancel(ph_model *model)
{
    static const char specs[] = "block 2 [:, :, 3-4]";
    struct run whole, part;

    begin(&whole, model, "descent");
    dream(&whole, specs);
    for (int back = 0; back < 2; back++) {
        begin(&part, model, "descent");
        part.cancel_at = whole.calls - back;
        check(dream(&part, specs) == PH_ECANCELED && same(&whole, &part),
              "nothing found is lost to a late Ctrl-C");
    }
}

static void check_time(ph_model *model)
{
    static const char specs[] = "block 2 [:, :, 5-7]";
    struct run timed, again;
    for (int i = 0; i < 4; i++) { /* some end while descents or beams are due */
        begin(&timed, model, "auto");
        timed.o.seconds = 0.06 * (i + 1);
        timed.o.budget = 10000000;
        timed.o.top = 1;
        dream(&timed, specs);
        begin(&again, model, "auto");
        again.o.budget = timed.answers[0].budget;
        again.o.top = 1;
        dream(&again, specs);
        check(again.o.budget < timed.o.budget && same(&timed, &again),
              "its budget repeats a time limit");
    }
}

/* Descents and beams, which no step divides, begin only where the budget has room for them. */
static void check_budget(ph_model *model)
{
    for (int64_t budget = 1900; budget < 12000; budget += 900) {
        struct run run;
        begin(&run, model, "auto");
        run.o.budget = budget;
        dream(&run, "block 2 [:, :, 5]");
        check(run.answers[0].forwards >= budget && run.answers[0].forwards < budget + 200,
              "as many token-forwards as the budget says");
    }
}

/* Features of several taps are searched one after another: each in its part of the time. */
static void check_shared_time(ph_model *model)
{
    struct run timed;
    begin(&timed, model, "auto");
    timed.o.seconds = 0.2;
    timed.o.budget = 100000000;
    timed.o.top = 1;
    dream(&timed, "block 2 [:, :, 5], block 1 [:, :, 5-6], embed [:, :, 5]");
    check(timed.n == 4, "every feature has an answer");
    for (size_t i = 0; i < timed.n; i++)
        check(timed.answers[i].budget > 0 && timed.answers[i].forwards >= timed.answers[i].budget,
              "every tap is searched for a while");
}

static void check_alone(ph_model *model)
{
    static const char *const specs[] = {"block 2 [:, :, 3]", "block 2 [:, :, 4]"};
    struct run both;
    begin(&both, model, "auto");
    both.o.alone = true;
    dream(&both, "block 2 [:, :, 3-4]");
    for (size_t i = 0, at = 0; i < 2; i++) {
        struct run one;
        begin(&one, model, "auto");
        one.o.alone = true;
        dream(&one, specs[i]);
        for (size_t k = 0; k < one.n; k++)
            check(at < both.n &&
                      memcmp(&one.answers[k], &both.answers[at++], sizeof *both.answers) == 0,
                  "a feature that does not share is on its own");
    }
}

static void check_answers(ph_model *model)
{
    struct run run;
    begin(&run, model, "auto");
    dream(&run, "block 1 [:, :, 0-2]");
    for (size_t i = 0; i < run.n; i++)
        for (size_t k = 0; k < i; k++) {
            const struct answer *a = &run.answers[i], *b = &run.answers[k];
            if (strcmp(a->feature, b->feature) != 0) continue;
            check(ph__overlap(a->ids, a->n, b->ids, b->n) <= 0.5, "answers differ");
            check(a->activation <= b->activation, "the best comes first");
        }
    for (size_t i = 0; i < run.n; i++)
        if (i == 0 || strcmp(run.answers[i].feature, run.answers[i - 1].feature) != 0)
            check(run.answers[i].activation >= run.answers[i].repeated - 1e-5,
                  "not below the best single token repeated");
}

static void check_sharing(ph_model *model)
{
    struct run run;
    begin(&run, model, "swap");
    run.o.tokens = 12;
    run.o.budget = 30000;
    dream(&run, "block 2 [:, :, 7]");
    const double share = (double)run.answers[0].forwards / (double)run.answers[0].naive;
    printf("swap at 12 tokens: %.3f of the naive token-forwards\n", share);
    check(share <= 0.6, "prefixes are shared");
}

struct glimpses {
    double last;
    int texts, embeddings;
    bool rising;
};

static void look(const ph_glimpse *g, void *payload)
{
    struct glimpses *seen = payload;
    if (!g->ids) {
        seen->embeddings++;
        return;
    }
    seen->rising &= seen->texts == 0 || g->activation > seen->last;
    seen->last = g->activation;
    seen->texts++;
}

/* What is seen on the way only gets better and ends with the answer; looking changes nothing. */
static void check_glimpses(ph_model *model)
{
    static const char specs[] = "block 2 [:, :, 7]";
    static const char *const methods[] = {"auto", "swap", "epo", "beam", "descent", "pez"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        struct run blind, run;
        struct glimpses seen = {.rising = true};
        const bool hunts = ph_method_budget(methods[i]);
        begin(&blind, model, methods[i]);
        blind.o.outliers = PH_OUTLIERS_KEEP;
        begin(&run, model, methods[i]);
        run.o = blind.o;
        run.o.run.progress_payload = &run;
        run.o.glimpse = look;
        run.o.glimpse_payload = &seen;
        dream(&blind, specs);
        dream(&run, specs);
        check(same(&blind, &run), methods[i]);
        check(hunts ? seen.texts > 0 && seen.rising : seen.embeddings > 0, methods[i]);
        if (hunts && strcmp(methods[i], "epo") != 0) /* its answers weigh fluency, too */
            check(fabs(seen.last - run.answers[0].activation) <= 1e-4 * (1 + fabs(seen.last)),
                  "the last glimpse is the answer");
    }
}

int main(void)
{
    char folder[] = "/tmp/test_hunt_XXXXXX", command[64];
    ph_model *model = NULL;
    ph_error err = {0};

    if (!mkdtemp(folder)) return 1;
    must(ph_model_open(&model, "tests/data/llama_b.gguf", NULL, &err), &err);
    check_resume(model, folder);
    check_other_constraints(model, folder);
    check_late_cancel(model);
    check_time(model);
    check_shared_time(model);
    check_budget(model);
    check_alone(model);
    check_answers(model);
    check_sharing(model);
    check_glimpses(model);
    ph_model_close(&model);
    snprintf(command, sizeof command, "rm -r %s", folder);
    if (system(command) != 0) return 1;
    printf("%d compared, %d failed\n", compared, failed);
    return failed || !compared;
}
