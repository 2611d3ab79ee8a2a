/* cmd_near.c — phosphene near: neighbours of tokens and of found embeddings, and pairs of them. */
#include "given.h"
#include "output.h"
#include "progress.h"
#include "search.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct near_command {
    struct common common; /* first: common_argp sees it */
    struct given given;
    char *spec; /* of --from-dream */
    int64_t top;
    char **words;
    int n_words;
    struct subject *subject; /* the model at work, and its: */
    int64_t C;
    ph_pair_stats random;
    int32_t *ids; /* n tokens … */
    float *E;     /* … and their embeddings (n,C) */
    size_t n;
    ph_status failed; /* of what a dream's answer started */
    ph_error *err;
};

enum { KEY_TOP = 2000, KEY_FROM_DREAM };

static const struct argp_option options[] = {
    {"top", KEY_TOP, "K", 0, "Length of the lists (10)", 0},
    {"from-dream", KEY_FROM_DREAM, "SPEC", 0,
     "Find an embedding for this feature, as dream --method descent does: the neighbours of each "
     "of its "
     "positions, and how near it is to its decoded token and to every TOKEN",
     0},
    GIVEN_OPTION,
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct near_command *s = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &s->common; break;
    case KEY_TOP: s->top = parse_integer(state, "top", arg, 1, 1000000); break;
    case KEY_FROM_DREAM: s->spec = arg; break;
    case KEY_IDS: given_ids(&s->given, arg, state); break;
    case ARGP_KEY_END:
        if (s->common.n_words == 0 && !s->given.ids && !s->spec)
            usage_error(state, "which tokens? for example calling called");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "TOKEN…\n--ids N,…\n--from-dream SPEC [TOKEN…]",
    "The geometry of the embedding: the nearest ordinary tokens by cosine and by Euclidean "
    "distance, and of two or more tokens every pair. Exact, in double."
    "\v"
    "A TOKEN is one token of the vocabulary as it stands; where one of several is none, all are "
    "taken "
    "with a blank in front. Every "
    "figure stands beside the mean of random pairs of tokens, as (figure - mean) / deviation: a "
    "cosine of 0.3 means little in 64 dimensions and much in 4096.\n\n"
    "Examples:\n"
    "  phosphene near calling called\n"
    "  phosphene near --top 5 --ids 504,6376 --json\n"
    "  phosphene near --from-dream 'block 8 [:, :, 2]' calling called\n",
    children,
    NULL,
    NULL};

/* ---- words to tokens ---- */

/* The token of these bytes, an ordinary one first; -1: none. */
static int32_t find_piece(const ph_tokenizer *t, const char *bytes, size_t n)
{
    const int32_t vocab = ph_tokenizer_get_info(t)->vocab;
    int32_t other = -1;
    for (int32_t id = 0; id < vocab; id++) {
        size_t size = 0;
        const char *piece = ph_tokenizer_piece(t, id, &size);
        if (size != n || memcmp(piece, bytes, n) != 0) continue;
        if (ph_tokenizer_kind(t, id) == PH_TOKEN_NORMAL) return id;
        if (other < 0) other = id;
    }
    return other;
}

/* "word" is no single token, but these. */
static ph_status not_a_token(const ph_tokenizer *t, const char *word, ph_error *err)
{
    char *list = NULL, *shown = quoted(word, strlen(word), '"');
    size_t size = 0, n = 0;
    int32_t *ids = NULL;
    FILE *f = open_memstream(&list, &size);

    if (f && ph_tokenizer_get_info(t)->encodes &&
        ph_tokenizer_encode(&ids, &n, t, word, strlen(word), 0, NULL) == PH_OK) {
        for (size_t i = 0; i < n; i++) {
            char *piece = quoted_token(t, ids[i]);
            fprintf(f, "%s %s", i ? "" : ":", piece ? piece : "");
            free(piece);
        }
    }
    if (f) fclose(f);
    *err = (ph_error){.code = PH_EINVAL, .pos = -1};
    snprintf(err->msg, sizeof err->msg, "%s is not a single token%s", shown ? shown : "",
             list ? list : "");
    ph_free(ids);
    free(list);
    free(shown);
    return PH_EINVAL;
}

static int32_t find_word(const ph_tokenizer *t, const char *word, bool blank)
{
    char with[256];
    const int n = snprintf(with, sizeof with, "%s%s", blank ? " " : "", word);
    return *word && n < (int)sizeof with ? find_piece(t, with, (size_t)n) : -1;
}

/* Words are compared in one form: where one of them is a token only with a blank in front, all are
 * taken with it that can be. */
