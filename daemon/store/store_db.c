/* Batches, items and statements, on the store's thread.
 *
 *      BEGIN  [ item ]  [ SAVEPOINT item … RELEASE ]  [ SAVEPOINT item … ROLLBACK TO, RELEASE ]  COMMIT
 *               reads          writes                          writes, then fails
 *
 * The savepoint is opened by an item's first statement that writes, so that reading costs nothing and a batch that only
 * read is committed without a sync. Measured on small inserts: about 0.7 µs an item, its copies of pages included. Items
 * that are many and hardly ever fail do without (store_together()); when one does, the batch is written again, with
 * savepoints for all.
 *
 * SQLite answers some faults (disk full, I/O error, no memory) by rolling back the whole transaction. That is seen by
 * its autocommit flag: from then on nothing more of the batch writes, since a statement would be a transaction of its
 * own, and the commit gives the fault to every item. What only reads still reads, what was committed before. The next
 * batch begins anew and works when the cause is gone.
 */
#include "store/store_db.h"

#include "base/log.h"
#include "store/store.h"
#include "store/store_salvage.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    /* The WAL is copied back in idle moments once it has this many pages (4 MiB): seldom, so that a page which changes
     * often reaches the file once. A thread that is never idle does it at the second mark. */
    WAL_PAGES_IDLE = 1000,
    WAL_PAGES_BUSY = 4000,
};

/* ---- faults ------------------------------------------------------------------------------------------------------ */

void store_db_distrust(struct store_db *db)
{
    if (!atomic_exchange_explicit(&db->is_damaged, true, memory_order_relaxed) && db->fd >= 0)
        store_suspect(db->path);
}

/* Logs a wrong statement always, and trouble with the file once until a commit succeeds: a full disk would say the same
 * for every item of every batch. */
static int complain(struct store_db *db, int rc, const char *doing)
{
    int r = store_fault(db->sqlite, rc);
    if (r == -EUCLEAN)
        store_db_distrust(db);
    if (r == -EINVAL || !db->complained)
        log_error("%s: %s: %s (%s)", db->path, doing, sqlite3_errmsg(db->sqlite), strerror(-r));
    if (r != -EINVAL)
        db->complained = true;
    return r;
}

/* Did SQLite give up the transaction? Called after every fault inside a batch. */
static void notice_loss(struct store_db *db, int r)
{
    if (db->in_batch && !db->lost && sqlite3_get_autocommit(db->sqlite))
        db->lost = r;
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static size_t slot_of(const struct store_db *db, const char *sql)
{
    size_t i = ((uintptr_t)sql * 0x9E3779B97F4A7C15u >> 20) & (db->capacity - 1);
    while (db->slots[i] && db->slots[i]->sql != sql)
        i = (i + 1) & (db->capacity - 1);
    return i;
}

static void rehash(struct store_db *db, size_t capacity)
{
    struct kept_statement **old = db->slots;
    size_t old_capacity = db->capacity;
    db->capacity = capacity;
    db->slots = mem_new_bytes(db->capacity * sizeof *db->slots);
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i])
            db->slots[slot_of(db, old[i]->sql)] = old[i];
    free(old);
}

/* Keeps a new statement; the caller has seen that it is not there. */
static struct kept_statement *keep(struct store_db *db, const char *sql, sqlite3_stmt *statement)
{
    if (db->count * 2 >= db->capacity)
        rehash(db, size_max(64, db->capacity * 2));
    struct kept_statement *kept = mem_new(struct kept_statement);
    kept->sql = sql;
    kept->is_for_once = db->is_for_once;
    kept->statement = statement;
    db->slots[slot_of(db, sql)] = kept;
    db->count++;
    return kept;
}

void store_db_forget(struct store_db *db)
{
    for (size_t i = 0; i < db->capacity; i++) {
        struct kept_statement *kept = db->slots[i];
        if (!kept || !kept->is_for_once)
            continue;
        (void)sqlite3_finalize(kept->statement);
        free(kept);
        db->slots[i] = NULL;
        db->count--;
    }
    if (db->capacity)
        rehash(db, db->capacity);
}

static void use(struct store_db *db, struct kept_statement *kept)
{
    for (struct kept_statement *other = db->used; other; other = other->next_used)
        if (other == kept)
            return;
    kept->next_used = db->used;
    db->used = kept;
}

