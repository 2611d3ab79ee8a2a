/* rescore.c — the law of the house: decoded tokens become text, and the text is scored. */
#include "search/rescore.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

/* Print a candidate's ids and tokenise what was printed. *e keeps the tokens and their context. */
static ph_status print(ph_decoded *d, ph_encoded *e, const ph_job *job, ph_error *err)
{
    ph_status st = PH_OK;
    char *raw = NULL, *text = NULL;
    size_t bytes = 0;

    PH_GO(ph__job_decode(&raw, &bytes, job, d->ids, d->n, err));
    PH_GO(ph_utf8_clean(&text, raw, bytes, err));
    d->text = text;
    d->violates |= !ph__job_text_fits(job, raw, bytes);
    for (size_t i = 0; i < bytes; i++) /* a NUL in the text would end it for every reader */
        if (raw[i] == 0) goto done;
    d->text_bytes = strlen(text);
    if (!ph_tokenizer_get_info(job->tokenizer)->encodes) goto done; /* printed, not scored */
    PH_GO(ph__job_encode(e, job, d->text, d->text_bytes, err));
    d->text_ids = e->ids;
    d->n_text = e->n;
    d->round_trip = ph__encoded_equal(e, job, d->ids, d->n);
done:
    ph__free(raw);
    return st;
}

void ph__decoded_close(ph_decoded *d)
{
    ph__free((void *)(uintptr_t)d->text);
    ph__free((void *)(uintptr_t)d->text_ids);
    ph__free((void *)(uintptr_t)d->values);
    d->text = NULL;
    d->text_ids = NULL;
    d->values = NULL;
}

/* A candidate asks for two forward passes: its ids, and the tokens of its text. */
static ph_status add_items(ph_item items[2], ph_encoded *e, ph_decoded *d, const ph_feature *f,
                           const ph_job *job, ph_error *err)
{
    double *values = NULL;

    PH_TRY(PH_NEW(&values, d->n, err));
    d->values = values;
    PH_TRY(print(d, e, job, err));
    items[0] = (ph_item){.feature = f, .ids = d->ids, .n = d->n, .values = values};
    items[1] = (ph_item){.feature = f,
                         .ids = d->text_ids,
                         .n = d->n_text,
                         .context = e->context,
                         .n_context = e->n_context,
                         .behind = true};
    return PH_OK;
}

static void read_items(ph_decoded *d, const ph_item items[2], double ordinary_norm)
{
    const ph_item *seen = items[1].valid ? &items[1] : &items[0];
    d->activation.ids = items[0].valid ? items[0].measured.activation : (double)NAN;
    d->activation.text = items[1].valid ? items[1].measured.activation : (double)NAN;
    d->activation.post = items[1].valid ? items[1].post : (double)NAN;
    d->max = items[0].measured.extreme;
    d->max_pos = items[0].measured.pos;
    d->norm_ratio = ordinary_norm > 0 && seen->valid ? seen->norm / ordinary_norm : (double)NAN;
}

/* Of what has the activation that counts. */
static ph_status find_cross(ph_decoded *d, const ph_encoded *e, const ph_candidates *set,
                            ph_error *err)
{
    double *cross = &d->cross_entropy;

    *cross = (double)NAN;
    if (!set->fluent) return PH_OK;
    if (set->as_ids || !isfinite(d->activation.text))
        return ph__fluent_cross(cross, set->fluent, d->ids, d->n, NULL, 0, err);
    return ph__fluent_cross(cross, set->fluent, d->text_ids, d->n_text, e->context, e->n_context,
                            err);
}

int64_t ph__rescore_cost(const ph_decoded *d, bool fluent)
{
    return (int64_t)(d->n + d->n_text * (fluent ? 2 : 1));
}

ph_status ph__rescore(ph_candidates *sets, size_t n_sets, ph_scorer *scorer, const ph_job *job,
                      double ordinary_norm, ph_error *err)
{
    ph_status st = PH_OK;
    ph_item *items = NULL;
    ph_encoded *encoded = NULL;
    size_t n = 0, at = 0;

    for (size_t i = 0; i < n_sets; i++) n += sets[i].count;
    PH_GO(PH_NEW(&items, 2 * n, err));
    PH_GO(PH_NEW(&encoded, n, err));
    for (size_t i = 0; i < n_sets; i++)
        for (size_t k = 0; k < sets[i].count; k++, at++)
            PH_GO(add_items(items + 2 * at, &encoded[at], &sets[i].list[k], sets[i].feature, job,
                            err));
    PH_GO(ph__scorer_run(scorer, items, 2 * n, err));
    at = 0;
    for (size_t i = 0; i < n_sets; i++)
        for (size_t k = 0; k < sets[i].count; k++, at++) {
            read_items(&sets[i].list[k], items + 2 * at, ordinary_norm);
            PH_GO(find_cross(&sets[i].list[k], &encoded[at], &sets[i], err));
        }
done:
    for (size_t i = 0; encoded && i < n; i++)
        ph__free(encoded[i].context); /* ids went to the candidates */
    ph__free(encoded);
    ph__free(items);
    return st;
}

double ph__counted(const ph_decoded *d, const ph_order *o)
{
    const bool ids = o->round_trip == PH_ROUND_TRIP_OFF || !isfinite(d->activation.text);
    return ids ? d->activation.ids : d->activation.text;
}

/* A text without cross-entropy ranks last where that counts. */
static double score(const ph_decoded *d, const ph_order *o)
{
    const double activation = o->sign * ph__counted(d, o);
    if (o->lambda == 0) return activation;
    return isfinite(d->cross_entropy) ? activation - o->lambda * d->cross_entropy
                                      : (double)-INFINITY;
}

/* Higher is better, compared one after another. */
static void keys(double out[5], const ph_decoded *d, const ph_order *o)
{
    const bool outlier = o->outliers != PH_OUTLIERS_KEEP && d->norm_ratio > 3;

    out[0] = !d->violates && !(outlier && o->outliers == PH_OUTLIERS_DROP);
    out[1] = o->round_trip == PH_ROUND_TRIP_OFF || isfinite(d->activation.text);
    out[2] = o->round_trip == PH_ROUND_TRIP_OFF || d->round_trip;
    out[3] = !outlier;
    out[4] = score(d, o);
}

bool ph__better(const ph_decoded *a, const ph_decoded *b, const ph_order *order)
{
    double x[5], y[5];
    keys(x, a, order);
    keys(y, b, order);
    for (int i = 0; i < 5; i++)
        if (x[i] != y[i]) return x[i] > y[i];
    return false;
}

static size_t times(int32_t id, const int32_t *list, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += list[i] == id;
    return count;
}

double ph__overlap(const int32_t *a, size_t n, const int32_t *b, size_t m)
{
    size_t common = 0, in_a = 0, in_b = 0, places = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t before = times(a[i], a, i), there = times(a[i], b, m);
        places += before < there;
        if (before) continue;
        in_a++;
        common += there > 0;
    }
    for (size_t i = 0; i < m; i++) in_b += !times(b[i], b, i);
    const double kinds = (double)common / (double)(in_a < in_b ? in_a : in_b);
    const double tokens = (double)places / (double)(n < m ? n : m);
    return kinds > tokens ? kinds : tokens;
}
