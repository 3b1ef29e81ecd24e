#include "services/shadowsync/sync_store.h"

#include "base/base.h"

#include <errno.h>
#include <string.h>

void sync_row_done(struct sync_row *row)
{
    free(row->base);
    free(row->intended);
    free(row->agreed);
    free(row->merge);
    *row = (struct sync_row){0};
}

static void bind_names(sqlite3_stmt *st, const struct sync_io *io)
{
    (void)sqlite3_bind_text(st, 1, io->uplink, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 2, io->thing, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 3, io->name, -1, SQLITE_STATIC);
}

static char *text_at(sqlite3_stmt *st, int column)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    return text ? str_copy_n(text, (size_t)sqlite3_column_bytes(st, column)) : NULL;
}

void sync_store_load(struct work *work, void *db)
{
    struct sync_io *io = container_of(work, struct sync_io, work);
    sqlite3_stmt *st =
        store_statement(db, "SELECT base, local_version, cloud_version, writing, intended, agreed, merge, "
                            "merged FROM shadow_sync WHERE uplink = ?1 AND thing = ?2 AND name = ?3");
    io->row = (struct sync_row){0};
    bind_names(st, io);
    work->r = store_step(db, st);
    if (work->r <= 0)
        return;
    work->r = 0;
    io->row = (struct sync_row){
        .exists = true,
        .base = text_at(st, 0),
        .local_version = sqlite3_column_int64(st, 1),
        .cloud_version = sqlite3_column_int64(st, 2),
        .writing = (enum sync_writing)sqlite3_column_int(st, 3),
        .intended = text_at(st, 4),
        .agreed = text_at(st, 5),
        .merge = text_at(st, 6),
        .merged = sqlite3_column_int64(st, 7),
    };
}

void sync_store_save(struct work *work, void *db)
{
    struct sync_io *io = container_of(work, struct sync_io, work);
    const struct sync_row *row = &io->row;
    sqlite3_stmt *st = store_statement(
        db,
        "INSERT INTO shadow_sync (uplink, thing, name, base, local_version, cloud_version, writing, intended, agreed, "
        "merge, merged) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) "
        "ON CONFLICT (uplink, thing, name) DO UPDATE SET base = ?4, local_version = ?5, cloud_version = ?6, "
        "writing = ?7, intended = ?8, agreed = ?9, merge = coalesce(?10, merge), merged = coalesce(?11, merged)");
    bind_names(st, io);
    (void)sqlite3_bind_text(st, 4, row->base, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(st, 5, row->local_version);
    (void)sqlite3_bind_int64(st, 6, row->cloud_version);
    (void)sqlite3_bind_int(st, 7, (int)row->writing);
    (void)sqlite3_bind_text(st, 8, row->intended, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 9, row->agreed, -1, SQLITE_STATIC);
    if (row->merge) {
        (void)sqlite3_bind_text(st, 10, row->merge, -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(st, 11, row->merged);
    }
    work->r = store_execute(db, st);
}

void sync_store_remove(struct work *work, void *db)
{
    struct sync_io *io = container_of(work, struct sync_io, work);
    sqlite3_stmt *st =
        store_statement(db, "DELETE FROM shadow_sync WHERE uplink = ?1 AND thing = ?2 AND name = ?3");
    bind_names(st, io);
    work->r = store_execute(db, st);
}

int sync_store_scan(struct store_db *db, void *arg)
{
    struct sync_scan *scan = arg;
    sqlite3_stmt *st =
        store_statement(db, "SELECT thing, name FROM shadow_sync WHERE uplink = ?1 ORDER BY thing, name");
    (void)sqlite3_bind_text(st, 1, scan->uplink, -1, SQLITE_STATIC);
    int r;
    while ((r = store_step(db, st)) > 0)
        scan->found(scan, (const char *)sqlite3_column_text(st, 0), (const char *)sqlite3_column_text(st, 1));
    return r;
}

void sync_store_tell(struct work *work, void *db)
{
    struct sync_telling *telling = container_of(work, struct sync_telling, work);
    sqlite3_stmt *st = store_statement(
        db, "SELECT uplink, name, merge, local_version, cloud_version, merged, writing FROM shadow_sync "
            "WHERE thing = ?1 ORDER BY uplink, name");
    (void)sqlite3_bind_text(st, 1, telling->thing, -1, SQLITE_STATIC);
    while (telling->count < SYNC_TOLD_MAX && (work->r = store_step(db, st)) > 0)
        telling->rows[telling->count++] = (struct sync_told){
            .uplink = text_at(st, 0),
            .name = text_at(st, 1),
            .merge = text_at(st, 2),
            .local_version = sqlite3_column_int64(st, 3),
            .cloud_version = sqlite3_column_int64(st, 4),
            .merged = sqlite3_column_int64(st, 5),
            .is_writing = sqlite3_column_int(st, 6) != 0,
        };
    if (work->r > 0)
        work->r = 0;
}

void sync_telling_done(struct sync_telling *telling)
{
    for (size_t i = 0; i < telling->count; i++) {
        free(telling->rows[i].uplink);
        free(telling->rows[i].name);
        free(telling->rows[i].merge);
    }
    free(telling->thing);
}
