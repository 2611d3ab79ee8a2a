/* oom.c — every public call with its n-th allocation failing, for n = 1, 2, … until it succeeds.
 * From 200 on n goes on in steps, for what is allocated that late is allocated in loops: of 3, of 7
 * under ASan, which makes it several times slower, of 1 where $PHOSPHENE_NIGHTLY is set.
 *
 * The library allocates in base/mem.c only; malloc's family is wrapped there at link time. A call
 * must either say PH_ENOMEM or succeed; under ASan nothing may leak on the way.
 *
 *     oom [NAME…]     only these calls
 */
#include <phosphene.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL "tests/data/llama_b.gguf"

#ifdef __SANITIZE_ADDRESS__
enum { EACH = 200, STEP = 7 };
#else
enum { EACH = 200, STEP = 3 };
#endif

static long until_failure = -1; /* allocations that still succeed; -1: all do */
static bool failed_one;

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t line, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t line, size_t size);

static bool fails(void)
{
    if (until_failure < 0) return false;
    if (until_failure-- > 0) return false;
    failed_one = true;
    return true;
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t line, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(line, size);
}

/* ---- the calls ---- */

static const ph_model_options one_thread = {.size = sizeof(ph_model_options), .threads = 1};
static ph_model *model;
static ph_features *features;
static const ph_tokenizer *tokenizer;

static ph_status call_model_open(ph_error *err)
{
    ph_model *m = NULL;
    ph_status st = ph_model_open(&m, MODEL, &one_thread, err);
    ph_model_close(&m);
    return st;
}

/* Several files, norms that are copied, a tokenizer.json. */
static ph_status call_folder_open(ph_error *err)
{
#ifdef PH_FOLDERS
    ph_model *m = NULL;
    char sha[65];
    ph_status st = ph_model_open(&m, PH_FOLDERS "/gemma", &one_thread, err);
    if (st == PH_OK) st = ph_model_sha256(m, sha, err);
    ph_model_close(&m);
    return st;
#else
    (void)err;
    return PH_OK;
#endif
}

static ph_status call_model_split(ph_error *err)
{
    ph_model *m = NULL;
    char sha[65];
    ph_status st =
        ph_model_open(&m, "tests/data/split/llama_c-00002-of-00004.gguf", &one_thread, err);
    if (st == PH_OK) st = ph_model_sha256(m, sha, err);
    ph_model_close(&m);
    return st;
}

static ph_status call_tokenizer_open(ph_error *err)
{
    ph_tokenizer *t = NULL;
    ph_status st = ph_tokenizer_open(&t, MODEL, err);
    ph_tokenizer_close(&t);
    return st;
}

/* Normal forms, late special tokens, the byte level. */
/* A vocabulary, then a text through it. */
static ph_status call_older(const char *path, ph_error *err)
{
    static const char text[] = "a <b>b  c";
    ph_tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t n;
    ph_status st = ph_tokenizer_open(&t, path, err);
    if (st == PH_OK)
        st = ph_tokenizer_encode(&ids, &n, t, text, strlen(text), PH_ENCODE_SPECIAL, err);
    ph_free(ids);
    ph_tokenizer_close(&t);
    return st;
}

static ph_status call_tokenizer_model(ph_error *err)
{
    return call_older("tests/data/older/prefixed", err);
}

static ph_status call_tokenizer_pair(ph_error *err)
{
    return call_older("tests/data/older/qwen2", err);
}

static ph_status call_tokenizer_json(ph_error *err)
{
    ph_tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    static const char text[] = "Hello [x] w\xc3\xb6rld 123<s>";
    ph_status st = ph_tokenizer_open(&t, "tests/data/tokenizers/prefixed.json", err);
    if (st == PH_OK)
        st = ph_tokenizer_encode(&ids, &n, t, text, strlen(text), PH_ENCODE_SPECIAL, err);
    ph_free(ids);
    ph_tokenizer_close(&t);
    return st;
}

