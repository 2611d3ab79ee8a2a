/* views.c — what can be asked of a store: each view a row of a table. */
#include "store/views.h"

#include <stddef.h>
#include <string.h>

#define TAP     "'place', f.place, 'block', f.block, 'component', f.component"
#define FIGURES "'activation', r.activation, 'z', r.z, 'gap', r.gap"
#define BOOLEAN(is)                                                                                \
    "json(CASE " is " WHEN true THEN 'true' WHEN false THEN 'false' ELSE 'null' END)"
#define UNTRAINED  "'untrained', " BOOLEAN("m.key <> m.sha256")
#define VIOLATES   "'violates', " BOOLEAN("(r.class & 4) = 0")
#define OUTLIER    "'outlier', " BOOLEAN("(r.class & 1) = 0")
#define ROUND_TRIP "'round_trip', " BOOLEAN("(r.class & 2) <> 0")
#define SIGN       "'sign', CASE r.sign WHEN 1 THEN '+' WHEN -1 THEN '-' END"
/* Of a feature: its highest token by its scan; without one, that which its answer's line knows. */
#define KNOWN(what)                                                                                \
    "(SELECT json_extract(b.line, '$.best_token." #what "') FROM body b "                          \
    "WHERE b.result = r.id AND r.sign = 1)"
#define TOKEN  "'token', ifnull(t.text, " KNOWN(token) ")"
#define HEIGHT "'token_activation', ifnull(l.activation, " KNOWN(activation) ")"
#define TOP                                                                                        \
    TOKEN ", " HEIGHT ", 'token_z', round((l.activation - s.mean) / s.sd, 6), "                    \
          "'mean', s.mean, 'sd', s.sd"
#define SUMMARY                                                                                    \
    "FROM feature f JOIN model m ON m.id = f.model "                                               \
    "LEFT JOIN result r ON r.id = f.best LEFT JOIN run u ON u.id = r.run "                         \
    "LEFT JOIN result s ON s.id = f.scan "                                                         \
    "LEFT JOIN listed l ON l.feature = f.id AND l.low = 0 AND l.rank = 0 "                         \
    "LEFT JOIN token t ON t.model = f.model AND t.id = l.token "

