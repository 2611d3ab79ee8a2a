/* team.h — a session whose rows are divided among threads, each with a session of its own.
 *
 * Every thread goes through all blocks with its rows in its own cache and waits for nobody. As a row
 * does not depend on those beside it, the numbers are those of one session, bit for bit.
 */
#ifndef PH_TEAM_H
#define PH_TEAM_H

#include "model/model.h"

typedef struct ph_member {
    ph_session *session;
    int64_t first, B; /* its rows of the batch last written; B 0: none */
    ph_status status; /* of the last call */
    ph_error err;
} ph_member;

typedef struct ph_team {
    ph_member *members; /* n; 0: there is no team */
    int n;
    int64_t rows, T, C, W; /* rows of a member at most, tokens, widths of the ends */
} ph_team;

/* out->n is 0 where there are too few rows or threads for a team. */
ph_status ph__team_open(ph_team *out, const ph_model *model, const ph_session_options *options,
                        ph_error *err);
void ph__team_close(ph_team *t);

/* As the functions of session.h, over all rows. */
ph_status ph__team_columns(const ph_team *t, const int64_t *columns, int64_t n, ph_error *err);
void ph__team_write(ph_team *t, const float *E, int64_t B);
ph_status ph__team_run(const ph_team *t, ph_error *err);
void ph__team_read64(const ph_team *t, double *X);
ph_status ph__team_back64(const ph_team *t, const double *dX, ph_error *err);
void ph__team_gradient(const ph_team *t, float *dE);

#endif
