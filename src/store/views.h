/* views.h — what can be asked of a store: each view a row of a table. */
#ifndef PH_VIEWS_H
#define PH_VIEWS_H

#include <stdbool.h>

/* What a view may be filtered by. */
enum {
    PH_BY_MODEL = 1,
    PH_BY_PLACE = 2, /* place, block, first, last */
    PH_BY_FEATURE = 4,
    PH_BY_TOKEN = 8,
    PH_BY_TEXT = 16,
    PH_BY_CONTAINS = 32,
    PH_BY_TYPE = 64,
    PH_BY_RUN = 128,
    PH_BY_METHOD = 256
};

/* In a statement r is a result, u its run, f its feature, m the model, t a token. */
typedef struct ph_view {
    const char *name;
    const char
        *select; /* gives the row, or of lines the ids of a result and its run; ends in WHERE */
    const char *order; /* ends the statement, but for LIMIT */
    unsigned filters;
    const char *contains; /* how that is asked */
    bool sorted;          /* by figures of r */
    bool of_results;      /* its rows are results: features are looked up first */
    bool lines, shares;   /* the view of lines; of shared texts */
} ph_view;

/* NULL: there is none. */
const ph_view *ph__view(const char *name);

/* Tells features apart, and with it any order complete. */
#define PH_VIEW_FEATURE "m.key, f.block, f.place, f.component, f.text"

#endif
