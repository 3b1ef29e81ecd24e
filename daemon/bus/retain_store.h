/* Retained messages on disk: the only file of this room that runs on the store's thread. */
#pragma once

#include "base/msg.h"
#include "store/store.h"

/* Keeps the message's copy in table `retained`, or removes it when the payload is empty. `wall_minus_mono` turns the
 * message's monotonic birth into wall time, so that an expiry survives a restart. 0 or −errno. */
int retain_store_put(struct store_db *db, const struct msg *msg, int64_t wall_minus_mono);

/* Reads all, calling found() with a new reference that it takes over. What came while nobody had set the clock counts
 * from now. */
struct retain_store_load {
    void *self;
    int (*found)(void *self, struct msg *msg);
    int64_t wall_minus_mono;
    int64_t now; /* monotonic */
};
int retain_store_load(struct store_db *db, void *load);
