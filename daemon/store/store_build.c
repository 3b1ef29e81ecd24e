/* The migrations on an empty file: also part of the program that does so when gatehoused is built. */
#include "store/migration.h"
#include "store/store_db.h"
#include "store/store_new.h"

int store_build(const char *path)
{
    static const char *const begin[] = {"PRAGMA locking_mode = EXCLUSIVE", "PRAGMA journal_mode = OFF",
                                        "PRAGMA synchronous = OFF", "BEGIN"};
    sqlite3 *sqlite = NULL;
    int rc = sqlite3_open_v2(path, &sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < array_size(begin); i++)
        rc = sqlite3_exec(sqlite, begin[i], NULL, NULL, NULL);
    int r = store_fault(sqlite, rc);
    if (r == 0)
        r = migrations_apply(sqlite, path, migrations, migrations_count);
    if (r == 0) /* the file remembers the mode */
        r = store_fault(sqlite, sqlite3_exec(sqlite, "COMMIT; PRAGMA journal_mode = WAL", NULL, NULL, NULL));
    (void)sqlite3_close(sqlite);
    return r;
}
