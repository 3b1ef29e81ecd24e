#include "services/streams/streams_store.h"

#include <errno.h>

int cursors_load(struct store_db *db, void *cursor_rows)
{
    struct cursor_rows *rows = cursor_rows;
    for (size_t i = 0; i < rows->count; i++) {
        struct cursor_row *row = &rows->rows[i];
        sqlite3_stmt *st = store_statement(db, "SELECT next FROM stream_cursor WHERE stream = ?1");
        if (!st)
            return -EIO;
        (void)sqlite3_bind_text(st, 1, row->stream, -1, SQLITE_STATIC);
        int r = store_step(db, st);
        if (r < 0)
            return r;
        row->found = r > 0;
        row->next = row->found ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    }
    return 0;
}

int cursors_save(struct store_db *db, const struct cursor_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        sqlite3_stmt *st = store_statement(db, "INSERT INTO stream_cursor (stream, next) VALUES (?1, ?2) "
                                               "ON CONFLICT (stream) DO UPDATE SET next = ?2");
        if (!st)
            return -EIO;
        (void)sqlite3_bind_text(st, 1, rows->rows[i].stream, -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(st, 2, (sqlite3_int64)rows->rows[i].next);
        int r = store_execute(db, st);
        if (r < 0)
            return r;
    }
    return 0;
}