static ph_status call_encode(ph_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    const char text[] = "Hello <|endoftext|> w\xc3\xb6rld 123";
    ph_status st = ph_tokenizer_encode(&ids, &n, tokenizer, text, strlen(text),
                                       PH_ENCODE_SPECIAL | PH_ENCODE_ADD, err);
    ph_free(ids);
    return st;
}

static ph_status call_decode(ph_error *err)
{
    char *text = NULL;
    size_t n = 0;
    const int32_t ids[] = {5, 6, 7, 200};
    ph_status st = ph_tokenizer_decode(&text, &n, tokenizer, ids, 4, err);
    ph_free(text);
    return st;
}

static ph_status call_clean(ph_error *err)
{
    char *text = NULL;
    ph_status st = ph_utf8_clean(&text,
                                 "a\xff"
                                 "b",
                                 3, err);
    ph_free(text);
    return st;
}

static ph_status call_features(ph_error *err)
{
    ph_features *f = NULL;
    ph_status st = ph_features_parse(&f, ph_model_get_info(model),
                                     "block 1 [:, 0-3, 0-50], logits [:, :, 3]", err);
    ph_features_close(&f);
    return st;
}

static int on_scan(const ph_scan_result *r, void *payload)
{
    (void)r;
    ++*(int *)payload;
    return 0;
}

/* Of model c's width, which the files have; its first block is all that is run. */
static ph_status with_sums(ph_status (*work)(ph_model *m, ph_features *f, ph_error *err),
                           ph_error *err)
{
    ph_model *m = NULL;
    ph_features *f = NULL;
    ph_status st = ph_model_open(&m, "tests/data/llama_c.gguf", &one_thread, err);
    if (st == PH_OK)
        st = ph_features_parse(&f, ph_model_get_info(m),
                               "sae:tests/data/sae/topk_norms [:, :, 1] - "
                               "0.5*dir:\"tests/data/sae/directions.npy\"#1 @ embed, "
                               "sae:tests/data/sae/gated [:, :, 0-2], logits [:, :, \"a\"], "
                               "dir:tests/data/sae/directions.safetensors @ block 1",
                               err);
    if (st == PH_OK && work) st = work(m, f, err);
    ph_features_close(&f);
    ph_model_close(&m);
    return st;
}

static ph_status call_sums(ph_error *err)
{
    return with_sums(NULL, err);
}

static int on_sum(const ph_score_result *r, void *payload)
{
    (void)r;
    ++*(int *)payload;
    return 0;
}

static ph_status score_sums(ph_model *m, ph_features *f, ph_error *err)
{
    const int32_t ids[] = {5, 6};
    const ph_text text = {.ids = ids, .n_ids = 2};
    int results = 0;
    return ph_score(m, f, &text, NULL, on_sum, &results, err);
}

static ph_status call_score_sums(ph_error *err)
{
    return with_sums(score_sums, err);
}

static ph_status scan_sums(ph_model *m, ph_features *f, ph_error *err)
{
    ph_scan_options o = PH_SCAN_OPTIONS_INIT;
    int results = 0;
    o.run.cache = "build/oom-cache";
    return ph_scan(m, f, &o, on_scan, &results, err);
}

static ph_status call_scan_sums(ph_error *err)
{
    return with_sums(scan_sums, err);
}

static ph_status call_context(ph_error *err)
{
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    int32_t *ids = NULL;
    size_t n = 0;
    run.prefix = "ab";
    ph_status st = ph_context(&ids, &n, model, &run, err);
    ph_free(ids);
    return st;
}

static ph_status call_context_chat(ph_error *err)
{
#ifdef PH_FOLDERS
    ph_run_options run = PH_RUN_OPTIONS_INIT;
    ph_model *m = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    run.chat = true;
    ph_status st = ph_model_open(&m, PH_FOLDERS "/qwen2", &one_thread, err);
    if (st == PH_OK) st = ph_context(&ids, &n, m, &run, err);
    ph_free(ids);
    ph_model_close(&m);
    return st;
#else
    (void)err;
    return PH_OK;
#endif
}

