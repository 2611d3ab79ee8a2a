/* report.c — what the store holds of some features, as one HTML file that needs nothing else.
 *
 *   head    a policy that allows the file's own scripts and styles, by their hashes, and nothing else
 *   styles  those of dygraphs and of the page
 *   lines   the store's lines as JSON, in an element that is never run
 *   scripts Chart.js, dygraphs, and the page's modules joined to one
 *
 * The modules (PH_REPORT_MODULES, in their order) share one scope when they are joined: what stood in
 * `import` and `export` falls away. tests/browser.py sees to it that no name is there twice.
 */
#include "report.h"

#include "asked.h"
#include "output.h"
#include "serve/assets.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is gathered from the store ---- */

struct gathering {
    ph_store *store;
    const struct report *report;
    json_t *features, *runs, *lines;
    json_t *seen; /* a member for each feature and each run that is there */
    int64_t matching;
    ph_error wrong; /* a line is damaged, or there is no memory */
};

/* Whether it is there for the first time. */
static bool is_new(struct gathering *g, const char *a, const char *b)
{
    char *name = NULL;
    if (asprintf(&name, "%s\n%s", a ? a : "", b ? b : "") < 0) return false;
    const bool is = !json_object_get(g->seen, name);
    json_object_set_new(g->seen, name, json_true());
    free(name);
    return is;
}

/* A row of a view that has one or several for each feature. */
static int take_feature(const char *row, size_t bytes, void *payload)
{
    struct gathering *g = payload;
    const int64_t most = g->report->query.limit;
    json_t *o = asked_row(row, bytes, &g->wrong);

    if (!o) return 1;
    if (is_new(g, json_string_value(json_object_get(o, "model")),
               json_string_value(json_object_get(o, "feature"))) &&
        (g->matching++ < most || most < 0))
        json_array_append(g->features, o);
    json_decref(o);
    return 0;
}

/* Takes o over. */
static int append(struct gathering *g, json_t *list, json_t *o)
{
    if (o && json_array_append_new(list, o) != 0) no_memory(&g->wrong);
    return g->wrong.code != PH_OK;
}

static int take_run(const char *row, size_t bytes, void *payload)
{
    struct gathering *g = payload;
    return append(g, g->runs, asked_row(row, bytes, &g->wrong));
}

/* What no view of the report shows makes up most of a line. */
static void slim(json_t *line)
{
    static const char *const unread[] = {"rows", "objective", "naive_forwards", "text_ids"};
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++) json_object_del(line, unread[i]);
    json_object_del(json_object_get(json_object_get(line, "corpus"), "best"), "ids");
}

static int take_line(const char *row, size_t bytes, void *payload)
{
    struct gathering *g = payload;
    json_t *o = asked_row(row, bytes, &g->wrong);
    slim(o);
    return append(g, g->lines, o);
}

static ph_status result_of(const struct gathering *g, ph_status st, ph_error *err)
{
    if (g->wrong.code == PH_OK) return st;
    *err = g->wrong;
    return err->code;
}

static ph_status gather_lines(struct gathering *g, const json_t *feature, ph_error *err)
{
    ph_store_query q = PH_STORE_QUERY_INIT;
    q.view = "lines";
    q.model = json_string_value(json_object_get(feature, "model"));
    q.feature = json_string_value(json_object_get(feature, "feature"));
    q.type = "dream";
    q.method = g->report->query.method;
    q.run = g->report->query.run;
    q.sort = "best";
    q.limit = g->report->texts;
    ph_status st = ph_store_select(g->store, &q, take_line, g, err);
    q.type = "scan";
    q.method = q.run = NULL;
    q.limit = 1;
    if (st == PH_OK) st = ph_store_select(g->store, &q, take_line, g, err);
    return result_of(g, st, err);
}

static ph_status gather_runs(struct gathering *g, ph_error *err)
{
    ph_store_query q = PH_STORE_QUERY_INIT;
    ph_status st = PH_OK;
    json_t *line;
    size_t i;

    q.view = "runs";
    json_array_foreach(g->lines, i, line)
    {
        q.run = json_string_value(json_object_get(line, "run"));
        if (q.run && is_new(g, q.run, NULL) && st == PH_OK)
            st = ph_store_select(g->store, &q, take_run, g, err);
    }
    return result_of(g, st, err);
}

static ph_status gather(struct gathering *g, ph_error *err)
{
    ph_store_query q = g->report->query;
    json_t *feature;
    size_t i;

    q.view = q.method || q.run ? "results" : "features";
    if (!q.sort) q.sort = "feature"; /* results stand the best first */
    q.limit = -1;
    ph_status st = result_of(g, ph_store_select(g->store, &q, take_feature, g, err), err);
    json_array_foreach(g->features, i, feature) if (st == PH_OK) st = gather_lines(g, feature, err);
    if (st == PH_OK) st = gather_runs(g, err);
    if (st != PH_OK || json_array_size(g->lines)) return st;
    *err = (ph_error){.code = PH_EINVAL, .pos = -1, .msg = "the store holds nothing of that"};
    return PH_EINVAL;
}

/* ---- the file's parts ---- */

/* A text that the file holds between tags, and the hash by which the policy knows it. */
struct part {
    char *text;
    size_t n;
    char hash[64];
};

