/* Pairs in state.db: rows read and written, on the store's thread.
 *
 * The functions see their work item and the database, nothing else. Texts of a row are malloc()ed: documents are as large
 * as their publishers made them.
 */
#pragma once

#include "store/store.h"

enum sync_writing { SYNC_WRITING_NOTHING, SYNC_WRITING_HERE, SYNC_WRITING_THERE };

struct sync_row {
    bool exists;
    char *base, *intended, *agreed; /* states, NULL: no document */
    int64_t local_version, cloud_version;
    enum sync_writing writing;
    char *merge;    /* JSON, NULL: there was none */
    int64_t merged; /* wall ms */
};

void sync_row_done(struct sync_row *row);

struct sync_io {
    struct work work;
    const char *uplink, *thing, *name;
    struct sync_row row; /* load: the result. save: what to write, without `merge` the old one stays. */
};
void sync_store_load(struct work *work, void *db);
void sync_store_save(struct work *work, void *db);
void sync_store_remove(struct work *work, void *db);

/* All pairs of an uplink, before the loop turns: for store_run_now(). */
struct sync_scan {
    const char *uplink;
    void (*found)(struct sync_scan *scan, const char *thing, const char *name);
};
int sync_store_scan(struct store_db *db, void *scan);

/* The rows of a thing, for people. */
enum { SYNC_TOLD_MAX = 100 };
struct sync_told {
    char *uplink, *name, *merge; /* merge NULL: there was none */
    int64_t local_version, cloud_version, merged;
    bool is_writing;
};
struct sync_telling {
    struct work work;
    char *thing;
    struct sync_told rows[SYNC_TOLD_MAX];
    size_t count;
};
void sync_store_tell(struct work *work, void *db);
void sync_telling_done(struct sync_telling *telling);
