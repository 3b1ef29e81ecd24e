#include "store/store_salvage_table.h"

#include "base/log.h"
#include "store/store_check.h"
#include "store/store_db.h"

#include <inttypes.h>
#include <string.h>

enum { PROBES_MAX = 4000, KEYS_MAX = 20 };

/* ---- SQL that is made here ------------------------------------------------------------------------------------------- */

sqlite3_stmt *salvage_prepare(sqlite3 *sqlite, const char *sql)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(sqlite, sql, -1, &st, NULL) != SQLITE_OK)
        return NULL;
    return st;
}

const char *salvage_quoted(struct salvage *s, const char *name)
{
    char *text = sqlite3_mprintf("\"%w\"", name);
    const char *copy = text ? arena_copy(&s->arena, text, strlen(text)) : "\"\"";
    sqlite3_free(text);
    return copy;
}

/* The first column of each row, quoted and with commas between; "" for none. */
static const char *list_of(struct salvage *s, sqlite3 *sqlite, const char *sql)
{
    sqlite3_stmt *st = salvage_prepare(sqlite, sql);
    const char *list = "";
    while (st && sqlite3_step(st) == SQLITE_ROW)
        list = arena_printf(&s->arena, "%s%s%s", list, *list ? ", " : "",
                            salvage_quoted(s, (const char *)sqlite3_column_text(st, 0)));
    (void)sqlite3_finalize(st);
    return list;
}

int64_t salvage_number(sqlite3 *sqlite, const char *sql, int64_t fallback)
{
    sqlite3_stmt *st = salvage_prepare(sqlite, sql);
    int64_t number = st && sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : fallback;
    (void)sqlite3_finalize(st);
    return number;
}

/* ---- one table ------------------------------------------------------------------------------------------------------- */

struct range {
    int64_t low, high; /* rowids */
};

struct table {
    struct salvage *s;
    const char *name, *quoted;
    const struct store_check *check; /* of its owner; NULL: none */
    sqlite3_stmt *up, *down, *insert;
    bool has_rowid, is_broken;
    uint64_t saved;
    struct range *ranges; /* that may have readable rows */
    size_t first, end;
    int r; /* −errno: the new file cannot be written */
};

/* All tables are STRICT, so a value of another type than its column's comes from a page that is not this table's. */
static bool is_ours(sqlite3_stmt *row)
{
    for (int i = 0; i < sqlite3_column_count(row); i++) {
        const char *declared = sqlite3_column_decltype(row, i);
        int type = sqlite3_column_type(row, i);
        if (!declared || type == SQLITE_NULL)
            continue;
        if ((strcmp(declared, "TEXT") == 0 && type != SQLITE_TEXT) ||
            (strcmp(declared, "BLOB") == 0 && type != SQLITE_BLOB) ||
            (strcmp(declared, "INTEGER") == 0 && type != SQLITE_INTEGER))
            return false;
    }
    return true;
}

static void copy_row(struct table *table, sqlite3_stmt *row)
{
    if (!is_ours(row) || (table->check && !table->check->is_whole(row))) {
        table->is_broken = true;
        return;
    }
    for (int i = 0; i < sqlite3_column_count(row); i++)
        (void)sqlite3_bind_value(table->insert, i + 1, sqlite3_column_value(row, i));
    int rc = sqlite3_step(table->insert);
    if (rc == SQLITE_DONE)
        table->saved += (uint64_t)sqlite3_changes(table->s->to);
    else if ((rc & 0xff) != SQLITE_CONSTRAINT) /* what does not fit has been damaged itself */
        table->r = store_fault(table->s->to, rc);
    (void)sqlite3_reset(table->insert);
}

/* A row of that number was read: the range ends there, on the side from which it is read. One that is out of order or
 * does not belong here comes from a page that is in the wrong place; others of its rows may be read again later. */
static bool take_off(struct table *table, struct range *range, const struct range *all, int64_t rowid,
                     bool upwards)
{
    if (rowid < range->low || rowid > range->high) {
        table->is_broken = true;
        return rowid >= all->low && rowid <= all->high;
    }
    if (rowid == (upwards ? all->high : all->low))
        *range = (struct range){1, 0}; /* which no number is behind, maybe */
    else if (upwards)
        range->low = rowid + 1;
    else
        range->high = rowid - 1;
    return true;
}

/* Copies a range upwards or downwards until its end, which is true, or the damage. What has been read is taken off it. */
static bool copy_rows(struct table *table, sqlite3_stmt *st, struct range *range)
{
    struct range all = *range;
    if (table->has_rowid) {
        (void)sqlite3_bind_int64(st, 1, range->low);
        (void)sqlite3_bind_int64(st, 2, range->high);
    }
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW && table->r == 0)
        if (!table->has_rowid || take_off(table, range, &all, sqlite3_column_int64(st, 0), st == table->up))
            copy_row(table, st);
    (void)sqlite3_reset(st);
    return rc == SQLITE_DONE || range->low > range->high;
}

