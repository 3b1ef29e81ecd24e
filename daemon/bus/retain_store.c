#include "bus/retain_store.h"

#include "base/clock.h"

#include <errno.h>

int retain_store_put(struct store_db *db, const struct msg *msg, int64_t wall_minus_mono)
{
    sqlite3_stmt *st;
    if (!msg->payload_len) {
        st = store_statement(db, "DELETE FROM retained WHERE topic = ?1");
        if (!st)
            return -EIO;
        (void)sqlite3_bind_text(st, 1, msg->topic, msg->topic_len, SQLITE_STATIC);
        return store_execute(db, st);
    }
    st = store_statement(db, "INSERT INTO retained (topic, payload, properties, qos, expiry_s, born) "
                             "VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (topic) DO UPDATE SET "
                             "payload = ?2, properties = ?3, qos = ?4, expiry_s = ?5, born = ?6");
    if (!st)
        return -EIO;
    (void)sqlite3_bind_text(st, 1, msg->topic, msg->topic_len, SQLITE_STATIC);
    (void)sqlite3_bind_blob(st, 2, msg->payload, (int)msg->payload_len, SQLITE_STATIC);
    (void)sqlite3_bind_blob(st, 3, msg->props, (int)msg->props_len, SQLITE_STATIC);
    (void)sqlite3_bind_int(st, 4, msg->qos);
    if (msg->expiry_s != MSG_NO_EXPIRY)
        (void)sqlite3_bind_int64(st, 5, msg->expiry_s);
    (void)sqlite3_bind_int64(st, 6, msg->born + wall_minus_mono);
    return store_execute(db, st);
}

int retain_store_load(struct store_db *db, void *arg)
{
    struct retain_store_load *load = arg;
    sqlite3_stmt *st =
        store_statement(db, "SELECT topic, payload, properties, qos, expiry_s, born FROM retained");
    if (!st)
        return -EIO;
    int r;
    while ((r = store_step(db, st)) > 0) {
        struct msg_props props = {
            .bytes = sqlite3_column_blob(st, 2),
            .len = (size_t)sqlite3_column_bytes(st, 2),
            .response_at = SIZE_MAX, /* a retained message is not a request */
            .correlation_at = SIZE_MAX,
        };
        struct msg *msg =
            msg_new_props((const char *)sqlite3_column_text(st, 0), (size_t)sqlite3_column_bytes(st, 0),
                          &props, sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1));
        if (!msg)
            return -ENOMEM;
        msg->qos = (uint8_t)sqlite3_column_int(st, 3);
        msg->retain = true;
        if (sqlite3_column_type(st, 4) != SQLITE_NULL)
            msg->expiry_s = (uint32_t)sqlite3_column_int64(st, 4);
        int64_t born = sqlite3_column_int64(st, 5);
        msg->born = clock_was_set(born) ? born - load->wall_minus_mono : load->now;
        r = load->found(load->self, msg);
        if (r < 0)
            return r;
    }
    return r;
}
