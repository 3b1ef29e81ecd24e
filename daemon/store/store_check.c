#include "store/store_check.h"

#include "store/store_db.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int store_column(sqlite3_stmt *row, const char *name)
{
    for (int i = 0; i < sqlite3_column_count(row); i++)
        if (strcmp(sqlite3_column_name(row, i), name) == 0)
            return i;
    return -1;
}

const struct store_check *store_check_of(const struct store_check *const *checks, const char *table)
{
    for (; checks && *checks; checks++)
        if (strcmp((*checks)->table, table) == 0)
            return *checks;
    return NULL;
}

static int check_table(sqlite3 *sqlite, const struct store_check *check, char *what, size_t size)
{
    cleanup_free char *sql = str_printf("SELECT * FROM %s NOT INDEXED", check->table);
    sqlite3_stmt *row = NULL;
    bool is_whole = true;
    int rc = sqlite3_prepare_v2(sqlite, sql, -1, &row, NULL);
    while (rc == SQLITE_OK || (rc == SQLITE_ROW && (is_whole = check->is_whole(row))))
        rc = sqlite3_step(row);
    int r = is_whole ? store_fault(sqlite, rc) : -EUCLEAN;
    if (is_whole)
        (void)snprintf(what, size, "%s: %s", sql, sqlite3_errmsg(sqlite));
    else
        (void)snprintf(what, size, "table %s: what is in a row cannot be read", check->table);
    (void)sqlite3_finalize(row);
    return r;
}

int store_check_rows(sqlite3 *sqlite, const struct store_check *const *checks, char *what, size_t size)
{
    int r = 0;
    for (; checks && *checks && r == 0; checks++)
        r = check_table(sqlite, *checks, what, size);
    return r;
}
