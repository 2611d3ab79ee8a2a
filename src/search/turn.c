/* turn.c — the words around a text: BOS, the chat's turn, prefix and suffix. */
#include "search/turn.h"

#include "base/mem.h"
#include "text/chat.h"

#include <string.h>

/* The token that stands in front, or -1. chat: NULL without one. */
static ph_status choose_bos(int32_t *out, const ph_tokenizer *t, ph_bos bos, const ph_chat *chat,
                            ph_error *err)
{
    const ph_tokenizer_info *info = ph_tokenizer_get_info(t);
    *out = -1;
    if (bos == PH_BOS_OFF || (bos == PH_BOS_AUTO && chat && !chat->bos)) return PH_OK;
    *out = (info->add_bos || (chat && chat->bos)) && info->bos >= 0 ? info->bos : info->eot;
    if (*out < 0 && bos == PH_BOS_ON)
        return ph__fail(err, PH_EINVAL, -1,
                        "the vocabulary has neither a BOS that it adds nor an end-of-text token");
    return PH_OK;
}

/* "[INST] " and words make other tokens than "[INST]" and " words": the blank goes with the text. */
static void take_blank(ph_turn *turn)
{
    const size_t n = strlen(turn->before);
    if (n == 0 || turn->before[n - 1] != ' ') return;
    turn->before[n - 1] = 0;
    turn->blank = true;
}

ph_status ph__turn_open(ph_turn *out, const ph_tokenizer *t, const ph_run_options *run,
                        ph_error *err)
{
    const char *prefix = run->prefix ? run->prefix : "", *suffix = run->suffix ? run->suffix : "";
    ph_status st = PH_OK;
    ph_chat chat = {0};
    ph_turn turn = {0};

    if (run->chat) PH_GO(ph__chat_read(&chat, t, err));
    PH_GO(choose_bos(&turn.bos, t, run->bos, run->chat ? &chat : NULL, err));
    PH_GO(ph__printf(&turn.before, err, "%s%s", run->chat ? chat.before : "", prefix));
    PH_GO(ph__printf(&turn.after, err, "%s%s", suffix, run->chat ? chat.after : ""));
    if (run->chat && !*prefix) take_blank(&turn);
    *out = turn;
    turn = (ph_turn){0};
done:
    ph__turn_close(&turn);
    ph__chat_close(&chat);
    return st;
}

void ph__turn_close(ph_turn *turn)
{
    ph__free(turn->before);
    ph__free(turn->after);
    *turn = (ph_turn){0};
}

ph_status ph__turn_context(int32_t **ids, size_t *n, const ph_turn *turn, const ph_tokenizer *t,
                           ph_error *err)
{
    ph_status st = PH_OK;
    int32_t *before = NULL, *all = NULL;
    size_t n_before = 0;

    PH_GO(ph_tokenizer_encode(&before, &n_before, t, turn->before, strlen(turn->before),
                              PH_ENCODE_SPECIAL, err));
    PH_GO(PH_NEW(&all, n_before + 1, err));
    *n = 0;
    if (turn->bos >= 0) all[(*n)++] = turn->bos;
    if (n_before) memcpy(all + *n, before, n_before * sizeof *all);
    *n += n_before;
    *ids = all;
done:
    ph__free(before);
    return st;
}

ph_status ph__turn_encode(ph_encoded *out, const ph_turn *turn, const ph_tokenizer *t,
                          const char *text, size_t bytes, ph_error *err)
{
    ph_status st = PH_OK;
    const size_t blank = turn->blank && bytes, begin = strlen(turn->before);
    const size_t end = begin + blank + bytes;
    const ph_stretch parts[] = {{turn->before, begin, true},
                                {" ", blank, false},
                                {text, bytes, false},
                                {turn->after, strlen(turn->after), true}};
    int32_t *ids = NULL;
    size_t *starts = NULL, n = 0, first, last;
    ph_encoded e = {0};

    PH_GO(ph__tokenizer_encode_stretches(&ids, &starts, &n, t, parts, 4, err));
    for (first = 0; first < n && starts[first] < begin && starts[first + 1] <= begin;) first++;
    for (last = first; last < n && starts[last] < end;) last++;
    PH_GO(PH_NEW(&e.context, first + 1, err));
    PH_GO(PH_NEW(&e.ids, last - first, err));
    if (turn->bos >= 0) e.context[e.n_context++] = turn->bos;
    for (size_t i = 0; i < first; i++) e.context[e.n_context++] = ids[i];
    for (size_t i = first; i < last; i++) e.ids[e.n++] = ids[i];
    *out = e;
    e = (ph_encoded){0};
done:
    ph__encoded_close(&e);
    ph__free(ids);
    ph__free(starts);
    return st;
}

void ph__encoded_close(ph_encoded *e)
{
    ph__free(e->ids);
    ph__free(e->context);
    *e = (ph_encoded){0};
}