static ph_status call_sha256(ph_error *err)
{
    char hex[65];
    return ph_model_sha256(model, hex, err);
}

static int on_dream(const ph_dream_result *r, void *payload)
{
    (void)r;
    ++*(int *)payload;
    return 0;
}

static ph_status call_dream(ph_error *err)
{
    ph_dream_options o = PH_DREAM_OPTIONS_INIT;
    int results = 0;
    o.method = "descent";
    o.steps = 2;
    o.restarts = 2;
    o.tokens = 3;
    o.run.prefix = "x";
    o.eta_first_rms = true;
    return ph_dream(model, features, &o, on_dream, &results, NULL, err);
}

static ph_status call_dream_text(ph_error *err)
{
    ph_dream_options o = PH_DREAM_OPTIONS_INIT;
    int results = 0;
    o.method = "descent";
    o.steps = 1;
    o.start = "text:abc";
    o.decode = "euclid";
    return ph_dream(model, features, &o, on_dream, &results, NULL, err);
}

static ph_status dream_by(const char *method, ph_error *err)
{
    ph_dream_options o = PH_DREAM_OPTIONS_INIT;
    int results = 0;
    o.method = method;
    o.steps = 1;
    o.restarts = 1;
    o.tokens = 2;
    o.decode = "euclid";
    return ph_dream(model, features, &o, on_dream, &results, NULL, err);
}

static ph_status call_dream_pez(ph_error *err)
{
    return dream_by("pez", err);
}

static ph_status call_dream_gumbel(ph_error *err)
{
    return dream_by("gumbel", err);
}

static ph_status hunt_by(const char *method, ph_error *err)
{
    ph_dream_options o = PH_DREAM_OPTIONS_INIT;
    int results = 0;
    o.method = method;
    o.tokens = 2;
    o.tokens_to = 3;
    o.budget = 40;
    o.top = 1;
    o.top_k = 4;
    o.width = 8;
    return ph_dream(model, features, &o, on_dream, &results, NULL, err);
}

static ph_status call_dream_auto(ph_error *err)
{
    return hunt_by("auto", err);
}

static ph_status call_dream_swap(ph_error *err)
{
    return hunt_by("swap", err);
}

static ph_status fluent_by(const char *method, ph_error *err)
{
    ph_dream_options o = PH_DREAM_OPTIONS_INIT;
    int results = 0;
    o.method = method;
    o.tokens = 2;
    o.budget = 100;
    o.top = 1;
    o.top_k = 4;
    o.width = 3;
    o.population = 2;
    o.children = 3;
    o.restart_every = 1;
    return ph_dream(model, features, &o, on_dream, &results, NULL, err);
}

static ph_status call_dream_epo(ph_error *err)
{
    return fluent_by("epo", err);
}

static ph_status call_dream_beam(ph_error *err)
{
    return fluent_by("beam", err);
}

static ph_status call_dream_constrained(ph_error *err)
{
    static const char *const ban[] = {"z"};
    ph_dream_options o = PH_DREAM_OPTIONS_INIT;
    int results = 0;
    o.method = "greedy";
    o.tokens = 2;
    o.constraints.ascii = true;
    o.constraints.allow = "ab\nxyz";
    o.constraints.allow_bytes = 6;
    o.constraints.ban = ban;
    o.constraints.n_ban = 1;
    o.constraints.contains = "a";
    return ph_dream(model, features, &o, on_dream, &results, NULL, err);
}

static ph_status call_scan(ph_error *err)
{
    ph_scan_options o = PH_SCAN_OPTIONS_INIT;
    int results = 0;
    o.values = true;
    o.run.cache = "build/oom-cache"; /* that it is not there costs the cache, nothing else */
    return ph_scan(model, features, &o, on_scan, &results, err);
}

