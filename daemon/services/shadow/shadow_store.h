/* Shadows in state.db: rows and their history read and written, on the store's thread.
 *
 * The functions see their work item and the database, nothing else. A row is one piece of memory, allocated with
 * malloc(): documents are as large as their publishers made them.
 *
 *      shadow            one row a shadow: version, state, metadata (the stamps), recent (its newest records, as text)
 *      shadow_history    older records, eight or so a row
 *
 * A save adds its records to `recent`, which is written with the row anyway. Once there are enough of them (`spill`) they
 * move into a row of shadow_history together, and what is too much there goes, a row at a time. See
 * schema/state/0006-shadow-history.sql for the format and shadow_record.h for what is in it.
 */
#pragma once

#include "store/store.h"

struct shadow_row {
    int64_t id; /* of the table; 0: not there yet */
    uint64_t version;
    int64_t deleted_s; /* of a tombstone */
    uint32_t state_len, stamps_len;
    uint32_t recent_len,
        recent_count; /* bytes and number of records that stand in the row on disk; not in memory */
    bool exists;      /* false: a tombstone */
    char text[];      /* state, then stamps */
};

/* NULL when there is no memory. */
struct shadow_row *shadow_row_new(uint64_t version, const char *state, size_t state_len, const char *stamps,
                                  size_t stamps_len) must_check;
struct shadow_row *shadow_tombstone_new(uint64_t version, int64_t deleted_s) must_check;
static inline size_t shadow_row_size(const struct shadow_row *row)
{
    return row ? sizeof *row + row->state_len + row->stamps_len : 0;
}

struct shadow_key {
    const char *thing, *name; /* name is "" for the classic shadow */
};

struct shadow_load {
    struct work work;
    struct shadow_key key;
    int r; /* 0 or −errno, whatever became of the batch: reading promises nothing that a commit could break */
    struct shadow_row *row; /* the result, the caller's; NULL when there is none */
};
/* What r is until it has run. */
enum { SHADOW_NOT_RUN = 1 };
void shadow_store_load(struct work *work, void *db);

/* What history is kept of a shadow; 0 for count is none, for the others no limit. */
struct shadow_history_limits {
    uint64_t count; /* versions */
    int64_t age_s;
    size_t bytes;
};

/* What shadow_store_save() refuses: the thing has names_max named shadows already. */
enum { SHADOW_TOO_MANY_NAMES = 1 };

struct shadow_save {
    struct work work;
    struct shadow_key key;
    struct shadow_row *row; /* what to write; its id is set for a new one */
    bool is_insert;         /* there is none yet */
    bool was_tombstone;     /* what the row is there */
    bool is_reborn;         /* its tombstone was over: it begins anew, without history */
    size_t names_max;       /* not 0 when it makes a named shadow */
    const char *records;    /* new ones */
    size_t records_len;
    bool spill;         /* row->recent_len is 0, and what was in `recent` moves */
    size_t spill_bytes; /* how much that is, the new records with it */
    int64_t at_s;       /* of the newest record */
    const struct shadow_history_limits *limits;
};
void shadow_store_save(struct work *work, void *db);

/* A shadow with all records that are kept of it, read for somebody who asks about its past. */
struct shadow_story {
    struct work work;
    struct shadow_key key;
    struct shadow_row *row; /* NULL: there is none. The caller's, like records. */
    char *records;          /* oldest first */
    size_t records_len;
};
void shadow_store_story(struct work *work, void *db);

/* Removes tombstones and rows of records from first_s to last_s of each, looking at SHADOW_PURGE_MAX at most. */
enum { SHADOW_PURGE_MAX = 1000 };
struct shadow_purge {
    struct work work;
    int64_t first_s; /* before this the clock was not set: their age is unknown, so they stay */
    int64_t tombstones_s, history_s;
    int64_t after; /* records up to this one have been looked at and stay */
    bool again;    /* there may be more */
};
void shadow_store_purge(struct work *work, void *db);

/* Names of shadows that exist, behind one, in order of thing and name. */
struct shadow_name {
    char *thing, *name; /* name "" for the classic shadow */
    uint64_t version;
};
struct shadow_names {
    struct work work;
    char *thing, *name; /* behind these */
    size_t limit;
    struct shadow_name *rows; /* the result */
    size_t count;
    bool more;
};
void shadow_names_init(struct shadow_names *names, const char *thing, const char *name, size_t limit);
void shadow_names_done(struct shadow_names *names);
void shadow_store_names(struct work *work, void *db);