static void add_range(struct table *table, int64_t low, int64_t high)
{
    if (low <= high && table->end < PROBES_MAX)
        table->ranges[table->end++] = (struct range){low, high};
}

/* From both ends, and where neither gets through, from the middle: the widest gaps first, since a gap that is one damaged
 * page looks the same from everywhere. */
static void copy_ranges(struct table *table)
{
    while (table->first < table->end && table->r == 0) {
        struct range range = table->ranges[table->first++];
        struct range before = range;
        if (copy_rows(table, table->up, &range) || copy_rows(table, table->down, &range))
            continue;
        if (range.low == before.low && range.high == before.high && range.low == range.high)
            continue;
        int64_t middle = range.low + (int64_t)(((uint64_t)range.high - (uint64_t)range.low) / 2);
        add_range(table, range.low, middle);
        add_range(table, middle + 1, range.high);
    }
}

static void copy_all(struct table *table)
{
    struct range all = {table->has_rowid ? INT64_MIN : 0, table->has_rowid ? INT64_MAX : 0};
    bool is_whole = copy_rows(table, table->up, &all);
    table->is_broken |= !is_whole;
    if (is_whole || copy_rows(table, table->down, &all) || !table->has_rowid || table->r < 0)
        return;
    table->ranges = mem_new_bytes(PROBES_MAX * sizeof *table->ranges);
    /* Rowids are positive, mostly. */
    add_range(table, all.low < 1 ? 1 : all.low, all.high);
    add_range(table, all.low, all.low < 1 ? 0 : all.low - 1);
    copy_ranges(table);
    free(table->ranges);
}

/* Columns that both files have. */
static const char *common_columns(struct table *table)
{
    struct salvage *s = table->s;
    sqlite3_stmt *ours = salvage_prepare(
        s->to, arena_printf(&s->arena, "SELECT 1 FROM pragma_table_info(%s) WHERE name = ?", table->quoted));
    sqlite3_stmt *theirs = salvage_prepare(
        s->from, arena_printf(&s->arena, "SELECT name FROM pragma_table_info(%s)", table->quoted));
    const char *list = "";
    while (ours && theirs && sqlite3_step(theirs) == SQLITE_ROW) {
        (void)sqlite3_bind_value(ours, 1, sqlite3_column_value(theirs, 0));
        if (sqlite3_step(ours) == SQLITE_ROW)
            list = arena_printf(&s->arena, "%s%s%s", list, *list ? ", " : "",
                                salvage_quoted(s, (const char *)sqlite3_column_text(theirs, 0)));
        (void)sqlite3_reset(ours);
    }
    (void)sqlite3_finalize(ours);
    (void)sqlite3_finalize(theirs);
    return list;
}

static void prepare_copy(struct table *table)
{
    struct salvage *s = table->s;
    struct arena *arena = &s->arena;
    sqlite3_stmt *probe =
        salvage_prepare(s->from, arena_printf(arena, "SELECT rowid FROM %s LIMIT 0", table->quoted));
    table->has_rowid = probe != NULL;
    (void)sqlite3_finalize(probe);
    const char *columns = common_columns(table);
    const char *order = "rowid";
    if (table->has_rowid)
        columns = arena_printf(arena, "rowid, %s", columns);
    else
        order = list_of(s, s->from,
                        arena_printf(arena, "SELECT name FROM pragma_table_info(%s) WHERE pk > 0 ORDER BY pk",
                                     table->quoted));
    const char *where = table->has_rowid ? "WHERE rowid BETWEEN ?1 AND ?2 " : "";
    const char *select = arena_printf(arena, "SELECT %s FROM %s NOT INDEXED %sORDER BY %s", columns,
                                      table->quoted, where, order);
    table->up = salvage_prepare(s->from, select);
    table->down = salvage_prepare(s->from, arena_printf(arena, "%s DESC", select));
    const char *places = "?";
    for (int i = 1; table->up && i < sqlite3_column_count(table->up); i++)
        places = arena_printf(arena, "%s, ?", places);
    table->insert = salvage_prepare(s->to, arena_printf(arena, "INSERT OR IGNORE INTO %s (%s) VALUES (%s)",
                                                        table->quoted, columns, places));
}

/* ---- what was lost of it --------------------------------------------------------------------------------------------- */

