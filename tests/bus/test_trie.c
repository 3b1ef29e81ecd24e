#include "bus/trie.h"

#include "base/topic.h"
#include "rig/test.h"

#include <stdio.h>

enum { FILTERS = 400, TOPICS = 300 };

struct hit {
    struct subscription subscription;
    char filter[64];
    int hits;
    bool in;
};

static struct hit hits[FILTERS];
static uint32_t seed = 7;

static uint32_t rnd(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

static void random_levels(char *text, size_t size, bool wildcards)
{
    static const char *const levels[] = {"a", "b", "c", "", "$x", "long-level-name", "+", "#"};
    size_t len = 0;
    text[0] = '\0';
    for (uint32_t n = 1 + rnd(4); n; n--) {
        const char *level = levels[rnd(wildcards ? 8 : 6)];
        len += (size_t)snprintf(text + len, size - len, "%s%s", len || n < 1 ? "/" : "", level);
        if (*level == '#')
            break;
        if (!len) /* an empty first level needs its slash */
            len += (size_t)snprintf(text + len, size - len, "/");
    }
}

static void on_found(struct trie_visitor *visitor, struct subscription *subscription)
{
    (void)visitor;
    container_of(subscription, struct hit, subscription)->hits++;
}

TEST(the_trie_agrees_with_matching_filter_by_filter)
{
    struct trie_node root;
    trie_init(&root);
    for (int i = 0; i < FILTERS; i++) {
        hits[i] = (struct hit){0};
        random_levels(hits[i].filter, sizeof hits[i].filter, true);
        trie_add(&root, &hits[i].subscription, hits[i].filter, strlen(hits[i].filter));
        hits[i].in = true;
    }
    for (int t = 0; t < TOPICS; t++) {
        struct hit *changed = &hits[rnd(FILTERS)];
        if (changed->in)
            trie_remove(&changed->subscription);
        else
            trie_add(&root, &changed->subscription, changed->filter, strlen(changed->filter));
        changed->in = !changed->in;

        char topic[64];
        random_levels(topic, sizeof topic, false);
        for (int i = 0; i < FILTERS; i++)
            hits[i].hits = 0;
        trie_match(&root, topic, strlen(topic), &(struct trie_visitor){.found = on_found});
        for (int i = 0; i < FILTERS; i++) {
            const struct hit *hit = &hits[i];
            int expected = hit->in && topic_matches(hit->filter, strlen(hit->filter), topic, strlen(topic));
            if (hit->hits != expected)
                FAIL("filter %s, topic %s: %d hits, expected %d", hit->filter, topic, hit->hits, expected);
        }
    }
    for (int i = 0; i < FILTERS; i++)
        if (hits[i].in)
            trie_remove(&hits[i].subscription);
    CHECK(!root.plus && !root.hash && !root.children.count); /* nothing is left behind */
    trie_done(&root);
}
