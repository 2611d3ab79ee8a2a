/* scoreboard.c — a contest of methods as people and programs read it. */
#include "scoreboard.h"

#include "output.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

uint64_t scoreboard_seed(const struct scoreboard *b, size_t seed)
{
    return b->seed + seed;
}

static struct outcome *outcome_at(const struct scoreboard *b, size_t seed, size_t feature,
                                  size_t budget, size_t method)
{
    return contest_at(&b->contest, seed, feature, budget, method);
}

static double value(const struct scoreboard *b, size_t feature, const struct outcome *o)
{
    return contest_value(&b->contest, feature, o);
}

/* ---- JSON ---- */

static json_t *count_or_null(int64_t n)
{
    return n ? json_integer((json_int_t)n) : json_null();
}

json_t *scoreboard_line(const struct scoreboard *b, size_t seed, size_t feature, size_t budget,
                        size_t method)
{
    const struct outcome *o = outcome_at(b, seed, feature, budget, method);
    const double mean = b->contest.random_mean[feature], sd = b->contest.random_sd[feature];

    return json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:b, s:b, s:o}",
        "type", "compare", "run", b->run, "feature", b->features[feature], "method",
        b->methods[method], "seed", (json_int_t)scoreboard_seed(b, seed), "budget",
        (json_int_t)b->budgets[budget], "activation", number(o->activation), "z",
        number(sd > 0 ? (o->activation - mean) / sd : (double)NAN), "random_mean", number(mean),
        "token_forwards", (json_int_t)o->forwards, "scan_forwards", (json_int_t)o->scan, "steps",
        count_or_null(o->steps), "restarts", count_or_null(o->restarts), "text",
        utf8(o->text, strlen(o->text)), "round_trip", o->round_trip, "outlier", o->outlier,
        "seconds", number(o->seconds));
}

static void emit_standing(const struct scoreboard *b, size_t budget, const struct standing *s)
{
    json_t *line = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "type",
        "compare_summary", "run", b->run, "method", b->methods[s->method], "budget",
        (json_int_t)b->budgets[budget], "features", (json_int_t)s->features, "cells",
        (json_int_t)s->cells, "missing", (json_int_t)contest_missing(&b->contest), "mean_rank",
        number(s->rank), "win_rate", number(s->wins), "share", number(s->share), "share_low",
        number(s->low), "share_high", number(s->high), "token_forwards", number(s->forwards),
        "scan_forwards", number(s->scan), "seconds", number(s->seconds));

    if (b->rival < b->contest.methods)
        json_object_set_new(line, "against_auto",
                            json_pack("{s:I, s:I, s:I}", "won", (json_int_t)s->won, "tied",
                                      (json_int_t)s->tied, "lost", (json_int_t)s->lost));
    emit(line);
}

/* ---- tables ---- */

/* 1234567 as 1,234,567. */
static const char *thousands(char out[48], double v)
{
    char digits[32];
    size_t at = 0;

    if (!isfinite(v)) return "–";
    const int n = snprintf(digits, sizeof digits, "%.0f", v);
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}

static void cell_thousands(double v, int width)
{
    char text[48];
    cell(thousands(text, v), -width);
}

static int column(const struct scoreboard *b, size_t method)
{
    const int n = (int)strlen(b->methods[method]);
    return n > 7 ? n : 7;
}

void scoreboard_head(const struct scoreboard *b)
{
    cell("feature", b->width);
    cell("seed", -6);
    cell("budget", -12);
    for (size_t m = 0; m < b->contest.methods; m++) {
        printf(" ");
        cell(b->methods[m], -column(b, m));
        printf("  ");
    }
    printf("\n");
    output_now();
}

static void print_texts(const struct scoreboard *b, size_t seed, size_t feature, size_t budget)
{
    for (size_t m = 0; m < b->contest.methods; m++) {
        const struct outcome *o = outcome_at(b, seed, feature, budget, m);
        char *text = quoted(o->text, strlen(o->text), '"');
        printf("  ");
        cell(b->methods[m], 10);
        printf("%s\n", text ? text : "");
        free(text);
    }
}

/* What is to be said of an answer, in a character; none for most. */
static const char *mark(const struct outcome *o)
{
    return !o->round_trip ? "~" : o->outlier ? "!" : "";
}

void scoreboard_cell(const struct scoreboard *b, size_t seed, size_t feature, size_t budget,
                     bool texts)
{
    double best = -(double)INFINITY;

    for (size_t m = 0; m < b->contest.methods; m++)
        best = fmax(best, value(b, feature, outcome_at(b, seed, feature, budget, m)));
    cell(b->features[feature], b->width);
    printf("%6llu", (unsigned long long)scoreboard_seed(b, seed));
    cell_thousands((double)b->budgets[budget], 12);
    for (size_t m = 0; m < b->contest.methods; m++) {
        const struct outcome *o = outcome_at(b, seed, feature, budget, m);
        printf(" ");
        cell_number(o->activation, "%.2f", column(b, m));
        printf("%c%-1s", value(b, feature, o) < best ? ' ' : '*', mark(o));
    }
    printf("\n");
    if (texts) print_texts(b, seed, feature, budget);
    output_now();
}

/* What the method went by; every run of it at a budget has the same. */
static void print_means(const struct scoreboard *b, size_t budget, const struct standing *s)
{
    const struct outcome *o = outcome_at(b, 0, 0, budget, s->method);
    if (o->steps) printf("  %lld × %lld steps", (long long)o->restarts, (long long)o->steps);
    printf("\n");
}

