/* Opening state.db: who may have it, is it whole, how SQLite is to treat it.
 *
 * A clean close leaves one file and no WAL, and the header's page count is the file's size. Only when that is not so is
 * the file looked through (quick_check): a start after a clean stop does not depend on how much is stored.
 *
 * A new file (store_new.h) is not synced: nobody has been promised anything yet, and a start should not wait for the disk.
 * The first write syncs it before itself, at every start, since the one before may have ended before it wrote. What a power
 * cut leaves before that is no file, an empty one, or all of it, and never a WAL.
 *
 * Whoever finds damage changes nothing. Even closing would copy the WAL back and remove it, so SQLite is told not to
 * until everything is known to be good. Then what can be read is saved (store_salvage.h), if there is anything.
 */
#include "base/log.h"
#include "store/migration.h"
#include "store/store_check.h"
#include "store/store_db.h"
#include "store/store_new.h"
#include "store/store_salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char IN_MEMORY[] = ":memory:";

static int sync_folder_of(const char *path)
{
    cleanup_free char *folder = str_copy(path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder ? 1 : 0] = '\0';
    cleanup(fd_close_p) int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static const char *advice(int fault)
{
    switch (fault) {
    case -ENOENT:
    case -ENOTDIR: return "; the state directory must exist (--state, STATE_DIRECTORY)";
    case -EACCES:
    case -EPERM: return "; the state directory and its files must belong to the user gatehoused runs as";
    case -EROFS: return "; the file system is mounted read-only, see the kernel's log for why";
    case -ENOSPC: return "; make room on the file system of the state directory";
    default: return "";
    }
}

/* Kept for what is done about it. */
static int damaged(struct store_db *db, const char *what)
{
    (void)snprintf(db->damage, sizeof db->damage, "%s", what);
    return -EUCLEAN;
}

/* Nothing of it can be read: SQLite must not even look at it. */
static int hopeless(struct store_db *db, const char *what)
{
    db->is_hopeless = true;
    return damaged(db, what);
}

static bool has_wal(const struct store_db *db)
{
    cleanup_free char *wal = str_printf("%s-wal", db->path);
    struct stat st;
    return stat(wal, &st) == 0 && st.st_size > 0;
}

int store_db_sync_file(struct store_db *db)
{
    int r = fsync(db->fd) < 0 ? -errno : sync_folder_of(db->path);
    if (r < 0 && !db->complained)
        log_error("%s: fsync: %s", db->path, strerror(-r));
    db->complained |= r < 0;
    db->unsynced = r < 0;
    return r;
}

/* Takes the file's lock, and makes the file if there is none. SQLite drops its own locks when any descriptor of the file
 * is closed by this process, so this one is closed after SQLite's. */
static int take_file(struct store_db *db)
{
    int r = 0, fd = open(db->path, O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT && has_wal(db))
        return hopeless(db, "it is gone, but there is a WAL with data");
    if (fd < 0 && errno == ENOENT) {
        r = store_new(db->path);
        fd = r < 0 ? -1 : open(db->path, O_RDWR | O_CLOEXEC | O_NOCTTY);
    }
    db->fd = fd;
    db->unsynced = true;
    if (fd < 0) {
        r = r < 0 ? r : -errno;
        log_error("%s: open: %s%s", db->path, strerror(-r), advice(r));
        return r;
    }
    struct stat st;
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
        log_error("%s: is not a file", db->path);
        return -EINVAL;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        r = errno == EWOULDBLOCK ? -EBUSY : -errno;
        log_error("%s: %s", db->path, r == -EBUSY ? "is in use by another gatehoused" : strerror(-r));
        return r;
    }
    (void)fchmod(fd, 0600); /* keys and secrets are in it; a file that was copied here may be open to all */
    return 0;
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Was the file left in order? -EUCLEAN when SQLite must not touch it. Format: https://sqlite.org/fileformat2.html */
static int look_at_file(struct store_db *db, bool *was_clean)
{
    struct stat st;
    if (fstat(db->fd, &st) < 0)
        return -errno;
    *was_clean = !has_wal(db) && !store_is_suspect(db->path);
    if (st.st_size == 0) /* SQLite would take it for new and delete the WAL */
        return !has_wal(db) ? 0 : hopeless(db, "it is empty, but there is a WAL with data");

    uint8_t head[100];
    ssize_t n = pread(db->fd, head, sizeof head, 0);
    if (n < 0)
        return -errno;
    if (n < (ssize_t)sizeof head || memcmp(head, "SQLite format 3", 16) != 0)
        return damaged(db, "it is not an SQLite database");
    uint32_t page = (uint32_t)head[16] << 8 | head[17];
    if (page == 1)
        page = 65536;
    if ((int64_t)page * big_endian(head + 28) != st.st_size)
        *was_clean = false;
    return 0;
}

/* One value of a pragma, or what went wrong, into `text`. */
static int ask(struct store_db *db, const char *sql, char *text, size_t size)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db->sqlite, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    const char *value =
        rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : sqlite3_errmsg(db->sqlite);
    (void)snprintf(text, size, "%s", value ? value : "");
    int r = store_fault(db->sqlite, rc);
    (void)sqlite3_finalize(statement);
    return r;
}

