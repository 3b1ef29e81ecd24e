/* The subscription trie: topic filters by level, for finding who gets a topic.
 *
 *      root ─┬─ "dt" ─── + ─── "env" ●           ● subscriptions that end here
 *            └─ "$aws" ─ "things" ─ … ─ #●
 *
 * Children are hashed by level; `+` and `#` have places of their own. A node without subscriptions, groups of shared
 * subscriptions and children does not exist: removing climbs until that is true again.
 */
#pragma once

#include "base/map.h"
#include "bus/bus.h"
#include "bus/share.h"

struct trie_node {
    struct map_key key; /* the level, in its parent's children */
    struct trie_node *parent;
    struct trie_node *plus, *hash;
    struct map children;
    struct list subscriptions;
    struct list shares;
};

void trie_init(struct trie_node *root);
void trie_done(struct trie_node *root); /* whatever is left: the subscriptions are somebody else's */
void trie_add(struct trie_node *root, struct subscription *subscription, const char *filter, size_t len);
void trie_remove(struct subscription *subscription);

/* Calls found() for every subscription whose filter matches, and shared() for every group. */
struct trie_visitor {
    void (*found)(struct trie_visitor *visitor, struct subscription *subscription);
    void (*shared)(struct trie_visitor *visitor, struct share *share);
};
void trie_match(struct trie_node *root, const char *topic, size_t len, struct trie_visitor *visitor);
