/* routes.c — the table of what can be asked for, and the short answers. */
#include "assets.h"
#include "events.h"
#include "serve.h"
#include "wish.h"

#include <stdlib.h>
#include <string.h>

/* ---- what several answers share ---- */

json_t *body_object(struct exchange *x)
{
    json_error_t why;
    json_t *o = json_loadb(x->body, x->bytes, JSON_REJECT_DUPLICATES, &why);
    if (json_is_object(o)) return o;
    if (o)
        reply_error(x, 400, -1, "the body is JSON, but no object");
    else
        reply_error(x, 400, why.position, "the body is no JSON: %s", why.text);
    json_decref(o);
    return NULL;
}

void reply_no_model(struct exchange *x, const ph_error *err)
{
    if (err->code == PH_EIO)
        reply_error(x, 404, -1, "%s", err->msg);
    else
        reply_failure(x, err);
}

/* ---- page and assets ---- */

static void answer_page(struct exchange *x)
{
    const struct serving *s = serving_of(x);
    reply_bytes(x, s->page, s->page_bytes, "text/html; charset=utf-8");
}

static void answer_asset(struct exchange *x)
{
    struct asset a;
    if (asset_find(&a, x->target.path))
        reply_bytes(x, a.bytes, a.n, a.type);
    else
        reply_error(x, 404, -1, "no such file");
}

/* ---- searches ---- */

static void answer_about(struct exchange *x)
{
    const struct serving *s = serving_of(x);
    char *model = models_key(s->models, NULL);
    const char *store = archive_path(s->archive);
    json_t *o =
        json_pack("{s:s, s:o, s:s?, s:o}", "version", ph_version(), "store",
                  store ? json_string(store) : json_null(), "model", model, "search", wish_menu());
    free(model);
    reply_json(x, o);
}

static void answer_search(struct exchange *x)
{
    char id[17];
    ph_error err = {0};
    json_t *wish = body_object(x);
    if (!wish) return;
    const ph_status st = jobs_add(serving_of(x)->jobs, id, wish, &err);
    json_decref(wish);
    if (st == PH_OK)
        reply_json(x, json_pack("{s:s}", "id", id));
    else
        reply_no_model(x, &err);
}

static void answer_searches(struct exchange *x)
{
    reply_json(x, jobs_list(serving_of(x)->jobs));
}

static void unknown_search(struct exchange *x)
{
    reply_error(x, 404, -1, "no search has that id");
}

static void answer_state(struct exchange *x)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    const bool found = out && jobs_state(serving_of(x)->jobs, x->part, out);
    if (out && fclose(out) == 0 && found && bytes) {
        reply_text(x, text, bytes);
        return;
    }
    free(text);
    if (found || !out)
        reply_error(x, 503, -1, "out of memory");
    else
        unknown_search(x);
}

static void answer_events(struct exchange *x)
{
    events_answer(x, serving_of(x)->jobs, x->part, exchange_header(x, "Last-Event-ID"));
}

static void answer_cancel(struct exchange *x)
{
    if (jobs_cancel(serving_of(x)->jobs, x->part))
        answer_state(x);
    else
        unknown_search(x);
}

static void answer_keep(struct exchange *x)
{
    bool found;
    ph_error err = {0};
    const ph_status st = jobs_keep(serving_of(x)->jobs, x->part, &found, &err);
    if (!found)
        unknown_search(x);
    else if (st != PH_OK)
        reply_failure(x, &err);
    else
        answer_state(x);
}

/* ---- the table ---- */

static const struct route {
    const char *method, *form;
    http_answer answer;
} routes[] = {
    {"GET", "/", answer_page},
    {"GET", "/model/**", answer_page},
    {"GET", "/search", answer_page},
    {"GET", "/search/*", answer_page},
    {"GET", "/results", answer_page},
    {"GET", "/tokens", answer_page},
    {"GET", "/compare", answer_page},
    {"GET", "/page/*", answer_asset},
    {"GET", "/lib/*", answer_asset},
    {"GET", "/api/about", answer_about},
    {"GET", "/api/models", show_models},
    {"GET", "/api/blocks", show_blocks},
    {"GET", "/api/map", show_map},
    {"GET", "/api/feature", show_feature},
    {"GET", "/api/results", show_results},
    {"GET", "/api/tokens", show_tokens},
    {"GET", "/api/compare", show_compare},
    {"POST", "/api/score", ask_score},
    {"POST", "/api/across", ask_across},
    {"GET", "/api/search", answer_searches},
    {"POST", "/api/search", answer_search},
    {"GET", "/api/search/*", answer_state},
    {"GET", "/api/search/*/events", answer_events},
    {"POST", "/api/search/*/cancel", answer_cancel},
    {"POST", "/api/search/*/keep", answer_keep},
};

void routes_answer(struct exchange *x)
{
    const char *other = NULL;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct route *r = &routes[i];
        if (!target_match(x->target.path, r->form, x->part, sizeof x->part)) continue;
        if (strcmp(r->method, x->method) == 0) {
            r->answer(x);
            return;
        }
        other = r->method;
    }
    if (other)
        reply_error(x, 405, -1, "%s: expected %s", x->method, other);
    else
        reply_error(x, 404, -1, "there is nothing at %.200s", x->target.path);
}
