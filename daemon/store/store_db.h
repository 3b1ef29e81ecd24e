/* The database as its thread sees it: the connection, its statements, and what surrounds a batch and an item.
 *
 * Private to store.c and its neighbours; services see struct store_db by name only, through store.h.
 */
#pragma once

#include "base/worker.h"

#include <sqlite3.h>
#include <stdatomic.h>

struct store_check;

struct kept_statement {
    const char *sql; /* the literal's address is the key */
    sqlite3_stmt *statement;
    bool is_for_once;
    struct kept_statement *next_used;
};

struct store_db {
    sqlite3 *sqlite;
    const char *path;
    const struct store_check *const *checks; /* may be NULL */
    int fd;                                  /* holds the lock of the one process; -1 for :memory: */
    bool unsynced; /* perhaps the file is not on disk: a start does not wait for that, its first write does */

    struct kept_statement **slots; /* open addressing, a power of two */
    size_t capacity, count;
    bool is_for_once;            /* new ones are forgotten by store_db_forget() */
    struct kept_statement *used; /* those the current item asked for */
    int prepare_fault;           /* of the last statement that could not be prepared */

    char damage[256];        /* what was found when it was opened */
    bool is_hopeless;        /* nothing of it can be read */
    _Atomic bool is_damaged; /* that was met while running */

    bool in_batch;
    bool wrote;            /* the item has begun to write */
    bool together;         /* and has no savepoint */
    bool alone;            /* everybody has one in this batch */
    struct work **written; /* in this batch so far */
    size_t written_count, written_room;
    int lost; /* why the whole transaction is given up, by SQLite or because the file cannot be synced; 0: it stands */
    bool complained; /* a fault was logged and no commit has succeeded since */
    int wal_pages;

    _Atomic int fail_next_commit;
    _Atomic uint64_t batches, items, failures;
};

/* −errno for a result of SQLite's. */
int store_fault(sqlite3 *sqlite, int rc);

/* Opens, checks and configures; logs what is wrong. On a fault nothing of the file has been changed. */
int store_db_open(struct store_db *db, const char *path, const struct store_check *const *checks) must_check;
/* Checkpoints when `clean`, so that the next start finds one file and need not look into it. */
void store_db_close(struct store_db *db, bool clean);

/* Something in it cannot be read. */
void store_db_distrust(struct store_db *db);

/* Before the first write of a start. -errno, logged: it is still to be done. */
int store_db_sync_file(struct store_db *db) must_check;

/* Statements that were needed at the start only: their memory serves what comes next. Between items. */
void store_db_forget(struct store_db *db);

/* The worker's operations. */
int store_db_begin(void *resource);
void store_db_run(void *resource, struct work *work);
int store_db_commit(void *resource);
void store_db_idle(void *resource);
