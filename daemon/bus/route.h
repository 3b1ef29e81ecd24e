/* Routes: who gets a topic, worked out once and kept.
 *
 * A route is the finished list of a topic's subscribers, so a repeated topic costs one hash look-up instead of a walk over the
 * trie. It remembers the generation of the trie that it was made from and is made anew when the trie has changed since.
 */
#pragma once

#include "bus/trie.h"

/* What the subscriptions of one subscriber that matched add up to. */
struct terms {
    bool any;
    bool retain_as_published;
    uint8_t qos;
    uint32_t id_count;
};

struct target {
    struct subscriber *subscriber; /* NULL: a group's, or went away while the route was being walked */
    struct share *share;           /* one of its members gets the message */
    struct terms all,
        own;           /* own: for its own messages, which subscriptions with No Local do not let through */
    uint32_t first_id; /* in route->ids: those without No Local first */
};

struct route {
    struct map_key key; /* the topic */
    uint64_t generation;
    struct target *targets;
    size_t count, size;
    uint32_t *ids;
    size_t id_count, id_size;
};

struct routes {
    struct trie_node *trie;
    uint64_t generation; /* counts the trie's changes */
    struct map cached;
    size_t bytes;       /* of the routes in it */
    struct route *last; /* found last; NULL: none */
};

/* Forgets all of them. */
void routes_done(struct routes *routes);
/* Valid until the next call. */
struct route *routes_find(struct routes *routes, const struct msg *msg);
/* Does anybody get this topic? Makes no route. */
bool routes_has_listener(struct routes *routes, const char *topic, size_t topic_len);
