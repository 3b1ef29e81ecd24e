/* The subscription trie: topic filters by level, for finding who gets a topic.
 *
 *      root ─┬─ "dt" ─── + ─── "env" ●           ● subscriptions that end here
 *            └─ "$aws" ─ "things" ─ … ─ #●
 *
 * Children are hashed by level; `+` and `#` have places of their own. A node without subscriptions and without children
 * does not exist: removing climbs until that is true again.
 */
#pragma once

#include "base/map.h"
#include "bus/bus.h"

struct trie_node {
    struct map_key key; /* the level, in its parent's children */
    struct trie_node *parent;
    struct trie_node *plus, *hash;
    struct map children;
    struct list subscriptions;
};

void trie_init(struct trie_node *root);
void trie_done(struct trie_node *root); /* whatever is left: the subscriptions are somebody else's */
void trie_add(struct trie_node *root, struct subscription *subscription, const char *filter, size_t len);
void trie_remove(struct subscription *subscription);

/* Calls found() for every subscription whose filter matches. */
void trie_match(struct trie_node *root, const char *topic, size_t len,
                void (*found)(void *self, struct subscription *subscription), void *self);
