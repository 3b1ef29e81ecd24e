#include "bus/trie.h"

#include "base/topic.h"

#include <string.h>

void trie_init(struct trie_node *root)
{
    *root = (struct trie_node){0};
    list_init(&root->subscriptions);
    list_init(&root->shares);
}

static bool is(const char *level, size_t len, char wildcard)
{
    return len == 1 && *level == wildcard;
}

static struct trie_node *node_new(struct trie_node *parent, const char *level, size_t len)
{
    struct trie_node *node = mem_new_bytes(sizeof *node + len);
    list_init(&node->subscriptions);
    list_init(&node->shares);
    node->parent = parent;
    memcpy(node + 1, level, len);
    node->key.text = (char *)(node + 1);
    node->key.len = (uint32_t)len;
    return node;
}

/* The child for one level of a filter, made if it is missing. */
static struct trie_node *node_child(struct trie_node *node, const char *level, size_t len)
{
    if (is(level, len, '+'))
        return node->plus ? node->plus : (node->plus = node_new(node, level, len));
    if (is(level, len, '#'))
        return node->hash ? node->hash : (node->hash = node_new(node, level, len));
    struct map_key *key = map_get(&node->children, level, len);
    if (key)
        return container_of(key, struct trie_node, key);
    struct trie_node *child = node_new(node, level, len);
    map_put(&node->children, &child->key);
    return child;
}

void trie_add(struct trie_node *root, struct subscription *subscription, const char *filter, size_t len)
{
    struct trie_node *node = root;
    struct share_text name, inner;
    bool shared = share_split(filter, len, &name, &inner);
    if (shared) {
        filter = inner.text;
        len = inner.len;
    }
    const char *level;
    size_t level_len;
    for (size_t at = 0; topic_level(filter, len, &at, &level, &level_len);)
        node = node_child(node, level, level_len);
    subscription->node = node;
    subscription->share = shared ? share_join(node, &node->shares, name.text, name.len) : NULL;
    list_append(shared ? &subscription->share->members : &node->subscriptions, &subscription->link);
}

static bool node_is_needed(const struct trie_node *node)
{
    return node->plus || node->hash || node->children.count || !list_is_empty(&node->subscriptions) ||
           !list_is_empty(&node->shares);
}

static void node_free(struct trie_node *node)
{
    map_done(&node->children);
    free(node);
}

void trie_remove(struct subscription *subscription)
{
    struct trie_node *node = subscription->node;
    if (subscription->share)
        share_leave(subscription->share, subscription);
    else
        list_remove(&subscription->link);
    subscription->share = bus_share_unref(subscription->share);
    subscription->node = NULL;
    for (struct trie_node *parent; (parent = node->parent) && !node_is_needed(node); node = parent) {
        if (parent->plus == node)
            parent->plus = NULL;
        else if (parent->hash == node)
            parent->hash = NULL;
        else
            map_remove(&parent->children, &node->key);
        node_free(node);
    }
}

static void node_free_tree(struct trie_node *node)
{
    if (!node)
        return;
    trie_done(node);
    free(node);
}

/* It is somebody else's, but for the copy of its filter. */
static void orphan(struct subscription *subscription)
{
    free((char *)subscription->filter);
    subscription->filter = NULL;
    subscription->node = NULL;
    subscription->share = bus_share_unref(subscription->share);
}

void trie_done(struct trie_node *node)
{
    map_for_each(i, key, &node->children) node_free_tree(container_of(key, struct trie_node, key));
    map_done(&node->children);
    node_free_tree(node->plus);
    node_free_tree(node->hash);
    for (struct list *link; (link = list_pop(&node->subscriptions));)
        orphan(list_entry(link, struct subscription, link));

    for (struct list *link; !list_is_empty(&node->shares);) {
        struct share *share = list_entry(node->shares.next, struct share, link);
        bus_share_ref(share);
        while ((link = list_pop(&share->members)))
            orphan(list_entry(link, struct subscription, link));

        share->node = NULL;
        list_remove(&share->link);
        (void)bus_share_unref(share);
    }
    node->plus = node->hash = NULL;
}

struct walk {
    const char *topic;
    size_t len;
    struct trie_visitor *visitor;
};

/* parent: the node is the `#` behind the topic's last level. */
static void take_all(const struct walk *walk, struct trie_node *node, bool parent)
{
    list_for_each (link, &node->subscriptions) {
        struct subscription *subscription = list_entry(link, struct subscription, link);
        if (!parent || !subscription->no_parent)
            walk->visitor->found(walk->visitor, subscription);
    }

    list_for_each (link, &node->shares)
        walk->visitor->shared(walk->visitor, list_entry(link, struct share, link));
}

/* The recursion is as deep as the filters are, which the broker limits. */
static void match(const struct walk *walk, struct trie_node *node, size_t at)
{
    bool wildcards_apply = at != 0 || !walk->len || *walk->topic != '$'; /* [MQTT-4.7.2-1] */
    if (node->hash && wildcards_apply)
        take_all(walk, node->hash, at > walk->len);

    const char *level;
    size_t level_len;
    if (!topic_level(walk->topic, walk->len, &at, &level, &level_len)) {
        take_all(walk, node, false);
        return;
    }
    if (node->plus && wildcards_apply)
        match(walk, node->plus, at);
    struct map_key *key = map_get(&node->children, level, level_len);
    if (key)
        match(walk, container_of(key, struct trie_node, key), at);
}

void trie_match(struct trie_node *root, const char *topic, size_t len, struct trie_visitor *visitor)
{
    struct walk walk = {topic, len, visitor};
    match(&walk, root, 0);
}
