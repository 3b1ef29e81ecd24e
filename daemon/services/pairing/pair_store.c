#include "services/pairing/pair_store.h"

#include <string.h>

static void bind_key(sqlite3_stmt *st, int at, int64_t generation, const uint8_t *key)
{
    if (generation)
        (void)sqlite3_bind_blob(st, at, key, PAIR_KEY_BYTES, SQLITE_STATIC);
}

void pair_store_save(struct work *work, void *db)
{
    const struct pair_row *row = &container_of(work, struct pair_save, work)->row;
    sqlite3_stmt *st = store_statement(
        db,
        "INSERT INTO node (serial, thing, model, firmware, last_generation, generation, key, next_generation, next_key, "
        "paired, rotated, revoked) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) "
        "ON CONFLICT (serial) DO UPDATE SET thing = ?2, model = ?3, firmware = ?4, last_generation = ?5, "
        "generation = ?6, key = ?7, next_generation = ?8, next_key = ?9, paired = ?10, rotated = ?11, revoked = ?12");
    (void)sqlite3_bind_text(st, 1, row->serial, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 2, row->thing, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 3, row->model, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 4, row->firmware, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(st, 5, row->last_generation);
    (void)sqlite3_bind_int64(st, 6, row->generation);
    bind_key(st, 7, row->generation, row->key);
    (void)sqlite3_bind_int64(st, 8, row->next_generation);
    bind_key(st, 9, row->next_generation, row->next_key);
    (void)sqlite3_bind_int64(st, 10, row->paired);
    (void)sqlite3_bind_int64(st, 11, row->rotated);
    (void)sqlite3_bind_int64(st, 12, row->revoked);
    work->r = store_execute(db, st);
}

static bool take_text(sqlite3_stmt *st, int column, char *ret, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    size_t len = (size_t)sqlite3_column_bytes(st, column);
    bool fits = text && len < size;
    if (fits)
        memcpy(ret, text, len + 1);
    return fits;
}

/* A key without its bytes is none: whoever has damaged it does not get in. */
static void take_key(sqlite3_stmt *st, int column, int64_t *generation, uint8_t key[PAIR_KEY_BYTES])
{
    const void *bytes = sqlite3_column_blob(st, column);
    if (bytes && sqlite3_column_bytes(st, column) == PAIR_KEY_BYTES)
        memcpy(key, bytes, PAIR_KEY_BYTES);
    else
        *generation = 0;
}

int pair_store_load(struct store_db *db, void *arg)
{
    const struct pair_load *load = arg;
    sqlite3_stmt *st =
        store_statement(db, "SELECT serial, thing, model, firmware, last_generation, generation, key, "
                            "next_generation, next_key, paired, rotated, revoked FROM node");
    int r;
    while ((r = store_step(db, st)) > 0) {
        struct pair_row row = {
            .last_generation = sqlite3_column_int64(st, 4),
            .generation = sqlite3_column_int64(st, 5),
            .next_generation = sqlite3_column_int64(st, 7),
            .paired = sqlite3_column_int64(st, 9),
            .rotated = sqlite3_column_int64(st, 10),
            .revoked = sqlite3_column_int64(st, 11),
        };
        take_key(st, 6, &row.generation, row.key);
        take_key(st, 8, &row.next_generation, row.next_key);
        if (take_text(st, 0, row.serial, sizeof row.serial) &&
            take_text(st, 1, row.thing, sizeof row.thing) && take_text(st, 2, row.model, sizeof row.model) &&
            take_text(st, 3, row.firmware, sizeof row.firmware))
            load->found(load->self, &row);
    }
    return r;
}
