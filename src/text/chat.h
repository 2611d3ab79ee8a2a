/* chat.h — a user's turn of a chat, in the format that a tokenizer's own template prints. */
#ifndef PH_CHAT_H
#define PH_CHAT_H

#include "base/err.h"

#include <stdbool.h>

struct ph_tokenizer;

typedef struct ph_chat {
    char *before, *after; /* owned; what the template prints around the user's words, no BOS */
    bool bos;             /* it prints a BOS in front of all */
} ph_chat;

/* The turn as a conversation begins with it: a system part stands before it where the template prints
 * one unasked, the assistant's opening behind it. PH_EUNSUPPORTED if there is no template or it is of
 * none of the formats that are known. */
ph_status ph__chat_read(ph_chat *out, const struct ph_tokenizer *t, ph_error *err);
void ph__chat_close(ph_chat *chat);

#endif
