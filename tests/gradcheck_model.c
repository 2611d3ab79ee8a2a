/* gradcheck_model.c — the gradient of whole models against central differences, in double.
 *
 * For every tiny model, tap or sum of several, objective, reduction and context: <dE,v> against
 * [8 (f(E+hv) - f(E-hv)) - (f(E+2hv) - f(E-2hv))] / 12h for random unit directions v, on the ref64
 * backend. That quotient's truncation is of order h^4, so what is allowed is its rounding: 16 eps
 * times the sum of |terms| over 12h, and 1e-7 of the derivative itself.
 */
#include "families.h"

#include "base/rng.h"
#include "feature/objective.h"
#include "model/session.h"
#include "search/job.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { B = 2, T = 5, DIRECTIONS = 2 };

static int checked, failed;

struct setup {
    ph_model *model;
    ph_session *session;
    ph_region region;
    int objective;
    int64_t W, C;
    double *X, *dX, *E, *moved, *dE, *v;
};

static void must(ph_status st, const ph_error *err)
{
    if (st == PH_OK) return;
    fprintf(stderr, "gradcheck_model: %s\n", err->msg);
    exit(1);
}

static double *room(int64_t n)
{
    double *p = calloc((size_t)n, sizeof *p);
    if (!p) exit(1);
    return p;
}

/* Sum over the rows of the objective at E; dX of all rows where seeds is true. */
static double value(struct setup *s, const double *E, bool seeds)
{
    ph_error err = {0};
    double sum = 0;
    ph__session_write64(s->session, E, B);
    must(ph__session_run(s->session, &err), &err);
    ph__session_read64(s->session, s->X);
    double *scratch = room(T * s->W);
    for (int64_t b = 0; b < B; b++)
        sum += ph__objective(seeds ? s->dX + b * T * s->W : scratch, s->objective, 100, &s->region,
                             s->X + b * T * s->W, T, s->W);
    free(scratch);
    return sum;
}

/* f at E + step*v */
static double along_v(struct setup *s, double step)
{
    const int64_t n = B * T * s->C;
    for (int64_t i = 0; i < n; i++) s->moved[i] = s->E[i] + step * s->v[i];
    return value(s, s->moved, false);
}

static void check_direction(struct setup *s, ph_rng *rng, const char *name)
{
    const int64_t n = B * T * s->C;
    const double h = 1e-3;
    double exact = 0, size = 0;

    for (int64_t i = 0; i < n; i++) s->v[i] = ph__rng_normal(rng);
    for (int64_t i = 0; i < n; i++) size += s->v[i] * s->v[i];
    for (int64_t i = 0; i < n; i++) s->v[i] /= sqrt(size);
    for (int64_t i = 0; i < n; i++) exact += s->dE[i] * s->v[i];
    const double near_up = along_v(s, h), near_down = along_v(s, -h);
    const double far_up = along_v(s, 2 * h), far_down = along_v(s, -2 * h);
    const double numeric = (8 * (near_up - near_down) - (far_up - far_down)) / (12 * h);
    const double terms = 8 * (fabs(near_up) + fabs(near_down)) + fabs(far_up) + fabs(far_down);
    const double allowed = 16 * DBL_EPSILON * terms / (12 * h) + 1e-7 * fabs(exact);
    checked++;
    if (!(fabs(exact - numeric) <= allowed)) {
        printf("FAIL %s: <dE,v> = %.12g, differences %.12g, %.2f of allowed\n", name, exact,
               numeric, fabs(exact - numeric) / allowed);
        failed++;
    }
}

static void check_case(struct setup *s, ph_feature f, int objective, ph_reduce reduce, int sign,
                       const char *name)
{
    ph_error err = {0};
    ph_rng rng = ph__rng(7, 1);
    const int64_t n = B * T * s->C;

    must(ph__region(&s->region, &f, T, reduce, sign, &err), &err);
    s->objective = objective;
    for (int64_t i = 0; i < n; i++) s->E[i] = 0.3 * ph__rng_normal(&rng);
    value(s, s->E, true);
    must(ph__session_back64(s->session, s->dX, &err), &err);
    ph__session_gradient64(s->session, s->dE);
    for (int i = 0; i < DIRECTIONS; i++) check_direction(s, &rng, name);
}

