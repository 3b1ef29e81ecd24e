#include "store/migration.h"

#include "base/log.h"
#include "store/store_db.h"

#include <errno.h>

static int unreadable(sqlite3 *sqlite, const char *db_name, int rc)
{
    log_error("%s: table migration: %s", db_name, sqlite3_errmsg(sqlite));
    return store_fault(sqlite, rc);
}

/* A new file has no table `migration` and so nothing applied. */
static int has_table(sqlite3 *sqlite, const char *db_name, bool *ret)
{
    sqlite3_stmt *statement = NULL;
    int rc =
        sqlite3_prepare_v2(sqlite, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migration'",
                           -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    int r = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : unreadable(sqlite, db_name, rc);
    (void)sqlite3_finalize(statement);
    *ret = rc == SQLITE_ROW;
    return r;
}

/* Which of the list have been applied; refuses a database that was taken further than this program can follow. */
static int look(sqlite3 *sqlite, const char *db_name, const struct migration *list, size_t count,
                bool *applied)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(sqlite, "SELECT number, name FROM migration ORDER BY number", -1, &statement,
                                NULL);
    int r = 0;
    if (rc == SQLITE_OK)
        while (r == 0 && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
            size_t i = 0;
            while (i < count && list[i].number != sqlite3_column_int64(statement, 0))
                i++;
            if (i < count) {
                applied[i] = true;
                continue;
            }
            log_error(
                "%s: was written by a newer gatehoused: it has schema step \"%s\", this program knows up to "
                "\"%s\"; nothing was changed, install the newer program or restore a backup",
                db_name, (const char *)sqlite3_column_text(statement, 1),
                count ? list[count - 1].name : "nothing");
            r = -EPROTONOSUPPORT;
        }
    if (r == 0 && rc != SQLITE_DONE)
        r = unreadable(sqlite, db_name, rc);
    (void)sqlite3_finalize(statement);
    return r;
}

static int record(sqlite3 *sqlite, const struct migration *step)
{
    sqlite3_stmt *statement = NULL;
    int rc =
        sqlite3_prepare_v2(sqlite, "INSERT INTO migration VALUES (?, ?, unixepoch())", -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        (void)sqlite3_bind_int64(statement, 1, step->number);
        (void)sqlite3_bind_text(statement, 2, step->name, -1, SQLITE_STATIC);
        rc = sqlite3_step(statement);
    }
    (void)sqlite3_finalize(statement);
    return rc;
}

static int apply(sqlite3 *sqlite, const char *db_name, const struct migration *step)
{
    int rc = sqlite3_exec(sqlite, "SAVEPOINT step", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(sqlite, step->sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK && (rc = record(sqlite, step)) == SQLITE_DONE)
        rc = sqlite3_exec(sqlite, "RELEASE step", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return 0;

    int r = store_fault(sqlite, rc);
    log_error("%s: schema step %s: %s; it was undone", db_name, step->name, sqlite3_errmsg(sqlite));
    if (!sqlite3_get_autocommit(sqlite))
        (void)sqlite3_exec(sqlite, "ROLLBACK TO step; RELEASE step", NULL, NULL, NULL);
    return r;
}

int migrations_apply(sqlite3 *sqlite, const char *db_name, const struct migration *list, size_t count)
{
    cleanup_free bool *applied = mem_new_bytes(count);
    bool table = false;
    int r = has_table(sqlite, db_name, &table);
    if (r == 0 && table)
        r = look(sqlite, db_name, list, count, applied);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (!applied[i])
            r = apply(sqlite, db_name, &list[i]);
    return r;
}