/* For a small board: little memory, no mapping (an I/O error would be a SIGBUS), no writes that only tidy up. */
static int configure(struct store_db *db)
{
    static const char *const pragmas[] =
        {
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL", /* an acknowledgement is a promise; NORMAL would sync at checkpoints only */
            "PRAGMA foreign_keys = ON",
            "PRAGMA cache_size = -1024", /* KiB */
            "PRAGMA mmap_size = 0",
            "PRAGMA temp_store = MEMORY",
            "PRAGMA journal_size_limit = 8388608",
            "PRAGMA secure_delete = OFF", /* Debian's is ON: it writes every freed page once more */
            "PRAGMA trusted_schema = OFF",
            "PRAGMA cell_size_check = ON", /* notices some damage while reading */
        };
    char value[256] = "";
    for (size_t i = 0; i < array_size(pragmas); i++) {
        int r = ask(db, pragmas[i], value, sizeof value);
        if (r == 0 && i == 0 && strcmp(value, db->fd < 0 ? "memory" : "wal") != 0)
            r = -ENOTSUP; /* SQLite answers with the mode that it could have */
        if (r == -EUCLEAN)
            return damaged(db, value);
        if (r < 0) {
            log_error("%s: %s: %s%s", db->path, pragmas[i], value, advice(r));
            return r;
        }
    }
    return 0;
}

static int check(struct store_db *db)
{
    char value[256];
    int r = ask(db, "PRAGMA quick_check(1)", value, sizeof value);
    if (r == -EUCLEAN || (r == 0 && strcmp(value, "ok") != 0))
        return damaged(db, value);
    if (r < 0)
        log_error("%s: quick_check: %s", db->path, value);
    return r;
}

/* SQLite has found nothing, or was not asked; do those who own the rows? */
static int check_suspicion(struct store_db *db)
{
    char what[sizeof db->damage];
    int r = store_check_rows(db->sqlite, db->checks, what, sizeof what);
    if (r == -EUCLEAN)
        return damaged(db, what);
    if (r == 0)
        store_acquit(db->path);
    else
        log_error("%s: %s", db->path, what);
    return r;
}

static int count_wal_pages(void *self, sqlite3 *sqlite, const char *schema, int pages)
{
    (void)sqlite, (void)schema;
    struct store_db *db = self;
    db->wal_pages = pages;
    return SQLITE_OK;
}

static int open_sqlite(struct store_db *db)
{
    bool was_clean = true;
    int r = db->fd < 0 ? 0 : look_at_file(db, &was_clean);
    if (r < 0)
        return r;
    bool is_suspect = db->fd >= 0 && store_is_suspect(db->path);

    /* One thread at a time has the connection: this one until the worker starts, then the worker's. */
    int rc = sqlite3_open_v2(db->path, &db->sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        r = store_fault(db->sqlite, rc);
        log_error("%s: open: %s%s", db->path, sqlite3_errmsg(db->sqlite), advice(r));
        return r;
    }
    (void)sqlite3_extended_result_codes(db->sqlite, 1);
    (void)sqlite3_busy_timeout(db->sqlite, 2000); /* somebody looks into the file with the sqlite3 shell */
    (void)sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_wal_hook(db->sqlite, count_wal_pages, db);

    if (!was_clean)
        log_info("%s: was not closed in order, checking it", db->path);
    r = configure(db);
    if (r == 0 && !was_clean)
        r = check(db);
    if (r < 0)
        return r;
    r = migrations_apply(db->sqlite, db->path, migrations, migrations_count);
    if (r == -EUCLEAN)
        return damaged(db, sqlite3_errmsg(db->sqlite));
    return r == 0 && is_suspect ? check_suspicion(db) : r;
}

static int open_file(struct store_db *db, const char *path, const struct store_check *const *checks)
{
    *db = (struct store_db){.path = path, .checks = checks, .fd = -1};
    int r = strcmp(path, IN_MEMORY) == 0 ? 0 : store_salvage_finish(path);
    if (r == 0 && strcmp(path, IN_MEMORY) != 0)
        r = take_file(db);
    if (r == 0)
        r = open_sqlite(db);
    if (r < 0)
        store_db_close(db, false);
    return r;
}

int store_db_open(struct store_db *db, const char *path, const struct store_check *const *checks)
{
    /* Nobody asks how much SQLite has allocated, and counting it costs a lock for every piece. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0,
                         0); /* else 87 KB are touched for pages that may never come */
    int r = open_file(db, path, checks);
    if (r != -EUCLEAN)
        return r;
    if (!db->is_hopeless && store_salvage(path, db->damage, checks) == 0) {
        store_acquit(path);
        r = open_file(db, path, checks);
    }
    if (r == -EUCLEAN)
        log_error("%s: is damaged: %s; nothing was changed. Restore a backup, or save what can be read with "
                  "\"sqlite3 %s .recover\", or move the file (and its -wal) away to start empty",
                  path, db->damage, path);
    return r;
}

void store_db_close(struct store_db *db, bool clean)
{
    for (size_t i = 0; i < db->capacity; i++)
        if (db->slots[i]) {
            (void)sqlite3_finalize(db->slots[i]->statement);
            free(db->slots[i]);
        }
    free(db->slots);
    free(db->written);
    db->written = NULL;
    db->written_count = db->written_room = 0;
    db->slots = NULL;
    db->capacity = db->count = 0;
    if (clean) {
        int rc = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        if (rc == SQLITE_OK)
            (void)sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
        else
            log_warning("%s: checkpoint: %s; the next start will check the file", db->path,
                        sqlite3_errmsg(db->sqlite));
    }
    (void)sqlite3_close(db->sqlite);
    db->sqlite = NULL;
    fd_close_p(&db->fd);
    db->fd = -1;
}
