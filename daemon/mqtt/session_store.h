/* Sessions, subscriptions and wills in state.db: the only file of this room that runs on the store's thread. All return
 * 0 or −errno. */
#pragma once

#include "base/msg.h"
#include "store/store.h"

struct session_row {
    uint64_t number;
    const char *client_id;
    size_t client_id_len;
    uint32_t expiry_s;
    int64_t away_since; /* wall, ms; 0 while connected */
    const char *owner;  /* NULL: nobody */
};

struct subscription_row {
    uint64_t session;
    const char *filter;
    size_t filter_len;
    uint8_t options; /* QoS, and the bits below */
    uint32_t id;
};
enum { SUBSCRIPTION_QOS = 3, SUBSCRIPTION_NO_LOCAL = 4, SUBSCRIPTION_RETAIN_AS_PUBLISHED = 8 };

int session_store_put(struct store_db *db, const struct session_row *row) must_check;
int session_store_remove(struct store_db *db, uint64_t number) must_check; /* its subscriptions, too */
int session_store_subscribe(struct store_db *db, const struct subscription_row *row) must_check;
int session_store_unsubscribe(struct store_db *db, uint64_t session, const char *filter, size_t filter_len)
    must_check;
int session_store_put_will(struct store_db *db, const char *client_id, size_t len, const struct msg *will,
                           uint64_t number, uint32_t delay_s) must_check;
/* Only the will of that number: a newer one stays. */
int session_store_remove_will(struct store_db *db, const char *client_id, size_t len, uint64_t number)
    must_check;

/* Reads everything, at start: sessions, then subscriptions, then wills, whose message is a new reference. */
struct session_loader {
    void (*session)(struct session_loader *loader, const struct session_row *row);
    void (*subscription)(struct session_loader *loader, const struct subscription_row *row);
    void (*will)(struct session_loader *loader, const char *client_id, size_t len, struct msg *will,
                 uint64_t number, uint32_t delay_s);
    uint64_t last_number; /* the highest that was ever given to a session */
};
int session_store_load(struct store_db *db, void *loader);
