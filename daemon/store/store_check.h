/* Rows that are looked at by who owns them (struct store_check). Private to the store's files. */
#pragma once

#include "store/store.h"

/* That of a table; NULL: there is none. */
const struct store_check *store_check_of(const struct store_check *const *checks, const char *table);

/* Looks at all rows of all tables that have a check. -EUCLEAN: one is not whole, and `what` says of which table. Another
 * fault: `what` is SQLite's word for it. */
int store_check_rows(sqlite3 *sqlite, const struct store_check *const *checks, char *what, size_t size)
    must_check;