static int on_survey(const ph_survey_result *r, void *payload)
{
    (void)r;
    ++*(int *)payload;
    return 0;
}

static ph_status call_survey(ph_error *err)
{
    ph_survey_options o = PH_SURVEY_OPTIONS_INIT;
    int results = 0;
    o.depth = 1;
    o.neurons = true;
    o.run.cache = "build/oom-cache";
    return ph_survey(model, &o, on_survey, &results, NULL, err);
}

static ph_status call_corpus(ph_error *err)
{
    ph_corpus_options o = PH_CORPUS_OPTIONS_INIT;
    ph_corpus *c = NULL;
    o.text = "some text, some more";
    o.bytes = 20;
    o.window = 4;
    o.run.cache = "build/oom-cache";
    ph_status st = ph_corpus_open(&c, model, &o, NULL, err);
    ph_corpus_close(&c);
    return st;
}

static int on_score(const ph_score_result *r, void *payload)
{
    (void)r;
    ++*(int *)payload;
    return 0;
}

static ph_status call_score(ph_error *err)
{
    const ph_text text = {.text = "some text", .bytes = 9};
    int results = 0;
    return ph_score(model, features, &text, NULL, on_score, &results, err);
}

static ph_status call_attribute(ph_error *err)
{
    const int32_t ids[] = {5, 6, 7};
    const ph_text text = {.ids = ids, .n_ids = 3};
    int results = 0;
    return ph_attribute(model, features, &text, NULL, on_score, &results, err);
}

static int on_effect(const ph_effect_result *r, void *payload)
{
    (void)r;
    ++*(int *)payload;
    return 0;
}

static ph_status call_effect(ph_error *err)
{
    static ph_features *f;
    const ph_text text = {.text = "ab", .bytes = 2};
    int results = 0;
    ph_status st = ph_features_parse(&f, ph_model_get_info(model),
                                     "block 1 [:, :, 0-1], block 2 neuron [:, -1, 2]", err);
    if (st == PH_OK) st = ph_effect(model, f, &text, NULL, on_effect, &results, err);
    ph_features_close(&f);
    return st;
}

static ph_status call_near(ph_error *err)
{
    static float E[2 * 64];
    const int32_t ids[] = {5, 6};
    ph_near cosine[6], euclid[6];
    ph_status st = ph_model_embed(model, E, ids, 2, err);
    return st == PH_OK ? ph_near_embeddings(model, E, 2, 3, cosine, euclid, err) : st;
}

static ph_status call_random_pairs(ph_error *err)
{
    ph_pair_stats stats;
    return ph_random_pairs(&stats, model, 0, err);
}

static int on_recover(const ph_recover_result *r, void *payload)
{
    (void)r;
    ++*(int *)payload;
    return 0;
}

static ph_status recover_with(const ph_recover_options *o, ph_error *err)
{
    const int32_t ids[] = {5, 6};
    const ph_text text = {.ids = ids, .n_ids = 2};
    int results = 0;
    return ph_recover(model, features, &text, o, on_recover, &results, err);
}

static ph_status call_recover(ph_error *err)
{
    ph_recover_options o = PH_RECOVER_OPTIONS_INIT;
    o.steps = 1;
    o.restarts = 2;
    return recover_with(&o, err);
}

static ph_status call_recover_sequential(ph_error *err)
{
    ph_recover_options o = PH_RECOVER_OPTIONS_INIT;
    o.steps = o.restarts = 1;
    o.sequential = true;
    o.decode = "euclid";
    return recover_with(&o, err);
}

static ph_status call_recover_exact(ph_error *err)
{
    ph_recover_options o = PH_RECOVER_OPTIONS_INIT;
    const int32_t among[] = {4, 5, 6};
    o.method = "exact";
    o.among = among;
    o.n_among = 3;
    return recover_with(&o, err);
}