static struct setup setup_open(ph_model *model, ph_session_options o, size_t n_context)
{
    static const int32_t context[] = {5, 17};
    ph_error err = {0};
    struct setup s = {.model = model, .C = model->arch.C};

    o.rows = B;
    o.tokens = T;
    o.gradient = true;
    o.context = context;
    o.n_context = n_context;
    must(ph_session_open(&s.session, model, &o, &err), &err);
    s.W = ph__session_width(s.session);
    s.X = room(B * T * s.W);
    s.dX = room(B * T * s.W);
    s.E = room(B * T * s.C);
    s.moved = room(B * T * s.C);
    s.dE = room(B * T * s.C);
    s.v = room(B * T * s.C);
    return s;
}

static void setup_close(struct setup *s)
{
    free(s->X);
    free(s->dX);
    free(s->E);
    free(s->moved);
    free(s->dE);
    free(s->v);
    ph_session_close(&s->session);
}

static void check_tap(ph_model *model, const char *path, ph_tap tap, size_t n_context)
{
    static const ph_range tokens[] = {{0, PH_END}, {-1, PH_END}, {1, 3}};
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    char place[48], name[200];

    o.tap = tap;
    struct setup s = setup_open(model, o, n_context);
    ph__tap_name(place, tap);
    for (int objective = -1; objective < 4; objective++) {
        for (int reduce = PH_REDUCE_MEAN; reduce < PH_REDUCE_COUNT; reduce++) {
            const ph_range where = tokens[(objective + 1) % 3];
            ph_feature f = {.tap = tap, .tokens = where, .components = {3, reduce == 1 ? 7 : 4}};
            f.text = place;
            snprintf(name, sizeof name, "%s %s context=%zu objective=%d reduce=%d", path, place,
                     n_context, objective, reduce);
            check_case(&s, f, objective, (ph_reduce)reduce, reduce == 2 ? -1 : 1, name);
        }
    }
    setup_close(&s);
}

/* Sums: all places at once, at different depths; terms apart; directions; latents, whose input is
 * normalised. The files are of model c's width. */
static const char *const sums[] = {
    "block 1 [:, :, 3] - 0.5*block 2 [:, :, 7]",
    "-block 2 [:, 1:4, 0:5]",
    "-0.5*embed [:, :, 1] + block 1 attn [:, :, 2] - 2*block 1 neuron [:, :, 3] + "
    "block 1 mlp [:, :, 4] + 0.25*block 1 [:, :, 5] - block 2 attn [:, :, 6] + "
    "block 2 neuron [:, :, 7] - block 2 mlp [:, :, 8] + block 2 [:, :, 9] + final [:, :, 10] - "
    "0.125*logits [:, :, 11]",
    "logits [:, -1, 11] - logits [:, -1, 12]",
    "final [:, :, 3] - logits [:, :, 11]",
    "block 1 [:, 0:2, 3] - 3*block 2 [:, -2:, 7] + block 1 neuron [:, :, 3]",
    "only block 2 mlp [:, :, 3] - only block 2 attn [:, :, 4] + only block 2 neuron [:, :, 5]"};
static const char *const file_sums[] = {
    "dir:tests/data/sae/directions.npy#1 @ block 1 - 0.5*dir:tests/data/sae/directions.npy#2 @ "
    "block 2 mlp [:, 1:]",
    "sae:tests/data/sae/jumprelu [:, :, 3] - 0.5*sae:tests/data/sae/gated [:, :, 4]",
    "sae:tests/data/sae/layer_norm [:, :, 3] + block 2 [:, :, 1]",
    "sae:tests/data/sae/constant_norm [:, :, 3] - 2*sae:tests/data/sae/scaled [:, :, 3]"};

