/* Shared subscriptions: a group of subscribers of which one gets each message ($share/NAME/FILTER).
 *
 *      trie node of FILTER ── shares ──▶ share NAME ── members ──▶ subscription ⇄ subscription ⇄ …
 *                                                       ▲ whose turn it is
 *
 * NAME and FILTER together are the group [MQTT 5, 4.8.2]. A member that is ready is chosen in turn; when none is, one
 * that is connected, then one that is away. Groups are counted: a route, a message that waits and the trie each hold
 * one; a group without members is out of the trie and serves nobody. Who may not have a message is not chosen for it.
 */
#pragma once

#include "bus/bus.h"

struct share {
    unsigned refs;
    struct trie_node *node; /* NULL: nobody is left */
    struct list link;       /* in the node */
    struct list members;    /* subscriptions, the next one first */
    uint32_t name_len;
    char name[];
};

struct share_text {
    const char *text;
    size_t len;
};

/* "$share/NAME/FILTER"? Then NAME and FILTER are set. NAME without FILTER is not one, and neither is an empty NAME. */
bool share_split(const char *filter, size_t len, struct share_text *name, struct share_text *inner);

/* The group of that name among a node's, made when it is missing; the caller's reference. */
struct share *share_join(struct trie_node *node, struct list *shares, const char *name, size_t name_len);
/* Takes a member out; a group without members leaves its node. */
void share_leave(struct share *share, struct subscription *member);

/* Who gets this message: a member of another subscriber than `except` (which may be NULL) that is at least
 * `wanted`, the most ready first; NULL: there is none. */
struct subscription *share_choose(struct share *share, const struct msg *msg, const struct subscriber *except,
                                  enum bus_readiness wanted);
