/* The store: one SQLite file and the thread that owns it.
 *
 * Work items submitted in one turn run inside one transaction and are committed with one sync (WAL, synchronous=FULL):
 * when done() is called with r == 0, the item's writes survive a power cut. An item that fails alone (r < 0 from run)
 * is undone alone (its run, if it writes, may be called twice: store_together()); when the commit fails, all items of the batch carry that fault and nothing was kept.
 *
 * Each service keeps its SQL in a file of its own (shadow_store.c, …): the functions there are the only ones that see a
 * struct store_db, on the store's thread. The schema is in schema/state/NNNN-name.sql, applied in order of number at
 * open, inside one transaction each, recorded in table `migration`.
 *
 * A file that is damaged is never deleted: what can be read of it is saved into a new one, and it stays under another name
 * until somebody moves it away (store_salvage.h). Where nothing can be read, open fails with -EUCLEAN, nothing is changed,
 * and the operator decides. A newer schema than this program knows: -EPROTONOSUPPORT.
 */
#pragma once

#include "base/worker.h"

#include <sqlite3.h>

struct store;
struct store_db; /* what run() gets as its resource */

/* path: a file, created when missing, or ":memory:" (tests). mode: WORKER_INLINE in tests. A fault has been logged, with
 * what to do about it: besides the two above, -EBUSY (another process has the file), -EACCES, -ENOENT, -ENOSPC, …. */
int store_open(struct store **ret, struct loop *loop, const char *path, enum worker_mode mode) must_check;

/* SQLite has no checksums: it reads garbage inside a text like any other. Whoever owns a table can tell. His check is asked
 * for each row where there is reason to doubt them: while a damaged file is saved, and at a start after store_distrust(). */
struct store_check {
    const char *table;
    /* Can this row be used? It has the table's columns in any order (store_column()); their types are right. Called on the
     * thread of store_open(). */
    bool (*is_whole)(sqlite3_stmt *row);
};
/* Number of a column by its name; -1: the row has none of that name. */
int store_column(sqlite3_stmt *row, const char *name);
/* The same with checks: a list that ends with NULL and must stay. */
int store_open_checked(struct store **ret, struct loop *loop, const char *path, enum worker_mode mode,
                       const struct store_check *const *checks) must_check;
struct store *store_close(struct store *store);
define_cleanup(struct store *, store_close)

void store_submit(struct store *store, struct work *work);
void store_quiesce(struct store *store);

/* A row was read that is not whole. The counters say `damaged`, and the next start looks for what can be saved. On the loop. */
void store_distrust(struct store *store);

/* Blocking access before the loop turns (start-up reads). run is called on the store's thread, inside a transaction;
 * returns its r. */
int store_run_now(struct store *store, int (*run)(struct store_db *db, void *arg), void *arg) must_check;

/* On the store's thread. A prepared statement, reset and without bindings; kept by the store under the address of
 * `sql`, which must be a string literal. The item's statements are reset when its run returns, so what is bound with
 * SQLITE_STATIC must stay until then only. NULL: the fault was logged; binding to NULL does nothing and store_step()
 * returns the fault, so that callers need not look. */
sqlite3_stmt *store_statement(struct store_db *db, const char *sql);
/* Steps once: 1 a row, 0 done, −errno: -EEXIST for a constraint (not logged, an answer to the caller), -ENOSPC, -EIO,
 * -EUCLEAN for corruption, -EBUSY, -EINVAL for a wrong statement, … (logged). Not sqlite3_step(): this one begins the
 * item's savepoint, and stops an item whose transaction SQLite has given up. */
int store_step(struct store_db *db, sqlite3_stmt *statement);
/* Called by an item before it writes, if it hardly ever fails: its first statement opens no savepoint, which costs as much
 * as a small write. When it fails after all (r < 0 from run), it is undone alone like any other, but by beginning the
 * batch again: the run of whoever wrote before it is called once more, and so is its own. */
void store_together(struct store_db *db);
/* For statements without result: steps to the end and resets. */
int store_execute(struct store_db *db, sqlite3_stmt *statement) must_check;

/* Counters for status and benchmarks; on the loop. */
struct store_counters {
    uint64_t batches, items, failures;
    uint64_t bytes; /* size of the file */
    bool damaged;   /* something in it could not be read; the next start looks for what can be saved */
};
void store_counters(const struct store *store, struct store_counters *ret);

/* Reports of damaged files that are kept beside this one (store_salvage.h). */
void store_reports(const struct store *store, void (*found)(void *self, const char *report), void *self);

/* In tests: the next commit fails with this fault instead of happening. */
void store_fail_next_commit(struct store *store, int fault);
