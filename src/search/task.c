/* task.c — what options say of texts: lengths, proposals, budgets. */
#include "search/hunt.h"
#include "search/options.h"

#include <math.h>
#include <string.h>

ph_status ph__task_start(ph_task *t, const ph_method *m, ph_error *err)
{
    const char *start = t->o->start;

    if (!m->descends || !ph__text_start(start)) return PH_OK;
    PH_TRY(ph__job_encode(&t->text, t->job, start + 5, strlen(start + 5), err));
    if (t->text.n == 0)
        return ph__fail(err, PH_EINVAL, -1, "start \"text:\": the text has no tokens");
    t->descent.T = (int64_t)t->text.n;
    return PH_OK;
}

static ph_status check_numbers(const ph_dream_options *o, ph_error *err)
{
    if (!isfinite(o->seconds) || o->seconds < 0)
        return ph__fail(err, PH_EINVAL, -1, "time %g: expected 0 or more seconds", o->seconds);
    if (!isfinite(o->lambda) || o->lambda < 0)
        return ph__fail(err, PH_EINVAL, -1, "lambda %g: expected 0 or more", o->lambda);
    PH_TRY(ph__within("top-k", o->top_k, INT32_MAX, err));
    PH_TRY(ph__within("width", o->width, 1000000, err));
    PH_TRY(ph__epo_check(o, err));
    return ph__within("budget", o->budget, INT64_MAX, err);
}

ph_status ph__task_limits(ph_task *t, const ph_method *m, int64_t longest, ph_error *err)
{
    const ph_dream_options *o = t->o;
    const ph_job *job = t->job;

    if (longest > PH_FIND_TOKENS) longest = PH_FIND_TOKENS;
    t->shortest = t->longest = t->descent.T;
    t->round_trip = o->round_trip ? o->round_trip
                    : m->hunts    ? PH_ROUND_TRIP_REQUIRE
                                  : PH_ROUND_TRIP_PREFER;
    if (!ph_tokenizer_get_info(job->tokenizer)->encodes) t->round_trip = PH_ROUND_TRIP_OFF;
    if (!m->hunts) {
        if (o->tokens_to && o->tokens_to != o->tokens)
            return ph__fail(err, PH_EINVAL, -1, "tokens %lld:%lld: method %s takes one length",
                            (long long)o->tokens, (long long)o->tokens_to, m->name);
        return PH_OK;
    }
    if (o->tokens_to) t->longest = o->tokens_to;
    PH_TRY(ph__within("tokens", t->longest, longest, err));
    if (t->longest < t->shortest)
        return ph__fail(err, PH_EINVAL, -1, "tokens %lld:%lld: the second is the longest",
                        (long long)t->shortest, (long long)t->longest);
    t->top_k = o->top_k < (int64_t)job->n_allowed ? o->top_k : (int64_t)job->n_allowed;
    t->fluent = o->fluent || m->fluent || o->lambda > 0;
    return check_numbers(o, err);
}
