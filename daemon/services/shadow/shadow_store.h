/* Shadows in state.db: rows read and written, on the store's thread.
 *
 * The functions see their work item and the database, nothing else. A row is one piece of memory, allocated with
 * malloc(): documents are as large as their publishers made them.
 */
#pragma once

#include "store/store.h"

struct shadow_row {
    bool exists; /* false: a tombstone */
    uint64_t version;
    int64_t deleted_s; /* of a tombstone */
    size_t state_len, metadata_len;
    char text[]; /* state, then metadata */
};

/* NULL when there is no memory. */
struct shadow_row *shadow_row_new(uint64_t version, const char *state, size_t state_len, const char *metadata,
                                  size_t metadata_len) must_check;
struct shadow_row *shadow_tombstone_new(uint64_t version, int64_t deleted_s) must_check;
static inline size_t shadow_row_size(const struct shadow_row *row)
{
    return row ? sizeof *row + row->state_len + row->metadata_len : 0;
}

/* What shadow_store_save() refuses: the thing has names_max named shadows already. */
enum { SHADOW_TOO_MANY_NAMES = 1 };

struct shadow_io {
    struct work work;
    const char *thing, *name; /* name is "" for the classic shadow */
    struct shadow_row *row; /* load: the result, the caller's; NULL when there is none. save: what to write */
    size_t names_max;       /* save: not 0 when it makes a named shadow */
};
void shadow_store_load(struct work *work, void *db);
void shadow_store_save(struct work *work, void *db);

/* Removes tombstones from first_s to last_s, at most SHADOW_PURGE_MAX of them. */
enum { SHADOW_PURGE_MAX = 1000 };
struct shadow_purge {
    struct work work;
    int64_t first_s, last_s;
    int removed;
};
void shadow_store_purge(struct work *work, void *db);
