#include "bench/streams/peers.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AHEAD = 1024 * 1024 };

void give_up(const char *what)
{
    (void)fprintf(stderr, "bench_streams: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- a loop of write and fdatasync ------------------------------------------------------------------------------- */

struct bare_self {
    int fd;
    char *path;
    uint8_t *bytes;
    off_t at, allocated;
};

static void *bare_open(const char *folder, size_t payload)
{
    struct bare_self *self = mem_new(struct bare_self);
    self->path = str_printf("%s/bare", folder);
    self->fd = open(self->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (self->fd < 0)
        give_up(self->path);
    self->bytes = malloc(payload * BATCH_MAX);
    if (!self->bytes)
        give_up("memory");
    memset(self->bytes, 'x', payload * BATCH_MAX);
    return self;
}

/* The payloads of a batch, preallocated as the log does that. */
static void bare_take(void *arg, const uint8_t *payload, size_t payload_len, size_t batch)
{
    (void)payload;
    struct bare_self *self = arg;
    size_t len = payload_len * batch;
    if (self->at + (off_t)len > self->allocated) {
        off_t ahead = len > AHEAD ? (off_t)len : AHEAD;
        if (fallocate(self->fd, FALLOC_FL_KEEP_SIZE, self->at, ahead) == 0)
            self->allocated = self->at + ahead;
    }
    if (pwrite(self->fd, self->bytes, len, self->at) != (ssize_t)len || fdatasync(self->fd) < 0)
        give_up(self->path);
    self->at += (off_t)len;
}

static void bare_close(void *arg)
{
    struct bare_self *self = arg;
    (void)close(self->fd);
    (void)unlink(self->path);
    free(self->path);
    free(self->bytes);
    free(self);
}

static double bare_handed(void *arg)
{
    const struct bare_self *self = arg;
    return (double)self->at;
}

const struct peer bare_peer = {bare_open, bare_take, NULL, bare_handed, bare_close};

/* ---- SQLite ------------------------------------------------------------------------------------------------------ */

struct sqlite_self {
    sqlite3 *sqlite;
    sqlite3_stmt *insert;
    char *path;
};

static void run(struct sqlite_self *self, const char *sql)
{
    if (sqlite3_exec(self->sqlite, sql, NULL, NULL, NULL) != SQLITE_OK) {
        (void)fprintf(stderr, "bench_streams: %s: %s\n", sql, sqlite3_errmsg(self->sqlite));
        exit(1);
    }
}

static void *sqlite_open(const char *folder, size_t payload)
{
    (void)payload;
    struct sqlite_self *self = mem_new(struct sqlite_self);
    self->path = str_printf("%s/rows.db", folder);
    if (sqlite3_open(self->path, &self->sqlite) != SQLITE_OK)
        give_up(self->path);
    run(self, "PRAGMA journal_mode = WAL");
    run(self, "PRAGMA synchronous = FULL");
    run(self, "CREATE TABLE record (seq INTEGER PRIMARY KEY, wall INTEGER, topic TEXT, payload BLOB)");
    if (sqlite3_prepare_v2(self->sqlite, "INSERT INTO record (wall, topic, payload) VALUES (?1, ?2, ?3)", -1,
                           &self->insert, NULL) != SQLITE_OK)
        give_up("insert");
    return self;
}

static void sqlite_take(void *arg, const uint8_t *payload, size_t len, size_t batch)
{
    struct sqlite_self *self = arg;
    run(self, "BEGIN");
    for (size_t i = 0; i < batch; i++) {
        (void)sqlite3_bind_int64(self->insert, 1, (sqlite3_int64)i);
        (void)sqlite3_bind_text(self->insert, 2, TOPIC, TOPIC_LEN, SQLITE_STATIC);
        (void)sqlite3_bind_blob(self->insert, 3, payload, (int)len, SQLITE_STATIC);
        if (sqlite3_step(self->insert) != SQLITE_DONE || sqlite3_reset(self->insert) != SQLITE_OK)
            give_up("insert");
    }
    run(self, "COMMIT");
}

static void sqlite_close(void *arg)
{
    struct sqlite_self *self = arg;
    static const char *const ends[] = {"", "-wal", "-shm"};
    (void)sqlite3_finalize(self->insert);
    (void)sqlite3_close(self->sqlite);
    for (size_t i = 0; i < array_size(ends); i++) {
        cleanup_free char *path = str_printf("%s%s", self->path, ends[i]);
        (void)unlink(path);
    }
    free(self->path);
    free(self);
}

const struct peer sqlite_peer = {sqlite_open, sqlite_take, NULL, NULL, sqlite_close};
