#include "base/map.h"

#include <assert.h>
#include <string.h>
#include <sys/random.h>

enum { FIRST_CAPACITY = 8 };

/* Multiply and shift, eight bytes a step, over a start and a multiplier that a peer cannot know. */
static uint64_t mix(uint64_t hash, uint64_t word, uint64_t multiplier)
{
    hash = (hash ^ word) * multiplier;
    return hash ^ hash >> 31;
}

uint32_t map_hash(const char *text, size_t len)
{
    static uint64_t seed[2];
    if (!seed[0]) {
        if (getrandom(seed, sizeof seed, 0) != sizeof seed)
            abort();
        seed[0] |= 1;
        seed[1] |= 1;
    }
    uint64_t hash = seed[0] ^ len;
    for (; len >= 8; text += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, text, 8);
        hash = mix(hash, word, seed[1]);
    }
    uint64_t rest = 0;
    memcpy(&rest, text, len);
    hash = mix(mix(hash, rest, seed[1]), len, seed[1]);
    return (uint32_t)(hash ^ hash >> 32);
}

void map_done(struct map *map)
{
    free(map->slots);
    *map = (struct map){0};
}

static bool key_is(const struct map_key *key, uint32_t hash, const char *text, size_t len)
{
    return key->hash == hash && key->len == len && memcmp(key->text, text, len) == 0;
}

struct map_key *map_get(const struct map *map, const char *text, size_t len)
{
    if (!map->count)
        return NULL;
    uint32_t hash = map_hash(text, len);
    for (size_t i = hash & (map->capacity - 1); map->slots[i]; i = (i + 1) & (map->capacity - 1))
        if (key_is(map->slots[i], hash, text, len))
            return map->slots[i];
    return NULL;
}

static void place(struct map_key **slots, size_t capacity, struct map_key *key)
{
    size_t i = key->hash & (capacity - 1);
    while (slots[i])
        i = (i + 1) & (capacity - 1);
    slots[i] = key;
}

static void resize(struct map *map, size_t capacity)
{
    struct map_key **slots = mem_new_bytes(capacity * sizeof *slots);
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i])
            place(slots, capacity, map->slots[i]);
    free(map->slots);
    map->slots = slots;
    map->capacity = capacity;
}

void map_put(struct map *map, struct map_key *key)
{
    assert(!map_get(map, key->text, key->len));
    if (4 * (map->count + 1) > 3 * map->capacity)
        resize(map, map->capacity ? 2 * map->capacity : FIRST_CAPACITY);
    key->hash = map_hash(key->text, key->len);
    place(map->slots, map->capacity, key);
    map->count++;
}

void map_remove(struct map *map, struct map_key *key)
{
    size_t mask = map->capacity - 1;
    size_t hole = key->hash & mask;
    while (map->slots[hole] != key)
        hole = (hole + 1) & mask;

    /* Shift back every follower that may stand in the hole: one whose home is not between the hole and itself. */
    for (size_t i = (hole + 1) & mask; map->slots[i]; i = (i + 1) & mask) {
        size_t home = map->slots[i]->hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->slots[hole] = map->slots[i];
            hole = i;
        }
    }
    map->slots[hole] = NULL;
    map->count--;
    if (map->capacity > FIRST_CAPACITY && 8 * map->count < map->capacity)
        resize(map, map->capacity / 2);
}
