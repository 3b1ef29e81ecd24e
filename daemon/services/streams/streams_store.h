/* The books of streams, and definitions made at run time, on the store's thread. */
#pragma once

#include "services/streams/stream_ledger.h"
#include "store/store.h"

/* Texts are the caller's, but for what is loaded: those are rows_done()'s. */
struct cursor_row {
    const char *stream, *reader;
    const char *instead_of; /* a row of the same stream that goes in the same commit; NULL: none */
    bool holds;
    struct ledger ledger;
};

struct definition_row {
    char *name, *definition;
    bool deleted;
};

/* All that is stored. */
struct stored_streams {
    struct cursor_row *rows;
    struct definition_row *definitions;
    size_t row_count, definition_count;
};

int streams_load(struct store_db *db, void *stored_streams);
void stored_streams_done(struct stored_streams *stored);

/* Each 0 or −errno. */
int cursors_save(struct store_db *db, const struct cursor_row *rows, size_t count) must_check;
int cursor_delete(struct store_db *db, const char *stream, const char *reader) must_check;
int stream_insert(struct store_db *db, const char *name, const char *definition) must_check;
/* Its books go, and its name stays taken until stream_forget(): files may be left. */
int stream_delete(struct store_db *db, const char *name) must_check;
int stream_forget(struct store_db *db, const char *name) must_check;
