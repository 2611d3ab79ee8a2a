/* test_real.c — real models against PyTorch float32 on the same dequantised weights.
 *
 *   test_real VARIABLE GOLDEN     the model that the environment's variable names
 *
 * A golden (tools/golden_real.py, tools/golden_models.py) holds, for texts in several languages,
 * blocks or the output scores, and features, the activation and the gradient's norm and product
 * with the input at every token; of the default model also the first points of the descent from
 * the text's embedding, of half of the features unless $PHOSPHENE_NIGHTLY is set. Each array must
 * agree to 1e-3 of its largest value. Curves are compared for 7 points, six steps: later ones
 * have grown rounding. Skipped (77) where the model is not there.
 */
#include "search/descent.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 7, MAX_TOKENS = 256, MAX_FEATURES = 16 };
static const double tolerance = 1e-3;

static ph_model *model;
static int64_t compared;
static int failed, chats;
static double worst;
static int points[POINTS + 1]; /* curves by the number of points compared */

static void die(const char *what)
{
    fprintf(stderr, "test_real: %s\n", what);
    exit(1);
}

static void must(ph_status st, const ph_error *err)
{
    if (st != PH_OK) die(err->msg);
}

static void compare(const double *got, const json_t *want, size_t n, const char *what)
{
    double largest = 0, off = 0;
    if (json_array_size(want) < n) die("an array of the golden is too short");
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(json_number_value(json_array_get(want, i))));
    for (size_t i = 0; i < n; i++) {
        const double d = fabs(got[i] - json_number_value(json_array_get(want, i)));
        if (!(d <= off)) off = d;
    }
    compared += (int64_t)n;
    if (!(off / largest <= worst)) worst = off / largest;
    if (!(off <= tolerance * largest)) {
        printf("FAIL %s: off by %.2e of the largest value %.4g\n", what, off / largest, largest);
        failed++;
    }
}

/* ---- one row of the file: a text, a block, some features ---- */

struct given {
    json_t *row;
    size_t n_features, at; /* at: the feature whose result comes next */
    ph_text text;
    ph_run_options run;
    int32_t ids[MAX_TOKENS];
    char name[160];
};

static const json_t *list(const struct given *g, const char *key)
{
    return json_array_get(json_object_get(g->row, key), g->at);
}

static void set_name(struct given *g, const ph_feature *f)
{
    snprintf(g->name, sizeof g->name, "%s, text %lld (%s)%s", f->text,
             (long long)json_integer_value(json_object_get(g->row, "n")),
             json_string_value(json_object_get(g->row, "language")),
             g->run.bos == PH_BOS_OFF ? ", no context" : "");
}

static int on_score(const ph_score_result *r, void *payload)
{
    struct given *g = payload;
    set_name(g, r->feature);
    compare(r->values, list(g, "values"), r->n, g->name);
    if (r->grad_norm) compare(r->grad_norm, list(g, "grad_norm"), r->n, g->name);
    if (r->grad_norm) compare(r->grad_x_input, list(g, "grad_x_input"), r->n, g->name);
    g->at++;
    return 0;
}

static size_t n_curves(const struct given *g)
{
    return getenv("PHOSPHENE_NIGHTLY") ? g->n_features : (g->n_features + 1) / 2;
}

/* The first points of each of these features' descent from the text, with its embedding off by `nudge`
 * relative, up and down in turn. eta falls from 1 to 0.1 over 100 steps: the first of them are the
 * same line, shorter. */
static void descend(double curves[][POINTS], struct given *g, const ph_features *features,
                    float nudge)
{
    const int64_t steps = POINTS - 1;
    const ph_descent d = {.T = (int64_t)g->text.n_ids,
                          .steps = steps,
                          .eta_first = 1,
                          .eta_last = 1 - 0.9 * (double)steps / 100,
                          .target = 100};
    const size_t size = g->text.n_ids * (size_t)model->arch.C, n = n_curves(g);
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_session *session = NULL;
    ph_job job = {0};
    ph_error err = {0};
    ph_row rows[MAX_FEATURES] = {0};
    double seconds = 0, flops = 0, first = 0;

    must(ph__job_open(&job, model, &g->run, &err), &err);
    float *e = calloc(n * size, sizeof *e);
    if (!e) die("out of memory");
    for (size_t i = 0; i < n; i++) {
        rows[i] =
            (ph_row){.feature = ph_features_at(features, i), .e = e + i * size, .curve = curves[i]};
        must(ph__job_region(&rows[i].region, &job, rows[i].feature, d.T, &err), &err);
        must(ph_model_embed(model, rows[i].e, g->ids, g->text.n_ids, &err), &err);
        for (size_t k = 0; k < size; k++) rows[i].e[k] *= 1 + (k % 2 ? nudge : -nudge);
    }
    o.tap = rows[0].feature->tap;
    o.rows = (int64_t)n;
    o.tokens = d.T;
    o.context = job.context;
    o.n_context = job.n_context;
    o.gradient = true;
    must(ph_session_open(&session, model, &o, &err), &err);
    must(ph__descend(rows, o.rows, &d, session, &job, &seconds, &flops, &first, &err), &err);
    free(e);
    ph_session_close(&session);
    ph__job_close(&job);
}

/* Compared until rounding has grown: until a change of 2e-5 of the start, which is how far PyTorch's
 * own float32 gradients are from its float64 ones, moves the curve by half of what is allowed. How
 * far that is gets counted and printed. */
