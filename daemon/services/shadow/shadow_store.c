#include "services/shadow/shadow_store.h"

#include <errno.h>
#include <string.h>

static struct shadow_row *row_new(size_t state_len, size_t metadata_len)
{
    struct shadow_row *row = malloc(sizeof *row + state_len + metadata_len);
    if (row)
        *row = (struct shadow_row){.state_len = state_len, .metadata_len = metadata_len};
    return row;
}

struct shadow_row *shadow_row_new(uint64_t version, const char *state, size_t state_len, const char *metadata,
                                  size_t metadata_len)
{
    struct shadow_row *row = row_new(state_len, metadata_len);
    if (!row)
        return NULL;
    row->exists = true;
    row->version = version;
    memcpy(row->text, state, state_len);
    memcpy(row->text + state_len, metadata, metadata_len);
    return row;
}

struct shadow_row *shadow_tombstone_new(uint64_t version, int64_t deleted_s)
{
    struct shadow_row *row = row_new(0, 0);
    if (!row)
        return NULL;
    row->version = version;
    row->deleted_s = deleted_s;
    return row;
}

static void bind_names(sqlite3_stmt *st, const struct shadow_io *io)
{
    (void)sqlite3_bind_text(st, 1, io->thing, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 2, io->name, -1, SQLITE_STATIC);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static struct shadow_row *read_row(sqlite3_stmt *st)
{
    uint64_t version = (uint64_t)sqlite3_column_int64(st, 0);
    if (sqlite3_column_type(st, 1) == SQLITE_NULL)
        return shadow_tombstone_new(version, sqlite3_column_int64(st, 3));
    const char *state = (const char *)sqlite3_column_text(st, 1);
    const char *metadata = (const char *)sqlite3_column_text(st, 2);
    if (!state || !metadata)
        return NULL;
    return shadow_row_new(version, state, (size_t)sqlite3_column_bytes(st, 1), metadata,
                          (size_t)sqlite3_column_bytes(st, 2));
}

void shadow_store_load(struct work *work, void *db)
{
    struct shadow_io *io = container_of(work, struct shadow_io, work);
    io->row = NULL;
    sqlite3_stmt *st = store_statement(
        db, "SELECT version, state, metadata, deleted_s FROM shadow WHERE thing = ?1 AND name = ?2");
    bind_names(st, io);
    work->r = store_step(db, st);
    if (work->r <= 0)
        return;
    io->row = read_row(st);
    work->r = io->row ? 0 : -ENOMEM;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

/* 0, SHADOW_TOO_MANY_NAMES or −errno. */
static int check_names(struct store_db *db, const struct shadow_io *io)
{
    sqlite3_stmt *st = store_statement(
        db, "SELECT count(*) FROM shadow WHERE thing = ?1 AND name > '' AND deleted_s IS NULL");
    (void)sqlite3_bind_text(st, 1, io->thing, -1, SQLITE_STATIC);
    int r = store_step(db, st);
    if (r <= 0)
        return r;
    return sqlite3_column_int64(st, 0) < (sqlite3_int64)io->names_max ? 0 : SHADOW_TOO_MANY_NAMES;
}

void shadow_store_save(struct work *work, void *db)
{
    struct shadow_io *io = container_of(work, struct shadow_io, work);
    const struct shadow_row *row = io->row;
    work->r = io->names_max ? check_names(db, io) : 0;
    if (work->r != 0)
        return;
    sqlite3_stmt *st =
        store_statement(db, "INSERT INTO shadow (thing, name, version, state, metadata, deleted_s) "
                            "VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (thing, name) DO UPDATE SET "
                            "version = ?3, state = ?4, metadata = ?5, deleted_s = ?6");
    bind_names(st, io);
    (void)sqlite3_bind_int64(st, 3, (sqlite3_int64)row->version);
    if (row->exists) {
        (void)sqlite3_bind_text(st, 4, row->text, (int)row->state_len, SQLITE_STATIC);
        (void)sqlite3_bind_text(st, 5, row->text + row->state_len, (int)row->metadata_len, SQLITE_STATIC);
    } else {
        (void)sqlite3_bind_int64(st, 6, row->deleted_s);
    }
    work->r = store_execute(db, st);
}

void shadow_store_purge(struct work *work, void *db)
{
    struct shadow_purge *purge = container_of(work, struct shadow_purge, work);
    purge->removed = 0;
    sqlite3_stmt *st =
        store_statement(db, "DELETE FROM shadow WHERE id IN (SELECT id FROM shadow "
                            "WHERE deleted_s BETWEEN ?1 AND ?2 ORDER BY deleted_s LIMIT ?3) RETURNING 1");
    (void)sqlite3_bind_int64(st, 1, purge->first_s);
    (void)sqlite3_bind_int64(st, 2, purge->last_s);
    (void)sqlite3_bind_int(st, 3, SHADOW_PURGE_MAX);
    while ((work->r = store_step(db, st)) > 0)
        purge->removed++;
}
