/* job.c — what every search starts from: a model, its context, its ordinary and allowed tokens. */
#include "search/job.h"

#include "base/mem.h"
#include "text/utf8.h"
#include "text/vocab.h"

#include <string.h>

static ph_status need_tokenizer(const ph_model *model, ph_error *err)
{
    if (model->tokenizer) return PH_OK;
    return ph__fail(err, PH_EFORMAT, -1, "%s: the file holds no vocabulary (tokenizer.ggml.model)",
                    model->info.path);
}

ph_status ph_context(int32_t **ids, size_t *n, const ph_model *model, const ph_run_options *options,
                     ph_error *err)
{
    const ph_run_options defaults = PH_RUN_OPTIONS_INIT;
    ph_turn turn = {0};
    PH_TRY(need_tokenizer(model, err));
    PH_TRY(ph__turn_open(&turn, model->tokenizer, options ? options : &defaults, err));
    const ph_status st = ph__turn_context(ids, n, &turn, model->tokenizer, err);
    ph__turn_close(&turn);
    return st;
}

static ph_status list_ordinary(ph_job *job, ph_error *err)
{
    const size_t V = (size_t)job->model->arch.V;
    const int32_t n = ph_tokenizer_get_info(job->tokenizer)->vocab;

    PH_TRY(PH_NEW(&job->ordinary, V, err));
    PH_TRY(PH_NEW(&job->is_ordinary, V, err));
    for (int32_t id = 0; id < n; id++) {
        size_t bytes = 0;
        ph_tokenizer_piece(job->tokenizer, id, &bytes);
        if (ph_tokenizer_kind(job->tokenizer, id) != PH_TOKEN_NORMAL || bytes == 0) continue;
        job->is_ordinary[id] = true;
        job->ordinary[job->n_ordinary++] = id;
    }
    if (job->n_ordinary == 0)
        return ph__fail(err, PH_EFORMAT, -1, "the vocabulary has no ordinary token");
    job->allowed = job->ordinary;
    job->n_allowed = job->n_ordinary;
    job->is_allowed = job->is_ordinary;
    return PH_OK;
}

ph_status ph__job_open(ph_job *out, const ph_model *model, const ph_run_options *run, ph_error *err)
{
    const ph_run_options defaults = PH_RUN_OPTIONS_INIT;
    ph_job job = {.model = model, .tokenizer = model->tokenizer, .run = run ? *run : defaults};
    ph_status st = PH_OK;

    PH_GO(need_tokenizer(model, err));
    PH_GO(ph__turn_open(&job.turn, job.tokenizer, &job.run, err));
    PH_GO(ph__turn_context(&job.context, &job.n_context, &job.turn, job.tokenizer, err));
    PH_GO(list_ordinary(&job, err));
    *out = job;
    return PH_OK;
done:
    ph__job_close(&job);
    return st;
}

void ph__job_close(ph_job *job)
{
    ph__turn_close(&job->turn);
    ph__free(job->context);
    if (job->allowed != job->ordinary) ph__free(job->allowed);
    if (job->is_allowed != job->is_ordinary) ph__free(job->is_allowed);
    ph__free(job->ordinary);
    ph__free(job->is_ordinary);
    *job = (ph_job){0};
}

/* ---- constraints ---- */

bool ph__job_has(const char *text, size_t bytes, const char *part)
{
    const size_t n = strlen(part);
    for (size_t i = 0; n && i + n <= bytes; i++)
        if (memcmp(text + i, part, n) == 0) return true;
    return false;
}

static bool printable(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < ' ' || p[i] > '~') return false;
    return true;
}

static bool may_name(const ph_job *job, const ph_constraints *c, int32_t id)
{
    size_t n = 0;
    const char *piece = ph_tokenizer_piece(job->tokenizer, id, &n);
    const ph_token_kind kind = ph_tokenizer_kind(job->tokenizer, id);
    const bool special = kind == PH_TOKEN_CONTROL || kind == PH_TOKEN_USER_DEFINED;

    if (!job->is_ordinary[id] && !(c->special && special && n)) return false;
    if (c->ascii && !printable(piece, n)) return false;
    if (c->letters && !ph__utf8_letters(piece, n)) return false;
    for (size_t i = 0; i < c->n_ban; i++)
        if (ph__job_has(piece, n, c->ban[i])) return false;
    return true;
}

static ph_status mark_text(bool *listed, const ph_job *job, const ph_constraints *c,
                           const char *text, size_t n, ph_error *err)
{
    int32_t *ids = NULL;
    size_t count = 0;
    const unsigned flags = c->special ? PH_ENCODE_SPECIAL : 0;
    PH_TRY(ph_tokenizer_encode(&ids, &count, job->tokenizer, text, n, flags, err));
    for (size_t i = 0; i < count; i++) listed[ids[i]] = true;
    ph__free(ids);
    return PH_OK;
}