static ph_status run_session(const ph_model *m, ph_error *err)
{
    static float E[2 * 3 * 64], X[2 * 3 * 512], dX[2 * 3 * 512], dE[2 * 3 * 64];
    ph_session_options o = PH_SESSION_OPTIONS_INIT;
    const int32_t ids[] = {5, 6, 7}, context[] = {9};
    ph_session *s = NULL;
    size_t own, weights;
    o.rows = 2;
    o.tokens = 3;
    o.tap = (ph_tap){PH_PLACE_LOGITS, false, 0};
    o.context = context;
    o.n_context = 1;
    o.gradient = true;
    ph_status st = ph_session_bytes(&own, &weights, m, &o, err);
    if (st == PH_OK) st = ph_session_open(&s, m, &o, err);
    if (st == PH_OK) st = ph_model_embed(m, E, ids, 3, err);
    if (st == PH_OK) st = ph_session_forward(s, X, E, 2, err);
    if (st == PH_OK) st = ph_session_backward(s, dE, dX, err);
    ph_session_close(&s);
    return st;
}

static ph_status call_session(ph_error *err)
{
    return run_session(model, err);
}

static ph_status call_streamed(ph_error *err)
{
    ph_model_options o = one_thread;
    ph_model *m = NULL;
    o.plan = "streamed";
    ph_status st = ph_model_open(&m, MODEL, &o, err);
    if (st == PH_OK) st = run_session(m, err);
    ph_model_close(&m);
    return st;
}

static int on_bench(const ph_bench_result *r, void *payload)
{
    (void)payload;
    return r->n_parts > 1000;
}

static ph_status bench(const char *work, ph_error *err)
{
    ph_bench_options o = PH_BENCH_OPTIONS_INIT;
    o.block = 1;
    o.rows = 2;
    o.tokens = 3;
    o.repeats = 1;
    o.memory = 1;
    o.parts = true;
    return ph_bench(model, work, &o, on_bench, NULL, err);
}

static ph_status call_bench_peak(ph_error *err)
{
    return bench("peak", err);
}

static ph_status call_bench_bandwidth(ph_error *err)
{
    return bench("bandwidth", err);
}

static ph_status call_bench_descent(ph_error *err)
{
    return bench("descent", err);
}

static ph_status call_bench_scan(ph_error *err)
{
    return bench("scan", err);
}

static ph_status call_bench_swap(ph_error *err)
{
    return bench("swap", err);
}

static ph_status call_bench_load(ph_error *err)
{
    return bench("load", err);
}

/* ---- the store: SQLite has memory of its own, which does not fail here ---- */

#define STORE "/tmp/phosphene-oom.sqlite"

static const char *const store_lines[] = {
    "{\"type\":\"run\",\"id\":\"r\",\"model\":{\"file\":\"m\",\"sha256\":\"aa\",\"untrained\":true}"
    "}",
    "{\"type\":\"dream\",\"run\":\"r\",\"feature\":\"block 1 [:, :, 0]\",\"text\":\"x\"}",
    "{\"type\":\"scan\",\"run\":\"r\",\"feature\":\"block 1 [:, :, "
    "0]\",\"top\":[{\"id\":7,\"token\":"
    "\"a\",\"activation\":1}]}",
    "{\"type\":\"novel\",\"run\":\"r\",\"with\":\"more than fits into a key as it is written\"}"};

static void remove_store(const char *path)
{
    char log[64];
    unlink(path);
    snprintf(log, sizeof log, "%s-wal", path);
    unlink(log);
    snprintf(log, sizeof log, "%s-shm", path);
    unlink(log);
}

static ph_status put_lines(const char *path, ph_error *err)
{
    ph_store *s = NULL;
    remove_store(path);
    ph_status st = ph_store_open(&s, path, PH_STORE_CREATE, err);
    for (size_t i = 0; i < 4 && st == PH_OK; i++)
        st = ph_store_put(s, store_lines[i], strlen(store_lines[i]), err);
    ph_store_close(&s);
    return st;
}

