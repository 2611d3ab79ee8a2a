/* test_published.c — the strings that the page (Badger, Language Model Features) prints for Llama.
 *
 * An untrained block of Llama 7B's shape with Llama's vocabulary, descended on with the page's
 * settings. The index of the embedding's largest component, read as a token id ("hidden"), must
 * give the page's ten strings of block 1 exactly; the honest decodes of the same embeddings must
 * have activations beside them. Works on the steps of a dream without its yardsticks, of which the
 * complete search alone would take longer than all this.
 *
 * Needs ggml-vocab-llama-spm.gguf in $PHOSPHENE_VOCAB_DIR (default ../shared/vocab), 3 GB, and half
 * a minute or more: skipped (77) without the file, and where $PHOSPHENE_MODEL is not set, which is
 * how the tests with real models are asked for.
 */
#include "search/decode.h"
#include "search/descent.h"
#include "search/rescore.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { T = 5, SINGLE = 10, JOINT = SINGLE, ONE_TOKEN, ROWS, HIDDEN = PH_DECODES - 1 };

static const char specs[] = "block 1 [:, :, 0-2],block 1 [:, :, 400-401],block 1 [:, :, 2000-2004],"
                            "block 1 [:, :, 2000:2004],block 1 [:, 1, 2000]";
/* As the page prints them, one for each single feature. */
static const char *const published[SINGLE] = {
    "<unk><unk><unk><unk><unk>", "<s><s><s><s><s>",
    "</s></s></s></s></s>",      "hththththt",
    "codecodecodecodecode",      "called called called called called",
    "ItemItemItemItemItem",      "urauraurauraura",
    "vecvecvecvecvec",           "emeemeemeemeeme"};

static int compared, failed;

static void must(ph_status st, const ph_error *err)
{
    if (st == PH_OK) return;
    fprintf(stderr, "test_published: %s\n", err->msg);
    exit(1);
}

static void expect(bool ok, const char *feature, const char *what)
{
    compared++;
    failed += !ok;
    if (!ok) printf("%s: %s\n", feature, what);
}

struct published {
    ph_model *model;
    ph_features *features;
    ph_job job;
    ph_lexicon *lexicon;
    ph_scorer *scorer;
    ph_row rows[ROWS];
    float *e;                         /* (ROWS,T,C) */
    double curves[ROWS][101];         /* of a descent of 100 steps */
    int32_t ids[PH_DECODES][ROWS][T]; /* as the decoder writes them */
    ph_near nearest[ROWS][T];
    ph_decoded decoded[ROWS][PH_DECODES]; /* of each row */
};

static void open_all(struct published *p, const char *path)
{
    ph_model_options o = PH_MODEL_OPTIONS_INIT;
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    ph_error err = {0};

    o.shape = "llama-7b";
    o.blocks = 1;
    run.bos = PH_BOS_OFF;
    must(ph_model_open(&p->model, path, &o, &err), &err);
    must(ph_features_parse(&p->features, ph_model_get_info(p->model), specs, &err), &err);
    must(ph__job_open(&p->job, p->model, &run, &err), &err);
    must(ph__lexicon_open(&p->lexicon, p->model, &err), &err);
    must(ph__scorer_open(&p->scorer, &p->job, &err), &err);
    must(PH_NEW(&p->e, (size_t)(ROWS * T * p->model->arch.C), &err), &err);
}

static void close_all(struct published *p)
{
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < PH_DECODES; k++) ph__decoded_close(&p->decoded[i][k]);
    ph__free(p->e);
    ph__scorer_close(&p->scorer);
    ph__lexicon_close(&p->lexicon);
    ph__job_close(&p->job);
    ph_features_close(&p->features);
    ph_model_close(&p->model);
}