static void check_curves(struct given *g, const ph_features *features)
{
    double curves[MAX_FEATURES][POINTS], nudged[MAX_FEATURES][POINTS];

    descend(curves, g, features, 0);
    descend(nudged, g, features, 2e-5f);
    for (g->at = 0; g->at < n_curves(g); g->at++) {
        const size_t given = json_array_size(list(g, "curve"));
        const double *a = curves[g->at], *b = nudged[g->at];
        double largest = 0;
        size_t n = 0;
        for (; n < POINTS && n < given; n++) {
            largest = fmax(largest, fabs(a[n]));
            if (!(fabs(a[n] - b[n]) <= tolerance / 2 * largest)) break;
        }
        set_name(g, ph_features_at(features, g->at));
        compare(a, list(g, "curve"), n, g->name);
        points[n]++;
    }
}

static void place_of(char out[32], const json_t *row)
{
    const char *place = json_string_value(json_object_get(row, "place"));
    const long long block = json_integer_value(json_object_get(row, "block"));
    place ? snprintf(out, 32, "%s", place) : snprintf(out, 32, "block %lld", block);
}

static void check_features(struct given *g)
{
    ph_features *features = NULL;
    ph_error err = {0};
    char spec[1024] = "", place[32];
    const json_t *numbers = json_object_get(g->row, "features");

    g->n_features = json_array_size(numbers);
    if (g->n_features == 0 || g->n_features > MAX_FEATURES)
        die("a row has no or too many features");
    place_of(place, g->row);
    for (size_t i = 0, at = 0; i < g->n_features; i++)
        at += (size_t)snprintf(spec + at, sizeof spec - at, "%s%s [:, :, %lld]", i ? ", " : "",
                               place, (long long)json_integer_value(json_array_get(numbers, i)));
    must(ph_features_parse(&features, ph_model_get_info(model), spec, &err), &err);
    must(ph_score(model, features, &g->text, &g->run, on_score, g, &err), &err);
    g->at = 0;
    if (json_object_get(g->row, "grad_norm"))
        must(ph_attribute(model, features, &g->text, &g->run, on_score, g, &err), &err);
    if (json_object_get(g->row, "curve")) check_curves(g, features);
    ph_features_close(&features);
}

/* The text must become the ids that PyTorch was given. */
static void check_ids(const struct given *g)
{
    const char *text = json_string_value(json_object_get(g->row, "text"));
    int32_t *ids = NULL;
    size_t n = 0;
    ph_error err = {0};

    must(ph_tokenizer_encode(&ids, &n, ph_model_tokenizer(model), text, strlen(text), 0, &err),
         &err);
    if (n != g->text.n_ids || memcmp(ids, g->ids, n * sizeof *ids) != 0) {
        printf("FAIL the ids of \"%s\" differ\n", text);
        failed++;
    }
    ph_free(ids);
}

static void check_row(json_t *row)
{
    const ph_run_options run = PH_RUN_OPTIONS_INIT;
    struct given g = {.row = row, .run = run};
    const json_t *ids = json_object_get(row, "ids");
    const size_t n = json_array_size(ids);

    if (n == 0 || n > MAX_TOKENS) die("a row of the golden has no or too many ids");
    for (size_t i = 0; i < n; i++) g.ids[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    g.text = (ph_text){.ids = g.ids, .n_ids = n};
    if (json_array_size(json_object_get(row, "context")) == 0) g.run.bos = PH_BOS_OFF;
    check_ids(&g);
    check_features(&g);
}

/* The context and the text as a user's turn are what transformers' prompt begins with. */
static void check_chat(const json_t *row)
{
    const char *text = json_string_value(json_object_get(row, "text"));
    const json_t *ids = json_object_get(row, "ids");
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    ph_job job = {0};
    ph_encoded e = {0};
    ph_error err = {0};
    bool same;

    run.chat = true;
    must(ph__job_open(&job, model, &run, &err), &err);
    must(ph__job_encode(&e, &job, text, strlen(text), &err), &err);
    same = e.n > 0 && e.n_context == job.n_context && e.n_context + e.n < json_array_size(ids);
    for (size_t i = 0; same && i < e.n_context + e.n; i++)
        same = json_integer_value(json_array_get(ids, i)) ==
               (i < e.n_context ? job.context[i] : e.ids[i - e.n_context]);
    if (!same) printf("FAIL --chat: the ids of \"%s\" differ\n", text);
    failed += !same;
    chats++;
    ph__encoded_close(&e);
    ph__job_close(&job);
}

/* Each row of the golden; the first says of which file it was made. */
static void check_rows(FILE *f)
{
    ph_error err = {0};
    json_t *row;
    char sha[65];

    must(ph_model_sha256(model, sha, &err), &err);
    while ((row = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL))) {
        if (strcmp(json_string_value(json_object_get(row, "type")), "row") == 0)
            check_row(row);
        else if (strcmp(json_string_value(json_object_get(row, "type")), "chat") == 0)
            check_chat(row);
        else if (strcmp(json_string_value(json_object_get(json_object_get(row, "model"), "sha256")),
                        sha) != 0)
            die("the model is not the file that the golden was made with");
        json_decref(row);
    }
}

int main(int argc, char **argv)
{
    const char *path = argc == 3 ? getenv(argv[1]) : NULL;
    ph_error err = {0};

    if (argc != 3) die("expected VARIABLE GOLDEN");
    if (!path || !*path) {
        printf("test_real: skipped: %s is not set (script/test sets it)\n", argv[1]);
        return 77;
    }
    FILE *f = fopen(argv[2], "r");
    if (!f) die("the golden cannot be read");
    must(ph_model_open(&model, path, NULL, &err), &err);
    check_rows(f);
    fclose(f);
    ph_model_close(&model);
    printf("test_real: curves by points compared, 0 to %d:", POINTS);
    for (int i = 0; i <= POINTS; i++) printf(" %d", points[i]);
    printf("\ntest_real: %lld numbers compared, worst %.2e of the row's largest; %d chats; %d rows "
           "failed\n",
           (long long)compared, worst, chats, failed);
    return failed || !compared;
}