static ph_status call_store_put(ph_error *err)
{
    const ph_status st = put_lines(STORE, err);
    remove_store(STORE);
    return st;
}

static int on_row(const char *row, size_t bytes, void *payload)
{
    (void)payload;
    return row[bytes] != 0;
}

static int on_fault(const char *fault, void *payload)
{
    (void)payload;
    return *fault == 0;
}

/* With a store of its own each time: what was made under failure is not looked at. */
static ph_status with_store(ph_status (*use)(ph_store *s, ph_error *err), ph_error *err)
{
    ph_store *s = NULL;
    const long left = until_failure;
    until_failure = -1;
    ph_status st = put_lines(STORE, err);
    until_failure = left;
    if (st == PH_OK) st = ph_store_open(&s, STORE, PH_STORE_WRITE, err);
    if (st == PH_OK) st = use(s, err);
    ph_store_close(&s);
    remove_store(STORE);
    return st;
}

static ph_status select_some(ph_store *s, ph_error *err)
{
    ph_store_query q = PH_STORE_QUERY_INIT;
    q.view = "lines";
    q.model = "untrained:aa";
    q.feature = "block 1 [:, :, 0-1]";
    ph_status st = ph_store_select(s, &q, on_row, NULL, err);
    q.view = "tokens";
    q.token = "a";
    return st == PH_OK ? ph_store_select(s, &q, on_row, NULL, err) : st;
}

static ph_status check_it(ph_store *s, ph_error *err)
{
    return ph_store_check(s, on_fault, NULL, err);
}

static ph_status merge_it(ph_store *s, ph_error *err)
{
    ph_store *other = NULL;
    remove_store(STORE ".2");
    ph_status st = ph_store_open(&other, STORE ".2", PH_STORE_CREATE, err);
    if (st == PH_OK) st = ph_store_merge(other, STORE, NULL, err);
    ph_store_close(&other);
    remove_store(STORE ".2");
    (void)s;
    return st;
}

static int on_lease(const char *unit, const char *owner, double left, void *payload)
{
    (void)payload;
    return !(*unit && *owner && left > 0);
}

static ph_status lease_it(ph_store *s, ph_error *err)
{
    double left;
    ph_status st = ph_store_lease(s, "run/0-63", "here:1", 60, &left, err);
    if (st == PH_OK) st = ph_store_leases(s, on_lease, NULL, err);
    return st == PH_OK ? ph_store_unlease(s, "run/0-63", "here:1", err) : st;
}

static ph_status call_store_lease(ph_error *err)
{
    return with_store(lease_it, err);
}

static ph_status call_store_select(ph_error *err)
{
    return with_store(select_some, err);
}

static ph_status call_store_check(ph_error *err)
{
    return with_store(check_it, err);
}

static ph_status call_store_merge(ph_error *err)
{
    return with_store(merge_it, err);
}

/* Of an earlier version: brought up to date on the way. */
static ph_status call_store_migrate(ph_error *err)
{
    char bytes[1 << 16];
    ph_store *s = NULL;
    FILE *in = fopen("tests/data/store_v1.sqlite", "rb"), *out = fopen(STORE, "wb");
    if (in && out) fwrite(bytes, 1, fread(bytes, 1, sizeof bytes, in), out);
    if (in) fclose(in);
    if (out) fclose(out);
    ph_status st = ph_store_open(&s, STORE, PH_STORE_READ, err);
    ph_store_close(&s);
    remove_store(STORE);
    return st;
}