enum { CHART, DYGRAPH, MODULES, DYGRAPH_STYLE, STYLE, PARTS };

/* One module without its seams: lines of import go, export as the first word of a line does. */
static void print_module(FILE *out, const char *text)
{
    while (*text) {
        const char *end = strchrnul(text, '\n');
        if (strncmp(text, "import ", 7) != 0) {
            if (strncmp(text, "export ", 7) == 0) text += 7;
            fwrite(text, 1, (size_t)(end - text), out);
            fputc('\n', out);
        }
        text = *end ? end + 1 : end;
    }
}

static void print_modules(FILE *out)
{
    static const char *const modules[] = {PH_REPORT_MODULES};
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        char url[64];
        struct asset a = {0};
        snprintf(url, sizeof url, "/page/%s", modules[i]);
        if (asset_find(&a, url)) print_module(out, a.bytes);
    }
}

static void print_part(FILE *out, int which)
{
    static const char *const urls[PARTS] = {[CHART] = "/lib/chart.js",
                                            [DYGRAPH] = "/lib/dygraph.js",
                                            [DYGRAPH_STYLE] = "/lib/dygraph.css",
                                            [STYLE] = "/page/app.css"};
    struct asset a = {0};
    if (which == MODULES)
        print_modules(out);
    else if (asset_find(&a, urls[which]))
        fwrite(a.bytes, 1, a.n, out);
}

static bool make_part(struct part *p, int which)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    FILE *out = open_memstream(&p->text, &p->n);
    if (!out) return false;
    print_part(out, which);
    if (fclose(out) != 0) return false;
    if (!EVP_Digest(p->text, p->n, md, &len, EVP_sha256(), NULL)) return false;
    EVP_EncodeBlock((unsigned char *)p->hash, md, (int)len);
    return true;
}

/* Text of an element or an attribute. */
static void print_text(FILE *out, const char *s)
{
    for (; *s; s++) switch (*s) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc(*s, out);
        }
}

/* JSON that ends no element, whatever it says. */
static bool print_json(FILE *out, json_t *o)
{
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    for (const char *s = text; s && *s; s++)
        if (*s == '<')
            fputs("\\u003c", out);
        else
            fputc(*s, out);
    free(text);
    json_decref(o);
    return text != NULL;
}

static void print_between(FILE *out, const char *open, const struct part *p, const char *close)
{
    fputs(open, out);
    fwrite(p->text, 1, p->n, out);
    fputs(close, out);
}

static void print_head(FILE *out, const struct part *parts, const char *title)
{
    fprintf(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
        "base-uri 'none'; form-action 'none'; script-src 'sha256-%s' 'sha256-%s' 'sha256-%s'; "
        "style-src 'sha256-%s' 'sha256-%s'\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
        parts[CHART].hash, parts[DYGRAPH].hash, parts[MODULES].hash, parts[DYGRAPH_STYLE].hash,
        parts[STYLE].hash);
    print_text(out, title);
    fputs("</title>\n<link rel=\"icon\" href=\"data:,\">\n", out);
    print_between(out, "<style>", &parts[DYGRAPH_STYLE], "</style>\n");
    print_between(out, "<style>", &parts[STYLE], "</style>\n</head>\n");
}

static bool print_file(FILE *out, const struct part *parts, const struct gathering *g)
{
    print_head(out, parts, g->report->title);
    fputs("<body>\n<header class=\"top\" id=\"top\"></header>\n<main id=\"main\" "
          "tabindex=\"-1\"></main>\n"
          "<noscript>This report is drawn by its own scripts; please allow them.</noscript>\n"
          "<script type=\"application/json\" id=\"lines\">",
          out);
    json_t *lines = json_copy(g->runs);
    if (lines) json_array_extend(lines, g->lines);
    const bool ok =
        print_json(out, json_pack("{s:s, s:s, s:s, s:o}", "title", g->report->title, "selection",
                                  g->report->selection, "version", ph_version(), "lines", lines));
    fputs("</script>\n", out);
    print_between(out, "<script>", &parts[CHART], "</script>\n");
    print_between(out, "<script>", &parts[DYGRAPH], "</script>\n");
    print_between(out, "<script type=\"module\">", &parts[MODULES],
                  "</script>\n</body>\n</html>\n");
    return ok;
}

/* ---- all of it ---- */

ph_status report_write(FILE *out, ph_store *store, const struct report *report,
                       struct report_counts *counts, ph_error *err)
{
    struct gathering g = {store,         report, json_array(), json_array(), json_array(),
                          json_object(), 0,      {0}};
    struct part parts[PARTS] = {0};
    ph_status st = gather(&g, err);
    bool ok = true;

    for (int i = 0; i < PARTS && st == PH_OK; i++) ok = ok && make_part(&parts[i], i);
    if (st == PH_OK && ok) ok = print_file(out, parts, &g);
    if (st == PH_OK && !ok) st = no_memory(err);
    *counts = (struct report_counts){(int64_t)json_array_size(g.features), g.matching};
    for (int i = 0; i < PARTS; i++) free(parts[i].text);
    json_decref(g.features);
    json_decref(g.runs);
    json_decref(g.lines);
    json_decref(g.seen);
    return st;
}
