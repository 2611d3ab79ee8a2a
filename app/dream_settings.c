/* dream_settings.c — the settings of a dream for its run line. */
#include "dream_settings.h"

#include "among.h"
#include "fluency.h"

json_t *dream_settings(const ph_dream_options *o, const struct common *shared,
                       const struct allow *allow)
{
    json_t *s =
        json_pack("{s:s, s:I, s:I, s:I, s:f, s:s, s:f, s:s, s:f, s:s, s:f, s:s, s:s, s:s, s:I}",
                  "method", o->method, "tokens", (json_int_t)o->tokens, "steps",
                  (json_int_t)o->steps, "restarts", (json_int_t)o->restarts, "eta_first",
                  o->eta_first, "eta_first_unit", o->eta_first_rms ? "rms" : "", "eta_last",
                  o->eta_last, "eta_last_unit", o->eta_last_rms ? "rms" : "", "target", o->target,
                  "objective", o->objective, "near_weight", o->near_weight, "optimizer",
                  o->optimizer, "start", o->start, "decode", o->decode, "top", (json_int_t)o->top);
    json_t *common = common_settings(shared);
    if (s) json_object_set_new(s, "constraints", allow_json(allow));
    if (s) among_settings(s, o);
    if (s) fluency_settings(s, o);
    if (s && common) json_object_update(s, common);
    json_decref(common);
    return s;
}
