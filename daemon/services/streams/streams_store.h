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

/* What an exporter is told, and what it has had of its day. */
struct allowance {
    bool paused;
    int64_t
        day; /* its number; SCHEDULE_NO_CLOCK and up to 144 more: not known, began so many times ten minutes ago */
    uint64_t bytes;
};

struct allowance_row {
    const char *stream, *uplink;
    struct allowance value, *stored; /* stored: where it is noted that it is; NULL: nowhere any more */
};

struct definition_row {
    char *name, *definition;
    bool deleted;
};

/* All that is stored. */
struct stored_streams {
    struct cursor_row *rows;
    struct definition_row *definitions;
    struct allowance_row *allowances;
    size_t row_count, definition_count, allowance_count;
};

int streams_load(struct store_db *db, void *stored_streams);
void stored_streams_done(struct stored_streams *stored);

/* Each 0 or −errno. */
int cursors_save(struct store_db *db, const struct cursor_row *rows, size_t count) must_check;
int allowances_save(struct store_db *db, const struct allowance_row *rows, size_t count) must_check;
int allowance_delete(struct store_db *db, const char *stream, const char *uplink) must_check;
int cursor_delete(struct store_db *db, const char *stream, const char *reader) must_check;
int stream_insert(struct store_db *db, const char *name, const char *definition) must_check;
/* Its books go, and its name stays taken until stream_forget(): files may be left. */
int stream_delete(struct store_db *db, const char *name) must_check;
int stream_forget(struct store_db *db, const char *name) must_check;
