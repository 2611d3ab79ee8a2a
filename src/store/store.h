/* store.h — a store behind its handle. */
#ifndef PH_STORE_H
#define PH_STORE_H

#include "store/sql.h"

/* ph_store_open without what brings an earlier version up to date. */
ph_status ph__store_open(ph_store **out, const char *path, unsigned flags, ph_error *err);
/* Bring a store that is open for writing up to date, in one transaction. */
ph_status ph__store_migrate(ph_store *s, ph_error *err);
/* An empty store that is gone when it is closed; messages name `path`. */
ph_status ph__store_beside(ph_store **out, const char *path, ph_error *err);
/* End what ph_store_begin began, and keep none of it. */
void ph__store_abandon(ph_store *s);
/* Make the tables, in the main database of a connection. */
ph_status ph__store_tables(ph_store *s, ph_error *err);
/* A query for (line, at) of all that a store holds, of whatever version, runs first. */
const char *ph__store_carried(const ph_store *s);

#endif