/* The page's settings: N(1/2, 1/20), c 200, eta 0.5 to 0.4, 100 steps. */
static void descend(struct published *p)
{
    const ph_descent d = {.T = T, .steps = 100, .eta_first = 0.5, .eta_last = 0.4, .target = 200};
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    ph_session *session = NULL;
    ph_error err = {0};
    double seconds = 0, flops = 0, first = 0;

    o.tap = ph_features_at(p->features, 0)->tap;
    o.rows = ROWS;
    o.tokens = T;
    o.gradient = true;
    for (size_t i = 0; i < ROWS; i++) {
        ph_row *r = &p->rows[i];
        r->feature = ph_features_at(p->features, i);
        r->e = p->e + (int64_t)i * T * p->model->arch.C;
        r->curve = p->curves[i];
        must(ph__job_region(&r->region, &p->job, r->feature, T, &err), &err);
        must(ph__start_fill(r->e, &p->job, "half", T, 0, &err), &err);
    }
    must(ph_session_open(&session, p->model, &o, &err), &err);
    must(ph__descend(p->rows, ROWS, &d, session, &p->job, &seconds, &flops, &first, &err), &err);
    printf("%d rows, %.1f s of descent at %.0f GF/s\n", ROWS, seconds, flops / seconds * 1e-9);
    ph_session_close(&session);
}

static void decode(struct published *p)
{
    ph_decoder *decoder = NULL;
    ph_candidates sets[ROWS];
    ph_error err = {0};

    must(ph__decoder_open(&decoder, &p->job, p->lexicon, -1, &err), &err);
    must(ph__decoder_run(decoder, &p->ids[0][0][0], &p->nearest[0][0], p->e, ROWS * T, &err), &err);
    ph__decoder_close(&decoder);
    for (int i = 0; i < ROWS; i++) {
        for (int k = 0; k < PH_DECODES; k++)
            p->decoded[i][k] =
                (ph_decoded){.decode = ph_decode_name((size_t)k), .ids = p->ids[k][i], .n = T};
        sets[i] = (ph_candidates){
            .list = p->decoded[i], .count = PH_DECODES, .feature = p->rows[i].feature};
    }
    must(ph__rescore(sets, ROWS, p->scorer, &p->job, 0, &err), &err);
}

static void check_strings(const struct published *p)
{
    for (int i = 0; i < SINGLE; i++) {
        const ph_feature *f = p->rows[i].feature;
        const char *text = p->decoded[i][HIDDEN].text;
        for (int t = 0; t < T; t++)
            expect(p->ids[HIDDEN][i][t] == f->components.begin, f->text, "another id");
        expect(strcmp(text + (*text == ' '), published[i]) == 0, f->text, text);
    }
}

/* Several features together give several of their tokens; one token is changed at its place. */
static void check_regions(const struct published *p)
{
    const ph_range together = p->rows[JOINT].feature->components;
    const int32_t *joint = p->ids[HIDDEN][JOINT], *one = p->ids[HIDDEN][ONE_TOKEN];
    bool mixed = false;

    for (int t = 0; t < T; t++) {
        mixed |= joint[t] != joint[0];
        expect(joint[t] >= together.begin && joint[t] < together.end, "joint", "a stray token");
        expect((one[t] == 2000) == (t == 1), "one token", "called is not at its place only");
    }
    expect(mixed, "joint", "one token only");
}

/* The soft activation nears c; every decode has a figure of its own. */
static void check_figures(const struct published *p)
{
    for (int i = 0; i < ROWS; i++) {
        const char *name = p->rows[i].feature->text;
        expect(fabs(p->curves[i][100] - 200) < (i == JOINT ? 100 : 10), name, "soft");
        printf("%-26s soft %6.1f", name, p->curves[i][100]);
        for (int k = 0; k < PH_DECODES; k++) {
            const ph_decoded *d = &p->decoded[i][k];
            expect(isfinite(d->activation.ids) && fabs(d->activation.ids) < 50, name, d->decode);
            printf("  %s %.2f", d->decode, d->activation.ids);
        }
        printf("  %s\n", p->decoded[i][HIDDEN].text);
    }
}

int main(void)
{
    const char *folder = getenv("PHOSPHENE_VOCAB_DIR");
    static struct published p;
    char path[4096];

    snprintf(path, sizeof path, "%s/ggml-vocab-llama-spm.gguf",
             folder ? folder : "../shared/vocab");
    if (!getenv("PHOSPHENE_MODEL") || access(path, R_OK) != 0) {
        printf("skipped: %s\n", access(path, R_OK) ? path : "PHOSPHENE_MODEL is not set");
        return 77;
    }
    open_all(&p, path);
    descend(&p);
    decode(&p);
    check_strings(&p);
    check_regions(&p);
    check_figures(&p);
    close_all(&p);
    printf("%d compared, %d failed\n", compared, failed);
    return failed || !compared;
}