static void print_standing(const struct scoreboard *b, size_t budget, const struct standing *s)
{
    const bool over = s->forwards > 1.01 * (double)b->budgets[budget];
    char text[80] = "–";

    cell(b->methods[s->method], 10);
    cell_number(s->rank, "%.2f", 6);
    cell_number(100 * s->wins, "%.0f %%", 8);
    cell_number(s->share, "%.3f", 8);
    if (!isnan(s->low)) snprintf(text, sizeof text, "[%.3f, %.3f]", s->low, s->high);
    cell(text, -17);
    cell_thousands(s->forwards, 12);
    printf("%c", over ? '+' : ' ');
    cell_thousands(s->scan, 9);
    cell_number(s->seconds, "%.2f", 9);
    if (b->rival < b->contest.methods) {
        snprintf(text, sizeof text, "%zu–%zu–%zu", s->won, s->tied, s->lost);
        cell(s->method == b->rival ? "–" : text, -14);
    }
    print_means(b, budget, s);
}

static void print_standings(const struct scoreboard *b, size_t budget, const struct standing *list)
{
    char text[48];

    printf("\nbudget %s · %zu feature%s · %zu cell%s (feature and seed)\n",
           thousands(text, (double)b->budgets[budget]), list->features,
           list->features == 1 ? "" : "s", list->cells, list->cells == 1 ? "" : "s");
    printf("%-10s%6s%8s%8s%17s%12s %9s%9s%s\n", "method", "rank", "wins", "share", "95 %",
           "forwards", "scan", "seconds", b->rival < b->contest.methods ? "  against auto" : "");
    for (size_t i = 0; i < b->contest.methods; i++) print_standing(b, budget, &list[i]);
}

/* A cell in which others reached more than the rival did; false: there is none. */
static bool print_loss(const struct scoreboard *b, size_t seed, size_t feature, size_t budget)
{
    const struct contest *c = &b->contest;
    const double own = value(b, feature, outcome_at(b, seed, feature, budget, b->rival));
    const char *between = NULL;
    char text[48];

    for (size_t m = 0; m < c->methods; m++) {
        const struct outcome *o = outcome_at(b, seed, feature, budget, m);
        const double v = value(b, feature, o);
        if (v <= own) continue;
        if (!between)
            printf("%s lost  %s, seed %llu, budget %s: %.2f against ", b->methods[b->rival],
                   b->features[feature], (unsigned long long)scoreboard_seed(b, seed),
                   thousands(text, (double)b->budgets[budget]), c->sign * own);
        printf("%s%s %.2f%s", between ? between : "", b->methods[m], c->sign * v, mark(o));
        between = ", ";
    }
    if (between) printf("\n");
    return between != NULL;
}

static void print_losses(const struct scoreboard *b)
{
    const struct contest *c = &b->contest;
    bool any = false, counted = false;

    if (b->rival == c->methods || c->methods < 2) return;
    printf("\n");
    for (size_t k = 0; k < c->budgets; k++)
        for (size_t f = 0; f < c->features; f++)
            for (size_t s = 0; s < c->seeds; s++)
                if (contest_counts(c, s, f, k)) {
                    counted = true;
                    any |= print_loss(b, s, f, k);
                }
    if (counted && !any) printf("%s lost in no cell\n", b->methods[b->rival]);
}

/* all (budgets,methods) */
static void print_curve(const struct scoreboard *b, const struct standing *all)
{
    const struct contest *c = &b->contest;

    if (c->budgets < 2) return;
    printf("\n%-10s", "share at");
    for (size_t k = 0; k < c->budgets; k++) cell_thousands((double)b->budgets[k], 12);
    printf("  token-forwards\n");
    for (size_t m = 0; m < c->methods; m++) {
        cell(b->methods[m], 10);
        for (size_t k = 0; k < c->budgets; k++)
            cell_number(all[k * c->methods + m].share, "%.3f", 12);
        printf("\n");
    }
}

static int by_rank(const void *a, const void *b)
{
    const struct standing *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    return (x->method > y->method) - (x->method < y->method);
}

static void print_all(const struct scoreboard *b, struct standing *all)
{
    const struct contest *c = &b->contest;
    const size_t missing = contest_missing(c);

    print_curve(b, all);
    for (size_t k = 0; k < c->budgets; k++) {
        struct standing *list = all + k * c->methods;
        qsort(list, c->methods, sizeof *list, by_rank);
        if (list->cells) print_standings(b, k, list);
    }
    print_losses(b);
    if (missing)
        printf("%zu of %zu runs are missing; the tables are of the cells that every method ran\n",
               missing, c->methods * c->budgets * c->features * c->seeds);
    output_now();
}

bool scoreboard_conclude(const struct scoreboard *b, bool json)
{
    const struct contest *c = &b->contest;
    const size_t n = c->budgets * c->methods;
    struct standing *all = calloc(n, sizeof *all);
    bool ok = all != NULL;

    for (size_t i = 0; ok && i < n; i++)
        ok = contest_standing(&all[i], c, i / c->methods, i % c->methods, b->rival);
    for (size_t i = 0; ok && json && i < n; i++)
        if (all[i].cells) emit_standing(b, i / c->methods, &all[i]);
    if (ok && !json) print_all(b, all);
    free(all);
    return ok;
}