static bool one_needs_blank(const struct near_command *s, const ph_tokenizer *t)
{
    for (int i = 0; i < s->n_words; i++)
        if (find_word(t, s->words[i], false) < 0) return true;
    return false;
}

static ph_status resolve(int32_t *id, const struct near_command *s, const char *word, bool blank,
                         ph_error *err)
{
    const ph_tokenizer *t = subject_tokenizer(s->subject);
    const int32_t with = blank ? find_word(t, word, true) : -1;

    *id = with >= 0 ? with : find_word(t, word, false);
    if (*id < 0) return not_a_token(t, word, err);
    if (with >= 0 && !s->common.quiet)
        fprintf(stderr, "phosphene near: \"%s\" is taken as ' %s', with the blank\n", word, word);
    return PH_OK;
}

static ph_status take_tokens(struct near_command *s, ph_error *err)
{
    s->C = ph_model_get_info(s->subject->model)->width;
    s->n = 0;
    s->ids = calloc((size_t)s->n_words + s->given.text.n_ids + 1, sizeof *s->ids);
    if (!s->ids) return no_memory(err);
    const bool blank = one_needs_blank(s, subject_tokenizer(s->subject));
    for (int i = 0; i < s->n_words; i++) {
        const ph_status st = resolve(&s->ids[s->n], s, s->words[i], blank, err);
        if (st != PH_OK) return st;
        s->n++;
    }
    for (size_t i = 0; i < s->given.text.n_ids; i++) s->ids[s->n++] = s->given.ids[i];
    s->E = calloc(s->n * (size_t)s->C + 1, sizeof *s->E);
    return s->E ? ph_model_embed(s->subject->model, s->E, s->ids, s->n, err) : no_memory(err);
}

/* ---- figures ---- */

struct figures {
    double cosine, distance;
};

static struct figures figures(const float *a, const float *b, int64_t C)
{
    double ab = 0, aa = 0, bb = 0, dd = 0;
    for (int64_t i = 0; i < C; i++) {
        const double x = (double)a[i], y = (double)b[i];
        ab += x * y;
        aa += x * x;
        bb += y * y;
        dd += (x - y) * (x - y);
    }
    return (struct figures){aa * bb > 0 ? ab / sqrt(aa * bb) : 0, sqrt(dd)};
}

static double cosine_deviations(const struct near_command *s, double v)
{
    return (v - s->random.cosine_mean) / s->random.cosine_sd;
}

static double distance_deviations(const struct near_command *s, double v)
{
    return (v - s->random.distance_mean) / s->random.distance_sd;
}

/* An embedding with a name: a token's, or the one found for a position of a feature. */
struct place {
    int32_t id; /* of a found one, what it was decoded to */
    const char *feature;
    size_t position;
    const float *e;
};

/* ---- JSON ---- */

static json_t *random_json(const struct near_command *s)
{
    const ph_pair_stats *r = &s->random;
    return json_pack("{s:o, s:o, s:o, s:o, s:I}", "cosine_mean", number(r->cosine_mean),
                     "cosine_sd", number(r->cosine_sd), "distance_mean", number(r->distance_mean),
                     "distance_sd", number(r->distance_sd), "n", (json_int_t)r->n);
}

static void name_place(json_t *o, const struct near_command *s, const struct place *p)
{
    if (p->feature) {
        json_object_set_new(o, "feature", json_string(p->feature));
        json_object_set_new(o, "position", json_integer((json_int_t)p->position));
    }
    json_object_set_new(o, "id", json_integer(p->id));
    json_object_set_new(o, "token", token_text(subject_tokenizer(s->subject), p->id));
}

static json_t *list_json(const struct near_command *s, const ph_near *list,
                         double (*deviations)(const struct near_command *, double))
{
    json_t *a = json_array();
    for (int64_t i = 0; i < s->top && list[i].id >= 0; i++)
        json_array_append_new(a, json_pack("{s:i, s:o, s:o, s:o}", "id", list[i].id, "token",
                                           token_text(subject_tokenizer(s->subject), list[i].id),
                                           "value", number(list[i].value), "deviations",
                                           number(deviations(s, list[i].value))));
    return a;
}

static void near_json(const struct near_command *s, const struct place *p, const ph_near *cosine,
                      const ph_near *euclid)
{
    json_t *line = json_pack("{s:s, s:s}", "type", "near", "run", s->subject->run);
    name_place(line, s, p);
    json_object_set_new(line, "cosine", list_json(s, cosine, cosine_deviations));
    json_object_set_new(line, "euclid", list_json(s, euclid, distance_deviations));
    json_object_set_new(line, "random", random_json(s));
    emit(line);
}

