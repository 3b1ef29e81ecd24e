#include "mqtt/session_store.h"

#include <errno.h>
#include <string.h>

static void bind_text(sqlite3_stmt *st, int at, const char *text, size_t len)
{
    (void)sqlite3_bind_text(st, at, text, (int)len, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *st, int at, uint64_t number)
{
    (void)sqlite3_bind_int64(st, at, (sqlite3_int64)number);
}

/* An older session of the same client that could not be removed goes with this, too. */
int session_store_put(struct store_db *db, const struct session_row *row)
{
    sqlite3_stmt *st =
        store_statement(db, "INSERT OR REPLACE INTO session (number, client_id, expiry_s, away_since, owner) "
                            "VALUES (?1, ?2, ?3, ?4, ?5)");
    if (!st)
        return -EIO;
    bind_number(st, 1, row->number);
    bind_text(st, 2, row->client_id, row->client_id_len);
    (void)sqlite3_bind_int64(st, 3, row->expiry_s);
    if (row->away_since)
        (void)sqlite3_bind_int64(st, 4, row->away_since);
    if (row->owner)
        bind_text(st, 5, row->owner, strlen(row->owner));
    return store_execute(db, st);
}

int session_store_remove(struct store_db *db, uint64_t number)
{
    sqlite3_stmt *st = store_statement(db, "DELETE FROM session_subscription WHERE session = ?1");
    if (!st)
        return -EIO;
    bind_number(st, 1, number);
    int r = store_execute(db, st);
    if (r < 0)
        return r;
    st = store_statement(db, "DELETE FROM session WHERE number = ?1");
    if (!st)
        return -EIO;
    bind_number(st, 1, number);
    return store_execute(db, st);
}

int session_store_subscribe(struct store_db *db, const struct subscription_row *row)
{
    sqlite3_stmt *st =
        store_statement(db, "INSERT INTO session_subscription (session, filter, options, id) "
                            "VALUES (?1, ?2, ?3, ?4) "
                            "ON CONFLICT (session, filter) DO UPDATE SET options = ?3, id = ?4");
    if (!st)
        return -EIO;
    bind_number(st, 1, row->session);
    bind_text(st, 2, row->filter, row->filter_len);
    (void)sqlite3_bind_int(st, 3, row->options);
    (void)sqlite3_bind_int64(st, 4, row->id);
    return store_execute(db, st);
}

int session_store_unsubscribe(struct store_db *db, uint64_t session, const char *filter, size_t filter_len)
{
    sqlite3_stmt *st =
        store_statement(db, "DELETE FROM session_subscription WHERE session = ?1 AND filter = ?2");
    if (!st)
        return -EIO;
    bind_number(st, 1, session);
    bind_text(st, 2, filter, filter_len);
    return store_execute(db, st);
}

int session_store_put_will(struct store_db *db, const char *client_id, size_t len, const struct msg *will,
                           uint64_t number, uint32_t delay_s)
{
    sqlite3_stmt *st = store_statement(db, "INSERT INTO will (client_id, topic, payload, properties, "
                                           "qos, retain, expiry_s, delay_s, "
                                           "number) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    if (!st)
        return -EIO;
    bind_text(st, 1, client_id, len);
    bind_text(st, 2, will->topic, will->topic_len);
    (void)sqlite3_bind_blob(st, 3, will->payload, (int)will->payload_len, SQLITE_STATIC);
    (void)sqlite3_bind_blob(st, 4, will->props, (int)will->props_len, SQLITE_STATIC);
    (void)sqlite3_bind_int(st, 5, will->qos);
    (void)sqlite3_bind_int(st, 6, will->retain);
    if (will->expiry_s != MSG_NO_EXPIRY)
        (void)sqlite3_bind_int64(st, 7, will->expiry_s);
    (void)sqlite3_bind_int64(st, 8, delay_s);
    bind_number(st, 9, number);
    return store_execute(db, st);
}

int session_store_remove_will(struct store_db *db, const char *client_id, size_t len, uint64_t number)
{
    sqlite3_stmt *st = store_statement(db, "DELETE FROM will WHERE client_id = ?1 AND number = ?2");
    if (!st)
        return -EIO;
    bind_text(st, 1, client_id, len);
    bind_number(st, 2, number);
    return store_execute(db, st);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static int load_sessions(struct store_db *db, struct session_loader *loader)
{
    sqlite3_stmt *st =
        store_statement(db, "SELECT number, client_id, expiry_s, away_since, owner FROM session");
    int r = st ? 0 : -EIO;
    while (r >= 0 && (r = store_step(db, st)) > 0) {
        const struct session_row row = {
            .number = (uint64_t)sqlite3_column_int64(st, 0),
            .client_id = (const char *)sqlite3_column_text(st, 1),
            .client_id_len = (size_t)sqlite3_column_bytes(st, 1),
            .expiry_s = (uint32_t)sqlite3_column_int64(st, 2),
            .away_since = sqlite3_column_int64(st, 3),
            .owner = (const char *)sqlite3_column_text(st, 4),
        };
        loader->session(loader, &row);
    }
    return r;
}

static int load_last_number(struct store_db *db, struct session_loader *loader)
{
    sqlite3_stmt *st = store_statement(db, "SELECT seq FROM sqlite_sequence WHERE name = 'session'");
    int r = st ? store_step(db, st) : -EIO;
    if (r > 0)
        loader->last_number = (uint64_t)sqlite3_column_int64(st, 0);
    return r < 0 ? r : 0;
}

static int load_subscriptions(struct store_db *db, struct session_loader *loader)
{
    sqlite3_stmt *st = store_statement(db, "SELECT session, filter, options, id FROM session_subscription");
    int r = st ? 0 : -EIO;
    while (r >= 0 && (r = store_step(db, st)) > 0) {
        const struct subscription_row row = {
            .session = (uint64_t)sqlite3_column_int64(st, 0),
            .filter = (const char *)sqlite3_column_text(st, 1),
            .filter_len = (size_t)sqlite3_column_bytes(st, 1),
            .options = (uint8_t)sqlite3_column_int(st, 2),
            .id = (uint32_t)sqlite3_column_int64(st, 3),
        };
        loader->subscription(loader, &row);
    }
    return r;
}

static int load_wills(struct store_db *db, struct session_loader *loader)
{
    sqlite3_stmt *st =
        store_statement(db, "SELECT client_id, topic, payload, properties, qos, "
                            "retain, expiry_s, delay_s, number FROM will ORDER BY number DESC");
    int r = st ? 0 : -EIO;
    while (r >= 0 && (r = store_step(db, st)) > 0) {
        struct msg_props props = {
            .bytes = sqlite3_column_blob(st, 3),
            .len = (size_t)sqlite3_column_bytes(st, 3),
            .response_at = SIZE_MAX, /* a will that asks for an answer is answered to nobody */
            .correlation_at = SIZE_MAX,
        };
        struct msg *will =
            msg_new_props((const char *)sqlite3_column_text(st, 1), (size_t)sqlite3_column_bytes(st, 1),
                          &props, sqlite3_column_blob(st, 2), (size_t)sqlite3_column_bytes(st, 2));
        if (!will)
            return -ENOMEM;
        will->qos = (uint8_t)sqlite3_column_int(st, 4);
        will->retain = sqlite3_column_int(st, 5);
        will->is_will = true;
        if (sqlite3_column_type(st, 6) != SQLITE_NULL)
            will->expiry_s = (uint32_t)sqlite3_column_int64(st, 6);
        loader->will(loader, (const char *)sqlite3_column_text(st, 0), (size_t)sqlite3_column_bytes(st, 0),
                     will, (uint64_t)sqlite3_column_int64(st, 8), (uint32_t)sqlite3_column_int64(st, 7));
    }
    return r;
}

/* Subscriptions of sessions that were replaced. A start that has none to remove writes nothing, and waits for no disk. */
static int remove_orphans(struct store_db *db)
{
    static const char *const statements[] = {
        "SELECT 1 FROM session_subscription WHERE session NOT IN (SELECT number FROM session) LIMIT 1",
        "DELETE FROM session_subscription WHERE session NOT IN (SELECT number FROM session)",
    };
    sqlite3_stmt *look = store_statement(db, statements[0]);
    int r = look ? store_step(db, look) : -EIO;
    if (look)
        (void)sqlite3_reset(look);
    if (r <= 0)
        return r;
    sqlite3_stmt *st = store_statement(db, statements[1]);
    return st ? store_execute(db, st) : -EIO;
}

int session_store_load(struct store_db *db, void *arg)
{
    struct session_loader *loader = arg;
    int r = remove_orphans(db);
    if (r >= 0)
        r = load_last_number(db, loader);
    if (r >= 0)
        r = load_sessions(db, loader);
    if (r >= 0)
        r = load_subscriptions(db, loader);
    return r < 0 ? r : load_wills(db, loader);
}