/* listed (V): the tokens of every line, as it stands and behind a blank. */
static ph_status mark_lines(bool *listed, const ph_job *job, const ph_constraints *c, ph_error *err)
{
    ph_status st = PH_OK;
    const char *p = c->allow, *const end = p + c->allow_bytes;
    const size_t good = ph__utf8_check(p, c->allow_bytes);
    char *copy = NULL;

    if (good < c->allow_bytes)
        return ph__fail(err, PH_ETEXT, -1, "allow: byte %zu is not UTF-8", good);
    PH_TRY(PH_NEW(&copy, c->allow_bytes + 1, err));
    copy[0] = ' ';
    while (p < end) {
        const char *feed = memchr(p, '\n', (size_t)(end - p));
        const char *next = feed ? feed + 1 : end;
        size_t n = (size_t)((feed ? feed : end) - p);
        n -= feed && n && p[n - 1] == '\r';
        memcpy(copy + 1, p, n);
        if (n) PH_GO(mark_text(listed, job, c, copy + 1, n, err));
        if (n) PH_GO(mark_text(listed, job, c, copy, n + 1, err));
        p = next;
    }
done:
    ph__free(copy);
    return st;
}

static ph_status check_texts(const ph_constraints *c, ph_error *err)
{
    for (size_t i = 0; i < c->n_ban; i++)
        if (!*c->ban[i]) return ph__fail(err, PH_EINVAL, -1, "ban: an empty text");
    if (c->contains && !*c->contains)
        return ph__fail(err, PH_EINVAL, -1, "contains: an empty text");
    return PH_OK;
}

ph_status ph__job_allow(ph_job *job, const ph_constraints *c, ph_error *err)
{
    ph_status st = PH_OK;
    const size_t V = (size_t)job->model->arch.V;
    bool *listed = NULL;

    PH_TRY(check_texts(c, err));
    job->constraints = c;
    if (!c->ascii && !c->letters && !c->special && !c->allow && !c->n_ban) return PH_OK;
    job->allowed = NULL;
    job->is_allowed = NULL;
    job->n_allowed = 0;
    PH_GO(PH_NEW(&job->allowed, V, err));
    PH_GO(PH_NEW(&job->is_allowed, V, err));
    PH_GO(PH_NEW(&listed, V, err));
    if (c->allow) PH_GO(mark_lines(listed, job, c, err));
    for (int32_t id = 0; id < ph_tokenizer_get_info(job->tokenizer)->vocab; id++) {
        if ((c->allow && !listed[id]) || !may_name(job, c, id)) continue;
        job->is_allowed[id] = true;
        job->allowed[job->n_allowed++] = id;
    }
    if (job->n_allowed == 0)
        st = ph__fail(err, PH_EINVAL, -1, "the constraints leave no token that may be named");
done:
    ph__free(listed);
    return st;
}

ph_status ph__job_progress(const ph_job *job, const char *stage, double done, ph_error *err)
{
    if (job->run.progress && job->run.progress(stage, done, job->run.progress_payload))
        return ph__fail(err, PH_ECANCELED, -1, "cancelled during %s", stage);
    return PH_OK;
}

ph_status ph__job_encode(ph_encoded *out, const ph_job *job, const char *text, size_t bytes,
                         ph_error *err)
{
    return ph__turn_encode(out, &job->turn, job->tokenizer, text, bytes, err);
}

bool ph__encoded_equal(const ph_encoded *e, const ph_job *job, const int32_t *ids, size_t n)
{
    return e->n == n && memcmp(e->ids, ids, n * sizeof *ids) == 0 &&
           e->n_context == job->n_context &&
           memcmp(e->context, job->context, e->n_context * sizeof *e->context) == 0;
}

ph_status ph__job_decode(char **text, size_t *bytes, const ph_job *job, const int32_t *ids,
                         size_t n, ph_error *err)
{
    const int32_t before = job->n_context ? job->context[job->n_context - 1] : -1;
    PH_TRY(ph__tokenizer_decode_behind(text, bytes, job->tokenizer, before, ids, n, err));
    if (job->turn.blank && **text == ' ') memmove(*text, *text + 1, (*bytes)--);
    return PH_OK;
}