static void pair_json(const struct near_command *s, const struct place *a, const struct place *b,
                      struct figures f)
{
    json_t *x = json_object(), *y = json_object();
    name_place(x, s, a);
    name_place(y, s, b);
    emit(json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "type", "pair", "run",
                   s->subject->run, "a", x, "b", y, "cosine", number(f.cosine), "distance",
                   number(f.distance), "cosine_deviations", number(cosine_deviations(s, f.cosine)),
                   "distance_deviations", number(distance_deviations(s, f.distance)), "random",
                   random_json(s)));
}

/* ---- tables ---- */

static char *place_name(const struct near_command *s, const struct place *p)
{
    char *token = quoted_token(subject_tokenizer(s->subject), p->id), *name = NULL;
    if (!p->feature) return token;
    if (asprintf(&name, "e%zu → %s", p->position, token ? token : "") < 0) name = NULL;
    free(token);
    return name;
}

static void print_figure(double v, double deviations)
{
    cell_number(v, "%.3f", 9);
    cell_number(deviations, "%+.1f sd", 11);
}

static void near_table(const struct near_command *s, const struct place *p, const ph_near *cosine,
                       const ph_near *euclid)
{
    const ph_tokenizer *t = subject_tokenizer(s->subject);
    char *name = place_name(s, p);
    printf("%s", name ? name : "");
    printf(p->feature ? "\n" : " (%d)\n", p->id);
    printf("  %-47s  %s\n", "nearest by cosine", "by Euclidean distance");
    for (int64_t i = 0; i < s->top && cosine[i].id >= 0; i++) {
        char *a = quoted_token(t, cosine[i].id), *b = quoted_token(t, euclid[i].id);
        printf("  %6d ", cosine[i].id);
        cell(a ? a : "", 20);
        print_figure(cosine[i].value, cosine_deviations(s, cosine[i].value));
        printf("  %6d ", euclid[i].id);
        cell(b ? b : "", 20);
        print_figure(euclid[i].value, distance_deviations(s, euclid[i].value));
        printf("\n");
        free(a);
        free(b);
    }
    free(name);
}

static void pair_table(const struct near_command *s, const struct place *a, const struct place *b,
                       struct figures f)
{
    char *x = place_name(s, a), *y = place_name(s, b);
    printf("  ");
    cell(x ? x : "", 24);
    printf(" ");
    cell(y ? y : "", 20);
    printf("  cosine");
    print_figure(f.cosine, cosine_deviations(s, f.cosine));
    printf("   distance");
    print_figure(f.distance, distance_deviations(s, f.distance));
    printf("\n");
    free(x);
    free(y);
}

/* ---- neighbours and pairs ---- */

/* A token is its own nearest: it is left out of its list. */
static void leave_out(ph_near *list, size_t n, int32_t id)
{
    size_t at = 0;
    while (at < n && list[at].id != id) at++;
    if (at < n) memmove(list + at, list + at + 1, (n - at - 1) * sizeof *list);
}

typedef void (*place_fn)(const struct near_command *s, const struct place *p);

/* The neighbours of `count` places whose embeddings lie at E (count,C), each followed by `after`. */
static ph_status print_places(const struct near_command *s, const struct place *places,
                              size_t count, const float *E, place_fn after, ph_error *err)
{
    const size_t n = (size_t)s->top + 1; /* one may be left out */
    ph_near *lists = calloc(2 * n * count + 1, sizeof *lists);
    ph_status st = lists ? PH_OK : no_memory(err);

    if (st == PH_OK && count)
        st = ph_near_embeddings(s->subject->model, E, count, n, lists, lists + n * count, err);
    for (size_t i = 0; st == PH_OK && i < count; i++) {
        ph_near *by_cosine = lists + i * n, *by_distance = by_cosine + count * n;
        if (!places[i].feature) {
            leave_out(by_cosine, n, places[i].id);
            leave_out(by_distance, n, places[i].id);
        }
        (s->common.json ? near_json : near_table)(s, &places[i], by_cosine, by_distance);
        if (after) after(s, &places[i]);
    }
    free(lists);
    return st;
}

static void print_pair(const struct near_command *s, const struct place *a, const struct place *b)
{
    const struct figures f = figures(a->e, b->e, s->C);
    (s->common.json ? pair_json : pair_table)(s, a, b, f);
}

