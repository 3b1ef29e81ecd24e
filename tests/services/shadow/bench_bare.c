#include "bench_bare.h"

#include "base/base.h"

#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

enum { RECENT_MAX = 8, HISTORY_MAX = 100 }; /* as the service has them */

struct bare {
    sqlite3 *db;
    sqlite3_stmt *update, *add, *clear, *spill, *prune;
    bool with_history;
    unsigned number;
    unsigned *versions;
};

static void execute(sqlite3 *db, const char *sql)
{
    must(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, sqlite3_errmsg(db));
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    must(sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK, sqlite3_errmsg(db));
    return st;
}

static void step(struct bare *bare, sqlite3_stmt *st)
{
    must(sqlite3_step(st) == SQLITE_DONE, sqlite3_errmsg(bare->db));
    (void)sqlite3_reset(st);
}

/* The service's tables, without what watches over them: checks, and the index of tombstones. */
struct bare *bare_open(const char *path, bool with_history, size_t shadows)
{
    struct bare *bare = mem_new(struct bare);
    (void)unlink(path);
    must(sqlite3_open(path, &bare->db) == SQLITE_OK, "sqlite3_open");
    bare->with_history = with_history;
    bare->versions = mem_new_bytes(shadows * sizeof *bare->versions);
    execute(bare->db,
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -1024;"
            "PRAGMA wal_autocheckpoint = 4000; PRAGMA secure_delete = OFF;" /* as the store when it is busy */
            "CREATE TABLE shadow (id INTEGER PRIMARY KEY, thing TEXT NOT NULL, name TEXT NOT NULL, "
            "version INTEGER NOT NULL, state TEXT, stamps TEXT, deleted_s INTEGER, "
            "recent TEXT NOT NULL DEFAULT '', UNIQUE (thing, name));"
            "CREATE TABLE shadow_history (id INTEGER PRIMARY KEY, shadow INTEGER NOT NULL, "
            "version INTEGER NOT NULL, bytes INTEGER NOT NULL, at_s INTEGER NOT NULL, records TEXT NOT NULL);"
            "CREATE INDEX shadow_history_shadow ON shadow_history (shadow, version, bytes);");
    for (size_t i = 0; i < shadows; i++) {
        char sql[100];
        (void)snprintf(sql, sizeof sql, "INSERT INTO shadow (thing, name, version) VALUES ('pump%zu', '', 0)",
                       i);
        execute(bare->db, sql);
    }
    bare->update = prepare(bare->db, "UPDATE shadow SET version = ?2, state = ?3, stamps = ?4 WHERE id = ?1");
    bare->add = prepare(bare->db, "UPDATE shadow SET version = ?2, state = ?3, stamps = ?4, "
                                  "recent = recent || ?5 WHERE id = ?1");
    bare->clear = prepare(
        bare->db, "UPDATE shadow SET version = ?2, state = ?3, stamps = ?4, recent = '' WHERE id = ?1");
    bare->spill = prepare(bare->db, "INSERT INTO shadow_history (shadow, version, bytes, at_s, records) "
                                    "SELECT ?1, ?2, ?3, ?4, recent || ?5 FROM shadow WHERE id = ?1");
    bare->prune = prepare(bare->db, "DELETE FROM shadow_history WHERE shadow = ?1 AND version <= ?2");
    return bare;
}

void bare_close(struct bare *bare, const char *path)
{
    sqlite3_stmt *all[] = {bare->update, bare->add, bare->clear, bare->spill, bare->prune};
    for (size_t i = 0; i < array_size(all); i++)
        (void)sqlite3_finalize(all[i]);
    (void)sqlite3_close(bare->db);
    (void)unlink(path);
    free(bare->versions);
    free(bare);
}

static void bind(sqlite3_stmt *st, size_t shadow, unsigned version)
{
    (void)sqlite3_bind_int64(st, 1, (sqlite3_int64)shadow + 1);
    (void)sqlite3_bind_int64(st, 2, version);
}

static void write_row(struct bare *bare, size_t shadow)
{
    unsigned n = bare->number++, version = ++bare->versions[shadow];
    char state[200], stamps[40], record[200];
    int state_len = snprintf(state, sizeof state,
                             "{\"reported\":{\"rpm\":%u,\"temp\":%u.%u,\"mode\":\"auto\",\"alarm\":false}}",
                             n % 3000, n % 90, n % 10);
    int stamps_len = snprintf(stamps, sizeof stamps, "%ux4", 1760000000 + n);
    int record_len =
        snprintf(record, sizeof record, "[%u,%u,\"\",{\"reported\":{\"rpm\":%u,\"temp\":%u.%u}}]\n", version,
                 1760000000 + n, n % 3000, n % 90, n % 10);
    bool spills = bare->with_history && version % RECENT_MAX == 0;
    sqlite3_stmt *st = !bare->with_history ? bare->update : spills ? bare->clear : bare->add;
    if (spills) {
        bind(bare->spill, shadow, version);
        (void)sqlite3_bind_int64(bare->spill, 3, record_len * RECENT_MAX);
        (void)sqlite3_bind_int64(bare->spill, 4, 1760000000 + n);
        (void)sqlite3_bind_text(bare->spill, 5, record, record_len, SQLITE_STATIC);
        step(bare, bare->spill);
        bind(bare->prune, shadow, version > HISTORY_MAX ? version - HISTORY_MAX : 0);
        step(bare, bare->prune);
    }
    bind(st, shadow, version);
    (void)sqlite3_bind_text(st, 3, state, state_len, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 4, stamps, stamps_len, SQLITE_STATIC);
    if (st == bare->add)
        (void)sqlite3_bind_text(st, 5, record, record_len, SQLITE_STATIC);
    step(bare, st);
}

void bare_write(struct bare *bare, size_t together, size_t n)
{
    for (size_t done = 0; done < n; done += together) {
        execute(bare->db, "BEGIN");
        for (size_t i = 0; i < together && done + i < n; i++)
            write_row(bare, i);
        execute(bare->db, "COMMIT");
    }
}
