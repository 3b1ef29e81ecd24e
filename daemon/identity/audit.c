#include "identity/audit.h"

#include "base/json_write.h"
#include "base/log.h"
#include "base/utf8.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

enum { MINUTE_MS = 60 * 1000, TRIM_EVERY = 200, SHOWN_MAX = 256 };

enum { PARTS = 4 };

/* A refusal of this minute. */
struct repeated {
    struct map_key
        key; /* who, what, object and reason, with U+0001 between them, which may be in them, too */
    uint16_t len[PARTS]; /* of each */
    uint64_t more;       /* since it was written */
};

struct audit {
    struct loop *loop;
    struct store *store;
    struct registry *registry;
    struct registry_watcher watcher;
    struct map repeated;
    uint64_t others; /* beyond what is listed one by one */
    struct timer minute;
    unsigned since_trim;
};

struct entry {
    struct work work;
    int64_t at;
    char *who, *what, *object, *reason;
    uint64_t count;
    bool trim;
};

/* ---- on the store's thread ---------------------------------------------------------------------------------------------- */

static void run_entry(struct work *work, void *db)
{
    struct entry *entry = container_of(work, struct entry, work);
    sqlite3_stmt *st = store_statement(
        db, "INSERT INTO audit (at, who, what, object, reason, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    (void)sqlite3_bind_int64(st, 1, entry->at);
    (void)sqlite3_bind_text(st, 2, entry->who, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 3, entry->what, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 4, entry->object, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 5, entry->reason, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(st, 6, (sqlite3_int64)entry->count);
    work->r = store_execute(db, st);
    if (work->r < 0 || !entry->trim)
        return;
    st = store_statement(db, "DELETE FROM audit WHERE number <= (SELECT max(number) FROM audit) - ?1");
    (void)sqlite3_bind_int64(st, 1, AUDIT_ROWS_MAX);
    work->r = store_execute(db, st);
}

static void done_entry(struct work *work)
{
    struct entry *entry = container_of(work, struct entry, work);
    if (work->r < 0)
        log_error("audit log: %s %s %s: cannot be written: %s", entry->who, entry->what, entry->object,
                  strerror(-work->r));
    free(entry->who);
    free(entry->what);
    free(entry->object);
    free(entry->reason);
    free(entry);
}

/* How much of it is kept, in whole characters: strangers choose their names and topics. */
static size_t shown(const char *text)
{
    return utf8_cut(text, strlen(text), SHOWN_MAX);
}

static void write_entry(struct audit *audit, const char *who, const char *what, const char *object,
                        const char *reason, uint64_t count)
{
    struct entry *entry = mem_new(struct entry);
    entry->work = (struct work){.run = run_entry, .done = done_entry};
    entry->at = loop_wall(audit->loop);
    entry->who = str_copy_n(who, shown(who));
    entry->what = str_copy(what);
    entry->object = str_copy_n(object, shown(object));
    entry->reason = str_copy_n(reason, shown(reason));
    entry->count = count;
    entry->trim = ++audit->since_trim == TRIM_EVERY;
    if (entry->trim)
        audit->since_trim = 0;
    store_submit(audit->store, &entry->work);
}

/* ---- what happens --------------------------------------------------------------------------------------------------------- */

void audit_note(struct audit *audit, const char *who, const char *what, const char *object,
                const char *reason)
{
    write_entry(audit, who, what, object, reason, 1);
}

static void forget(struct repeated *repeated)
{
    free((char *)repeated->key.text);
    free(repeated);
}

static void say_repeated(struct audit *audit, const struct repeated *repeated)
{
    char *parts[PARTS];
    const char *at = repeated->key.text;
    for (size_t i = 0; i < PARTS; at += repeated->len[i++] + 1)
        parts[i] = str_copy_n(at, repeated->len[i]);
    write_entry(audit, parts[0], parts[1], parts[2], parts[3], repeated->more);
    for (size_t i = 0; i < PARTS; i++)
        free(parts[i]);
}

static void on_minute(struct timer *timer)
{
    struct audit *audit = container_of(timer, struct audit, minute);
    map_for_each(i, key, &audit->repeated)
    {
        struct repeated *repeated = container_of(key, struct repeated, key);
        if (repeated->more)
            say_repeated(audit, repeated);
        forget(repeated);
    }
    map_done(&audit->repeated);
    if (audit->others)
        write_entry(audit, "others", "refused/more", "", "more than are listed one by one", audit->others);
    audit->others = 0;
}

void audit_refused(struct audit *audit, const char *who, const char *what, const char *object,
                   const char *reason)
{
    if (!audit)
        return;
    const size_t len[PARTS] = {shown(who), strlen(what), shown(object), shown(reason)};
    cleanup_free char *text =
        str_printf("%.*s\1%s\1%.*s\1%.*s", (int)len[0], who, what, (int)len[2], object, (int)len[3], reason);
    struct map_key *key = map_get(&audit->repeated, text, strlen(text));
    if (key) {
        container_of(key, struct repeated, key)->more++;
        return;
    }
    if (!timer_is_running(&audit->minute))
        timer_start(audit->loop, &audit->minute, MINUTE_MS);
    if (audit->repeated.count >= AUDIT_REFUSALS_A_MINUTE) {
        audit->others++;
        return;
    }
    struct repeated *repeated = mem_new(struct repeated);
    for (size_t i = 0; i < PARTS; i++)
        repeated->len[i] = (uint16_t)len[i];
    repeated->key.len = (uint32_t)strlen(text);
    repeated->key.text = steal(text);
    map_put(&audit->repeated, &repeated->key);
    write_entry(audit, who, what, object, reason, 1);
}

/* ---- changes of the registry ---------------------------------------------------------------------------------------------- */

static const char *kind_name(const struct registry_change *change)
{
    static const char *const names[] = {
        [REGISTRY_THING] = "thing",           [REGISTRY_TYPE] = "type",    [REGISTRY_GROUP] = "group",
        [REGISTRY_PRINCIPAL] = "certificate", [REGISTRY_CA] = "authority", [REGISTRY_POLICY] = "policy",
        [REGISTRY_KINDS] = "registry"};
    const struct registry_principal *principal = change->kind == REGISTRY_PRINCIPAL ? change->object : NULL;
    if (principal && principal->kind != REGISTRY_CERTIFICATE)
        return principal->kind == REGISTRY_KEY ? "key" : "user";
    return names[change->kind];
}

static void on_changed(struct registry_watcher *watcher, const struct registry_change *change)
{
    static const char *const events[] = {[REGISTRY_CREATED] = "created",
                                         [REGISTRY_UPDATED] = "updated",
                                         [REGISTRY_DELETED] = "deleted",
                                         [REGISTRY_ATTACHED] = "attached",
                                         [REGISTRY_DETACHED] = "detached"};
    struct audit *audit = container_of(watcher, struct audit, watcher);
    if (change->is_found) /* what it follows from is noted */
        return;
    char what[64];
    (void)snprintf(what, sizeof what, "%s/%s", kind_name(change), events[change->event]);
    const char *who = change->by && change->by->who ? change->by->who : "gateway";
    const char *reason = change->other ? change->other : "";
    const struct registry_principal *principal = change->kind == REGISTRY_PRINCIPAL ? change->object : NULL;
    if (principal && !change->other)
        reason = registry_status_names[principal->status];
    write_entry(audit, who, what, change->name ? change->name : "", reason, 1);
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

int audit_new(struct audit **ret, struct loop *loop, struct store *store, struct registry *registry)
{
    struct audit *audit = mem_new(struct audit);
    audit->loop = loop;
    audit->store = store;
    audit->registry = registry;
    audit->minute.fire = on_minute;
    audit->watcher.changed = on_changed;
    if (registry)
        registry_watch(registry, &audit->watcher);
    *ret = audit;
    return 0;
}

struct audit *audit_free(struct audit *audit)
{
    if (!audit)
        return NULL;
    timer_stop(audit->loop, &audit->minute);
    registry_unwatch(&audit->watcher);
    map_for_each(i, key, &audit->repeated) forget(container_of(key, struct repeated, key));
    map_done(&audit->repeated);
    free(audit);
    return NULL;
}

/* ---- asking ---------------------------------------------------------------------------------------------------------------- */

struct audit_query_private {
    struct work work;
    struct audit_query *query;
    int64_t since_ms, until_ms;
    char *what, *who;
    size_t max;
    struct arena arena;
    const char *json;
};

static void put_row(struct json_writer *w, sqlite3_stmt *st)
{
    static const char *const texts[] = {"who", "what", "object", "reason"};
    json_begin_object(w);
    json_key(w, "number");
    json_put_int(w, sqlite3_column_int64(st, 0));
    json_key(w, "at");
    json_put_int(w, sqlite3_column_int64(st, 1));
    for (int i = 0; i < 4; i++) {
        json_key(w, texts[i]);
        json_put_string(w, (const char *)sqlite3_column_text(st, 2 + i));
    }
    json_key(w, "count");
    json_put_int(w, sqlite3_column_int64(st, 6));
    json_end_object(w);
}

static void run_query(struct work *work, void *db)
{
    struct audit_query_private *asked = container_of(work, struct audit_query_private, work);
    sqlite3_stmt *st = store_statement(
        db,
        "SELECT * FROM (SELECT number, at, who, what, object, reason, count FROM audit WHERE at >= ?1 AND "
        "(?2 = 0 OR at <= ?2) AND (?3 = '' OR substr(what, 1, length(?3)) = ?3) AND (?4 = '' OR who = ?4) "
        "ORDER BY number DESC LIMIT ?5) ORDER BY number");
    (void)sqlite3_bind_int64(st, 1, asked->since_ms);
    (void)sqlite3_bind_int64(st, 2, asked->until_ms);
    (void)sqlite3_bind_text(st, 3, asked->what ? asked->what : "", -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(st, 4, asked->who ? asked->who : "", -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(st, 5, (sqlite3_int64)asked->max);
    struct json_writer w;
    json_writer_init(&w, &asked->arena);
    json_begin_object(&w);
    json_key(&w, "entries");
    json_begin_array(&w);
    while ((work->r = store_step(db, st)) > 0)
        put_row(&w, st);
    json_end_array(&w);
    json_end_object(&w);
    asked->json = json_writer_text(&w, NULL);
}

static void done_query(struct work *work)
{
    struct audit_query_private *asked = container_of(work, struct audit_query_private, work);
    asked->query->done(asked->query, work->r, work->r < 0 ? NULL : asked->json);
    arena_done(&asked->arena);
    free(asked->what);
    free(asked->who);
    free(asked);
}

void audit_ask(struct audit *audit, struct audit_query *query)
{
    struct audit_query_private *asked = mem_new(struct audit_query_private);
    asked->work = (struct work){.run = run_query, .done = done_query};
    asked->query = query;
    asked->since_ms = query->since_ms;
    asked->until_ms = query->until_ms;
    asked->what = str_copy(query->what);
    asked->who = str_copy(query->who);
    asked->max = size_min(query->max ? query->max : AUDIT_ANSWER_MAX, AUDIT_ANSWER_MAX);
    arena_init(&asked->arena);
    query->private = asked;
    store_submit(audit->store, &asked->work);
}
