#include "base/map.h"

#include "rig/test.h"

#include <stdio.h>

struct entry {
    struct map_key key;
    char name[16];
    bool in;
};

enum { ENTRIES = 2000 };

TEST(a_map_agrees_with_a_plain_table_through_a_long_random_life)
{
    static struct entry entries[ENTRIES];
    struct map map = {0};
    size_t count = 0;
    for (int i = 0; i < ENTRIES; i++) {
        int n = snprintf(entries[i].name, sizeof entries[i].name, "t/%d", i);
        entries[i].key = (struct map_key){.text = entries[i].name, .len = (uint32_t)n};
        entries[i].in = false;
    }
    uint32_t random = 99;
    for (int round = 0; round < 100000; round++) {
        random = random * 1664525 + 1013904223;
        /* the share of entries that are in swings, so that the table grows and shrinks */
        unsigned bias = (unsigned)round / 10000 % 2 ? 3 : 1;
        struct entry *entry = &entries[(random >> 8) % ENTRIES];
        bool in = (random >> 28) % 4 < bias;
        if (in && !entry->in) {
            map_put(&map, &entry->key);
            count++;
        } else if (!in && entry->in) {
            map_remove(&map, &entry->key);
            count--;
        }
        entry->in = in;
        CHECK_INT(map.count, count);
        struct entry *other = &entries[(random >> 3) % ENTRIES];
        CHECK(map_get(&map, other->name, strlen(other->name)) == (other->in ? &other->key : NULL));
    }
    size_t seen = 0;
    map_for_each(i, key, &map)
    {
        CHECK(container_of(key, struct entry, key)->in);
        seen++;
    }
    CHECK_INT(seen, count);
    map_done(&map);
}

TEST(keys_may_hold_any_bytes_and_none)
{
    struct map map = {0};
    struct entry a = {.key = {.text = "", .len = 0}};
    struct entry b = {.key = {.text = "a\0b", .len = 3}};
    map_put(&map, &a.key);
    map_put(&map, &b.key);
    CHECK(map_get(&map, "", 0) == &a.key);
    CHECK(map_get(&map, "a\0b", 3) == &b.key);
    CHECK(!map_get(&map, "a\0c", 3));
    CHECK(!map_get(&map, "a", 1));
    map_done(&map);
}
