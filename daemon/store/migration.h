/* The schema of state.db, one step after the other.
 *
 * The steps are the files schema/state/NNNN-name.sql, embedded when the program is built. Each is applied once, in
 * order of its number, in a transaction of its own (within the caller's, if he has begun one) together with its row in table
 * `migration`: a power cut leaves a step done or not begun. Numbers may have gaps; a step that was merged late is applied when it is first seen.
 */
#pragma once

#include "base/base.h"

#include <sqlite3.h>

struct migration {
    unsigned number;
    const char *name; /* the file's, without folder */
    const char *sql;
};

/* Those of schema/state, sorted. The first creates table `migration`. */
extern const struct migration migrations[];
extern const size_t migrations_count;

/* Brings a database up to date; db_name is for the log. 0; -EPROTONOSUPPORT when the database knows a step that is not
 * in the list; -EUCLEAN when it is not readable; another fault of SQLite's, logged, with that step undone. */
int migrations_apply(sqlite3 *sqlite, const char *db_name, const struct migration *list, size_t count)
    must_check;
