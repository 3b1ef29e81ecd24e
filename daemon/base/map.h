/* A hash map from bytes to pointers: open addressing, linear probing, keys owned by the values.
 *
 * The map stores pointers to entries that begin with struct map_key, whose text belongs to the entry. Removing shifts
 * the followers back, so there are no tombstones and a long life costs nothing. Hashing is seeded per process: keys come
 * from peers.
 */
#pragma once

#include "base/base.h"

struct map_key {
    const char *text;
    uint32_t len;
    uint32_t hash; /* private */
};

struct map {
    struct map_key **slots;
    size_t capacity, count;
};

void map_done(struct map *map); /* frees the table, not the entries */
struct map_key *map_get(const struct map *map, const char *text, size_t len);
/* Adds an entry whose key is not in the map yet. */
void map_put(struct map *map, struct map_key *key);
void map_remove(struct map *map, struct map_key *key);
uint32_t map_hash(const char *text, size_t len);

/* for each entry, in no order; the body may remove the current entry only as its last act, then restart. */
#define map_for_each(i, key, map)                                                                            \
    for (size_t i = 0; i < (map)->capacity; i++)                                                             \
        for (struct map_key *key = (map)->slots[i]; key; key = NULL)