/* max: also by the largest token, which a step may change where two are alike */
static void check_sum(ph_model *model, const char *path, const char *spec, size_t n_context,
                      bool max)
{
    ph_features *features = NULL;
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_error err = {0};
    char name[300];

    must(ph_features_parse(&features, ph_model_get_info(model), spec, &err), &err);
    const ph_feature *f = ph_features_at(features, 0);
    ph__session_at(&o, f);
    struct setup s = setup_open(model, o, n_context);
    for (int objective = -1; objective < 4; objective++)
        for (int reduce = PH_REDUCE_DEFAULT; reduce < PH_REDUCE_COUNT; reduce++) {
            if (reduce == PH_REDUCE_MAX && !max) continue;
            snprintf(name, sizeof name, "%s %.180s context=%zu objective=%d reduce=%d", path, spec,
                     n_context, objective, reduce);
            check_case(&s, *f, objective, (ph_reduce)reduce, reduce == 2 ? -1 : 1, name);
        }
    setup_close(&s);
    ph_features_close(&features);
}

static void check_model(const char *path)
{
    ph_model_options options = PH_MODEL_OPTIONS_INIT;
    ph_model *model = NULL;
    ph_error err = {0};

    options.backend = "ref64";
    must(ph_model_open(&model, path, &options, &err), &err);
    const int64_t last = model->arch.blocks;
    const ph_tap taps[] = {
        {PH_PLACE_EMBED, false, 0},    {PH_PLACE_BLOCK, false, 1},  {PH_PLACE_BLOCK, false, last},
        {PH_PLACE_ATTN, false, last},  {PH_PLACE_MLP, false, last}, {PH_PLACE_NEURON, false, last},
        {PH_PLACE_BLOCK, true, last},  {PH_PLACE_ATTN, true, last}, {PH_PLACE_MLP, true, last},
        {PH_PLACE_NEURON, true, last}, {PH_PLACE_FINAL, false, 0},  {PH_PLACE_LOGITS, false, 0}};
    for (size_t i = 0; i < sizeof taps / sizeof *taps; i++)
        for (size_t context = 0; context <= 2; context += 2)
            check_tap(model, path, taps[i], context);
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
        check_sum(model, path, sums[i], 2, true);
    for (size_t i = 0; model->arch.C == 36 && i < sizeof file_sums / sizeof *file_sums; i++)
        check_sum(model, path, file_sums[i], i % 2, true);
    ph_model_close(&model);
}

/* A family's file: a few places, in each of which all that its blocks are made of has a part. */
static void check_family(const char *name)
{
    ph_model_options options = PH_MODEL_OPTIONS_INIT;
    ph_model *model = NULL;
    ph_error err = {0};
    char path[64];

    snprintf(path, sizeof path, "tests/data/%s.gguf", name);
    options.backend = "ref64";
    must(ph_model_open(&model, path, &options, &err), &err);
    const int64_t last = model->arch.blocks;
    check_tap(model, path, (ph_tap){PH_PLACE_LOGITS, false, 0}, 2);
    check_tap(model, path, (ph_tap){PH_PLACE_MLP, false, last}, 0);
    check_tap(model, path, (ph_tap){PH_PLACE_NEURON, true, last}, 2);
    check_sum(model, path, sums[2], 2, false);
    check_sum(model, path, sums[6], 2, false);
    ph_model_close(&model);
}

int main(void)
{
    static const char *const models[] = {"tests/data/llama_a.gguf", "tests/data/llama_b.gguf",
                                         "tests/data/llama_c.gguf"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) check_model(models[i]);
    for (size_t i = 0; families[i]; i++) check_family(families[i]);
    printf("gradcheck_model: %d directions checked, %d failed\n", checked, failed);
    return failed || !checked;
}
