#include "services/streams/streams_store.h"

#include <errno.h>

static const char *text(sqlite3_stmt *st, int column)
{
    const char *found = (const char *)sqlite3_column_text(st, column);
    return str_copy(found ? found : "");
}

static void *grow(void *list, size_t count, size_t size)
{
    void *grown = realloc(list, (count + 1) * size);
    if (!grown)
        abort();
    return grown;
}

static int load_readers(struct store_db *db, struct stored_streams *stored)
{
    sqlite3_stmt *st =
        store_statement(db, "SELECT stream, name, holds, start, base, next, delivered, expired, "
                            "evicted, dead, missing, unused FROM stream_reader");
    int r;
    while ((r = store_step(db, st)) > 0) {
        stored->rows = grow(stored->rows, stored->row_count, sizeof *stored->rows);
        struct cursor_row *row = &stored->rows[stored->row_count++];
        *row = (struct cursor_row){
            .stream = text(st, 0), .reader = text(st, 1), .holds = sqlite3_column_int(st, 2) != 0};
        uint64_t *const columns[] = {&row->ledger.start,     &row->ledger.base,    &row->ledger.next,
                                     &row->ledger.delivered, &row->ledger.expired, &row->ledger.evicted,
                                     &row->ledger.dead,      &row->ledger.missing, &row->ledger.unused};
        for (size_t i = 0; i < array_size(columns); i++)
            *columns[i] = (uint64_t)sqlite3_column_int64(st, (int)i + 3);
    }
    return r;
}

static int load_definitions(struct store_db *db, struct stored_streams *stored)
{
    sqlite3_stmt *st = store_statement(db, "SELECT name, definition, deleted FROM stream ORDER BY name");
    int r;
    while ((r = store_step(db, st)) > 0) {
        stored->definitions =
            grow(stored->definitions, stored->definition_count, sizeof *stored->definitions);
        stored->definitions[stored->definition_count++] =
            (struct definition_row){(char *)text(st, 0), (char *)text(st, 1), sqlite3_column_int(st, 2) != 0};
    }
    return r;
}

static int load_allowances(struct store_db *db, struct stored_streams *stored)
{
    sqlite3_stmt *st = store_statement(db, "SELECT stream, uplink, paused, day, bytes FROM stream_exporter");
    int r;
    while ((r = store_step(db, st)) > 0) {
        stored->allowances = grow(stored->allowances, stored->allowance_count, sizeof *stored->allowances);
        stored->allowances[stored->allowance_count++] =
            (struct allowance_row){.stream = text(st, 0),
                                   .uplink = text(st, 1),
                                   .value = {.paused = sqlite3_column_int(st, 2) != 0,
                                             .day = sqlite3_column_int64(st, 3),
                                             .bytes = (uint64_t)sqlite3_column_int64(st, 4)}};
    }
    return r;
}

int streams_load(struct store_db *db, void *stored_streams)
{
    int r = load_readers(db, stored_streams);
    if (r >= 0)
        r = load_definitions(db, stored_streams);
    return r < 0 ? r : load_allowances(db, stored_streams);
}

void stored_streams_done(struct stored_streams *stored)
{
    for (size_t i = 0; i < stored->row_count; i++) {
        free((char *)stored->rows[i].stream);
        free((char *)stored->rows[i].reader);
    }
    for (size_t i = 0; i < stored->definition_count; i++) {
        free(stored->definitions[i].name);
        free(stored->definitions[i].definition);
    }
    for (size_t i = 0; i < stored->allowance_count; i++) {
        free((char *)stored->allowances[i].stream);
        free((char *)stored->allowances[i].uplink);
    }
    free(stored->allowances);
    free(stored->rows);
    free(stored->definitions);
    *stored = (struct stored_streams){0};
}

static int execute(struct store_db *db, sqlite3_stmt *st, const char *a, const char *b)
{
    (void)sqlite3_bind_text(st, 1, a, -1, SQLITE_STATIC);
    if (b)
        (void)sqlite3_bind_text(st, 2, b, -1, SQLITE_STATIC);
    return store_execute(db, st);
}

int cursor_delete(struct store_db *db, const char *stream, const char *reader)
{
    return execute(db, store_statement(db, "DELETE FROM stream_reader WHERE stream = ?1 AND name = ?2"),
                   stream, reader);
}

int allowance_delete(struct store_db *db, const char *stream, const char *uplink)
{
    return execute(db, store_statement(db, "DELETE FROM stream_exporter WHERE stream = ?1 AND uplink = ?2"),
                   stream, uplink);
}

static int save_row(struct store_db *db, const struct cursor_row *row)
{
    const struct ledger *l = &row->ledger;
    sqlite3_stmt *st =
        store_statement(db, "REPLACE INTO stream_reader (stream, name, holds, start, base, next, delivered, "
                            "expired, evicted, dead, missing, unused) "
                            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");
    (void)sqlite3_bind_text(st, 1, row->stream, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 2, row->reader, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int(st, 3, row->holds);
    const uint64_t columns[] = {l->start,   l->base, l->next,    l->delivered, l->expired,
                                l->evicted, l->dead, l->missing, l->unused};
    for (size_t k = 0; k < array_size(columns); k++)
        (void)sqlite3_bind_int64(st, (int)k + 4, (sqlite3_int64)columns[k]);
    return store_execute(db, st);
}

int cursors_save(struct store_db *db, const struct cursor_row *rows, size_t count)
{
    int r = 0;
    for (size_t i = 0; i < count && r >= 0; i++) {
        if (rows[i].instead_of)
            r = cursor_delete(db, rows[i].stream, rows[i].instead_of);
        if (r >= 0)
            r = save_row(db, &rows[i]);
    }
    return r;
}

int allowances_save(struct store_db *db, const struct allowance_row *rows, size_t count)
{
    int r = 0;
    for (size_t i = 0; i < count && r >= 0; i++) {
        const struct allowance_row *row = &rows[i];
        sqlite3_stmt *st =
            store_statement(db, "REPLACE INTO stream_exporter (stream, uplink, paused, day, bytes) "
                                "VALUES (?1, ?2, ?3, ?4, ?5)");
        (void)sqlite3_bind_text(st, 1, row->stream, -1, SQLITE_STATIC);
        (void)sqlite3_bind_text(st, 2, row->uplink, -1, SQLITE_STATIC);
        (void)sqlite3_bind_int(st, 3, row->value.paused);
        (void)sqlite3_bind_int64(st, 4, row->value.day);
        (void)sqlite3_bind_int64(st, 5, (sqlite3_int64)row->value.bytes);
        r = store_execute(db, st);
    }
    return r;
}

int stream_insert(struct store_db *db, const char *name, const char *definition)
{
    return execute(db, store_statement(db, "REPLACE INTO stream (name, definition) VALUES (?1, ?2)"), name,
                   definition);
}

int stream_delete(struct store_db *db, const char *name)
{
    int r = execute(db, store_statement(db, "DELETE FROM stream_reader WHERE stream = ?1"), name, NULL);
    if (r >= 0)
        r = execute(db, store_statement(db, "DELETE FROM stream_exporter WHERE stream = ?1"), name, NULL);
    if (r < 0)
        return r;
    return execute(db, store_statement(db, "UPDATE stream SET deleted = 1 WHERE name = ?1"), name, NULL);
}

int stream_forget(struct store_db *db, const char *name)
{
    return execute(db, store_statement(db, "DELETE FROM stream WHERE name = ?1"), name, NULL);
}