sqlite3_stmt *store_statement(struct store_db *db, const char *sql)
{
    struct kept_statement *kept = db->capacity ? db->slots[slot_of(db, sql)] : NULL;
    if (!kept) {
        sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v3(db->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
        if (rc != SQLITE_OK) {
            db->prepare_fault = complain(db, rc, sql);
            notice_loss(db, db->prepare_fault);
            return NULL;
        }
        kept = keep(db, sql, statement);
    }
    use(db, kept);
    (void)sqlite3_reset(kept->statement);
    (void)sqlite3_clear_bindings(kept->statement);
    return kept->statement;
}

/* Resets what an item used: an open cursor would keep the transaction's snapshot and hold up the checkpoint, and what
 * is bound belongs to the item. */
static void reset_used(struct store_db *db)
{
    while (db->used) {
        (void)sqlite3_reset(db->used->statement);
        (void)sqlite3_clear_bindings(db->used->statement);
        db->used = db->used->next_used;
    }
}

/* Runs one of the store's own statements, which are not the item's. */
static int run_own(struct store_db *db, const char *sql)
{
    struct kept_statement *used = db->used;
    sqlite3_stmt *statement = store_statement(db, sql);
    db->used = used;
    if (!statement)
        return db->prepare_fault;
    int rc = sqlite3_step(statement);
    int r = rc == SQLITE_DONE ? 0 : complain(db, rc, sql);
    (void)sqlite3_reset(statement);
    return r;
}

/* The item is about to write for the first time. */
static int begin_writing(struct store_db *db)
{
    int r = db->lost = db->unsynced ? store_db_sync_file(db) : 0;
    if (r == 0 && !db->together)
        r = run_own(db, "SAVEPOINT item");
    if (r < 0)
        notice_loss(db, r);
    else
        db->wrote = true;
    return r;
}

int store_step(struct store_db *db, sqlite3_stmt *statement)
{
    if (!statement)
        return db->prepare_fault;
    bool reads = sqlite3_stmt_readonly(statement);
    if (db->lost && !reads)
        return db->lost;
    if (db->in_batch && !db->wrote && !reads) {
        int r = begin_writing(db);
        if (r < 0)
            return r;
    }
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE)
        return 0;
    int r = store_fault(db->sqlite, rc);
    if (r != -EEXIST) /* a constraint is an answer to the caller, who knows whether it expected that */
        (void)complain(db, rc, sqlite3_sql(statement));
    notice_loss(db, r);
    return r;
}

void store_together(struct store_db *db)
{
    db->together = !db->wrote && !db->alone;
}

int store_execute(struct store_db *db, sqlite3_stmt *statement)
{
    int r;
    while ((r = store_step(db, statement)) > 0)
        ;
    (void)sqlite3_reset(statement);
    return r;
}

/* ---- batches and items ------------------------------------------------------------------------------------------- */

/* Ends a transaction that is not wanted any more, if there still is one. */
static void roll_back(struct store_db *db)
{
    if (!sqlite3_get_autocommit(db->sqlite))
        (void)run_own(db, "ROLLBACK");
}

int store_db_begin(void *resource)
{
    struct store_db *db = resource;
    db->lost = 0;
    db->alone = false;
    db->written_count = 0;
    int r = run_own(db, "BEGIN");
    db->in_batch = r == 0;
    if (r < 0)
        atomic_fetch_add_explicit(&db->failures, 1, memory_order_relaxed);
    return r;
}

static void remember(struct store_db *db, struct work *work)
{
    if (db->written_count == db->written_room) {
        db->written_room = size_max(64, 2 * db->written_room);
        struct work **written = realloc(db->written, db->written_room * sizeof *written);
        if (!written)
            abort();
        db->written = written;
    }
    db->written[db->written_count++] = work;
}

/* The batch is lost with all that was written in it. */
static void lose(struct store_db *db, struct work *work, int r)
{
    roll_back(db);
    db->lost = r;
    work->r = work->r < 0 ? work->r : r;
}

static void end_savepoint(struct store_db *db, struct work *work)
{
    int r = work->r < 0 ? run_own(db, "ROLLBACK TO item") : 0;
    if (r == 0)
        r = run_own(db, "RELEASE item");
    if (r < 0) /* an item that cannot be taken back alone takes the batch with it */
        lose(db, work, r);
}

static void run_item(struct store_db *db, struct work *work)
{
    db->wrote = db->together = false;
    work->run(work, db);
    reset_used(db);
    if (db->wrote && !db->together && !db->lost)
        end_savepoint(db, work);
}

/* An item that shares the batch's fate has failed. So the batch begins anew, and now everybody has a savepoint. What only
 * read is not read again: it saw what is written again. */
static void start_over(struct store_db *db, struct work *failed)
{
    roll_back(db);
    int r = run_own(db, "BEGIN");
    if (r < 0) {
        lose(db, failed, r);
        return;
    }
    db->alone = true;
    for (size_t i = 0; i < db->written_count && !db->lost; i++)
        run_item(db, db->written[i]);
    if (!db->lost)
        run_item(db, failed);
}

void store_db_run(void *resource, struct work *work)
{
    struct store_db *db = resource;
    atomic_fetch_add_explicit(&db->items, 1, memory_order_relaxed);
    run_item(db, work);
    if (db->lost || !db->wrote || db->alone)
        return;
    if (db->together && work->r < 0)
        start_over(db, work);
    else if (work->r >= 0)
        remember(db, work);
}

int store_db_commit(void *resource)
{
    struct store_db *db = resource;
    db->in_batch = false;
    int r = db->lost;
    if (r == 0)
        r = atomic_exchange_explicit(&db->fail_next_commit, 0, memory_order_relaxed);
    if (r == 0)
        r = run_own(db, "COMMIT");
    if (r < 0) {
        roll_back(db);
        atomic_fetch_add_explicit(&db->failures, 1, memory_order_relaxed);
        return r;
    }
    if (db->complained)
        log_notice("%s: works again", db->path);
    db->complained = false;
    atomic_fetch_add_explicit(&db->batches, 1, memory_order_relaxed);
    if (db->wal_pages >= WAL_PAGES_BUSY)
        store_db_idle(db);
    return 0;
}

void store_db_idle(void *resource)
{
    struct store_db *db = resource;
    if (db->wal_pages < WAL_PAGES_IDLE)
        return;
    db->wal_pages =
        0; /* the next commit says how many there are, should somebody's reading have held some back */
    int rc = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc != SQLITE_OK && rc != SQLITE_BUSY)
        (void)complain(db, rc, "checkpoint"); /* nothing is lost: the WAL has it and goes on growing */
}