static const struct call {
    const char *name;
    ph_status (*run)(ph_error *err);
} calls[] = {{"ph_model_open", call_model_open},
             {"ph_model_open, a folder", call_folder_open},
             {"ph_model_open, in parts", call_model_split},
             {"ph_tokenizer_open", call_tokenizer_open},
             {"ph_tokenizer_open, a tokenizer.json", call_tokenizer_json},
             {"ph_tokenizer_open, a tokenizer.model", call_tokenizer_model},
             {"ph_tokenizer_open, a vocab.json", call_tokenizer_pair},
             {"ph_tokenizer_encode", call_encode},
             {"ph_tokenizer_decode", call_decode},
             {"ph_utf8_clean", call_clean},
             {"ph_features_parse", call_features},
             {"ph_features_parse, files", call_sums},
             {"ph_score of sums", call_score_sums},
             {"ph_scan of sums", call_scan_sums},
             {"ph_context", call_context},
             {"ph_context, a chat", call_context_chat},
             {"ph_model_sha256", call_sha256},
             {"ph_session_*", call_session},
             {"ph_session_*, streamed weights", call_streamed},
             {"ph_score", call_score},
             {"ph_attribute", call_attribute},
             {"ph_effect", call_effect},
             {"ph_near_embeddings", call_near},
             {"ph_random_pairs", call_random_pairs},
             {"ph_scan", call_scan},
             {"ph_survey", call_survey},
             {"ph_corpus_open", call_corpus},
             {"ph_dream", call_dream},
             {"ph_dream from a text", call_dream_text},
             {"ph_dream by pez", call_dream_pez},
             {"ph_dream by gumbel", call_dream_gumbel},
             {"ph_dream by auto", call_dream_auto},
             {"ph_dream by swap", call_dream_swap},
             {"ph_dream by epo", call_dream_epo},
             {"ph_dream by beam", call_dream_beam},
             {"ph_dream, constrained", call_dream_constrained},
             {"ph_recover", call_recover},
             {"ph_recover, sequential", call_recover_sequential},
             {"ph_recover, exact", call_recover_exact},
             {"ph_bench peak", call_bench_peak},
             {"ph_bench bandwidth", call_bench_bandwidth},
             {"ph_bench descent", call_bench_descent},
             {"ph_bench scan", call_bench_scan},
             {"ph_bench swap", call_bench_swap},
             {"ph_bench load", call_bench_load},
             {"ph_store_put", call_store_put},
             {"ph_store_select", call_store_select},
             {"ph_store_check", call_store_check},
             {"ph_store_merge", call_store_merge},
             {"ph_store_lease", call_store_lease},
             {"ph_store_open, version 1", call_store_migrate}};

/* A fresh model for each call, so that what is packed on demand is packed under failure too. */
static void open_all(void)
{
    ph_error err = {0};
    until_failure = -1;
    if (ph_model_open(&model, MODEL, &one_thread, &err) ||
        ph_features_parse(&features, ph_model_get_info(model),
                          "block 1 [:, :, 0-1], final [:, :, 2]", &err)) {
        fprintf(stderr, "oom: %s\n", err.msg);
        exit(1);
    }
    tokenizer = ph_model_tokenizer(model);
}

static bool chosen(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0) return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    const long step = getenv("PHOSPHENE_NIGHTLY") ? 1 : STEP;
    int bad = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        long n = 0, tried = 0, refused = 0;
        if (!chosen(calls[i].name, argc, argv)) continue;
        open_all();
        for (;; n += n < EACH ? 1 : step, tried++) {
            ph_error err = {0};
            until_failure = n;
            failed_one = false;
            const ph_status st = calls[i].run(&err);
            until_failure = -1;
            refused += st == PH_ENOMEM;
            if (st != PH_OK && (st != PH_ENOMEM || err.code != PH_ENOMEM)) {
                printf("FAIL %s, allocation %ld: %s: %s\n", calls[i].name, n + 1,
                       ph_status_name(st), err.msg);
                bad++;
            }
            if (!failed_one || bad > 20) break;
        }
        printf("%-22s %5ld allocations failed, %5ld refused cleanly\n", calls[i].name, tried,
               refused);
        ph_features_close(&features);
        ph_model_close(&model);
    }
    return bad != 0;
}