static struct place token_at(const struct near_command *s, size_t i)
{
    return (struct place){.id = s->ids[i], .e = s->E + (int64_t)i * s->C};
}

static ph_status print_tokens(const struct near_command *s, ph_error *err)
{
    struct place *places = calloc(s->n + 1, sizeof *places);
    if (!places) return no_memory(err);
    for (size_t i = 0; i < s->n; i++) places[i] = token_at(s, i);
    const ph_status st = print_places(s, places, s->n, s->E, NULL, err);
    for (size_t i = 0; st == PH_OK && i < s->n; i++)
        for (size_t k = i + 1; k < s->n; k++) print_pair(s, &places[i], &places[k]);
    free(places);
    return st;
}

/* A found embedding beside the token it was decoded to, and all given ones. */
static void print_found(const struct near_command *s, const struct place *found)
{
    float *e = calloc((size_t)s->C, sizeof *e);
    const struct place decoded = {.id = found->id, .e = e};
    if (e && ph_model_embed(s->subject->model, e, &found->id, 1, NULL) == PH_OK)
        print_pair(s, found, &decoded);
    for (size_t i = 0; i < s->n; i++) {
        const struct place p = token_at(s, i);
        print_pair(s, found, &p);
    }
    free(e);
}

static int on_dream(const ph_dream_result *r, void *payload)
{
    struct near_command *s = payload;
    struct place *places = calloc(r->n_nearest + 1, sizeof *places);

    progress_clear();
    if (!s->common.json) {
        char *text = quoted(r->answer->text, strlen(r->answer->text), '"');
        printf("%s   %s   activation of its text %.2f\n", r->feature->text, text ? text : "",
               r->answer->activation.text);
        free(text);
    }
    for (size_t i = 0; places && i < r->n_nearest; i++)
        places[i] = (struct place){r->answer->ids[i], r->feature->text, i,
                                   r->embedding + (int64_t)i * s->C};
    s->failed = places ? print_places(s, places, r->n_nearest, r->embedding, print_found, s->err)
                       : no_memory(s->err);
    free(places);
    return s->failed != PH_OK || ferror(stdout);
}

static ph_status print_dream(struct near_command *s, ph_error *err)
{
    ph_dream_options o = PH_DREAM_OPTIONS_INIT;
    o.run = s->common.run;
    o.method = "descent"; /* it leaves an embedding */
    s->failed = PH_OK;
    s->err = err;
    const ph_status st =
        ph_dream(s->subject->model, s->subject->features, &o, on_dream, s, NULL, err);
    return s->failed != PH_OK ? s->failed : st;
}

static ph_status print_head(const struct near_command *s, ph_error *err)
{
    const ph_pair_stats *r = &s->random;
    if (s->common.json) {
        json_t *settings = common_settings(&s->common);
        json_object_set_new(settings, "top", json_integer((json_int_t)s->top));
        json_object_set_new(settings, "tokens", integers(s->ids, s->n));
        return subject_run_line(s->subject, &s->common, settings, err);
    }
    subject_title(s->subject);
    printf("\n%lld random pairs of tokens: cosine %.3f ± %.3f, distance %.3f ± %.3f\n",
           (long long)r->n, r->cosine_mean, r->cosine_sd, r->distance_mean, r->distance_sd);
    return PH_OK;
}

static ph_status run(struct near_command *s, ph_error *err)
{
    ph_status st = take_tokens(s, err);
    if (st == PH_OK) st = ph_random_pairs(&s->random, s->subject->model, s->common.run.seed, err);
    if (st == PH_OK) st = print_head(s, err);
    if (st == PH_OK && s->spec) st = print_dream(s, err);
    if (st == PH_OK) st = print_tokens(s, err);
    free(s->ids);
    free(s->E);
    s->ids = NULL;
    s->E = NULL;
    return st;
}

int cmd_near(int argc, char **argv)
{
    struct near_command s = {.top = 10, .common.several = true};
    struct subjects all = {0};
    ph_error err = {0};

    parse_options(&s.common, &argp, argc, argv);
    s.words = s.common.words;
    s.n_words = s.common.n_words;
    s.common.words = &s.spec; /* what subjects are opened with */
    s.common.n_words = s.spec != NULL;
    ph_status st = subjects_open(&all, &s.common, &err);
    for (int i = 0; st == PH_OK && i < all.n; i++) {
        s.subject = &all.at[i];
        st = run(&s, &err);
    }
    const int status = finish(&s.common, st, &err, all.at[0].specs);
    subjects_close(&all);
    given_free(&s.given);
    common_free(&s.common);
    return status;
}
