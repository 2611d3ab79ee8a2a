/* flow.h — a text on its way to the tokenizer model.
 *
 * Normalizers and pre-tokenizers rewrite it and cut it into pieces; every byte remembers which byte
 * of the given text it comes from.
 */
#ifndef PH_FLOW_H
#define PH_FLOW_H

#include "base/err.h"

#include <stdbool.h>

typedef struct ph_piece {
    uint32_t from, to; /* [from, to) of the flow's bytes, never empty */
} ph_piece;

typedef struct ph_flow {
    char *bytes;
    uint32_t *origin; /* n + 1 of them, never falling: the last one is where the text ends */
    size_t n, cap;
    ph_piece *pieces;
    size_t n_pieces, cap_pieces;
    size_t most; /* bytes; a file could ask for any number of them */
} ph_flow;

void ph__flow_close(ph_flow *f);
/* f = text[from … to) in one piece, whose origins are from … to. */
ph_status ph__flow_begin(ph_flow *f, const char *text, size_t from, size_t to, ph_error *err);
/* f = the bytes [from, to) of another flow in one piece. */
ph_status ph__flow_take(ph_flow *f, const ph_flow *of, size_t from, size_t to, ph_error *err);

/* Writing one anew. ph__flow_clear, then bytes, all of which come from byte `origin`, or that are
 * those of another flow, then ph__flow_end with the end of the text. */
void ph__flow_clear(ph_flow *f);
ph_status ph__flow_put(ph_flow *f, const char *bytes, size_t n, uint32_t origin, ph_error *err);
ph_status ph__flow_copy(ph_flow *f, const ph_flow *of, size_t from, size_t to, ph_error *err);
ph_status ph__flow_end(ph_flow *f, uint32_t end, ph_error *err);
ph_status ph__flow_piece(ph_flow *f, size_t from, size_t to, ph_error *err);

#endif
