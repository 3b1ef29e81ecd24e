#include "bus/retain.h"

#include "base/topic.h"

#include <errno.h>
#include <string.h>

void retain_init(struct retain *retain, size_t count_max, size_t bytes_max)
{
    *retain = (struct retain){.count_max = count_max, .bytes_max = bytes_max};
}

static void node_done(struct retain_node *node)
{
    map_for_each(i, key, &node->children)
    {
        struct retain_node *child = container_of(key, struct retain_node, key);
        node_done(child);
        free(child);
    }
    map_done(&node->children);
    node->msg = msg_unref(node->msg);
}

void retain_done(struct retain *retain)
{
    node_done(&retain->root);
}

static struct retain_node *find(struct retain *retain, const char *topic, size_t len, bool make)
{
    struct retain_node *node = &retain->root;
    const char *level;
    size_t level_len;
    for (size_t at = 0; topic_level(topic, len, &at, &level, &level_len);) {
        struct map_key *key = map_get(&node->children, level, level_len);
        if (key) {
            node = container_of(key, struct retain_node, key);
            continue;
        }
        if (!make)
            return NULL;
        struct retain_node *child = mem_new_bytes(sizeof *child + level_len);
        memcpy(child + 1, level, level_len);
        child->key.text = (char *)(child + 1);
        child->key.len = (uint32_t)level_len;
        child->parent = node;
        map_put(&node->children, &child->key);
        node = child;
    }
    return node;
}

static void drop(struct retain *retain, struct retain_node *node)
{
    retain->count--;
    retain->bytes -= msg_cost(node->msg);
    node->msg = msg_unref(node->msg);
}

static void prune(struct retain_node *node)
{
    for (struct retain_node *parent; (parent = node->parent) && !node->msg && !node->children.count;
         node = parent) {
        map_remove(&parent->children, &node->key);
        map_done(&node->children);
        free(node);
    }
}

int retain_put(struct retain *retain, struct msg *msg)
{
    struct retain_node *node = find(retain, msg->topic, msg->topic_len, false);
    struct msg *before = node ? node->msg : NULL;
    if (!msg->payload_len) { /* [MQTT-3.3.1-6] */
        if (before) {
            drop(retain, node);
            prune(node);
        }
        return 0;
    }

    size_t bytes = retain->bytes + msg_cost(msg) - (before ? msg_cost(before) : 0);
    if (bytes > retain->bytes_max || retain->count + !before > retain->count_max)
        return -ENOBUFS;
    if (before)
        drop(retain, node);
    else
        node = find(retain, msg->topic, msg->topic_len, true);
    node->msg = msg_ref(msg);
    retain->count++;
    retain->bytes += msg_cost(msg);
    return 0;
}

struct walk {
    struct retain *retain;
    const char *filter;
    size_t len;
    int64_t now;
    void (*visit)(void *self, struct msg *msg);
    void *self;
    bool expired; /* something on the way was over: sweep afterwards */
};

static void visit(struct walk *walk, struct retain_node *node)
{
    if (!node->msg)
        return;
    if (msg_expiry_left(node->msg, walk->now) == 0)
        walk->expired = true;
    else
        walk->visit(walk->self, node->msg);
}

static bool is_hidden(const struct retain_node *root, const struct retain_node *child)
{
    return child->parent == root && child->key.len && *child->key.text == '$'; /* [MQTT-4.7.2-1] */
}

static void visit_below(struct walk *walk, struct retain_node *node)
{
    visit(walk, node);
    map_for_each(i, key, &node->children)
    {
        struct retain_node *child = container_of(key, struct retain_node, key);
        if (!is_hidden(&walk->retain->root, child))
            visit_below(walk, child);
    }
}

/* The recursion is as deep as the topics are, which the broker limits. */
static void match(struct walk *walk, struct retain_node *node, size_t at)
{
    const char *level;
    size_t len;
    if (!topic_level(walk->filter, walk->len, &at, &level, &len)) {
        visit(walk, node);
        return;
    }
    if (len == 1 && *level == '#') {
        visit_below(walk, node);
        return;
    }
    if (len == 1 && *level == '+') {
        map_for_each(i, key, &node->children)
        {
            struct retain_node *child = container_of(key, struct retain_node, key);
            if (!is_hidden(&walk->retain->root, child))
                match(walk, child, at);
        }
        return;
    }
    struct map_key *key = map_get(&node->children, level, len);
    if (key)
        match(walk, container_of(key, struct retain_node, key), at);
}

/* Removes what has expired below a node; true when the node itself is not needed any more. */
static bool sweep(struct retain *retain, struct retain_node *node, int64_t now)
{
    if (node->msg && msg_expiry_left(node->msg, now) == 0)
        drop(retain, node);
    for (size_t i = 0; i < node->children.capacity;) {
        struct map_key *key = node->children.slots[i];
        struct retain_node *child = key ? container_of(key, struct retain_node, key) : NULL;
        if (child && sweep(retain, child, now)) {
            map_remove(&node->children, key);
            map_done(&child->children);
            free(child);
            i = 0; /* the slots have moved */
        } else {
            i++;
        }
    }
    return !node->msg && !node->children.count;
}

void retain_match(struct retain *retain, const char *filter, size_t len, int64_t now,
                  void (*visit_msg)(void *self, struct msg *msg), void *self)
{
    struct walk walk = {retain, filter, len, now, visit_msg, self, false};
    match(&walk, &retain->root, 0);
    if (walk.expired)
        (void)sweep(retain, &retain->root, now);
}