static const ph_view views[] = {
    {.name = "models",
     .select = "SELECT json_object('model', m.key, 'sha256', m.sha256, 'file', m.file, "
               "'name', m.name, 'quant', m.quant, 'family', m.family, 'blocks', m.blocks, "
               "'width', m.width, " UNTRAINED ", 'features', count(f.id), "
               "'results', ifnull(sum(f.results), 0), 'scans', count(f.scan), "
               "'runs', (SELECT count(*) FROM run u WHERE u.model = m.id)) "
               "FROM model m LEFT JOIN feature f ON f.model = m.id WHERE true",
     .order = "GROUP BY m.id ORDER BY m.name, m.key",
     .filters = PH_BY_MODEL},
    {.name = "runs",
     .select = "SELECT u.line FROM run u JOIN model m ON m.id = u.model WHERE true",
     .order = "ORDER BY m.key, u.command, u.key",
     .filters = PH_BY_MODEL | PH_BY_RUN},
    {.name = "lines",
     .select = "SELECT r.id, u.id FROM result r JOIN run u ON u.id = r.run "
               "JOIN model m ON m.id = u.model LEFT JOIN feature f ON f.id = r.feature WHERE true",
     .order = "ORDER BY m.key, u.command, u.key, f.block, f.place, f.component, f.text, r.type, "
              "r.sign DESC, r.rank, r.key",
     .filters = PH_BY_MODEL | PH_BY_PLACE | PH_BY_FEATURE | PH_BY_TEXT | PH_BY_CONTAINS |
                PH_BY_TYPE | PH_BY_RUN | PH_BY_METHOD,
     .contains = "instr(r.text, ?)",
     .sorted = true,
     .of_results = true,
     .lines = true},
    {.name = "features",
     .select =
         "SELECT json_object('model', m.key, 'feature', f.text, " TAP ", 'text', r.text, " FIGURES
         ", " SIGN ", " ROUND_TRIP ", 'method', r.method, 'run', u.key, "
         "'results', f.results, " TOP ") " SUMMARY "WHERE true",
     .order = "ORDER BY " PH_VIEW_FEATURE,
     .filters = PH_BY_MODEL | PH_BY_PLACE | PH_BY_FEATURE | PH_BY_CONTAINS,
     .contains = "EXISTS (SELECT 1 FROM result x WHERE x.feature = f.id AND x.type = 'dream' "
                 "AND instr(x.text, ?))",
     .sorted = true},
    {.name = "results",
     .select = "SELECT json_object('model', m.key, 'run', u.key, 'feature', f.text, " TAP ", "
               "'method', r.method, " SIGN ", 'rank', r.rank, 'text', r.text, " FIGURES
               ", " ROUND_TRIP ", " VIOLATES ", " OUTLIER ") "
               "FROM result r JOIN run u ON u.id = r.run JOIN model m ON m.id = u.model "
               "JOIN feature f ON f.id = r.feature WHERE r.type = 'dream'",
     .order = "ORDER BY r.class DESC, r.sign DESC, r.sign * r.activation DESC, " PH_VIEW_FEATURE
              ", u.key, r.rank",
     .filters = PH_BY_MODEL | PH_BY_PLACE | PH_BY_FEATURE | PH_BY_TEXT | PH_BY_CONTAINS |
                PH_BY_RUN | PH_BY_METHOD,
     .contains = "instr(r.text, ?)",
     .sorted = true,
     .of_results = true},
    {.name = "map", /* of features that differ in their tokens only that of all, or the first */
     .select = "SELECT json_object('model', m.key, " TAP ", 'feature', f.text, " FIGURES ", "
               "'text', r.text, 'results', f.results, " TOP ") " SUMMARY
               "WHERE f.component IS NOT NULL AND NOT EXISTS (SELECT 1 FROM feature g "
               "WHERE g.model = f.model AND g.place = f.place AND g.block = f.block "
               "AND g.component = f.component AND (-g.whole, g.text) < (-f.whole, f.text))",
     .order = "ORDER BY m.key, f.block, f.place, f.component",
     .filters = PH_BY_MODEL | PH_BY_PLACE,
     .sorted = true},
    {.name = "tokens", /* joined in this order: the token is what is known */
     .select = "SELECT json_object('model', m.key, 'id', t.id, 'token', t.text, "
               "'feature', f.text, " TAP ", 'end', iif(l.low, 'bottom', 'top'), 'rank', l.rank, "
               "'activation', l.activation, 'z', round((l.activation - s.mean) / s.sd, 6)) "
               "FROM token t CROSS JOIN model m ON m.id = t.model "
               "CROSS JOIN listed l ON l.model = t.model AND l.token = t.id "
               "CROSS JOIN feature f ON f.id = l.feature CROSS JOIN result s ON s.id = f.scan "
               "WHERE true",
     .order = "ORDER BY l.low, abs((l.activation - s.mean) / s.sd) DESC, " PH_VIEW_FEATURE ", t.id",
     .filters = PH_BY_MODEL | PH_BY_PLACE | PH_BY_FEATURE | PH_BY_TOKEN},
    {.name = "same_text",
     .select = "SELECT json_object('model', m.key, 'text', r.text, 'feature', f.text, " TAP ", "
               "'run', u.key, 'method', r.method, " FIGURES ") "
               "FROM result r JOIN feature f ON f.id = r.feature JOIN run u ON u.id = r.run "
               "JOIN model m ON m.id = f.model WHERE r.type = 'dream'",
     .order = "ORDER BY r.text, " PH_VIEW_FEATURE ", u.key, r.sign DESC, r.rank",
     .filters = PH_BY_MODEL | PH_BY_FEATURE | PH_BY_TEXT,
     .shares = true},
    {.name = "blocks",
     .select = "SELECT json_object('model', m.key, 'place', f.place, 'block', f.block, "
               "'features', count(*), 'results', sum(f.results), 'scans', count(f.scan), "
               "'best', max(r.activation), 'best_feature', iif(r.id IS NULL, NULL, f.text), "
               "'best_text', r.text) FROM feature f JOIN model m ON m.id = f.model "
               "LEFT JOIN result r ON r.id = f.best WHERE true",
     .order = "GROUP BY m.id, f.block, f.place ORDER BY m.key, f.block, f.place",
     .filters = PH_BY_MODEL | PH_BY_PLACE},
};

const ph_view *ph__view(const char *name)
{
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        if (strcmp(views[i].name, name) == 0) return &views[i];
    return NULL;
}
