/* Retained messages: the last message of every topic, for those who subscribe later.
 *
 * A trie of topic levels, like the one for filters but the other way round: here the topics are stored and the filter
 * walks.
 *
 *      dt ─┬─ plant1 ── env   ●  {"temp":21}
 *          └─ plant2 ── env   ●  {"temp":19}         "dt/+/env" visits both
 *
 * Invariant: a node without a message and without children does not exist. Removing climbs until that is true again.
 * Expired messages are dropped when somebody walks over them.
 */
#pragma once

#include "base/map.h"
#include "base/msg.h"

struct retain_node {
    struct map_key key;
    struct retain_node *parent;
    struct map children;
    struct msg *msg;
};

struct retain {
    struct retain_node root;
    size_t count, bytes;
    size_t count_max, bytes_max;
};

void retain_init(struct retain *retain, size_t count_max, size_t bytes_max);
void retain_done(struct retain *retain);

/* Keeps the message (a reference) as its topic's last; one without payload removes what is there. -ENOBUFS when the
 * limit would be passed: what was there stays. */
int retain_put(struct retain *retain, struct msg *msg) must_check;

/* Visits every message that matches the filter and has not expired at `now` (monotonic ms). visit() must not change
 * what is retained. */
void retain_match(struct retain *retain, const char *filter, size_t len, int64_t now,
                  void (*visit)(void *self, struct msg *msg), void *self);
