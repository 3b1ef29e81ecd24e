#include "store/store_salvage.h"

#include "base/json_write.h"
#include "base/log.h"
#include "store/migration.h"
#include "store/store_db.h"
#include "store/store_salvage_schema.h"
#include "store/store_salvage_table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { REPORT_MAX = 1 << 20 };

/* ---- files --------------------------------------------------------------------------------------------------------- */

static int sync_folder(const char *path)
{
    cleanup_free char *folder = str_copy(path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder ? 1 : 0] = '\0';
    cleanup(fd_close_p) int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int sync_file(const char *path)
{
    cleanup(fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int store_salvage_finish(const char *path)
{
    cleanup_free char *salvaged = str_printf("%s.salvaged", path);
    cleanup_free char *wal = str_printf("%s-wal", path);
    cleanup_free char *shm = str_printf("%s-shm", path);
    if (access(salvaged, F_OK) < 0)
        return 0;
    /* The WAL is the damaged file's: SQLite must not find it beside the new one. */
    if ((unlink(wal) < 0 && errno != ENOENT) || (unlink(shm) < 0 && errno != ENOENT) ||
        rename(salvaged, path) < 0)
        return -errno;
    return sync_folder(path);
}

/* A second name for a file; it need not be there. */
static int keep(const char *path, const char *kept)
{
    return link(path, kept) < 0 && errno != ENOENT ? -errno : 0;
}

/* PATH.damaged-20261127T081500Z, or with a number behind it when that is taken. Free it. */
static char *dated_name(const char *path)
{
    time_t now = time(NULL);
    struct tm utc;
    char date[32] = "";
    if (gmtime_r(&now, &utc))
        (void)strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", &utc);
    char *name = str_printf("%s.damaged-%s", path, date);
    for (unsigned i = 2; access(name, F_OK) == 0; i++) {
        free(name);
        name = str_printf("%s.damaged-%s-%u", path, date, i);
    }
    return name;
}

/* ---- all tables ------------------------------------------------------------------------------------------------------ */

/* Numbers that were given and may not be given again [AUTOINCREMENT]. */
static void keep_sequences(struct salvage *s)
{
    sqlite3_stmt *from = salvage_prepare(s->from, "SELECT seq, name FROM sqlite_sequence");
    sqlite3_stmt *to =
        salvage_prepare(s->to, "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = ?2");
    sqlite3_stmt *add =
        salvage_prepare(s->to, "INSERT INTO sqlite_sequence (seq, name) SELECT ?1, ?2 "
                               "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?2)");
    while (from && to && add && sqlite3_step(from) == SQLITE_ROW) {
        sqlite3_stmt *both[] = {to, add};
        for (size_t i = 0; i < array_size(both); i++) {
            (void)sqlite3_bind_value(both[i], 1, sqlite3_column_value(from, 0));
            (void)sqlite3_bind_value(both[i], 2, sqlite3_column_value(from, 1));
            (void)sqlite3_step(both[i]);
            (void)sqlite3_reset(both[i]);
        }
    }
    (void)sqlite3_finalize(from);
    (void)sqlite3_finalize(to);
    (void)sqlite3_finalize(add);
}

/* Rows whose parents were lost. */
static void drop_orphans(struct salvage *s)
{
    sqlite3_stmt *st = salvage_prepare(
        s->to, "SELECT \"table\", rowid FROM pragma_foreign_key_check WHERE rowid IS NOT NULL");
    const char *sql = "";
    while (st && sqlite3_step(st) == SQLITE_ROW)
        sql = arena_printf(&s->arena, "%sDELETE FROM %s WHERE rowid = %lld;", sql,
                           salvage_quoted(s, (const char *)sqlite3_column_text(st, 0)),
                           (long long)sqlite3_column_int64(st, 1));
    (void)sqlite3_finalize(st);
    (void)sqlite3_exec(s->to, sql, NULL, NULL, NULL);
}

static int salvage_tables(struct salvage *s)
{
    sqlite3_stmt *st =
        salvage_prepare(s->from, "SELECT name, sql FROM sqlite_schema WHERE type = 'table' "
                                 "AND name NOT LIKE 'sqlite%' AND name <> 'migration' ORDER BY rootpage");
    int r = 0;
    while (r == 0 && st && sqlite3_step(st) == SQLITE_ROW) {
        const char *name =
            arena_copy(&s->arena, sqlite3_column_text(st, 0), (size_t)sqlite3_column_bytes(st, 0));
        const char *sql =
            arena_copy(&s->arena, sqlite3_column_text(st, 1), (size_t)sqlite3_column_bytes(st, 1));
        r = salvage_table(s, name, sql);
    }
    (void)sqlite3_finalize(st);
    return r;
}

/* Steps of the schema that the damaged file has had: the others are applied when the new one is opened. When that cannot be
 * read, it is taken for up to date. -EPROTONOSUPPORT: it is a newer program's. */
static int known_steps(struct salvage *s, struct migration *steps, size_t *count)
{
    *count = 0;
    sqlite3_stmt *st = salvage_prepare(s->from, "SELECT number FROM migration ORDER BY number");
    int rc = SQLITE_DONE;
    while (st && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        size_t i = 0;
        while (i < migrations_count && migrations[i].number != sqlite3_column_int64(st, 0))
            i++;
        if (i == migrations_count || *count == migrations_count) {
            (void)sqlite3_finalize(st);
            return -EPROTONOSUPPORT;
        }
        steps[(*count)++] = migrations[i];
    }
    if (!st || rc != SQLITE_DONE || !*count) {
        memcpy(steps, migrations, migrations_count * sizeof *steps);
        *count = migrations_count;
    }
    (void)sqlite3_finalize(st);
    return 0;
}

static int open_new(struct salvage *s, const char *path)
{
    static const char *const pragmas[] = {"PRAGMA locking_mode = EXCLUSIVE", "PRAGMA journal_mode = OFF",
                                          "PRAGMA synchronous = OFF", "PRAGMA foreign_keys = OFF"};
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return -errno;
    (void)close(fd);
    int rc = sqlite3_open_v2(path, &s->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < array_size(pragmas); i++)
        rc = sqlite3_exec(s->to, pragmas[i], NULL, NULL, NULL);
    cleanup_free struct migration *steps = mem_new_bytes(migrations_count * sizeof *steps);
    size_t count = 0;
    int r = rc != SQLITE_OK ? store_fault(s->to, rc) : known_steps(s, steps, &count);
    if (count < migrations_count) /* its rows are not yet what the checks know */
        s->checks = NULL;
    return r == 0 ? migrations_apply(s->to, path, steps, count) : r;
}

static int fill_new(struct salvage *s)
{
    int rc = sqlite3_exec(s->to, "BEGIN", NULL, NULL, NULL);
    int r = rc == SQLITE_OK ? salvage_tables(s) : store_fault(s->to, rc);
    if (r < 0)
        return r;
    if (!s->saved)
        return -EUCLEAN;
    keep_sequences(s);
    rc = sqlite3_exec(s->to, "COMMIT", NULL, NULL, NULL);
    if (rc == SQLITE_OK) {
        drop_orphans(s);
        rc = sqlite3_exec(s->to, "PRAGMA journal_mode = WAL", NULL, NULL, NULL);
    }
    return store_fault(s->to, rc);
}

/* Reads through the WAL without copying it back. */
static int open_file(struct salvage *s, const char *path)
{
    int rc = sqlite3_open_v2(path, &s->from, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return store_fault(s->from, rc);
    (void)sqlite3_db_config(s->from, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    /* Or SQLite would read nothing of a file that is shorter than it says. Nothing is written. */
    (void)sqlite3_exec(s->from, "PRAGMA writable_schema = ON; PRAGMA query_only = ON; PRAGMA mmap_size = 0",
                       NULL, NULL, NULL);
    return salvage_number(s->from, "SELECT count(*) FROM sqlite_schema", -1) > 0 ? 0 : -EUCLEAN;
}

/* As it is, or, when its schema is what is damaged, a copy with another. */
static int open_damaged(struct salvage *s, const char *copy)
{
    int r = salvage_header_is_good(s->path) ? open_file(s, s->path) : -EUCLEAN;
    if (r != -EUCLEAN)
        return r;
    (void)sqlite3_close(s->from);
    s->from = NULL;
    r = salvage_copy(s->path, copy);
    return r == 0 ? open_file(s, copy) : r;
}

/* ---- the whole of it ------------------------------------------------------------------------------------------------- */

static void begin_report(struct salvage *s, const char *why, const char *kept)
{
    const char *slash = strrchr(kept, '/');
    json_writer_init(&s->report, &s->arena);
    json_begin_object(&s->report);
    json_key(&s->report, "at");
    json_put_int(&s->report, (int64_t)time(NULL) * 1000);
    json_key(&s->report, "why");
    json_put_string(&s->report, why);
    json_key(&s->report, "file");
    json_put_string(&s->report, slash ? slash + 1 : kept);
    json_key(&s->report, "tables");
    json_begin_array(&s->report);
}

static int write_report(struct salvage *s, const char *path)
{
    json_end_array(&s->report);
    json_end_object(&s->report);
    size_t len;
    const char *text = json_writer_text(&s->report, &len);
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0 || write(fd, text, len) != (ssize_t)len || fsync(fd) < 0)
        return -errno;
    return 0;
}

/* The damaged file gets its second name before the new one can take its first. */
static int swap(struct salvage *s, const char *fresh, const char *kept)
{
    cleanup_free char *wal = str_printf("%s-wal", s->path);
    cleanup_free char *kept_wal = str_printf("%s-wal", kept);
    cleanup_free char *note = str_printf("%s.json", kept);
    cleanup_free char *salvaged = str_printf("%s.salvaged", s->path);
    int r = sync_file(fresh);
    if (r == 0)
        r = keep(s->path, kept);
    if (r == 0)
        r = keep(wal, kept_wal);
    if (r == 0)
        r = write_report(s, note);
    if (r == 0)
        r = sync_folder(s->path);
    if (r == 0 && rename(fresh, salvaged) < 0)
        r = -errno;
    if (r == 0)
        r = sync_folder(s->path);
    return r == 0 ? store_salvage_finish(s->path) : r;
}

int store_salvage(const char *path, const char *why, const struct store_check *const *checks)
{
    struct salvage s = {.path = path, .checks = checks};
    cleanup_free char *fresh = str_printf("%s.new", path);
    cleanup_free char *copy = str_printf("%s.copy", path);
    cleanup_free char *kept = dated_name(path);
    begin_report(&s, why, kept);
    int r = open_damaged(&s, copy);
    if (r == 0)
        r = open_new(&s, fresh);
    if (r == 0)
        r = fill_new(&s);
    (void)sqlite3_close(s.from);
    (void)sqlite3_close(s.to);
    salvage_copy_remove(copy);
    if (r == 0)
        r = swap(&s, fresh, kept);
    if (r == 0) {
        log_error("%s: was damaged (%s); what could be read of it is in a new file, and it is kept as %s",
                  path, why, kept);
    } else {
        (void)unlink(fresh);
        if (r != -EUCLEAN)
            log_error("%s: is damaged (%s), and what can be read of it cannot be saved: %s", path, why,
                      strerror(-r));
    }
    arena_done(&s.arena);
    return r;
}

/* ---- suspicion and reports ------------------------------------------------------------------------------------------- */

static char *suspicion(const char *path)
{
    return str_printf("%s.suspect", path);
}

void store_suspect(const char *path)
{
    cleanup_free char *mark = suspicion(path);
    cleanup(fd_close_p) int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd >= 0)
        (void)fsync(fd);
}

bool store_is_suspect(const char *path)
{
    cleanup_free char *mark = suspicion(path);
    return access(mark, F_OK) == 0;
}

void store_acquit(const char *path)
{
    cleanup_free char *mark = suspicion(path);
    (void)unlink(mark);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Is it a report, and is what it is about still there? */
static bool is_report(const char *folder, const char *base, const char *name)
{
    size_t len = strlen(name), base_len = strlen(base), end = strlen(".json");
    if (len <= base_len + end || strncmp(name, base, base_len) != 0 ||
        strncmp(name + base_len, ".damaged-", 9) != 0 || strcmp(name + len - end, ".json") != 0)
        return false;
    cleanup_free char *file = str_printf("%s/%.*s", folder, (int)(len - end), name);
    return access(file, F_OK) == 0;
}

int store_each_report(const char *path, void (*found)(void *self, const char *report), void *self)
{
    cleanup_free char *folder = str_copy(path);
    char *slash = strrchr(folder, '/');
    cleanup_free char *base = str_copy(slash ? slash + 1 : path);
    if (slash)
        *slash = '\0';
    const char *where = slash ? folder : ".";
    struct dirent **entries;
    int n = scandir(where, &entries, NULL, by_name);
    for (int i = 0; i < n; i++) {
        if (is_report(where, base, entries[i]->d_name)) {
            cleanup_free char *name = str_printf("%s/%s", where, entries[i]->d_name);
            cleanup(fd_close_p) int fd = open(name, O_RDONLY | O_CLOEXEC);
            cleanup_free char *text = mem_new_bytes(REPORT_MAX);
            if (fd >= 0 && read(fd, text, REPORT_MAX - 1) > 0)
                found(self, text);
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return n < 0 ? -errno : 0;
}
