/* How far each stream has been exported, on the store's thread. */
#pragma once

#include "store/store.h"

struct cursor_row {
    const char *stream;
    uint64_t next;
    bool found; /* by cursors_load() */
};

struct cursor_rows {
    struct cursor_row *rows;
    size_t count;
};

/* Both take the rows' streams as they are; 0 or −errno. */
int cursors_load(struct store_db *db, void *cursor_rows);
int cursors_save(struct store_db *db, const struct cursor_rows *rows);