/* An index of the table that says how many rows there were, without a look at the table. NULL: none can be read. */
static const char *readable_index(struct table *table, int64_t *rows)
{
    struct salvage *s = table->s;
    sqlite3_stmt *st =
        salvage_prepare(s->from, arena_printf(&s->arena,
                                              "SELECT name FROM pragma_index_list(%s) WHERE partial = 0 "
                                              "ORDER BY \"unique\" DESC",
                                              table->quoted));
    const char *found = NULL;
    while (st && !found && sqlite3_step(st) == SQLITE_ROW) {
        const char *index =
            arena_copy(&s->arena, sqlite3_column_text(st, 0), (size_t)sqlite3_column_bytes(st, 0));
        *rows = salvage_number(s->from,
                               arena_printf(&s->arena, "SELECT count(*) FROM %s INDEXED BY %s", table->quoted,
                                            salvage_quoted(s, index)),
                               -1);
        if (*rows >= 0)
            found = index;
    }
    (void)sqlite3_finalize(st);
    return found;
}

/* The index's values of rows that are not in the new file: "press-7/cfg". */
static void put_lost_keys(struct table *table, const char *index)
{
    struct salvage *s = table->s;
    const char *columns =
        list_of(s, s->from,
                arena_printf(&s->arena, "SELECT name FROM pragma_index_info(%s)", salvage_quoted(s, index)));
    sqlite3_stmt *all =
        salvage_prepare(s->from, arena_printf(&s->arena, "SELECT rowid, %s FROM %s INDEXED BY %s", columns,
                                              table->quoted, salvage_quoted(s, index)));
    sqlite3_stmt *there =
        salvage_prepare(s->to, arena_printf(&s->arena, "SELECT 1 FROM %s WHERE rowid = ?", table->quoted));
    unsigned n = 0;
    while (all && there && n < KEYS_MAX && sqlite3_step(all) == SQLITE_ROW) {
        (void)sqlite3_bind_int64(there, 1, sqlite3_column_int64(all, 0));
        bool saved = sqlite3_step(there) == SQLITE_ROW;
        (void)sqlite3_reset(there);
        if (saved)
            continue;
        const char *key = "";
        for (int i = 1; i < sqlite3_column_count(all); i++) {
            const char *text = (const char *)sqlite3_column_text(all, i);
            if (text && *text)
                key = arena_printf(&s->arena, "%s%s%s", key, *key ? "/" : "", text);
        }
        json_put_string(&s->report, key);
        n++;
    }
    (void)sqlite3_finalize(all);
    (void)sqlite3_finalize(there);
}

static void say(const struct table *table, int64_t lost)
{
    const char *path = table->s->path;
    if (lost == 0)
        log_notice("%s: table %s: all %" PRIu64 " rows are saved", path, table->name, table->saved);
    else if (lost > 0)
        log_error("%s: table %s: %" PRIu64 " rows are saved, %" PRId64 " are lost", path, table->name,
                  table->saved, lost);
    else
        log_error("%s: table %s: %" PRIu64 " rows are saved, others are lost", path, table->name,
                  table->saved);
}

static void report(struct table *table)
{
    struct salvage *s = table->s;
    int64_t rows = -1;
    const char *index = table->is_broken && table->has_rowid ? readable_index(table, &rows) : NULL;
    int64_t lost = !table->is_broken ? 0 : index ? rows - (int64_t)table->saved : -1;
    json_begin_object(&s->report);
    json_key(&s->report, "table");
    json_put_string(&s->report, table->name);
    json_key(&s->report, "saved");
    json_put_uint(&s->report, table->saved);
    json_key(&s->report, "lost");
    if (lost < 0)
        json_put_null(&s->report);
    else
        json_put_int(&s->report, lost);
    json_key(&s->report, "keys");
    json_begin_array(&s->report);
    if (lost > 0)
        put_lost_keys(table, index);
    json_end_array(&s->report);
    json_end_object(&s->report);
    say(table, lost);
}

/* ---- the table ---------------------------------------------------------------------------------------------------------- */

int salvage_table(struct salvage *s, const char *name, const char *sql)
{
    struct table table = {
        .s = s,
        .name = name,
        .quoted = salvage_quoted(s, name),
        .check = store_check_of(s->checks, name),
    };
    int64_t exists = salvage_number(
        s->to, arena_printf(&s->arena, "SELECT 1 FROM pragma_table_info(%s)", table.quoted), 0);
    if (!exists)
        (void)sqlite3_exec(s->to, sql, NULL, NULL, NULL);
    prepare_copy(&table);
    if (table.up && table.down && table.insert)
        copy_all(&table);
    else
        table.is_broken = true;
    (void)sqlite3_finalize(table.up);
    (void)sqlite3_finalize(table.down);
    (void)sqlite3_finalize(table.insert);
    if (table.r == 0)
        report(&table);
    s->saved += table.saved;
    return table.r;
}