ph_status ph__job_trips(bool *out, const ph_job *job, const int32_t *ids, size_t n, ph_error *err)
{
    ph_status st = PH_OK;
    ph_encoded e = {0};
    char *raw = NULL, *text = NULL;
    size_t bytes = 0;

    *out = false;
    PH_GO(ph__job_decode(&raw, &bytes, job, ids, n, err));
    PH_GO(ph_utf8_clean(&text, raw, bytes, err));
    if (strlen(text) != bytes || memcmp(text, raw, bytes) != 0) goto done;
    if (!ph_tokenizer_get_info(job->tokenizer)->encodes) goto done;
    PH_GO(ph__job_encode(&e, job, text, bytes, err));
    *out = ph__encoded_equal(&e, job, ids, n);
done:
    ph__encoded_close(&e);
    ph__free(text);
    ph__free(raw);
    return st;
}

bool ph__job_text_fits(const ph_job *job, const char *text, size_t bytes)
{
    const ph_constraints *c = job->constraints;
    for (size_t i = 0; c && i < c->n_ban; i++)
        if (ph__job_has(text, bytes, c->ban[i])) return false;
    return !c || !c->contains || ph__job_has(text, bytes, c->contains);
}

ph_status ph__job_fits(bool *out, const ph_job *job, const int32_t *ids, size_t n, ph_error *err)
{
    char *raw = NULL;
    size_t bytes = 0;

    *out = true;
    if (!job->constraints || (!job->constraints->contains && !job->constraints->n_ban))
        return PH_OK;
    PH_TRY(ph__job_decode(&raw, &bytes, job, ids, n, err));
    *out = ph__job_text_fits(job, raw, bytes);
    ph__free(raw);
    return PH_OK;
}

static ph_status check_ids(const ph_job *job, const int32_t *ids, size_t n, ph_error *err)
{
    const int64_t V = job->model->arch.V;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= V)
            return ph__fail(err, PH_ERANGE, -1, "id %d: this model has 0 to %lld", ids[i],
                            (long long)V - 1);
    return PH_OK;
}

/* The tokens of a given text; of one that is bytes, the context that its tokens ask for. */
static ph_status take_text(ph_encoded *e, ph_job *job, const ph_text *text, ph_error *err)
{
    if (!text->ids) {
        PH_TRY(ph__job_encode(e, job, text->text, text->bytes, err));
        ph__free(job->context);
        job->context = e->context;
        job->n_context = e->n_context;
        e->context = NULL;
    } else {
        PH_TRY(check_ids(job, text->ids, text->n_ids, err));
        PH_TRY(PH_NEW(&e->ids, text->n_ids, err));
        if (text->n_ids) memcpy(e->ids, text->ids, text->n_ids * sizeof *e->ids);
        e->n = text->n_ids;
    }
    if (e->n == 0) return ph__fail(err, PH_ETEXT, -1, "the text has no tokens");
    return PH_OK;
}

ph_status ph__job_open_text(ph_job *out, int32_t **ids, size_t *n, const ph_model *model,
                            const ph_text *text, const ph_run_options *run, ph_error *err)
{
    ph_job job = {0};
    ph_encoded e = {0};
    ph_status st = PH_OK;

    PH_TRY(ph__job_open(&job, model, run, err));
    PH_GO(take_text(&e, &job, text, err));
    *ids = e.ids;
    *n = e.n;
    *out = job;
    return PH_OK;
done:
    ph__encoded_close(&e);
    ph__job_close(&job);
    return st;
}

ph_status ph__job_region(ph_region *out, const ph_job *job, const ph_feature *f, int64_t T,
                         ph_error *err)
{
    return ph__region(out, f, T, job->run.reduce, job->run.sign, err);
}

const ph_tap *ph__taps_of(const ph_feature *f, size_t *n)
{
    *n = f->n_taps ? f->n_taps : 1;
    return f->n_taps ? f->taps : &f->tap;
}

void ph__session_at(ph_session_options *o, const ph_feature *f)
{
    o->tap = f->tap;
    o->taps = f->n_taps > 1 ? f->taps : NULL;
    o->n_taps = f->n_taps > 1 ? f->n_taps : 0;
}

bool ph__same_taps(const ph_feature *a, const ph_feature *b)
{
    size_t n, m;
    const ph_tap *s = ph__taps_of(a, &n), *t = ph__taps_of(b, &m);
    if (n != m) return false;
    for (size_t i = 0; i < n; i++)
        if (s[i].place != t[i].place || s[i].only != t[i].only || s[i].block != t[i].block)
            return false;
    return true;
}

size_t ph__same_tap_run(const ph_features *features, size_t first, const ph_feature **run)
{
    size_t n = 0;
    const ph_feature *f;
    while ((f = ph_features_at(features, first + n)) && (n == 0 || ph__same_taps(f, run[0])))
        run[n++] = f;
    return n;
}
