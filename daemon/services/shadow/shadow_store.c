#include "services/shadow/shadow_store.h"

#include "services/shadow/shadow.h"
#include "services/shadow/shadow_doc.h"

#include <errno.h>
#include <string.h>

static struct shadow_row *row_new(size_t state_len, size_t stamps_len)
{
    struct shadow_row *row = malloc(sizeof *row + state_len + stamps_len);
    if (row)
        *row = (struct shadow_row){.state_len = (uint32_t)state_len, .stamps_len = (uint32_t)stamps_len};
    return row;
}

struct shadow_row *shadow_row_new(uint64_t version, const char *state, size_t state_len, const char *stamps,
                                  size_t stamps_len)
{
    struct shadow_row *row = row_new(state_len, stamps_len);
    if (!row)
        return NULL;
    row->exists = true;
    row->version = version;
    memcpy(row->text, state, state_len);
    memcpy(row->text + state_len, stamps, stamps_len);
    return row;
}

struct shadow_row *shadow_tombstone_new(uint64_t version, int64_t deleted_s)
{
    struct shadow_row *row = row_new(0, 0);
    if (!row)
        return NULL;
    row->version = version;
    row->deleted_s = deleted_s;
    return row;
}

static void bind_key(sqlite3_stmt *st, const struct shadow_key *key)
{
    (void)sqlite3_bind_text(st, 1, key->thing, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 2, key->name, -1, SQLITE_STATIC);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static struct shadow_row *read_row(sqlite3_stmt *st)
{
    struct shadow_row *row = NULL;
    uint64_t version = (uint64_t)sqlite3_column_int64(st, 1);
    if (sqlite3_column_type(st, 2) == SQLITE_NULL) {
        row = shadow_tombstone_new(version, sqlite3_column_int64(st, 4));
    } else {
        const char *state = (const char *)sqlite3_column_text(st, 2);
        const char *stamps = (const char *)sqlite3_column_text(st, 3);
        if (state && stamps)
            row = shadow_row_new(version, state, (size_t)sqlite3_column_bytes(st, 2), stamps,
                                 (size_t)sqlite3_column_bytes(st, 3));
    }
    const char *recent = (const char *)sqlite3_column_text(st, 5);
    if (!row || !recent) {
        free(row);
        return NULL;
    }
    row->id = sqlite3_column_int64(st, 0);
    row->recent_len = (uint32_t)sqlite3_column_bytes(st, 5);
    for (const char *at = recent; (at = strchr(at, '\n')); at++)
        row->recent_count++;
    return row;
}

/* 0 with *ret NULL when there is none. The statement stands on the row. */
static int find(struct store_db *db, const struct shadow_key *key, sqlite3_stmt **st, struct shadow_row **ret)
{
    *st = store_statement(db, "SELECT id, version, state, metadata, deleted_s, recent FROM shadow "
                              "WHERE thing = ?1 AND name = ?2");
    bind_key(*st, key);
    *ret = NULL;
    int r = store_step(db, *st);
    if (r <= 0)
        return r;
    *ret = read_row(*st);
    return *ret ? 0 : -ENOMEM;
}

void shadow_store_load(struct work *work, void *db)
{
    struct shadow_load *load = container_of(work, struct shadow_load, work);
    sqlite3_stmt *st;
    load->r = work->r = find(db, &load->key, &st, &load->row);
}

static bool is_whole(sqlite3_stmt *row)
{
    int state = store_column(row, "state"), stamps = store_column(row, "metadata");
    if (state < 0 || stamps < 0 || sqlite3_column_type(row, state) == SQLITE_NULL)
        return true;
    struct arena arena = {0};
    struct shadow_doc doc;
    int r = shadow_doc_read(&doc, &arena, 1, (const char *)sqlite3_column_text(row, state),
                            (size_t)sqlite3_column_bytes(row, state),
                            (const char *)sqlite3_column_text(row, stamps),
                            (size_t)sqlite3_column_bytes(row, stamps));
    arena_done(&arena);
    return r == 0;
}

const struct store_check shadow_store_check = {"shadow", is_whole};

/* ---- writing ------------------------------------------------------------------------------------------------------ */

/* 0, SHADOW_TOO_MANY_NAMES or −errno. */
static int check_names(struct store_db *db, const struct shadow_save *save)
{
    sqlite3_stmt *st = store_statement(
        db, "SELECT count(*) FROM shadow WHERE thing = ?1 AND name > '' AND deleted_s IS NULL");
    (void)sqlite3_bind_text(st, 1, save->key.thing, -1, SQLITE_STATIC);
    int r = store_step(db, st);
    if (r <= 0)
        return r;
    return sqlite3_column_int64(st, 0) < (sqlite3_int64)save->names_max ? 0 : SHADOW_TOO_MANY_NAMES;
}

static void bind_document(sqlite3_stmt *st, const struct shadow_row *row)
{
    (void)sqlite3_bind_int64(st, 2, (sqlite3_int64)row->version);
    if (row->exists) {
        (void)sqlite3_bind_text(st, 3, row->text, (int)row->state_len, SQLITE_STATIC);
        (void)sqlite3_bind_text(st, 4, row->text + row->state_len, (int)row->stamps_len, SQLITE_STATIC);
    }
}

static void bind_records(sqlite3_stmt *st, int column, const struct shadow_save *save)
{
    (void)sqlite3_bind_text(st, column, save->records_len ? save->records : "", (int)save->records_len,
                            SQLITE_STATIC);
}

static int insert_row(struct store_db *db, struct shadow_save *save)
{
    struct shadow_row *row = save->row;
    sqlite3_stmt *st =
        store_statement(db, "INSERT INTO shadow (version, state, metadata, recent, thing, name, deleted_s) "
                            "VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    bind_document(st, row);
    bind_records(st, 5, save);
    (void)sqlite3_bind_text(st, 6, save->key.thing, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 7, save->key.name, -1, SQLITE_STATIC);
    if (!row->exists)
        (void)sqlite3_bind_int64(st, 8, row->deleted_s);
    int r = store_execute(db, st);
    if (r == 0)
        row->id = sqlite3_last_insert_rowid(sqlite3_db_handle(st));
    return r;
}

/* Nearly always a shadow exists before and after. Then deleted_s is not named, and the index on it not touched. */
static int update_row(struct store_db *db, struct shadow_save *save)
{
    struct shadow_row *row = save->row;
    sqlite3_stmt *st;
    if (row->exists && !save->was_tombstone && !save->spill)
        st = store_statement(db, "UPDATE shadow SET version = ?2, state = ?3, metadata = ?4, "
                                 "recent = recent || ?5 WHERE id = ?1");
    else if (row->exists && !save->was_tombstone)
        st = store_statement(db, "UPDATE shadow SET version = ?2, state = ?3, metadata = ?4, recent = '' "
                                 "WHERE id = ?1");
    else if (!save->spill)
        st = store_statement(db, "UPDATE shadow SET version = ?2, state = ?3, metadata = ?4, "
                                 "recent = recent || ?5, deleted_s = ?6 WHERE id = ?1");
    else
        st = store_statement(db, "UPDATE shadow SET version = ?2, state = ?3, metadata = ?4, recent = '', "
                                 "deleted_s = ?6 WHERE id = ?1");
    (void)sqlite3_bind_int64(st, 1, row->id);
    bind_document(st, row);
    if (!save->spill)
        bind_records(st, 5, save);
    if (!row->exists)
        (void)sqlite3_bind_int64(st, 6, row->deleted_s);
    return store_execute(db, st);
}

/* ---- history ------------------------------------------------------------------------------------------------------ */

static int forget_history(struct store_db *db, int64_t id)
{
    sqlite3_stmt *st = store_statement(db, "DELETE FROM shadow_history WHERE shadow = ?1");
    (void)sqlite3_bind_int64(st, 1, id);
    int r = store_execute(db, st);
    if (r < 0)
        return r;
    st = store_statement(db, "UPDATE shadow SET recent = '' WHERE id = ?1");
    (void)sqlite3_bind_int64(st, 1, id);
    return store_execute(db, st);
}

/* The version up to which records are too many or too much; 0: none are. Answered by the index alone. */
static int find_cut(struct store_db *db, const struct shadow_save *save, uint64_t *cut)
{
    const struct shadow_history_limits *limits = save->limits;
    uint64_t version = save->row->version, oldest = version > limits->count ? version - limits->count : 0;
    size_t bytes = 0;
    sqlite3_stmt *st = store_statement(
        db, "SELECT version, bytes FROM shadow_history WHERE shadow = ?1 ORDER BY version DESC");
    (void)sqlite3_bind_int64(st, 1, save->row->id);
    *cut = 0;
    int r;
    while ((r = store_step(db, st)) > 0) {
        uint64_t newest = (uint64_t)sqlite3_column_int64(st, 0);
        bytes += (size_t)sqlite3_column_int64(st, 1);
        bool is_too_much = limits->bytes && bytes > limits->bytes && newest != version;
        if (newest > oldest && !is_too_much)
            continue;
        *cut = newest;
        return 0;
    }
    return r;
}

static int prune(struct store_db *db, const struct shadow_save *save)
{
    uint64_t cut;
    int r = find_cut(db, save, &cut);
    if (r < 0 || !cut)
        return r;
    sqlite3_stmt *st = store_statement(db, "DELETE FROM shadow_history WHERE shadow = ?1 AND version <= ?2");
    (void)sqlite3_bind_int64(st, 1, save->row->id);
    (void)sqlite3_bind_int64(st, 2, (sqlite3_int64)cut);
    return store_execute(db, st);
}

static int spill(struct store_db *db, const struct shadow_save *save)
{
    sqlite3_stmt *st =
        store_statement(db, "INSERT INTO shadow_history (shadow, version, bytes, at_s, records) "
                            "SELECT ?1, ?2, ?3, ?4, recent || ?5 FROM shadow WHERE id = ?1");
    (void)sqlite3_bind_int64(st, 1, save->row->id);
    (void)sqlite3_bind_int64(st, 2, (sqlite3_int64)save->row->version);
    (void)sqlite3_bind_int64(st, 3, (sqlite3_int64)save->spill_bytes);
    (void)sqlite3_bind_int64(st, 4, save->at_s);
    bind_records(st, 5, save);
    int r = store_execute(db, st);
    return r < 0 ? r : prune(db, save);
}

void shadow_store_save(struct work *work, void *db)
{
    struct shadow_save *save = container_of(work, struct shadow_save, work);
    store_together(db);
    int r = save->names_max ? check_names(db, save) : 0;
    if (r == 0 && save->is_reborn)
        r = forget_history(db, save->row->id);
    if (r == 0 && save->is_insert)
        r = insert_row(db, save);
    else if (r == 0) {
        if (save->spill)
            r = spill(db, save);
        if (r == 0)
            r = update_row(db, save);
    }
    work->r = r;
}

/* ---- the past ----------------------------------------------------------------------------------------------------- */

static int append(struct shadow_story *story, sqlite3_stmt *st, int column)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    size_t len = (size_t)sqlite3_column_bytes(st, column);
    char *records = text ? realloc(story->records, story->records_len + len + 1) : NULL;
    if (!records)
        return -ENOMEM;
    memcpy(records + story->records_len, text, len);
    story->records = records;
    story->records_len += len;
    return 0;
}

void shadow_store_story(struct work *work, void *db)
{
    struct shadow_story *story = container_of(work, struct shadow_story, work);
    sqlite3_stmt *row, *st;
    int r = find(db, &story->key, &row, &story->row);
    if (r == 0 && story->row) {
        st = store_statement(db, "SELECT records FROM shadow_history WHERE shadow = ?1 ORDER BY version");
        (void)sqlite3_bind_int64(st, 1, story->row->id);
        while ((r = store_step(db, st)) > 0 && (r = append(story, st, 0)) == 0)
            ;
        if (r == 0)
            r = append(story, row, 5);
    }
    work->r = r;
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

void shadow_names_init(struct shadow_names *names, const char *thing, const char *name, size_t limit)
{
    *names = (struct shadow_names){.thing = str_copy(thing), .name = str_copy(name), .limit = limit};
    names->rows = mem_new_bytes(limit * sizeof *names->rows);
}

void shadow_names_done(struct shadow_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->rows[i].thing);
        free(names->rows[i].name);
    }
    free(names->rows);
    free(names->thing);
    free(names->name);
}

