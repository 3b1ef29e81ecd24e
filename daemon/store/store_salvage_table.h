/* One table of a damaged database, copied as far as it can be read. Private to store_salvage.c and its neighbour. */
#pragma once

#include "base/json_write.h"

#include <sqlite3.h>

struct store_check;

struct salvage {
    const char *path;
    const struct store_check *const *checks; /* NULL: none */
    sqlite3 *from, *to;
    struct arena arena;
    struct json_writer report; /* in the array of tables */
    uint64_t saved;            /* rows of all tables */
};

/* NULL when it cannot be prepared. */
sqlite3_stmt *salvage_prepare(sqlite3 *sqlite, const char *sql);
/* The first column of the first row. */
int64_t salvage_number(sqlite3 *sqlite, const char *sql, int64_t fallback);
/* A name as an identifier, in the arena. */
const char *salvage_quoted(struct salvage *s, const char *name);

/* Copies its rows, makes the table when the new file has none, and adds to the report. −errno: the new file cannot be
 * written. */
int salvage_table(struct salvage *s, const char *name, const char *sql) must_check;
