/* The schema is a table like others, whose root is page 1, behind the file's header. When one of its pages is damaged, nothing
 * of the file can be read, though only the names are lost:
 *
 *      page 1, header ✗ │ schema ✗      page 3  shadow     page 6  retained   …
 *              new, with a new schema that says: shadow is on page 3, retained on page 6, …
 *
 * Roots never move (there is no auto-vacuum), and a new file, which is made in one piece, always has them in the same places:
 * so the schema of a new one is put on a page 1 of our own. Tables that a later program added to an older file are
 * elsewhere. What is found in their places is of other types or no table at all, so they count as lost.
 */
#include "store/store_salvage_schema.h"

#include "store/migration.h"
#include "store/store_db.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096 };

static const char magic[16] = "SQLite format 3";

bool salvage_header_is_good(const char *path)
{
    char head[sizeof magic];
    cleanup(fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, head, sizeof head) == (ssize_t)sizeof head &&
           memcmp(head, magic, sizeof head) == 0;
}

/* ---- the copy ------------------------------------------------------------------------------------------------------ */

/* -ENOENT when there is none. */
static int copy_file(const char *path, const char *copy)
{
    enum { PIECE = 64 * 1024 };
    cleanup(fd_close_p) int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return -errno;
    cleanup(fd_close_p) int to = open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    if (to < 0)
        return -errno;
    cleanup_free char *piece = mem_new_bytes(PIECE);
    ssize_t n;
    while ((n = read(from, piece, PIECE)) > 0) {
        ssize_t written = write(to, piece, (size_t)n);
        if (written != n)
            return written < 0 ? -errno : -ENOSPC;
    }
    return n < 0 ? -errno : 0;
}

static void put_u32(uint8_t *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* A header for a file of that many pages, and a schema without tables. Format: https://sqlite.org/fileformat2.html */
static void compose_first_page(uint8_t page[PAGE], uint32_t pages)
{
    static const uint8_t constants[] = {PAGE >> 8, PAGE & 0xFF, 2, 2, 0, 64, 32, 32}; /* 2: WAL */
    memset(page, 0, PAGE);
    memcpy(page, magic, sizeof magic);
    memcpy(page + 16, constants, sizeof constants);
    put_u32(page + 24, 1); /* change counter */
    put_u32(page + 28, pages);
    put_u32(page + 40, 1); /* schema cookie, format, encoding */
    put_u32(page + 44, 4);
    put_u32(page + 56, 1);
    put_u32(page + 92, 1); /* the change for which the number of pages is valid */
    put_u32(page + 96, (uint32_t)sqlite3_libversion_number());
    page[100] = 0x0D; /* a leaf of a table, with no cells: its content begins at the end */
    page[105] = PAGE >> 8;
}

static int write_first_page(const char *copy)
{
    uint8_t page[PAGE];
    struct stat st;
    cleanup(fd_close_p) int fd = open(copy, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    uint32_t pages = (uint32_t)(st.st_size / PAGE);
    if (pages < 2)
        return -EUCLEAN;
    compose_first_page(page, pages);
    if (ftruncate(fd, (off_t)pages * PAGE) < 0 || pwrite(fd, page, PAGE, 0) != PAGE)
        return -errno;
    return 0;
}

/* ---- the schema ---------------------------------------------------------------------------------------------------- */

static int put_schema(sqlite3 *to, sqlite3 *from)
{
    sqlite3_stmt *rows = NULL, *row = NULL;
    int rc = sqlite3_prepare_v2(
        from, "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY rowid", -1, &rows,
        NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(to,
                                "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) "
                                "VALUES (?1, ?2, ?3, ?4, ?5)",
                                -1, &row, NULL);
    while (rc == SQLITE_OK && sqlite3_step(rows) == SQLITE_ROW) {
        for (int i = 0; i < 5; i++)
            (void)sqlite3_bind_value(row, i + 1, sqlite3_column_value(rows, i));
        (void)sqlite3_step(row);
        rc = sqlite3_reset(row);
    }
    (void)sqlite3_finalize(rows);
    (void)sqlite3_finalize(row);
    return store_fault(to, rc);
}

/* As in a new file. */
static int write_schema(sqlite3 *to)
{
    sqlite3 *fresh = NULL;
    int rc = sqlite3_open_v2(":memory:", &fresh, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    int r = store_fault(fresh, rc);
    if (r == 0)
        r = migrations_apply(fresh, "schema", migrations, migrations_count);
    if (r == 0)
        r = store_fault(to, sqlite3_exec(to, "PRAGMA writable_schema = ON; BEGIN", NULL, NULL, NULL));
    if (r == 0)
        r = put_schema(to, fresh);
    if (r == 0)
        r = store_fault(to, sqlite3_exec(to, "COMMIT", NULL, NULL, NULL));
    (void)sqlite3_close(fresh);
    return r;
}

/* What is in the WAL goes to its pages, maybe a damaged page 1, too, which is then replaced once more. */
static int merge_wal(const char *copy)
{
    sqlite3 *sqlite = NULL;
    int rc = sqlite3_open_v2(copy, &sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(sqlite, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    int r = store_fault(sqlite, rc);
    (void)sqlite3_close(sqlite);
    return r == 0 ? write_first_page(copy) : r;
}

static int restore_schema(const char *copy)
{
    sqlite3 *sqlite = NULL;
    int rc = sqlite3_open_v2(copy, &sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(sqlite, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    int r = rc == SQLITE_OK ? write_schema(sqlite) : store_fault(sqlite, rc);
    (void)sqlite3_close(sqlite);
    return r;
}

int salvage_copy(const char *path, const char *copy)
{
    cleanup_free char *wal = str_printf("%s-wal", path);
    cleanup_free char *copy_wal = str_printf("%s-wal", copy);
    salvage_copy_remove(copy); /* of a start that was cut short */
    int r = copy_file(path, copy);
    if (r == 0)
        r = copy_file(wal, copy_wal);
    bool has_wal = r == 0;
    if (r == 0 || r == -ENOENT)
        r = write_first_page(copy);
    if (r == 0 && has_wal)
        r = merge_wal(copy);
    return r == 0 ? restore_schema(copy) : r;
}

void salvage_copy_remove(const char *copy)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < array_size(ends); i++) {
        cleanup_free char *name = str_printf("%s%s", copy, ends[i]);
        (void)unlink(name);
    }
}