static char *text_of(sqlite3_stmt *st, int column)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    return str_copy(text ? text : "");
}

void shadow_store_names(struct work *work, void *db)
{
    struct shadow_names *names = container_of(work, struct shadow_names, work);
    sqlite3_stmt *st = store_statement(
        db, "SELECT thing, name, version FROM shadow WHERE (thing, name) > (?1, ?2) AND deleted_s IS NULL "
            "ORDER BY thing, name LIMIT ?3");
    (void)sqlite3_bind_text(st, 1, names->thing, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 2, names->name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(st, 3, (sqlite3_int64)names->limit + 1);
    while ((work->r = store_step(db, st)) > 0 && names->count < names->limit)
        names->rows[names->count++] =
            (struct shadow_name){text_of(st, 0), text_of(st, 1), (uint64_t)sqlite3_column_int64(st, 2)};
    names->more = work->r > 0;
    if (work->r > 0)
        work->r = 0;
}

/* ---- what is over ------------------------------------------------------------------------------------------------- */

static int purge_tombstones(struct store_db *db, struct shadow_purge *purge)
{
    sqlite3_stmt *st =
        store_statement(db, "DELETE FROM shadow WHERE id IN (SELECT id FROM shadow "
                            "WHERE deleted_s BETWEEN ?1 AND ?2 ORDER BY deleted_s LIMIT ?3) RETURNING 1");
    (void)sqlite3_bind_int64(st, 1, purge->first_s);
    (void)sqlite3_bind_int64(st, 2, purge->tombstones_s);
    (void)sqlite3_bind_int(st, 3, SHADOW_PURGE_MAX);
    int r, n = 0;
    while ((r = store_step(db, st)) > 0)
        n++;
    purge->again |= n == SHADOW_PURGE_MAX;
    return r;
}

/* Rows are in the order of time, so those that are over come first and nothing is searched: it ends at the first one that
 * is not. Those of a clock that was not set are stepped over. */
static int purge_history(struct store_db *db, struct shadow_purge *purge)
{
    int64_t over[SHADOW_PURGE_MAX];
    int r, seen = 0, n = 0;
    sqlite3_stmt *st =
        store_statement(db, "SELECT id, at_s FROM shadow_history WHERE id > ?1 ORDER BY id LIMIT ?2");
    (void)sqlite3_bind_int64(st, 1, purge->after);
    (void)sqlite3_bind_int(st, 2, SHADOW_PURGE_MAX);
    while ((r = store_step(db, st)) > 0) {
        int64_t id = sqlite3_column_int64(st, 0), at_s = sqlite3_column_int64(st, 1);
        if (at_s >= purge->history_s)
            break;
        seen++;
        if (at_s >= purge->first_s)
            over[n++] = id;
        else if (!n)
            purge->after = id;
    }
    purge->again |= seen == SHADOW_PURGE_MAX;
    st = store_statement(db, "DELETE FROM shadow_history WHERE id = ?1");
    for (int i = 0; r >= 0 && i < n; i++) {
        (void)sqlite3_bind_int64(st, 1, over[i]);
        r = store_execute(db, st);
    }
    return r < 0 ? r : 0;
}

void shadow_store_purge(struct work *work, void *db)
{
    struct shadow_purge *purge = container_of(work, struct shadow_purge, work);
    purge->again = false;
    work->r = purge_tombstones(db, purge);
    if (work->r == 0)
        work->r = purge_history(db, purge);
}
